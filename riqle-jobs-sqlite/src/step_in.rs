use riqle_jobs_core::{
    Error, ErrorKind, LeaseAnswer, LeaseRef, Payload, RunId, StepDatabase, StepPath, StepSave,
    StepTransaction, store::rules::Fence,
};

use crate::{
    Sqlite, SqliteTransaction,
    error::{Failure, translate},
    fence::fences,
    rows::payload,
    steps::insert_steps,
};

impl StepDatabase for Sqlite {
    type Transaction = SqliteTransaction;

    async fn begin(&self) -> Result<SqliteTransaction, Error> {
        Sqlite::begin(self).await
    }
}

impl StepTransaction for SqliteTransaction {
    /// While the transaction is open nobody else can write, so a lease that holds in it holds to its end.
    async fn hold(&mut self, lease: &LeaseRef) -> Result<LeaseAnswer, Error> {
        let fences = fences(self, &[lease]).await.map_err(unsaved)?;
        Ok(fences.first().unwrap_or(&Fence::Lost).answer())
    }

    async fn saved_step(&mut self, run: RunId, path: &StepPath) -> Result<Option<Payload>, Error> {
        let row = sqlx::query("SELECT codec, result FROM riqle_steps WHERE run = ?1 AND name = ?2")
            .bind(run.as_uuid())
            .bind(path.as_str())
            .fetch_optional(&mut **self)
            .await
            .map_err(|error| translate("step_in", error))?;
        row.map(|row| payload(&row, "codec", "result")).transpose().map_err(unsaved)
    }

    async fn save_step(&mut self, step: StepSave) -> Result<(), Error> {
        let now = self.now().await.map_err(unsaved)?;
        match insert_steps(self, &[&step], now).await.map_err(unsaved)? {
            0 => Err(Error::new(ErrorKind::Conflict, "step_in", "the step is saved already")),
            _ => Ok(()),
        }
    }

    async fn commit(self) -> Result<(), Error> {
        SqliteTransaction::commit(self).await
    }
}

fn unsaved(error: Failure) -> Error {
    error.of("step_in")
}
