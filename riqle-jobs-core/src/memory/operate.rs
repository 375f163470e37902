//! What operators do: replay, cancel, run now, discard, prune; pause queues, order workers.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Memory, State, run::StoredRun};
use crate::{
    Error, ErrorKind, Hint, Operate, Replay, Retention, RunId, RunState, WorkerId, clock,
    store::{
        Pause, Pruned, WorkerOrder,
        rules::{Operation, Todo},
    },
};

#[async_trait]
impl Operate for Memory {
    async fn replay(&self, id: RunId, new_run: RunId, replay: Replay) -> Result<(), Error> {
        self.limits.check_replay(&replay)?;
        let (mut state, now) = self.begin();
        let original = state.run_for("replay", id)?;
        if (Operation::Replay { new_run }).check(&original.standing(id), now)? == Todo::Done {
            return Ok(());
        }
        state.check_replay(id, original, new_run, now)?;
        let replay = original.replay(id, replay, now);
        let queue = replay.queue.as_ref().to_owned();
        state.change(id, |original| original.replayed_by = Some(new_run));
        replay.held_key(new_run).into_iter().for_each(|key| state.unique.take(key, now));
        state.insert(new_run, replay);
        drop(state);
        self.wake.send(Hint::Due(Some(queue)));
        Ok(())
    }

    async fn cancel(&self, id: RunId) -> Result<(), Error> {
        let (mut state, now) = self.begin();
        let run = state.run_for("cancel", id)?;
        if Operation::Cancel.check(&run.standing(id), now)? == Todo::Done {
            return Ok(());
        }
        let was_running = run.state == RunState::Running;
        state.change(id, |run| run.cancel(now));
        let wakes_schedules = state.schedules.take_woken();
        drop(state);
        if wakes_schedules {
            self.wake.send(Hint::Schedules(None));
        }
        if was_running {
            self.wake.send(Hint::Cancelled(id));
        }
        Ok(())
    }

    async fn run_now(&self, id: RunId) -> Result<(), Error> {
        let (mut state, now) = self.begin();
        let run = state.run_for("run_now", id)?;
        let queue = run.queue.as_ref().to_owned();
        if Operation::RunNow.check(&run.standing(id), now)? == Todo::Done {
            return Ok(());
        }
        state.change(id, |run| {
            run.state = RunState::Pending;
            run.due_at = now;
            run.at = None;
        });
        drop(state);
        self.wake.send(Hint::Due(Some(queue)));
        Ok(())
    }

    async fn pause_queue(&self, queue: &str, by: &str, why: &str) -> Result<(), Error> {
        let (mut state, now) = self.begin();
        let pause = Pause::new(queue, by, why, now)?;
        state.paused.entry(queue.to_owned()).or_insert(pause);
        Ok(())
    }

    async fn resume_queue(&self, queue: &str) -> Result<(), Error> {
        if self.state().paused.remove(queue).is_some() {
            self.wake.send(Hint::Due(Some(queue.to_owned())));
        }
        Ok(())
    }

    async fn order_worker(&self, worker: WorkerId, order: WorkerOrder) -> Result<(), Error> {
        self.state().known.order_worker(worker, order)
    }

    async fn discard(&self, id: RunId) -> Result<(), Error> {
        let (mut state, now) = self.begin();
        let Some(run) = state.runs.get(&id) else { return Ok(()) };
        Operation::Discard.check(&run.standing(id), now)?;
        state.delete(id);
        Ok(())
    }

    async fn prune(&self, retention: Retention) -> Result<Pruned, Error> {
        let (mut state, now) = self.begin();
        state.unique.remove_expired(now);
        state.known.forget_workers(now);
        let wakes_schedules = state.schedules.wake_forgotten();
        let before = |kept: Option<Duration>| kept.map(|kept| clock::earlier(now, kept));
        let mut old = before(retention.ended).map(|time| state.lists.ended_before(time)).unwrap_or_default();
        old.extend(before(retention.dead).into_iter().flat_map(|time| state.lists.dead_before(time)));
        for id in &old {
            state.delete(*id);
        }
        if wakes_schedules {
            self.wake.send(Hint::Schedules(None));
        }
        Ok(Pruned {
            runs: old.len() as u64,
            events: state.known.prune(retention.events, now),
            emails: state.emails.prune(retention.emails, now),
            metrics: state.metrics.prune(retention.metrics, now),
            actions: state.actions.prune(retention.actions, now),
        })
    }
}

impl State {
    fn run_for(&self, operation: &'static str, id: RunId) -> Result<&StoredRun, Error> {
        self.runs.get(&id).ok_or_else(|| Error::new(ErrorKind::NotFound, operation, format!("no run {id}")))
    }

    fn check_replay(&self, id: RunId, run: &StoredRun, new_run: RunId, now: Timestamp) -> Result<(), Error> {
        if self.runs.contains_key(&new_run) {
            return Err((Operation::Replay { new_run }).rejected(new_run, "already exists"));
        }
        let holder = run.unique.as_ref().and_then(|unique| self.unique.holder(&run.job, &unique.key, now));
        match holder {
            Some(holder) if holder.run != id => {
                let message = format!("the unique key of run {id} is taken by run {}", holder.run);
                Err(Error::new(ErrorKind::Conflict, "replay", message))
            }
            _ => Ok(()),
        }
    }
}
