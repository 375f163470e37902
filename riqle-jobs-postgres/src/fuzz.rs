//! What must hold for whatever a database, or the URL of one, may hold (`cargo xtask fuzz`). A row can't be made without a
//! server; what is read of its columns can.

use std::error::Error as StdError;

use riqle_jobs_conformance::{
    fuzz,
    fuzz::{SECRET, behind_the_secret},
};
use riqle_jobs_core::ErrorKind;

use crate::{attempts::read_attempts, days::Day, url::parse};

#[test]
fn an_error_about_a_url_shows_no_password_and_the_database_is_what_stands_behind_it() {
    fuzz!(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Some(of_server) = behind_the_secret(&text) else { return };
        // These name files, and an error names the file.
        if of_server.contains("ssl") {
            return;
        }
        match parse(&text) {
            Ok((options, _)) => {
                let (host, database) = (options.get_host(), options.get_database().unwrap_or_default());
                assert!(!host.contains(SECRET) && !database.contains(SECRET), "{host} {database}");
                let is_plain = of_server.chars().all(|c| c.is_ascii_alphanumeric() || ".-:,/[]".contains(c));
                let is_number = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
                let is_behind = of_server.to_ascii_lowercase().contains(&host.to_ascii_lowercase());
                assert!(!is_plain || is_behind || is_number || host.contains(':'), "{host} of {text:?}");
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
                let cause = error.source().map(|cause| cause.to_string());
                assert!(!format!("{error} {error:?} {cause:?}").contains(SECRET), "{error:?}");
            }
        }
    });
}

#[test]
fn attempts_are_read_or_are_corrupt() {
    fuzz!(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let stored: Vec<_> = text.lines().map(str::to_owned).collect();
        let lines = stored.len();
        match read_attempts(Some(stored)) {
            Ok(attempts) => assert_eq!(attempts.len(), lines),
            Err(failure) => assert_eq!(failure.of("read").kind(), ErrorKind::Corrupt),
        }
        for line in text.lines() {
            if let Some(day) = Day::of_table(line) {
                assert!(day.start() <= day.end(), "{line}");
                assert_eq!(Day::of_table(&day.table()), Some(day));
            }
        }
    });
}
