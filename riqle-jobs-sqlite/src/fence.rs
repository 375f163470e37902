use jiff::Timestamp;
use riqle_jobs_core::{LeaseAnswer, LeaseRef, WorkerId, from_millis};
use serde::Deserialize;
use sqlx::SqliteConnection;

use crate::{
    enqueue::index,
    error::Result,
    rows::{Query, for_each, json},
};

/// How a token stands to a run.
pub(crate) enum Fence {
    /// It holds the run.
    Holds(HeldRow),
    /// It held the run, which was settled under it.
    Settled,
    /// It held the run, which an operator cancelled.
    Cancelled,
    /// Neither.
    Lost,
}

/// What a settlement needs to know of the row that it ends.
pub(crate) struct HeldRow {
    pub(crate) worker: WorkerId,
    pub(crate) claimed_at: Timestamp,
    /// As it is stored.
    pub(crate) attempts: String,
    /// Holds a unique key until it ends.
    pub(crate) holds_key: bool,
}

impl Fence {
    /// What a write other than a repeated settle answers.
    pub(crate) fn answer(&self) -> LeaseAnswer {
        match self {
            Fence::Holds(_) => LeaseAnswer::Done,
            Fence::Cancelled => LeaseAnswer::CancelRequested,
            Fence::Settled | Fence::Lost => LeaseAnswer::LeaseLost,
        }
    }

    pub(crate) fn holds(&self) -> bool {
        matches!(self, Fence::Holds(_))
    }
}

/// The fence of each lease, in order.
pub(crate) async fn fences(connection: &mut SqliteConnection, leases: &[&LeaseRef]) -> Result<Vec<Fence>> {
    let template = include_str!("../queries/fences.sql");
    let row = |query: Query<'static>, n: usize, lease: &&LeaseRef| {
        query.bind(index(n)).bind(lease.run.as_uuid()).bind(lease.token.as_uuid())
    };
    let mut fences: Vec<Fence> = leases.iter().map(|_| Fence::Lost).collect();
    for row in for_each(connection, template, |query| query, leases, row).await? {
        for found in json::<Vec<Found>>(&row, "fences")? {
            if let Some(place) = fences.get_mut(found.0) {
                *place = found.into();
            }
        }
    }
    Ok(fences)
}

/// The lease's number, the word, whether a unique key is held, and the claim with the attempts of a run that is held.
#[derive(Deserialize)]
struct Found(usize, Word, u8, String, Option<i64>, Option<String>);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Holds,
    Settled,
    Cancelled,
    Lost,
}

impl From<Found> for Fence {
    fn from(Found(_, word, holds_key, worker, claimed_at, attempts): Found) -> Self {
        match (word, worker.parse(), claimed_at, attempts) {
            (Word::Holds, Ok(worker), Some(claimed_at), Some(attempts)) => Fence::Holds(HeldRow {
                worker,
                claimed_at: from_millis(claimed_at),
                attempts,
                holds_key: holds_key != 0,
            }),
            (Word::Settled, ..) => Fence::Settled,
            (Word::Cancelled, ..) => Fence::Cancelled,
            _ => Fence::Lost,
        }
    }
}
