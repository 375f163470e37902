//! The record of what operators did (`Audit`).

use async_trait::async_trait;
use riqle_jobs_core::{
    ActionId, Audit, Error, ErrorKind,
    store::{ActionFilter, NewAction, RecordedAction},
};
use sqlx::sqlite::SqliteRow;

use crate::{
    Sqlite,
    error::Result as Fallible,
    rows::{json, millis, time},
};

#[async_trait]
impl Audit for Sqlite {
    async fn record_action(&self, action: NewAction) -> Result<(), Error> {
        let action = action.checked()?;
        let text = serde_json::to_string(&action).map_err(|cause| {
            let message = "the action can't be written";
            Error::new(ErrorKind::Rejected, "record_action", message).caused_by(cause)
        })?;
        let writer = &self.shared.writer;
        writer
            .change("record_action", (action.id, text), |write, (id, text)| {
                let query = sqlx::query(include_str!("../queries/record_action.sql"))
                    .bind(id.as_uuid())
                    .bind(millis(write.now))
                    .bind(text);
                Box::pin(write.run(query))
            })
            .await
    }

    async fn action(&self, id: ActionId) -> Result<Option<RecordedAction>, Error> {
        self.read("action", |mut connection| async move {
            let row = sqlx::query("SELECT * FROM riqle_actions WHERE id = ?1")
                .bind(id.as_uuid())
                .fetch_optional(&mut *connection)
                .await?;
            row.as_ref().map(recorded).transpose()
        })
        .await
    }

    async fn actions(&self, filter: ActionFilter) -> Result<Vec<RecordedAction>, Error> {
        let page = |limit, before| self.page_of_actions(limit, before);
        filter.select(|action| filter.lists(action), page).await
    }
}

impl Sqlite {
    /// At most `limit` of all actions, newest id first, older than `before`.
    async fn page_of_actions(
        &self,
        limit: usize,
        before: Option<ActionId>,
    ) -> Result<Vec<RecordedAction>, Error> {
        // Above every id.
        let before = before.map_or(vec![0xff; 17], |id| id.as_uuid().as_bytes().to_vec());
        self.read("actions", |mut connection| async move {
            let rows = sqlx::query("SELECT * FROM riqle_actions WHERE id < ?1 ORDER BY id DESC LIMIT ?2")
                .bind(before)
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_all(&mut *connection)
                .await?;
            rows.iter().map(recorded).collect()
        })
        .await
    }
}

pub(crate) fn recorded(row: &SqliteRow) -> Fallible<RecordedAction> {
    Ok(RecordedAction {
        action: json(row, "action")?,
        at: time(row, "at")?,
        changed_at: time(row, "changed_at")?,
    })
}
