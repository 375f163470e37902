//! A store that looks like a shop's after a busy week: runs in every state, dead letters in groups, metrics, emails, workers.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{collections::BTreeMap, f64::consts::TAU, sync::Arc, time::Duration};

use riqle_jobs_core::{
    AttemptOutcome, ClaimRequest, ClaimedRun, EmailId, Ending, Jobs, LeaseToken, LogLevel, NewRun, Payload,
    Priority, Reason, RunId, ScheduleStatus, Settlement, StepPath, StepSave, Store, Timestamp, WorkerId,
    earlier,
    email::{EmailDetail, EmailEnding, EmailStart, EmailStatus, NewEmail, OnUnknown, Rendered},
    schedule::{NewSchedule, Rule},
    store::{Histogram, JobDeclaration, JobMetrics, JobRules, LogLine, Note, Progress, Span, WorkerReport},
};
use uuid::Uuid;

pub const JOBS: [(&str, &str, &str); 3] = [
    ("send-purchase-confirmation", "email", "email/purchase-confirmation"),
    ("send-refund-notification", "email", "email/refund-notification"),
    ("send-welcome-email", "email", "email/welcome"),
];
const GROUP: usize = 1_000;
/// What jobs died of, so many groups of each job.
const ERRORS: [&str; 14] = [
    "the mailer refused it\ncaused by: 550 5.1.1 user unknown",
    "connection reset by peer (os error 104)\ncaused by: error sending request for url (https://api.resend.com/emails)",
    "order 4711 is not in the database",
    "timed out after 30 s",
    "panicked at src/invoice.rs:88:17: attempt to subtract with overflow",
    "429 too many requests\ncaused by: rate limit of 2 a second exceeded",
    "missing field `amount` at line 1 column 88",
    "template purchase_confirmation: no variable `customer.name`",
    "database is locked",
    "certificate has expired",
    "currency XXX is unknown",
    "the domain riqle.example is not verified",
    "no such customer",
    "payload too large",
];

/// How many of what.
#[derive(Clone, Copy)]
pub struct Crowd {
    pub runs: usize,
    pub emails: usize,
}

impl Crowd {
    /// Of a hundred runs: 62 succeeded, 18 dead, 3 cancelled, 2 running, 10 due, 5 scheduled.
    pub async fn gather(self, store: &dyn Store) {
        let worker = self.declare(store).await;
        self.ended(store, worker, self.runs * 62 / 100, Outcome::Succeeds).await;
        self.ended(store, worker, self.runs * 18 / 100, Outcome::Dies).await;
        self.cancelled(store, self.runs * 3 / 100).await;
        let running = enqueue(store, self.runs * 2 / 100, Duration::ZERO).await;
        claim(store, worker, running).await;
        enqueue(store, self.runs * 10 / 100, Duration::ZERO).await;
        enqueue(store, self.runs * 5 / 100, Duration::from_secs(86_400)).await;
        metrics(store, worker).await;
        self.emails(store).await;
    }

    async fn declare(self, store: &dyn Store) -> WorkerId {
        let declarations = JOBS.iter().map(|(name, queue, trigger)| JobDeclaration {
            name: (*name).to_owned(),
            queue: (*queue).to_owned(),
            priority: Priority::DEFAULT,
            trigger: Some((*trigger).to_owned()),
            policy: Some("exponential from 1 s, 3 retries".to_owned()),
            rules: JobRules::default(),
        });
        store.register_jobs(declarations.collect()).await.unwrap();
        let worker = WorkerId::new();
        let jobs: BTreeMap<_, _> =
            JOBS.iter().map(|(name, queue, _)| ((*name).to_owned(), (*queue).to_owned())).collect();
        for (id, label, running) in [(worker, "shop-1/4711", 20), (WorkerId::new(), "shop-2/815", 3)] {
            let (label, version) = (label.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
            let report = WorkerReport {
                id,
                label,
                version,
                jobs: jobs.clone(),
                concurrency: 32,
                running,
                claimed_ahead: [].into(),
                troubles: Vec::new(),
            };
            store.report_worker(report).await.unwrap();
        }
        worker
    }

    async fn ended(self, store: &dyn Store, worker: WorkerId, runs: usize, outcome: Outcome) {
        let mut left = runs;
        let mut number = 0;
        while left > 0 {
            let enqueued = enqueue(store, left.min(GROUP), Duration::ZERO).await;
            let claimed = claim(store, worker, enqueued).await;
            // The newest have steps and notes, so that pages have something to show.
            if left <= GROUP {
                with_steps(store, &claimed).await;
            }
            let settlements = claimed.iter().map(|run| {
                number += 1;
                outcome.of(run, number)
            });
            store.settle(settlements.collect()).await.unwrap();
            left -= enqueued.min(left);
        }
    }

    async fn cancelled(self, store: &dyn Store, runs: usize) {
        for _ in 0..runs {
            let run = new_run(0, Duration::from_secs(3_600));
            let id = run.id;
            store.enqueue(vec![run]).await.unwrap();
            store.cancel(id).await.unwrap();
        }
    }

    async fn emails(self, store: &dyn Store) {
        for number in 0..self.emails {
            email(store, number).await;
        }
    }
}

#[derive(Clone, Copy)]
enum Outcome {
    Succeeds,
    Dies,
}

impl Outcome {
    fn of(self, run: &ClaimedRun, number: usize) -> Settlement {
        let succeeded = Settlement {
            lease: run.lease.clone(),
            ending: Ending::Succeeded {
                output: Payload::from_json_text(r#"{"messageId":"re_123","sends":1}"#),
            },
            failures: run.failures,
            attempt: run.failures + 1,
            outcome: AttemptOutcome::Succeeded,
            error: None,
            error_fingerprint: None,
        };
        let error = number % ERRORS.len();
        match self {
            Outcome::Succeeds => succeeded,
            Outcome::Dies => Settlement {
                ending: Ending::Dead { reason: Reason::RetriesExhausted },
                failures: 4,
                attempt: 4,
                outcome: AttemptOutcome::Failed,
                error: Some(ERRORS[error].to_owned()),
                error_fingerprint: Some(format!("{:016x}", (error + 1) * 0x9e37_79b9)),
                ..succeeded
            },
        }
    }
}

fn new_run(number: usize, delay: Duration) -> NewRun {
    let (job, queue, _) = JOBS[number % JOBS.len()];
    let input = format!(
        r#"{{"orderId":"ord_{number}","amount":{},"currency":"EUR","email":"ada{number}@example.com","paymentId":12345678901234567890}}"#,
        1_000 + number
    );
    NewRun::named(job, Payload::from_json_text(input))
        .queue(queue)
        .delay(delay)
        .reference(format!("ord_{number}"))
}

/// Enqueues so many; answers how many.
async fn enqueue(store: &dyn Store, runs: usize, delay: Duration) -> usize {
    let mut left = runs;
    while left > 0 {
        let group = left.min(GROUP);
        store.enqueue((0..group).map(|number| new_run(left + number, delay)).collect()).await.unwrap();
        left -= group;
    }
    runs
}

async fn claim(store: &dyn Store, worker: WorkerId, runs: usize) -> Vec<ClaimedRun> {
    let jobs: Arc<[String]> = JOBS.iter().map(|(name, _, _)| (*name).to_owned()).collect();
    let mut claimed = Vec::new();
    while claimed.len() < runs {
        let request = ClaimRequest {
            queue: JOBS[0].1.to_owned(),
            jobs: Arc::clone(&jobs),
            limit: (runs - claimed.len()).min(GROUP),
            lease: Duration::from_secs(3_600),
            token: LeaseToken::new(),
            worker,
        };
        let more = store.claim(request).await.unwrap().runs;
        assert!(!more.is_empty(), "as many are claimed as were enqueued");
        claimed.extend(more);
    }
    claimed
}

async fn with_steps(store: &dyn Store, claimed: &[ClaimedRun]) {
    let steps = claimed.iter().flat_map(|run| {
        [("fetch-order", 12), ("render-email", 3), ("send-email", 340)].map(|(name, took)| StepSave {
            lease: run.lease.clone(),
            path: StepPath::from_stored(name),
            result: Payload::from_json_text(r#"{"ok":true}"#),
            took: Duration::from_millis(took),
            replaces: false,
        })
    });
    let steps: Vec<_> = steps.collect();
    for portion in steps.chunks(GROUP) {
        store.save_steps(portion.to_vec()).await.unwrap();
    }
    let notes = claimed.iter().take(50).map(|run| Note {
        lease: run.lease.clone(),
        progress: Some(Progress { done: 3, total: 4, text: "sending".to_owned() }),
        lines: vec![
            LogLine { number: 1, level: LogLevel::Info, text: "order found, 3 lines".to_owned() },
            LogLine { number: 2, level: LogLevel::Warn, text: "the provider is slow today".to_owned() },
        ],
    });
    store.annotate(notes.collect()).await.unwrap();
}

/// A week of them, with days that are busier than nights.
async fn metrics(store: &dyn Store, worker: WorkerId) {
    let now = store.now().await.unwrap();
    let mut reports = Vec::new();
    for (place, (job, _, _)) in JOBS.iter().enumerate() {
        for span in Span::ALL {
            let spans: u32 = if *span == Span::Minute { 60 } else { 7 * 96 };
            for back in 0..spans {
                let start = earlier(now, span.length() * back);
                let minutes = span.length().as_secs() / 60;
                let wave = (start.as_second() as f64 / 86_400.0 * TAU).sin() * 0.4 + 0.6;
                let noise = f64::from((back * 7_919 + place as u32 * 13) % 17) / 40.0;
                let attempts = ((wave + noise) * 14.0 * minutes as f64 / (place + 1) as f64) as u64;
                let failed = attempts * u64::from(back % 11 == 3) / 9;
                let took = |base: u64| {
                    Histogram::of((0..attempts.min(60)).map(|n| Duration::from_millis(base + n * n / 9)))
                };
                reports.push(JobMetrics {
                    started: attempts,
                    succeeded: attempts - failed,
                    failed,
                    dead: failed / 6,
                    wait: took(2),
                    run_time: took(90 * (place as u64 + 1)),
                    ..JobMetrics::new(*job, *span, start)
                });
            }
        }
    }
    for portion in reports.chunks(GROUP) {
        store.report_metrics(worker, portion.to_vec()).await.unwrap();
    }
}

pub const MESSAGE: &str = "From: Riqle <orders@riqle.com>\r\nTo: ada@example.com\r\nSubject: =?utf-8?q?Your_order?=\r\n\
    Message-ID: <1@riqle.com>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"b\"\r\n\r\n\
    --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nThank you for your order.\r\n\
    --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<h1 id=\"thanks\">Thank you</h1><p>for your order.</p>\r\n--b--\r\n";

async fn email(store: &dyn Store, number: usize) {
    let (id, sender) = (EmailId::new(), Uuid::new_v4());
    let intent = NewEmail {
        id,
        idempotency_key: format!("key-{id}"),
        rendered: Rendered {
            provider: "resend".to_owned(),
            header_message_id: format!("<{id}@riqle.com>"),
            from: "Riqle <orders@riqle.com>".to_owned(),
            subject: format!("Your order ord_{number}"),
            content: "content".to_owned(),
            message: MESSAGE.as_bytes().to_vec(),
        },
        to: format!("ada{number}@example.com"),
        template: "purchase-confirmation".to_owned(),
        reference: Some(format!("ord_{number}")),
        run_id: Some(RunId::new()),
        step: Some("send-email".to_owned()),
        attempt: 1,
        on_unknown: OnUnknown::Hold,
    };
    store.intend_email(intent).await.unwrap();
    let start = EmailStart { sender, run_id: None, attempt: 1, rendered: None, longest_send: Duration::ZERO };
    store.start_email(id, start).await.unwrap();
    store.email_body_begins(id, sender, 1).await.unwrap();
    let not_sent = |status, detail, error: &str| EmailEnding::NotSent {
        status,
        detail,
        may_have_left: detail == EmailDetail::Held,
        deferred_since: None,
        error: error.to_owned(),
    };
    let ending = match number % 20 {
        3 => not_sent(EmailStatus::Pending, EmailDetail::Held, "the connection broke after the body"),
        7 => not_sent(EmailStatus::Failed, EmailDetail::Rejected, "550 5.1.1 user unknown"),
        _ => EmailEnding::Sent { message_id: format!("re_{id}"), reply: "250 queued".to_owned() },
    };
    store.end_email(id, sender, ending).await.unwrap();
}

/// Schedules of each kind: one that has run, one that is paused, an interval with a name that addresses must not keep as it is.
pub async fn schedules(jobs: &Jobs) {
    let job = "send-welcome-email";
    let cron =
        |expression: &str| Rule::Cron { expression: expression.to_owned(), zone: "Europe/Berlin".to_owned() };
    let every = Rule::Every { period: Duration::from_secs(90), from: Timestamp::UNIX_EPOCH };
    for (name, rule) in
        [("every-morning", cron("0 8 * * 1-5")), ("month's end", cron("0 0 L * *")), ("shop/7 & more", every)]
    {
        let input = Payload::from_json_text(r#"{"shop":7,"note":"the digest of the shop"}"#);
        jobs.schedule_named(NewSchedule::new(job, name, rule, input)).await.unwrap();
    }
    jobs.trigger_schedule(job, "every-morning").await.unwrap();
    jobs.pause_schedule(job, "month's end", "anna", "the books are not closed yet").await.unwrap();
}

/// Another one like this, under the name that it has been given.
pub async fn schedule_as(jobs: &Jobs, like: &ScheduleStatus) {
    let ScheduleStatus { job, name, input, state, .. } = like;
    jobs.schedule_named(NewSchedule::new(job, name, state.rule.clone(), input.clone())).await.unwrap();
}
