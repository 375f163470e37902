//! The record of what operators did (`Audit`).

use async_trait::async_trait;
use riqle_jobs_core::{
    ActionId, Audit, Error, ErrorKind,
    store::{ActionFilter, NewAction, RecordedAction},
};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::{
    Postgres,
    error::{Failure, Result as Fallible},
    rows::{json, size, time},
    work::Work,
};

#[async_trait]
impl Audit for Postgres {
    async fn record_action(&self, action: NewAction) -> Result<(), Error> {
        let action = action.checked()?;
        self.ask("record_action", &action, |work, action| Box::pin(record_action(work, action))).await
    }

    async fn action(&self, id: ActionId) -> Result<Option<RecordedAction>, Error> {
        self.ask("action", &id, |work, id| {
            let query = work.query("SELECT * FROM riqle.actions WHERE id = $1").bind(id.as_uuid());
            Box::pin(async move {
                query.fetch_optional(&mut *work.connection).await?.as_ref().map(recorded).transpose()
            })
        })
        .await
    }

    async fn actions(&self, filter: ActionFilter) -> Result<Vec<RecordedAction>, Error> {
        let page = |limit, before| self.page_of_actions(limit, before);
        filter.select(|action| filter.lists(action), page).await
    }
}

impl Postgres {
    /// At most `limit` of all actions, newest id first, older than `before`.
    async fn page_of_actions(
        &self,
        limit: usize,
        before: Option<ActionId>,
    ) -> Result<Vec<RecordedAction>, Error> {
        self.ask("actions", &(limit, before), |work, (limit, before)| {
            let before = before.map_or(Uuid::max(), |id| id.as_uuid());
            let select = "SELECT * FROM riqle.actions WHERE id < $1 ORDER BY id DESC LIMIT $2";
            let query = work.query(select).bind(before).bind(size(*limit));
            Box::pin(
                async move { query.fetch_all(&mut *work.connection).await?.iter().map(recorded).collect() },
            )
        })
        .await
    }
}

async fn record_action(work: &mut Work<'_>, action: &NewAction) -> Fallible<()> {
    let text = serde_json::to_string(action).map_err(|cause| {
        let error = Error::new(ErrorKind::Rejected, "record_action", "an action can't be written");
        Failure::from(error.caused_by(cause))
    })?;
    Ok(work
        .timed(include_str!("../queries/record_action.sql"))
        .bind(action.id.as_uuid())
        .bind(text)
        .execute(&mut *work.connection)
        .await
        .map(drop)?)
}

fn recorded(row: &PgRow) -> Fallible<RecordedAction> {
    Ok(RecordedAction {
        action: json(row, "action")?,
        at: time(row, "at")?,
        changed_at: time(row, "changed_at")?,
    })
}
