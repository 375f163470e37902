use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use riqle_jobs_core::ClaimedRun;

use crate::{lanes::Lane, rows::millis};

/// For so long a claim may go on where the one before ended.
const TRUSTED: Duration = Duration::from_secs(1);

/// How far the claims of a busy queue have come. Rows that were claimed and have ended stand in the index until they are
/// vacuumed, which an old transaction elsewhere can hold up for long: who begins at the front each time reads them all.
/// So while claims come back full they go on where the one before ended, and look at the front, at expired leases and at
/// what is due later once in a second.
#[derive(Debug, Default)]
pub(crate) struct Floors {
    queues: Mutex<HashMap<String, Floor>>,
}

#[derive(Debug)]
struct Floor {
    /// The due time, in milliseconds, that the claims of a lane have come to.
    lanes: HashMap<i64, i64>,
    /// When the front was looked at.
    looked_at: Instant,
}

impl Floors {
    /// Where to go on in a queue: lanes and due times. `None`: at the front.
    pub(crate) fn of(&self, queue: &str) -> Option<(Vec<i64>, Vec<i64>)> {
        let queues = self.queues();
        let floor = queues.get(queue).filter(|floor| floor.looked_at.elapsed() < TRUSTED)?;
        Some(floor.lanes.iter().unzip())
    }

    /// Notes what a claim that came back full has come to.
    pub(crate) fn rise(&self, queue: &str, runs: &[ClaimedRun], began_at_front: bool) {
        let mut queues = self.queues();
        let floor = match queues.get_mut(queue) {
            Some(floor) if !began_at_front => floor,
            _ => {
                let new = Floor { lanes: HashMap::new(), looked_at: Instant::now() };
                queues.insert(queue.to_owned(), new);
                let Some(floor) = queues.get_mut(queue) else { return };
                floor
            }
        };
        // By priority and due time: the last of a lane is its newest.
        for runs in runs.chunk_by(|run, next| run.job == next.job && run.priority == next.priority) {
            if let Some(last) = runs.last() {
                let lane = Lane { queue, job: &last.job, priority: last.priority };
                floor.lanes.insert(lane.number(), millis(last.due_at));
            }
        }
    }

    /// The queue is not busy any more.
    pub(crate) fn forget(&self, queue: &str) {
        self.queues().remove(queue);
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<String, Floor>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
