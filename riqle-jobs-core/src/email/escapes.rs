//! Signs that are written as escapes of JSON, as URLs write them, or as HTML entities.

/// A character, and where it is written.
#[derive(Clone, Copy)]
pub(super) struct Sign {
    pub(super) c: char,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The entities that may be in an address, or beside one (HTML, section 13.5).
const ENTITIES: [(&str, char); 11] = [
    ("amp", '&'),
    ("quot", '"'),
    ("apos", '\''),
    ("lt", '<'),
    ("gt", '>'),
    ("commat", '@'),
    ("period", '.'),
    ("plus", '+'),
    ("lowbar", '_'),
    ("lpar", '('),
    ("rpar", ')'),
];

/// What the escapes stand for, one layer of them; `None` if there are none.
pub(super) fn unescaped(signs: &[Sign]) -> Option<Vec<Sign>> {
    let (mut read, mut place) = (Vec::with_capacity(signs.len()), 0);
    while let Some(sign) = signs.get(place) {
        let rest = &signs[place..];
        if let Some(slashes) = mere_backslashes(rest) {
            read.extend_from_slice(&rest[..slashes]);
            place += slashes;
            continue;
        }
        let escape = match sign.c {
            '\\' => backslashed(rest),
            '%' => percent(rest),
            '&' => entity(rest),
            _ => None,
        };
        let (c, length) = escape.unwrap_or((sign.c, 1));
        read.push(Sign { c, start: sign.start, end: rest[length - 1].end });
        place += length;
    }
    (read.len() < signs.len()).then_some(read)
}

/// How many backslashes stand at the beginning, where they escape nothing: seen at once, since there may be a million.
fn mere_backslashes(signs: &[Sign]) -> Option<usize> {
    let slashes = signs.iter().take_while(|sign| sign.c == '\\').count();
    (slashes > 0 && backslashed(signs).is_none()).then_some(slashes)
}

/// `\"`, `\u0040`, `\u{40}`, `\x40`, with any number of backslashes. Half of a pair is a letter like others.
fn backslashed(signs: &[Sign]) -> Option<(char, usize)> {
    let slashes = signs.iter().take_while(|sign| sign.c == '\\').count();
    let letter = signs.get(slashes)?.c;
    let digits = slashes + 1;
    match letter {
        'u' if signs.get(digits)?.c == '{' => {
            let (code, length) = number(&signs[digits + 1..], 16, 6)?;
            let end = digits + 1 + length;
            (signs.get(end)?.c == '}').then(|| (letter_of(code), end + 1))
        }
        'u' => fixed(&signs[digits..], 4).map(|code| (letter_of(code), digits + 4)),
        'x' => fixed(&signs[digits..], 2).map(|code| (letter_of(code), digits + 2)),
        sign if sign.is_ascii_punctuation() => Some((sign, digits)),
        _ => None,
    }
}

/// `%40`, `%C3%A9`: a character in UTF-8.
fn percent(signs: &[Sign]) -> Option<(char, usize)> {
    let byte = |place: usize| {
        let signs = signs.get(place * 3..)?;
        let code = fixed(signs.get(1..).filter(|_| signs[0].c == '%')?, 2)?;
        u8::try_from(code).ok()
    };
    let first = byte(0)?;
    let count = match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    };
    let bytes: Vec<u8> = (0..count).map(byte).collect::<Option<_>>()?;
    let c = std::str::from_utf8(&bytes).ok()?.chars().next()?;
    Some((c, count * 3))
}

/// `&#64;`, `&#x40;`, `&commat;`.
fn entity(signs: &[Sign]) -> Option<(char, usize)> {
    let is_at = |place: usize, c: char| signs.get(place).is_some_and(|sign| sign.c == c);
    if !is_at(1, '#') {
        return ENTITIES.into_iter().find_map(|(name, c)| {
            let end = 1 + name.len();
            let is_named = name.chars().enumerate().all(|(place, c)| is_at(1 + place, c)) && is_at(end, ';');
            is_named.then_some((c, end + 1))
        });
    }
    let (start, radix) = if is_at(2, 'x') || is_at(2, 'X') { (3, 16) } else { (2, 10) };
    let (code, length) = number(signs.get(start..)?, radix, 9)?;
    let end = start + length;
    Some((char::from_u32(code)?, if is_at(end, ';') { end + 1 } else { end }))
}

/// The number at the beginning, and how many digits it has.
fn number(signs: &[Sign], radix: u32, most: usize) -> Option<(u32, usize)> {
    let digits = signs.iter().map_while(|sign| sign.c.to_digit(radix)).take(most);
    let (code, length) = digits.fold((0_u32, 0), |(code, length), digit| {
        (code.saturating_mul(radix).saturating_add(digit), length + 1)
    });
    (length > 0).then_some((code, length))
}

fn fixed(signs: &[Sign], digits: usize) -> Option<u32> {
    number(signs, 16, digits).filter(|(_, length)| *length == digits).map(|(code, _)| code)
}

fn letter_of(code: u32) -> char {
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}
