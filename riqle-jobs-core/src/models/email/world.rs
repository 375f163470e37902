//! All that may happen in the model of an email.

use std::collections::HashMap;

use super::{
    super::{
        Heard,
        replayed::{Numbered, Replays, Stand},
        search::{Model, Next},
    },
    log::Log,
    process::{self, Answer, Attempted, Call, DROPS_FOR, End, LONGEST_SEND},
    state::{Budget, Event, Process, Run, State},
};
use crate::{
    ManualClock, RunState, Timestamp,
    email::{EmailDetail, EmailRow, EmailStatus, OnUnknown, SendOutcome, SendPhase},
    later,
};

pub(super) struct World {
    drops_repeats: bool,
    on_unknown: OnUnknown,
    budget: Budget,
    clock: ManualClock,
    log: Log,
    answers: Numbered<Answer>,
    /// With the sender.
    late: Numbered<(u8, Call)>,
    replays: Replays,
    stands: HashMap<(Attempted, Vec<u32>), Stand<Call, End>>,
}

type Out<'a> = &'a mut Vec<Next<World>>;

impl World {
    pub(super) fn of(drops_repeats: bool, on_unknown: OnUnknown, budget: Budget) -> Self {
        Self {
            drops_repeats,
            on_unknown,
            budget,
            clock: ManualClock::new(),
            log: Log::new(),
            answers: Numbered::new(),
            late: Numbered::new(),
            replays: Replays::new(),
            stands: HashMap::new(),
        }
    }

    fn now(&self, state: &State) -> Timestamp {
        let tick = if self.drops_repeats { DROPS_FOR } else { LONGEST_SEND };
        later(self.clock.now(), (tick * 2) * u32::from(state.ticks))
    }

    /// Where a process is.
    fn stand(&mut self, process: &Process) -> Stand<Call, End> {
        let key = (process.attempted, process.answers.clone());
        if let Some(known) = self.stands.get(&key) {
            return known.clone();
        }
        let answers = process.answers.iter().map(|answer| self.answers.get(*answer).clone());
        let attempted = process.attempted;
        let stand = self.replays.stand(answers, |script| process::attempt(script, attempted));
        self.stands.insert(key, stand.clone());
        stand
    }

    fn answered(&mut self, mut state: State, at: usize, answer: Answer) -> State {
        let number = self.answers.number(answer);
        if let Some(process) = &mut state.processes[at] {
            process.answers.push(number);
        }
        state
    }

    fn calls(&mut self, state: &State, at: usize, sender: u8, call: Call, out: Out<'_>) {
        let now = self.now(state);
        let (row, answer) = match self.log.call(state.row, sender, &call, now) {
            Ok(done) => done,
            Err(broken) => return out.push((Event::Calls(at, call, Heard::Answer), Err(broken))),
        };
        let has_lost = state.processes[at].as_ref().is_some_and(|process| !process.has_lease);
        let written = state.with_row(row, has_lost);
        let to = self.answered(written.clone(), at, answer);
        out.push((Event::Calls(at, call.clone(), Heard::Answer), Ok(to)));
        let Some(lost) = state.left.lost.checked_sub(1) else { return };
        let left = Budget { lost, ..state.left };
        let to = self.answered(State { left, ..written }, at, Answer::Nothing);
        out.push((Event::Calls(at, call.clone(), Heard::NoReply), Ok(to)));
        if row != state.row && state.late.is_none() {
            let late = Some(self.late.number((sender, call.clone())));
            let to = self.answered(State { late, left, ..state.clone() }, at, Answer::Nothing);
            out.push((Event::Calls(at, call, Heard::NothingYet), Ok(to)));
        }
    }

    /// What the provider makes of the bytes.
    fn transmits(&mut self, state: &State, at: usize, process: &Process, out: Out<'_>) {
        let knew_it_sent = process.answers.iter().any(|answer| match self.answers.get(*answer) {
            Answer::Row(Some(row)) | Answer::Started(row, _) => row.status == EmailStatus::Sent,
            _ => false,
        });
        let mut push = |world: &mut Self, state: State, outcome: SendOutcome| {
            let answer = Answer::Outcome(outcome);
            let to = world.answered(state, at, answer.clone());
            let to =
                if knew_it_sent { Err("what was told that it is sent sends it".to_owned()) } else { Ok(to) };
            out.push((Event::Asks(at, Call::Transmit, answer), to));
        };
        let is_dropped = self.drops_repeats && state.is_known;
        let taken =
            State { delivered: state.delivered + u8::from(!is_dropped), is_known: true, ..state.clone() };
        let accepted = SendOutcome::Accepted { message_id: "1".to_owned(), reply: "accepted".to_owned() };
        push(self, taken.clone(), accepted);
        if let Some(unclear) = state.left.unclear.checked_sub(1) {
            let left = Budget { unclear, ..state.left };
            let unknown = || SendOutcome::Unknown { error: "no reply".to_owned() };
            push(self, State { left, ..taken }, unknown());
            push(self, State { left, ..state.clone() }, unknown());
        }
        if let Some(refusals) = state.left.refusals.checked_sub(1) {
            let refused = State { left: Budget { refusals, ..state.left }, ..state.clone() };
            push(self, refused.clone(), SendOutcome::Retry { error: "not now".to_owned(), after: None });
            let error = "never".to_owned();
            push(self, refused, SendOutcome::Rejected { error, recipient_unknown: false });
        }
    }

    fn goes_on(&mut self, state: &State, at: usize, process: &Process, out: Out<'_>) {
        match self.stand(process) {
            Stand::Asks(Call::Transmit) => self.transmits(state, at, process, out),
            Stand::Asks(Call::Holds) => {
                // One whose run was cancelled may have heard of it.
                let may_say = [(true, process.is_certain), (false, !process.has_lease)];
                for (answer, _) in may_say.into_iter().filter(|(_, may)| *may) {
                    let to = self.answered(state.clone(), at, Answer::Is(answer));
                    out.push((Event::Asks(at, Call::Holds, Answer::Is(answer)), Ok(to)));
                }
            }
            Stand::Asks(call) => self.calls(state, at, process.sender, call, out),
            Stand::HasEnded(end) => self.ends(state, at, process, end, out),
        }
    }

    /// The settler: the emails of a dead run are given up before it is settled, and only under the lease.
    fn ends(&mut self, state: &State, at: usize, process: &Process, end: End, out: Out<'_>) {
        let mut to = state.clone();
        if end.0 == RunState::Dead && process.has_lease && !process.has_given_up {
            to = self.given_up(state, process.attempted.run);
            to.processes[at] = Some(Process { has_given_up: true, ..process.clone() });
            return out.push((Event::GivesUpEmails(at), Ok(to)));
        }
        to.processes[at] = None;
        if process.has_lease {
            let failures = end.1 as u8;
            to.runs[usize::from(process.attempted.run)] = Run { state: Some(end.0), failures };
        }
        out.push((Event::Settles(at, end), Ok(to)));
    }

    fn given_up(&mut self, state: &State, run: u8) -> State {
        let now = self.now(state);
        state.with_row(state.row.map(|row| self.log.give_up(row, run, now)), false)
    }

    fn claims(&mut self, state: &State, at: usize, out: Out<'_>) {
        for (run, Run { failures, .. }) in
            (0..).zip(state.runs).filter(|(_, run)| run.state == Some(RunState::Pending))
        {
            let mut to = state.clone();
            to.runs[usize::from(run)].state = Some(RunState::Running);
            let taken: Vec<u8> = (to.processes.iter().flatten().map(|process| process.sender))
                .chain(to.late.map(|late| self.late.get(late).0))
                .collect();
            let (drops_repeats, holds_unknown) = (self.drops_repeats, self.on_unknown == OnUnknown::Hold);
            to.processes[at] = Some(Process {
                attempted: Attempted { run, failures, drops_repeats, holds_unknown },
                sender: (1..).find(|sender| !taken.contains(sender)).unwrap_or(u8::MAX),
                has_lease: true,
                is_certain: true,
                has_given_up: false,
                answers: Vec::new(),
            });
            out.push((Event::Claims { process: at, run }, Ok(to)));
        }
    }

    /// A process dies, or its lease runs out under it.
    fn is_taken_over(&self, state: &State, at: usize, process: &Process, out: Out<'_>) {
        let Some(takeovers) = state.left.takeovers.checked_sub(1) else { return };
        let mut to = State { left: Budget { takeovers, ..state.left }, ..state.clone() };
        if process.has_lease {
            to.runs[usize::from(process.attempted.run)].state = Some(RunState::Pending);
        }
        to.processes[at] = Some(Process { has_lease: false, is_certain: false, ..process.clone() });
        if process.has_lease {
            out.push((Event::LeaseRunsOut(at), Ok(to.clone())));
        }
        to.processes[at] = None;
        out.push((Event::Dies(at), Ok(to)));
    }

    fn operator(&mut self, state: &State, out: Out<'_>) {
        if state.is_cancelling {
            let mut to = self.given_up(state, 0);
            to.is_cancelling = false;
            out.push((Event::GivesUpEmailsOfCancelled, Ok(to)));
        }
        let Some(replays) = state.left.replays.checked_sub(1) else { return };
        let mut to = state.clone();
        match state.runs[0].state {
            Some(RunState::Dead | RunState::Cancelled) => {
                to.left.replays = replays;
                to.runs[1].state = Some(RunState::Pending);
                out.push((Event::Replays, Ok(to)));
            }
            Some(RunState::Pending | RunState::Running) => {
                to.runs[0].state = Some(RunState::Cancelled);
                to.is_cancelling = true;
                for process in to.processes.iter_mut().flatten().filter(|process| process.attempted.run == 0)
                {
                    process.has_lease = false;
                }
                out.push((Event::Cancels, Ok(to)));
            }
            _ => {}
        }
    }

    /// A long time, in which the provider forgets the key; or in which a send that another waits for must have ended.
    fn time_passes(&mut self, state: &State) -> Option<State> {
        if self.has_body_in_flight(state) {
            return None;
        }
        let mut to = State { ticks: state.ticks + 1, ..state.clone() };
        if self.drops_repeats {
            // No attempt lasts as long.
            if state.processes.iter().any(Option::is_some) {
                return None;
            }
            to.left.ticks = to.left.ticks.checked_sub(1)?;
            to.is_known = false;
        } else if !self.log.is_awaited(state.row?, self.now(state)) {
            return None;
        }
        Some(to)
    }

    /// Whether a body may be in flight: a mailer ends it within its longest send.
    fn has_body_in_flight(&mut self, state: &State) -> bool {
        state.processes.iter().flatten().any(|process| {
            let has_begun = |answer: &u32| matches!(self.answers.get(*answer), Answer::Is(true));
            process.answers.iter().any(has_begun) && !matches!(self.stand(process), Stand::HasEnded(_))
        })
    }

    /// What no process has any more is nobody's.
    fn plain(&mut self, mut state: State) -> State {
        let late = state.late.map(|late| self.late.get(late).0);
        let is_there = |sender| {
            let mut senders = state.processes.iter().flatten().map(|process| process.sender).chain(late);
            senders.any(|there| there == sender)
        };
        state.row = state.row.map(|row| self.log.forget_sender(row, is_there));
        state
    }
}

impl Model for World {
    type State = State;
    type Event = Event;

    fn start(&mut self) -> State {
        State {
            runs: [Run { state: Some(RunState::Pending), failures: 0 }, Run { state: None, failures: 0 }],
            row: None,
            processes: [None, None],
            late: None,
            delivered: 0,
            is_known: false,
            is_cancelling: false,
            ticks: 0,
            is_outrun: false,
            left: self.budget,
        }
    }

    fn next(&mut self, state: &State, next: &mut Vec<Next<Self>>) {
        for (at, process) in state.processes.iter().enumerate() {
            match process {
                None => self.claims(state, at, next),
                Some(process) => {
                    self.goes_on(state, at, process, next);
                    self.is_taken_over(state, at, process, next);
                }
            }
        }
        if let Some(late) = state.late {
            let (sender, call) = self.late.get(late).clone();
            let now = self.now(state);
            let written = self.log.call(state.row, sender, &call, now);
            let to = written.map(|(row, _)| State { late: None, ..state.with_row(row, true) });
            next.push((Event::ArrivesLate(call), to));
        }
        self.operator(state, next);
        if let Some(to) = self.time_passes(state) {
            next.push((Event::TimePasses, Ok(to)));
        }
        for (_, to) in next {
            if let Ok(to) = to {
                *to = self.plain(to.clone());
            }
        }
    }

    fn broken(&mut self, state: &State) -> Option<String> {
        let row = state.row.map(|row| self.log.row(row));
        let is_noted =
            row.is_some_and(|row| row.events.iter().any(|event| event.detail == EmailDetail::Unknown));
        if state.delivered > 1 && !(is_noted && self.on_unknown == OnUnknown::SendAgain) {
            return Some(format!("the email came {} times", state.delivered));
        }
        let succeeded = state.runs.iter().any(|run| run.state == Some(RunState::Succeeded));
        if succeeded && state.delivered == 0 {
            return Some("a run has succeeded whose email nobody got".to_owned());
        }
        let is_pending = row.is_some_and(|row| row.record.status == EmailStatus::Pending);
        let is_certain = row.is_some_and(|row| row.record.phase == SendPhase::Ended);
        // A sender that is overtaken may write once more before it hears of it.
        if state.has_ended() && is_pending && !state.is_outrun {
            return Some("an email is pending, and nobody will take it up".to_owned());
        }
        let is_failed = row.is_some_and(|row| row.record.status == EmailStatus::Failed);
        if is_failed && is_certain && state.delivered > 0 && state.has_ended() {
            return Some("the record says that an email was not sent, and it was".to_owned());
        }
        None
    }

    fn is_done(&mut self, state: &State) -> bool {
        state.has_ended()
    }

    fn happens_by_itself(event: &Event) -> bool {
        match event {
            Event::Calls(_, _, heard) => *heard == Heard::Answer,
            Event::LeaseRunsOut(_) | Event::Dies(_) | Event::Cancels | Event::Replays => false,
            _ => true,
        }
    }

    fn tell(&self, state: &State) -> String {
        let row = state.row.map(|row| {
            let EmailRow { record, sender, .. } = self.log.row(row);
            let sender = sender.map(|sender| sender.as_u128());
            format!("{} {} in {}, sender {sender:?}", record.status, record.detail, record.phase)
        });
        let processes: Vec<_> = state
            .processes
            .iter()
            .flatten()
            .map(|process| {
                let Process { attempted, sender, has_lease, answers, .. } = process;
                format!(
                    "run {} by sender {sender}, lease {has_lease}, {} answers",
                    attempted.run,
                    answers.len()
                )
            })
            .collect();
        let runs = state.runs.map(|run| run.state);
        format!("{runs:?} row {row:?} {processes:?} delivered {} {:?}", state.delivered, state.left)
    }
}
