//! Which runs to list, as a URL says it.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use riqle_jobs_core::{RunFilter, RunId, RunState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::dashboard::{
    failure::Failure,
    show::{query_of, words_of},
};

/// Which runs to list, as in the URL. Empty fields filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Search {
    /// `pending`, `running`, `waiting`, `succeeded`, `dead` (and not replayed) or `cancelled`.
    pub(crate) state: String,
    /// The job's name.
    pub(crate) job: String,
    pub(crate) queue: String,
    /// The application's own name for what it is about.
    pub(crate) reference: String,
    /// The unique key.
    pub(crate) key: String,
    /// The fingerprint of the newest error.
    pub(crate) error: String,
    /// Those without an error fingerprint: with the state `dead`, dead letters without an error.
    pub(crate) without_error: bool,
    /// Text in a dead letter's newest error; the newest 10,000 are searched.
    pub(crate) text: String,
    /// Enqueued then or later: RFC 3339, or `2026-11-26T08:30` in UTC.
    pub(crate) from: String,
    /// Enqueued before.
    pub(crate) to: String,
    /// Older than this run: the last one of the previous page.
    pub(crate) before: String,
}

impl Search {
    /// # Errors
    /// 400 if a state, a time or an id is malformed.
    pub(crate) fn filter(&self) -> Result<RunFilter, Failure> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let states = match some(&self.state) {
            Some(state) => {
                vec![state.parse::<RunState>().map_err(|_| Failure::bad("unknown state"))?]
            }
            None => Vec::new(),
        };
        let before = match some(&self.before) {
            Some(id) => Some(id.parse::<RunId>().map_err(|_| Failure::bad("`before` is not a run's id"))?),
            None => None,
        };
        Ok(RunFilter {
            states,
            job: some(&self.job),
            queue: some(&self.queue),
            reference: some(&self.reference),
            unique_key: some(&self.key),
            error_fingerprint: if self.without_error { Some(String::new()) } else { some(&self.error) },
            enqueued_from: time("from", &self.from)?,
            enqueued_before: time("to", &self.to)?,
            before,
            limit: 0,
        })
    }

    /// With another state, from the first page on.
    pub(crate) fn of_state(&self, state: &str) -> Self {
        Self { state: state.to_owned(), before: String::new(), ..self.clone() }
    }

    /// The query of an address.
    pub(crate) fn query(&self) -> String {
        query_of(self)
    }

    /// The same for display; empty if it filters nothing.
    pub(crate) fn words(&self) -> String {
        words_of(self)
    }

    /// Whether it filters by anything besides the state.
    pub(crate) fn is_narrowed(&self) -> bool {
        Self { state: String::new(), before: String::new(), ..self.clone() } != Self::default()
    }
}

pub(crate) fn time(field: &str, text: &str) -> Result<Option<Timestamp>, Failure> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let read = text.parse::<Timestamp>().ok().or_else(|| {
        let civil = text.parse::<DateTime>().ok()?;
        Some(civil.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
    });
    read.map(Some).ok_or_else(|| Failure::bad(format!("`{field}` is not a time such as 2026-11-26T08:30")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_its_address() {
        let search = Search {
            state: "dead".into(),
            job: "a b/ä&".into(),
            from: "2026-11-26T08:30".into(),
            ..Search::default()
        };
        assert_eq!(search.query(), "from=2026%2D11%2D26T08%3A30&job=a%20b%2F%C3%A4%26&state=dead");
        let filter = search.filter().unwrap();
        assert_eq!(filter.states, [RunState::Dead]);
        assert_eq!(filter.enqueued_from.unwrap().to_string(), "2026-11-26T08:30:00Z");
        assert!(search.is_narrowed() && !Search::default().of_state("dead").is_narrowed());
        assert_eq!(Search::default().filter().unwrap(), RunFilter::default());
    }

    #[test]
    fn what_can_not_be_read_is_refused() {
        for search in [
            Search { state: "lost".into(), ..Search::default() },
            Search { from: "yesterday".into(), ..Search::default() },
            Search { before: "7".into(), ..Search::default() },
        ] {
            assert_eq!(search.filter().unwrap_err().status, 400);
        }
    }
}
