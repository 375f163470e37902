//! What operators did.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::Bound::{Excluded, Unbounded},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::Memory;
use crate::{
    ActionId, Audit, Error, clock,
    store::{ActionFilter, NewAction, RecordedAction},
};

/// What people did.
#[derive(Clone, Default)]
pub(super) struct Actions {
    recorded: BTreeMap<ActionId, RecordedAction>,
}

#[async_trait]
impl Audit for Memory {
    async fn record_action(&self, action: NewAction) -> Result<(), Error> {
        let action = action.checked()?;
        let (mut state, now) = self.begin();
        match state.actions.recorded.entry(action.id) {
            Entry::Vacant(place) => {
                place.insert(RecordedAction { action, at: now, changed_at: now });
            }
            Entry::Occupied(mut first) => {
                let at = first.get().at;
                first.insert(RecordedAction { action, at, changed_at: now });
            }
        }
        Ok(())
    }

    async fn action(&self, id: ActionId) -> Result<Option<RecordedAction>, Error> {
        Ok(self.state().actions.recorded.get(&id).cloned())
    }

    async fn actions(&self, filter: ActionFilter) -> Result<Vec<RecordedAction>, Error> {
        let page = |limit, before: Option<ActionId>| {
            let before = before.map_or(Unbounded, Excluded);
            let state = self.state();
            let newest_first = state.actions.recorded.range((Unbounded, before)).rev();
            std::future::ready(Ok(newest_first.take(limit).map(|(_, action)| action.clone()).collect()))
        };
        filter.select(|action| filter.lists(action), page).await
    }
}

impl Actions {
    /// Deletes old actions; answers how many.
    pub(super) fn prune(&mut self, kept: Option<Duration>, now: Timestamp) -> u64 {
        let Some(kept) = kept else { return 0 };
        let before = clock::earlier(now, kept);
        let count = self.recorded.len();
        self.recorded.retain(|_, action| action.at >= before);
        (count - self.recorded.len()) as u64
    }
}
