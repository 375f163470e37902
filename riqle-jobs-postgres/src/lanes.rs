//! Lanes: the number of each queue, job and priority.

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
        // No name contains a control character.
        hash.update([self.queue, self.job].join("\0"));
        hash.update([0, self.priority.number()]);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize()[..8]);
        i64::from_be_bytes(first)
    }
}

/// Stores the lanes that are not there. They are never deleted.
pub(crate) async fn store_lanes(work: &mut Work<'_>, lanes: &[(i64, Lane<'_>)]) -> Result<()> {
    Ok(work
        .query(include_str!("../queries/lanes.sql"))
        .bind(lanes.iter().map(|(number, _)| *number).collect::<Vec<_>>())
        .bind(lanes.iter().map(|(_, lane)| lane.queue.to_owned()).collect::<Vec<_>>())
        .bind(lanes.iter().map(|(_, lane)| lane.job.to_owned()).collect::<Vec<_>>())
        .bind(lanes.iter().map(|(_, lane)| i16::from(lane.priority.number())).collect::<Vec<_>>())
        .execute(&mut *work.connection)
        .await
        .map(drop)?)
}
