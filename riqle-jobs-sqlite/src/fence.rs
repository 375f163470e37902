//! Which leases still hold, for every write under one.

use jiff::Timestamp;
use riqle_jobs_core::{LeaseRef, WorkerId, from_millis, store::rules::Fence};
use serde::Deserialize;
use sqlx::SqliteConnection;

use crate::{
    enqueue::index,
    error::Result,
    rows::{Query, for_each, json},
};

/// What a settlement needs to know of the row that it ends.
pub(crate) struct HeldRow {
    pub(crate) worker: WorkerId,
    pub(crate) claimed_at: Timestamp,
    /// As it is stored.
    pub(crate) attempts: String,
    /// Holds a unique key until it ends.
    pub(crate) holds_key: bool,
    /// Its end makes a schedule due.
    pub(crate) wakes_schedule: bool,
}

/// The fence of each lease, in order.
pub(crate) async fn fences(connection: &mut SqliteConnection, leases: &[&LeaseRef]) -> Result<Vec<Fence>> {
    let found = fences_and_rows(connection, leases).await?;
    Ok(found.into_iter().map(|(fence, _)| fence).collect())
}

/// The fence of each lease, in order, with the row of a run that is held.
pub(crate) async fn fences_and_rows(
    connection: &mut SqliteConnection,
    leases: &[&LeaseRef],
) -> Result<Vec<(Fence, Option<HeldRow>)>> {
    let template = include_str!("../queries/fences.sql");
    let row = |query: Query<'static>, n: usize, lease: &&LeaseRef| {
        query.bind(index(n)).bind(lease.run.as_uuid()).bind(lease.token.as_uuid())
    };
    let mut fences: Vec<_> = leases.iter().map(|_| (Fence::Lost, None)).collect();
    for row in for_each(connection, template, |query| query, leases, row).await? {
        for found in json::<Vec<Found>>(&row, "fences")? {
            if let Some(place) = fences.get_mut(found.0) {
                *place = match (found.1, found.row()) {
                    (Fence::Holds, None) => (Fence::Lost, None),
                    fence_and_row => fence_and_row,
                };
            }
        }
    }
    Ok(fences)
}

/// The lease's number, the fence, whether a unique key is held, whether its end makes a schedule due, and of a running run its claim and attempts.
#[derive(Deserialize)]
struct Found(usize, Fence, u8, u8, String, Option<i64>, Option<String>);

impl Found {
    fn row(self) -> Option<HeldRow> {
        let Found(_, _, holds_key, wakes_schedule, worker, claimed_at, attempts) = self;
        Some(HeldRow {
            worker: worker.parse().ok()?,
            claimed_at: from_millis(claimed_at?),
            attempts: attempts?,
            holds_key: holds_key != 0,
            wakes_schedule: wakes_schedule != 0,
        })
    }
}
