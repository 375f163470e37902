//! Pages of runs. Each part of a page is read from one range of one index, newest id first, and ends at its limit: what
//! is not on the page is not looked at, or only in the index.

use riqle_jobs_core::{Run, RunFilter, RunState};
use sqlx::Row;

use crate::{
    error::Result,
    inspect::shown,
    rows::{millis_up, size},
    work::Work,
};

/// A page of runs, newest id first.
pub(crate) async fn list_runs(work: &mut Work<'_>, filter: &RunFilter) -> Result<Vec<Run>> {
    let lanes = lanes(work, filter).await?;
    if lanes.is_empty() {
        return Ok(Vec::new());
    }
    // Its text is made of words of ours; planned anew each time, so that what is not asked for costs nothing.
    let rows = work
        .statements
        .query_once(&page(filter))
        .bind(filter.before.map(|id| id.as_uuid()))
        .bind(filter.reference.clone())
        .bind(filter.unique_key.clone())
        .bind(filter.error_fingerprint.clone())
        .bind(filter.enqueued_from.map(millis_up))
        .bind(filter.enqueued_before.map(millis_up))
        .bind(size(filter.page_size()))
        .bind(lanes)
        .fetch_all(&mut *work.connection)
        .await?;
    rows.iter().map(shown).collect()
}

/// The lanes of the filter's job and queue.
async fn lanes(work: &mut Work<'_>, filter: &RunFilter) -> Result<Vec<i64>> {
    let lanes = work
        .query(
            "SELECT lane FROM riqle.lanes
             WHERE ($1::text IS NULL OR job = $1) AND ($2::text IS NULL OR queue = $2)",
        )
        .bind(filter.job.clone())
        .bind(filter.queue.clone());
    lanes.fetch_all(&mut *work.connection).await?.iter().map(|row| row.try_get(0)).collect()
}

/// The query of a page.
fn page(filter: &RunFilter) -> String {
    let arms: Vec<_> = arms(filter).into_iter().map(|arm| format!("({arm})")).collect();
    include_str!("../queries/list_runs.sql").replace("/* arms */", &arms.join(" UNION ALL "))
}

/// Runs of one state in one table.
struct Part {
    table: &'static str,
    state: RunState,
}

const PARTS: [Part; 7] = [
    Part { table: "runs", state: RunState::Pending },
    Part { table: "runs", state: RunState::Running },
    Part { table: "runs", state: RunState::Waiting },
    Part { table: "history", state: RunState::Succeeded },
    Part { table: "history", state: RunState::Cancelled },
    // Those that were replayed, which are no dead letters any more.
    Part { table: "history", state: RunState::Dead },
    Part { table: DEAD, state: RunState::Dead },
];
/// Its rows are all dead.
const DEAD: &str = "dead";

impl Part {
    fn is_listed_by(&self, filter: &RunFilter) -> bool {
        let was_replayed = self.state == RunState::Dead && self.table != DEAD;
        filter.states.is_empty() || filter.states.contains(&self.state) && !was_replayed
    }

    fn condition(&self) -> String {
        if self.table == DEAD { String::new() } else { format!(" AND state = '{}'", self.state) }
    }
}

fn arms(filter: &RunFilter) -> Vec<String> {
    let parts = PARTS.iter().filter(|part| part.is_listed_by(filter));
    let is_of_lanes = filter.job.is_some() || filter.queue.is_some();
    let has_key =
        filter.unique_key.is_some() || filter.reference.is_some() || filter.error_fingerprint.is_some();
    let rest = conditions(filter);
    if has_key || !is_of_lanes {
        let lanes = if is_of_lanes { " AND lane = ANY ($8)" } else { "" };
        let arm = |part: &Part| {
            let (table, state) = (part.table, part.condition());
            format!("SELECT id FROM riqle.{table} WHERE true{state}{lanes}{rest} ORDER BY id DESC LIMIT $7")
        };
        return parts.map(arm).collect();
    }
    let arm = |part: &Part| {
        let (table, state) = (part.table, part.condition());
        format!(
            "SELECT r.id FROM unnest($8) AS l(lane) CROSS JOIN LATERAL (
                 SELECT id FROM riqle.{table} WHERE lane = l.lane{state}{rest} ORDER BY id DESC LIMIT $7) r"
        )
    };
    parts.map(arm).collect()
}

fn conditions(filter: &RunFilter) -> String {
    let conditions = [
        (filter.before.is_some(), " AND id < $1"),
        (filter.reference.is_some(), " AND reference = $2"),
        (filter.unique_key.is_some(), " AND unique_key = $3"),
        (filter.error_fingerprint.is_some(), " AND error_fingerprint = $4"),
        (filter.enqueued_from.is_some(), " AND enqueued_at >= $5"),
        (filter.enqueued_before.is_some(), " AND enqueued_at < $6"),
    ];
    conditions.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, condition)| condition).collect()
}
