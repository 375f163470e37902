//! What must hold for any bytes: feeds a check with samples, with edits of them, or with what a fuzzer makes.
//!
//! A target is a test in a `fuzz.rs`, named for its promise:
//!
//! ```no_run
//! # fn decode(bytes: &[u8]) -> Result<&str, std::str::Utf8Error> { std::str::from_utf8(bytes) }
//! # fn main() {
//! // #[test]
//! // fn any_bytes_are_a_text_or_an_error() {
//! riqle_jobs_conformance::fuzz!(|bytes| {
//!     let _ = decode(bytes);
//! });
//! # }
//! ```

use std::{fs, panic::catch_unwind, path::Path};

use bolero::{BorrowedInput, ByteSliceGenerator, DefaultEngine, TestTarget};

use crate::Random;

#[doc(hidden)]
pub use bolero;

/// How many edits of its samples `cargo test` feeds a target with.
const EDITS: usize = 1_000;

/// The most edits of a sample.
const MOST_EDITS: usize = 8;

/// A password that nothing about a URL may show.
pub const SECRET: &str = "s3cret";

/// What stands behind the password of a URL, where [`SECRET`] is in that alone. A password ends at the last @.
pub fn behind_the_secret(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let (of_user, of_server) = rest.rsplit_once('@')?;
    let (_, password) = of_user.split_once(':')?;
    // A parser of URLs takes no notice of these.
    let as_read = |part: &str| part.replace(['\t', '\n', '\r'], "");
    // Else the URL begins before it, as in `postgres:\r//host://user:s3cret@other`.
    let is_scheme = !as_read(scheme).contains([':', '/']);
    let is_apart = !as_read(scheme).contains(SECRET) && !as_read(of_server).contains(SECRET);
    (password.contains(SECRET) && is_scheme && is_apart).then_some(of_server)
}

/// What decoders look for, or stumble over.
const TOKENS: &[&str] = &[
    "\"",
    "\\",
    "\\\"",
    "\\u0000",
    "\\ud800",
    "\\u0040",
    "{",
    "}",
    "[",
    "]",
    "[[",
    "]]",
    "{}",
    "[]",
    ":",
    ",",
    "null",
    "true",
    "-0",
    "0.1",
    "1e400",
    "1e-300",
    "9007199254740993",
    "18446744073709551616",
    "-9223372036854775809",
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "\0",
    "@",
    "＠",
    "%40",
    "&#64;",
    "<",
    ">",
    "(",
    ")",
    ".",
    "..",
    "=",
    "==",
    "=?",
    "?=",
    "=?utf-8?q?=41?=",
    "é",
    "İ",
    "\u{200b}",
    "\u{202e}",
    "\u{feff}",
    "😀",
    "`",
    "`, expected",
    "'",
    "#",
    "##",
    "/",
    "?",
    "://",
    ";",
    "-",
    "250 ok\r\n",
    "250\r\n",
    "550-5.1.1 ",
    "421 ",
    "s3cret",
    "password",
    "\u{1}",
    "\u{7f}",
];

/// Feeds a check (`fn(&[u8])`): first its samples, which are the files of the folder `fuzz/NAME` of the crate, NAME being
/// that of the test; then edits of them. In a build for a fuzzer (`cargo xtask fuzz`) the
/// fuzzer feeds it instead.
#[macro_export]
macro_rules! fuzz {
    ($check:expr) => {{
        fn here() {}
        let target = $crate::fuzz::bolero::check!();
        $crate::fuzz::feed(target, env!("CARGO_MANIFEST_DIR"), std::any::type_name_of_val(&here), $check)
    }};
}

#[doc(hidden)]
pub type Target = TestTarget<ByteSliceGenerator, DefaultEngine, BorrowedInput>;

#[doc(hidden)]
pub fn feed(target: Target, of_crate: &str, here: &str, check: fn(&[u8])) {
    if cfg!(fuzzing) {
        target.for_each(check);
        return;
    }
    let name = here.rsplit("::").nth(1).expect("a test is in a module");
    let mut samples = Vec::new();
    let folder = Path::new(of_crate).join("fuzz").join(name);
    let files = fs::read_dir(&folder);
    for file in files.unwrap_or_else(|error| panic!("{name} has no samples in {}: {error}", folder.display()))
    {
        let path = file.expect("the samples can be listed").path();
        let sample = fs::read(&path).expect("a sample can be read");
        assert!(catch_unwind(|| check(&sample)).is_ok(), "it does not hold for {}", path.display());
        samples.push(sample);
    }
    // The same ones each time: a test that fails now and then helps nobody.
    let mut random = Random::new(0);
    for _ in 0..EDITS {
        let input = edited(&samples, &mut random);
        let held = catch_unwind(|| check(&input));
        assert!(held.is_ok(), "it does not hold for b\"{}\"", input.escape_ascii());
    }
}

fn edited(samples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = sample(samples, random).to_vec();
    for _ in 0..random.below(MOST_EDITS) {
        edit(&mut bytes, samples, random);
    }
    bytes
}

fn sample<'a>(samples: &'a [Vec<u8>], random: &mut Random) -> &'a [u8] {
    samples.get(random.below(samples.len().max(1))).map(Vec::as_slice).unwrap_or_default()
}

fn edit(bytes: &mut Vec<u8>, samples: &[Vec<u8>], random: &mut Random) {
    let start = random.below(bytes.len() + 1);
    let end = (start + random.below(32)).min(bytes.len());
    match random.below(8) {
        0 => drop(bytes.drain(start..end)),
        1 => bytes.extend_from_within(start..end),
        2 => bytes.truncate(start),
        3 => {
            let sample = sample(samples, random);
            let from = random.below(sample.len() + 1);
            let to = (from + random.below(64)).min(sample.len());
            drop(bytes.splice(start..end, sample[from..to].iter().copied()));
        }
        4 => {
            let byte = random.below(256) as u8;
            if let Some(place) = bytes.get_mut(start) {
                *place ^= byte;
            }
        }
        5 => bytes.insert(start, random.below(256) as u8),
        _ => {
            let token = TOKENS[random.below(TOKENS.len())];
            drop(bytes.splice(start..start, token.bytes()));
        }
    }
}
