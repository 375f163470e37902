//! The record of what operators did (`Audit`).

use std::time::Duration;

use async_trait::async_trait;
use redis::{Value, cmd};
use riqle_jobs_core::{
    ActionId, Audit, Error, Queue, from_millis,
    store::{ActionFilter, NewAction, RecordedAction},
};
use uuid::Uuid;

use crate::{
    Redis,
    change::{Change, TRIES, outrun},
    registry::{read_stamped, stamped},
    values::{bytes, list, maybe_bytes, unexpected},
};

/// How many actions are deleted at once.
const PORTION: usize = 500;

#[async_trait]
impl Audit for Redis {
    async fn record_action(&self, action: NewAction) -> Result<(), Error> {
        let action = action.checked()?;
        let id = key(action.id);
        for _ in 0..TRIES {
            let now = self.now().await?.as_millisecond();
            let known = self.stored_actions("record_action", &[id]).await?.pop().flatten();
            let at = match &known {
                Some(known) => read_stamped::<2, NewAction>(known)?.0[0],
                None => now,
            };
            let change = Change::default()
                .expect("actions", id, known.as_deref())
                .hset("actions", id, stamped(&[at, now], &action)?)
                .zadd("actions:ids", 0, id)
                .zadd("actions:recorded", at, id);
            if self.change("record_action", &self.shared.keys.registry(), change).await? {
                return Ok(());
            }
        }
        Err(outrun("record_action"))
    }

    async fn action(&self, id: ActionId) -> Result<Option<RecordedAction>, Error> {
        let stored = self.stored_actions("action", &[key(id)]).await?.pop().flatten();
        stored.map(|stored| recorded(&stored)).transpose()
    }

    async fn actions(&self, filter: ActionFilter) -> Result<Vec<RecordedAction>, Error> {
        let page = |limit, before| self.page_of_actions(limit, before);
        filter.select(|action| filter.lists(action), page).await
    }
}

impl Redis {
    /// At most `limit` of all actions, newest id first, older than `before`.
    async fn page_of_actions(
        &self,
        limit: usize,
        before: Option<ActionId>,
    ) -> Result<Vec<RecordedAction>, Error> {
        let above = before.map_or_else(|| b"+".to_vec(), |before| [b"(", key(before).as_slice()].concat());
        let range = cmd("ZREVRANGEBYLEX")
            .arg(self.shared.keys.of_registry("actions:ids"))
            .arg(above)
            .arg("-")
            .arg("LIMIT")
            .arg(0)
            .arg(i64::try_from(limit).unwrap_or(i64::MAX))
            .take();
        let ids = ids(self.of_registry("actions", &[range]).await?.remove(0))?;
        let stored = self.stored_actions("actions", &ids).await?;
        stored.into_iter().flatten().map(|stored| recorded(&stored)).collect()
    }

    /// Actions as they are stored, in order.
    async fn stored_actions(
        &self,
        operation: &'static str,
        ids: &[[u8; 16]],
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut get = cmd("HMGET");
        get.arg(self.shared.keys.of_registry("actions"));
        for id in ids {
            get.arg(id);
        }
        let stored = list(self.of_registry(operation, &[get]).await?.remove(0))?;
        stored.into_iter().map(maybe_bytes).collect()
    }

    /// Deletes actions that were first recorded long enough ago; answers how many.
    pub(crate) async fn prune_actions(&self, kept: Option<Duration>) -> Result<u64, Error> {
        let Some(kept) = kept else { return Ok(0) };
        let deletion = |old: Vec<Vec<u8>>| async move {
            // The time of the first record never changes, so nothing need be as it was read.
            let change = old.iter().fold(Change::default(), |change, id| {
                change.hdel("actions", id).zrem("actions:ids", id).zrem("actions:recorded", id)
            });
            Ok((change, old.len()))
        };
        let registry = self.shared.keys.registry();
        self.prune_listed(&registry, "actions:recorded", kept, PORTION, deletion).await
    }
}

fn key(id: ActionId) -> [u8; 16] {
    id.as_uuid().into_bytes()
}

fn ids(value: Value) -> Result<Vec<[u8; 16]>, Error> {
    let id = |value| {
        let id = Uuid::from_slice(&bytes(value)?).map_err(|_| unexpected())?;
        Ok(id.into_bytes())
    };
    list(value)?.into_iter().map(id).collect()
}

fn recorded(stored: &[u8]) -> Result<RecordedAction, Error> {
    let ([at, changed_at], action) = read_stamped(stored)?;
    Ok(RecordedAction { action, at: from_millis(at), changed_at: from_millis(changed_at) })
}
