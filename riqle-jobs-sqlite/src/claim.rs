//! Takes due runs under a lease, each with the steps that it has saved.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use riqle_jobs_core::{
    AttemptOutcome, AttemptRecord, ClaimRequest, Claimed, ClaimedRun, Codec, LeaseRef, Payload, Priority,
    RunId, TraceContext, WorkerId, from_millis, later, schedule::Tick,
};
use serde::Deserialize;
use sqlx::{AssertSqlSafe, SqliteConnection, sqlite::SqliteRow};

use crate::{
    attempts::with_attempt,
    error::Result,
    rows::{Query, for_each, for_ids, from_hex, get, json, maybe_time, millis, run_id, time},
    settle::release_keys,
    steps::saved_step,
    writer::Write,
};

/// A merge of more lanes than this would be slow to plan, and SQLite allows 500; beyond it, what is due is sorted.
const MOST_MERGED: usize = 100;
/// An input of more bytes is read apart.
const LARGE_INPUT: usize = 8 * 1024;

const HEADS: &str = include_str!("../queries/heads.sql");

/// Takes at most `request.limit` due runs under a lease.
pub(crate) async fn claim(write: &mut Write, request: &ClaimRequest) -> Result<Claimed> {
    let now = write.now;
    let heads = bind_heads(sqlx::query(HEADS), request).fetch_all(&mut write.connection).await?;
    let lanes = lanes(&heads)?;
    let mut next_due = next_due(&lanes);
    let mut runs = Vec::new();
    for priority in Priority::ALL {
        let lanes = lanes.iter().filter(|lane| lane.priority == priority);
        let due = Due {
            expired: lanes.clone().filter(|lane| lane.has_expired(now)).collect(),
            pending: lanes.filter(|lane| lane.is_due(now) || lane.has_expired(now)).collect(),
            now,
            limit: i64::try_from(request.limit.saturating_sub(runs.len())).unwrap_or(i64::MAX),
        };
        if due.pending.is_empty() || due.limit == 0 {
            continue;
        }
        if !due.expired.is_empty() {
            take_over(write, &due).await?;
        }
        let (mut leased, next) = lease(write, request, &due).await?;
        runs.append(&mut leased);
        next_due = next;
    }
    Ok(Claimed { runs, next_due, now })
}

pub(crate) struct Lane {
    pub(crate) number: i64,
    pub(crate) job: String,
    pub(crate) priority: Priority,
    /// When its first pending run is due.
    pub(crate) due_at: Option<Timestamp>,
    /// When the first lease of its running runs runs out.
    pub(crate) lease_until: Option<Timestamp>,
}

impl Lane {
    fn is_due(&self, now: Timestamp) -> bool {
        self.due_at.is_some_and(|time| time <= now)
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        self.lease_until.is_some_and(|time| time <= now)
    }
}

fn bind_heads<'q>(query: Query<'q>, request: &ClaimRequest) -> Query<'q> {
    query.bind(request.queue.clone()).bind(serde_json::json!(*request.jobs).to_string())
}

fn lanes(heads: &[SqliteRow]) -> Result<Vec<Lane>> {
    heads
        .iter()
        .map(|row| {
            Ok(Lane {
                number: get(row, "lane")?,
                job: get(row, "job")?,
                priority: Priority::from_number(get(row, "priority")?)?,
                due_at: maybe_time(row, "due_at")?,
                lease_until: maybe_time(row, "lease_until")?,
            })
        })
        .collect()
}

fn next_due(lanes: &[Lane]) -> Option<Timestamp> {
    lanes.iter().flat_map(|lane| [lane.due_at, lane.lease_until]).flatten().min()
}

/// The first runs of one priority that are due, in order.
pub(crate) struct Due<'a> {
    pub(crate) pending: Vec<&'a Lane>,
    pub(crate) expired: Vec<&'a Lane>,
    pub(crate) now: Timestamp,
    pub(crate) limit: i64,
}

impl Due<'_> {
    /// A query for their ids: a merge of one bounded range of an index for each lane, which ends at the limit.
    pub(crate) fn ids(&self, expired: bool) -> String {
        const PENDING: &str = "state = 'pending' AND due_at <= ?";
        const EXPIRED: &str = "state = 'running' AND lease_until <= ?";
        if self.is_sorted() {
            let which = if expired { format!("({PENDING} OR {EXPIRED})") } else { PENDING.to_owned() };
            return format!(
                "SELECT id FROM riqle_runs WHERE lane IN (SELECT value FROM json_each(?)) AND {which}
                 ORDER BY due_at, id LIMIT ?"
            );
        }
        let arm = |which: &str| format!("SELECT due_at, id FROM riqle_runs WHERE lane = ? AND {which}");
        let pending = self.pending.iter().map(|_| arm(PENDING));
        let expired = self.expired.iter().filter(|_| expired);
        let arms: Vec<_> = pending.chain(expired.map(|_| arm(EXPIRED))).collect();
        format!("SELECT id FROM ({} ORDER BY due_at, id LIMIT ?)", arms.join(" UNION ALL "))
    }

    fn is_sorted(&self) -> bool {
        self.pending.len() + self.expired.len() > MOST_MERGED
    }

    fn bind<'q>(&self, mut query: Query<'q>, expired: bool) -> Query<'q> {
        if self.is_sorted() {
            let lanes: Vec<i64> = self.pending.iter().map(|lane| lane.number).collect();
            query = query.bind(serde_json::json!(lanes).to_string()).bind(millis(self.now));
            if expired {
                query = query.bind(millis(self.now));
            }
            return query.bind(self.limit);
        }
        let expired = if expired { self.expired.as_slice() } else { &[] };
        for lane in self.pending.iter().chain(expired) {
            query = query.bind(lane.number).bind(millis(self.now));
        }
        query.bind(self.limit)
    }
}

/// Makes those of the first due runs whose lease ran out pending again, as crashed.
async fn take_over(write: &mut Write, due: &Due<'_>) -> Result<()> {
    let sql = format!(
        "SELECT id, failures, worker, claimed_at, attempts FROM riqle_runs
         WHERE state = 'running' AND id IN ({})",
        due.ids(true)
    );
    let rows = due.bind(sqlx::query(AssertSqlSafe(sql)), true).fetch_all(&mut write.connection).await?;
    let crashed = rows.iter().map(|row| crashed(row, due.now)).collect::<Result<Vec<_>>>()?;
    let row = |query: Query<'static>, _, (id, attempts): &(RunId, String)| {
        query.bind(id.as_uuid()).bind(attempts.clone())
    };
    let template = include_str!("../queries/take_over.sql");
    for_each(&mut write.connection, template, |query| query, &crashed, row).await.map(drop)
}

fn crashed(row: &SqliteRow, now: Timestamp) -> Result<(RunId, String)> {
    let attempt = AttemptRecord {
        number: get::<u32>(row, "failures")?.saturating_add(1),
        times: 1,
        started_at: time(row, "claimed_at")?,
        ended_at: now,
        worker: WorkerId::from_uuid(get(row, "worker")?),
        outcome: AttemptOutcome::Crashed,
        error: None,
        delay: None,
    };
    let id = run_id(row, "id")?;
    Ok((id, with_attempt(id, get(row, "attempts")?, attempt)?))
}

/// Gives the first due runs to the claim; returns them, and when the next one of any lane is due.
async fn lease(
    write: &mut Write,
    request: &ClaimRequest,
    due: &Due<'_>,
) -> Result<(Vec<ClaimedRun>, Option<Timestamp>)> {
    let ids = due.ids(false);
    // They come in one row: each row of an answer crosses from the connection's thread by itself.
    let sql = format!(
        "SELECT json_group_array(json_array(hex(id), lane, failures, crashes, claims, enqueued_at, due_at,
                iif(root IS NULL, NULL, hex(root)), iif(replay_of IS NULL, NULL, hex(replay_of)), unique_scope,
                reference, event_id, schedule, tick, trace, input_codec, iif(length(input) > {LARGE_INPUT}, NULL, hex(input)))) AS runs
         FROM riqle_runs WHERE id IN ({ids});
         UPDATE riqle_runs
         SET state = 'running', token = ?, worker = ?, claimed_at = ?, lease_until = ?, claims = claims + 1
         WHERE id IN ({ids});
         {HEADS}"
    );
    let query = due
        .bind(sqlx::query(AssertSqlSafe(sql)), false)
        .bind(request.token.as_uuid())
        .bind(request.worker.as_uuid())
        .bind(millis(due.now))
        .bind(millis(later(due.now, request.lease)));
    let query = bind_heads(due.bind(query, false), request);
    let rows = query.fetch_all(&mut write.connection).await?;
    let (first, heads) = rows.split_first().ok_or(sqlx::Error::RowNotFound)?;
    let due_runs: Vec<DueRun> = json(first, "runs")?;
    let next_due = next_due(&lanes(heads)?);
    let lanes: HashMap<i64, &Lane> = due.pending.iter().map(|lane| (lane.number, *lane)).collect();
    let queue: Arc<str> = Arc::from(request.queue.as_str());
    let mut runs = Vec::with_capacity(due_runs.len());
    let (mut with_steps, mut keys, mut large) = (Vec::new(), Vec::new(), Vec::new());
    for run in due_runs {
        // Only an earlier claim, or the run that it replays, can have left steps.
        if run.claims > 0 || run.replay_of.is_some() {
            with_steps.push(run.id);
        }
        if run.unique_scope.as_deref() == Some("while-pending") {
            keys.push(run.id);
        }
        if run.input.is_none() {
            large.push(run.id);
        }
        let lane = lanes.get(&run.lane).ok_or(sqlx::Error::RowNotFound)?;
        runs.push(run.claimed(request, &queue, lane, due.now)?);
    }
    runs.sort_unstable_by_key(|run| (run.due_at, run.lease.run));
    release_keys(&mut write.connection, &keys).await?;
    load_steps(&mut write.connection, &mut runs, &with_steps).await?;
    load_inputs(&mut write.connection, &mut runs, &large).await?;
    Ok((runs, next_due))
}

/// A run about to be claimed, as [`lease`] asks for it.
#[derive(Deserialize)]
struct DueRun {
    id: RunId,
    lane: i64,
    failures: u32,
    crashes: u32,
    /// So far.
    claims: i64,
    enqueued_at: i64,
    due_at: i64,
    root: Option<RunId>,
    replay_of: Option<RunId>,
    unique_scope: Option<String>,
    reference: Option<String>,
    event_id: Option<String>,
    schedule: Option<String>,
    tick: Option<i64>,
    trace: Option<String>,
    codec: u8,
    /// In hexadecimal, since it may be no text; a large one comes apart.
    input: Option<String>,
}

impl DueRun {
    fn claimed(
        self,
        request: &ClaimRequest,
        queue: &Arc<str>,
        lane: &Lane,
        now: Timestamp,
    ) -> Result<ClaimedRun> {
        let bytes = self.input.as_deref().map(from_hex).transpose()?.unwrap_or_default();
        Ok(ClaimedRun {
            lease: LeaseRef { queue: Arc::clone(queue), run: self.id, token: request.token },
            job: lane.job.clone(),
            priority: lane.priority,
            input: Payload { codec: Codec(self.codec), bytes },
            failures: self.failures,
            crashes: self.crashes,
            enqueued_at: from_millis(self.enqueued_at),
            due_at: from_millis(self.due_at),
            claimed_at: now,
            root: self.root.unwrap_or(self.id),
            replay_of: self.replay_of,
            reference: self.reference,
            event_id: self.event_id,
            tick: self.schedule.zip(self.tick).map(|(schedule, at)| Tick { schedule, at: from_millis(at) }),
            trace: self.trace.as_deref().and_then(TraceContext::read),
            steps: Vec::new(),
        })
    }
}

async fn load_inputs(
    connection: &mut SqliteConnection,
    runs: &mut [ClaimedRun],
    large: &[RunId],
) -> Result<()> {
    let template = include_str!("../queries/claimed_inputs.sql");
    for row in for_ids(connection, template, large).await? {
        let id = run_id(&row, "id")?;
        if let Some(run) = runs.iter_mut().find(|run| run.lease.run == id) {
            run.input.bytes = get(&row, "input")?;
        }
    }
    Ok(())
}

async fn load_steps(
    connection: &mut SqliteConnection,
    runs: &mut [ClaimedRun],
    with_steps: &[RunId],
) -> Result<()> {
    let template = include_str!("../queries/claimed_steps.sql");
    let rows = for_ids(connection, template, with_steps).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut runs: HashMap<RunId, &mut ClaimedRun> = runs.iter_mut().map(|run| (run.lease.run, run)).collect();
    for row in &rows {
        if let Some(run) = runs.get_mut(&run_id(row, "run")?) {
            run.steps.push(saved_step(row)?);
        }
    }
    Ok(())
}
