use std::time::Duration;

use riqle_jobs_core::{Error, Retention};

use crate::{
    Redis,
    rows::wait_millis,
    script::PRUNE,
    values::{count, fixed},
};

/// How many runs, and how many unique keys, a prune deletes in one call, so that nobody waits for it long.
const PORTION: u64 = 500;

impl Redis {
    /// Deletes what ended long enough ago, in every queue; answers how many runs.
    pub(crate) async fn prune_runs(&self, retention: &Retention) -> Result<u64, Error> {
        let kept = |kept: Option<Duration>| match kept {
            Some(kept) => wait_millis(kept).to_string().into_bytes(),
            None => Vec::new(),
        };
        let mut pruned = 0;
        for queue in self.known_queues("prune").await? {
            loop {
                let portion = PORTION.to_string().into_bytes();
                let arguments = vec![self.frozen(), kept(retention.ended), kept(retention.dead), portion];
                let [runs, keys] = fixed(self.call("prune", &PRUNE, &queue, arguments).await?)?;
                let (runs, keys) = (count(runs)?, count(keys)?);
                pruned += runs;
                if runs < PORTION && keys < PORTION {
                    break;
                }
            }
        }
        Ok(pruned)
    }
}
