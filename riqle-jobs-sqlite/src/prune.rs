//! Deletes what is old, a portion at a time.

use std::time::Duration;

use riqle_jobs_core::{
    Error, Retention, earlier,
    events::EVENT_ID_KEPT,
    store::{KindByKind, Pruned, WORKER_FORGOTTEN_AFTER},
};
use sqlx::Row;

use crate::{
    Sqlite,
    error::Result as Fallible,
    rows::millis,
    schedules::wake_forgotten,
    writer::{Changing, Write},
};

/// How much a prune deletes in one transaction, so that no other caller waits long.
const PORTION: u32 = 1_000;

/// Deletes a portion of a kind, and answers how much.
type PrunePortion = for<'w> fn(&'w mut Write, &'w Retention) -> Changing<'w, u64>;

impl Sqlite {
    /// Deletes what is older, kind by kind, portion by portion.
    pub(crate) async fn prune_all(&self, retention: Retention) -> Result<Pruned, Error> {
        let mut kinds = KindByKind::default();
        kinds.pruned("unique keys", self.prune_kind(retention, |write, _| Box::pin(prune_keys(write))).await);
        kinds.pruned("workers", self.prune_kind(retention, |write, _| Box::pin(forget_workers(write))).await);
        let waiting: PrunePortion = |write, _| Box::pin(async { wake_forgotten(write).await.map(|()| 0) });
        kinds.pruned("schedules", self.prune_kind(retention, waiting).await);
        let runs: PrunePortion = |write, kept| Box::pin(prune_runs(write, kept));
        let events: PrunePortion = |write, kept| {
            let kept = kept.events.map(|kept| kept.max(EVENT_ID_KEPT));
            Box::pin(delete(write, PRUNE_EVENTS, kept))
        };
        let emails: PrunePortion = |write, kept| Box::pin(delete(write, PRUNE_EMAILS, kept.emails));
        let metrics: PrunePortion =
            |write, kept| Box::pin(delete(write, include_str!("../queries/prune_metrics.sql"), kept.metrics));
        let actions: PrunePortion = |write, kept| Box::pin(delete(write, PRUNE_ACTIONS, kept.actions));
        let pruned = Pruned {
            runs: kinds.pruned("runs", self.prune_kind(retention, runs).await),
            events: kinds.pruned("events", self.prune_kind(retention, events).await),
            emails: kinds.pruned("emails", self.prune_kind(retention, emails).await),
            metrics: kinds.pruned("metrics", self.prune_kind(retention, metrics).await),
            actions: kinds.pruned("actions", self.prune_kind(retention, actions).await),
        };
        kinds.end(pruned)
    }

    async fn prune_kind(&self, retention: Retention, portion: PrunePortion) -> Result<u64, Error> {
        let mut pruned = 0;
        loop {
            let deleted = self.shared.writer.change("prune", retention, portion).await?;
            pruned += deleted;
            // Dead letters and history have a portion each.
            if deleted < u64::from(PORTION) {
                return Ok(pruned);
            }
        }
    }
}

const PRUNE_EVENTS: &str = "DELETE FROM riqle_events WHERE number IN
    (SELECT number FROM riqle_events WHERE received_at < ?1 ORDER BY received_at LIMIT ?2)";
const PRUNE_EMAILS: &str = "DELETE FROM riqle_emails WHERE id IN
    (SELECT id FROM riqle_emails WHERE created_at < ?1 AND status <> 'pending' ORDER BY created_at LIMIT ?2)";
const PRUNE_ACTIONS: &str = "DELETE FROM riqle_actions WHERE id IN
    (SELECT id FROM riqle_actions WHERE at < ?1 ORDER BY at LIMIT ?2)";

/// The end of what is kept for this long; null: all is kept.
fn before(write: &Write, kept: Option<Duration>) -> Option<i64> {
    kept.map(|kept| millis(earlier(write.now, kept)))
}

/// Answers 0: they are no kind that is counted.
async fn prune_keys(write: &mut Write) -> Fallible<u64> {
    let now = millis(write.now);
    let delete = sqlx::query("DELETE FROM riqle_unique WHERE expires_at <= ?1").bind(now);
    write.run(delete).await.map(|()| 0)
}

/// Answers 0, as [`prune_keys`] does.
async fn forget_workers(write: &mut Write) -> Fallible<u64> {
    let before = before(write, Some(WORKER_FORGOTTEN_AFTER));
    let delete = sqlx::query("DELETE FROM riqle_workers WHERE seen_at < ?1").bind(before);
    write.run(delete).await.map(|()| 0)
}

async fn prune_runs(write: &mut Write, retention: &Retention) -> Fallible<u64> {
    let (ended, dead) = (before(write, retention.ended), before(write, retention.dead));
    let runs = sqlx::query(include_str!("../queries/prune_runs.sql")).bind(ended).bind(dead).bind(PORTION);
    Ok(runs.fetch_one(&mut write.connection).await?.try_get::<i64, _>(0)?.unsigned_abs())
}

async fn delete(write: &mut Write, statement: &'static str, kept: Option<Duration>) -> Fallible<u64> {
    let delete = sqlx::query(statement).bind(before(write, kept)).bind(PORTION);
    Ok(delete.execute(&mut write.connection).await?.rows_affected())
}
