use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use riqle_jobs_core::{ClaimRequest, Claimed, ClaimedRun, LeaseRef, Priority, RunId, later, millis_of};
use sqlx::postgres::PgRow;

use crate::{
    error::{Result, into_driver},
    floors::Floors,
    rows::{get, get_narrow, maybe_run_id, maybe_time, payload, run_id, size, small, time},
    steps::saved_step,
    work::Work,
};

/// Takes at most `request.limit` due runs under a lease.
pub(crate) async fn claim(work: &mut Work<'_>, floors: &Floors, request: &ClaimRequest) -> Result<Claimed> {
    let queue = request.queue.as_str();
    let is_busy = work.frozen.is_none() && request.limit > 0;
    let mut before = Vec::new();
    if let Some(floor) = floors.of(queue).filter(|_| is_busy) {
        let claimed = claim_from(work, request, request.limit, Some(floor)).await?;
        if claimed.runs.len() == request.limit {
            floors.rise(queue, &claimed.runs, false);
            return Ok(claimed);
        }
        before = claimed.runs;
    }
    let mut claimed = claim_from(work, request, request.limit.saturating_sub(before.len()), None).await?;
    claimed.runs.append(&mut before);
    sort(&mut claimed.runs);
    if is_busy && claimed.runs.len() == request.limit {
        floors.rise(queue, &claimed.runs, true);
    } else {
        floors.forget(queue);
    }
    Ok(claimed)
}

fn sort(runs: &mut [ClaimedRun]) {
    runs.sort_unstable_by_key(|run| (run.priority, run.due_at, run.lease.run));
}

/// From the front of each lane, or from where the claim before has come to.
async fn claim_from(
    work: &mut Work<'_>,
    request: &ClaimRequest,
    limit: usize,
    floor: Option<(Vec<i64>, Vec<i64>)>,
) -> Result<Claimed> {
    let goes_on = floor.is_some();
    let (lanes, due) = floor.unwrap_or_default();
    let rows = work
        .timed(include_str!("../queries/claim.sql"))
        .bind(request.queue.clone())
        .bind(request.jobs.to_vec())
        .bind(size(limit).min(1_000_000))
        .bind(request.token.as_uuid())
        .bind(request.worker.as_uuid())
        .bind(millis_of(request.lease))
        .bind(lanes)
        .bind(due)
        .bind(goes_on)
        .fetch_all(&mut *work.connection)
        .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let now = time(first, "now")?;
    let mut next_due = maybe_time(first, "next_due")?;
    let queue: Arc<str> = Arc::from(request.queue.as_str());
    let mut runs = Vec::with_capacity(rows.len());
    let mut with_steps = Vec::new();
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
        // Where it did not look at what is due later, that may be at once.
        let own = if goes_on { now } else { later(now, request.lease) };
        next_due = Some(next_due.map_or(own, |due| due.min(own)));
    }
    sort(&mut runs);
    load_steps(work, &mut runs, &with_steps).await?;
    Ok(Claimed { runs, next_due, now })
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
        priority: Priority::from_number(small(row, "priority")?).map_err(into_driver)?,
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
