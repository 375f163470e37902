//! What becomes of the schedules that are due: starts their runs, or tells why not.

use std::{borrow::Cow, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    tick_failures::TickFailures,
    ticker::{MOST_HELD, OTHERS_WRITE, QueueView},
};
use crate::{
    Enqueued, Error, ErrorKind, RunId, Store, clock,
    jobs::{self, schedules},
    outside::{Instant, sleep_until},
    schedule::{Plan, ScheduleState, Seen, SkipReason, StartedTick, Tick, ToDo},
    store::{
        DueRequest, DueSchedules, LIVE_RUNS_READ, ScheduleAnswer, ScheduleRow, ScheduleWrite, StoredSchedule,
    },
};

/// How many schedules are looked at and written at once.
const BATCH: usize = 500;
/// No further one once those before it have inputs of so many bytes.
const BATCH_BYTES: usize = 4 << 20;
/// So many ticks of a backfill are passed over at once.
const PASSED: usize = 50;

/// A schedule that can't be ticked is looked at again after so long, by whichever worker is first: one that can tick it must
/// find it before its tick counts as missed.
pub(super) const RETRIED_AFTER: Duration = Duration::from_secs(10);

impl QueueView {
    pub(super) async fn due(&self, store: &dyn Store) -> Result<DueSchedules, Error> {
        let request = DueRequest { queue: self.name.clone(), jobs: Arc::clone(&self.jobs), limit: BATCH };
        store.due_schedules(request).await
    }

    /// Writes what becomes of each, if nothing has changed meanwhile.
    pub(super) async fn tick(
        &self,
        store: &dyn Store,
        failures: &TickFailures,
        due: DueSchedules,
    ) -> Result<Ticked, Error> {
        let mut writes = Vec::with_capacity(due.schedules.len());
        let mut bytes = 0;
        for found in &due.schedules {
            bytes += found.row.input.bytes.len();
            if bytes > BATCH_BYTES && !writes.is_empty() {
                break;
            }
            // Rules take their time.
            tokio::task::yield_now().await;
            match self.planned(store, found, due.now).await {
                Ok(write) => writes.extend(write),
                Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                // What can't be read of one, or a zone that this machine does not know, keeps no other.
                Err(error) => {
                    if let Some(times) = self.failing.happened() {
                        let (job, schedule) = (&found.job, &found.name);
                        tracing::error!(%error, job, schedule, times, "can't tick a schedule; will retry");
                    }
                    failures.note(format!("schedule {:?} of job {:?}: {error}", found.name, found.job));
                    let row = ScheduleRow {
                        due_at: Some(clock::later(due.now, RETRIED_AFTER)),
                        ..found.row.clone()
                    };
                    writes.push(ScheduleWrite { row: Some(row), ..found.removal() });
                }
            }
        }
        let answers = match store.write_schedules(writes.clone()).await {
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            // One that is refused must not keep the others.
            Err(_) => {
                let mut answers = Vec::with_capacity(writes.len());
                for write in &writes {
                    answers.push(self.written_alone(store, write, due.now).await?);
                }
                answers
            }
            Ok(answers) => answers,
        };
        let mut skipped = false;
        for (write, answer) in writes.iter().zip(&answers) {
            if let (Some(run), ScheduleAnswer::Written(Some(Enqueued::Existing(holder)))) =
                (&write.run, answer)
                && *holder != run.id
            {
                self.skipped(store, write, SkipReason::Unique, Some(*holder), due.now).await?;
                skipped = true;
            }
        }
        let written = answers.iter().filter(|answer| matches!(answer, ScheduleAnswer::Written(_))).count();
        let next_due = match written == due.schedules.len() && !skipped {
            true => writes.iter().filter_map(|write| write.row.as_ref()?.due_at).min(),
            // Not all is as it was written, or had its turn.
            false => Some(due.now),
        };
        let started = answers.iter().any(|answer| matches!(answer, ScheduleAnswer::Written(Some(_))));
        Ok(Ticked { wrote: written > 0, started, next_due })
    }

    async fn planned(
        &self,
        store: &dyn Store,
        found: &StoredSchedule,
        now: Timestamp,
    ) -> Result<Option<ScheduleWrite>, Error> {
        let Some(job) = self.declarations.get(&found.job) else { return Ok(None) };
        if found.is_a_wish() {
            return granted(store, found).await.map(Some);
        }
        let mut state = found.state()?;
        for run in &state.cancels {
            let cancelled = jobs::cancel(store, *run).await;
            // It may have ended by itself.
            let has_ended = |error: &Error| matches!(error.kind(), ErrorKind::Rejected | ErrorKind::NotFound);
            cancelled.or_else(|error| if has_ended(&error) { Ok(()) } else { Err(error) })?;
        }
        let mut found = Cow::Borrowed(found);
        if let Some(run) = state.backfill.as_ref().and_then(|backfill| backfill.run)
            && found.live.len() >= LIVE_RUNS_READ
            && !found.live.contains(&run)
            && store.run(run).await?.is_some_and(|run| !run.state.is_ended())
        {
            // It was not among those that were read.
            found.to_mut().live.push(run);
        }
        if state.is_filling_in(&found.live) && !pass_kept(store, &found, &mut state).await? {
            return Ok(Some(found.write(&state, None, None)));
        }
        let seen = Seen { job, name: &found.name, input: &found.row.input, live: &found.live, now };
        let Plan { state, run } = seen.plan(state)?;
        Ok(Some(found.write(&state, None, run)))
    }

    /// Where its run is refused, the tick is skipped.
    async fn written_alone(
        &self,
        store: &dyn Store,
        write: &ScheduleWrite,
        now: Timestamp,
    ) -> Result<ScheduleAnswer, Error> {
        let error = match store.write_schedules(vec![write.clone()]).await {
            Ok(answers) => return Ok(answers.first().copied().unwrap_or(ScheduleAnswer::Stale)),
            Err(error)
                if matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Conflict)
                    && write.run.is_some() =>
            {
                error
            }
            Err(error) => return Err(error),
        };
        if let Some(times) = self.refused.happened() {
            let (job, schedule) = (&write.job, &write.name);
            tracing::error!(%error, job, schedule, times, "the run of a tick is refused");
        }
        let without = ScheduleWrite { run: None, ..write.clone() };
        let answers = store.write_schedules(vec![without]).await?;
        if let Some(ScheduleAnswer::Written(_)) = answers.first() {
            self.skipped(store, write, SkipReason::Refused, None, now).await?;
        }
        Ok(answers.first().copied().unwrap_or(ScheduleAnswer::Stale))
    }

    /// Counts a tick that started no run after all, and names the run that stands for it.
    async fn skipped(
        &self,
        store: &dyn Store,
        write: &ScheduleWrite,
        reason: SkipReason,
        holder: Option<RunId>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(run) = &write.run else { return Ok(()) };
        let Some(tick) = &run.tick else { return Ok(()) };
        // It is told, not decided by: who changes the schedule all the time keeps nobody.
        for _ in 0..MOST_HELD {
            let Some(found) = store.schedule(&write.job, &write.name).await? else { return Ok(()) };
            let mut state = found.state()?;
            if let Some(last) = state.last.filter(|last| last.run == run.id) {
                state.last = holder.map(|run| StartedTick { run, ..last });
            }
            let filled_in = state.backfill.as_mut().filter(|backfill| backfill.run == Some(run.id));
            let told = match filled_in {
                // It has its turn again, later.
                Some(backfill) if reason == SkipReason::Unique => {
                    (backfill.done, backfill.run) = (clock::earlier(tick.at, Duration::from_millis(1)), None);
                    let mut told = found.write(&state, None, None);
                    if let Some(row) = &mut told.row {
                        row.due_at = Some(clock::later(now, RETRIED_AFTER));
                    }
                    told
                }
                _ => {
                    state.skip(tick.at, reason, 1);
                    found.write(&state, None, None)
                }
            };
            if let [ScheduleAnswer::Written(_)] = store.write_schedules(vec![told]).await?[..] {
                break;
            }
            sleep_until(Instant::now() + OTHERS_WRITE).await;
        }
        Ok(())
    }
}

/// Does what a transaction of the application has asked for; answers the removal of its row. Where that is lost, it is done
/// again, which changes nothing.
async fn granted(store: &dyn Store, found: &StoredSchedule) -> Result<ScheduleWrite, Error> {
    let done = match found.to_do() {
        Ok(ToDo::Make(new)) => schedules::make(store, &new).await,
        Ok(ToDo::LookAt(name)) => schedules::look_at(store, &found.job, &name).await,
        Err(error) => Err(error),
    };
    match done {
        Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
        Err(error) => {
            tracing::error!(%error, job = found.job, "a change of a schedule that was made in a transaction is refused");
            Ok(found.removal())
        }
        Ok(()) => Ok(found.removal()),
    }
}

/// Passes over the ticks of a backfill whose runs are still kept, some at a time; answers whether it has come to another.
async fn pass_kept(
    store: &dyn Store,
    found: &StoredSchedule,
    state: &mut ScheduleState,
) -> Result<bool, Error> {
    let times = state.rule.times()?;
    let Some(backfill) = &mut state.backfill else { return Ok(true) };
    for _ in 0..PASSED {
        let Some(at) = times.next_after(backfill.done).filter(|tick| *tick <= backfill.until) else {
            return Ok(true);
        };
        let tick = Tick { schedule: found.name.clone(), at };
        if store.run(tick.run_id(&found.job)).await?.is_none() {
            return Ok(true);
        }
        (backfill.done, backfill.run) = (at, None);
    }
    Ok(false)
}

/// What came of a look at what is due.
pub(super) struct Ticked {
    /// Anything was written.
    pub(super) wrote: bool,
    /// Runs stand for ticks.
    pub(super) started: bool,
    /// When the first of them is due again.
    pub(super) next_due: Option<Timestamp>,
}
