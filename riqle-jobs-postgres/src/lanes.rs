use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use riqle_jobs_core::Priority;
use sha2::{Digest, Sha256};

use crate::{error::Result, work::Work};

/// A queue, a job and a priority.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Lane<'a> {
    pub(crate) queue: &'a str,
    pub(crate) job: &'a str,
    pub(crate) priority: Priority,
}

impl Lane<'_> {
    /// Its number in every database.
    pub(crate) fn number(&self) -> i64 {
        let mut hash = Sha256::new();
        // No name holds a control character.
        hash.update([self.queue, self.job].join("\0"));
        hash.update([0, self.priority.number()]);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize()[..8]);
        i64::from_be_bytes(first)
    }
}

/// The lanes that are known to be stored. They are never deleted.
#[derive(Debug, Default)]
pub(crate) struct KnownLanes {
    numbers: Mutex<HashSet<i64>>,
}

impl KnownLanes {
    /// Stores those that are new. They are known from then on where the connection is in no transaction, which might
    /// be rolled back.
    pub(crate) async fn store(&self, work: &mut Work<'_>, lanes: &[(i64, Lane<'_>)]) -> Result<()> {
        let mut new: Vec<_> = lanes.iter().filter(|(number, _)| !self.knows(*number)).collect();
        new.sort();
        new.dedup();
        if new.is_empty() {
            return Ok(());
        }
        work.query(include_str!("../queries/lanes.sql"))
            .bind(new.iter().map(|(number, _)| *number).collect::<Vec<_>>())
            .bind(new.iter().map(|(_, lane)| lane.queue.to_owned()).collect::<Vec<_>>())
            .bind(new.iter().map(|(_, lane)| lane.job.to_owned()).collect::<Vec<_>>())
            .bind(new.iter().map(|(_, lane)| i16::from(lane.priority.number())).collect::<Vec<_>>())
            .execute(&mut *work.connection)
            .await?;
        Ok(())
    }

    pub(crate) fn knows(&self, number: i64) -> bool {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).contains(&number)
    }

    /// Once they are committed.
    pub(crate) fn remember(&self, numbers: impl Iterator<Item = i64>) {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).extend(numbers);
    }
}
