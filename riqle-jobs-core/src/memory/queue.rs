//! Enqueues, claims, extends leases, saves steps and notes, and settles.

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Memory, State, run::StoredRun};
use crate::{
    ClaimRequest, Claimed, Clock, Enqueued, Error, Hint, LeaseAnswer, LeaseConnection, LeaseRef, LeaseToken,
    Limits, NewRun, Queue, RunId, Settlement, StepSave, WakeUps, clock,
    store::{Admission, Admitted, Note, rules::Fence},
};

#[async_trait]
impl Queue for Memory {
    async fn enqueue(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        self.limits.check_group(&runs)?;
        let Some(queue) = runs.first().map(|run| run.queue.clone()) else { return Ok(Vec::new()) };
        let (mut state, now) = self.begin();
        let answers = state.store(runs, now)?;
        drop(state);
        if answers.iter().any(|answer| answer.is_new()) {
            self.wake.send(Hint::Due(Some(queue)));
        }
        Ok(answers)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claimed, Error> {
        let (mut state, now) = self.begin();
        if state.paused.contains_key(&request.queue) {
            return Ok(Claimed { runs: Vec::new(), next_due: None, now });
        }
        let ids = state.due.take(&request.queue, &request.jobs, request.limit, now);
        let runs = ids.into_iter().filter_map(|id| state.claim(id, &request, now)).collect();
        let next_due = state.due.next_due(&request.queue, &request.jobs);
        Ok(Claimed { runs, next_due, now })
    }

    async fn give_back(&self, queue: &str, token: LeaseToken) -> Result<(), Error> {
        let mut state = self.state();
        let mut ids = state.due.running(queue);
        ids.retain(|id| state.runs.get(id).is_some_and(|run| run.fence(token) == Fence::Holds));
        for id in &ids {
            state.change(*id, StoredRun::give_back);
        }
        drop(state);
        if !ids.is_empty() {
            self.wake.send(Hint::Due(Some(queue.to_owned())));
        }
        Ok(())
    }

    async fn extend(&self, leases: Vec<LeaseRef>, lease: Duration) -> Result<Vec<LeaseAnswer>, Error> {
        let (mut state, now) = self.begin();
        let until = clock::later(now, lease);
        Ok(leases.iter().map(|lease| state.extend(lease, until)).collect())
    }

    async fn save_steps(&self, steps: Vec<StepSave>) -> Result<Vec<LeaseAnswer>, Error> {
        let (mut state, now) = self.begin();
        Ok(steps.into_iter().map(|step| state.save_step(step, now)).collect())
    }

    async fn annotate(&self, notes: Vec<Note>) -> Result<Vec<LeaseAnswer>, Error> {
        let (mut state, now) = self.begin();
        Ok(notes.into_iter().map(|note| state.annotate(note, now)).collect())
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<LeaseAnswer>, Error> {
        let (mut state, now) = self.begin();
        let mut due_again = BTreeSet::new();
        let answers = settlements
            .into_iter()
            .map(|settlement| {
                let LeaseRef { queue, run, .. } = settlement.lease.clone();
                let answer = state.settle(settlement, now);
                if state.runs.get(&run).is_some_and(|run| run.is_due(now)) {
                    due_again.insert(queue);
                }
                answer
            })
            .collect();
        let wakes_schedules = state.schedules.take_woken();
        drop(state);
        if wakes_schedules {
            self.wake.send(Hint::Schedules(None));
        }
        for queue in due_again {
            self.wake.send(Hint::Due(Some(queue.as_ref().to_owned())));
        }
        Ok(answers)
    }

    async fn lease_connection(&self) -> Result<Box<dyn LeaseConnection>, Error> {
        Ok(Box::new(self.clone()))
    }

    fn wake_ups(&self) -> WakeUps {
        self.wake.wake_ups()
    }

    fn clock(&self) -> Clock {
        self.clock.clone()
    }

    async fn now(&self) -> Result<Timestamp, Error> {
        Ok(self.begin().1)
    }

    fn limits(&self) -> Limits {
        self.limits
    }
}

#[async_trait]
impl LeaseConnection for Memory {
    async fn extend(
        &mut self,
        leases: Vec<LeaseRef>,
        lease: Duration,
    ) -> Result<Vec<Option<LeaseAnswer>>, Error> {
        let answers = Queue::extend(self, leases, lease).await?;
        Ok(answers.into_iter().map(Some).collect())
    }
}

impl State {
    /// Stores a group of runs, all or none.
    pub(super) fn store(&mut self, runs: Vec<NewRun>, now: Timestamp) -> Result<Vec<Enqueued>, Error> {
        let mut admission = Admission::default();
        for run in &runs {
            if self.runs.contains_key(&run.id) {
                admission.know_run(run.id);
            }
            for key in run.keys() {
                if let Some(holder) = self.unique.holder(&run.job, &key, now) {
                    admission.know_holder(&run.job, key, holder.run, holder.fingerprint);
                }
            }
        }
        let Admitted { answers, keys } = admission.admit(&runs)?;
        keys.into_iter().for_each(|key| self.unique.take(key, now));
        for (run, answer) in runs.into_iter().zip(&answers) {
            if answer.is_new() {
                let (id, lane) = (run.id, self.due.lane(&run.queue, &run.job));
                let run = StoredRun::new(run, lane, self.due.names(lane), now, self.offset());
                self.insert(id, run);
            }
        }
        Ok(answers)
    }

    /// Claims a run that was taken out of the due ones.
    fn claim(&mut self, id: RunId, request: &ClaimRequest, now: Timestamp) -> Option<crate::ClaimedRun> {
        let run = self.runs.get_mut(&id)?;
        run.claim(request, now);
        self.unique.run_claimed(id, run);
        self.due.insert(id, run);
        Some(run.claimed(id, request.token, now))
    }

    fn fence(&self, lease: &LeaseRef) -> Fence {
        self.runs.get(&lease.run).map_or(Fence::Lost, |run| run.fence(lease.token))
    }

    fn extend(&mut self, lease: &LeaseRef, until: Timestamp) -> LeaseAnswer {
        let fence = self.fence(lease);
        if fence == Fence::Holds {
            self.change(lease.run, |run| {
                if let Some(lease) = &mut run.lease {
                    lease.until = until;
                }
            });
        }
        fence.answer()
    }

    fn save_step(&mut self, step: StepSave, now: Timestamp) -> LeaseAnswer {
        let Some(run) = self.runs.get_mut(&step.lease.run) else { return Fence::Lost.answer() };
        let fence = run.fence(step.lease.token);
        if fence == Fence::Holds {
            run.save_step(step, now);
        }
        fence.answer()
    }

    fn annotate(&mut self, note: Note, now: Timestamp) -> LeaseAnswer {
        let Some(run) = self.runs.get_mut(&note.lease.run) else { return Fence::Lost.answer() };
        let fence = run.fence(note.lease.token);
        if fence == Fence::Holds {
            let attempt = run.failures.saturating_add(1);
            run.notes.add(note, attempt, now);
        }
        fence.answer()
    }

    fn settle(&mut self, settlement: Settlement, now: Timestamp) -> LeaseAnswer {
        let run = settlement.lease.run;
        let fence = self.fence(&settlement.lease);
        if fence == Fence::Holds {
            self.change(run, |run| run.settle(settlement, now));
        }
        fence.answer_to_settle()
    }
}
