//! Deletes what is old, a portion at a time.

use std::time::Duration;

use redis::{Value, cmd};
use riqle_jobs_core::{Error, Queue, Retention};

use crate::{
    Redis,
    change::Change,
    rows::wait_millis,
    script::PRUNE,
    values::{bytes, count, fixed, list},
};

/// How many runs, and how many unique keys, a prune deletes in one call, so that no other caller waits long.
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

    /// Deletes what a list by time has held for long enough, `portion` at a time; returns how many. `deletion`
    /// says what deletes members of the list, and how many these are; where that has changed meanwhile, they go
    /// with the next prune.
    pub(crate) async fn prune_listed<F: Future<Output = Result<(Change, usize), Error>>>(
        &self,
        prefix: &str,
        listed: &str,
        kept: Duration,
        portion: usize,
        deletion: impl Fn(Vec<Vec<u8>>) -> F,
    ) -> Result<u64, Error> {
        let before = self.now().await?.as_millisecond().saturating_sub(wait_millis(kept));
        let mut old = cmd("ZRANGEBYSCORE");
        old.arg(format!("{prefix}{listed}")).arg("-inf").arg(format!("({before}"));
        old.arg("LIMIT").arg(0).arg(portion);
        let mut pruned = 0;
        loop {
            let answers = self.shared.server.ask("prune", prefix, std::slice::from_ref(&old)).await?;
            let [members] = fixed(Value::Array(answers))?;
            let members = list(members)?.into_iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
            let (change, count) = deletion(members).await?;
            if count == 0 || !self.change("prune", prefix, change).await? {
                return Ok(pruned);
            }
            pruned += count as u64;
        }
    }
}
