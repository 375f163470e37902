//! What happened to one run, taken out of a history.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use riqle_jobs_core::{LeaseToken, RunId, RunState};

use super::{
    entry::{Answer, Ask, Entry, Event, Fenced, Held, Seen, Taken},
    verdict::{Rule, Violation},
};

/// A call as far as it is about one run.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) called: Moment,
    /// `None`: it may have had its effect at any time since, or never.
    pub(super) answered: Option<Moment>,
    pub(super) act: Act,
}

/// A call without an answer has had its effect within this many microseconds, if at all.
const LATE: u64 = 60_000_000;
/// The most effects that are on their way to a replica when it takes over.
const MOST_FORGOTTEN: usize = 4;

impl Operation {
    /// Without an answer: when it has had its effect, if ever.
    pub(super) fn ended_at(&self) -> u64 {
        self.answered.map_or(self.called.at.saturating_add(LATE), |answered| answered.at)
    }

    /// Whether its caller was told that its effect is kept, and with it all that came before. A claim and an extension wait
    /// for no replica.
    pub(super) fn is_kept(&self) -> bool {
        self.answered.is_some()
            && match &self.act {
                Act::Enqueue { .. }
                | Act::IsThere
                | Act::RunNow
                | Act::Replay
                | Act::Begin
                | Act::Discard => true,
                Act::Save { answer, .. } | Act::Settle { answer, .. } => *answer == Some(Fenced::Done),
                Act::Cancel { is_done } => *is_done == Some(true),
                Act::Claim { .. }
                | Act::GiveBack { .. }
                | Act::Extend { .. }
                | Act::Look { .. }
                | Act::Forget { .. } => false,
            }
    }
}

/// A line, counted from 1, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) line: usize,
    pub(super) at: u64,
}

/// What it does to the run. Where the answer is not known, the act has none.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Enqueue {
        is_new: Option<bool>,
    },
    /// Another enqueue was answered with this run.
    IsThere,
    Claim {
        token: LeaseToken,
        lease: u64,
        queue: usize,
        taken: Taken,
    },
    GiveBack {
        token: LeaseToken,
    },
    Extend {
        token: LeaseToken,
        lease: u64,
        answer: Fenced,
    },
    Save {
        token: LeaseToken,
        path: String,
        result: String,
        replaces: bool,
        answer: Option<Fenced>,
    },
    Settle {
        token: LeaseToken,
        state: RunState,
        failures: Option<u32>,
        after: u64,
        answer: Option<Fenced>,
    },
    Cancel {
        is_done: Option<bool>,
    },
    RunNow,
    Replay,
    /// It takes the place of a run that is replayed, with some of its steps.
    Begin,
    Discard,
    Look {
        seen: Option<Seen>,
    },
    /// A failover undoes this many of the latest effects, all of calls that ended at `since` or later. It has happened
    /// before the call of the line `before`.
    Forget {
        effects: usize,
        since: u64,
        before: usize,
    },
}

/// A claim whose answer was lost: it may hold any run of its queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct LostClaim {
    pub(super) called: Moment,
    pub(super) lease: u64,
}

/// The calls of a history, by run, each in the order of their calls.
#[derive(Debug, Default)]
pub(super) struct Operations {
    pub(super) of_runs: BTreeMap<RunId, Vec<Operation>>,
    /// By the number of the queue.
    pub(super) lost_claims: Vec<Vec<LostClaim>>,
    /// The lines of calls that delete ended runs.
    pub(super) prunes: Vec<usize>,
    pub(super) computed: Vec<(usize, Held, String)>,
    pub(super) emails: Vec<EmailLine>,
    pub(super) failovers: Vec<Failover>,
    queues: HashMap<String, usize>,
    give_backs: Vec<(LeaseToken, Moment, Option<Moment>)>,
}

/// When a replica may have taken over from its master.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failover {
    pub(super) since: u64,
    pub(super) until: Moment,
}

impl Failover {
    /// Whether a call was under way at some time of it.
    pub(super) fn is_beside(&self, operation: &Operation) -> bool {
        operation.called.at <= self.until.at && self.since <= operation.ended_at()
    }
}

/// What happened to an email.
#[derive(Clone, Debug)]
pub(super) enum EmailLine {
    Delivered { line: usize, begun: usize, email: String, drops_repeats: bool },
    Recorded { line: usize, email: String },
    Seen { line: usize, email: String, unknown_outcomes: u32 },
}

struct Open {
    called: Moment,
    ask: Ask,
}

impl Operations {
    pub(super) fn read(entries: impl IntoIterator<Item = Entry>) -> Result<Self, Violation> {
        let mut all = Self::default();
        let mut open: HashMap<u64, Open> = HashMap::new();
        let mut sends = HashMap::new();
        let mut before = Moment { line: 0, at: 0 };
        for (index, entry) in entries.into_iter().enumerate() {
            let now = Moment { line: index + 1, at: entry.at };
            // Stores count whole milliseconds.
            let from = Moment { line: index + 1, at: entry.at - entry.at % 1_000 };
            let malformed = |first: usize| Violation {
                rule: Rule::WellFormed,
                subject: format!("process {}", entry.process),
                first,
                second: now.line,
            };
            if now.at < before.at {
                return Err(malformed(before.line));
            }
            before = now;
            match entry.event {
                Event::Calls { call, ask } => {
                    if ask == Ask::Prune {
                        all.prunes.push(now.line);
                    }
                    if let Some(other) = open.insert(call, Open { called: from, ask }) {
                        return Err(malformed(other.called.line));
                    }
                }
                Event::Answered { call, answer } => {
                    let Some(Open { called, ask }) = open.remove(&call) else {
                        return Err(malformed(now.line));
                    };
                    if answer == Answer::Unknown {
                        all.take(called, None, ask, None);
                    } else {
                        all.take(called, Some(now), ask, Some(answer));
                    }
                }
                Event::Computes { run, token, path } => {
                    all.computed.push((now.line, Held { run, token }, path));
                }
                Event::FailedOver { since } => all.failovers.push(Failover { since, until: now }),
                Event::Sends { send, email } => {
                    if let Some((line, _)) = sends.insert(send, (now.line, email)) {
                        return Err(malformed(line));
                    }
                }
                Event::Delivered { send, drops_repeats } => {
                    let Some((begun, email)) = sends.remove(&send) else { return Err(malformed(now.line)) };
                    let email = email.to_string();
                    all.emails.push(EmailLine::Delivered { line: now.line, begun, email, drops_repeats });
                }
            }
        }
        for Open { called, ask } in open.into_values() {
            all.take(called, None, ask, None);
        }
        all.file_give_backs();
        all.file_failovers();
        for operations in all.of_runs.values_mut() {
            operations.sort_by_key(|operation| operation.called.line);
        }
        Ok(all)
    }

    /// A claim is given back whole; what it held is what it was answered with.
    fn file_give_backs(&mut self) {
        let mut runs_of: HashMap<LeaseToken, Vec<RunId>> = HashMap::new();
        for (run, operations) in &self.of_runs {
            for operation in operations {
                if let Act::Claim { token, .. } = operation.act {
                    runs_of.entry(token).or_default().push(*run);
                }
            }
        }
        for (token, called, answered) in std::mem::take(&mut self.give_backs) {
            for run in runs_of.get(&token).into_iter().flatten() {
                self.file(*run, called, answered, Act::GiveBack { token });
            }
        }
    }

    /// A failover may make each run that was under way forget its latest effects.
    fn file_failovers(&mut self) {
        for over in &self.failovers {
            for operations in self.of_runs.values_mut() {
                // From the first of them on.
                let Some(first) = operations
                    .iter()
                    .filter(|operation| over.is_beside(operation))
                    .map(|operation| operation.called)
                    .min()
                else {
                    continue;
                };
                operations.extend((1..=MOST_FORGOTTEN).map(|effects| Operation {
                    called: first,
                    answered: None,
                    act: Act::Forget { effects, since: over.since, before: over.until.line },
                }));
            }
        }
    }

    fn file(&mut self, run: RunId, called: Moment, answered: Option<Moment>, act: Act) {
        self.of_runs.entry(run).or_default().push(Operation { called, answered, act });
    }

    fn queue(&mut self, name: &str) -> usize {
        let next = self.queues.len();
        let number = *self.queues.entry(name.to_owned()).or_insert(next);
        self.lost_claims.resize_with(self.queues.len(), Vec::new);
        number
    }

    fn take(&mut self, called: Moment, answered: Option<Moment>, ask: Ask, answer: Option<Answer>) {
        if answer == Some(Answer::Refused) {
            // It had no effect; that alone is worth a look where an operator was refused.
            if let Ask::Cancel(run) = ask {
                self.file(run, called, answered, Act::Cancel { is_done: Some(false) });
            }
            return;
        }
        match ask {
            Ask::Enqueue(runs) => {
                let there = match answer {
                    Some(Answer::Enqueued(there)) => Some(there),
                    _ => None,
                };
                for (index, run) in runs.into_iter().enumerate() {
                    let other = there.as_ref().map(|there| there.get(index).copied().flatten());
                    match other {
                        Some(Some(other)) if other != run => self.file(other, called, answered, Act::IsThere),
                        other => {
                            let is_new = other.map(|other| other.is_none());
                            self.file(run, called, answered, Act::Enqueue { is_new });
                        }
                    }
                }
            }
            Ask::Claim { queue, token, lease } => {
                let queue = self.queue(&queue);
                let lease = micros(lease);
                match answer {
                    Some(Answer::Claimed(runs)) => {
                        for taken in runs {
                            self.file(taken.run, called, answered, Act::Claim { token, lease, queue, taken });
                        }
                    }
                    _ => self.lost_claims[queue].push(LostClaim { called, lease }),
                }
            }
            Ask::GiveBack(token) => self.give_backs.push((token, called, answered)),
            Ask::Extend { leases, lease } => {
                let lease = micros(lease);
                // One without an answer explains nothing that a shorter lease would not.
                let told = |(lease, answer): (Held, Option<Fenced>)| answer.map(|answer| (lease, answer));
                for (Held { run, token }, answer) in leases.into_iter().zip(fenced(answer)).filter_map(told) {
                    self.file(run, called, answered, Act::Extend { token, lease, answer });
                }
            }
            Ask::Save(steps) => {
                for (step, answer) in steps.into_iter().zip(fenced(answer)) {
                    let Held { run, token } = step.held;
                    let (path, result, replaces) = (step.path, step.result, step.replaces);
                    let act = Act::Save { token, path, result, replaces, answer };
                    self.file(run, called, answered.filter(|_| answer.is_some()), act);
                }
            }
            Ask::Settle(settlements) => {
                for (settled, answer) in settlements.into_iter().zip(fenced(answer)) {
                    let Held { run, token } = settled.held;
                    let (state, failures) = (settled.state, settled.failures);
                    let after = settled.after.map_or(0, micros);
                    let act = Act::Settle { token, state, failures, after, answer };
                    self.file(run, called, answered.filter(|_| answer.is_some()), act);
                }
            }
            Ask::Cancel(run) => {
                let is_done = answered.map(|_| true);
                self.file(run, called, answered, Act::Cancel { is_done });
            }
            Ask::Replay { run, new_run } => {
                self.file(run, called, answered, Act::Replay);
                self.file(new_run, called, answered, Act::Begin);
            }
            Ask::RunNow(run) => self.file(run, called, answered, Act::RunNow),
            Ask::Discard(run) => self.file(run, called, answered, Act::Discard),
            Ask::Prune => {}
            Ask::Look(run) => {
                if let Some(Answer::Run(seen)) = answer {
                    self.file(run, called, answered, Act::Look { seen });
                }
            }
            Ask::RecordSent(email) => {
                if let Some(answered) = answered {
                    self.emails.push(EmailLine::Recorded { line: answered.line, email: email.to_string() });
                }
            }
            Ask::LookAtEmail(email) => {
                if let (Some(answered), Some(Answer::UnknownOutcomes(unknown_outcomes))) = (answered, answer)
                {
                    let (line, email) = (answered.line, email.to_string());
                    self.emails.push(EmailLine::Seen { line, email, unknown_outcomes });
                }
            }
        }
    }
}

/// The answer of each lease; none where nothing is known.
fn fenced(answer: Option<Answer>) -> impl Iterator<Item = Option<Fenced>> {
    let answers = match answer {
        Some(Answer::Leases(answers)) => answers,
        _ => Vec::new(),
    };
    answers.into_iter().chain(std::iter::repeat(None))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
