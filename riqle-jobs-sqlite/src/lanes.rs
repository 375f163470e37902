//! Lanes: the number of each queue, job and priority.

use std::collections::HashMap;

use riqle_jobs_core::Priority;
use sqlx::{Row, SqliteConnection};

use crate::error::Result;

/// The lanes that are known: the number of each queue, job and priority. Lanes are never deleted.
#[derive(Default)]
pub(crate) struct Lanes {
    numbers: HashMap<String, HashMap<String, [Option<i64>; Priority::ALL.len()]>>,
}

impl Lanes {
    /// The number of a lane, given if it has none.
    pub(crate) async fn number(
        &mut self,
        connection: &mut SqliteConnection,
        queue: &str,
        job: &str,
        priority: Priority,
    ) -> Result<i64> {
        let place = usize::from(priority.number());
        if let Some(number) =
            self.numbers.get(queue).and_then(|jobs| jobs.get(job)).and_then(|numbers| numbers[place])
        {
            return Ok(number);
        }
        let row = sqlx::query(include_str!("../queries/lane.sql"))
            .bind(queue)
            .bind(job)
            .bind(priority.number())
            .fetch_one(connection)
            .await?;
        let number = row.try_get(0)?;
        let jobs = self.numbers.entry(queue.to_owned()).or_default();
        jobs.entry(job.to_owned()).or_default()[place] = Some(number);
        Ok(number)
    }
}
