//! What a server's refusal is about: its class, enhanced code and phase decide, and words where a code says several things.

use super::failure::Phase;

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Too many connections, or too much at once.
    Load,
    /// A first try, which the server takes from nobody (RFC 6647).
    Greylisting,
    /// What the account may send in a day or a month.
    Quota,
    /// Account, sender or configuration.
    Account,
    /// An address that does not exist.
    Address,
    /// The recipient, or the content.
    Email,
    /// A trouble that passes.
    Moment,
}

/// Subject and detail of an enhanced status code (RFC 3463), such as `5.1.1`, at the beginning of a text.
pub(super) fn enhanced(text: &str) -> Option<(u16, u16)> {
    let mut parts = text.split_whitespace().next()?.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    if !matches!(class, "2" | "4" | "5") || parts.next().is_some() {
        return None;
    }
    Some((subject.parse().ok()?, detail.parse().ok()?))
}

/// What a refusal is about. `had_some`: the connection has delivered an email before.
pub(super) fn about(phase: Phase, code: u16, text: &str, had_some: bool) -> About {
    let class = enhanced(text);
    let words = Words::of(text);
    let before_mail = matches!(phase, Phase::Connect | Phase::Greeting | Phase::StartTls | Phase::Auth);
    if matches!(code, 530 | 534 | 535 | 538) {
        return About::Account;
    }
    if words.say_quota() || matches!(class, Some((4, 5) | (7, 705))) {
        return About::Quota;
    }
    if code < 500 {
        if phase != Phase::Auth && words.say_account() {
            return About::Account;
        }
        let closes = code == 421 && (before_mail || phase == Phase::MailFrom);
        let one_too_many = code == 452 && phase == Phase::MailFrom && had_some;
        if closes || one_too_many || class == Some((3, 2)) || words.say_load() {
            return About::Load;
        }
        let is_late = matches!(phase, Phase::RcptTo | Phase::Data | Phase::Body);
        let fits = matches!(class, None | Some((7, _) | (2, 0)));
        return if matches!(code, 450 | 451) && is_late && fits { About::Greylisting } else { About::Moment };
    }
    match phase {
        _ if before_mail && words.say_load() => About::Load,
        _ if before_mail => About::Account,
        Phase::MailFrom if code == 552 || matches!(class, Some((3, 4) | (2, 3))) => About::Email,
        // Nothing else is known to the server yet than who sends.
        Phase::MailFrom => About::Account,
        _ if matches!(class, Some((1, 7 | 8) | (2, 252))) || is_of_account(class) || words.say_account() => {
            About::Account
        }
        Phase::RcptTo if matches!(class, Some((1, _))) => About::Address,
        Phase::RcptTo if matches!(code, 550 | 551 | 553) && !matches!(class, Some((7, _))) => About::Address,
        _ => About::Email,
    }
}

/// Details of `x.7.x` that name who sends: Gmail's (23 to 27), Exchange's and Microsoft 365's.
fn is_of_account(class: Option<(u16, u16)>) -> bool {
    matches!(class, Some((7, 23..=27 | 57 | 60 | 64 | 501..=503 | 509 | 606 | 700..=750)))
}

/// A refusal's words, without the addresses that it quotes.
struct Words(String);

impl Words {
    fn of(text: &str) -> Self {
        let mut words = String::with_capacity(text.len());
        let mut is_quoted = false;
        for word in text.to_lowercase().split_whitespace() {
            let begins = word.starts_with('<');
            is_quoted |= begins && !word.contains('>');
            if !is_quoted && !begins && !word.contains('@') {
                words.push(' ');
                words.push_str(word);
            }
            is_quoted &= !word.contains('>');
        }
        words.push(' ');
        Self(words)
    }

    fn say(&self, any: &[&str]) -> bool {
        any.iter().any(|phrase| self.0.contains(phrase))
    }

    /// The sender's, not a mailbox that is full.
    fn say_quota(&self) -> bool {
        let of_recipient = ["mailbox", "over quota", "recipient", "storage", "disk"];
        let of_sender = [
            " sending limit",
            " sending quota",
            " message quota",
            " email quota",
            " daily quota",
            " monthly quota",
            " hourly quota",
            " daily limit",
            " quota exceeded for sender",
        ];
        self.say(&of_sender) && !self.say(&of_recipient)
    }

    fn say_load(&self) -> bool {
        self.say(&[
            " too many connections",
            " too many concurrent",
            " too many messages",
            " too many mails",
            " too many emails",
            " too many new ",
            " too many commands",
            " too many requests",
            " too many sessions",
            " too much mail",
            " rate limit",
            " rate-limit",
            " ratelimit",
            " rate exceeded",
            " sending rate",
            " unusual rate",
            " throttl",
            " server busy",
            " slow down",
            " connection limit",
            " connections limit",
            " maximum connections",
            " concurrent connection",
        ])
    }

    fn say_account(&self) -> bool {
        self.say(&[
            " relay",
            " not owned ",
            " sender address rejected",
            " sender rejected",
            " sender verify",
            " sender domain",
            " sending domain",
            " bad sender",
            " invalid sender",
            " unverified sender",
            " send as ",
            " sendas",
            " send from ",
            " send on behalf",
            " not verified",
            " authentication required",
            " must authenticate",
            " not authenticated",
            " unauthenticated",
            " issue a starttls",
            " client host ",
            " your ip ",
            " sending ip",
            " dmarc",
            " dkim",
            " spf ",
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_quoted_decides_nothing() {
        for text in ["5.1.1 <relay@example.com>: no such user", "5.1.1 relay@dmarc.example unknown"] {
            assert_eq!(about(Phase::RcptTo, 550, text, false), About::Address, "{text}");
        }
    }

    #[test]
    fn servers_are_understood_as_they_answer() {
        use About::*;
        for (phase, code, text, had_some, expected) in [
            // Postfix
            (
                Phase::Greeting,
                421,
                "4.7.0 mx.example Error: too many connections from 192.0.2.1",
                false,
                Load,
            ),
            (Phase::RcptTo, 454, "4.7.1 <a@b.example>: Relay access denied", false, Account),
            (Phase::RcptTo, 554, "5.7.1 <a@b.example>: Relay access denied", false, Account),
            (
                Phase::RcptTo,
                553,
                "5.7.1 <o@s.example>: Sender address rejected: not owned by user x",
                false,
                Account,
            ),
            (Phase::RcptTo, 450, "4.7.1 Error: too much mail from 192.0.2.1", false, Load),
            (
                Phase::RcptTo,
                450,
                "4.2.0 <a@b.example>: Recipient address rejected: Greylisted",
                false,
                Greylisting,
            ),
            (
                Phase::RcptTo,
                450,
                "4.1.1 <a@b.example>: Recipient address rejected: unverified address",
                false,
                Moment,
            ),
            (
                Phase::RcptTo,
                550,
                "5.1.1 <a@b.example>: Recipient address rejected: User unknown",
                false,
                Address,
            ),
            (
                Phase::RcptTo,
                554,
                "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using x",
                false,
                Account,
            ),
            (Phase::MailFrom, 452, "4.3.1 Insufficient system storage", false, Moment),
            (Phase::MailFrom, 452, "4.5.3 Error: too many mails", true, Load),
            (Phase::MailFrom, 552, "5.3.4 Message size exceeds fixed limit", false, Email),
            (Phase::Body, 451, "4.3.0 Error: queue file write error", false, Moment),
            // Exim
            (
                Phase::Greeting,
                421,
                "Too many concurrent SMTP connections; please try again later.",
                false,
                Load,
            ),
            (Phase::RcptTo, 550, "relay not permitted", false, Account),
            (Phase::RcptTo, 550, "Sender verify failed", false, Account),
            (Phase::RcptTo, 550, "Unrouteable address", false, Address),
            (Phase::RcptTo, 451, "Temporary greylisting in place", false, Greylisting),
            (Phase::Body, 552, "Message size exceeds maximum permitted", false, Email),
            // Gmail
            (Phase::Body, 550, "5.4.5 Daily user sending limit exceeded. gsmtp", false, Quota),
            (Phase::MailFrom, 550, "5.4.5 Daily SMTP relay sending quota exceeded", false, Quota),
            (
                Phase::Body,
                421,
                "4.7.28 Our system has detected an unusual rate of unsolicited mail",
                false,
                Load,
            ),
            (
                Phase::Body,
                550,
                "5.7.26 This mail has been blocked because the sender is unauthenticated.",
                false,
                Account,
            ),
            (
                Phase::RcptTo,
                550,
                "5.1.1 The email account that you tried to reach does not exist.",
                false,
                Address,
            ),
            (
                Phase::RcptTo,
                552,
                "5.2.2 The email account that you tried to reach is over quota.",
                false,
                Email,
            ),
            (
                Phase::Body,
                552,
                "5.7.0 This message was blocked because its content presents a risk",
                false,
                Email,
            ),
            // Microsoft 365
            (Phase::MailFrom, 451, "4.7.500 Server busy. Please try again later", false, Load),
            (Phase::Greeting, 421, "4.3.2 Service not available", false, Load),
            (Phase::Body, 554, "5.2.252 SendAsDenied; shop not allowed to send as ada", false, Account),
            (
                Phase::Body,
                550,
                "5.7.60 SMTP; Client does not have permissions to send as this sender",
                false,
                Account,
            ),
            (Phase::MailFrom, 530, "5.7.57 Client not authenticated to send mail", false, Account),
            (
                Phase::Body,
                550,
                "5.7.708 Service unavailable. Access denied, traffic not accepted from this IP",
                false,
                Account,
            ),
            (Phase::RcptTo, 550, "5.4.1 Recipient address rejected: Access denied", false, Address),
            (Phase::RcptTo, 550, "5.7.1 RESOLVER.RST.NotAuthorized; not authorized", false, Email),
            // Amazon SES
            (Phase::Auth, 421, "Too many concurrent SMTP connections", false, Load),
            (Phase::Body, 454, "Throttling failure: Maximum sending rate exceeded.", false, Load),
            (Phase::Body, 454, "Throttling failure: Daily message quota exceeded.", false, Quota),
            (Phase::Body, 554, "Message rejected: Email address is not verified.", false, Account),
            (Phase::Body, 554, "Transaction failed: Duplicate header 'From'.", false, Email),
            // Resend
            (Phase::Body, 450, "You have reached your daily email sending quota.", false, Quota),
            (Phase::Body, 450, "Too many requests. You can only make 2 requests per second.", false, Load),
            (Phase::Body, 550, "The example.com domain is not verified.", false, Account),
            // Codes that say both
            (Phase::RcptTo, 550, "5.2.0 sender rejected", false, Account),
            (Phase::RcptTo, 550, "5.0.0 mailbox unavailable", false, Address),
            (Phase::Body, 550, "5.7.1 looks like spam", false, Email),
            (Phase::RcptTo, 421, "4.3.0 closing", false, Moment),
        ] {
            assert_eq!(about(phase, code, text, had_some), expected, "{phase} {code} {text}");
        }
    }
}
