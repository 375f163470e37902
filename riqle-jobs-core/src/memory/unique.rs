//! Who holds which unique key, and until when.

use std::collections::HashMap;

use jiff::Timestamp;

use super::run::StoredRun;
use crate::{Fingerprint, RunId, UniqueKey, UniqueScope, clock, store::HeldKey};

/// Who holds which unique key.
#[derive(Clone, Default)]
pub(super) struct UniqueKeys {
    keys: HashMap<(String, String), Holder>,
}

#[derive(Clone, Copy)]
pub(super) struct Holder {
    pub(super) run: RunId,
    pub(super) fingerprint: Fingerprint,
    /// `None`: until the run lets go of it.
    expires_at: Option<Timestamp>,
}

impl UniqueKeys {
    pub(super) fn holder(&self, job: &str, key: &str, now: Timestamp) -> Option<Holder> {
        let holder = self.keys.get(&(job.to_owned(), key.to_owned()))?;
        holder.expires_at.is_none_or(|time| time > now).then_some(*holder)
    }

    pub(super) fn take(&mut self, held: HeldKey<'_>, now: Timestamp) {
        let expires_at = match held.scope {
            UniqueScope::Period(period) => Some(clock::later(now, period)),
            UniqueScope::WhilePending | UniqueScope::WhileNotEnded => None,
        };
        let holder = Holder { run: held.run, fingerprint: held.fingerprint, expires_at };
        self.keys.insert((held.job.to_owned(), held.key.into_owned()), holder);
    }

    pub(super) fn run_claimed(&mut self, id: RunId, run: &StoredRun) {
        if let Some(unique) = run.unique.as_ref().filter(|unique| unique.scope == UniqueScope::WhilePending) {
            self.release(id, run, unique);
        }
    }

    pub(super) fn run_ended(&mut self, id: RunId, run: &StoredRun) {
        match &run.unique {
            Some(unique) if !matches!(unique.scope, UniqueScope::Period(_)) => self.release(id, run, unique),
            _ => {}
        }
    }

    pub(super) fn remove_expired(&mut self, now: Timestamp) {
        self.keys.retain(|_, holder| holder.expires_at.is_none_or(|time| time > now));
    }

    /// The key may belong to a later run by now.
    fn release(&mut self, id: RunId, run: &StoredRun, unique: &UniqueKey) {
        let key = (run.job.as_ref().to_owned(), unique.key.clone());
        if self.keys.get(&key).is_some_and(|holder| holder.run == id) {
            self.keys.remove(&key);
        }
    }
}
