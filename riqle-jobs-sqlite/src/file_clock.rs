//! The time of a file, from which steps of the machine's clock are left out.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use riqle_jobs_core::{
    Clock,
    store::{MachineClock, Problem, SteadyTime},
};
use sqlx::SqliteConnection;

use crate::{
    error::Result,
    rows::{get, millis},
};

/// How old the time may be that a later boot begins with.
const NOTE_EVERY: i64 = Duration::from_secs(60).as_millis() as i64;
/// How old what is known may be: small steps of the machine's clock, which another process notes, must not add up.
const READ_EVERY: i64 = Duration::from_secs(5).as_millis() as i64;

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
    /// When it was read from the file or noted there, by the clock that counts since the boot.
    read_at: i64,
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
        Ok(Self { clock, machine, known: Mutex::new(Known { time, noted_at: None, read_at: readings.boot }) })
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The time, by what is known of it.
    pub(crate) fn known_now(&self) -> Timestamp {
        match self.clock.manual() {
            Some(clock) => clock.now(),
            None => {
                let time = self.known().time;
                time.now(self.machine.read_for(time))
            }
        }
    }

    /// Whether what is known of it is what the file says, or was a moment ago.
    pub(crate) fn is_known(&self) -> bool {
        let Known { time, read_at, .. } = self.known();
        let readings = self.machine.read_for(time);
        let is_recent = readings.boot.saturating_sub(read_at) < READ_EVERY;
        self.clock.manual().is_some() || is_recent && !time.is_outdated(readings)
    }

    /// The time, by what the file says: another process may have noted a step since this one last did.
    pub(crate) async fn now_in(&self, connection: &mut SqliteConnection) -> Result<Timestamp> {
        if !self.is_known()
            && let Some(stored) = Stored::read(connection).await?
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let readings = self.machine.read_for(known.time);
            known.read_at = readings.boot;
            // A step that is not in the file yet stays to be noted.
            known.time = match known.time.noted_beside(readings, stored.time.offset) {
                _ if stored.boot == self.machine.boot() => stored.time,
                beside if beside.offset == stored.time.offset => beside,
                _ => known.time,
            };
        }
        Ok(self.known_now())
    }

    /// Notes in the file what its clock leaves out of the machine's since it was last noted, in the transaction of
    /// `connection`, and lets runs that are due at a given time follow. Returns the time, and with what to
    /// [`take`](Self::take) once that has committed.
    pub(crate) async fn note(&self, connection: &mut SqliteConnection) -> Result<(Timestamp, Option<Known>)> {
        if let Some(clock) = self.clock.manual() {
            return Ok((clock.now(), None));
        }
        let known = self.known();
        let readings = self.machine.read_for(known.time);
        let now = known.time.now(readings);
        let is_fresh = known.noted_at.is_some_and(|at| millis(now).saturating_sub(at).abs() < NOTE_EVERY);
        if is_fresh && !known.time.is_outdated(readings) {
            return Ok((now, None));
        }
        let stored = Stored::read(connection).await?;
        let before = stored.as_ref().map(|stored| stored.time.offset);
        // Another process may have noted the step.
        let time = match stored {
            Some(stored) if stored.boot == self.machine.boot() => stored.time.noted(readings),
            Some(stored) => known.time.noted_beside(readings, stored.time.offset),
            None => known.time.noted(readings),
        };
        let now = time.now(readings);
        sqlx::query(include_str!("../queries/note_clock.sql"))
            .bind(self.machine.boot())
            .bind(time.ahead)
            .bind(time.offset)
            .bind(millis(now))
            .execute(&mut *connection)
            .await?;
        if before != Some(time.offset) {
            if before.is_some() {
                let offset_ms = time.offset;
                tracing::warn!(
                    offset_ms,
                    "the machine's clock was set; the file's clock continues as before"
                );
            }
            sqlx::query(include_str!("../queries/follow_clock.sql")).execute(connection).await?;
        }
        Ok((now, Some(Known { time, noted_at: Some(millis(now)), read_at: readings.boot })))
    }

    pub(crate) fn take(&self, known: Known) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// What the health says of it, by what is known of it.
    pub(crate) fn problem(&self) -> Option<Problem> {
        let ends = "It ends when the clock is set back, or by DELETE FROM riqle_clock while no process has the file open.";
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
