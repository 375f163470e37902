//! Records how claims ended, if their lease still holds.

use std::collections::HashSet;

use riqle_jobs_core::{
    AttemptRecord, Ending, Hint, LeaseAnswer, RunId, RunState, Settlement, later, store::rules::Fence,
};

use sqlx::SqliteConnection;

use crate::{
    attempts::with_attempt,
    error::Result,
    fence::{HeldRow, fences_and_rows},
    rows::{Query, for_each, for_ids, get, millis},
    writer::Write,
};

/// Records how claims ended, whose lease still holds.
pub(crate) async fn settle(write: &mut Write, settlements: &[&Settlement]) -> Result<Vec<LeaseAnswer>> {
    let mut answers = vec![LeaseAnswer::LeaseLost; settlements.len()];
    let mut rest: Vec<usize> = (0..settlements.len()).collect();
    while !rest.is_empty() {
        // A run that is named twice is looked at again once its first settlement is written.
        let mut seen = HashSet::with_capacity(rest.len());
        let (wave, next): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|index| seen.insert(settlements[*index].lease.run));
        let leases: Vec<_> = wave.iter().map(|index| &settlements[*index].lease).collect();
        let mut held = Vec::with_capacity(wave.len());
        let found = fences_and_rows(&mut write.connection, &leases).await?;
        for (index, (fence, row)) in wave.iter().zip(found) {
            answers[*index] = fence.answer_to_settle();
            if let (Fence::Holds, Some(row)) = (fence, row) {
                held.push(Settled::new(settlements[*index], &row, write)?);
            }
        }
        apply(write, held).await?;
        rest = next;
    }
    Ok(answers)
}

/// A settlement that applies.
struct Settled<'a> {
    settlement: &'a Settlement,
    /// As they are to be stored.
    attempts: String,
    /// When it is due again, if that changes.
    due_at: Option<i64>,
    holds_key: bool,
    wakes_schedule: bool,
}

impl<'a> Settled<'a> {
    fn new(settlement: &'a Settlement, row: &HeldRow, write: &Write) -> Result<Self> {
        let (due_at, delay) = match settlement.ending {
            Ending::Again { after } => (Some(millis(later(write.now, after))), Some(after)),
            _ => (None, None),
        };
        let attempt = AttemptRecord {
            number: settlement.attempt,
            times: 1,
            started_at: row.claimed_at,
            ended_at: write.now,
            worker: row.worker,
            outcome: settlement.outcome,
            error: settlement.error.clone(),
            delay,
        };
        let attempts = with_attempt(settlement.lease.run, &row.attempts, attempt)?;
        Ok(Self {
            settlement,
            attempts,
            due_at,
            holds_key: row.holds_key,
            wakes_schedule: row.wakes_schedule,
        })
    }

    fn run(&self) -> RunId {
        self.settlement.lease.run
    }

    fn reason(&self) -> Option<&'static str> {
        self.settlement.ending.reason().map(|reason| reason.as_str())
    }
}

async fn apply(write: &mut Write, settled: Vec<Settled<'_>>) -> Result<()> {
    let (ended, again): (Vec<_>, Vec<_>) =
        settled.into_iter().partition(|settled| settled.settlement.ending.state().is_ended());
    if ended.iter().any(|settled| settled.wakes_schedule) {
        write.hint(Hint::Schedules(None));
    }
    let keys: Vec<_> = ended.iter().filter(|settled| settled.holds_key).map(Settled::run).collect();
    release_keys(&mut write.connection, &keys).await?;
    let (dead, ended): (Vec<_>, Vec<_>) =
        ended.into_iter().partition(|settled| settled.settlement.ending.state() == RunState::Dead);
    insert_ended(write, &ended).await?;
    insert_dead(write, &dead).await?;
    make_pending(write, &again).await
}

/// Lets go of the keys that runs still hold.
pub(crate) async fn release_keys(connection: &mut SqliteConnection, runs: &[RunId]) -> Result<()> {
    let template = include_str!("../queries/release_unique.sql");
    for_ids(connection, template, runs).await.map(drop)
}

async fn insert_ended(write: &mut Write, ended: &[Settled<'_>]) -> Result<()> {
    let now = millis(write.now);
    let row = |query: Query<'static>, _, settled: &Settled<'_>| {
        let output = match &settled.settlement.ending {
            Ending::Succeeded { output } => Some(output),
            _ => None,
        };
        query
            .bind(settled.run().as_uuid())
            .bind(settled.settlement.ending.state().as_str())
            .bind(settled.reason())
            .bind(settled.settlement.failures)
            .bind(settled.settlement.tells_error())
            .bind(settled.settlement.error_fingerprint.clone())
            .bind(settled.attempts.clone())
            .bind(output.map(|output| output.codec.0))
            .bind(output.map(|output| output.bytes.clone()))
    };
    let template = include_str!("../queries/settle_ended.sql");
    for_each(&mut write.connection, template, |query| query.bind(now), ended, row).await.map(drop)
}

async fn insert_dead(write: &mut Write, dead: &[Settled<'_>]) -> Result<()> {
    let now = millis(write.now);
    let row = |query: Query<'static>, _, settled: &Settled<'_>| {
        query
            .bind(settled.run().as_uuid())
            .bind(settled.reason())
            .bind(settled.settlement.failures)
            .bind(settled.settlement.tells_error())
            .bind(settled.settlement.error_fingerprint.clone())
            .bind(settled.attempts.clone())
    };
    let template = include_str!("../queries/settle_dead.sql");
    for_each(&mut write.connection, template, |query| query.bind(now), dead, row).await.map(drop)
}

async fn make_pending(write: &mut Write, again: &[Settled<'_>]) -> Result<()> {
    let row = |query: Query<'static>, _, settled: &Settled<'_>| {
        query
            .bind(settled.run().as_uuid())
            .bind(settled.due_at)
            .bind(settled.settlement.failures)
            .bind(settled.settlement.tells_error())
            .bind(settled.settlement.error_fingerprint.clone())
            .bind(settled.attempts.clone())
    };
    let template = include_str!("../queries/settle_again.sql");
    let now = millis(write.now);
    for row in for_each(&mut write.connection, template, |query| query, again, row).await? {
        if get::<i64>(&row, "due_at")? <= now {
            write.hint(Hint::Due(Some(get(&row, "queue")?)));
        }
    }
    Ok(())
}
