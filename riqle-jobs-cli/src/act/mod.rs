//! The commands that change something, each by core's [`Operator`](riqle_jobs::operator::Operator), which records it.

mod dead;
mod enqueue;
mod many;
mod schedules;

use riqle_jobs::{
    operator::Done,
    store::{WorkerId, WorkerOrder, WorkerReport},
};
use serde::Serialize;

pub(crate) use self::{
    dead::dead,
    enqueue::{enqueue, send_event},
    many::{confirm, failure_of, on_runs},
    schedules::schedules,
};
use crate::{context::Context, failure::Failure, selection::nearest};

/// What was done, as JSON.
#[derive(Serialize)]
struct ActionDone {
    /// The id of its record, for `audit`.
    action: String,
    /// A new run's id, how many, or nothing.
    outcome: String,
}

/// Says that an action was done.
pub(crate) fn acted(line: &str, done: Done, context: &mut Context<'_>) -> Result<(), Failure> {
    let line = if done.outcome.is_empty() { line.to_owned() } else { format!("{line}: {}", done.outcome) };
    context.tell(&line, &ActionDone { action: done.action.to_string(), outcome: done.outcome })
}

pub(crate) async fn pause(queue: &str, why: &str, context: &mut Context<'_>) -> Result<(), Failure> {
    let done = context.operator().await?.pause_queue(queue, why).await;
    match done {
        Err(error) => Err(of_queue(queue, error.into(), context).await),
        Ok(done) => acted(&format!("queue {queue} is paused"), done, context),
    }
}

pub(crate) async fn resume(queue: &str, context: &mut Context<'_>) -> Result<(), Failure> {
    let done = context.operator().await?.resume_queue(queue).await;
    match done {
        Err(error) => Err(of_queue(queue, error.into(), context).await),
        Ok(done) => acted(&format!("queue {queue} is resumed"), done, context),
    }
}

/// Suggests similar queues for an unknown one.
async fn of_queue(queue: &str, failure: Failure, context: &Context<'_>) -> Failure {
    if failure.code != crate::failure::NOT_FOUND {
        return failure;
    }
    let Ok(jobs) = context.jobs().await else { return failure };
    let (Ok(known), Ok(queues)) = (jobs.store().jobs().await, jobs.queues().await) else { return failure };
    let names = known.iter().map(|job| job.declaration.queue.as_str());
    let hint = nearest(queue, names.chain(queues.iter().map(|queue| queue.name.as_str())));
    Failure::not_found(format!("no queue {queue:?}: no registered job uses it, and it has no runs{hint}"))
}

/// A live worker by its id or its label.
pub(crate) async fn drain(worker: &str, undo: bool, context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let (mut workers, now) = (jobs.store().workers().await?, jobs.store().now().await?);
    workers.retain(|known| known.is_alive(now));
    let is_meant = |report: &WorkerReport| {
        report.label == worker || worker.parse::<WorkerId>().is_ok_and(|id| id == report.id)
    };
    let mut meant = workers.iter().filter(|known| is_meant(&known.report));
    let Some(first) = meant.next() else {
        let hint = nearest(worker, workers.iter().map(|known| known.report.label.as_str()));
        return Err(Failure::not_found(format!("no live worker {worker:?}{hint}")));
    };
    if meant.next().is_some() {
        return Err(Failure::refused(format!("several live workers have the label {worker:?}; pass an id")));
    }
    let order = if undo { WorkerOrder::Work } else { WorkerOrder::Drain };
    let done = context.operator().await?.order_worker(first.report.id, order).await?;
    let line = match order {
        WorkerOrder::Work => format!("worker {worker} will claim runs again within 10 s"),
        WorkerOrder::Drain => {
            format!("worker {worker} will stop claiming within 10 s, and finish the runs it has")
        }
    };
    acted(&line, done, context)
}
