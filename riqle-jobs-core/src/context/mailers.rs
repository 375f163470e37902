use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::store::{TroubleKind, WorkerTrouble};

/// The providers that take no email of a worker's runs for now.
#[derive(Debug, Default)]
pub(crate) struct Mailers(Mutex<BTreeMap<&'static str, (Instant, String)>>);

impl Mailers {
    /// Notes since when a provider takes none, and what it says; `None`: it takes them.
    pub(super) fn note(&self, provider: &'static str, trouble: Option<(Instant, &str)>) {
        let mut all = self.all();
        match trouble {
            Some((since, error)) => drop(all.insert(provider, (since, error.to_owned()))),
            None => drop(all.remove(provider)),
        }
    }

    /// Of those the one that has gone on for longest.
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
