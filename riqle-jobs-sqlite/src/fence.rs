use jiff::Timestamp;
use riqle_jobs_core::{LeaseAnswer, LeaseRef, WorkerId};
use sqlx::SqliteConnection;

use crate::{
    enqueue::{index, position},
    error::Result,
    rows::{Query, for_each, get, time},
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
        let fence = match get::<&str>(&row, "fence")? {
            "holds" => Fence::Holds(HeldRow {
                worker: WorkerId::from_uuid(get(&row, "worker")?),
                claimed_at: time(&row, "claimed_at")?,
                attempts: get(&row, "attempts")?,
                holds_key: get(&row, "holds_key")?,
            }),
            "settled" => Fence::Settled,
            "cancelled" => Fence::Cancelled,
            _ => Fence::Lost,
        };
        if let Some(place) = fences.get_mut(position(&row)?) {
            *place = fence;
        }
    }
    Ok(fences)
}
