//! What must hold for any bytes: feeds a check with samples, with random edits of them, or with what a fuzzer makes.
//!
//! A target is a test in a `fuzz.rs`, named for its promise:
//!
//! ```
//! # fn decode(bytes: &[u8]) -> Result<&str, std::str::Utf8Error> { std::str::from_utf8(bytes) }
//! # fn main() {
//! // #[test]
//! // fn any_bytes_are_a_text_or_an_error() {
//! riqle_jobs_conformance::fuzz!(|bytes| {
//!     let _ = decode(bytes);
//! });
//! # }
//! ```

use std::{fmt, fs, ops::Bound, panic::catch_unwind, path::Path, time::Duration};

use bolero::{
    BorrowedInput, ByteSliceGenerator, DefaultEngine, Driver, TestTarget,
    generator::bolero_generator::ValueGenerator,
};

#[doc(hidden)]
pub use bolero;

/// How long a target is fed with edits of its samples by `cargo test`; `BOLERO_RANDOM_TEST_TIME_MS` sets another time.
const FED_FOR: Duration = Duration::from_millis(400);

/// The most edits of a sample.
const MOST_EDITS: usize = 8;

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
/// that of the test; then, for less than a second, random edits of them. In a build for a fuzzer (`cargo xtask fuzz`) the
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
    for file in fs::read_dir(Path::new(of_crate).join("fuzz").join(name)).into_iter().flatten() {
        let path = file.expect("the samples can be listed").path();
        let sample = fs::read(&path).expect("a sample can be read");
        assert!(catch_unwind(|| check(&sample)).is_ok(), "it does not hold for {}", path.display());
        samples.push(sample);
    }
    target
        .with_test_time(FED_FOR)
        .with_generator(Edited { samples })
        .for_each(move |input: &Input| check(&input.0));
}

/// Random edits of samples.
struct Edited {
    samples: Vec<Vec<u8>>,
}

struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

impl ValueGenerator for Edited {
    type Output = Input;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Input> {
        let mut bytes = self.sample(driver)?.to_vec();
        for _ in 0..below(driver, MOST_EDITS)? {
            self.edit(&mut bytes, driver)?;
        }
        Some(Input(bytes))
    }
}

impl Edited {
    fn sample<D: Driver>(&self, driver: &mut D) -> Option<&[u8]> {
        let index = below(driver, self.samples.len())?;
        Some(self.samples.get(index).map(Vec::as_slice).unwrap_or_default())
    }

    fn edit<D: Driver>(&self, bytes: &mut Vec<u8>, driver: &mut D) -> Option<()> {
        let start = below(driver, bytes.len() + 1)?;
        let end = (start + below(driver, 32)?).min(bytes.len());
        match below(driver, 8)? {
            0 => drop(bytes.drain(start..end)),
            1 => bytes.extend_from_within(start..end),
            2 => bytes.truncate(start),
            3 => {
                let sample = self.sample(driver)?;
                let from = below(driver, sample.len() + 1)?;
                let to = (from + below(driver, 64)?).min(sample.len());
                drop(bytes.splice(start..end, sample[from..to].iter().copied()));
            }
            4 => {
                let byte = driver.produce::<u8>()?;
                if let Some(place) = bytes.get_mut(start) {
                    *place ^= byte;
                }
            }
            5 => bytes.insert(start, driver.produce::<u8>()?),
            _ => {
                let token = TOKENS[below(driver, TOKENS.len())?];
                drop(bytes.splice(start..start, token.bytes()));
            }
        }
        Some(())
    }
}

/// A number below `limit`, or 0.
fn below<D: Driver>(driver: &mut D, limit: usize) -> Option<usize> {
    driver.gen_usize(Bound::Included(&0), Bound::Excluded(&limit.max(1)))
}
