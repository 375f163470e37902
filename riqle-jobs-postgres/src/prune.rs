use std::time::Duration;

use riqle_jobs_core::{
    Error, Retention,
    events::EVENT_ID_KEPT,
    millis_of,
    store::{Pruned, WORKER_FORGOTTEN_AFTER},
};
use uuid::Uuid;

use crate::{
    Postgres,
    days::{days_over, drop_day, empty_day, open_days},
    error::Result as DriverResult,
    operate::now,
    rows::get_count,
    work::Work,
};

/// How much a prune deletes in one transaction, so that nobody waits for it long.
const PORTION: i64 = 1_000;

impl Postgres {
    /// Deletes what is older, portion by portion.
    pub(crate) async fn prune_all(&self, retention: &Retention) -> Result<Pruned, Error> {
        let runs = self.prune_days(retention.ended).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the days of the history could not be looked after; that is done later");
            self.shared.upkeep.put_off();
            0
        });
        let mut pruned = Pruned { runs, ..Pruned::default() };
        loop {
            let portion = self.change("prune", retention, |work, kept| Box::pin(prune(work, kept))).await?;
            pruned.runs += portion.runs;
            pruned.events += portion.events;
            pruned.emails += portion.emails;
            pruned.metrics += portion.metrics;
            pruned.actions += portion.actions;
            let Pruned { runs, events, emails, metrics, actions } = portion;
            // Dead letters and history have a portion each.
            let most = [runs, events, emails, metrics, actions].into_iter().max().unwrap_or_default();
            if most < PORTION.unsigned_abs() {
                return Ok(pruned);
            }
        }
    }

    /// Drops the days of the history that are over, and makes those to come.
    async fn prune_days(&self, kept: Option<Duration>) -> Result<u64, Error> {
        if self.frozen().is_some() || !self.shared.upkeep.is_due() {
            return Ok(0);
        }
        self.ask("prune", &(), |work, ()| Box::pin(open_days(work.connection, work.statements))).await?;
        let Some(kept) = kept else { return Ok(0) };
        let over = self
            .ask("prune", &kept, |work, kept| {
                Box::pin(async move {
                    let before = now(work).await?.saturating_sub(millis_of(*kept));
                    days_over(work.connection, work.statements, before).await
                })
            })
            .await?;
        let mut runs = 0;
        for day in over {
            let mut after = Some(Uuid::nil());
            while let Some(last) = after {
                after = self
                    .ask("prune", &(day, last), |work, (day, last)| {
                        Box::pin(empty_day(work.connection, work.statements, *day, *last))
                    })
                    .await?;
            }
            runs += self
                .ask("prune", &day, |work, day| Box::pin(drop_day(work.connection, work.statements, *day)))
                .await?;
        }
        Ok(runs)
    }
}

/// Deletes a portion of each kind.
async fn prune(work: &mut Work<'_>, retention: &Retention) -> DriverResult<Pruned> {
    let now = now(work).await?;
    let before = |kept: Option<Duration>| kept.map(|kept| now.saturating_sub(millis_of(kept)));
    work.query("DELETE FROM riqle.unique_keys WHERE expires_at <= $1")
        .bind(now)
        .execute(&mut *work.connection)
        .await?;
    work.query("DELETE FROM riqle.workers WHERE seen_at < $1")
        .bind(before(Some(WORKER_FORGOTTEN_AFTER)))
        .execute(&mut *work.connection)
        .await?;
    let runs = work
        .query(include_str!("../queries/prune_runs.sql"))
        .bind(before(retention.ended))
        .bind(before(retention.dead))
        .bind(PORTION)
        .fetch_one(&mut *work.connection)
        .await?;
    work.query(include_str!("../queries/join_dead_counts.sql")).execute(&mut *work.connection).await?;
    let of_version_before = include_str!("../queries/prune_metrics_of_version_before.sql");
    let events = before(retention.events.map(|kept| kept.max(EVENT_ID_KEPT)));
    Ok(Pruned {
        runs: get_count(&runs, "runs")?,
        events: delete(work, include_str!("../queries/prune_events.sql"), events).await?,
        emails: delete(work, include_str!("../queries/prune_emails.sql"), before(retention.emails)).await?,
        metrics: delete(work, include_str!("../queries/prune_metrics.sql"), before(retention.metrics))
            .await?
            + delete(work, of_version_before, before(retention.metrics)).await?,
        actions: delete(work, include_str!("../queries/prune_actions.sql"), before(retention.actions))
            .await?,
    })
}

/// Deletes a portion of what is older, and answers how much.
async fn delete(work: &mut Work<'_>, template: &'static str, before: Option<i64>) -> DriverResult<u64> {
    let delete = work.query(template).bind(before).bind(PORTION);
    Ok(delete.execute(&mut *work.connection).await?.rows_affected())
}
