use std::collections::BTreeMap;

use jiff::Timestamp;

use super::State;
use crate::{RunState, store::QueueStatus};

impl State {
    /// The queues that are paused or hold runs that have not ended, by name.
    pub(super) fn queues(&self, now: Timestamp) -> Vec<QueueStatus> {
        let mut queues: BTreeMap<&str, QueueStatus> = BTreeMap::new();
        for (queue, pause) in &self.paused {
            queues.entry(queue).or_insert_with(|| empty(queue)).pause = Some(pause.clone());
        }
        for run in self.runs.values().filter(|run| !run.state.is_ended()) {
            let queue = queues.entry(&run.queue).or_insert_with(|| empty(&run.queue));
            match run.state {
                RunState::Pending if run.due_at <= now => {
                    queue.due += 1;
                    queue.oldest_due =
                        queue.oldest_due.map_or(Some(run.due_at), |due| Some(due.min(run.due_at)));
                }
                RunState::Pending => queue.scheduled += 1,
                RunState::Running => queue.running += 1,
                RunState::Waiting => queue.waiting += 1,
                RunState::Succeeded | RunState::Dead | RunState::Cancelled => {}
            }
        }
        queues.into_values().collect()
    }
}

fn empty(name: &str) -> QueueStatus {
    QueueStatus {
        name: name.to_owned(),
        pause: None,
        due: 0,
        scheduled: 0,
        running: 0,
        waiting: 0,
        oldest_due: None,
    }
}
