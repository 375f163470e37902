//! How many claimed runs are running, and how many wait for a slot of their worker.

use jiff::Timestamp;
use riqle_jobs_core::store::{COUNTED_TO, RegisteredWorker};

use crate::dashboard::show::Count;

/// Runs that workers have claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    /// Whose attempt has a slot.
    pub(super) running: Count,
    /// Waiting in a worker for its next free slot.
    pub(super) ahead: Count,
}

impl Claimed {
    /// Of `claimed` runs, in a queue or in all of them. Workers report every 10 s how many wait; any beyond all
    /// their slots wait, too.
    pub(super) fn of(
        claimed: u64,
        queue: Option<&str>,
        workers: &[RegisteredWorker],
        now: Timestamp,
    ) -> Self {
        let (mut slots, mut told) = (0_u64, 0_u64);
        for worker in workers.iter().filter(|worker| worker.is_alive(now)) {
            let of_queues = worker.report.claimed_ahead.iter();
            let asked = of_queues.filter(|(name, _)| queue.is_none_or(|queue| queue == name.as_str()));
            told += asked.map(|(_, runs)| u64::from(*runs)).sum::<u64>();
            slots += u64::from(worker.report.concurrency);
        }
        // Without a worker, they were running where it went away.
        let beyond_the_slots = if slots == 0 { 0 } else { claimed.saturating_sub(slots) };
        let ahead = told.max(beyond_the_slots).min(claimed);
        // There may be more than were counted.
        let running = if claimed >= COUNTED_TO { claimed } else { claimed - ahead };
        Self { running: Count(running), ahead: Count(ahead) }
    }
}

#[cfg(test)]
mod tests {
    use riqle_jobs_core::{
        WorkerId,
        store::{WorkerOrder, WorkerReport},
    };

    use super::*;

    fn worker(concurrency: u32, ahead: &[(&str, u32)], seen_at: Timestamp) -> RegisteredWorker {
        let report = WorkerReport {
            id: WorkerId::new(),
            label: "shop".to_owned(),
            version: "1".to_owned(),
            jobs: [].into(),
            concurrency,
            running: concurrency,
            claimed_ahead: ahead.iter().map(|(queue, runs)| ((*queue).to_owned(), *runs)).collect(),
            troubles: Vec::new(),
        };
        RegisteredWorker { report, started_at: seen_at, seen_at, order: WorkerOrder::Work }
    }

    #[test]
    fn what_waits_for_a_slot_is_told_from_what_runs() {
        let now = Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
        let gone = worker(4, &[("email", 9)], Timestamp::UNIX_EPOCH);
        let busy = worker(4, &[("email", 3), ("reports", 1)], now);
        let of = |claimed, queue, workers: &[RegisteredWorker]| {
            let Claimed { running, ahead } = Claimed::of(claimed, queue, workers, now);
            (running.0, ahead.0)
        };
        let all = [gone.clone(), busy, worker(4, &[], now)];
        assert_eq!(of(8, None, &all), (4, 4), "one of two workers has no slot left");
        assert_eq!(of(7, Some("email"), &all), (4, 3));
        assert_eq!(of(1, Some("reports"), &all), (0, 1));
        assert_eq!(of(2, Some("mail"), &all), (2, 0));
        assert_eq!(of(3, None, &all), (0, 3), "never more than there are");
        assert_eq!(of(8, None, &[worker(4, &[], now)]), (4, 4), "claimed since the worker told");
        assert_eq!(of(8, None, &[gone]), (8, 0));
        assert_eq!(of(COUNTED_TO, None, &all), (COUNTED_TO, COUNTED_TO - 8));
    }
}
