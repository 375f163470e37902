//! The runs that one operation on many is done to.

use crate::{Run, RunFilter, RunId, RunState};

/// A page of runs; small, so that what others do meanwhile is seen.
const PAGE: usize = 200;

/// Walks through runs page by page, by falling id, so that runs which come meanwhile, replays among them, are not met.
#[derive(Debug)]
pub struct Pages {
    filter: RunFilter,
    left: usize,
    before: Option<RunId>,
}

impl Pages {
    /// The runs that `filter` lists, up to its limit (0: all). Of its states those count that are among `states`.
    pub fn of(filter: RunFilter, states: &[RunState]) -> Self {
        let asked = |state: &RunState| filter.states.is_empty() || filter.states.contains(state);
        let states: Vec<_> = states.iter().copied().filter(asked).collect();
        let left = match filter.limit {
            _ if states.is_empty() => 0,
            0 => usize::MAX,
            limit => limit,
        };
        Self { before: filter.before, filter: filter.states(states), left }
    }

    /// The page to ask for; nothing where all were met.
    pub fn page(&self) -> Option<RunFilter> {
        let page = RunFilter { before: self.before, limit: PAGE.min(self.left), ..self.filter.clone() };
        (self.left > 0).then_some(page)
    }

    /// Takes note of what the store answered to [`page`](Self::page).
    pub fn met(&mut self, runs: &[Run]) {
        let is_last = runs.len() < PAGE.min(self.left);
        self.left = if is_last { 0 } else { self.left - runs.len() };
        self.before = runs.last().map(|run| run.id).or(self.before);
    }
}
