//! A staging in memory, with no transactions: for tests of the relay, and the model of the others.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    Clock, Error, ErrorKind, Hint, LeaseToken, Staging, Wake, WakeSender, WakeUps, later,
    store::{RefusedStaged, Staged, StagedKind, StagedNumber, StagedRequest, StagingStatus, TakenStaged},
};

/// A staging in memory, with no transactions around it: for tests of the relay, and the model of the others. Clones
/// share what is staged.
#[derive(Clone)]
pub struct MemoryStaging {
    items: Arc<Mutex<BTreeMap<StagedNumber, Item>>>,
    last: Arc<AtomicI64>,
    clock: Clock,
    wake: WakeSender,
}

struct Item {
    staged: Staged,
    staged_at: Timestamp,
    taken: Option<(LeaseToken, Timestamp)>,
    refused: Option<(Timestamp, String)>,
}

impl MemoryStaging {
    /// An empty one on `clock`.
    pub fn new(clock: impl Into<Clock>) -> Self {
        Self { items: Arc::default(), last: Arc::default(), clock: clock.into(), wake: WakeSender::default() }
    }

    /// Stages, as if by a transaction that has committed.
    pub fn stage(&self, staged: Vec<Staged>) -> Wake {
        let (mut items, staged_at) = (self.items(), self.clock.local_now());
        for staged in staged {
            if items.values().any(|item| item.staged.kind == staged.kind && item.staged.id == staged.id) {
                continue;
            }
            let number = StagedNumber(self.last.fetch_add(1, Ordering::Relaxed) + 1);
            items.insert(number, Item { staged, staged_at, taken: None, refused: None });
        }
        self.wake.wake(Hint::Staged)
    }

    /// How many items have neither arrived nor been refused.
    pub fn waiting(&self) -> usize {
        self.items().values().filter(|item| item.refused.is_none()).count()
    }

    fn items(&self) -> MutexGuard<'_, BTreeMap<StagedNumber, Item>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Staging for MemoryStaging {
    async fn take_staged(&self, request: StagedRequest) -> Result<Vec<TakenStaged>, Error> {
        let now = self.clock.local_now();
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let is_free = |(token, until)| token == request.token || until <= now;
        let mut items = self.items();
        let mut anothers = false;
        for (number, item) in items.iter_mut() {
            if item.refused.is_none() {
                anothers |= !item.taken.is_none_or(is_free);
                // A cancel, and what is behind it, is nobody's while another relay has anything up to it.
                if anothers && item.staged.kind == StagedKind::Cancel {
                    break;
                }
            }
            if request.after.is_some_and(|after| *number <= after) {
                continue;
            }
            if item.refused.is_some() || !item.taken.is_none_or(is_free) {
                continue;
            }
            if taken.len() == request.limit || bytes >= request.bytes {
                break;
            }
            bytes += item.staged.payload.bytes.len();
            item.taken = Some((request.token, later(now, request.lease)));
            let waited = now.duration_since(item.staged_at).try_into().unwrap_or_default();
            taken.push(TakenStaged { number: *number, staged: item.staged.clone(), waited });
        }
        Ok(taken)
    }

    async fn remove_staged(&self, numbers: Vec<StagedNumber>) -> Result<(), Error> {
        self.items().retain(|number, _| !numbers.contains(number));
        Ok(())
    }

    async fn refuse_staged(&self, number: StagedNumber, error: &str) -> Result<(), Error> {
        let now = self.clock.local_now();
        if let Some(item) = self.items().get_mut(&number) {
            item.refused.get_or_insert_with(|| (now, error.to_owned()));
        }
        Ok(())
    }

    /// It keeps none, since it has no transactions.
    async fn forget_kept_steps(&self) -> Result<u64, Error> {
        Ok(0)
    }

    async fn refused_staged(
        &self,
        limit: usize,
        after: Option<StagedNumber>,
    ) -> Result<Vec<RefusedStaged>, Error> {
        let items = self.items();
        let refused = items.iter().filter(|(number, _)| after.is_none_or(|after| **number > after));
        let refused = refused.filter_map(|(number, item)| {
            let (refused_at, error) = item.refused.clone()?;
            let (staged, staged_at) = (item.staged.clone(), item.staged_at);
            Some(RefusedStaged { number: *number, staged, staged_at, refused_at, error })
        });
        Ok(refused.take(limit).collect())
    }

    async fn stage_again(&self, number: StagedNumber) -> Result<(), Error> {
        let mut items = self.items();
        let Some(item) = items.get_mut(&number) else {
            return Err(Error::new(ErrorKind::NotFound, "stage_again", "no such item"));
        };
        (item.refused, item.taken) = (None, None);
        self.wake.send(Hint::Staged);
        Ok(())
    }

    async fn staging_status(&self) -> Result<StagingStatus, Error> {
        let items = self.items();
        let waiting = || items.values().filter(|item| item.refused.is_none());
        Ok(StagingStatus {
            waiting: waiting().count() as u64,
            oldest: waiting().map(|item| item.staged_at).min(),
            refused: (items.len() - waiting().count()) as u64,
        })
    }

    fn staging_wake_ups(&self) -> WakeUps {
        self.wake.wake_ups()
    }
}
