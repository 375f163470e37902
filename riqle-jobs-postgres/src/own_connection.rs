//! What an application does in a transaction that it has begun itself.

use std::{collections::BTreeSet, time::Duration};

use riqle_jobs_core::{
    Enqueued, Error, Hint, NewRun, RunFilter, Wake,
    events::{check_events, jobs_started_by},
    from_millis,
    schedule::NewSchedule,
    store::{
        EventStart, NewEvent, ScheduleWrite, Staged,
        rules::{CANCELLED, Operation, Pages},
    },
};
use sqlx::{PgConnection, Row};

use crate::{
    Postgres,
    email_log::fail_emails_of_run,
    enqueue::{Within, enqueue},
    error::{Failure, Result as Fallible},
    events::start_events,
    list::list_runs,
    operate::{ScheduleOfRun, cancel},
    registry::registered_jobs,
    schedules::write_rows,
    staging::stage,
    work::{ANSWERED_WITHIN, Apply, Work, answered_within, within},
};

/// How often a group is tried again because another transaction took its unique key first.
const TRIES: usize = 5;
/// How long a cancel of many runs may take.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5 * 60);

/// A call within a transaction.
struct Call<'a> {
    operation: &'static str,
    patience: Duration,
    /// Whether it is known that all of it is there, or nothing: not where its future is dropped, or an answer does not come.
    has_ended: &'a mut bool,
}

impl Postgres {
    /// Stores runs, of any queues, in a transaction that the application has begun itself: they are there once it
    /// commits, and never were where it rolls back. Fire the [`Wake`] after the commit.
    ///
    /// `connection` is any connection to the same database that is in a transaction. PostgreSQL answers the COMMIT of a
    /// transaction in which a statement has failed by rolling back, without an error.
    /// [`Jobs::begin`](riqle_jobs_core::Jobs::begin) begins one that says so, and that tells the workers by itself.
    /// Roll back where the future of a call was dropped half way: a part of it may be in the transaction.
    ///
    /// # Errors
    /// As [`Queue::enqueue`](riqle_jobs_core::Queue::enqueue); nothing of the group is stored then, and the
    /// transaction can go on unless the connection itself broke off or the server did not answer in time.
    pub async fn enqueue_in(
        &self,
        connection: &mut PgConnection,
        runs: Vec<NewRun>,
    ) -> Result<(Vec<Enqueued>, Wake), Error> {
        self.enqueue_within(connection, runs, &mut false).await
    }

    pub(crate) async fn enqueue_within(
        &self,
        connection: &mut PgConnection,
        runs: Vec<NewRun>,
        has_ended: &mut bool,
    ) -> Result<(Vec<Enqueued>, Wake), Error> {
        self.shared.limits.check_runs("enqueue_in", &runs)?;
        let hint = Hint::due(&runs);
        let call = Call { operation: "enqueue_in", patience: ANSWERED_WITHIN, has_ended };
        let answers = self
            .all_or_nothing(call, connection, &(self.clone(), runs), |work, (store, runs)| {
                Box::pin(enqueue_group(work, store, runs))
            })
            .await?;
        Ok((answers, self.shared.wake.wake(vec![hint])))
    }

    /// Sends events in the caller's transaction, all or none, and stores the runs that they start: what
    /// [`Jobs::send_events`](riqle_jobs_core::Jobs::send_events) does by itself. Answers with their ids, in order.
    ///
    /// # Errors
    /// `Rejected` with the index; `Unavailable`. Nothing of it is stored then, and the transaction can go on unless
    /// the connection itself broke off.
    pub async fn send_event_in(
        &self,
        connection: &mut PgConnection,
        events: Vec<NewEvent>,
    ) -> Result<(Vec<String>, Wake), Error> {
        self.send_events_within(connection, events, &mut false).await
    }

    pub(crate) async fn send_events_within(
        &self,
        connection: &mut PgConnection,
        events: Vec<NewEvent>,
        has_ended: &mut bool,
    ) -> Result<(Vec<String>, Wake), Error> {
        check_events(&events, self.shared.limits)?;
        let call = Call { operation: "send_event_in", patience: ANSWERED_WITHIN, has_ended };
        let ids = self
            .all_or_nothing(call, connection, &(self.clone(), events), |work, (store, events)| {
                Box::pin(send_events(work, store, events))
            })
            .await?;
        Ok((ids, self.shared.wake.wake(vec![Hint::Due(None)])))
    }

    /// Cancels, in the caller's transaction, the runs that `filter` lists and that have not ended, up to its limit (0: all),
    /// and gives up their emails that wait to be sent. Answers how many runs.
    ///
    /// # Errors
    /// `Unavailable`. Nothing of it stays then, and the transaction can go on unless the connection itself broke off.
    pub async fn cancel_in(
        &self,
        connection: &mut PgConnection,
        filter: RunFilter,
    ) -> Result<(u64, Wake), Error> {
        self.cancel_within(connection, filter, &mut false).await
    }

    pub(crate) async fn cancel_within(
        &self,
        connection: &mut PgConnection,
        filter: RunFilter,
        has_ended: &mut bool,
    ) -> Result<(u64, Wake), Error> {
        let call = Call { operation: "cancel_in", patience: CANCELLED_WITHIN, has_ended };
        let (count, hints) = self
            .all_or_nothing(call, connection, &(self.clone(), filter), |work, (store, filter)| {
                Box::pin(cancel_all(work, store, filter))
            })
            .await?;
        Ok((count, self.shared.wake.wake(hints)))
    }

    /// Makes a schedule, or edits the one of its name, once the caller's transaction has committed: a worker does it. Fire the
    /// [`Wake`] after the commit. `connection` is as for [`enqueue_in`](Self::enqueue_in).
    ///
    /// # Errors
    /// As [`Transaction::schedule`](riqle_jobs_core::Transaction::schedule); nothing of it is there then, and the transaction
    /// can go on unless the connection itself broke off.
    pub async fn schedule_in(&self, connection: &mut PgConnection, new: &NewSchedule) -> Result<Wake, Error> {
        self.add_schedule(connection, new.row_to_add(&self.shared.limits)?, &mut false).await
    }

    pub(crate) async fn add_schedule(
        &self,
        connection: &mut PgConnection,
        row: ScheduleWrite,
        has_ended: &mut bool,
    ) -> Result<Wake, Error> {
        let hint = Hint::Schedules(Some(row.queue.clone()));
        let call = Call { operation: "schedule_in", patience: ANSWERED_WITHIN, has_ended };
        self.all_or_nothing(call, connection, &row, |work, row| Box::pin(write_rows(work, vec![row])))
            .await?;
        Ok(self.shared.wake.wake(vec![hint]))
    }

    /// Stages runs, of any queues, in the caller's transaction: once it commits, a [`Relay`](riqle_jobs_core::Relay)
    /// moves them into the store that they are meant for. Fire the [`Wake`] after the commit.
    ///
    /// Unique keys are looked at when the runs arrive there, delays count from now. A run that is staged here under its
    /// id already is left as it was. `connection` is as for [`enqueue_in`](Self::enqueue_in).
    ///
    /// # Errors
    /// `Rejected` over a limit of this store, with the index; `Unavailable`. Nothing is staged then, and the transaction
    /// can go on unless the connection itself broke off.
    pub async fn stage_in(&self, connection: &mut PgConnection, runs: Vec<NewRun>) -> Result<Wake, Error> {
        self.shared.limits.check_runs("stage_in", &runs)?;
        let items = runs.into_iter().map(Staged::run).collect::<Result<Vec<_>, _>>()?;
        self.stage_items("stage_in", connection, items, &mut false).await
    }

    /// Stages events in the caller's transaction, as [`stage_in`](Self::stage_in) does runs: once moved they start the
    /// jobs that the other store knows.
    ///
    /// # Errors
    /// As [`stage_in`](Self::stage_in).
    pub async fn stage_event_in(
        &self,
        connection: &mut PgConnection,
        events: Vec<NewEvent>,
    ) -> Result<Wake, Error> {
        check_events(&events, self.shared.limits)?;
        let items = events.into_iter().map(Staged::event).collect::<Result<Vec<_>, _>>()?;
        self.stage_items("stage_event_in", connection, items, &mut false).await
    }

    pub(crate) async fn stage_items(
        &self,
        operation: &'static str,
        connection: &mut PgConnection,
        items: Vec<Staged>,
        has_ended: &mut bool,
    ) -> Result<Wake, Error> {
        let call = Call { operation, patience: ANSWERED_WITHIN, has_ended };
        self.all_or_nothing(call, connection, &items, |work, items| Box::pin(stage(work, items))).await?;
        Ok(self.shared.wake.wake(vec![Hint::Staged]))
    }

    /// Undoes what `apply` wrote where it fails, and only that.
    async fn all_or_nothing<Q: Sync, A>(
        &self,
        call: Call<'_>,
        connection: &mut PgConnection,
        question: &Q,
        apply: Apply<Q, A>,
    ) -> Result<A, Error> {
        let Call { operation, patience, has_ended } = call;
        let mut tries = 1;
        loop {
            within(operation, sqlx::raw_sql("SAVEPOINT riqle_jobs").execute(&mut *connection)).await?;
            *has_ended = false;
            let mut work = Work::new(&mut *connection, &self.shared.statements, self.frozen());
            let answer = answered_within(patience, apply(&mut work, question)).await;
            let end = match &answer {
                Ok(_) => "RELEASE SAVEPOINT riqle_jobs",
                Err(_) => "ROLLBACK TO SAVEPOINT riqle_jobs; RELEASE SAVEPOINT riqle_jobs",
            };
            let ended = within(operation, sqlx::raw_sql(end).execute(&mut *connection)).await;
            *has_ended = ended.is_ok();
            match answer {
                Ok(answer) => return ended.map(|_| answer),
                Err(error) if ended.is_ok() && tries < TRIES && error.is_outrun() => tries += 1,
                Err(error) => return Err(self.failed_within(operation, error)),
            }
        }
    }

    /// An error of a transaction of the application.
    pub(crate) fn failed_within(&self, operation: &'static str, error: Failure) -> Error {
        let is_of_the_application = error.is_of_the_application();
        let error = error.of(operation);
        if is_of_the_application { error } else { self.told(error) }
    }

    /// An error of what surely writes, noted for the health.
    pub(crate) fn told(&self, error: Error) -> Error {
        self.shared.writes.failed(&error);
        error
    }
}

async fn enqueue_group(work: &mut Work<'_>, store: &Postgres, runs: &[NewRun]) -> Fallible<Vec<Enqueued>> {
    let mut answers = enqueue(work, Within::Callers(store), &[runs]).await?;
    answers.pop().unwrap_or_else(|| Ok(Vec::new())).map_err(Failure::from)
}

async fn cancel_all(work: &mut Work<'_>, store: &Postgres, filter: &RunFilter) -> Fallible<(u64, Vec<Hint>)> {
    let mut pages = Pages::of(filter.clone(), Operation::Cancel.states());
    let (mut ids, mut count) = (Vec::new(), 0);
    while let Some(page) = pages.page() {
        let runs = list_runs(work, &page).await?;
        pages.met(&runs);
        ids.extend(runs.iter().map(|run| run.id));
    }
    // Locks on several runs are taken in ascending id order.
    ids.sort_unstable();
    let mut schedules = BTreeSet::new();
    for id in ids {
        match cancel(work, Within::Callers(store), id).await {
            Ok(schedule) => {
                schedules.extend(schedule);
                count += 1;
            }
            Err(Failure::Refused(error)) if Operation::passes_over(&error) => continue,
            Err(error) => return Err(error),
        }
        fail_emails_of_run(work, id, CANCELLED).await?;
    }
    let row = |one: &ScheduleOfRun| ScheduleWrite::to_look_at(&one.job, &one.queue, &one.name);
    let rows: Vec<_> = schedules.iter().map(row).collect();
    write_rows(work, rows.iter().collect()).await?;
    Ok((count, work.take_hints()))
}

async fn send_events(work: &mut Work<'_>, store: &Postgres, events: &[NewEvent]) -> Fallible<Vec<String>> {
    let jobs = registered_jobs(work).await?;
    let now = work.timed("SELECT riqle.now($1)").fetch_one(&mut *work.connection).await?;
    let now = from_millis(now.try_get(0)?);
    let start =
        |event: &NewEvent| EventStart { event: event.clone(), jobs: jobs_started_by(event, &jobs, now) };
    let starts: Vec<_> = events.iter().map(start).collect();
    store.shared.limits.check_event_runs(&starts)?;
    start_events(work, Within::Callers(store), &starts).await?;
    Ok(events.iter().map(|event| event.id.clone()).collect())
}
