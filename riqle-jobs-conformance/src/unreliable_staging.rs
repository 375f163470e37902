//! A staging whose calls fail as they are told.

use std::sync::Arc;

use async_trait::async_trait;
use riqle_jobs_core::{
    Error, Staging, WakeUps,
    store::{RefusedStaged, StagedNumber, StagedRequest, StagingStatus, TakenStaged},
};

use crate::unreliable::{Fault, Faults, befallen};

/// A staging whose calls fail as they are told, with `Unavailable`.
#[derive(Clone)]
pub struct UnreliableStaging {
    inner: Arc<dyn Staging>,
    faults: Faults,
}

impl UnreliableStaging {
    /// Fails as `faults` says.
    pub fn new(
        inner: Arc<dyn Staging>,
        faults: impl Fn(&'static str) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        Self { inner, faults: Arc::new(faults) }
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        befallen((self.faults)(operation), operation, call).await
    }
}

#[async_trait]
impl Staging for UnreliableStaging {
    async fn take_staged(&self, request: StagedRequest) -> Result<Vec<TakenStaged>, Error> {
        self.call("take_staged", self.inner.take_staged(request)).await
    }

    async fn remove_staged(&self, items: Vec<StagedNumber>) -> Result<(), Error> {
        self.call("remove_staged", self.inner.remove_staged(items)).await
    }

    async fn refuse_staged(&self, item: StagedNumber, error: &str) -> Result<(), Error> {
        self.call("refuse_staged", self.inner.refuse_staged(item, error)).await
    }

    async fn forget_kept_steps(&self) -> Result<u64, Error> {
        self.call("forget_kept_steps", self.inner.forget_kept_steps()).await
    }

    async fn refused_staged(
        &self,
        limit: usize,
        after: Option<StagedNumber>,
    ) -> Result<Vec<RefusedStaged>, Error> {
        self.call("refused_staged", self.inner.refused_staged(limit, after)).await
    }

    async fn stage_again(&self, item: StagedNumber) -> Result<(), Error> {
        self.call("stage_again", self.inner.stage_again(item)).await
    }

    async fn staging_status(&self) -> Result<StagingStatus, Error> {
        self.call("staging_status", self.inner.staging_status()).await
    }

    fn staging_wake_ups(&self) -> WakeUps {
        self.inner.staging_wake_ups()
    }
}
