//! What an application does in a transaction that it has begun itself.

use riqle_jobs_core::{
    Enqueued, Error, Hint, NewRun, RunFilter, Wake,
    events::{check_events, jobs_started_by},
    schedule::NewSchedule,
    store::{
        EventStart, NewEvent, ScheduleWrite, Staged,
        rules::{CANCELLED, Operation, Pages},
    },
};
use sqlx::SqliteConnection;

use crate::{
    Sqlite, email_log::fail_emails_of_run, enqueue::enqueue, error::Result as Fallible, events::start_events,
    lanes::Lanes, list::list_runs, operate::cancel, registry::registered_jobs, schedules::write_schedules,
    staging::stage,
};

impl Sqlite {
    /// Stores runs, of any queues, in a transaction that the application has begun itself: they are there once it
    /// commits, and never were where it rolls back. Fire the [`Wake`] after the commit.
    ///
    /// `connection` is in a transaction begun with `BEGIN IMMEDIATE`; without one, this is a transaction of its own.
    /// [`Jobs::begin`](riqle_jobs_core::Jobs::begin) begins one that tells the workers by itself.
    /// Roll back where the future of a call was dropped half way: a part of it may be in the transaction.
    ///
    /// # Errors
    /// As [`Queue::enqueue`](riqle_jobs_core::Queue::enqueue); nothing of the group is stored then, and the
    /// transaction can go on, but on a full disk, where SQLite may have rolled it back: drop it where this is `Unavailable`.
    pub async fn enqueue_in(
        &self,
        connection: &mut SqliteConnection,
        runs: Vec<NewRun>,
    ) -> Result<(Vec<Enqueued>, Wake), Error> {
        self.shared.file.check("enqueue_in")?;
        self.shared.limits.check_runs("enqueue_in", &runs)?;
        let hint = Hint::due(&runs);
        let answers = all_or_nothing(connection, async |connection| {
            let now = self.now_in(connection).await?;
            let mut answers = enqueue(connection, &mut Lanes::default(), &[runs.as_slice()], now).await?;
            Ok(answers.pop().unwrap_or_else(|| Ok(Vec::new()))?)
        })
        .await
        .map_err(|error| error.of("enqueue_in"))?;
        Ok((answers, self.shared.in_process.wake.wake(hint)))
    }

    /// Sends events in the caller's transaction, all or none, and stores the runs that they start: what
    /// [`Jobs::send_events`](riqle_jobs_core::Jobs::send_events) does by itself. Answers with their ids, in order.
    ///
    /// # Errors
    /// `Rejected` with the index; `Unavailable`. Nothing of it is stored then, and the transaction can go on.
    pub async fn send_event_in(
        &self,
        connection: &mut SqliteConnection,
        events: Vec<NewEvent>,
    ) -> Result<(Vec<String>, Wake), Error> {
        self.shared.file.check("send_event_in")?;
        check_events(&events, self.shared.limits)?;
        let ids = events.iter().map(|event| event.id.clone()).collect();
        all_or_nothing(connection, async |connection| {
            let now = self.now_in(connection).await?;
            let jobs = registered_jobs(connection).await?;
            let start = |event| EventStart { jobs: jobs_started_by(&event, &jobs, now), event };
            let starts: Vec<_> = events.into_iter().map(start).collect();
            self.shared.limits.check_event_runs(&starts)?;
            let starts: Vec<_> = starts.iter().collect();
            start_events(connection, &mut Lanes::default(), &starts, now).await
        })
        .await
        .map_err(|error| error.of("send_event_in"))?;
        Ok((ids, self.shared.in_process.wake.wake(Hint::Due(None))))
    }

    /// Cancels, in the caller's transaction, the runs that `filter` lists and that have not ended, up to its limit (0: all),
    /// and gives up their emails that wait to be sent. Answers how many runs.
    ///
    /// # Errors
    /// `Unavailable`. Nothing of it stays then, and the transaction can go on.
    pub async fn cancel_in(
        &self,
        connection: &mut SqliteConnection,
        filter: RunFilter,
    ) -> Result<(u64, Wake), Error> {
        self.shared.file.check("cancel_in")?;
        let (count, hints) = all_or_nothing(connection, async |connection| {
            let now = self.now_in(connection).await?;
            let mut pages = Pages::of(filter, Operation::Cancel.states());
            let (mut count, mut hints) = (0, Vec::new());
            while let Some(page) = pages.page() {
                let runs = list_runs(connection, page).await?;
                pages.met(&runs);
                for run in &runs {
                    hints.extend(cancel(connection, run.id, now).await?);
                    fail_emails_of_run(connection, run.id, CANCELLED, now).await?;
                    count += 1;
                }
            }
            Ok((count, hints))
        })
        .await
        .map_err(|error| error.of("cancel_in"))?;
        let wake = self.shared.in_process.wake.clone();
        Ok((count, Wake::by(move || hints.iter().for_each(|hint| wake.send(hint.clone())))))
    }
    /// Makes a schedule, or edits the one of its name, once the caller's transaction has committed: a worker does it. Fire the
    /// [`Wake`] after the commit.
    ///
    /// # Errors
    /// As [`Transaction::schedule`](riqle_jobs_core::Transaction::schedule); nothing of it is there then, and the transaction
    /// can go on.
    pub async fn schedule_in(
        &self,
        connection: &mut SqliteConnection,
        new: &NewSchedule,
    ) -> Result<Wake, Error> {
        self.add_schedule(connection, &new.row_to_add(&self.shared.limits)?).await
    }

    pub(crate) async fn add_schedule(
        &self,
        connection: &mut SqliteConnection,
        row: &ScheduleWrite,
    ) -> Result<Wake, Error> {
        self.shared.file.check("schedule_in")?;
        let added = all_or_nothing(connection, async |connection| {
            let now = self.now_in(connection).await?;
            write_schedules(connection, &mut Lanes::default(), std::slice::from_ref(row), now).await
        });
        added.await.map_err(|error| error.of("schedule_in"))?;
        Ok(self.shared.in_process.wake.wake(Hint::Schedules(Some(row.queue.clone()))))
    }

    /// Stages runs, of any queues, in the caller's transaction: once it commits, a [`Relay`](riqle_jobs_core::Relay)
    /// moves them into the store that they are meant for. Fire the [`Wake`] after the commit.
    ///
    /// Unique keys are looked at when the runs arrive there, delays count from now. A run that is staged here under its
    /// id already is left as it was. `connection` is as for [`enqueue_in`](Self::enqueue_in).
    ///
    /// # Errors
    /// `Rejected` over a limit of this store, with the index; `Unavailable`. Nothing is staged then, and the transaction
    /// can go on.
    pub async fn stage_in(
        &self,
        connection: &mut SqliteConnection,
        runs: Vec<NewRun>,
    ) -> Result<Wake, Error> {
        self.shared.limits.check_runs("stage_in", &runs)?;
        let items = runs.into_iter().map(Staged::run).collect::<Result<Vec<_>, _>>()?;
        self.stage_items("stage_in", connection, &items).await
    }

    /// Stages events in the caller's transaction, as [`stage_in`](Self::stage_in) does runs: once moved they start the
    /// jobs that the other store knows.
    ///
    /// # Errors
    /// As [`stage_in`](Self::stage_in).
    pub async fn stage_event_in(
        &self,
        connection: &mut SqliteConnection,
        events: Vec<NewEvent>,
    ) -> Result<Wake, Error> {
        check_events(&events, self.shared.limits)?;
        let items = events.into_iter().map(Staged::event).collect::<Result<Vec<_>, _>>()?;
        self.stage_items("stage_event_in", connection, &items).await
    }

    pub(crate) async fn stage_items(
        &self,
        operation: &'static str,
        connection: &mut SqliteConnection,
        items: &[Staged],
    ) -> Result<Wake, Error> {
        self.shared.file.check(operation)?;
        all_or_nothing(connection, async |connection| {
            let now = self.now_in(connection).await?;
            stage(connection, items, now).await
        })
        .await
        .map_err(|error| error.of(operation))?;
        Ok(self.shared.in_process.wake.wake(Hint::Staged))
    }
}

/// Undoes what `change` wrote where it fails, and only that.
pub(crate) async fn all_or_nothing<T>(
    connection: &mut SqliteConnection,
    change: impl AsyncFnOnce(&mut SqliteConnection) -> Fallible<T>,
) -> Fallible<T> {
    sqlx::query("SAVEPOINT riqle_jobs").execute(&mut *connection).await?;
    match change(&mut *connection).await {
        Ok(value) => {
            sqlx::query("RELEASE riqle_jobs").execute(&mut *connection).await?;
            Ok(value)
        }
        Err(error) => {
            // A full disk has rolled the whole transaction back already; then there is nothing left to undo.
            let undo = "ROLLBACK TO riqle_jobs; RELEASE riqle_jobs";
            let _ = sqlx::query(undo).execute(&mut *connection).await;
            Err(error)
        }
    }
}
