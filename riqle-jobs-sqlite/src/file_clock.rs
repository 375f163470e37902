use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use riqle_jobs_core::{
    Clock,
    store::{MachineClock, SteadyTime},
};
use sqlx::SqliteConnection;

use crate::{
    error::Result,
    rows::{get, millis},
};

/// How old the time may be that a later boot begins with.
const NOTE_EVERY: i64 = Duration::from_secs(60).as_millis() as i64;

/// The time of a file: the machine's, or a manual clock's. How it stands to the machine's clock is kept in the file, so
/// that a step of that clock is left out once, whoever notices it.
pub(crate) struct FileClock {
    clock: Clock,
    machine: MachineClock,
    known: Mutex<Known>,
}

#[derive(Clone, Copy)]
pub(crate) struct Known {
    time: SteadyTime,
    /// When it was noted in the file, by its own time; `None`: not by this process.
    noted_at: Option<i64>,
}

impl FileClock {
    /// Begins with what the file says; notes nothing, since that would have to wait for its lock.
    pub(crate) async fn open(
        clock: Clock,
        machine: MachineClock,
        connection: &mut SqliteConnection,
    ) -> Result<Self> {
        let readings = machine.read();
        let mut time = SteadyTime::starting(readings);
        if clock.manual().is_none() {
            match Stored::read(connection).await? {
                Some(stored) if stored.boot == machine.boot() => time = stored.time,
                Some(stored) => time = SteadyTime::after_boot(readings, stored.time.offset, stored.noted_at),
                None => {}
            }
        }
        Ok(Self { clock, machine, known: Mutex::new(Known { time, noted_at: None }) })
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn now(&self) -> Timestamp {
        match self.clock.manual() {
            Some(clock) => clock.now(),
            None => {
                let time = self.known().time;
                time.now(self.machine.read_for(time))
            }
        }
    }

    /// Notes in the file what its clock leaves out of the machine's since it was last noted, in the transaction of
    /// `connection`, and lets runs that are due at a given time follow. Answers with what to [`take`](Self::take) once
    /// that has committed.
    pub(crate) async fn note(&self, connection: &mut SqliteConnection) -> Result<Option<Known>> {
        if self.clock.manual().is_some() {
            return Ok(None);
        }
        let known = self.known();
        let readings = self.machine.read_for(known.time);
        let now = millis(known.time.now(readings));
        let is_fresh = known.noted_at.is_some_and(|at| now.saturating_sub(at).abs() < NOTE_EVERY);
        if is_fresh && !known.time.is_outdated(readings) {
            return Ok(None);
        }
        let stored = Stored::read(connection).await?;
        let before = stored.as_ref().map(|stored| stored.time.offset);
        // Another process may have noted the step.
        let of_this_boot = stored.filter(|stored| stored.boot == self.machine.boot());
        let time = of_this_boot.map_or(known.time, |stored| stored.time).noted(readings);
        let now = millis(time.now(readings));
        sqlx::query(include_str!("../queries/note_clock.sql"))
            .bind(self.machine.boot())
            .bind(time.ahead)
            .bind(time.offset)
            .bind(now)
            .execute(&mut *connection)
            .await?;
        if before != Some(time.offset) {
            if before.is_some() {
                let offset_ms = time.offset;
                tracing::warn!(offset_ms, "the machine's clock was set; the file's goes on as before");
            }
            sqlx::query(include_str!("../queries/follow_clock.sql")).execute(connection).await?;
        }
        Ok(Some(Known { time, noted_at: Some(now) }))
    }

    pub(crate) fn take(&self, known: Known) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// What the health says of it.
    pub(crate) fn problem(&self) -> Option<String> {
        let ends = "it ends when the clock is set back, or by DELETE FROM riqle_clock while no process has the file open";
        match self.clock.manual() {
            Some(_) => None,
            None => {
                let time = self.known().time;
                time.problem(self.machine.read_for(time), ends)
            }
        }
    }

    fn known(&self) -> Known {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one row of `riqle_clock`.
struct Stored {
    boot: String,
    time: SteadyTime,
    noted_at: i64,
}

impl Stored {
    async fn read(connection: &mut SqliteConnection) -> Result<Option<Self>> {
        let row = sqlx::query("SELECT boot, ahead, offset, noted_at FROM riqle_clock WHERE one = 1");
        let Some(row) = row.fetch_optional(connection).await? else { return Ok(None) };
        let time = SteadyTime { ahead: get(&row, "ahead")?, offset: get(&row, "offset")? };
        Ok(Some(Self { boot: get(&row, "boot")?, time, noted_at: get(&row, "noted_at")? }))
    }
}
