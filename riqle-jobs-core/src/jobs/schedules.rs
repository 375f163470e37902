//! Makes, reads and operates schedules: each change is decided here, and made if nothing has changed meanwhile.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use crate::{
    Enqueued, Error, ErrorKind, JobInput, Jobs, NewRun, Payload, RunId, Store,
    limits::{TEXT_BYTES, check_key, check_lacking, clean_text},
    schedule::{NewSchedule, Schedule, ScheduleState, StartedTick, Tick, Times},
    store::{
        JobDeclaration, Pause, ScheduleAnswer, ScheduleFilter, ScheduleRow, ScheduleWrite, StoredSchedule,
    },
    trace::spans,
};

/// A schedule as it stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ScheduleStatus {
    /// The job's name.
    pub job: String,
    /// Its queue.
    pub queue: String,
    /// Its name, unique in the job.
    pub name: String,
    /// The input of its runs.
    pub input: Payload,
    /// Its runs that have not ended, newest first; at most 100.
    pub live: Vec<RunId>,
    /// Everything else.
    pub state: ScheduleState,
}

impl<D> Jobs<D> {
    /// Makes a schedule, or edits the one of this name. Made again as it was made before it stays as it is, whatever operators
    /// have done to it since. A changed rule counts from now.
    ///
    /// # Errors
    /// `Rejected` for an expression, a zone, an interval, a name or an input that is wrong, for a rule that never comes, and where
    /// the job's code declares a schedule of this name; `NotFound` for a job that no worker and no producer has announced;
    /// `Unavailable`.
    pub async fn schedule<I: JobInput>(&self, schedule: Schedule<I>) -> Result<(), Error> {
        self.schedule_named(schedule.erase()?).await
    }

    /// As [`schedule`](Self::schedule), for a job whose name is known only at run time.
    ///
    /// # Errors
    /// As [`schedule`](Self::schedule).
    pub async fn schedule_named(&self, new: NewSchedule) -> Result<(), Error> {
        make(&**self.store(), &new).await
    }

    /// A page of schedules, by job and name. One that can't be read, such as of a newer build, is left out, and logged.
    ///
    /// # Errors
    /// As [`Schedules::schedules`](crate::store::Schedules::schedules).
    pub async fn schedules(&self, filter: ScheduleFilter) -> Result<Vec<ScheduleStatus>, Error> {
        let found = self.store().schedules(filter).await?.into_iter();
        Ok(found
            .filter_map(|found| status(found).inspect_err(|error| tracing::error!(%error, "left out")).ok())
            .collect())
    }

    /// One schedule.
    ///
    /// # Errors
    /// As [`Schedules::schedule`](crate::store::Schedules::schedule).
    pub async fn schedule_status(&self, job: &str, name: &str) -> Result<Option<ScheduleStatus>, Error> {
        let found = self.store().schedule(job, name).await?;
        found.filter(|found| ScheduleFilter::default().lists(&found.job, &found.name)).map(status).transpose()
    }

    /// Stops the ticks of a schedule, in the name of `by`; its runs go on. A paused one is left as is.
    ///
    /// # Errors
    /// `NotFound`; `Rejected` if `by` is empty or too long; `Unavailable`.
    pub async fn pause_schedule(&self, job: &str, name: &str, by: &str, why: &str) -> Result<(), Error> {
        check_key("`by`", by).map_err(|error| error.of("pause_schedule"))?;
        let change = |state: ScheduleState, now| {
            let pause = Pause { by: by.to_owned(), why: clean_text(why, TEXT_BYTES), at: now };
            Ok(state.pause.is_none().then(|| ScheduleState { pause: Some(pause), ..state.clone() }))
        };
        change_state(&**self.store(), "pause_schedule", job, name, change).await
    }

    /// Lets a paused schedule tick again, from now on: the ticks of the meantime are none.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn resume_schedule(&self, job: &str, name: &str) -> Result<(), Error> {
        let change = |state: ScheduleState, now| {
            let times = state.rule.times().ok();
            Ok(state.pause.is_some().then(|| state.resumed(times.as_ref(), now)))
        };
        change_state(&**self.store(), "resume_schedule", job, name, change).await
    }

    /// Starts a run of a schedule now, whatever its rule says and whether or not it is paused; its tick is the time of this
    /// call. Returns its id, or that of the run that holds its unique key.
    ///
    /// # Errors
    /// `NotFound` of the schedule, or of a job that is not registered; as [`Queue::enqueue`](crate::Queue::enqueue).
    pub async fn trigger_schedule(&self, job: &str, name: &str) -> Result<RunId, Error> {
        let store = &**self.store();
        let declaration = declared("trigger_schedule", store, job).await?;
        let id = RunId::new();
        let enqueued = change(store, "trigger_schedule", job, name, |found, now| {
            let tick = Tick { schedule: name.to_owned(), at: now };
            let mut run = tick.run(&declaration, found.row.input.clone()).queue(&found.queue);
            run.id = id;
            // It is written with its schedule, and so at once.
            drop(spans::enqueue(std::slice::from_mut(&mut run)));
            let last = Some(StartedTick { tick: now, run: id });
            Ok(Some(found.write(&ScheduleState { last, ..found.state()? }, None, Some(run))))
        });
        let started = enqueued.await?.map_or(id, Enqueued::id);
        if started != id {
            // Another run holds its unique key, and stands for it.
            let with_holder = |state: ScheduleState, _| {
                let last = state.last.filter(|last| last.run == id);
                let last = last.map(|last| StartedTick { run: started, ..last });
                Ok(last.map(|last| ScheduleState { last: Some(last), ..state }))
            };
            change_state(store, "trigger_schedule", job, name, with_holder).await?;
        }
        Ok(started)
    }

    /// Fills in the ticks of a range, both ends included, in the name of `by`: one run after the other, whatever the schedule
    /// does about missed ticks and overlaps. A tick whose run is still kept starts none again.
    ///
    /// # Errors
    /// `NotFound`; `Rejected` where the range has no tick, over 10,000 of them, or ends in the future; `Conflict` while another
    /// one is filled in; `Unavailable`.
    pub async fn backfill_schedule(
        &self,
        job: &str,
        name: &str,
        from: Timestamp,
        until: Timestamp,
        by: &str,
    ) -> Result<(), Error> {
        check_key("`by`", by).map_err(|error| error.of("backfill_schedule"))?;
        let change = |state: ScheduleState, now| {
            let times = state.rule.times()?;
            state.backfilled(&times, (from, until), by, now).map(Some)
        };
        change_state(&**self.store(), "backfill_schedule", job, name, change).await
    }

    /// Gives a schedule another rule, input or policy, in the name of `by`. It stays so until its maker says something new.
    ///
    /// # Errors
    /// `NotFound`; as [`schedule`](Self::schedule).
    pub async fn edit_schedule(&self, new: NewSchedule, by: &str) -> Result<(), Error> {
        check_key("`by`", by).map_err(|error| error.of("edit_schedule"))?;
        let store = &**self.store();
        let job = declared("edit_schedule", store, &new.job).await?;
        check_lacking(&NewRun::of_declared(&job, new.input.clone())?)
            .map_err(|error| error.of("edit_schedule"))?;
        let edited = change(store, "edit_schedule", &new.job, &new.name, |found, now| {
            let (state, limits) = (found.state()?, store.limits());
            // Who looks at it may not know its zone: that is no reason not to edit the rest.
            let times = match state.rule == new.rule {
                true => new.check_settings(&limits).map(|()| None)?,
                false => Some(new.checked_to_come(&limits, now)?),
            };
            let state = state.edited(&new, times.as_ref(), by, now);
            Ok(Some(found.write(&state, Some(new.input.clone()), None)))
        });
        edited.await.map(drop)
    }

    /// Removes a schedule; its runs go on. One that its job's code declares stays away until the code says something new.
    ///
    /// # Errors
    /// `Unavailable`. A missing one is fine.
    pub async fn remove_schedule(&self, job: &str, name: &str) -> Result<(), Error> {
        remove(&**self.store(), job, name).await
    }
}

fn status(stored: StoredSchedule) -> Result<ScheduleStatus, Error> {
    let state = stored.state()?;
    let StoredSchedule { queue, job, name, live, row: ScheduleRow { input, .. }, .. } = stored;
    Ok(ScheduleStatus { job, queue, name, input, live, state })
}

async fn declared(operation: &'static str, store: &dyn Store, job: &str) -> Result<JobDeclaration, Error> {
    let known = store.jobs().await?.into_iter().find(|known| known.declaration.name == job);
    known.map(|known| known.declaration).ok_or_else(|| {
        let message = format!("no job {job:?} is registered: start a worker of it, or declare it");
        Error::new(ErrorKind::NotFound, operation, message)
    })
}

/// Makes a schedule at run time, of a job that is registered.
pub(crate) async fn make(store: &dyn Store, new: &NewSchedule) -> Result<(), Error> {
    let times = new.checked(&store.limits())?;
    let job = declared("schedule", store, &new.job).await?;
    check_lacking(&NewRun::of_declared(&job, new.input.clone())?).map_err(|error| error.of("schedule"))?;
    make_of(store, &NewSchedule { queue: job.queue, ..new.clone() }, &times, false).await
}

/// Makes a schedule; the job's code where it `is_declared`: then one that is over is fine.
pub(super) async fn make_of(
    store: &dyn Store,
    new: &NewSchedule,
    times: &Times,
    is_declared: bool,
) -> Result<(), Error> {
    for _ in 0..MOST_TRIES {
        let now = store.wall_time().await?;
        let found = store.schedule(&new.job, &new.name).await?;
        let write = match &found {
            None => Some(first(new, &ScheduleState::new(new, is_declared, times, now))),
            Some(found) => {
                let state = found.state()?;
                if state.is_declared && !is_declared {
                    let message =
                        format!("the code of job {:?} declares the schedule {:?}", new.job, new.name);
                    return Err(Error::new(ErrorKind::Rejected, "schedule", message));
                }
                state
                    .made_again(new, is_declared, times, now)
                    .map(|state| found.write(&state, Some(new.input.clone()), None))
            }
        };
        let Some(write) = write else { return Ok(()) };
        if !is_declared {
            new.checked_to_come(&store.limits(), now)?;
        }
        if !matches!(store.write_schedules(vec![write]).await?[..], [ScheduleAnswer::Stale]) {
            return Ok(());
        }
        sleep(TRIED_AGAIN_AFTER).await;
    }
    Err(contended("schedule", &new.job, &new.name))
}

/// The first write of a schedule.
fn first(new: &NewSchedule, state: &ScheduleState) -> ScheduleWrite {
    let unwritten = StoredSchedule {
        queue: new.queue.clone(),
        job: new.job.clone(),
        name: new.name.clone(),
        version: 0,
        row: ScheduleRow { due_at: None, wakes: false, input: new.input.clone(), state: String::new() },
        live: Vec::new(),
    };
    ScheduleWrite { expects: None, ..unwritten.write(state, None, None) }
}

/// Who changes a schedule that is changed at the same time tries again, so often.
pub(super) const MOST_TRIES: usize = 50;
/// And waits in between for who has changed it.
pub(super) const TRIED_AGAIN_AFTER: Duration = Duration::from_millis(10);

pub(super) fn contended(operation: &'static str, job: &str, name: &str) -> Error {
    let message = format!(
        "the schedule {name:?} of job {job:?} keeps changing, or a transaction holds the unique key of its run"
    );
    Error::new(ErrorKind::Unavailable, operation, message)
}

/// Changes a schedule, if `write` answers a change. Answers what became of the run in it.
pub(super) async fn change(
    store: &dyn Store,
    operation: &'static str,
    job: &str,
    name: &str,
    mut write: impl FnMut(&StoredSchedule, Timestamp) -> Result<Option<ScheduleWrite>, Error> + Send,
) -> Result<Option<Enqueued>, Error> {
    for _ in 0..MOST_TRIES {
        let now = store.wall_time().await?;
        let found = store.schedule(job, name).await?.filter(|found| !found.name.is_empty());
        let found = found.ok_or_else(|| {
            let message = format!("job {job:?} has no schedule {name:?}");
            Error::new(ErrorKind::NotFound, operation, message)
        })?;
        let Some(write) = write(&found, now).map_err(|error| error.of(operation))? else { return Ok(None) };
        if let Some(ScheduleAnswer::Written(run)) = store.write_schedules(vec![write]).await?.first() {
            return Ok(*run);
        }
        sleep(TRIED_AGAIN_AFTER).await;
    }
    Err(contended(operation, job, name))
}

async fn change_state(
    store: &dyn Store,
    operation: &'static str,
    job: &str,
    name: &str,
    mut to: impl FnMut(ScheduleState, Timestamp) -> Result<Option<ScheduleState>, Error> + Send,
) -> Result<(), Error> {
    let changed = change(store, operation, job, name, |found, now| {
        Ok(to(found.state()?, now)?.map(|state| found.write(&state, None, None)))
    });
    changed.await.map(drop)
}

/// Has one looked at again, whose run has ended without telling it.
pub(crate) async fn look_at(store: &dyn Store, job: &str, name: &str) -> Result<(), Error> {
    let looked = change_state(store, "schedule", job, name, |state, _| Ok(Some(state)));
    match looked.await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

async fn remove(store: &dyn Store, job: &str, name: &str) -> Result<(), Error> {
    let removed = change(store, "remove_schedule", job, name, |found, _| {
        let state = found.state()?;
        if !state.is_declared {
            return Ok(Some(found.removal()));
        }
        let removed = ScheduleState { is_removed: true, owed: None, backfill: None, ..state.clone() };
        Ok((!state.is_removed).then(|| found.write(&removed, None, None)))
    });
    match removed.await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map(drop),
    }
}
