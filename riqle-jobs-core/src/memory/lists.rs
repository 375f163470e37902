//! The ids of runs by state, newest first, and of dead letters by their error.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, btree_set::Range};
use std::iter::Rev;
use std::ops::Bound::{Excluded, Unbounded};

use jiff::Timestamp;

use super::run::StoredRun;
use crate::{RunFilter, RunId, RunState};

/// The ids of the runs by what they are listed as, in the lanes of [`DueRuns`](super::due::DueRuns): so that lists,
/// counts and groups of dead letters touch no other runs.
#[derive(Clone, Default)]
pub(super) struct Lists {
    lanes: Vec<LaneLists>,
    /// Succeeded, cancelled and replayed runs by their end.
    history: BTreeSet<(Timestamp, RunId)>,
}

#[derive(Clone, Default)]
pub(super) struct LaneLists {
    /// Pending, running and waiting.
    live: BTreeSet<RunId>,
    succeeded: BTreeSet<RunId>,
    cancelled: BTreeSet<RunId>,
    /// Dead ones that are no dead letters any more.
    replayed: BTreeSet<RunId>,
    /// By the fingerprint of their newest error.
    dead: BTreeMap<Option<String>, DeadLetters>,
}

/// The dead letters of a lane whose errors are alike.
#[derive(Clone, Default)]
pub(super) struct DeadLetters {
    ids: BTreeSet<RunId>,
    by_end: BTreeSet<(Timestamp, RunId)>,
}

/// Which list a run is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    Live,
    Succeeded,
    Cancelled,
    Dead,
    Replayed,
}

impl Shelf {
    pub(super) fn of(run: &StoredRun) -> Self {
        match run.state {
            RunState::Pending | RunState::Running | RunState::Waiting => Shelf::Live,
            RunState::Succeeded => Shelf::Succeeded,
            RunState::Cancelled => Shelf::Cancelled,
            RunState::Dead if run.replayed_by.is_some() => Shelf::Replayed,
            RunState::Dead => Shelf::Dead,
        }
    }
}

impl Lists {
    pub(super) fn insert(&mut self, id: RunId, run: &StoredRun) {
        if self.lanes.len() <= run.lane {
            self.lanes.resize_with(run.lane + 1, LaneLists::default);
        }
        let lane = &mut self.lanes[run.lane];
        let shelf = Shelf::of(run);
        match (shelf, run.ended_at) {
            (Shelf::Dead, Some(ended_at)) => {
                let letters = lane.dead.entry(run.error_fingerprint.clone()).or_default();
                letters.ids.insert(id);
                letters.by_end.insert((ended_at, id));
            }
            (_, ended_at) => {
                lane.ids_mut(shelf).map(|ids| ids.insert(id));
                self.history.extend(ended_at.map(|ended_at| (ended_at, id)));
            }
        }
    }

    /// Takes a run out of the list in which it was; its end and its error are what they were then, if it had ended.
    pub(super) fn remove(&mut self, id: RunId, run: &StoredRun, shelf: Shelf) {
        let Some(lane) = self.lanes.get_mut(run.lane) else { return };
        match (shelf, run.ended_at) {
            (Shelf::Live, _) => {
                lane.live.remove(&id);
            }
            (Shelf::Dead, Some(ended_at)) => {
                let Some(letters) = lane.dead.get_mut(&run.error_fingerprint) else { return };
                letters.ids.remove(&id);
                letters.by_end.remove(&(ended_at, id));
                if letters.ids.is_empty() {
                    lane.dead.remove(&run.error_fingerprint);
                }
            }
            (_, ended_at) => {
                lane.ids_mut(shelf).map(|ids| ids.remove(&id));
                ended_at.map(|ended_at| self.history.remove(&(ended_at, id)));
            }
        }
    }

    pub(super) fn lane(&self, number: usize) -> Option<&LaneLists> {
        self.lanes.get(number)
    }

    /// Succeeded, cancelled and replayed runs that ended before `time`.
    pub(super) fn ended_before(&self, time: Timestamp) -> Vec<RunId> {
        before(&self.history, time).collect()
    }

    /// Dead letters that died before `time`.
    pub(super) fn dead_before(&self, time: Timestamp) -> Vec<RunId> {
        let letters = self.lanes.iter().flat_map(|lane| lane.dead.values());
        letters.flat_map(|letters| before(&letters.by_end, time)).collect()
    }
}

fn before(runs: &BTreeSet<(Timestamp, RunId)>, time: Timestamp) -> impl Iterator<Item = RunId> {
    runs.iter().take_while(move |(ended_at, _)| *ended_at < time).map(|(_, id)| *id)
}

impl LaneLists {
    fn ids_mut(&mut self, shelf: Shelf) -> Option<&mut BTreeSet<RunId>> {
        match shelf {
            Shelf::Live => Some(&mut self.live),
            Shelf::Succeeded => Some(&mut self.succeeded),
            Shelf::Cancelled => Some(&mut self.cancelled),
            Shelf::Replayed => Some(&mut self.replayed),
            Shelf::Dead => None,
        }
    }

    /// The dead letters by the fingerprint of their newest error.
    pub(super) fn dead(&self) -> impl Iterator<Item = (&Option<String>, &DeadLetters)> {
        self.dead.iter()
    }

    pub(super) fn live(&self) -> &BTreeSet<RunId> {
        &self.live
    }

    /// How many have ended so.
    pub(super) fn ended(&self, state: RunState) -> usize {
        match state {
            RunState::Succeeded => self.succeeded.len(),
            RunState::Cancelled => self.cancelled.len(),
            RunState::Dead => self.dead.values().map(DeadLetters::len).sum(),
            RunState::Pending | RunState::Running | RunState::Waiting => 0,
        }
    }

    /// The lists of ended runs in which a filter may find some.
    pub(super) fn ended_lists<'a>(&'a self, filter: &RunFilter) -> Vec<&'a BTreeSet<RunId>> {
        let asks = |state| filter.states.is_empty() || filter.states.contains(&state);
        let mut lists = Vec::new();
        lists.extend(asks(RunState::Succeeded).then_some(&self.succeeded));
        lists.extend(asks(RunState::Cancelled).then_some(&self.cancelled));
        lists.extend(filter.states.is_empty().then_some(&self.replayed));
        if asks(RunState::Dead) {
            let letters = self.dead.iter().filter(|(print, _)| lists_print(filter, print.as_deref()));
            lists.extend(letters.map(|(_, letters)| &letters.ids));
        }
        lists
    }
}

/// Whether a filter lists runs with this fingerprint of the newest error.
pub(super) fn lists_print(filter: &RunFilter, print: Option<&str>) -> bool {
    filter.error_fingerprint.as_deref().is_none_or(|asked| asked == print.unwrap_or_default())
}

impl DeadLetters {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// When the first one died, and the one that died last.
    pub(super) fn ends(&self) -> Option<(Timestamp, (Timestamp, RunId))> {
        Some((self.by_end.first()?.0, *self.by_end.last()?))
    }
}

/// The ids of several lists, greatest first.
pub(super) struct NewestFirst<'a> {
    rest: Vec<Rev<Range<'a, RunId>>>,
    heads: BinaryHeap<(RunId, usize)>,
}

impl<'a> NewestFirst<'a> {
    pub(super) fn of(lists: impl IntoIterator<Item = &'a BTreeSet<RunId>>, before: Option<RunId>) -> Self {
        let end = before.map_or(Unbounded, Excluded);
        let mut rest: Vec<_> = lists.into_iter().map(|ids| ids.range((Unbounded, end)).rev()).collect();
        let heads =
            rest.iter_mut().enumerate().filter_map(|(index, ids)| Some((*ids.next()?, index))).collect();
        Self { rest, heads }
    }
}

impl Iterator for NewestFirst<'_> {
    type Item = RunId;

    fn next(&mut self) -> Option<RunId> {
        let (id, index) = self.heads.pop()?;
        self.heads.extend(self.rest[index].next().map(|next| (*next, index)));
        // One may be in two of the lists.
        while let Some((_, index)) = self.heads.peek().copied().filter(|(next, _)| *next == id) {
            self.heads.pop();
            self.heads.extend(self.rest[index].next().map(|next| (*next, index)));
        }
        Some(id)
    }
}
