//! What a store refuses for its content is written without it, and nothing runs again for it.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use riqle_jobs_conformance::Unreliable;
use riqle_jobs_core::{
    AttemptOutcome, Email, EmailLog, Error, ErrorKind, Inspect, Job, JobError, JobInput, Jobs, Mailbox,
    Memory, Reason, RunContext, RunState, Sender, Worker,
    email::{EmailFilter, EmailStatus, SendOutcome},
    testing::RecordingMailer,
};

use support::{Bench, Scripted, ScriptedInput};

/// A store that can't hold a quotation mark of print.
fn store_without_quotes(bench: &Bench) -> Unreliable {
    Unreliable::new(Arc::new(bench.store.clone()), |_| None).refusing(|text| text.contains('“'))
}

const REFUSAL: &str = "a text holds what the store can't hold";

/// F57
#[tokio::test]
async fn an_error_that_the_store_refuses_is_recorded_without_its_text() {
    let bench = Bench::new();
    let tries = Arc::new(AtomicU32::new(0));
    let tried = Arc::clone(&tries);
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let worker = Worker::new(&store_without_quotes(&bench))
        .register(Scripted::new(move |_, _| {
            tried.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Err(JobError::retry("no “such” order")))
        }))
        .on_dead(move |report| tell.lock().unwrap().push(report.error.clone()));
    let (bad, good) = (bench.enqueue(1).await, bench.enqueue(2).await);
    bench.work_through(&worker).await;

    let expected = format!("the store refused the text of the error: {REFUSAL}");
    for id in [bad, good] {
        let run = bench.run(id).await;
        let found = (run.state, run.reason, run.failures, run.crashes, run.error());
        let exhausted = Some(Reason::RetriesExhausted);
        assert_eq!(found, (RunState::Dead, exhausted, 3, 0, Some(expected.as_str())));
    }
    assert_eq!(tries.load(Ordering::SeqCst), 6);
    assert_eq!(*told.lock().unwrap(), [expected.clone(), expected]);
}

struct Quote;

#[derive(serde::Serialize, serde::Deserialize)]
struct QuoteInput;

impl JobInput for QuoteInput {
    const JOB: &'static str = "quote";
}

impl Job for Quote {
    type Input = QuoteInput;
    type Output = String;

    async fn run(&self, run: &RunContext, _: QuoteInput) -> Result<String, JobError> {
        run.log("plain");
        run.warn("“quoted”");
        run.log("plain again");
        run.progress(1, 2, "half “done”");
        Ok("“to be”".to_owned())
    }
}

/// F57
#[tokio::test]
async fn a_run_whose_output_is_refused_is_dead_and_says_so_and_its_notes_are_kept() {
    let bench = Bench::new();
    let store = store_without_quotes(&bench);
    let id = Jobs::new(&bench.store).enqueue(QuoteInput).await.unwrap().id();
    Worker::new(&store).register(Quote).run_until_idle().await.unwrap();

    let run = bench.run(id).await;
    let error = format!("the store refused the output: {REFUSAL}");
    let found = (run.state, run.reason, run.attempts.len(), run.error());
    assert_eq!(found, (RunState::Dead, Some(Reason::Refused), 1, Some(error.as_str())));
    let notes = bench.store.notes(id).await.unwrap();
    let lines: Vec<_> = notes.lines.iter().map(|line| line.text.as_str()).collect();
    let refused = format!("(the store refused the line: {REFUSAL})");
    assert_eq!(lines, ["plain", refused.as_str(), "plain again"]);
    let progress = notes.progress.unwrap();
    let text = format!("(the store refused the text: {REFUSAL})");
    assert_eq!((progress.done, progress.total, progress.text), (1, 2, text));
}

/// F57
#[tokio::test]
async fn a_settlement_that_is_refused_altogether_counts_as_a_crash_and_the_run_says_why() {
    let bench = Bench::new();
    let (tries, refuses) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(true)));
    let (tried, refusing) = (Arc::clone(&tries), Arc::clone(&refuses));
    // Nothing that an attempt ends with is taken; that the run is dead, is.
    let store = Unreliable::new(Arc::new(bench.store.clone()), |_| None)
        .refusing(move |text| refusing.load(Ordering::SeqCst) && text.starts_with("the store refused the"));
    let store = Unreliable::new(Arc::new(store), |_| None).refusing(|text| text.contains('“'));
    let worker = Worker::new(&store).register(Scripted::new(move |_, _| {
        tried.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Err(JobError::retry("“no”")))
    }));
    let id = bench.enqueue(1).await;
    for _ in 0..4 {
        worker.run_until_idle().await.unwrap();
        bench.clock.advance(Duration::from_secs(30));
    }
    worker.run_until_idle().await.unwrap();

    let run = bench.run(id).await;
    let error = format!("the store refused to record how an attempt ended: {REFUSAL}");
    assert_eq!((run.state, run.reason, run.error()), (RunState::Dead, Some(Reason::Refused), Some(&*error)));
    assert_eq!((run.crashes, run.failures, tries.load(Ordering::SeqCst)), (4, 0, 4));
    let last = run.attempts.last().unwrap();
    assert_eq!((last.outcome, last.error.as_deref()), (AttemptOutcome::Crashed, Some(&*error)));
}

struct Mail {
    sender: Sender,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct MailInput;

impl JobInput for MailInput {
    const JOB: &'static str = "mail";
}

impl Job for Mail {
    type Input = MailInput;
    type Output = ();

    async fn run(&self, run: &RunContext, _: MailInput) -> Result<(), JobError> {
        run.step("send", || async {
            let (from, to) = (Mailbox::parse("a@example.com")?, Mailbox::parse("b@example.com")?);
            let email = Email::new("hello", from, to, "s", "html".to_owned(), "text".to_owned());
            Ok(self.sender.send(&email).await.map(drop)?)
        })
        .await
    }
}

/// F57
#[tokio::test]
async fn a_receipt_whose_text_is_refused_is_recorded_and_the_email_is_sent_once() {
    let bench = Bench::new();
    let store = store_without_quotes(&bench);
    let mailer = RecordingMailer::new();
    mailer.answer_next(SendOutcome::Accepted {
        message_id: "id-“7”".to_owned(),
        reply: "250 “queued”\0".to_owned(),
    });
    let sender = Sender::new(&store, Arc::new(mailer.clone()));
    let id = Jobs::new(&bench.store).enqueue(MailInput).await.unwrap().id();
    Worker::new(&store).register(Mail { sender }).run_until_idle().await.unwrap();

    assert_eq!((bench.run(id).await.state, mailer.tries()), (RunState::Succeeded, 1));
    let row = bench.store.emails(EmailFilter::default()).await.unwrap().remove(0);
    let reply = format!("(the store refused the reply: {REFUSAL})");
    assert_eq!(
        (row.status, row.message_id.as_deref(), row.reply),
        (EmailStatus::Sent, Some("id-7"), Some(reply))
    );
}

#[tokio::test]
async fn a_store_that_is_not_as_it_must_be_is_waited_for_and_no_run_pays_for_it() {
    use riqle_jobs_core::{Error, ErrorKind};
    let memory = Memory::new();
    let left = Arc::new(AtomicU32::new(2));
    let store = Unreliable::new(Arc::new(memory.clone()), |_| None).failing(move |operation| {
        let is_write = matches!(operation, "settle" | "save_steps");
        let still =
            is_write && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        still.then(|| Error::new(ErrorKind::Misconfigured, operation, "the user lacks a right"))
    });
    let tries = Arc::new(AtomicU32::new(0));
    let tried = Arc::clone(&tries);
    let body = Scripted::new(move |run: RunContext, input| {
        let tried = Arc::clone(&tried);
        async move {
            run.step("charge", || async {
                tried.fetch_add(1, Ordering::SeqCst);
                Ok(input)
            })
            .await
        }
    });
    let id = Jobs::new(&memory).enqueue(ScriptedInput(1)).await.unwrap().id();
    Worker::new(&store).register(body).run_until_idle().await.unwrap();
    let run = memory.run(id).await.unwrap().unwrap();
    assert_eq!((run.state, run.failures, run.crashes), (RunState::Succeeded, 0, 0));
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_error_that_passes_costs_neither_the_output_nor_a_steps_result() {
    for failing in ["settle", "save_steps"] {
        let bench = Bench::new();
        let calls = AtomicU32::new(0);
        let store = Unreliable::new(Arc::new(bench.store.clone()), |_| None).failing(move |operation| {
            let fails = operation == failing && calls.fetch_add(1, Ordering::SeqCst) < 2;
            fails.then(|| Error::new(ErrorKind::Corrupt, operation, "tuple concurrently updated"))
        });
        let body = Scripted::new(async |run: RunContext, _| run.step("a", || async { Ok(7) }).await);
        let id = bench.enqueue(1).await;
        bench.work_through(&Worker::new(&store).register(body)).await;
        let run = bench.run(id).await;
        assert_eq!((run.state, run.failures, run.crashes), (RunState::Succeeded, 0, 0), "{failing}");
        assert_eq!(run.output.unwrap().decode::<u64>().unwrap(), 7);
    }
}
