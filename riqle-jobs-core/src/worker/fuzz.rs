//! What must hold for any text of an error (`cargo xtask fuzz`).

use riqle_jobs_conformance::fuzz;

use super::verdict::fingerprint;

#[test]
fn errors_that_differ_in_numbers_and_addresses_alone_have_one_short_fingerprint() {
    fuzz!(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let print = fingerprint(&text);
        assert!(print.len() == 16 && print.bytes().all(|byte| byte.is_ascii_hexdigit()), "{print}");
        let line = text.lines().next().unwrap_or_default();
        assert_eq!(fingerprint(&format!("{line}\nat step 3")), print, "only the first line counts");
        // With an escape before it, a digit is part of another sign.
        if !line.contains(['\\', '%', '&']) {
            let digits = "0123456789";
            let next = |c: char| digits.find(c).map_or(c, |digit| char::from(b'0' + (digit as u8 + 7) % 10));
            let other: String = line.chars().map(next).collect();
            assert_eq!(fingerprint(&other), print, "{line:?} and {other:?}");
        }
        let to = |address: &str| fingerprint(&format!("can't send to <{address}>: {line}"));
        assert_eq!(to("ada@example.com"), to("ben.b@mail.example.org"), "{line:?}");
    });
}
