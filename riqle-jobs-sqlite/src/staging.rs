//! What applications stage for another store, until a relay takes it (`Staging`).

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    Error, ErrorKind, Hint, Staging, WakeUps, earlier, later,
    store::{RefusedStaged, STEPS_KEPT, Staged, StagedNumber, StagedRequest, StagingStatus, TakenStaged},
};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    Sqlite,
    enqueue::index,
    error::{Failure, Result as Fallible},
    rows::{Query, for_each, get, get_count, maybe_time, millis, payload, time, word},
    writer::Write,
};

#[async_trait]
impl Staging for Sqlite {
    async fn take_staged(&self, request: StagedRequest) -> Result<Vec<TakenStaged>, Error> {
        let writer = &self.shared.writer;
        writer
            .change("take_staged", request, |write, request| {
                Box::pin(take_staged(&mut write.connection, *request, write.now))
            })
            .await
    }

    async fn remove_staged(&self, items: Vec<StagedNumber>) -> Result<(), Error> {
        let numbers: Vec<i64> = items.into_iter().map(|item| item.0).collect();
        let writer = &self.shared.writer;
        writer
            .change("remove_staged", serde_json::json!(numbers).to_string(), |write, numbers| {
                let query = sqlx::query(include_str!("../queries/remove_staged.sql")).bind(numbers);
                Box::pin(write.run(query))
            })
            .await
    }

    async fn refuse_staged(&self, item: StagedNumber, error: &str) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer
            .change("refuse_staged", (item, error.to_owned()), |write, (item, error)| {
                let query = sqlx::query(include_str!("../queries/refuse_staged.sql"))
                    .bind(item.0)
                    .bind(millis(write.now))
                    .bind(error);
                Box::pin(write.run(query))
            })
            .await
    }

    async fn forget_kept_steps(&self) -> Result<u64, Error> {
        let writer = &self.shared.writer;
        writer
            .change("forget_kept_steps", (), |write, ()| {
                Box::pin(async {
                    let query = sqlx::query("DELETE FROM riqle_kept_steps WHERE kept_at < ?1");
                    let query = query.bind(millis(earlier(write.now, STEPS_KEPT)));
                    Ok(query.execute(&mut write.connection).await?.rows_affected())
                })
            })
            .await
    }

    async fn refused_staged(
        &self,
        limit: usize,
        after: Option<StagedNumber>,
    ) -> Result<Vec<RefusedStaged>, Error> {
        self.read("refused_staged", |mut connection| async move {
            let rows = sqlx::query(include_str!("../queries/refused_staged.sql"))
                .bind(after.map_or(0, |after| after.0))
                .bind(index(limit))
                .fetch_all(&mut *connection)
                .await?;
            rows.iter().map(refused_staged).collect()
        })
        .await
    }

    async fn stage_again(&self, item: StagedNumber) -> Result<(), Error> {
        let writer = &self.shared.writer;
        writer.change("stage_again", item, |write, item| Box::pin(stage_again(write, *item))).await
    }

    async fn staging_status(&self) -> Result<StagingStatus, Error> {
        self.read("staging_status", |mut connection| async move { staging_status(&mut connection).await })
            .await
    }

    fn staging_wake_ups(&self) -> WakeUps {
        self.shared.in_process.wake.wake_ups()
    }
}

/// Stores items that are not there yet, in their order.
pub(crate) async fn stage(
    connection: &mut SqliteConnection,
    items: &[Staged],
    now: Timestamp,
) -> Fallible<()> {
    let template = include_str!("../queries/stage.sql");
    let row = |query: Query<'static>, _, item: &Staged| {
        query
            .bind(item.kind.as_str())
            .bind(item.id.clone())
            .bind(item.head.clone())
            .bind(item.payload.codec.0)
            .bind(item.payload.bytes.clone())
    };
    for_each(connection, template, |query| query.bind(millis(now)), items, row).await.map(drop)
}

async fn take_staged(
    connection: &mut SqliteConnection,
    request: StagedRequest,
    now: Timestamp,
) -> Fallible<Vec<TakenStaged>> {
    let rows = sqlx::query(include_str!("../queries/take_staged.sql"))
        .bind(millis(now))
        .bind(request.token.as_uuid())
        .bind(index(request.limit))
        .bind(index(request.bytes))
        .bind(millis(later(now, request.lease)))
        .bind(request.after.map_or(0, |after| after.0))
        .fetch_all(connection)
        .await?;
    let taken = |row: &SqliteRow| {
        let waited = now.duration_since(time(row, "staged_at")?);
        let waited = waited.try_into().unwrap_or_default();
        Ok(TakenStaged { number: number(row)?, staged: staged(row)?, waited })
    };
    let mut taken = rows.iter().map(taken).collect::<Fallible<Vec<_>>>()?;
    // An update answers in no order.
    taken.sort_by_key(|taken| taken.number);
    Ok(taken)
}

async fn stage_again(write: &mut Write, item: StagedNumber) -> Fallible<()> {
    let found = sqlx::query(include_str!("../queries/stage_again.sql"))
        .bind(item.0)
        .execute(&mut write.connection)
        .await?;
    if found.rows_affected() == 0 {
        let message = format!("nothing is staged under number {}", item.0);
        return Err(Failure::from(Error::new(ErrorKind::NotFound, "stage_again", message)));
    }
    write.hint(Hint::Staged);
    Ok(())
}

/// How much is staged.
pub(crate) async fn staging_status(connection: &mut SqliteConnection) -> Fallible<StagingStatus> {
    let row = sqlx::query(include_str!("../queries/staging_status.sql")).fetch_one(connection).await?;
    Ok(StagingStatus {
        waiting: get_count(&row, "waiting")?,
        oldest: maybe_time(&row, "oldest")?,
        refused: get_count(&row, "refused")?,
    })
}

fn refused_staged(row: &SqliteRow) -> Fallible<RefusedStaged> {
    Ok(RefusedStaged {
        number: number(row)?,
        staged: staged(row)?,
        staged_at: time(row, "staged_at")?,
        refused_at: time(row, "refused_at")?,
        error: get(row, "error")?,
    })
}

fn number(row: &SqliteRow) -> Fallible<StagedNumber> {
    Ok(StagedNumber(get(row, "number")?))
}

fn staged(row: &SqliteRow) -> Fallible<Staged> {
    Ok(Staged {
        kind: word(row, "kind")?,
        id: get(row, "id")?,
        head: get(row, "head")?,
        payload: payload(row, "codec", "payload")?,
    })
}
