//! What a server's refusal is about: its class, enhanced code and phase decide, and words where a code says several things.

use super::failure::Phase;

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Too many connections, or too much at once.
    Load,
    /// A first try, which the server always refuses (RFC 6647).
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
    if words.say_quota() || (code >= 500 && matches!(class, Some((4, 5) | (1, 90) | (7, 232 | 233 | 705)))) {
        return About::Quota;
    }
    // A code that says clearly what it is about is believed.
    let words_decide = matches!(class, None | Some((0, 0) | (1, 0) | (2, 0) | (7, 0 | 1)));
    let is_account = words.say_greeting() || (words_decide && words.say_account());
    if code < 500 {
        let closes = code == 421 && (before_mail || phase == Phase::MailFrom);
        let one_too_many = code == 452 && phase == Phase::MailFrom && had_some && class != Some((3, 1));
        // A mailbox's limits say nothing about the others.
        let is_of_mailbox = matches!(class, Some((1, _) | (2, 1..)));
        if closes || one_too_many || class == Some((3, 2)) || (words.say_load() && !is_of_mailbox) {
            return About::Load;
        }
        if phase != Phase::Auth && is_account {
            return About::Account;
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
        _ if is_account || matches!(class, Some((1, 7 | 8) | (2, 252))) || is_of_account(class) => {
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
        let of_recipient = ["mailbox", "over quota", "inbox", "storage", "disk"];
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
            "submission quota",
            " emails per hour",
            " messages per hour",
        ];
        self.say(&of_sender) && !self.say(&of_recipient)
    }

    fn say_load(&self) -> bool {
        self.say(&[
            " too many ",
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

    /// The name by which this machine greets.
    fn say_greeting(&self) -> bool {
        self.say(&[" helo command rejected"])
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
            "sendas",
            " rcpthosts",
            " not authorized to perform",
            " sending paused",
            " configuration set ",
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
        for text in [
            "5.1.1 <relay@example.com>: no such user",
            "5.0.0 relay@dmarc.example unknown",
            "5.1.1 <a@b.example>: Recipient address rejected: User unknown in relay recipient table",
        ] {
            assert_eq!(about(Phase::RcptTo, 550, text, false), About::Address, "{text}");
        }
    }

    /// What other servers answer is tried in conversations: `tests/smtp_answers.rs`.
    #[test]
    fn a_refused_mail_is_about_load_where_the_connection_had_delivered() {
        let about = |code, text, had_some| about(Phase::MailFrom, code, text, had_some);
        assert_eq!(about(452, "4.5.3 no more", true), About::Load);
        assert_eq!(about(452, "4.3.1 Insufficient system storage", true), About::Moment);
        assert_eq!(about(452, "4.5.3 no more", false), About::Moment);
        assert_eq!(about(421, "4.7.0 no more", false), About::Load);
        assert_eq!(about(552, "5.3.4 too big", true), About::Email);
    }
}
