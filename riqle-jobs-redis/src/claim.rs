//! Takes due runs under a lease, each with the steps that it has saved.

use std::{collections::HashSet, sync::Arc};

use redis::Value;
use riqle_jobs_core::{ClaimRequest, Claimed, ClaimedRun, Error, LeaseRef, RunId, SavedStep, from_millis};

use crate::{
    Redis,
    rows::{Body, State, step, wait_millis},
    script::CLAIM,
    server::Repeat,
    values::{bytes, fixed, groups, list, maybe_number, number, run_id},
};

/// More bytes than this are not claimed at once, but for a single run.
const BYTES_AT_ONCE: usize = 32 << 20;
/// Some 2 ms, so that a server whose backlog is drained answers others in between.
const RUNS_AT_ONCE: usize = 200;

impl Redis {
    /// Takes at most `request.limit` due runs under a lease. Not sent again if it is unknown what became of it:
    /// the caller gives back by the token what a lost answer has claimed.
    pub(crate) async fn claim_runs(&self, request: ClaimRequest) -> Result<Claimed, Error> {
        let mut arguments = vec![
            self.frozen(),
            request.limit.min(RUNS_AT_ONCE).to_string().into_bytes(),
            request.token.as_uuid().as_bytes().to_vec(),
            request.worker.as_uuid().as_bytes().to_vec(),
            wait_millis(request.lease).to_string().into_bytes(),
            BYTES_AT_ONCE.to_string().into_bytes(),
        ];
        let mut seen = HashSet::new();
        let jobs = request.jobs.iter().filter(|job| seen.insert(job.as_str()));
        arguments.extend(jobs.map(|job| job.as_bytes().to_vec()));
        let prefix = self.shared.keys.queue(&request.queue);
        let server = &self.shared.server;
        let claim = server.call("claim", &CLAIM, &prefix, &arguments, Repeat::Never);
        let [now, next_due, first, again] = fixed(claim.await?)?;
        let claimed =
            Claiming { queue: Arc::from(request.queue.as_str()), request: &request, now: number(now)? };
        let mut runs = Vec::new();
        for [id, due, body] in groups(first)? {
            runs.push(claimed.run(run_id(id)?, number(due)?, &bytes(body)?, None, Vec::new())?);
        }
        for again in list(again)? {
            let [id, due, body, state, steps] = fixed(again)?;
            let state = State::read(&bytes(state)?)?;
            runs.push(claimed.run(
                run_id(id)?,
                number(due)?,
                &bytes(body)?,
                Some(&state),
                saved_steps(steps)?,
            )?);
        }
        runs.sort_unstable_by_key(|run| (run.priority, run.due_at, run.lease.run));
        Ok(Claimed {
            runs,
            next_due: maybe_number(next_due)?.map(from_millis),
            now: from_millis(claimed.now),
        })
    }
}

struct Claiming<'a> {
    queue: Arc<str>,
    request: &'a ClaimRequest,
    now: i64,
}

impl Claiming<'_> {
    fn run(
        &self,
        id: RunId,
        due: i64,
        body: &[u8],
        state: Option<&State>,
        steps: Vec<SavedStep>,
    ) -> Result<ClaimedRun, Error> {
        let body = Body::read(body)?;
        Ok(ClaimedRun {
            lease: LeaseRef { queue: Arc::clone(&self.queue), run: id, token: self.request.token },
            job: body.job,
            priority: body.priority,
            input: body.input,
            failures: state.map_or(0, |state| state.failures),
            crashes: state.map_or(0, |state| state.crashes),
            enqueued_at: body.enqueued_at,
            due_at: from_millis(due),
            claimed_at: from_millis(self.now),
            root: body.replays.map_or(id, |(root, _)| root),
            replay_of: body.replays.map(|(_, replay_of)| replay_of),
            reference: body.reference,
            event_id: body.event_id,
            tick: body.tick,
            trace: body.trace,
            steps,
        })
    }
}

/// The steps of a run, in the order of their saving.
pub(crate) fn saved_steps(hash: Value) -> Result<Vec<SavedStep>, Error> {
    let pairs = match hash {
        Value::Map(pairs) => pairs.into_iter().map(<[Value; 2]>::from).collect(),
        hash => groups(hash)?,
    };
    let mut steps = Vec::with_capacity(pairs.len());
    for [field, value] in pairs {
        steps.push(step(&bytes(field)?, &bytes(value)?)?);
    }
    steps.sort_unstable_by_key(|(place, _)| *place);
    Ok(steps.into_iter().map(|(_, step)| step).collect())
}
