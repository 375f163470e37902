//! A store with something of everything, and commands on it whose output is known.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod binary;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use riqle_jobs::{
    JobError, JobFn, JobInput, Jobs, ManualClock, NewRun, RetryPolicy, RunContext, Worker,
    email::{EmailDetail, EmailEnding, EmailStart, EmailStatus, NewEmail, OnUnknown, Rendered},
    schedule::Schedule,
    store::{EmailId, Store, Timestamp, TraceContext, WorkerId, WorkerReport},
};
use riqle_jobs_cli::{Console, run};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What was printed.
#[derive(Clone, Default)]
pub struct Printed(Arc<Mutex<Vec<u8>>>);

impl Printed {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a command came to.
pub struct Ran {
    pub code: u8,
    pub out: String,
    pub errors: String,
}

/// Runs a command line on a store that it finds under `memory:`.
pub async fn ran(store: &Arc<dyn Store>, line: &str, answers: Option<&'static str>) -> Ran {
    let (out, errors) = (Printed::default(), Printed::default());
    let mut console = Console::of_test(out.clone(), errors.clone(), Some(Arc::clone(store)));
    if let Some(answers) = answers {
        console = console.attended(answers);
    }
    let line = format!("riqle-jobs --url memory: --as anna {line}");
    // A blank in an argument is written as an underscore twice.
    let arguments = line.split(' ').map(|argument| argument.replace("__", " ").into());
    let code = run(arguments, &mut console).await;
    Ran { code, out: out.text(), errors: errors.text() }
}

#[derive(Serialize, Deserialize)]
pub struct Resize {
    pub image: u32,
}

impl JobInput for Resize {
    const JOB: &'static str = "resize";
    const QUEUE: &'static str = "images";
    const REFERENCE: Option<riqle_jobs::Key> = Some(riqle_jobs::Key::by("image-{image}"));
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    pub user_id: String,
}

impl JobInput for Welcome {
    const JOB: &'static str = "send-welcome-email";
    const QUEUE: &'static str = "email";
    const TRIGGER: Option<&'static str> = Some("shop/user.created");
    const UNIQUE: Option<riqle_jobs::Unique> = Some(riqle_jobs::Unique::by("welcome:{userId}"));
}

async fn resize(run: RunContext, input: Resize) -> Result<u32, JobError> {
    run.step("load", || async { Ok(input.image * 100) }).await?;
    run.log(format!("image {} is loaded", input.image));
    match input.image {
        1 => Ok(640),
        2 => Err(JobError::dead("the file is no image: its header says PDF")),
        _ => Err(JobError::retry("the disk is full\nwhile 4 KiB were written")),
    }
}

pub fn start() -> Timestamp {
    "2026-11-26T08:30:00Z".parse().unwrap()
}

/// Fills a store: runs in several states, dead letters, an event, a schedule, a worker, emails.
pub async fn furnish(store: &Arc<dyn Store>, clock: &ManualClock) {
    let jobs = Jobs::new(store);
    let worker = || {
        let policy = RetryPolicy::fixed(Duration::from_secs(60)).max_retries(1);
        let body = JobFn::new(resize).retry_policy(policy);
        Worker::new(store).register(body).label("web-1").without_panic_hook()
    };
    jobs.declare::<Welcome>().await.unwrap();
    for image in 1..=3 {
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = TraceContext::new(traceparent, "", start());
        store.enqueue(vec![NewRun { trace, ..NewRun::of(&Resize { image }).unwrap() }]).await.unwrap();
    }
    worker().run_until_idle().await.unwrap();
    clock.advance(Duration::from_secs(3 * 60));
    worker().run_until_idle().await.unwrap();
    clock.advance(Duration::from_secs(30));
    jobs.enqueue(Resize { image: 4 }).delay(Duration::from_secs(3_600)).await.unwrap();
    jobs.enqueue(Welcome { user_id: "user-7".to_owned() }).await.unwrap();
    let every_morning = Schedule::cron("every-morning", "0 8 * * 1-5", Resize { image: 9 });
    jobs.schedule(every_morning.zone("Europe/Berlin")).await.unwrap();
    let report = WorkerReport {
        id: WorkerId::from_uuid(Uuid::from_u128(0x4711)),
        label: "web-2".to_owned(),
        version: "0.1.0".to_owned(),
        jobs: BTreeMap::from([("resize".to_owned(), "images".to_owned())]),
        concurrency: 10,
        running: 3,
        claimed_ahead: BTreeMap::new(),
        troubles: Vec::new(),
    };
    store.report_worker(report).await.unwrap();
    email(store, "first", false).await;
    email(store, "second", true).await;
    clock.advance(Duration::from_secs(5));
}

async fn email(store: &Arc<dyn Store>, key: &str, is_open: bool) {
    let new = NewEmail {
        id: EmailId::new(),
        idempotency_key: key.to_owned(),
        rendered: Rendered {
            provider: "smtp".to_owned(),
            header_message_id: format!("<{key}@riqle.com>"),
            from: "Riqle <orders@riqle.com>".to_owned(),
            subject: "Your order".to_owned(),
            content: "first".to_owned(),
            message: b"Subject: Your order\r\n\r\nThank you".to_vec(),
        },
        to: "ada@example.com".to_owned(),
        template: "purchase-confirmation".to_owned(),
        reference: Some("order-1001".to_owned()),
        run_id: None,
        step: Some("send".to_owned()),
        attempt: 1,
        on_unknown: OnUnknown::Hold,
    };
    let id = store.intend_email(new).await.unwrap().id;
    if !is_open {
        return;
    }
    let start = EmailStart {
        sender: Uuid::new_v4(),
        run_id: None,
        attempt: 1,
        rendered: None,
        longest_send: Duration::ZERO,
    };
    store.start_email(id, start.clone()).await.unwrap();
    store.email_body_begins(id, start.sender, 1).await.unwrap();
    let cut_off = EmailEnding::NotSent {
        status: EmailStatus::Pending,
        detail: EmailDetail::Held,
        may_have_left: true,
        deferred_since: None,
        error: "the connection was cut off".to_owned(),
    };
    store.end_email(id, start.sender, cut_off).await.unwrap();
}

/// A command, and what somebody answers who sees it on a terminal.
type Line = (&'static str, Option<&'static str>);

const LOOKING: &[Line] = &[
    ("status", None),
    ("status --json", None),
    ("status", Some("")),
    ("top", None),
    ("top --json", None),
    ("top --every 0s", None),
    ("queues", None),
    ("queues --json", None),
    ("queues", Some("")),
    ("workers", None),
    ("workers --json", None),
    ("workers", Some("")),
    ("jobs", None),
    ("jobs --json", None),
    ("jobs", Some("")),
    ("runs list", None),
    ("runs list --json --limit 2", None),
    ("runs list --state dead", Some("")),
    ("runs list --job resize --from 1h --to 2026-11-26T08:31", None),
    ("runs list --reference image-9", Some("")),
    ("runs list --without-error", None),
    ("runs list --error ", None),
    ("runs list --job resise", None),
    ("runs list --state deed", None),
    ("runs list --from yesterday", None),
    ("runs list --before 7", None),
    ("runs list --limit 0", None),
    ("runs show {dead}", None),
    ("runs show {dead} --json", None),
    ("runs show 7", None),
    ("runs show 0199a000-0000-7000-8000-000000000000", None),
    ("emails list", None),
    ("emails list --open --json", None),
    ("emails list --to ada@example.com", Some("")),
    ("emails show {open}", None),
    ("emails show {open} --json", None),
    ("emails show 0199a000-0000-7000-8000-000000000000", None),
    ("events", None),
    ("audit", Some("")),
    ("audit --kind pauze", None),
    ("schedules list", None),
    ("schedules list --json", None),
    ("schedules list", Some("")),
    ("schedules next resize every-morning --ticks 2", None),
    ("schedules next resize every-morning --ticks 1 --json", None),
    ("schedules next resize every-mornin", None),
    ("dead list", None),
    ("dead list --json", None),
    ("dead list", Some("")),
    ("export {dead}", None),
    ("doctor", None),
    ("doctor --json", None),
    ("doctor", Some("")),
    ("metrics", None),
    ("metrics --json", None),
    ("runs tail --state deed", None),
    ("dashboard --listen nowhere", None),
    ("completions fishy", None),
    ("man /dev/null/man", None),
    ("migrate status", None),
    ("migrate print", None),
    ("prune", None),
    ("prune --ended 3", None),
];

const ACTING: &[Line] = &[
    ("enqueue resize image:=5", None),
    ("enqueue resize --input {\"image\":6} --json", None),
    ("enqueue resize --input {", None),
    ("enqueue resize image", None),
    ("enqueue resise image:=5", None),
    ("enqueue resize image:=5 --id 7", None),
    ("send-event shop/user.created userId=user-8 --id event-1", None),
    ("send-event shop/user.created userId=user-8 --id event-1 --json", None),
    ("send-event shop/nobody a=b --id event-2", None),
    ("events --name shop/user.created", None),
    ("events --name shop/user.created --json", None),
    ("enqueue resize image:=7 big:=12345678901234567890123 --json", None),
    ("runs list --limit 1", None),
    ("pause images --why the__disk__is__full", None),
    ("pause images --json", None),
    ("pause imagez", None),
    ("queues", None),
    ("resume images", None),
    ("drain web-2", None),
    ("drain web-3", None),
    ("drain web-2 --undo --json", None),
    ("run-now {waiting}", None),
    ("run-now {dead}", None),
    ("cancel", None),
    ("cancel {waiting} --job resize", None),
    ("cancel {waiting}", None),
    ("cancel --job resize --state dead", None),
    ("cancel --job resize", None),
    ("cancel --job resize", Some("n\n")),
    ("cancel --job resize --rate fast --yes", None),
    ("cancel --job resize --yes --json", None),
    ("cancel --job resize --yes", None),
    ("cancel --job resise --yes", None),
    ("cancel {dead} {waiting}", None),
    ("cancel {dead} {waiting} --yes", None),
    ("dead replay --job resize", Some("y\n")),
    ("dead list", Some("")),
    ("dead discard {dead}", None),
    ("dead discard --all --yes", None),
    ("schedules pause resize every-morning --why month-end", None),
    ("schedules list", None),
    ("schedules resume resize every-morning", None),
    ("schedules trigger resize every-morning --json", None),
    ("schedules trigger resize every-evening", None),
    ("schedules backfill resize every-morning --from 2026-11-24T00:00 --until 2026-11-26T00:00", None),
    ("schedules backfill resize every-morning --from soon --until 2026-11-26T00:00", None),
    ("schedules remove resize every-morning", None),
    ("schedules remove resize every-morning --yes", None),
    ("emails resolve {open} sent", None),
    ("emails resolve {open} not-sent", None),
    ("emails resolve {open} perhaps", None),
    ("prune --ended 0s --dead 0s --yes", None),
    ("prune --ended 0s --json --yes", None),
    ("audit", None),
    ("audit --by anna --kind pause --json", None),
];

/// All that the commands print on a store, in a text that is the same for each.
pub async fn transcripts(store: &Arc<dyn Store>, clock: &ManualClock) -> [(&'static str, String); 2] {
    furnish(store, clock).await;
    let ids = named_ids(store).await;
    let mut of_ids = Ids::default();
    let looked = transcript(store, LOOKING, &ids, &mut of_ids).await;
    let acted = transcript(store, ACTING, &ids, &mut of_ids).await;
    [("looking", looked), ("acting", acted)]
}

/// What the lines name: a dead letter, a run that waits, an email whose outcome is unknown.
async fn named_ids(store: &Arc<dyn Store>) -> BTreeMap<&'static str, String> {
    let runs = store.runs(riqle_jobs::RunFilter::all()).await.unwrap();
    let of = |image: &str| {
        let run = runs.iter().find(|run| run.reference.as_deref() == Some(image)).unwrap();
        run.id.to_string()
    };
    let emails = store.emails(riqle_jobs::email::EmailFilter::all()).await.unwrap();
    let open = emails.iter().find(|email| email.detail == EmailDetail::Held).unwrap();
    BTreeMap::from([("{dead}", of("image-2")), ("{waiting}", of("image-4")), ("{open}", open.id.to_string())])
}

async fn transcript(
    store: &Arc<dyn Store>,
    lines: &[Line],
    names: &BTreeMap<&'static str, String>,
    ids: &mut Ids,
) -> String {
    let mut text = String::new();
    for (line, answers) in lines {
        let named = names.iter().fold((*line).to_owned(), |line, (name, id)| line.replace(name, id));
        let Ran { code, out, errors } = ran(store, &named, *answers).await;
        let on = if answers.is_some() { " (on a terminal)" } else { "" };
        let _ = writeln!(text, "$ riqle-jobs {line}{on}");
        text.push_str(&ids.hide(&out));
        if !errors.is_empty() {
            for line in ids.hide(&errors).lines() {
                let _ = writeln!(text, "! {line}");
            }
        }
        if code != 0 {
            let _ = writeln!(text, "= {code}");
        }
        text.push('\n');
    }
    text
}

/// Ids, by the order in which they are met, of the same length as they are; how long a step took is hidden.
#[derive(Default)]
struct Ids(BTreeMap<Uuid, usize>);

impl Ids {
    fn hide(&mut self, text: &str) -> String {
        let mut hidden = String::new();
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let id = rest.get(..36).and_then(|id| Uuid::parse_str(id).ok());
            if let Some(id) = id {
                let next = self.0.len() + 1;
                let number = *self.0.entry(id).or_insert(next);
                let _ = write!(hidden, "{:-<36}", format!("id-{number}-"));
                rest = &rest[36..];
            } else if let Some(after) = rest.strip_prefix("\"tookMs\":") {
                hidden.push_str("\"tookMs\":…");
                rest = after.trim_start_matches(|letter: char| {
                    letter.is_ascii_digit() || letter == '.' || letter == 'e' || letter == '-'
                });
            } else if let Some(after) = rest.strip_prefix("The store's clock is ") {
                // The test moves it; this machine's goes on.
                hidden.push_str("The store's clock is … s");
                rest = after.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ' ');
                rest = rest.strip_prefix('s').unwrap_or(rest);
                let told = rest.len() - rest.trim_start_matches(|letter: char| letter != '\'').len() + 2;
                hidden.push_str(&rest[..told]);
                rest = rest[told..].trim_start_matches(' ');
            } else {
                hidden.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        let lines = hidden.split_inclusive('\n').map(|line| match line.strip_prefix("  load  ") {
            Some(step) => format!("  load  …  {}", step.split_once("  ").map_or("", |(_, result)| result)),
            // Delays and run times are those of this machine, and so are the widths of their columns.
            None if line.starts_with("resize  0.") || line.contains("  START DELAY P50") => {
                let columns = line.split("  ").filter(|column| !column.is_empty()).take(4);
                format!("{}  …\n", columns.map(str::trim).collect::<Vec<_>>().join("  "))
            }
            None => line.to_owned(),
        });
        lines.collect()
    }
}

/// Compares a transcript with the one that is kept; with `RIQLE_WRITE_EXPECTED` it is kept from now on.
pub fn compare(store: &str, name: &str, transcript: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(format!("{name}.txt"));
    if std::env::var_os("RIQLE_WRITE_EXPECTED").is_some() {
        std::fs::write(&file, transcript).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    let (mut printed, mut kept) = (transcript.lines(), expected.lines());
    for number in 1.. {
        let (printed, kept) = (printed.next(), kept.next());
        assert_eq!(printed, kept, "{store}: line {number} of {}", file.display());
        if printed.is_none() {
            return;
        }
    }
}
