//! The status of each queue.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::State;
use crate::store::{COUNTED_TO, QueueStatus};

impl State {
    /// The queues that are paused or hold runs that have not ended, by name.
    pub(super) fn queues(&self, now: Timestamp) -> Vec<QueueStatus> {
        let mut queues: BTreeMap<&str, QueueStatus> = BTreeMap::new();
        for (queue, pause) in &self.paused {
            queues.entry(queue).or_insert_with(|| QueueStatus::empty(queue)).pause = Some(pause.clone());
        }
        for (number, lane) in self.due.lanes() {
            let live = self.lists.lane(number).map_or(0, |lists| lists.live().len());
            if live == 0 {
                continue;
            }
            let queue = queues.entry(&lane.queue).or_insert_with(|| QueueStatus::empty(lane.queue.as_ref()));
            let (due, later) = lane.due_and_later(now, COUNTED_TO);
            queue.due += due as u64;
            queue.scheduled += later as u64;
            queue.running += lane.running_count() as u64;
            queue.waiting += (live - lane.pending_count() - lane.running_count()) as u64;
            let first_due = lane.first_due().filter(|due_at| *due_at <= now);
            queue.oldest_due = queue.oldest_due.into_iter().chain(first_due).min();
        }
        queues.into_values().collect()
    }
}
