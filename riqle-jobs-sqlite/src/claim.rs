use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use riqle_jobs_core::{
    AttemptOutcome, ClaimRequest, Claimed, ClaimedRun, LeaseRef, Priority, RunId, WorkerId, later,
};
use sqlx::{AssertSqlSafe, SqliteConnection, sqlite::SqliteRow};

use crate::{
    attempts::{Attempt, with_attempt},
    error::{Result, into_driver},
    rows::{Query, for_each, for_ids, get, maybe_run_id, maybe_time, millis, payload, run_id, time},
    settle::release_keys,
    steps::saved_step,
    writer::Write,
};

/// A merge of more lanes than this would be slow to plan, and SQLite allows 500; beyond it, what is due is sorted.
const MOST_MERGED: usize = 100;

/// Takes at most `request.limit` due runs under a lease.
pub(crate) async fn claim(write: &mut Write, request: &ClaimRequest) -> Result<Claimed> {
    let now = write.now;
    let lanes = lanes(&mut write.connection, request).await?;
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
        runs.append(&mut lease(write, request, &due).await?);
    }
    if runs.is_empty() {
        return Ok(Claimed { runs, next_due: next_due(&lanes), now });
    }
    let next_due = next_due(&self::lanes(&mut write.connection, request).await?);
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

async fn lanes(connection: &mut SqliteConnection, request: &ClaimRequest) -> Result<Vec<Lane>> {
    let rows = sqlx::query(include_str!("../queries/heads.sql"))
        .bind(&request.queue)
        .bind(serde_json::json!(*request.jobs).to_string())
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Lane {
                number: get(row, "lane")?,
                job: get(row, "job")?,
                priority: Priority::from_number(get(row, "priority")?).map_err(into_driver)?,
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
    let claim = (WorkerId::from_uuid(get(row, "worker")?), time(row, "claimed_at")?);
    let number = get::<u32>(row, "failures")?.saturating_add(1);
    let attempt = Attempt::new(number, claim, now, AttemptOutcome::Crashed);
    Ok((run_id(row, "id")?, with_attempt(get(row, "attempts")?, attempt)?))
}

/// Gives the first due runs to the claim.
async fn lease(write: &mut Write, request: &ClaimRequest, due: &Due<'_>) -> Result<Vec<ClaimedRun>> {
    let sql = format!(
        "UPDATE riqle_runs
         SET state = 'running', token = ?, worker = ?, claimed_at = ?, lease_until = ?, claims = claims + 1
         WHERE id IN ({})
         RETURNING id, lane, failures, crashes, claims, enqueued_at, due_at, root, replay_of, unique_scope,
                   reference, event_id, input_codec, input",
        due.ids(false)
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(request.token.as_uuid())
        .bind(request.worker.as_uuid())
        .bind(millis(due.now))
        .bind(millis(later(due.now, request.lease)));
    let rows = due.bind(query, false).fetch_all(&mut write.connection).await?;
    let lanes: HashMap<i64, &Lane> = due.pending.iter().map(|lane| (lane.number, *lane)).collect();
    let queue: Arc<str> = Arc::from(request.queue.as_str());
    let mut runs = Vec::with_capacity(rows.len());
    let (mut with_steps, mut keys) = (Vec::new(), Vec::new());
    for row in &rows {
        let lane = lanes.get(&get(row, "lane")?).ok_or(sqlx::Error::RowNotFound)?;
        let run = claimed_run(row, request, &queue, lane, due.now)?;
        // Only an earlier claim, or the run that it replays, can have left steps.
        if get::<i64>(row, "claims")? > 1 || run.replay_of.is_some() {
            with_steps.push(run.lease.run);
        }
        if get::<Option<&str>>(row, "unique_scope")? == Some("while-pending") {
            keys.push(run.lease.run);
        }
        runs.push(run);
    }
    runs.sort_unstable_by_key(|run| (run.due_at, run.lease.run));
    release_keys(write, &keys).await?;
    load_steps(&mut write.connection, &mut runs, &with_steps).await?;
    Ok(runs)
}

fn claimed_run(
    row: &SqliteRow,
    request: &ClaimRequest,
    queue: &Arc<str>,
    lane: &Lane,
    now: Timestamp,
) -> Result<ClaimedRun> {
    let id = run_id(row, "id")?;
    Ok(ClaimedRun {
        lease: LeaseRef { queue: Arc::clone(queue), run: id, token: request.token },
        job: lane.job.clone(),
        priority: lane.priority,
        input: payload(row, "input_codec", "input")?,
        failures: get(row, "failures")?,
        crashes: get(row, "crashes")?,
        enqueued_at: time(row, "enqueued_at")?,
        due_at: time(row, "due_at")?,
        claimed_at: now,
        root: maybe_run_id(row, "root")?.unwrap_or(id),
        replay_of: maybe_run_id(row, "replay_of")?,
        reference: get(row, "reference")?,
        event_id: get(row, "event_id")?,
        steps: Vec::new(),
    })
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
