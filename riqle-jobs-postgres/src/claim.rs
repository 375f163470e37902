//! Takes due runs under a lease, each with the steps that it has saved.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use jiff::Timestamp;
use riqle_jobs_core::{ClaimRequest, Claimed, ClaimedRun, LeaseRef, Priority, RunId, from_millis, millis_of};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use crate::{
    Postgres,
    error::Result,
    floors::{Found, Lanes, Look, LookClaimed, Seen},
    rows::{get, get_narrow, maybe_run_id, millis, payload, run_id, size, small, tick, time, trace},
    steps::saved_step,
    work::Work,
};

const CLAIM: &str = include_str!("../queries/claim.sql");
/// Reads all that can be claimed.
pub(crate) static CLAIM_ALL: LazyLock<String> = LazyLock::new(|| without(" -- due"));
/// Reads what is due, no leases, and says where there may be more.
pub(crate) static CLAIM_DUE: LazyLock<String> = LazyLock::new(|| without(" -- all"));
/// So many transactions may begin while another is open; what is read next begins at the front.
const MOST_OPEN: i64 = 1_000;

fn without(mark: &str) -> String {
    CLAIM.lines().filter(|line| !line.ends_with(mark)).flat_map(|line| [line, "\n"]).collect()
}

/// Takes at most `request.limit` due runs under a lease.
pub(crate) async fn claim(work: &mut Work<'_>, store: &Postgres, request: &ClaimRequest) -> Result<Claimed> {
    // A clock that stands still tells nothing of what comes next.
    let is_frozen = work.frozen.is_some();
    let losses = store.shared.connections.losses();
    let look = match is_frozen {
        true => Look::at_front(),
        false => store.shared.floors.look(&request.queue, &request.jobs, losses),
    };
    let looks_at_leases = look.leases_from.is_some();
    let form: &'static str = if is_frozen || looks_at_leases { &CLAIM_ALL } else { &CLAIM_DUE };
    let mut rows = ask(work, form, request, &look).await?;
    if get(head(&rows)?, "has_others")? {
        rows = ask(work, &CLAIM_ALL, request, &look).await?;
    }
    let head = head(&rows)?;
    let seen = seen(head)?;
    let now = from_millis(seen.now);
    let mut next_due = get::<Option<i64>>(head, "next_due")?;
    let mut is_due_by = |time: i64| next_due = Some(next_due.map_or(time, |due| due.min(time)));
    if let Some(lease) = seen.next_lease {
        is_due_by(lease);
    }
    if let Some(ahead) = look.ahead {
        is_due_by(seen.now.saturating_add(ahead));
    }
    // Where a queue is paused, or has no lanes, nothing was looked at.
    if !is_frozen && !seen.lanes.lanes.is_empty() {
        // One of the rows is the head.
        let runs = rows.len() - 1;
        let lease = (runs > 0).then_some(request.lease);
        let floor = look.floor(seen, LookClaimed { is_full: runs >= request.limit, lease });
        if let Some(wait) = floor.leases_in() {
            is_due_by(millis(now).saturating_add(wait));
        }
        work.found = Some(Found { of: (request.queue.clone(), Arc::clone(&request.jobs)), floor });
    }
    let mut runs = Vec::with_capacity(rows.len());
    let mut with_steps = Vec::new();
    let queue: Arc<str> = Arc::from(request.queue.as_str());
    for row in &rows {
        let Some(id) = maybe_run_id(row, "id")? else { continue };
        let run = claimed(row, id, request, &queue, now)?;
        // Only an earlier claim, or the run that it replays, can have left steps.
        if get::<i32>(row, "claims")? > 1 || run.replay_of.is_some() {
            with_steps.push(id);
        }
        runs.push(run);
    }
    if !runs.is_empty() {
        is_due_by(millis(now).saturating_add(millis_of(request.lease)));
    }
    runs.sort_unstable_by_key(|run| (run.priority, run.due_at, run.lease.run));
    load_steps(work, &mut runs, &with_steps).await?;
    Ok(Claimed { runs, next_due: next_due.map(from_millis), now })
}

async fn ask(
    work: &mut Work<'_>,
    statement: &'static str,
    request: &ClaimRequest,
    look: &Look,
) -> Result<Vec<PgRow>> {
    Ok(work
        .timed(statement)
        .bind(request.queue.clone())
        .bind(request.jobs.to_vec())
        .bind(size(request.limit).min(1_000_000))
        .bind(request.token.as_uuid())
        .bind(request.worker.as_uuid())
        .bind(millis_of(request.lease))
        .bind(look.lanes.lanes.clone())
        .bind(look.lanes.due.clone())
        .bind(look.lanes.ids.clone())
        .bind(look.open.transactions.clone())
        .bind(look.open.since.clone())
        .bind(look.added_from)
        .bind(look.leases_from)
        .bind(look.last)
        .bind(look.ahead)
        .fetch_all(&mut *work.connection)
        .await?)
}

/// The row of what was seen.
fn head(rows: &[PgRow]) -> Result<&PgRow> {
    let is_head = |row: &&PgRow| matches!(row.try_get::<Option<i64>, _>("now"), Ok(Some(_)));
    rows.iter().find(is_head).ok_or(sqlx::Error::RowNotFound.into())
}

fn seen(head: &PgRow) -> Result<Seen> {
    let (from, to): (i64, i64) = (get(head, "unlisted_from")?, get(head, "unlisted_to")?);
    let is_known = to.saturating_sub(from) < MOST_OPEN;
    let snapshot: String = get(head, "snapshot")?;
    // Its form is xmin:xmax:xid,xid.
    let listed =
        snapshot.rsplit(':').next().unwrap_or_default().split(',').filter_map(|xid| xid.parse().ok());
    let began = get(head, "began")?;
    Ok(Seen {
        lanes: if is_known { lanes(head, began)? } else { Lanes::default() },
        open: listed.chain(from..to.min(from.saturating_add(MOST_OPEN))).collect(),
        now: get(head, "now")?,
        began,
        back: get(head, "back")?,
        next_lease: get(head, "next_lease")?,
        leaves_leases: get(head, "leaves_leases")?,
    })
}

/// What each lane has come to. What is written by transactions that have no number yet is not due before the look began.
fn lanes(head: &PgRow, began: i64) -> Result<Lanes> {
    let lanes: Option<Vec<i64>> = get(head, "lanes")?;
    let due: Option<Vec<Option<i64>>> = get(head, "due")?;
    let ids: Option<Vec<Option<Uuid>>> = get(head, "ids")?;
    let first = due.unwrap_or_default().into_iter().zip(ids.unwrap_or_default());
    let (due, ids) = first
        .map(|first| match first {
            (Some(due), Some(id)) if due < began => (due, id),
            _ => (began, Uuid::nil()),
        })
        .unzip();
    Ok(Lanes { lanes: lanes.unwrap_or_default(), due, ids })
}

fn claimed(
    row: &PgRow,
    id: RunId,
    request: &ClaimRequest,
    queue: &Arc<str>,
    now: Timestamp,
) -> Result<ClaimedRun> {
    Ok(ClaimedRun {
        lease: LeaseRef { queue: Arc::clone(queue), run: id, token: request.token },
        job: get(row, "job")?,
        priority: Priority::from_number(small(row, "priority")?)?,
        input: payload(row, "input_codec", "input")?,
        failures: get_narrow(row, "failures")?,
        crashes: get_narrow(row, "crashes")?,
        enqueued_at: time(row, "enqueued_at")?,
        due_at: time(row, "due_at")?,
        claimed_at: now,
        root: maybe_run_id(row, "root")?.unwrap_or(id),
        replay_of: maybe_run_id(row, "replay_of")?,
        reference: get(row, "reference")?,
        event_id: get(row, "event_id")?,
        tick: tick(row)?,
        trace: trace(row)?,
        steps: Vec::new(),
    })
}

async fn load_steps(work: &mut Work<'_>, runs: &mut [ClaimedRun], with_steps: &[RunId]) -> Result<()> {
    if with_steps.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = with_steps.iter().map(RunId::as_uuid).collect();
    let rows = work
        .query(include_str!("../queries/claimed_steps.sql"))
        .bind(ids)
        .fetch_all(&mut *work.connection)
        .await?;
    let mut runs: HashMap<RunId, &mut ClaimedRun> = runs.iter_mut().map(|run| (run.lease.run, run)).collect();
    for row in &rows {
        if let Some(run) = runs.get_mut(&run_id(row, "run")?) {
            run.steps.push(saved_step(row)?);
        }
    }
    Ok(())
}
