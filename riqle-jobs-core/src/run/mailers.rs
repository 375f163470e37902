//! The providers that accept no email from a worker's runs right now.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::store::{TroubleKind, WorkerTrouble};

/// The providers that accept no email from a worker's runs right now.
#[derive(Debug, Default)]
pub(crate) struct Mailers(Mutex<BTreeMap<&'static str, (Instant, String)>>);

impl Mailers {
    /// Notes since when a provider accepts none, and what it says; `None`: it accepts them.
    pub(super) fn note(&self, provider: &'static str, trouble: Option<(Instant, &str)>) {
        let mut all = self.all();
        match trouble {
            Some((since, error)) => drop(all.insert(provider, (since, error.to_owned()))),
            None => drop(all.remove(provider)),
        }
    }

    /// The one that has lasted longest.
    pub(crate) fn longest(&self) -> Option<WorkerTrouble> {
        let all = self.all();
        let (provider, (since, error)) = all.iter().min_by_key(|(_, (since, _))| *since)?;
        let error = format!("{provider}: {error}");
        Some(WorkerTrouble { kind: TroubleKind::Mailer, lasting: since.elapsed(), error })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<&'static str, (Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
