//! The rendered emails, compared to the letter. `RIQLE_BLESS=1 cargo test -p riqle-jobs-email --test golden` writes
//! them anew: look at the difference before it is committed.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod samples;

use std::{fs, path::Path};

use samples::{lint, samples};

#[test]
fn the_emails_are_as_they_were_looked_at() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let bless = std::env::var_os("RIQLE_BLESS").is_some();
    let mut changed = Vec::new();
    for sample in samples().unwrap() {
        let head = format!("Subject: {}\nTo: {}\n\n", sample.email.subject, sample.email.to);
        for (ending, shown) in [("html", sample.email.html), ("txt", head + &sample.email.text)] {
            let file = folder.join(format!("{}.{ending}", sample.name));
            if bless {
                fs::write(&file, &shown).unwrap();
            } else if fs::read_to_string(&file).unwrap_or_default() != shown {
                changed.push(format!("{}.{ending}", sample.name));
            }
        }
    }
    assert!(changed.is_empty(), "these emails have changed: {changed:?}; RIQLE_BLESS=1 writes them anew");
}

#[test]
fn no_email_has_what_a_mail_client_would_refuse() {
    for sample in samples().unwrap() {
        assert_eq!(lint(&sample.email), Vec::<String>::new(), "{}", sample.name);
    }
}
