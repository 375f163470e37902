//! A store over a real one, each of whose writes is made twice.

use std::sync::Arc;

use async_trait::async_trait;
use riqle_jobs_core::{
    ClaimRequest, Claimed, EmailId, Enqueued, Error, LeaseAnswer, NewRun, Retention, RunId, Settlement,
    Store,
    email::{EmailRecord, EmailStart, NewEmailEvent, RecordedEmailEvent},
    store::Pruned,
};

use crate::{Effect, Intercepted, Interceptor};

/// A store whose every write loses its first reply and is made again, as a caller would.
pub type LostReplies = Intercepted<Repeats>;

/// Makes each write twice.
#[derive(Clone)]
pub struct Repeats {
    inner: Arc<dyn Store>,
}

impl LostReplies {
    /// Over a reliable store.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self(Repeats { inner })
    }
}

impl Repeats {
    /// Whether another claim has settled the run between a settlement and its repeat: only then may the repeat be
    /// told that its lease is lost.
    async fn has_moved_on(&self, settlement: &Settlement) -> Result<bool, Error> {
        let Some(run) = self.inner.run(settlement.lease.run).await? else { return Ok(false) };
        let newest = run.attempts.last().map(|attempt| (attempt.number, attempt.outcome));
        Ok(newest != Some((settlement.attempt, settlement.outcome)))
    }
}

#[async_trait]
impl Interceptor for Repeats {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    async fn call<T, A, F>(&self, _operation: &'static str, effect: Effect, call: F) -> Result<T, Error>
    where
        T: Send,
        A: Future<Output = Result<T, Error>> + Send,
        F: Fn() -> A + Send + Sync,
    {
        if effect == Effect::Write {
            call().await?;
        }
        call().await
    }

    async fn enqueue(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        let ids: Vec<RunId> = runs.iter().map(|run| run.id).collect();
        let first = self.inner.enqueue(runs.clone()).await?;
        let mut answers = self.inner.enqueue(runs).await?;
        // The caller knows its own ids: one that is there by now was stored by the call whose reply was lost.
        for ((answer, first), id) in answers.iter_mut().zip(first).zip(ids) {
            if first.is_new() && *answer == Enqueued::Existing(id) {
                *answer = Enqueued::New(id);
            }
        }
        Ok(answers)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claimed, Error> {
        self.inner.claim(request.clone()).await?;
        self.inner.give_back(&request.queue, request.token).await?;
        self.inner.claim(request).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<LeaseAnswer>, Error> {
        let first = self.inner.settle(settlements.clone()).await?;
        let mut answers = self.inner.settle(settlements.clone()).await?;
        for ((answer, first), settlement) in answers.iter_mut().zip(first).zip(settlements) {
            let lost_since = first == LeaseAnswer::Done && *answer == LeaseAnswer::LeaseLost;
            if lost_since && self.has_moved_on(&settlement).await? {
                *answer = LeaseAnswer::Done;
            }
        }
        Ok(answers)
    }

    async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        self.inner.prune(retention).await
    }

    async fn start_email(
        &self,
        id: EmailId,
        start: EmailStart,
    ) -> Result<(EmailRecord, riqle_jobs_core::Timestamp), Error> {
        self.inner.start_email(id, start).await
    }

    async fn record_email_event(&self, event: NewEmailEvent) -> Result<RecordedEmailEvent, Error> {
        let first = self.inner.record_email_event(event.clone()).await?;
        let again = self.inner.record_email_event(event).await?;
        assert!(!again.is_new, "an event that is recorded again is not new");
        Ok(RecordedEmailEvent { is_new: first.is_new, ..again })
    }
}
