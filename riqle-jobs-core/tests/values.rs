//! What is handed on is what was saved and read back, and what can't be is refused at once.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use proptest::prelude::*;
use riqle_jobs_core::{
    Enqueued, ErrorKind, Inspect, Job, JobError, JobInput, Jobs, Memory, Payload, Reason, RunContext,
    RunFilter, RunState, Worker, store::NewEvent, testing,
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use support::{Bench, Scripted};

/// Takes and returns anything.
struct Echo;

#[derive(serde::Serialize, serde::Deserialize)]
struct EchoInput(Vec<f64>);

impl JobInput for EchoInput {
    const JOB: &'static str = "echo";
}

impl Job for Echo {
    type Input = EchoInput;
    type Output = f64;

    async fn run(&self, _: &RunContext, EchoInput(input): EchoInput) -> Result<f64, JobError> {
        Ok(input.iter().sum::<f64>() / 0.0_f64.max(input.len() as f64 - 1.0))
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Count(HashMap<u32, String>);

impl JobInput for Count {
    const JOB: &'static str = "count";
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

/// Runs one step that returns `value`; answers with the run's state, its error, and how often the step was run.
async fn stepped<T>(value: T) -> (RunState, Option<Reason>, String, u32)
where
    T: Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static,
{
    let (bench, done) = (Bench::new(), Arc::new(AtomicU32::new(0)));
    let doing = Arc::clone(&done);
    let worker = Worker::new(&bench.store).register(Scripted::new(move |run: RunContext, _| {
        let (value, done) = (value.clone(), Arc::clone(&doing));
        async move {
            // The body swallows the error.
            let _ = run
                .step("odd", || async {
                    done.fetch_add(1, Ordering::SeqCst);
                    Ok(value)
                })
                .await;
            Ok(1)
        }
    }));
    let id = bench.enqueue(1).await;
    bench.work_through(&worker).await;
    let run = bench.run(id).await;
    (run.state, run.reason, run.error().unwrap_or_default().to_owned(), done.load(Ordering::SeqCst))
}

/// Panics while it is written.
#[derive(Clone, Deserialize)]
struct Broken;

impl Serialize for Broken {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("a bug of the type's own")
    }
}

/// F54
#[tokio::test]
async fn a_step_whose_result_does_not_read_back_is_dead_at_once_and_not_done_again() {
    let results = [
        (stepped(f64::NAN).await, "does not decode into f64"),
        (stepped(vec![1.0, f64::INFINITY]).await, "does not decode into alloc::vec::Vec<f64>"),
        (stepped(nested(200)).await, "recursion limit exceeded"),
        (stepped(HashMap::from([((1, 2), 3)])).await, "can't be written as JSON"),
        (stepped(Broken).await, "a bug of the type's own"),
        (stepped("x".repeat(1 << 20)).await, "step result has 1048578 bytes; the limit is 1048576"),
    ];
    for ((state, reason, error, times), expected) in results {
        assert_eq!((state, reason, times), (RunState::Dead, Some(Reason::Permanent), 1), "{error}");
        assert!(error.contains(expected), "{error}");
        assert!(error.starts_with("step \"odd\" ran, but its result can't be saved: "), "{error}");
    }
}

/// F54
#[tokio::test]
async fn what_reads_back_as_another_value_is_handed_on_so_in_the_first_attempt_too() {
    let (bench, seen) = (Bench::new(), Arc::new(Mutex::new(Vec::new())));
    let see = Arc::clone(&seen);
    let worker = Worker::new(&bench.store).register(Scripted::new(move |run: RunContext, _| {
        let see = Arc::clone(&see);
        async move {
            let result: Option<Option<u32>> = run.step("odd", || async { Ok(Some(None)) }).await?;
            see.lock().unwrap().push(result);
            if run.attempt() == 1 { Err(JobError::retry("once more")) } else { Ok(1) }
        }
    }));
    bench.enqueue(1).await;
    bench.work_through(&worker).await;
    assert_eq!(*seen.lock().unwrap(), [None, None]);
}

/// F54
#[tokio::test]
async fn an_input_that_does_not_read_back_is_refused_when_it_is_enqueued() {
    let store = Memory::new();
    let jobs = Jobs::new(&store);
    let refused = jobs.enqueue(EchoInput(vec![f64::NAN])).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected);
    assert!(
        refused.message().starts_with("the value does not survive JSON: what was written does not decode"),
        "{refused}"
    );
    let refused = jobs.enqueue_all(([vec![1.0], vec![f64::INFINITY]]).map(EchoInput)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Rejected);
    assert_eq!(store.runs(RunFilter::default()).await.unwrap(), []);
}

/// F54
#[tokio::test]
async fn an_output_that_does_not_read_back_is_dead_and_never_succeeded_without_it() {
    let store = Memory::new();
    let id = Jobs::new(&store).enqueue(EchoInput(vec![1.0])).await.unwrap().id();
    Worker::new(&store).register(Echo).run_until_idle().await.unwrap();
    let run = store.run(id).await.unwrap().unwrap();
    assert_eq!((run.state, run.reason, run.output), (RunState::Dead, Some(Reason::Permanent), None));
    assert!(run.attempts[0].error.as_ref().unwrap().contains("does not survive JSON"), "{:?}", run.attempts);
}

/// F54
#[tokio::test]
async fn event_data_that_json_can_not_say_or_no_job_reads_is_refused() {
    #[derive(Serialize)]
    struct Price {
        cents: Option<f64>,
    }
    let jobs = Jobs::new(&Memory::new());
    let price = Price { cents: Some(f64::NAN) };
    let refused = jobs.send_event("price/set", &price).await.unwrap_err();
    let message = "event data contains NaN or an infinite number, which JSON cannot represent";
    assert_eq!((refused.kind(), refused.message()), (ErrorKind::Rejected, message));
    let refused = jobs.send_event("price/set", &nested(128)).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.message()),
        (ErrorKind::Rejected, "event data is nested deeper than 128 levels")
    );
    jobs.send_event("price/set", &nested(127)).await.unwrap();
    jobs.send_event("price/set", &serde_json::json!({"text": "[[".repeat(200) + "\\\""})).await.unwrap();
    for (id, text) in
        ["{\"x\":1e999}", "not json", "{\"x\":\"\\ud800\"}", "{} {}", "", "\u{feff}1"].iter().enumerate()
    {
        let data = Payload::from_json_text(*text);
        let event = NewEvent::new(id.to_string(), "price/set", data);
        let refused = jobs.send_events(vec![event]).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Rejected, "{text}");
        assert!(refused.message().contains("event data is not JSON that a job can read: "), "{refused}");
    }
    // As deep as a job reads.
    assert!(Payload::json(&nested(127)).unwrap().decode::<Value>().is_ok());
    assert!(Payload::json(&nested(128)).unwrap().decode::<Value>().is_err());
}

/// F55
#[tokio::test]
async fn an_input_with_a_map_is_the_same_input_each_time() {
    let (store, input) = (Memory::new(), || (0..20).map(|n| (n, n.to_string())).collect());
    let jobs = Jobs::new(&store);
    let first = jobs.enqueue(Count(input())).unique("all").await.unwrap().id();
    for _ in 0..20 {
        assert_eq!(jobs.enqueue(Count(input())).unique("all").await.unwrap(), Enqueued::Existing(first));
    }
    let other = jobs.enqueue(Count(HashMap::new())).unique("all").await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Measure {
    double: f64,
    single: f32,
    whole: i64,
}

proptest! {
    /// F54
    #[test]
    fn a_finite_number_reads_back_as_it_was(double in any::<f64>(), single in any::<f32>(), whole in any::<i64>()) {
        prop_assume!(double.is_finite() && single.is_finite());
        let measure = Measure { double, single, whole };
        let (_, read) = Payload::json_of(&measure).unwrap();
        prop_assert_eq!(read, measure);
    }
}

/// F54
#[tokio::test]
async fn a_float_is_kept_to_its_last_bit() {
    let bench = Bench::new();
    let worker = Worker::new(&bench.store).register(Scripted::new(async |run: RunContext, _| {
        let price = run.step("price", || async { Ok(0.914_615_523_521_910_7_f64) }).await?;
        assert_eq!(price, 0.914_615_523_521_910_7);
        Ok(price.to_bits())
    }));
    let id = bench.enqueue(1).await;
    bench.work_through(&worker).await;
    let expected = 0.914_615_523_521_910_7_f64.to_bits();
    assert_eq!(testing::output::<u64>(&bench.store, id).await.unwrap(), expected);
}

#[test]
fn a_value_that_can_not_exist_makes_a_dead_letter_and_other_errors_are_retried() {
    fn address(text: &str) -> Result<riqle_jobs_core::Mailbox, JobError> {
        Ok(riqle_jobs_core::Mailbox::parse(text)?)
    }
    fn away() -> Result<(), JobError> {
        Err(riqle_jobs_core::Error::new(ErrorKind::Rejected, "commit", "rolled back"))?
    }
    assert!(format!("{:?}", address("nobody").unwrap_err()).starts_with("Dead: address: "));
    assert_eq!(format!("{:?}", away().unwrap_err()), "Retry: commit: rolled back");
}
