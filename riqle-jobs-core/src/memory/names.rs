//! Finds runs by unique key, reference or error.

use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Included},
};

use super::run::StoredRun;
use crate::{RunFilter, RunId};

/// The ids of runs by what they are called and what went wrong with them, so that a search for it touches no other runs.
#[derive(Clone, Default)]
pub(super) struct Names(BTreeSet<(Name, RunId)>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    UniqueKey(String),
    Reference(String),
    Error(String),
}

impl Names {
    pub(super) fn insert(&mut self, id: RunId, run: &StoredRun) {
        self.0.extend(names(run).map(|name| (name, id)));
    }

    pub(super) fn remove(&mut self, id: RunId, run: &StoredRun) {
        names(run).for_each(|name| {
            self.0.remove(&(name, id));
        });
    }

    /// The newest error of a run is another one now; its fingerprint was `before`.
    pub(super) fn error_changed(&mut self, id: RunId, before: Option<String>, run: &StoredRun) {
        if before != run.error_fingerprint {
            before.map(|before| self.0.remove(&(Name::Error(before), id)));
            self.0.extend(run.error_fingerprint.clone().map(|error| (Name::Error(error), id)));
        }
    }

    /// Runs with the rarest name that a filter asks for, greatest id first; `None` if it asks for none.
    pub(super) fn found<'a>(&'a self, filter: &RunFilter) -> Option<impl Iterator<Item = RunId> + use<'a>> {
        let error = filter.error_fingerprint.as_ref().filter(|error| !error.is_empty());
        let name = (filter.unique_key.clone().map(Name::UniqueKey))
            .or_else(|| filter.reference.clone().map(Name::Reference))
            .or_else(|| error.cloned().map(Name::Error))?;
        let first = Included((name.clone(), RunId::from_uuid(uuid::Uuid::nil())));
        let end = match filter.before {
            Some(before) => Excluded((name, before)),
            None => Included((name, RunId::from_uuid(uuid::Uuid::max()))),
        };
        Some(self.0.range((first, end)).rev().map(|(_, id)| *id))
    }
}

fn names(run: &StoredRun) -> impl Iterator<Item = Name> {
    let key = run.unique_key().map(|key| Name::UniqueKey(key.to_owned()));
    let reference = run.reference.clone().map(Name::Reference);
    key.into_iter().chain(reference).chain(run.error_fingerprint.clone().map(Name::Error))
}
