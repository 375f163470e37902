//! What must hold for whatever a file, or the URL of one, may hold (`cargo xtask fuzz`).

use std::sync::{LazyLock, Mutex, PoisonError};

use riqle_jobs_conformance::fuzz;
use riqle_jobs_core::{AttemptOutcome, AttemptRecord, ErrorKind, RunId, WorkerId, from_millis};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteRow};
use tokio::runtime::{Builder, Runtime};

use crate::{
    attempts::{read_attempts, with_attempt},
    audit::recorded,
    email_log::record,
    error::Failure,
    events::stored_event,
    inspect::shown,
    metrics::of_workers,
    registry::{registered_job, registered_worker},
    rows::{Query, from_hex},
    steps::saved_step,
    url::{Url, is_in_memory},
};

type Read = fn(&SqliteRow) -> Result<(), Failure>;

/// What is read of rows, with the names of the columns.
const ROWS: &[(&str, &str, Read)] = &[
    (
        "run",
        "id state worker claimed_at lease_until output_codec output job queue priority reason input_codec input failures \
         crashes enqueued_at due_at ended_at attempts error_fingerprint root replay_of replayed_by unique_key reference \
         event_id schedule tick trace",
        |row| shown(row).map(drop),
    ),
    (
        "email",
        "id on_unknown status detail provider message_id error created_at updated_at sent_at first_send_at sends \
         deferred_since phase idempotency_key generation header_message_id sent_from recipient subject content template \
         reference run_id step attempt reply message",
        |row| record(row).map(drop),
    ),
    ("event", "id name codec data due_at id_kept trace received_at runs", |row| stored_event(row).map(drop)),
    ("step", "name codec result saved_at took", |row| saved_step(row).map(drop)),
    ("job", "name queue priority trigger policy rules seen_at", |row| registered_job(row).map(drop)),
    (
        "worker",
        "id label version jobs concurrency running claimed_ahead troubles started_at seen_at ordered",
        |row| registered_worker(row).map(drop),
    ),
    ("action", "action at changed_at", |row| recorded(row).map(drop)),
    ("metrics", "job span start started succeeded failed dead wait run_time", |row| {
        of_workers(row).map(drop)
    }),
];

static DATABASE: LazyLock<Mutex<(Runtime, SqliteConnection)>> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let connection = runtime.block_on(SqliteConnection::connect("sqlite::memory:")).unwrap();
    Mutex::new((runtime, connection))
});

/// A row of these columns. Each line is a value: its type, and what it is; there are nulls after the last.
fn row(columns: &str, values: &[u8]) -> SqliteRow {
    let columns: Vec<_> =
        columns.split_whitespace().enumerate().map(|(n, name)| format!("?{} AS {name}", n + 1)).collect();
    let mut query: Query<'_> = sqlx::query(AssertSqlSafe(format!("SELECT {}", columns.join(", "))));
    let mut values = values.split(|byte| *byte == b'\n');
    for _ in columns {
        let (kind, value) = values.next().and_then(|value| value.split_first()).unwrap_or((&b'n', &[]));
        let text = String::from_utf8_lossy(value).into_owned();
        query = match kind {
            b'i' => query.bind(text.parse::<i64>().ok()),
            b'r' => query.bind(text.parse::<f64>().ok()),
            b't' => query.bind(text),
            b'u' => query.bind(uuid::Uuid::from_u128(value.len() as u128)),
            b'b' => query.bind(value.to_vec()),
            _ => query.bind(None::<i64>),
        };
    }
    let mut database = DATABASE.lock().unwrap_or_else(PoisonError::into_inner);
    let (runtime, connection) = &mut *database;
    runtime.block_on(query.fetch_one(connection)).unwrap()
}

#[test]
fn a_row_is_read_or_is_corrupt() {
    fuzz!(|bytes| {
        let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let Some((_, columns, read)) = ROWS.iter().find(|(name, ..)| name.as_bytes() == &bytes[..line])
        else {
            return;
        };
        let row = row(columns, bytes.get(line + 1..).unwrap_or_default());
        if let Err(failure) = read(&row) {
            let error = failure.of("read");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
    });
}

#[test]
fn attempts_are_kept_or_are_corrupt_and_take_one_more_in_any_case() {
    fuzz!(|bytes| {
        let stored = String::from_utf8_lossy(bytes);
        let before = read_attempts(&stored).map_err(|error| assert_eq!(error.kind(), ErrorKind::Corrupt));
        let one_more = AttemptRecord {
            number: 7,
            times: 1,
            started_at: from_millis(1_000),
            ended_at: from_millis(2_000),
            worker: WorkerId::new(),
            outcome: AttemptOutcome::Failed,
            error: Some("no".to_owned()),
            delay: None,
        };
        let run = RunId::new();
        let with = with_attempt(run, &stored, one_more.clone())
            .unwrap_or_else(|failure| panic!("{}", failure.of("settle")));
        let attempts = read_attempts(&with).unwrap();
        let kept = before.unwrap_or_default();
        let [earlier @ .., newest] = &attempts[..] else { panic!("none is kept") };
        assert_eq!(newest, &one_more);
        assert_eq!(attempts.len(), (kept.len() + 1).min(25));
        for (kept, earlier) in kept.iter().rev().zip(earlier.iter().rev()) {
            // A delay of more than 30,000 years is cut.
            assert_eq!(&AttemptRecord { delay: earlier.delay, ..kept.clone() }, earlier);
        }
    });
}

#[test]
fn a_hexadecimal_text_is_bytes_or_corrupt() {
    fuzz!(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        match from_hex(&text) {
            Ok(read) => {
                let written: String = read.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(written, text.to_ascii_lowercase());
            }
            Err(failure) => assert_eq!(failure.of("read").kind(), ErrorKind::Corrupt),
        }
    });
}

#[test]
fn a_url_names_a_file_or_is_refused_without_being_quoted() {
    fuzz!(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        match Url::parse(&text) {
            Ok(url) => assert!(!url.file.as_os_str().is_empty() && !is_in_memory(&url.file), "{text:?}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Misconfigured);
                let is_of_another_store =
                    !text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sqlite:"));
                assert!(!is_of_another_store || !error.message().contains("s3cret"), "{error}");
            }
        }
    });
}
