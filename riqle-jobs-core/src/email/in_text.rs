//! Addresses in free text, however they are written.

use std::ops::Range;

use super::{
    address::{in_ascii, is_invisible, is_of_atom},
    escapes::{Sign, unescaped},
};

/// The longest quoted name or comment.
const LONGEST_QUOTED: usize = 320;
/// How often an escape may be escaped again, as in `&amp;#64;` or `%252540`.
const PASSES: usize = 4;

/// Where an address is in a text. The ranges count bytes and are in this order; comments may be between them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressInText {
    /// What is before the `@`, with its quotes and comments.
    pub name: Range<usize>,
    /// The `@`, which may be written as `＠`, `%40`, `&#64;`, `\u0040` and so on.
    pub at: Range<usize>,
    /// What is after it.
    pub domain: Range<usize>,
    /// The first letter or digit of the name.
    pub initial: Option<char>,
}

/// Finds what may be email addresses, in the order of the text; they don't overlap.
///
/// It finds more than can be sent to, so as to miss nothing that a person would read as an address: names in
/// any letters, in quotes and with comments; hosts without a dot; characters escaped for JSON, URLs or HTML,
/// even repeatedly; full-width and invisible characters.
///
/// ```
/// # use riqle_jobs_core::email::addresses_in;
/// let text = "550 <ada@example.com> is unknown";
/// let found = &addresses_in(text)[0];
/// assert_eq!((&text[found.name.clone()], &text[found.domain.clone()]), ("ada", "example.com"));
/// ```
pub fn addresses_in(text: &str) -> Vec<AddressInText> {
    let signs = Signs::read(text);
    let mut found: Vec<Found> = Vec::new();
    for at in (0..signs.all.len()).filter(|at| signs.is(*at, '@')) {
        let Some((host, end)) = signs.domain_after(at) else { continue };
        let mut name = match found.last() {
            // In `a@b@c` what is between the two is no domain.
            Some(last) if last.end == at => last.name,
            last => match signs.name_before(at, last.map_or(0, |last| last.end)) {
                // A comment before it may hold an address.
                name if name == at => signs.name_before(at, 0),
                name => name,
            },
        };
        if name == at {
            continue;
        }
        // A quoted name may take in what was one before.
        while let Some(last) = found.pop_if(|last| last.end > name) {
            name = name.min(last.name);
        }
        found.push(Found { name, at, host, end });
    }
    found.into_iter().map(|found| signs.place(&found)).collect()
}

/// The text with the names of its addresses cut to their first letter: `a…@example.com`.
pub fn mask_addresses(text: &str) -> String {
    let (mut shown, mut end) = (String::with_capacity(text.len()), 0);
    for AddressInText { name, at, domain, initial } in addresses_in(text) {
        shown.push_str(&text[end..name.start]);
        shown.extend(initial);
        shown.push('…');
        shown.push_str(&text[at]);
        shown.push_str(&text[domain.clone()]);
        end = domain.end;
    }
    shown.push_str(&text[end..]);
    shown
}

/// Places among the signs: the name's first, the `@`, the domain's first, and after its last.
struct Found {
    name: usize,
    at: usize,
    host: usize,
    end: usize,
}

/// A text as a person reads it.
struct Signs<'t> {
    text: &'t str,
    all: Vec<Sign>,
}

impl<'t> Signs<'t> {
    fn read(text: &'t str) -> Self {
        let sign = |(start, c): (usize, char)| Sign { c, start, end: start + c.len_utf8() };
        let mut all: Vec<Sign> = text.char_indices().map(sign).collect();
        for _ in 0..PASSES {
            match unescaped(&all) {
                Some(read) => all = read,
                None => break,
            }
        }
        all.retain(|sign| !is_invisible(sign.c));
        all.iter_mut().for_each(|sign| sign.c = in_ascii(sign.c));
        Self { text, all }
    }

    fn is(&self, place: usize, c: char) -> bool {
        self.all.get(place).is_some_and(|sign| sign.c == c)
    }

    fn place(&self, found: &Found) -> AddressInText {
        let sign = |place: usize| self.all[place];
        AddressInText {
            name: sign(found.name).start..sign(found.at).start,
            at: sign(found.at).start..sign(found.at).end,
            domain: sign(found.host).start..sign(found.end - 1).end,
            initial: self.all[found.name..found.at].iter().map(|sign| sign.c).find(|c| c.is_alphanumeric()),
        }
    }

    /// Where the domain after an `@` begins and ends.
    fn domain_after(&self, at: usize) -> Option<(usize, usize)> {
        let start = self.after_comments(at + 1);
        if self.is(start, '[') {
            let mut places = (start..self.all.len()).take(LONGEST_QUOTED);
            return places.find(|place| self.is(*place, ']')).map(|end| (start, end + 1));
        }
        let is_letter = |place: usize| self.all.get(place).is_some_and(|sign| is_letter(sign.c));
        let is_of_host = |place: usize| self.all.get(place).is_some_and(|sign| "-._".contains(sign.c));
        let mut end = start;
        while is_letter(end) || (end > start && is_of_host(end)) {
            end += 1;
        }
        // A full stop after it ends a sentence.
        while end > start && !is_letter(end - 1) {
            end -= 1;
        }
        (end > start).then_some((start, end))
    }

    /// Where the name before an `@` begins, not before `floor`; the place of the `@` if there is none.
    fn name_before(&self, at: usize, floor: usize) -> usize {
        let mut start = at;
        loop {
            let commented = self.before_comments(start, floor);
            let word = self.word_before(commented, floor);
            if word == commented {
                break;
            }
            start = word;
            // Names go on across a dot alone.
            let before = self.before_comments(start, floor);
            if !(self.is(start, '.') || (before > floor && self.is(before - 1, '.'))) {
                break;
            }
        }
        // What stands around an address stays, as in `to='ada@example.com'`.
        let is_around = |c: char| c.is_ascii_punctuation() && c != '"' && c != '(';
        (start..at).find(|place| !is_around(self.all[*place].c)).unwrap_or(start)
    }

    /// Where a quoted string, or a run of letters, digits and the signs of a name, begins that ends here.
    fn word_before(&self, end: usize, floor: usize) -> usize {
        let run_before = |mut start: usize| {
            while start > floor && is_of_name(self.all[start - 1].c) {
                start -= 1;
            }
            start
        };
        if end == 0 || !self.is(end - 1, '"') {
            return run_before(end);
        }
        // Quotes within it are escaped once more.
        let spelling = |place: usize| &self.text[self.all[place].start..self.all[place].end];
        let mut places = (0..end - 1).rev().take(LONGEST_QUOTED);
        let opening = places.find(|place| self.is(*place, '"') && spelling(*place) == spelling(end - 1));
        opening.unwrap_or_else(|| run_before(end - 1))
    }

    /// Before the comments, and the white space around them, that end here.
    fn before_comments(&self, mut end: usize, floor: usize) -> usize {
        loop {
            let mut close = end;
            while close > floor && self.all[close - 1].c == ' ' {
                close -= 1;
            }
            if close <= floor || !self.is(close - 1, ')') {
                return end;
            }
            let mut depth = 0_usize;
            let mut places = (floor..close).rev().take(LONGEST_QUOTED);
            let opening = places.find(|place| {
                match self.all[*place].c {
                    ')' => depth += 1,
                    '(' => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            let Some(mut open) = opening else { return end };
            while open > floor && self.all[open - 1].c == ' ' {
                open -= 1;
            }
            end = open;
        }
    }

    /// After the comments, and the white space around them, that begin here.
    fn after_comments(&self, mut start: usize) -> usize {
        let is_space = |place: &usize| !self.is(*place, ' ');
        let after_spaces = |place: usize| (place..=self.all.len()).find(is_space).unwrap_or(place);
        loop {
            let open = after_spaces(start);
            if !self.is(open, '(') {
                return start;
            }
            let mut depth = 0_usize;
            let mut places = (open..self.all.len()).take(LONGEST_QUOTED);
            let closing = places.find(|place| {
                match self.all[*place].c {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            let Some(close) = closing else { return start };
            start = after_spaces(close + 1);
        }
    }
}

/// A sign of a name without quotes, in any letters (RFC 6531, section 3.3).
fn is_of_name(c: char) -> bool {
    c == '.' || is_of_atom(c) || is_letter(c)
}

/// A letter or digit, or a sign that belongs to one in any script.
fn is_letter(c: char) -> bool {
    c.is_alphanumeric() || !(c.is_ascii() || c.is_whitespace() || c.is_control() || is_punctuation(c))
}

/// Signs that stand around words in other than ASCII, such as quotes, dashes and brackets.
fn is_punctuation(c: char) -> bool {
    matches!(c, '\u{a1}' | '\u{ab}' | '\u{b7}' | '\u{bb}' | '\u{bf}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}'
        | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}' | '\u{ff5f}'..='\u{ff65}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_the_first_letter_and_the_domain_are_seen() {
        for (text, shown) in [
            ("550 <ada.b@example.com>: no", "550 <a…@example.com>: no"),
            ("ada@x.com,ben@x.com", "a…@x.com,b…@x.com"),
            ("mailto:ada@example.com?cc=ben@example.com", "mailto:a…@example.com?c…@example.com"),
            ("from=ada@example.com&to=ben@example.com", "f…@example.com&t…@example.com"),
            ("o'hara/ada+tag@example.com;", "o…@example.com;"),
            ("'ada@example.com', *ben@example.com*", "'a…@example.com', *b…@example.com*"),
            ("Write to ada@example.com.", "Write to a…@example.com."),
            ("{\"to\":\"ada@example.com\",\"n\":1}", "{\"to\":\"a…@example.com\",\"n\":1}"),
            ("_@example.com", "…@example.com"),
            ("ada@localhost ben@[192.0.2.1]", "a…@localhost b…@[192.0.2.1]"),
            ("ada@lovelace@example.com", "a…@example.com"),
            // In any letters.
            ("zoé@müller.example", "z…@müller.example"),
            ("zoe\u{301}x@example.com", "z…@example.com"),
            ("请联系 用户@例子.广告。", "请联系 用…@例子.广告。"),
            ("»ada@example.com« “ben@example.com”", "»a…@example.com« “b…@example.com”"),
            ("user＠example.com, ｕｓｅｒ﹫example．com", "u…＠example.com, u…﹫example．com"),
            ("a\u{200b}da\u{200b}@\u{200b}exam\u{ad}ple.com", "a…@exam\u{ad}ple.com"),
            // With quotes and comments.
            ("to \"ada lovelace\"@x.com", "to a…@x.com"),
            ("\"ada@lovelace\"@x.com", "a…@x.com"),
            ("\"ada\\\"lovelace\"@x.com", "a…@x.com"),
            ("ada.\"of lovelace\"@x.com", "a…@x.com"),
            ("\"ada\".lovelace@x.com", "a…@x.com"),
            ("half lovelace\"@x.com", "half l…@x.com"),
            ("ada(the countess)@x.com", "a…@x.com"),
            ("ada (the (first) countess) @x.com", "a…@x.com"),
            ("ada@(the countess)x.com", "a…@x.com"),
            ("ada.(the countess)lovelace@x.com", "a…@x.com"),
            ("send(ada@x.com)", "send(a…@x.com)"),
            ("ada(once ben@y.com)@x.com", "a…@x.com"),
            // Escaped, once and more.
            ("{\"a\":\"to \\\"ada lovelace\\\"@x.com\"}", "{\"a\":\"to a…@x.com\"}"),
            (r#"{"a":"{\"b\":\"\\\"ada lovelace\\\"@x.com\"}"}"#, r#"{"a":"{\"b\":\"a…@x.com\"}"}"#),
            (r"to ada\u0040x.com, ben\\u0040x.com", r"to a…\u0040x.com, b…\\u0040x.com"),
            (r"\u0061\u0064\u0061@x.com \x62en\x40x.com", r"a…@x.com b…\x40x.com"),
            (r"zo\u{e9}@x.com", r"z…@x.com"),
            ("to=ada%40example.com", "t…%40example.com"),
            ("q?%61da%2540example.com", "q…%2540example.com"),
            ("zo%C3%A9x%40example.com", "z…%40example.com"),
            ("ada&#64;x.com ben&#x40;x.com cy&commat;x.com", "a…&#64;x.com b…&#x40;x.com c…&commat;x.com"),
            ("&lt;ada&amp;#064;x.com&gt;", "&lt;a…&amp;#064;x.com&gt;"),
            ("&quot;ada lovelace&quot;@x.com", "a…@x.com"),
        ] {
            assert_eq!(mask_addresses(text), shown, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_address_stays() {
        for text in [
            "",
            "@",
            "@ada",
            "lunch @ noon",
            "ada@ x.com",
            "ada @x.com",
            "100 % & more \\ 100%4",
            "a…@example.com",
            "&#64; &#1114112; &#xd800; %ff%40 \\u00",
            "(see above)@x",
        ] {
            assert_eq!(mask_addresses(text), text);
            assert_eq!(addresses_in(text), []);
        }
    }

    #[test]
    fn a_text_as_long_as_an_input_is_read_in_no_time() {
        for sign in ["\\", "@", "(", "\"", "%", "&", "a@", "(@", "a@b\"", "a@ ", ")@b"] {
            let text = sign.repeat((1 << 18) / sign.len());
            assert!(!mask_addresses(&text).is_empty(), "{sign}");
        }
    }

    #[test]
    fn a_quoted_name_takes_in_what_it_overlaps() {
        for (text, masked) in [("ü\"＠6\"@4", "ü…@4"), ("x@y \"a@b\"@c", "x…@y a…@c")] {
            assert_eq!(mask_addresses(text), masked);
        }
    }

    #[test]
    fn a_masked_text_is_masked() {
        for text in ["to ada@x.com, \"b c\"@y.com", "a@b@c"] {
            let masked = mask_addresses(text);
            assert_eq!(mask_addresses(&masked), masked);
        }
    }

    proptest::proptest! {
        #[test]
        fn ranges_are_in_order_and_within_the_text(text in "[a\"@.()\\\\ %40&#6;uü＠\u{200b}]{0,40}") {
            let mut end = 0;
            for AddressInText { name, at, domain, .. } in addresses_in(&text) {
                let places = [end, name.start, name.end, at.start, at.end, domain.start, domain.end];
                proptest::prop_assert!(places.is_sorted() && !name.is_empty() && !domain.is_empty(), "{places:?}");
                proptest::prop_assert!(places.iter().all(|place| text.is_char_boundary(*place)));
                end = domain.end;
            }
        }
    }
}
