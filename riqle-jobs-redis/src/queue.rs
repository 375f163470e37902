//! What producers and workers ask (`Queue`), and the connection that extends leases.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::Timestamp;
use redis::Value;
use riqle_jobs_core::{
    ClaimRequest, Claimed, Clock, Enqueued, Error, Hint, LeaseAnswer, LeaseConnection, LeaseRef, LeaseToken,
    Limits, NewRun, Queue, Settlement, StepSave, WakeUps, from_millis,
    store::{Note, rules::Fence},
};
use tokio::time::timeout;

use crate::{
    Redis,
    error::unavailable,
    script::{EXTEND, GIVE_BACK, RUN},
    server::{Repeat, Server},
    values::{fixed, list, number, word},
};

/// How long the keeper of leases waits for an answer: less than a lease.
const EXTENDED_WITHIN: Duration = Duration::from_secs(5);

#[async_trait]
impl Queue for Redis {
    async fn enqueue(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        self.shared.limits.check_group(&runs)?;
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        self.enqueue_group(runs).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claimed, Error> {
        self.claim_runs(request).await
    }

    async fn give_back(&self, queue: &str, token: LeaseToken) -> Result<(), Error> {
        let token = token.as_uuid().as_bytes().to_vec();
        if number(self.call("give_back", &GIVE_BACK, queue, vec![token]).await?)? > 0 {
            self.shared.wake.send(Hint::Due(Some(queue.to_owned())));
        }
        Ok(())
    }

    async fn extend(&self, leases: Vec<LeaseRef>, lease: Duration) -> Result<Vec<LeaseAnswer>, Error> {
        let (server, within) = (&self.shared.server, Duration::MAX);
        by_queue(
            &leases,
            |lease| &lease.queue,
            |queue, leases| extend(self, server, queue, leases, lease, within),
        )
        .await
    }

    async fn save_steps(&self, steps: Vec<StepSave>) -> Result<Vec<LeaseAnswer>, Error> {
        let store = |queue, steps| self.save_steps_of(queue, steps);
        by_queue(&steps, |step| &step.lease.queue, store).await
    }

    async fn annotate(&self, notes: Vec<Note>) -> Result<Vec<LeaseAnswer>, Error> {
        by_queue(&notes, |note| &note.lease.queue, |queue, notes| self.annotate_of(queue, notes)).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<LeaseAnswer>, Error> {
        let settle = |queue, settlements| self.settle_of(queue, settlements);
        by_queue(&settlements, |settlement| &settlement.lease.queue, settle).await
    }

    async fn lease_connection(&self) -> Result<Box<dyn LeaseConnection>, Error> {
        Ok(Box::new(RedisLeaseConnection { store: self.clone(), server: self.shared.server.another() }))
    }

    fn queues_stand_apart(&self) -> bool {
        self.shared.server.is_cluster()
    }

    fn wake_ups(&self) -> WakeUps {
        self.shared.wake.wake_ups()
    }

    fn clock(&self) -> Clock {
        self.shared.clock.clone()
    }

    async fn now(&self) -> Result<Timestamp, Error> {
        if let Some(clock) = self.shared.clock.manual() {
            return Ok(clock.now());
        }
        let prefix = self.shared.keys.registry();
        let server = &self.shared.server;
        let answer = server.call("now", &RUN, &prefix, &[], Repeat::Safe).await?;
        let [now, _] = fixed(answer)?;
        Ok(from_millis(number(now)?))
    }

    fn limits(&self) -> Limits {
        self.shared.limits
    }
}

/// Writes items queue by queue, each in its own slot, and answers in their order; with the error of one that failed once
/// all have answered.
pub(crate) async fn by_queue<'a, T, F>(
    items: &'a [T],
    queue: impl Fn(&'a T) -> &'a Arc<str>,
    write: impl Fn(&'a str, Vec<&'a T>) -> F,
) -> Result<Vec<LeaseAnswer>, Error>
where
    F: Future<Output = Result<Vec<LeaseAnswer>, Error>>,
{
    let (answers, failed) = queue_by_queue(items, queue, write).await;
    match failed {
        Some(error) => Err(error),
        None => Ok(answers.into_iter().map(|answer| answer.unwrap_or(LeaseAnswer::LeaseLost)).collect()),
    }
}

/// The same, with `None` for the items of those that failed, and the error of one.
async fn queue_by_queue<'a, T, F>(
    items: &'a [T],
    queue: impl Fn(&'a T) -> &'a Arc<str>,
    write: impl Fn(&'a str, Vec<&'a T>) -> F,
) -> (Vec<Option<LeaseAnswer>>, Option<Error>)
where
    F: Future<Output = Result<Vec<LeaseAnswer>, Error>>,
{
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, item) in items.iter().enumerate() {
        places.entry(queue(item)).or_default().push(place);
    }
    let written = join_all(places.iter().map(|(queue, places)| {
        let of_queue = places.iter().map(|place| &items[*place]).collect();
        write(queue, of_queue)
    }));
    let (mut answers, mut failed) = (vec![None; items.len()], None);
    // Each has its answer first: an unavailable queue casts no doubt on what was written of the others.
    for (places, written) in places.values().zip(written.await) {
        match written {
            Ok(written) => {
                for (place, answer) in places.iter().zip(written) {
                    answers[*place] = Some(answer);
                }
            }
            Err(error) => failed = Some(error),
        }
    }
    (answers, failed)
}

/// What follows from what a script says of how tokens stand to their runs.
pub(crate) fn answers(value: Value, answer: fn(Fence) -> LeaseAnswer) -> Result<Vec<LeaseAnswer>, Error> {
    list(value)?.into_iter().map(|value| word(value)?.parse().map(answer)).collect()
}

/// Run and token of a lease, as scripts take them.
pub(crate) fn id_and_token(lease: &LeaseRef) -> Vec<u8> {
    [*lease.run.as_uuid().as_bytes(), *lease.token.as_uuid().as_bytes()].concat()
}

/// Of one queue.
async fn extend(
    store: &Redis,
    server: &Server,
    queue: &str,
    leases: Vec<&LeaseRef>,
    lease: Duration,
    within: Duration,
) -> Result<Vec<LeaseAnswer>, Error> {
    let mut arguments = vec![store.frozen(), crate::rows::wait_millis(lease).to_string().into_bytes()];
    arguments.extend(leases.into_iter().map(id_and_token));
    let prefix = store.shared.keys.queue(queue);
    let called = server.call("extend", &EXTEND, &prefix, &arguments, Repeat::Safe);
    match timeout(within, called).await {
        Ok(called) => answers(called?, Fence::answer),
        Err(_) => Err(unavailable("extend", format!("the server did not answer within {within:?}"))),
    }
}

/// Extends leases on a connection of its own, made on the keeper's runtime: neither a batch that is under way nor a body
/// that blocks the application's runtime keeps it from that.
struct RedisLeaseConnection {
    store: Redis,
    server: Server,
}

#[async_trait]
impl LeaseConnection for RedisLeaseConnection {
    async fn extend(
        &mut self,
        leases: Vec<LeaseRef>,
        lease: Duration,
    ) -> Result<Vec<Option<LeaseAnswer>>, Error> {
        // The keeper waits for a third of a lease, and asks again a sixth later.
        let within = EXTENDED_WITHIN.min(lease / 4);
        let (store, server) = (&self.store, &self.server);
        let of_queue = |queue, leases| extend(store, server, queue, leases, lease, within);
        let (answers, failed) = queue_by_queue(&leases, |lease| &lease.queue, of_queue).await;
        match failed {
            Some(error) if answers.iter().all(Option::is_none) => {
                // Whatever it still waits for.
                self.server = self.server.another();
                Err(error)
            }
            _ => Ok(answers),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_queue_that_is_away_takes_no_other_ones_answer_along() {
        let queues: Vec<Arc<str>> = ["away", "one", "two"].map(Arc::from).into();
        let written = AtomicUsize::new(0);
        let write = |queue: &str, items: Vec<&Arc<str>>| {
            let (is_away, count, written) = (queue == "away", items.len(), &written);
            async move {
                if is_away {
                    return Err(unavailable("settle", "the queue is unavailable"));
                }
                tokio::task::yield_now().await;
                written.fetch_add(1, Ordering::Relaxed);
                Ok(vec![LeaseAnswer::Done; count])
            }
        };

        let answered = by_queue(&queues, |queue| queue, write).await;
        assert!(answered.is_err() && written.load(Ordering::Relaxed) == 2);

        let (answers, failed) = queue_by_queue(&queues, |queue| queue, write).await;
        assert_eq!(answers, [None, Some(LeaseAnswer::Done), Some(LeaseAnswer::Done)]);
        assert!(failed.is_some());
    }
}
