//! What must hold for any bytes that a server, or the URL of one, may hold (`cargo xtask fuzz`).

use std::{error::Error as StdError, time::Duration};

use redis::parse_redis_value;
use riqle_jobs_conformance::{
    fuzz,
    fuzz::{SECRET, behind_the_secret},
};
use riqle_jobs_core::{
    EmailId, Error, ErrorKind, NewRun, Payload, Priority, RunId,
    store::{Histogram, JobDeclaration, JobMetrics, NewAction, Span, WorkerReport, rules::Fence},
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    claim::saved_steps,
    dead_groups::dead_group,
    email_row,
    enqueue::group_answer,
    events::{Kept, kept_of},
    frame::Frame,
    inspect::Standing,
    metrics,
    notes::notes,
    queue::answers,
    registry::{read_stamped, stamped},
    rows::{Body, State, shown, step, wait_millis},
    url,
    values::{groups, list, maybe_number, run_id},
};

fn is_corrupt<T>(read: Result<T, Error>) -> Option<T> {
    read.map_err(|error| assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}")).ok()
}

#[test]
fn a_stored_value_is_read_as_it_was_written_or_is_corrupt() {
    fuzz!(|bytes| {
        let Some((kind, stored)) = bytes.split_first() else { return };
        let _: Option<()> = match kind {
            b'b' => body(stored),
            b's' => state(stored),
            b'e' => event(stored),
            b'm' => email(stored),
            b'c' => counted(stored),
            b'n' => is_corrupt(notes(Some(stored.to_vec()), vec![stored.to_vec()])).map(drop),
            b't' => is_corrupt(step(b"send", stored)).map(drop),
            b'w' => declared::<2, WorkerReport>(stored),
            b'a' => declared::<2, NewAction>(stored),
            b'j' => declared::<1, JobDeclaration>(stored),
            _ => None,
        };
    });
}

fn body(stored: &[u8]) -> Option<()> {
    let body = is_corrupt(Body::read(stored))?;
    assert!(Priority::ALL.contains(&body.priority));
    let written = body.write();
    assert!(written.len() <= stored.len());
    assert_eq!(Body::read(&written).unwrap().write(), written);
    let unclaimed = State::fresh(&body, 0);
    is_corrupt(shown(RunId::new(), "queue", body, &unclaimed, None)).map(drop)
}

fn state(stored: &[u8]) -> Option<()> {
    let state = is_corrupt(State::read(stored))?;
    assert_eq!(state.write(), stored);
    is_corrupt(state.fingerprint());
    let of_run =
        Frame::default().long(0).byte(0).byte(2).word("job").payload(&Payload::from_json_text("1")).0.clone();
    let run = is_corrupt(shown(RunId::new(), "queue", Body::read(&of_run).unwrap(), &state, None))?;
    assert_eq!(run.attempts.len(), usize::from(state.attempts));
    Some(())
}

fn event(stored: &[u8]) -> Option<()> {
    let read = |stored: &[u8]| Kept::read(stored).map(|kept| kept.event("evt-1".to_owned()));
    let mut event = is_corrupt(read(stored))?;
    // More than 30,000 years are cut.
    event.event.id_kept = Duration::from_millis(wait_millis(event.event.id_kept).unsigned_abs());
    let mut frame = Frame::default();
    frame.long(event.received_at.as_millisecond()).long(7).key(&event.event.name);
    frame.text(&serde_json::to_string(&event.runs).unwrap()).raw(&kept_of(&event.event));
    assert_eq!(read(&frame.0).unwrap(), event);
    Some(())
}

fn email(stored: &[u8]) -> Option<()> {
    let id = EmailId::new();
    let row = is_corrupt(email_row::read(id, stored, Vec::new()))?;
    assert_eq!(email_row::read(id, &email_row::write(&row), Vec::new()).unwrap(), row);
    Some(())
}

fn counted(stored: &[u8]) -> Option<()> {
    let of = JobMetrics::new("job", Span::Minute, riqle_jobs_core::from_millis(60_000));
    let field = metrics::field(riqle_jobs_core::WorkerId::from_uuid(Uuid::nil()), &of);
    let read = is_corrupt(metrics::read(Span::Minute, &field, stored))?;
    let buckets = |histogram: &Histogram| histogram.counts().len();
    assert!(buckets(&read.wait) + buckets(&read.run_time) <= stored.len());
    assert_eq!(metrics::read(Span::Minute, &field, &metrics::write(&read)).unwrap(), read);
    Some(())
}

fn declared<const N: usize, T: Serialize + DeserializeOwned>(stored: &[u8]) -> Option<()> {
    let (times, value) = is_corrupt(read_stamped::<N, T>(stored))?;
    let written = stamped(&times, &value).unwrap();
    let (times_again, value_again) = read_stamped::<N, T>(&written).unwrap();
    assert_eq!(stamped(&times_again, &value_again).unwrap(), written);
    Some(())
}

#[test]
fn any_answer_of_a_script_is_read_or_is_corrupt() {
    fuzz!(|bytes| {
        let Ok(value) = parse_redis_value(bytes) else { return };
        is_corrupt(saved_steps(value.clone()));
        is_corrupt(answers(value.clone(), Fence::answer));
        is_corrupt(maybe_number(value.clone()));
        is_corrupt(Standing::read("queue".to_owned(), value.clone()));
        for group in is_corrupt(groups(value.clone())).unwrap_or_default() {
            is_corrupt(dead_group(group));
        }
        for id in is_corrupt(list(value.clone())).unwrap_or_default() {
            is_corrupt(run_id(id));
        }
        let group = [
            NewRun::named("job", Payload::from_json_text("1")),
            NewRun::named("job", Payload::from_json_text("2")),
        ];
        if let Some(Ok(answers)) = is_corrupt(group_answer(value, &group)) {
            assert_eq!(answers.len(), group.len());
        }
    });
}

#[test]
fn an_error_about_a_url_shows_no_password_and_the_server_is_what_stands_behind_it() {
    fuzz!(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Some(of_server) = behind_the_secret(&text) else { return };
        // These name files, and an error names the file.
        if text.contains("ca=") {
            return;
        }
        match url::parse(&text) {
            Ok(of_url) => {
                assert!(!of_url.addresses.contains(SECRET), "{}", of_url.addresses);
                for address in of_url.addresses.split(", ") {
                    let host =
                        address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
                    let servers = of_server.split('?').next().unwrap_or_default();
                    let is_plain =
                        servers.chars().all(|c| c.is_ascii_alphanumeric() || ".-:,/[]".contains(c));
                    assert!(
                        !is_plain
                            || of_server.to_ascii_lowercase().contains(&host.to_ascii_lowercase())
                            || host.contains(':')
                            || is_number(host),
                        "{address} of {text:?}"
                    );
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Misconfigured);
                let cause = error.source().map(|cause| cause.to_string());
                assert!(!format!("{error} {error:?} {cause:?}").contains(SECRET), "{error:?}");
            }
        }
    });
}

/// An address in digits, which may be written in several ways.
fn is_number(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}
