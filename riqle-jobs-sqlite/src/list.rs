//! Pages of runs. Each part of a page is read from one range of one index, newest id first, and ends at its limit: what
//! is not on the page is not looked at, or only in the index.

use riqle_jobs_core::{Run, RunFilter, RunState, store::DeadError};
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use crate::{
    attempts::read_attempts,
    error::Result,
    inspect::{RUN, shown},
    rows::{Query, count, get, get_count, millis_up, run_id},
};

/// With more parts than this a list would be slow to plan, and SQLite allows 500: then the tables are walked by id.
const MOST_ARMS: usize = 100;

/// A page of runs, newest id first.
pub(crate) async fn list_runs(connection: &mut SqliteConnection, filter: RunFilter) -> Result<Vec<Run>> {
    let lanes = lanes(connection, &filter).await?;
    if lanes.is_empty() {
        return Ok(Vec::new());
    }
    let most = i64::try_from(filter.page_size()).unwrap_or(i64::MAX);
    let rows = asked(&page(&filter, &lanes), &filter, most).fetch_all(connection).await?;
    let mut runs = rows.iter().map(shown).collect::<Result<Vec<_>>>()?;
    runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.id));
    Ok(runs)
}

/// The newest errors of a page of dead letters.
pub(crate) async fn dead_errors(
    connection: &mut SqliteConnection,
    filter: RunFilter,
) -> Result<Vec<DeadError>> {
    let filter = filter.states([RunState::Dead]);
    let lanes = lanes(connection, &filter).await?;
    if lanes.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "{} SELECT id, attempts FROM riqle_dead WHERE id IN (SELECT id FROM page)",
        ids(&filter, &lanes)
    );
    let most = i64::try_from(filter.page_size()).unwrap_or(i64::MAX);
    let rows = asked(&sql, &filter, most).fetch_all(connection).await?;
    let error = |row| Ok(DeadError::of(run_id(row, "id")?, &read_attempts(get(row, "attempts")?)?));
    let mut errors = rows.iter().map(error).collect::<Result<Vec<_>>>()?;
    errors.sort_unstable_by_key(|error| std::cmp::Reverse(error.run));
    Ok(errors)
}

/// How many runs all pages have, `most` at most.
pub(crate) async fn count_runs(
    connection: &mut SqliteConnection,
    filter: RunFilter,
    most: u64,
) -> Result<u64> {
    let lanes = lanes(connection, &filter).await?;
    if lanes.is_empty() {
        return Ok(0);
    }
    let row = asked(&number(&filter, &lanes), &filter, count(most)).fetch_one(connection).await?;
    get_count(&row, "runs")
}

/// A query with what a filter says bound to it. Neither is it worth keeping prepared, nor is its text the caller's: it is
/// made of numbers and words of ours.
fn asked<'q>(sql: &'q str, filter: &'q RunFilter, most: i64) -> Query<'q> {
    // Above every id.
    let before = filter.before.map_or(vec![0xff; 17], |id| id.as_uuid().as_bytes().to_vec());
    sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(before)
        .bind(filter.reference.as_ref())
        .bind(filter.unique_key.as_ref())
        .bind(filter.error_fingerprint.as_ref().filter(|print| !print.is_empty()))
        .bind(filter.enqueued_from.map(millis_up))
        .bind(filter.enqueued_before.map(millis_up))
        .bind(most)
}

/// The lanes of the filter's job and queue.
async fn lanes(connection: &mut SqliteConnection, filter: &RunFilter) -> Result<Vec<i64>> {
    let rows = sqlx::query(include_str!("../queries/lanes.sql"))
        .bind(filter.job.as_ref())
        .bind(filter.queue.as_ref())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The query of a page.
pub(crate) fn page(filter: &RunFilter, lanes: &[i64]) -> String {
    format!("{}{}", ids(filter, lanes), RUN.replace("id = ?1", "id IN (SELECT id FROM page)"))
}

/// The ids of a page, under that name.
fn ids(filter: &RunFilter, lanes: &[i64]) -> String {
    let arms = arms(filter, lanes, Walk::ByIdWhereAllAreAsked);
    let arms: Vec<_> =
        arms.iter().map(|arm| format!("SELECT id FROM ({arm} ORDER BY id DESC LIMIT ?7)")).collect();
    include_str!("../queries/list_runs.sql").replace("/* arms */", &arms.join(" UNION ALL "))
}

/// The query of a count, which stops at its limit.
pub(crate) fn number(filter: &RunFilter, lanes: &[i64]) -> String {
    let arms = arms(filter, lanes, Walk::ByLane).join(" UNION ALL ");
    format!("SELECT count(*) AS runs FROM (SELECT id FROM ({arms}) LIMIT ?7)")
}

/// How runs are walked that nothing but their state tells apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// In the indexes of their lanes, which are smaller than the tables.
    ByLane,
    /// In the tables, where runs of all states and lanes are asked for, newest first.
    ByIdWhereAllAreAsked,
}

/// Runs of one state in one table, with the index of such runs of a lane.
struct Part {
    table: &'static str,
    state: RunState,
    index: &'static str,
}

const PARTS: [Part; 7] = [
    Part { table: "riqle_runs", state: RunState::Pending, index: "riqle_runs_list" },
    Part { table: "riqle_runs", state: RunState::Running, index: "riqle_runs_leases" },
    Part { table: "riqle_runs", state: RunState::Waiting, index: "riqle_runs_waiting" },
    Part { table: "riqle_history", state: RunState::Succeeded, index: "riqle_history_list" },
    Part { table: "riqle_history", state: RunState::Cancelled, index: "riqle_history_list" },
    // Those that were replayed, which are no dead letters any more.
    Part { table: "riqle_history", state: RunState::Dead, index: "riqle_history_list" },
    Part { table: DEAD, state: RunState::Dead, index: "riqle_dead_list" },
];
/// Its rows are all dead.
const DEAD: &str = "riqle_dead";

impl Part {
    fn is_listed_by(&self, filter: &RunFilter) -> bool {
        let was_replayed = self.state == RunState::Dead && self.table != DEAD;
        filter.states.is_empty() || filter.states.contains(&self.state) && !was_replayed
    }
}

fn arms(filter: &RunFilter, lanes: &[i64], walk: Walk) -> Vec<String> {
    let parts: Vec<_> = PARTS.iter().filter(|part| part.is_listed_by(filter)).collect();
    let is_of_lanes = filter.job.is_some() || filter.queue.is_some();
    let is_filtered = is_of_lanes || !filter.states.is_empty() || walk == Walk::ByLane;
    let are_few = lanes.len() * parts.len() <= MOST_ARMS;
    let rest = conditions(filter);
    let arm = |table: &str, how: &str, which: &str| {
        format!("SELECT id FROM {table} {how} WHERE id < ?1{which}{rest}")
    };
    let by_lanes = |table: &str, index: &str, which: &str| {
        let of_lane =
            |lane| arm(table, &format!("INDEXED BY {index}"), &format!("{which} AND lane = {lane}"));
        lanes.iter().map(of_lane).collect::<Vec<_>>()
    };
    let mut arms = Vec::new();
    for parts in parts.chunk_by(|part, next| part.table == next.table) {
        let Some(Part { table, .. }) = parts.first() else { continue };
        match key(filter, table) {
            Some(ERROR) if *table == DEAD && are_few => arms.extend(by_lanes(table, "riqle_dead_error", "")),
            None if is_filtered && are_few => {
                arms.extend(parts.iter().flat_map(|part| by_lanes(table, part.index, &of_states(&[part]))));
            }
            key => {
                let mut which = if filter.states.is_empty() { String::new() } else { of_states(parts) };
                if is_of_lanes {
                    let lanes: Vec<_> = lanes.iter().map(i64::to_string).collect();
                    which.push_str(&format!(" AND lane IN ({})", lanes.join(", ")));
                }
                let how = key.map(|key| format!("INDEXED BY {table}_{key}"));
                arms.push(arm(table, how.as_deref().unwrap_or("NOT INDEXED"), &which));
            }
        }
    }
    arms
}

/// The condition that parts of one table share.
fn of_states(parts: &[&Part]) -> String {
    let states: Vec<_> = parts.iter().map(|part| format!("'{}'", part.state)).collect();
    match parts {
        [Part { table: DEAD, .. }] => String::new(),
        [_] => format!(" AND state = {}", states.concat()),
        _ => format!(" AND state IN ({})", states.join(", ")),
    }
}

const ERROR: &str = "error";

/// The index of the rarest thing that is asked for. Most runs have no error, unless they are dead.
fn key(filter: &RunFilter, table: &str) -> Option<&'static str> {
    match filter {
        RunFilter { unique_key: Some(_), .. } => Some("unique_key"),
        RunFilter { reference: Some(_), .. } => Some("reference"),
        RunFilter { error_fingerprint: Some(print), .. } if table == DEAD || !print.is_empty() => Some(ERROR),
        _ => None,
    }
}

fn conditions(filter: &RunFilter) -> String {
    let print = filter.error_fingerprint.as_deref();
    let conditions = [
        (filter.reference.is_some(), " AND reference = ?2"),
        (filter.unique_key.is_some(), " AND unique_key = ?3"),
        (print == Some(""), " AND error_fingerprint IS NULL"),
        (print.is_some_and(|print| !print.is_empty()), " AND error_fingerprint = ?4"),
        (filter.enqueued_from.is_some(), " AND enqueued_at >= ?5"),
        (filter.enqueued_before.is_some(), " AND enqueued_at < ?6"),
    ];
    conditions.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, condition)| condition).collect()
}
