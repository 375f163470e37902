//! Deletes what is old, a portion at a time.

use std::time::Duration;

use riqle_jobs_core::{
    Error, Retention,
    events::EVENT_ID_KEPT,
    millis_of,
    store::{KindByKind, Pruned, WORKER_FORGOTTEN_AFTER},
};
use uuid::Uuid;

use crate::{
    Postgres,
    days::{Day, days_over, drop_day, empty_day, open_days},
    error::Result as Fallible,
    operate::now,
    rows::get_count,
    schedules::wake_forgotten,
    work::{Apply, Work},
};

/// How much a prune deletes in one transaction, so that no other caller waits long.
const PORTION: i64 = 1_000;

impl Postgres {
    /// Deletes what is older, portion by portion.
    pub(crate) async fn prune_all(&self, retention: &Retention) -> Result<Pruned, Error> {
        let mut kinds = KindByKind::default();
        let days = kinds.pruned("days", self.prune_days(retention.ended).await);
        kinds.pruned("unique keys", self.prune_kind(retention, |work, _| Box::pin(prune_keys(work))).await);
        kinds.pruned("workers", self.prune_kind(retention, |work, _| Box::pin(forget_workers(work))).await);
        let waiting: Apply<Retention, u64> =
            |work, _| Box::pin(async move { wake_forgotten(work).await.map(|()| 0) });
        kinds.pruned("schedules", self.prune_kind(retention, waiting).await);
        let events: Apply<Retention, u64> = |work, kept| {
            let kept = kept.events.map(|kept| kept.max(EVENT_ID_KEPT));
            Box::pin(delete(work, include_str!("../queries/prune_events.sql"), kept))
        };
        let emails: Apply<Retention, u64> =
            |work, kept| Box::pin(delete(work, include_str!("../queries/prune_emails.sql"), kept.emails));
        let metrics: Apply<Retention, u64> =
            |work, kept| Box::pin(delete(work, include_str!("../queries/prune_metrics.sql"), kept.metrics));
        let actions: Apply<Retention, u64> =
            |work, kept| Box::pin(delete(work, include_str!("../queries/prune_actions.sql"), kept.actions));
        let runs = self.prune_kind(retention, |work, kept| Box::pin(prune_runs(work, kept))).await;
        // Now that dead letters have gone.
        kinds.pruned("counts", self.prune_kind(retention, |work, _| Box::pin(join_counts(work))).await);
        let pruned = Pruned {
            runs: days + kinds.pruned("runs", runs),
            events: kinds.pruned("events", self.prune_kind(retention, events).await),
            emails: kinds.pruned("emails", self.prune_kind(retention, emails).await),
            metrics: kinds.pruned("metrics", self.prune_kind(retention, metrics).await),
            actions: kinds.pruned("actions", self.prune_kind(retention, actions).await),
        };
        kinds.end(pruned)
    }

    async fn prune_kind(&self, retention: &Retention, portion: Apply<Retention, u64>) -> Result<u64, Error> {
        let mut pruned = 0;
        loop {
            let deleted = self.change("prune", retention, portion).await?;
            pruned += deleted;
            // Dead letters and history have a portion each.
            if deleted < PORTION.unsigned_abs() {
                return Ok(pruned);
            }
        }
    }

    /// Makes the days of the history that come, and drops those that are over, each by itself. Answers how many runs went
    /// with them, or what that last failed with.
    async fn prune_days(&self, kept: Option<Duration>) -> Result<u64, Error> {
        let upkeep = &self.shared.upkeep;
        if self.frozen().is_some() || !upkeep.is_due() {
            return upkeep.newest().map(|()| 0);
        }
        let opened =
            self.ask("prune", &(), |work, ()| Box::pin(open_days(work.connection, work.statements))).await;
        let mut failed: Vec<Error> = opened.err().into_iter().collect();
        let over = self.days_over(kept).await.unwrap_or_else(|error| {
            failed.push(error);
            Vec::new()
        });
        let mut runs = 0;
        for day in over {
            match self.prune_day(day).await {
                Ok(of_day) => runs += of_day,
                Err(error) => failed.push(error),
            }
        }
        if failed.is_empty() {
            upkeep.succeeded();
        }
        failed.iter().for_each(|error| upkeep.put_off(error));
        upkeep.newest().map(|()| runs)
    }

    async fn days_over(&self, kept: Option<Duration>) -> Result<Vec<Day>, Error> {
        let Some(kept) = kept else { return Ok(Vec::new()) };
        self.ask("prune", &kept, |work, kept| {
            Box::pin(async move {
                let before = now(work).await?.saturating_sub(millis_of(*kept));
                days_over(work.connection, work.statements, before).await
            })
        })
        .await
    }

    async fn prune_day(&self, day: Day) -> Result<u64, Error> {
        let mut after = Some(Uuid::nil());
        while let Some(last) = after {
            after = self
                .ask("prune", &(day, last), |work, (day, last)| {
                    Box::pin(empty_day(work.connection, work.statements, *day, *last))
                })
                .await?;
        }
        self.ask("prune", &day, |work, day| Box::pin(drop_day(work.connection, work.statements, *day))).await
    }
}

/// The end of what is kept for this long; null: all is kept.
async fn before(work: &mut Work<'_>, kept: Option<Duration>) -> Fallible<Option<i64>> {
    let Some(kept) = kept else { return Ok(None) };
    Ok(Some(now(work).await?.saturating_sub(millis_of(kept))))
}

/// Answers 0: they are no kind that is counted.
async fn prune_keys(work: &mut Work<'_>) -> Fallible<u64> {
    let delete = work.timed("DELETE FROM riqle.unique_keys WHERE expires_at <= riqle.now($1)");
    work.run(delete).await.map(|()| 0)
}

/// Answers 0, as [`prune_keys`] does.
async fn forget_workers(work: &mut Work<'_>) -> Fallible<u64> {
    let before = before(work, Some(WORKER_FORGOTTEN_AFTER)).await?;
    let delete = work.query("DELETE FROM riqle.workers WHERE seen_at < $1").bind(before);
    work.run(delete).await.map(|()| 0)
}

/// Answers 0, as [`prune_keys`] does.
async fn join_counts(work: &mut Work<'_>) -> Fallible<u64> {
    let join = work.query(include_str!("../queries/join_dead_counts.sql"));
    work.run(join).await.map(|()| 0)
}

async fn prune_runs(work: &mut Work<'_>, retention: &Retention) -> Fallible<u64> {
    let (ended, dead) = (before(work, retention.ended).await?, before(work, retention.dead).await?);
    let runs = work.query(include_str!("../queries/prune_runs.sql")).bind(ended).bind(dead).bind(PORTION);
    get_count(&runs.fetch_one(&mut *work.connection).await?, "runs")
}

/// Deletes a portion of what is older, and answers how much.
async fn delete(work: &mut Work<'_>, template: &'static str, kept: Option<Duration>) -> Fallible<u64> {
    let before = before(work, kept).await?;
    let delete = work.query(template).bind(before).bind(PORTION);
    Ok(delete.execute(&mut *work.connection).await?.rows_affected())
}
