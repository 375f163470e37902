//! Which random operation comes next, on runs and leases that earlier answers named.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use riqle_jobs_core::{
    AttemptOutcome, ClaimRequest, Ending, Enqueued, LeaseAnswer, LeaseRef, LeaseToken, LogLevel, NewRun,
    OtherInput, Payload, Priority, Reason, Replay, ReplayFrom, Retention, RunFilter, RunId, RunState,
    Settlement, StepPath, StepSave, UniqueKey, UniqueScope, WorkerId,
    store::{LogLine, Note, Progress},
};

use super::{
    operation::{Answer, Operation},
    random::Random,
};
use crate::given::at;

const QUEUES: [&str; 3] = ["mail", "reports", "archive"];
const JOBS: [&str; 4] = ["greet", "bill", "sweep", "Greet"];
const STEPS: [&str; 3] = ["fetch", "pay", "mail"];
/// How many runs and leases are remembered, to be chosen again.
const REMEMBERED: usize = 60;
/// With more runs that have not ended there are hardly new ones, so that a long test is not a slow one.
const MOST_OPEN: usize = 200;

/// Draws operations that mostly make sense, from what the operations before have answered.
#[derive(Default)]
pub(super) struct Choices {
    runs: Vec<RunId>,
    /// Of each run that was enqueued its queue.
    queues: HashMap<RunId, String>,
    /// Runs that have not ended.
    open: HashSet<RunId>,
    /// Runs that died or were cancelled.
    ended: Vec<RunId>,
    leases: Vec<Held>,
    /// Leases that were settled, given back or dropped.
    stale: Vec<Held>,
    lines: u32,
    ids: u64,
}

#[derive(Clone)]
struct Held {
    lease: LeaseRef,
    failures: u32,
}

impl Choices {
    pub(super) fn next(&mut self, random: &mut Random) -> Operation {
        match random.below(100) {
            0..=21 if self.open.len() < MOST_OPEN || random.percent(10) => self.enqueue(random),
            0..=21 => self.settle(random),
            22..=39 => Operation::Claim(claim(random)),
            40..=55 => self.settle(random),
            56..=62 => Operation::SaveSteps(self.some_leases(random, step)),
            63..=67 => self.annotate(random),
            68..=72 => {
                let leases = self.some_leases(random, |_, held| held.lease.clone());
                Operation::Extend(leases, random.duration(40_000))
            }
            73..=74 => self.give_back(random),
            75..=77 => Operation::Cancel(self.run_to_cancel(random)),
            78..=82 => self.replay(random),
            83..=84 => Operation::Discard(self.ended_run(random)),
            85..=87 => Operation::RunNow(self.run(random)),
            88 => Operation::Pause(queue(random), random.number() % 3),
            89..=91 => Operation::Resume(queue(random)),
            92 => Operation::Prune(retention(random)),
            _ => Operation::Advance(random.duration(12_000)),
        }
    }

    /// Remembers what an operation has brought.
    pub(super) fn learn(&mut self, random: &mut Random, operation: &Operation, answer: &Answer) {
        match (operation, answer) {
            (Operation::Enqueue(new), Answer::Enqueued(runs)) => {
                for (new, _) in new.iter().zip(runs).filter(|(_, run)| run.is_new()) {
                    self.queues.insert(new.id, new.queue.clone());
                }
                self.runs.extend(runs.iter().copied().map(Enqueued::id));
                self.open.extend(runs.iter().filter(|run| run.is_new()).copied().map(Enqueued::id));
            }
            (Operation::Replay(_, new_run, _), Answer::Done) => {
                self.runs.push(*new_run);
                self.open.insert(*new_run);
            }
            (_, Answer::Claimed(claimed)) => {
                let held = claimed.runs.iter();
                self.leases.extend(held.map(|run| Held { lease: run.lease.clone(), failures: run.failures }));
            }
            (Operation::Cancel(id), Answer::Done) => {
                self.open.remove(id);
                self.ended.push(*id);
            }
            (Operation::Settle(settlements), Answer::Leases(answers)) => {
                for (settlement, answer) in settlements.iter().zip(answers) {
                    if *answer == LeaseAnswer::Done && settlement.ending.state().is_ended() {
                        self.open.remove(&settlement.lease.run);
                    }
                    if matches!(settlement.ending, Ending::Dead { .. } | Ending::Cancelled { .. }) {
                        self.ended.push(settlement.lease.run);
                    }
                    let place = self.leases.iter().position(|held| held.lease == settlement.lease);
                    self.stale.extend(place.map(|place| self.leases.swap_remove(place)));
                }
            }
            _ => {}
        }
        forget(random, &mut self.runs);
        forget(random, &mut self.ended);
        forget(random, &mut self.leases);
        forget(random, &mut self.stale);
    }

    /// A list to compare.
    pub(super) fn filter(&mut self, random: &mut Random) -> RunFilter {
        let from = at(random.below(100_000) as i64);
        RunFilter {
            states: RunState::ALL.iter().copied().filter(|_| random.percent(25)).collect(),
            job: random.percent(30).then(|| job(random).to_owned()),
            queue: random.percent(30).then(|| queue(random).to_owned()),
            reference: random.percent(15).then(|| reference(random)),
            unique_key: random.percent(15).then(|| {
                let queue = queue(random);
                key(random, queue)
            }),
            error_fingerprint: random.percent(20).then(|| match random.below(4) {
                0 => String::new(),
                _ => fingerprint(random),
            }),
            enqueued_from: random.percent(15).then_some(from),
            enqueued_before: random.percent(15).then_some(from),
            before: random.percent(20).then(|| self.run(random)),
            limit: random.below(40),
        }
    }

    fn enqueue(&mut self, random: &mut Random) -> Operation {
        let queue = queue(random);
        let mut runs: Vec<_> = (0..=random.below(4)).map(|_| self.new_run(random, queue)).collect();
        if random.percent(2) {
            runs.push(NewRun { queue: "elsewhere".to_owned(), ..runs[0].clone() });
        }
        Operation::Enqueue(runs)
    }

    fn new_run(&mut self, random: &mut Random, queue: &str) -> NewRun {
        let priority = Priority::ALL[random.below(Priority::ALL.len())];
        let mut run = NewRun::named(job(random), input(random)).queue(queue).priority(priority);
        // An id comes again where it came first: a repeated enqueue is of the same queue.
        let again = random.percent(3).then(|| self.run(random));
        let again = again.filter(|id| self.queues.get(id).is_some_and(|of| of == queue));
        run.id = again.unwrap_or_else(|| self.new_id(random));
        if random.percent(40) {
            run = run.delay(random.duration(30_000));
        } else if random.percent(20) {
            run = run.at(at(random.below(60_000) as i64));
        }
        if random.percent(35) {
            let scope = match random.below(3) {
                0 => UniqueScope::WhilePending,
                1 => UniqueScope::WhileNotEnded,
                _ => UniqueScope::Period(random.duration(60_000)),
            };
            let other_input = if random.percent(70) { OtherInput::IsIgnored } else { OtherInput::Conflicts };
            run.unique = Some(UniqueKey { key: key(random, queue), scope, other_input });
        }
        if random.percent(30) {
            run = run.reference(reference(random));
        }
        run
    }

    /// Mostly rising, as real ones are; sometimes another process's clock is behind.
    fn new_id(&mut self, random: &mut Random) -> RunId {
        self.ids += 1;
        let behind = if random.percent(10) { random.number() % 50 } else { 0 };
        let millis = 1_767_225_600_000 + self.ids.saturating_sub(behind);
        let high = millis << 16 | 0x7000 | (random.number() & 0x0fff);
        let low = 0x8000_0000_0000_0000 | (random.number() >> 2);
        RunId::from_uuid(uuid::Uuid::from_u64_pair(high, low))
    }

    /// One that is known, or rarely one that is not there.
    fn run(&mut self, random: &mut Random) -> RunId {
        match random.pick(&self.runs) {
            Some(id) if !random.percent(2) => id,
            _ => self.new_id(random),
        }
    }

    /// In half of the draws one that is held as far as is known.
    fn run_to_cancel(&mut self, random: &mut Random) -> RunId {
        let held = random.percent(50).then(|| random.pick(&self.leases)).flatten();
        held.map_or_else(|| self.run(random), |held| held.lease.run)
    }

    /// Mostly one that died or was cancelled.
    fn ended_run(&mut self, random: &mut Random) -> RunId {
        let ended = random.percent(80).then(|| random.pick(&self.ended)).flatten();
        ended.unwrap_or_else(|| self.run(random))
    }

    /// One that is held as far as is known, or in one of eight draws one that is stale.
    fn lease(&mut self, random: &mut Random) -> Option<Held> {
        let stale = random.percent(12).then(|| random.pick(&self.stale)).flatten();
        stale.or_else(|| random.pick(&self.leases))
    }

    fn some_leases<T>(&mut self, random: &mut Random, item: impl Fn(&mut Random, &Held) -> T) -> Vec<T> {
        let count = 1 + random.below(3);
        (0..count).filter_map(|_| self.lease(random).map(|held| item(random, &held))).collect()
    }

    /// Of two claims of a run only the first: a repeated batch may answer the older one with `LeaseLost`, once it has
    /// settled the newer.
    fn settle(&mut self, random: &mut Random) -> Operation {
        let mut settlements: Vec<Settlement> = Vec::new();
        for next in self.some_leases(random, settlement) {
            let is_of_another_claim = |known: &Settlement| {
                known.lease.run == next.lease.run && known.lease.token != next.lease.token
            };
            if !settlements.iter().any(is_of_another_claim) {
                settlements.push(next);
            }
        }
        Operation::Settle(settlements)
    }

    fn annotate(&mut self, random: &mut Random) -> Operation {
        let lines = self.lines;
        self.lines += 10;
        Operation::Annotate(self.some_leases(random, |random, held| {
            Note {
                lease: held.lease.clone(),
                progress: random.percent(50).then(|| Progress {
                    done: random.number() % 10,
                    total: 10,
                    text: "under way".to_owned(),
                }),
                lines: (1..=random.below(8))
                    .map(|line| LogLine {
                        number: lines + line as u32,
                        level: if random.percent(80) { LogLevel::Info } else { LogLevel::Warn },
                        text: format!("line {line}"),
                    })
                    .collect(),
            }
        }))
    }

    fn give_back(&mut self, random: &mut Random) -> Operation {
        match self.lease(random) {
            Some(held) => {
                let queue = QUEUES.into_iter().find(|queue| **queue == *held.lease.queue);
                Operation::GiveBack(queue.unwrap_or("mail"), held.lease.token)
            }
            None => Operation::GiveBack("mail", LeaseToken::from_uuid(random.uuid())),
        }
    }

    fn replay(&mut self, random: &mut Random) -> Operation {
        let from = match random.below(4) {
            0 => ReplayFrom::Start,
            1 => ReplayFrom::Step(StepPath::from_stored(STEPS[random.below(STEPS.len())])),
            _ => ReplayFrom::FailedStep,
        };
        let new_run = if random.percent(3) { self.run(random) } else { self.new_id(random) };
        let input = random.percent(20).then(|| input(random));
        Operation::Replay(self.ended_run(random), new_run, Replay { from, input })
    }
}

fn forget<T>(random: &mut Random, list: &mut Vec<T>) {
    while list.len() > REMEMBERED {
        // The old ones rather than the new.
        list.remove(random.below(REMEMBERED / 2));
    }
}

fn queue(random: &mut Random) -> &'static str {
    QUEUES[random.below(QUEUES.len())]
}

fn job(random: &mut Random) -> &'static str {
    JOBS[random.below(JOBS.len())]
}

/// A key belongs to a job, and a job to a queue: no key is asked for in two of them.
fn key(random: &mut Random, queue: &str) -> String {
    format!("{queue} {}", random.below(5))
}

fn reference(random: &mut Random) -> String {
    format!("order-{}", random.below(4))
}

fn fingerprint(random: &mut Random) -> String {
    format!("fingerprint-{}", random.below(3))
}

fn input(random: &mut Random) -> Payload {
    Payload::from_json_text(random.below(2).to_string())
}

fn claim(random: &mut Random) -> ClaimRequest {
    ClaimRequest {
        queue: queue(random).to_owned(),
        jobs: JOBS.into_iter().filter(|_| random.percent(75)).map(str::to_owned).collect(),
        limit: random.below(7),
        lease: Duration::from_millis(1) + random.duration(30_000),
        token: LeaseToken::from_uuid(random.uuid()),
        worker: WorkerId::from_uuid(random.uuid()),
    }
}

fn step(random: &mut Random, held: &Held) -> StepSave {
    StepSave {
        lease: held.lease.clone(),
        path: StepPath::from_stored(STEPS[random.below(STEPS.len())]),
        result: Payload::from_json_text(random.below(1000).to_string()),
        took: Duration::from_millis(random.below(1000) as u64),
        replaces: random.percent(20),
    }
}

fn settlement(random: &mut Random, held: &Held) -> Settlement {
    let (ending, outcome) = match random.below(11) {
        0..=3 => (Ending::Succeeded { output: input(random) }, AttemptOutcome::Succeeded),
        4..=5 => (Ending::Again { after: random.duration(20_000) }, AttemptOutcome::Failed),
        6 => (Ending::Again { after: Duration::ZERO }, AttemptOutcome::Snoozed),
        7 => (Ending::GiveBack, AttemptOutcome::GivenBack),
        8 => (Ending::Dead { reason: Reason::RetriesExhausted }, AttemptOutcome::Failed),
        9 => (Ending::Dead { reason: Reason::Crashes }, AttemptOutcome::Crashed),
        _ => (Ending::Cancelled { reason: Reason::CancelledByBody }, AttemptOutcome::Cancelled),
    };
    let has_failed = outcome == AttemptOutcome::Failed;
    let tells = has_failed || outcome == AttemptOutcome::Snoozed;
    Settlement {
        lease: held.lease.clone(),
        ending,
        failures: held.failures + u32::from(has_failed),
        attempt: held.failures + 1,
        outcome,
        error: tells.then(|| "no answer".to_owned()),
        error_fingerprint: tells.then(|| fingerprint(random)),
    }
}

fn retention(random: &mut Random) -> Retention {
    Retention {
        ended: random.percent(80).then(|| random.duration(60_000)),
        dead: random.percent(40).then(|| random.duration(120_000)),
        ..Retention::FOREVER
    }
}
