//! Pages of runs, and how many there are. Each part of a page is read from one range of one index, newest id first, and ends
//! at its limit: what is not on the page is not looked at, or only in the index.

use riqle_jobs_core::{Run, RunFilter, RunState, store::DeadError};

use crate::{
    attempts::read_attempts,
    error::Result,
    inspect::shown,
    rows::{count, get, get_count, millis_up, run_id, size},
    statements::Query,
    work::Work,
};

/// A page of runs, newest id first.
pub(crate) async fn list_runs(work: &mut Work<'_>, filter: &RunFilter) -> Result<Vec<Run>> {
    let lanes = Lanes::of(work, filter).await?;
    if lanes.all.is_empty() {
        return Ok(Vec::new());
    }
    let arms = arms(filter, &lanes, Read::Page);
    let text = include_str!("../queries/list_runs.sql").replace("/* arms */", &arms);
    let page = bind(work, &text, filter, lanes, size(filter.page_size()));
    page.fetch_all(&mut *work.connection).await?.iter().map(shown).collect()
}

/// The newest errors of a page of dead letters.
pub(crate) async fn dead_errors(work: &mut Work<'_>, filter: &RunFilter) -> Result<Vec<DeadError>> {
    let filter = &filter.clone().states([RunState::Dead]);
    let lanes = Lanes::of(work, filter).await?;
    if lanes.all.is_empty() {
        return Ok(Vec::new());
    }
    let arms = arms(filter, &lanes, Read::Page);
    let text = include_str!("../queries/dead_errors.sql").replace("/* arms */", &arms);
    let page = bind(work, &text, filter, lanes, size(filter.page_size()));
    let rows = page.fetch_all(&mut *work.connection).await?;
    let error = |row| Ok(DeadError::of(run_id(row, "id")?, &read_attempts(get(row, "attempts")?)?));
    rows.iter().map(error).collect()
}

/// How many runs all pages have, counted to `most` at most.
pub(crate) async fn count_runs(work: &mut Work<'_>, filter: &RunFilter, most: u64) -> Result<u64> {
    let lanes = Lanes::of(work, filter).await?;
    if lanes.all.is_empty() {
        return Ok(0);
    }
    let arms = arms(filter, &lanes, Read::Count);
    let text = include_str!("../queries/count_runs.sql").replace("/* arms */", &arms);
    let counted = bind(work, &text, filter, lanes, count(most));
    get_count(&counted.fetch_one(&mut *work.connection).await?, "runs")
}

/// Its text is made of words of ours; planned again each time, so that what is not asked for costs nothing.
fn bind(work: &Work<'_>, text: &str, filter: &RunFilter, lanes: Lanes, size: i64) -> Query {
    work.statements
        .query_once(text)
        .bind(filter.before.map(|id| id.as_uuid()))
        .bind(filter.reference.clone())
        .bind(filter.unique_key.clone())
        .bind(filter.error_fingerprint.clone())
        .bind(filter.enqueued_from.map(millis_up))
        .bind(filter.enqueued_before.map(millis_up))
        .bind(size)
        .bind(lanes.all)
        .bind(lanes.full)
}

/// The lanes of a filter's job and queue.
#[derive(Default)]
struct Lanes {
    all: Vec<i64>,
    /// Those that hold many pending runs, where it matters.
    full: Vec<i64>,
}

impl Lanes {
    async fn of(work: &mut Work<'_>, filter: &RunFilter) -> Result<Self> {
        let lists_pending = filter.states.is_empty() || filter.states.contains(&RunState::Pending);
        let rows = work
            .query(include_str!("../queries/listed_lanes.sql"))
            .bind(filter.job.clone())
            .bind(filter.queue.clone())
            .bind(lists_pending && is_of_lanes(filter))
            .fetch_all(&mut *work.connection)
            .await?;
        let mut lanes = Self::default();
        for row in &rows {
            let lane = get(row, "lane")?;
            lanes.all.push(lane);
            if get(row, "is_full")? {
                lanes.full.push(lane);
            }
        }
        Ok(lanes)
    }
}

fn is_of_lanes(filter: &RunFilter) -> bool {
    filter.job.is_some() || filter.queue.is_some()
}

/// Runs of one state in one table.
struct Part {
    table: &'static str,
    state: RunState,
}

const PARTS: [Part; 7] = [
    Part { table: RUNS, state: RunState::Pending },
    Part { table: RUNS, state: RunState::Running },
    Part { table: RUNS, state: RunState::Waiting },
    Part { table: "history", state: RunState::Succeeded },
    Part { table: "history", state: RunState::Cancelled },
    // Those that were replayed, which are no dead letters any more.
    Part { table: "history", state: RunState::Dead },
    Part { table: DEAD, state: RunState::Dead },
];
const RUNS: &str = "runs";
/// Its rows are all dead.
const DEAD: &str = "dead";

/// What is read of the runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    Page,
    Count,
}

fn arms(filter: &RunFilter, lanes: &Lanes, read: Read) -> String {
    let parts = PARTS.iter().filter(|part| part.is_listed_by(filter));
    let arms = parts.flat_map(|part| match read {
        Read::Page => part.page_arms(filter, lanes),
        Read::Count => vec![part.count_arm(filter)],
    });
    arms.map(|arm| format!("({arm})")).collect::<Vec<_>>().join(" UNION ALL ")
}

impl Part {
    fn is_listed_by(&self, filter: &RunFilter) -> bool {
        let was_replayed = self.state == RunState::Dead && self.table != DEAD;
        filter.states.is_empty() || filter.states.contains(&self.state) && !was_replayed
    }

    fn state(&self) -> String {
        if self.table == DEAD { String::new() } else { format!(" AND state = '{}'", self.state) }
    }

    fn conditions(&self, filter: &RunFilter) -> String {
        let has_error = filter.error_fingerprint.as_ref().map(|print| !print.is_empty());
        // As the index of dead letters has it, where those without an error stand among the others.
        let is_of_group = has_error.is_some() && self.table == DEAD;
        let conditions = [
            (filter.before.is_some(), " AND id < $1"),
            (filter.reference.is_some(), " AND reference = $2"),
            (filter.unique_key.is_some(), " AND unique_key = $3"),
            (is_of_group, " AND coalesce(error_fingerprint, '') = $4"),
            (!is_of_group && has_error == Some(true), " AND error_fingerprint = $4"),
            (!is_of_group && has_error == Some(false), " AND error_fingerprint IS NULL"),
            (filter.enqueued_from.is_some(), " AND enqueued_at >= $5"),
            (filter.enqueued_before.is_some(), " AND enqueued_at < $6"),
        ];
        conditions.into_iter().filter(|(is_asked, _)| *is_asked).map(|(_, condition)| condition).collect()
    }

    /// Whether an index finds them by a word of the filter, in every lane.
    fn has_key(&self, filter: &RunFilter) -> bool {
        let by_error =
            self.table != DEAD && filter.error_fingerprint.as_ref().is_some_and(|print| !print.is_empty());
        filter.unique_key.is_some() || filter.reference.is_some() || by_error
    }

    fn count_arm(&self, filter: &RunFilter) -> String {
        let Part { table, .. } = self;
        let (state, rest) = (self.state(), self.conditions(filter));
        if self.has_key(filter) || self.table == RUNS && !is_of_lanes(filter) {
            let lanes = of_lanes(filter);
            return format!("SELECT id FROM riqle.{table} WHERE true{state}{lanes}{rest} LIMIT $7");
        }
        of_each(
            "unnest($8)",
            &format!("SELECT id FROM riqle.{table} WHERE lane = l.lane{state}{rest} LIMIT $7"),
        )
    }

    /// The queries for the ids of a page.
    fn page_arms(&self, filter: &RunFilter, lanes: &Lanes) -> Vec<String> {
        let Part { table, .. } = self;
        let (state, rest, of_lanes) = (self.state(), self.conditions(filter), of_lanes(filter));
        if self.has_key(filter) {
            return vec![sorted(&format!("SELECT id FROM riqle.{table} WHERE true{state}{of_lanes}{rest}"))];
        }
        let newest = |lanes: &str| {
            format!("SELECT id FROM riqle.{table} WHERE true{state}{lanes}{rest} ORDER BY id DESC LIMIT $7")
        };
        if self.table == RUNS && !is_of_lanes(filter) {
            return vec![newest("")];
        }
        if self.table == RUNS {
            // No index has them by lane and id. Few are sorted; among many the page is soon full.
            let few = sorted(&format!("SELECT id FROM riqle.{table} WHERE lane = l.lane{state}{rest}"));
            if self.state != RunState::Pending || lanes.full.is_empty() {
                return vec![of_each("unnest($8)", &few)];
            }
            let not_full = "(SELECT unnest($8) EXCEPT SELECT unnest($9))";
            return vec![of_each(not_full, &few), newest(" AND lane = ANY ($9)")];
        }
        // Written as a range and an order that only the index of lanes has: that of the ids would be read to its end where
        // a lane has few.
        let order = if self.table == DEAD { "lane DESC, id DESC" } else { "lane DESC, state DESC, id DESC" };
        let newest = format!(
            "SELECT id FROM riqle.{table} WHERE lane >= l.lane AND lane <= l.lane{state}{rest}
             ORDER BY {order} LIMIT $7"
        );
        vec![of_each("unnest($8)", &newest)]
    }
}

fn of_lanes(filter: &RunFilter) -> &'static str {
    if is_of_lanes(filter) { " AND lane = ANY ($8)" } else { "" }
}

fn of_each(lanes: &str, query: &str) -> String {
    format!("SELECT r.id FROM {lanes} AS l(lane) CROSS JOIN LATERAL ({query}) r")
}

/// Behind a fence, which keeps the planner from reading all runs in the order of their ids instead.
fn sorted(query: &str) -> String {
    format!("SELECT id FROM ({query} OFFSET 0) few ORDER BY id DESC LIMIT $7")
}
