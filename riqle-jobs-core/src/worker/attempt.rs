//! One attempt in one of the worker's slots.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::time::sleep;
use tracing::{Instrument, Span};

use super::{
    buffer::HeldRun,
    metrics::Measured,
    panic_hook,
    running::{RunningJob, Shared},
    verdict::{self, AttemptEnd},
};
use crate::{
    ClaimedRun, JobError, RetryPolicy, RunContext, StopReason,
    run::{OfWorker, RunNoteBuffer},
    trace::spans,
};

/// One of the worker's slots: runs one attempt after another until the buffer is closed.
pub(super) async fn run_slot(shared: Arc<Shared>) {
    while let Some(held) = shared.buffer.pop().await {
        let used = shared.process.use_slot();
        run_attempt(&shared, held).await;
        drop(used);
        shared.buffer.slot_is_free();
    }
}

async fn run_attempt(shared: &Shared, held: HeldRun) {
    let Some((name, RunningJob { job, metrics })) = shared.jobs.get_key_value(held.run.job.as_str()) else {
        // A store must not hand it out; giving it back loses nothing.
        tracing::error!(job = held.run.job, "claimed a job that is not registered");
        return shared.settler.give_back(&held.run).await;
    };
    let measured = Measured::begin(Arc::clone(name), Arc::clone(metrics), &held);
    shared.meter.begun(&measured, held.run.due_at);
    let HeldRun { run, cancellation, slot: _slot, .. } = held;
    if run.crashes > verdict::MAX_CRASHES {
        let refused = shared.settler.refusal_of(&run).await;
        let dead = verdict::settle(&run, &RetryPolicy::none(), AttemptEnd::CrashedTooOften { refused });
        return shared.settler.settle(&run, dead, false, Some(measured.end())).await;
    }
    let notes = RunNoteBuffer::new(run.lease.clone(), Arc::clone(&shared.unwritten));
    let context = RunContext::new(
        &run,
        OfWorker {
            clock: shared.store.clock(),
            limits: shared.limits,
            saver: Arc::clone(&shared.step_saver),
            mailers: Arc::clone(&shared.mailers),
            metrics: Arc::clone(metrics),
        },
        job.unreadable_step,
        Arc::new(notes),
        Arc::clone(&cancellation),
    );
    let span = spans::attempt(&run);
    let body = async {
        match AssertUnwindSafe(job.body.run(&context, &run.input)).catch_unwind().await {
            Ok(Ok(Ok(output))) => AttemptEnd::Returned(output),
            Ok(Ok(Err(error))) => AttemptEnd::Failed(error),
            Ok(Err(unreadable)) => AttemptEnd::InputUnreadable(unreadable.to_string()),
            Err(payload) => AttemptEnd::Panicked(panic_hook::describe(payload)),
        }
    };
    let timeout = job.timeout;
    let mut body = Box::pin(body.instrument(span.clone()));
    let end = tokio::select! {
        biased;
        end = &mut body => Some(end),
        () = sleep(timeout) => Some(AttemptEnd::TimedOut(timeout)),
        () = shared.give_up.cancelled() => Some(AttemptEnd::GivenBack),
        () = async {
            // Nothing more can be written, or the run is dead whatever the body returns: it has the grace time to notice.
            cancellation.until_over().await;
            sleep(shared.grace).await;
        } => cancellation.lost().is_none().then_some(AttemptEnd::GivenBack),
    };
    // What the body holds is dropped here; a panic in that must not take the slot with it.
    if let Err(panic) = panic_hook::drop_caught(body) {
        let (id, queue) = (run.lease.run, &*run.lease.queue);
        span.in_scope(
            || tracing::error!(run = %id, job = run.job, queue, panic, "a body panicked while being dropped"),
        );
    }
    let Some(end) = end else { return lease_is_lost(shared, &run, &span, cancellation.lost()) };
    // Of tasks that the body has left behind: no step begins any more, and those that run have the grace time.
    cancellation.fire(StopReason::Ended);
    tokio::select! {
        biased;
        () = context.steps().until_none_runs() => {}
        () = sleep(shared.grace) => {}
        () = shared.give_up.cancelled() => {}
        () = cancellation.until_lost() => {}
    }
    // What a step has done is done, even if no caller waits for it any more.
    tokio::select! {
        biased;
        () = context.steps().until_saved() => {}
        () = cancellation.until_lost() => {}
    }
    if let why @ Some(_) = cancellation.lost() {
        return lease_is_lost(shared, &run, &span, why);
    }
    let end = match context.steps().doomed() {
        Some(message) => AttemptEnd::Failed(JobError::dead(message)),
        None => end,
    };
    if let Some(error) = end.error_type() {
        spans::failed(&span, error);
    }
    let measured = measured.end();
    let alert = matches!(&end, AttemptEnd::Failed(error) if error.wants_alert());
    shared.settler.settle(&run, verdict::settle(&run, &job.policy, end), alert, Some(measured)).await;
}

/// Ends an attempt under whose lease nothing can be written any more.
fn lease_is_lost(shared: &Shared, run: &ClaimedRun, span: &Span, why: Option<StopReason>) {
    shared.counters.lease_lost();
    if why == Some(StopReason::LeaseLost) {
        shared.process.lease_lost();
        spans::failed(span, "lease-lost");
        let (id, queue) = (run.lease.run, &*run.lease.queue);
        span.in_scope(
            || tracing::warn!(run = %id, job = run.job, queue, "the lease was lost; the attempt's end is not recorded"),
        );
    }
    shared.settler.drop_lease(run);
}
