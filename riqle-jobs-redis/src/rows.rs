//! What is kept of a run, in the layouts that `lua/prelude.lua` reads and writes, too.

use std::time::Duration;

use jiff::Timestamp;
use riqle_jobs_core::{
    AttemptRecord, Due, Error, Fingerprint, NewRun, OtherInput, Payload, Priority, Reason, Run, RunId,
    RunState, SavedStep, StepPath, TraceContext, UniqueScope, WorkerId, from_millis, millis_of,
    schedule::Tick, store::Holder,
};
use uuid::Uuid;

use crate::frame::{Frame, Reader, corrupt};

/// Longer waits and periods are cut, at some 30,000 years: numbers in Lua are exact up to 2^53.
const LONGEST: i64 = 1_000_000_000_000_000;

pub(crate) fn wait_millis(wait: Duration) -> i64 {
    millis_of(wait).min(LONGEST)
}

/// The first whole millisecond that is not before `time`, for a bound.
pub(crate) fn millis_up(time: Timestamp) -> i64 {
    let millis = time.as_millisecond();
    if from_millis(millis) < time { millis.saturating_add(1) } else { millis }
}

/// What never changes of a run: its flags, priority and job; unique key and reference; event, tick, gates, trace, line of
/// replays; the input. The script that stores it puts the time of the enqueue before it.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) enqueued_at: Timestamp,
    pub(crate) priority: Priority,
    pub(crate) job: String,
    pub(crate) unique: Option<StoredUnique>,
    pub(crate) reference: Option<String>,
    pub(crate) event_id: Option<String>,
    pub(crate) tick: Option<Tick>,
    gates: Option<String>,
    pub(crate) trace: Option<TraceContext>,
    /// The first of the line of replays, and the one that this replays.
    pub(crate) replays: Option<(RunId, RunId)>,
    pub(crate) input: Payload,
}

#[derive(Clone, Debug)]
pub(crate) struct StoredUnique {
    pub(crate) scope: u8,
    /// In milliseconds; 0 for other scopes.
    pub(crate) period: i64,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) key: String,
}

/// The scopes of a unique key, as they are stored.
const WHILE_PENDING: u8 = 1;
const WHILE_NOT_ENDED: u8 = 2;
pub(crate) const PERIOD: u8 = 3;
/// Beside the scope: what else is there.
const OTHER_INPUT_IS_IGNORED: u8 = 4;
const REFERENCE: u8 = 8;
const EVENT: u8 = 16;
/// There is a byte that says what more there is.
const MORE: u8 = 32;
const REPLAYS: u8 = 64;
const TICK: u8 = 128;
/// In that byte.
const GATES: u8 = 1;
const TRACE: u8 = 2;

/// The body of a new run, without the time of its enqueue.
pub(crate) fn new_body(run: &NewRun) -> Vec<u8> {
    let unique = run.unique.as_ref().map(|unique| {
        let (scope, period) = match unique.scope {
            UniqueScope::WhilePending => (WHILE_PENDING, 0),
            UniqueScope::WhileNotEnded => (WHILE_NOT_ENDED, 0),
            UniqueScope::Period(period) => (PERIOD, wait_millis(period)),
        };
        StoredUnique { scope, period, fingerprint: run.fingerprint, key: unique.key.clone() }
    });
    let ignored = run.unique.as_ref().is_some_and(|unique| unique.other_input == OtherInput::IsIgnored);
    let parts = Parts {
        flags: if ignored { OTHER_INPUT_IS_IGNORED } else { 0 },
        priority: run.priority,
        job: &run.job,
        unique: unique.as_ref(),
        reference: run.reference.as_deref(),
        event_id: run.event_id.as_deref(),
        tick: run.tick.as_ref(),
        gates: (!run.gates.is_empty()).then(|| run.gates.join("\u{1f}")),
        trace: run.trace.as_ref(),
        replays: None,
        input: &run.input,
    };
    parts.write(Frame(Vec::with_capacity(parts.input.bytes.len() + 64)))
}

struct Parts<'a> {
    flags: u8,
    priority: Priority,
    job: &'a str,
    unique: Option<&'a StoredUnique>,
    reference: Option<&'a str>,
    event_id: Option<&'a str>,
    tick: Option<&'a Tick>,
    gates: Option<String>,
    trace: Option<&'a TraceContext>,
    replays: Option<(RunId, RunId)>,
    input: &'a Payload,
}

impl Parts<'_> {
    fn write(&self, mut frame: Frame) -> Vec<u8> {
        let bit = |is_there: bool, bit: u8| if is_there { bit } else { 0 };
        let more = bit(self.gates.is_some(), GATES) | bit(self.trace.is_some(), TRACE);
        let flags = self.flags
            | self.unique.map_or(0, |unique| unique.scope)
            | bit(self.reference.is_some(), REFERENCE)
            | bit(self.event_id.is_some(), EVENT)
            | bit(more != 0, MORE)
            | bit(self.replays.is_some(), REPLAYS)
            | bit(self.tick.is_some(), TICK);
        frame.byte(flags).byte(self.priority.number()).word(self.job);
        if let Some(unique) = self.unique {
            frame.long(unique.period).raw(&unique.fingerprint.0).key(&unique.key);
        }
        for text in [self.reference, self.event_id].into_iter().flatten() {
            frame.key(text);
        }
        if let Some(tick) = self.tick {
            frame.key(&tick.schedule).long(tick.at.as_millisecond());
        }
        if more != 0 {
            frame.byte(more);
        }
        for text in [self.gates.as_deref(), self.trace.map(TraceContext::as_str)].into_iter().flatten() {
            frame.text(text);
        }
        if let Some((root, replay_of)) = self.replays {
            frame.uuid(root.as_uuid()).uuid(replay_of.as_uuid());
        }
        frame.payload(self.input);
        frame.0
    }
}

impl Body {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader(bytes);
        let enqueued_at = from_millis(reader.long()?);
        let flags = reader.byte()?;
        let priority = Priority::from_number(reader.byte()?)?;
        let job = reader.word()?;
        let unique = match flags & 3 {
            0 => None,
            scope => {
                let period = reader.long()?;
                let fingerprint = Fingerprint(reader.uuid()?.into_bytes());
                Some(StoredUnique { scope, period, fingerprint, key: reader.key()? })
            }
        };
        let mut key = |bit| if flags & bit == 0 { Ok(None) } else { reader.key().map(Some) };
        let (reference, event_id) = (key(REFERENCE)?, key(EVENT)?);
        let tick = match flags & TICK {
            0 => None,
            _ => Some(Tick { schedule: reader.key()?, at: from_millis(reader.long()?) }),
        };
        let more = if flags & MORE == 0 { 0 } else { reader.byte()? };
        let mut text = |bit| if more & bit == 0 { Ok(None) } else { reader.text().map(Some) };
        let (gates, trace) = (text(GATES)?, text(TRACE)?);
        let trace = trace.as_deref().and_then(TraceContext::read);
        let replays = match flags & REPLAYS {
            0 => None,
            _ => Some((RunId::from_uuid(reader.uuid()?), RunId::from_uuid(reader.uuid()?))),
        };
        let input = reader.payload()?;
        Ok(Self {
            enqueued_at,
            priority,
            job,
            unique,
            reference,
            event_id,
            tick,
            gates,
            trace,
            replays,
            input,
        })
    }

    /// As it is stored.
    pub(crate) fn write(&self) -> Vec<u8> {
        let parts = Parts {
            flags: 0,
            priority: self.priority,
            job: &self.job,
            unique: self.unique.as_ref(),
            reference: self.reference.as_deref(),
            event_id: self.event_id.as_deref(),
            tick: self.tick.as_ref(),
            gates: self.gates.clone(),
            trace: self.trace.as_ref(),
            replays: self.replays,
            input: &self.input,
        };
        let mut frame = Frame::default();
        frame.long(self.enqueued_at.as_millisecond());
        parts.write(frame)
    }
}

impl StoredUnique {
    /// The field of `unique` that it is kept in.
    pub(crate) fn field(&self, job: &str) -> Vec<u8> {
        [job.as_bytes(), &[0], self.key.as_bytes()].concat()
    }

    /// Whether it stays taken after its run has ended.
    pub(crate) fn outlasts_its_run(&self) -> bool {
        self.scope == PERIOD
    }
}

/// The due time of a new run as the script takes it: how to read the number, and the milliseconds.
pub(crate) fn due(due: Due) -> (u8, i64) {
    match due {
        Due::Now => (b'n', 0),
        Due::In(delay) => (b'd', wait_millis(delay)),
        Due::At(time) => (b'a', time.as_millisecond()),
    }
}

/// What changes of a run, from its first claim or its end on.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// `p`, `r`, `s`, `c` or `d`: the first letter of the state.
    pub(crate) kind: u8,
    /// Of the claim that holds it, or that held it when an operator cancelled it; else zero.
    pub(crate) token: Uuid,
    pub(crate) settled: Uuid,
    pub(crate) worker: Uuid,
    pub(crate) claimed_at: i64,
    pub(crate) due_at: i64,
    pub(crate) ended_at: i64,
    pub(crate) failures: u32,
    pub(crate) crashes: u32,
    pub(crate) priority: u8,
    pub(crate) reason: String,
    pub(crate) replayed_by: Uuid,
    pub(crate) job: String,
    /// Job and unique key, to be let go at its end.
    pub(crate) unique: Vec<u8>,
    /// One byte before it; nothing if there is none.
    pub(crate) error_fingerprint: Vec<u8>,
    pub(crate) attempts: u8,
    pub(crate) log: Vec<u8>,
    pub(crate) output: Vec<u8>,
}

impl State {
    /// Of a run that no claim has taken yet.
    pub(crate) fn fresh(body: &Body, due_at: i64) -> Self {
        Self {
            kind: b'p',
            token: Uuid::nil(),
            settled: Uuid::nil(),
            worker: Uuid::nil(),
            claimed_at: 0,
            due_at,
            ended_at: 0,
            failures: 0,
            crashes: 0,
            priority: body.priority.number(),
            reason: String::new(),
            replayed_by: Uuid::nil(),
            job: body.job.clone(),
            unique: Vec::new(),
            error_fingerprint: Vec::new(),
            attempts: 0,
            log: Vec::new(),
            output: Vec::new(),
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader(bytes);
        let reader = &mut reader;
        Ok(Self {
            kind: reader.byte()?,
            token: reader.uuid()?,
            settled: reader.uuid()?,
            worker: reader.uuid()?,
            claimed_at: reader.long()?,
            due_at: reader.long()?,
            ended_at: reader.long()?,
            failures: reader.number()?,
            crashes: reader.number()?,
            priority: reader.byte()?,
            reason: reader.word()?,
            replayed_by: reader.uuid()?,
            job: reader.word()?,
            unique: reader.key()?.into_bytes(),
            error_fingerprint: reader.key()?.into_bytes(),
            attempts: reader.byte()?,
            log: reader.bytes()?.to_vec(),
            output: reader.rest().to_vec(),
        })
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let key = |frame: &mut Frame, bytes: &[u8]| {
            frame.raw(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes()).raw(bytes);
        };
        let mut frame = Frame::default();
        frame.byte(self.kind).uuid(self.token).uuid(self.settled).uuid(self.worker);
        frame.long(self.claimed_at).long(self.due_at).long(self.ended_at);
        frame.number(self.failures).number(self.crashes).byte(self.priority).word(&self.reason);
        frame.uuid(self.replayed_by).word(&self.job);
        key(&mut frame, &self.unique);
        key(&mut frame, &self.error_fingerprint);
        frame.byte(self.attempts).bytes(&self.log).raw(&self.output);
        frame.0
    }

    pub(crate) fn run_state(&self) -> Result<RunState, Error> {
        Ok(match self.kind {
            b'p' => RunState::Pending,
            b'r' => RunState::Running,
            b's' => RunState::Succeeded,
            b'c' => RunState::Cancelled,
            b'd' => RunState::Dead,
            other => return Err(corrupt(format!("unknown state {other}"))),
        })
    }

    /// That of the newest error.
    pub(crate) fn fingerprint(&self) -> Result<Option<String>, Error> {
        match self.error_fingerprint.as_slice() {
            [] | [b'-'] => Ok(None),
            [_, text @ ..] => crate::frame::text(text).map(Some),
        }
    }

    /// One that was replayed is none any more.
    pub(crate) fn is_dead_letter(&self) -> bool {
        self.kind == b'd' && self.replayed_by.is_nil()
    }

    pub(crate) fn attempts(&self) -> Result<Vec<AttemptRecord>, Error> {
        let mut log = Reader(&self.log);
        (0..self.attempts).map(|_| attempt(&mut Reader(log.bytes()?))).collect()
    }
}

fn attempt(record: &mut Reader<'_>) -> Result<AttemptRecord, Error> {
    let (started_at, ended_at) = (from_millis(record.long()?), from_millis(record.long()?));
    let worker = WorkerId::from_uuid(record.uuid()?);
    let (times, number) = (record.number()?.max(1), record.number()?);
    let outcome = record.word()?.parse()?;
    let delay = record.long()?;
    let delay = u64::try_from(delay).ok().map(Duration::from_millis);
    let error = record.maybe(|record| crate::frame::text(record.rest()))?;
    Ok(AttemptRecord { number, times, started_at, ended_at, worker, outcome, error, delay })
}

/// A run in its current state; `time` is when it is due or its lease runs out, if it has not ended.
pub(crate) fn shown(
    id: RunId,
    queue: &str,
    body: Body,
    state: &State,
    time: Option<i64>,
) -> Result<Run, Error> {
    let run_state = state.run_state()?;
    let reason = match state.reason.as_str() {
        "" => None,
        word => Some(word.parse::<Reason>()?),
    };
    let replayed_by = (!state.replayed_by.is_nil()).then(|| RunId::from_uuid(state.replayed_by));
    let output = match state.output.as_slice() {
        [] => None,
        output => Some(Reader(output).payload()?),
    };
    let due_at = if run_state == RunState::Pending { time.unwrap_or(state.due_at) } else { state.due_at };
    Ok(Run {
        id,
        job: body.job,
        queue: queue.to_owned(),
        priority: body.priority,
        state: run_state,
        reason,
        input: body.input,
        output,
        failures: state.failures,
        crashes: state.crashes,
        enqueued_at: body.enqueued_at,
        due_at: from_millis(due_at),
        ended_at: run_state.is_ended().then(|| from_millis(state.ended_at)),
        holder: (run_state == RunState::Running).then(|| Holder {
            worker: WorkerId::from_uuid(state.worker),
            claimed_at: from_millis(state.claimed_at),
            lease_until: from_millis(time.unwrap_or(state.claimed_at)),
        }),
        attempts: state.attempts()?,
        error_fingerprint: state.fingerprint()?,
        root: body.replays.map_or(id, |(root, _)| root),
        replay_of: body.replays.map(|(_, replay_of)| replay_of),
        replayed_by,
        unique_key: body.unique.map(|unique| unique.key),
        reference: body.reference,
        event_id: body.event_id,
        tick: body.tick,
        trace: body.trace,
    })
}

/// A step with its place among those of its run; `field` is its name.
pub(crate) fn step(field: &[u8], value: &[u8]) -> Result<(u32, SavedStep), Error> {
    let (name, mut value) = (crate::frame::text(field)?, Reader(value));
    let (place, saved_at) = (value.number()?, from_millis(value.long()?));
    let took = Duration::from_nanos(value.long()?.unsigned_abs());
    let path = StepPath::from_stored(&name);
    Ok((place, SavedStep { path, result: value.payload()?, saved_at, took }))
}
