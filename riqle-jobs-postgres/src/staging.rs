//! What applications stage for another store, until a relay takes it (`Staging`).

use std::time::Duration;

use async_trait::async_trait;
use riqle_jobs_core::{
    Error, ErrorKind, Hint, Staging, WakeUps, millis_of,
    store::{RefusedStaged, STEPS_KEPT, Staged, StagedNumber, StagedRequest, StagingStatus, TakenStaged},
};
use sqlx::postgres::PgRow;

use crate::{
    Postgres,
    error::{Failure, Result as Fallible},
    rows::{codec, count, get, get_count, maybe_time, payload, size, time, word},
    work::Work,
};

#[async_trait]
impl Staging for Postgres {
    async fn take_staged(&self, request: StagedRequest) -> Result<Vec<TakenStaged>, Error> {
        self.change("take_staged", &request, |work, request| Box::pin(take_staged(work, *request))).await
    }

    async fn remove_staged(&self, items: Vec<StagedNumber>) -> Result<(), Error> {
        self.ask("remove_staged", &items, |work, items| {
            let numbers: Vec<i64> = items.iter().map(|item| item.0).collect();
            let query = work.query(include_str!("../queries/remove_staged.sql")).bind(numbers);
            Box::pin(work.run(query))
        })
        .await
    }

    async fn refuse_staged(&self, item: StagedNumber, error: &str) -> Result<(), Error> {
        self.ask("refuse_staged", &(item, error.to_owned()), |work, (item, error)| {
            let query = work.timed(include_str!("../queries/refuse_staged.sql"));
            let query = query.bind(item.0).bind(error.clone());
            Box::pin(work.run(query))
        })
        .await
    }

    async fn forget_kept_steps(&self) -> Result<u64, Error> {
        self.ask("forget_kept_steps", &(), |work, ()| {
            let query = work
                .timed("DELETE FROM riqle.kept_steps WHERE kept_at < riqle.now($1) - $2")
                .bind(millis_of(STEPS_KEPT));
            Box::pin(async { Ok(query.execute(&mut *work.connection).await?.rows_affected()) })
        })
        .await
    }

    async fn refused_staged(
        &self,
        limit: usize,
        after: Option<StagedNumber>,
    ) -> Result<Vec<RefusedStaged>, Error> {
        self.ask("refused_staged", &(limit, after), |work, (limit, after)| {
            let query = work.query(include_str!("../queries/refused_staged.sql"));
            let query = query.bind(after.map_or(0, |after| after.0)).bind(size(*limit));
            Box::pin(async move {
                query.fetch_all(&mut *work.connection).await?.iter().map(refused_staged).collect()
            })
        })
        .await
    }

    async fn stage_again(&self, item: StagedNumber) -> Result<(), Error> {
        self.ask("stage_again", &item, |work, item| Box::pin(stage_again(work, *item))).await
    }

    async fn staging_status(&self) -> Result<StagingStatus, Error> {
        self.ask("staging_status", &(), |work, ()| Box::pin(staging_status(work, None))).await
    }

    fn staging_wake_ups(&self) -> WakeUps {
        self.shared.wake.wake_ups()
    }
}

/// Stores items that are not there yet, in their order.
pub(crate) async fn stage(work: &mut Work<'_>, items: &[Staged]) -> Fallible<()> {
    Ok(work
        .timed(include_str!("../queries/stage.sql"))
        .bind(items.iter().map(|item| item.kind.as_str()).collect::<Vec<_>>())
        .bind(items.iter().map(|item| item.id.clone()).collect::<Vec<_>>())
        .bind(items.iter().map(|item| item.head.clone()).collect::<Vec<_>>())
        .bind(items.iter().map(|item| codec(item.payload.codec)).collect::<Vec<_>>())
        .bind(items.iter().map(|item| item.payload.bytes.clone()).collect::<Vec<_>>())
        .execute(&mut *work.connection)
        .await
        .map(drop)?)
}

async fn take_staged(work: &mut Work<'_>, request: StagedRequest) -> Fallible<Vec<TakenStaged>> {
    let one_at_a_time = "SELECT pg_advisory_xact_lock(hashtextextended('riqle-jobs staging of ' || $1, 0))";
    let schema = work.statements.schema().to_owned();
    work.run(work.query(one_at_a_time).bind(schema)).await?;
    let rows = work
        .timed(include_str!("../queries/take_staged.sql"))
        .bind(request.token.as_uuid())
        .bind(size(request.limit))
        .bind(size(request.bytes))
        .bind(millis_of(request.lease))
        .bind(request.after.map_or(0, |after| after.0))
        .fetch_all(&mut *work.connection)
        .await?;
    let taken = |row: &PgRow| {
        // A server's clock may have been set back.
        let waited = u64::try_from(get::<i64>(row, "waited")?).unwrap_or_default();
        let waited = Duration::from_millis(waited);
        Ok(TakenStaged { number: number(row)?, staged: staged(row)?, waited })
    };
    rows.iter().map(taken).collect()
}

async fn stage_again(work: &mut Work<'_>, item: StagedNumber) -> Fallible<()> {
    let again = work.query(include_str!("../queries/stage_again.sql")).bind(item.0);
    if again.execute(&mut *work.connection).await?.rows_affected() == 0 {
        let message = format!("nothing is staged under number {}", item.0);
        return Err(Failure::from(Error::new(ErrorKind::NotFound, "stage_again", message)));
    }
    work.hint(Hint::Staged);
    Ok(())
}

/// How much is staged, counted to `most` where that is given.
pub(crate) async fn staging_status(work: &mut Work<'_>, most: Option<u64>) -> Fallible<StagingStatus> {
    let status = work.query(include_str!("../queries/staging_status.sql")).bind(most.map(count));
    let row = status.fetch_one(&mut *work.connection).await?;
    Ok(StagingStatus {
        waiting: get_count(&row, "waiting")?,
        oldest: maybe_time(&row, "oldest")?,
        refused: get_count(&row, "refused")?,
    })
}

fn refused_staged(row: &PgRow) -> Fallible<RefusedStaged> {
    Ok(RefusedStaged {
        number: number(row)?,
        staged: staged(row)?,
        staged_at: time(row, "staged_at")?,
        refused_at: time(row, "refused_at")?,
        error: get(row, "error")?,
    })
}

fn number(row: &PgRow) -> Fallible<StagedNumber> {
    Ok(StagedNumber(get(row, "number")?))
}

fn staged(row: &PgRow) -> Fallible<Staged> {
    Ok(Staged {
        kind: word(row, "kind")?,
        id: get(row, "id")?,
        head: get(row, "head")?,
        payload: payload(row, "codec", "payload")?,
    })
}
