use riqle_jobs_core::{
    Error, ErrorKind, LeaseAnswer, LeaseRef, Payload, RunId, StepDatabase, StepPath, StepSave,
    StepTransaction, store::rules::Fence,
};

use crate::{
    Postgres, PostgresTransaction,
    error::Failure,
    fence::{answers, hold},
    rows::{get, payload},
    steps::write_steps,
    work::answered,
};

impl StepDatabase for Postgres {
    type Transaction = PostgresTransaction;

    async fn begin(&self) -> Result<PostgresTransaction, Error> {
        Postgres::begin(self).await
    }
}

impl StepTransaction for PostgresTransaction {
    /// Its run stays as it is until the transaction ends, so a lease that holds in it holds to its end.
    async fn hold(&mut self, lease: &LeaseRef) -> Result<LeaseAnswer, Error> {
        let mut work = self.work();
        let held = answered(hold(&mut work, &[lease])).await.map_err(unsaved)?;
        let answers = answered(answers(&mut work, &[lease], &held, Fence::answer)).await.map_err(unsaved)?;
        Ok(answers.first().copied().unwrap_or(LeaseAnswer::LeaseLost))
    }

    async fn saved_step(&mut self, run: RunId, path: &StepPath) -> Result<Option<Payload>, Error> {
        let work = self.work();
        let saved = work
            .query("SELECT codec, result FROM riqle.steps WHERE run = $1 AND name = $2")
            .bind(run.as_uuid())
            .bind(path.as_str().to_owned())
            .fetch_optional(&mut *work.connection);
        let row = answered(saved).await.map_err(unsaved)?;
        row.map(|row| payload(&row, "codec", "result")).transpose().map_err(unsaved)
    }

    async fn save_step(&mut self, step: StepSave) -> Result<(), Error> {
        let mut work = self.work();
        let written = answered(write_steps(&mut work, &[step])).await.map_err(unsaved)?;
        match written.first().map(|row| get::<bool>(row, "is_new")) {
            Some(Ok(true)) => {
                self.has_written = true;
                Ok(())
            }
            Some(Err(error)) => Err(unsaved(error)),
            _ => Err(Error::new(ErrorKind::Conflict, "step_in", "the step is saved already")),
        }
    }

    async fn commit(self) -> Result<(), Error> {
        PostgresTransaction::commit(self).await
    }
}

fn unsaved(error: Failure) -> Error {
    error.of("step_in")
}
