//! What is refused is refused whole, with the field and the limit.

use riqle_jobs_core::{Enqueued, Error, ErrorKind, NewRun, Payload, RunFilter};

use crate::{Harness, given::*};

/// The refusal of a run that stands second in a group of which nothing may be stored.
async fn refusal(harness: &dyn Harness, run: NewRun) -> Error {
    let store = harness.store();
    let error = store.enqueue(vec![run_of(GREET), run, run_of(GREET)]).await.unwrap_err();
    assert_eq!((error.kind(), error.index()), (ErrorKind::Rejected, Some(1)));
    assert_eq!(store.runs(RunFilter::default()).await.unwrap(), []);
    error
}

/// A JSON text of so many bytes.
fn text_of(bytes: usize) -> Payload {
    json(&format!("\"{}\"", "x".repeat(bytes - 2)))
}

pub async fn a_job_name_has_1_to_128_bytes(harness: &dyn Harness) {
    let store = harness.store();
    let long = refusal(harness, run_of(&"j".repeat(129))).await;
    let empty = refusal(harness, run_of("")).await;

    assert_eq!(long.message(), "job has 129 bytes; the limit is 128");
    assert_eq!(empty.message(), "job is empty");
    let longest = "ü".repeat(64);
    let id = enqueued(&*store, run_of(&longest)).await;
    assert_eq!(claimed_ids(&*store, &[&longest]).await, [id]);
}

pub async fn a_queue_name_has_1_to_128_bytes(harness: &dyn Harness) {
    let store = harness.store();
    let in_queue = |queue: &str| NewRun { queue: queue.to_owned(), ..run_of(GREET) };
    let long = store.enqueue(vec![in_queue(&"q".repeat(129))]).await.unwrap_err();
    let empty = store.enqueue(vec![in_queue("")]).await.unwrap_err();

    assert_eq!((long.kind(), long.index()), (ErrorKind::Rejected, Some(0)));
    assert_eq!(long.message(), "queue has 129 bytes; the limit is 128");
    assert_eq!(empty.message(), "queue is empty");
    let longest = in_queue(&"q".repeat(128));
    let id = enqueued(&*store, longest.clone()).await;
    assert_eq!(seen(&*store, id).await.queue, longest.queue);
}

pub async fn a_unique_key_has_1_to_512_bytes(harness: &dyn Harness) {
    let long = refusal(harness, run_of(GREET).unique("k".repeat(513))).await;
    let empty = refusal(harness, run_of(GREET).unique("")).await;

    assert_eq!(long.message(), "unique key has 513 bytes; the limit is 512");
    assert_eq!(empty.message(), "unique key is empty");
    let longest = "k".repeat(512);
    let id = enqueued(&*harness.store(), run_of(GREET).unique(&longest)).await;
    assert_eq!(seen(&*harness.store(), id).await.unique_key, Some(longest));
}

pub async fn a_reference_has_1_to_512_bytes(harness: &dyn Harness) {
    let long = refusal(harness, run_of(GREET).reference("r".repeat(513))).await;
    let empty = refusal(harness, run_of(GREET).reference("")).await;

    assert_eq!(long.message(), "reference has 513 bytes; the limit is 512");
    assert_eq!(empty.message(), "reference is empty");
    let longest = "r".repeat(512);
    let id = enqueued(&*harness.store(), run_of(GREET).reference(&longest)).await;
    assert_eq!(seen(&*harness.store(), id).await.reference, Some(longest));
}

pub async fn names_and_keys_hold_no_control_character(harness: &dyn Harness) {
    let refused = [
        (run_of("gre\net"), "job contains a control character"),
        (run_of("gre\0et"), "job contains a control character"),
        (run_of(GREET).unique("a\tb"), "unique key contains a control character"),
        (run_of(GREET).reference("a\u{7f}b"), "reference contains a control character"),
        (run_of(GREET).reference("a\u{85}b"), "reference contains a control character"),
    ];
    for (run, message) in refused {
        assert_eq!(refusal(harness, run).await.message(), message);
    }
}

pub async fn f14_an_input_over_the_limit_is_refused_with_limit_and_size(harness: &dyn Harness) {
    let store = harness.store();
    let limit = store.limits().input_bytes;
    assert_eq!(limit, 1_048_576);

    let error = refusal(harness, NewRun { input: text_of(limit + 1), ..run_of(GREET) }).await;

    assert_eq!(error.message(), "input has 1048577 bytes; the limit is 1048576");
    let id = enqueued(&*store, NewRun { input: text_of(limit), ..run_of(GREET) }).await;
    assert_eq!(seen(&*store, id).await.input, text_of(limit));
}

pub async fn a_step_result_and_an_output_at_the_limit_are_kept(harness: &dyn Harness) {
    let store = harness.store();
    let limit = store.limits().result_bytes;
    let id = enqueued(&*store, run_of(GREET)).await;
    let claim = claimed(&*store).await;

    saved(&*store, riqle_jobs_core::StepSave { result: text_of(limit), ..step(&claim, "x", "1") }).await;
    let ending = riqle_jobs_core::Ending::Succeeded { output: text_of(limit) };
    settled(&*store, riqle_jobs_core::Settlement { ending, ..succeeds(&claim) }).await;

    assert_eq!(store.steps(id).await.unwrap()[0].result, text_of(limit));
    assert_eq!(seen(&*store, id).await.output, Some(text_of(limit)));
}

pub async fn a_group_at_the_limit_is_stored(harness: &dyn Harness) {
    let store = harness.store();
    let limit = store.limits().group_runs;
    let runs: Vec<_> = (0..limit).map(|_| run_of(GREET)).collect();
    let expected: Vec<_> = runs.iter().map(|run| Enqueued::New(run.id)).collect();

    assert_eq!(store.enqueue(runs).await.unwrap(), expected);
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.iter().map(|count| count.runs).collect::<Vec<_>>(), [limit as u64]);
}

pub async fn a_group_over_the_limit_is_refused(harness: &dyn Harness) {
    let store = harness.store();
    assert_eq!(store.limits().group_runs, 10_000);

    let error = store.enqueue((0..10_001).map(|_| run_of(GREET)).collect()).await.unwrap_err();

    assert_eq!((error.kind(), error.index()), (ErrorKind::Rejected, None));
    assert_eq!(error.message(), "a group has at most 10000 runs; this one has 10001");
    assert_eq!(store.counts().await.unwrap(), []);
}

pub async fn a_group_is_of_one_queue(harness: &dyn Harness) {
    let error = refusal(harness, NewRun { queue: "reports".to_owned(), ..run_of(GREET) }).await;
    assert_eq!(error.message(), r#"a group must be of one queue; found "mail" and "reports""#);
}
