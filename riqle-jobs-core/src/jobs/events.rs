//! What events start. An event is stored with the runs that it starts, and each (job, event id) starts once, so that
//! every crash and repeat is harmless. A job is registered before anybody looks for the events that wait for it. A sender looks at
//! the jobs before and after, so one that registers in between is started, too; where the sender goes down there, an event that
//! has started nothing is found when a worker looks again, within a minute.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use futures_util::future::{try_join, try_join_all};
use jiff::Timestamp;
use tracing::Instrument;

use crate::{
    Enqueued, Error, ErrorKind, Limits, NewRun, Store, clock, limits,
    store::{EventRun, EventStart, JobDeclaration, NewEvent, RegisteredJob, StoredEvent},
    trace::spans,
};

/// For how long an event id starts nothing again, where its sender does not say that it may repeat it later.
pub const EVENT_ID_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// For how long a registration triggers, and an event waits for one.
pub const REGISTRATION_TRIGGERS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const PORTION: usize = 500;
/// So that a store can join them into one commit.
const MARKED_AT_ONCE: usize = 32;

/// Checks events as they come from outside.
///
/// # Errors
/// `Rejected`, with the index, the field and the limit.
pub fn check_events(events: &[NewEvent], limits: Limits) -> Result<(), Error> {
    for (index, event) in events.iter().enumerate() {
        check_event(event, limits).map_err(|error| error.of("send_events").at_index(index))?;
    }
    Ok(())
}

fn check_event(event: &NewEvent, limits: Limits) -> Result<(), Error> {
    limits::check_text("event name", &event.name, limits::EVENT_NAME_BYTES)?;
    // The key of its runs carries a prefix.
    limits::check_text("event id", &event.id, limits::KEY_BYTES - limits::EVENT_KEY_PREFIX.len())?;
    if event.data.bytes.len() > limits.input_bytes {
        let size = event.data.bytes.len();
        let message = format!("event data has {size} bytes; the limit is {}", limits.input_bytes);
        return Err(Error::new(ErrorKind::Rejected, "check", message));
    }
    limits::check_json("event data", &event.data)
}

/// The jobs that an event starts: each that it triggers and that was seen lately.
pub fn jobs_started_by(event: &NewEvent, jobs: &[RegisteredJob], now: Timestamp) -> Vec<JobDeclaration> {
    jobs.iter()
        .filter(|job| job.declaration.trigger.as_deref() == Some(event.name.as_str()))
        .filter(|job| clock::later(job.seen_at, REGISTRATION_TRIGGERS) >= now)
        .map(|job| job.declaration.clone())
        .collect()
}

/// Sends events by `send` in a span, whose trace they carry.
pub(crate) async fn traced<A>(
    mut events: Vec<NewEvent>,
    send: impl FnOnce(Vec<NewEvent>) -> A,
) -> Result<Vec<String>, Error>
where
    A: Future<Output = Result<Vec<String>, Error>>,
{
    let span = spans::send_events(&mut events);
    let sent = send(events).instrument(span.clone()).await;
    sent.inspect_err(|error| spans::call_failed(&span, error))
}

pub(crate) async fn send(store: &dyn Store, events: Vec<NewEvent>) -> Result<Vec<String>, Error> {
    let limits = store.limits();
    check_events(&events, limits)?;
    let ids = events.iter().map(|event| event.id.clone()).collect();
    let (jobs, now) = try_join(store.jobs(), store.now()).await?;
    let starts: Vec<_> = events
        .into_iter()
        .map(|event| EventStart { jobs: jobs_started_by(&event, &jobs, now), event })
        .collect();
    // Before the first portion, so that what is refused is refused whole.
    limits.check_event_runs(&starts)?;
    let portions = portions(starts, limits.group_runs);
    if portions.len() > 1 {
        // All or none, whatever interrupts what follows: what is stored and has started nothing is adopted.
        let events = portions.iter().flatten().map(|start| start.event.clone());
        store.store_events(events.collect()).await?;
    }
    let mut stored = Vec::new();
    for portion in portions {
        stored.extend(store.start_events(portion).await?);
    }
    start_of_the_late(store, &stored, &jobs, now).await?;
    Ok(ids)
}

/// Starts runs of jobs that registered between the look at `jobs` and the start of the events: they may have looked for
/// idle events before these were stored, and will not find what has started another job.
async fn start_of_the_late(
    store: &dyn Store,
    stored: &[StoredEvent],
    jobs: &[RegisteredJob],
    looked_at: Timestamp,
) -> Result<(), Error> {
    let starts = |job: &JobDeclaration| (job.name.clone(), job.queue.clone(), job.trigger.clone());
    let known: HashSet<_> = jobs.iter().map(|job| starts(&job.declaration)).collect();
    let is_late = |job: &RegisteredJob| !known.contains(&starts(&job.declaration));
    let late: Vec<_> = store.jobs().await?.into_iter().filter(is_late).collect();
    if late.is_empty() {
        return Ok(());
    }
    let stored = stored.iter().filter(|stored| stored.received_at >= looked_at);
    start_all(store, stored, &late, looked_at).await.map(drop)
}

/// So that no call starts many more runs than a group has, nor stores many more events.
fn portions(starts: Vec<EventStart>, most: usize) -> Vec<Vec<EventStart>> {
    let mut portions: Vec<Vec<EventStart>> = Vec::new();
    let mut room = 0;
    for start in starts {
        let takes = start.jobs.len().max(1);
        match portions.last_mut() {
            Some(portion) if takes <= room => portion.push(start),
            _ => {
                portions.push(vec![start]);
                room = most;
            }
        }
        room = room.saturating_sub(takes);
    }
    portions
}

pub(crate) async fn register(store: &dyn Store, jobs: Vec<JobDeclaration>) -> Result<(), Error> {
    for job in &jobs {
        job.rules.check(&job.name)?;
    }
    store.register_jobs(jobs.clone()).await?;
    adopt(store, jobs.into_iter().filter_map(|job| job.trigger).collect()).await
}

/// Starts what waits for one of these triggers.
pub(crate) async fn adopt(store: &dyn Store, triggers: Vec<String>) -> Result<(), Error> {
    if triggers.is_empty() {
        return Ok(());
    }
    loop {
        let idle = store.idle_events(triggers.clone(), PORTION).await?;
        let started = start(store, &idle).await?;
        if idle.len() < PORTION || started == 0 {
            return Ok(());
        }
    }
}

/// Starts idle events; answers how many of them are idle no longer.
async fn start(store: &dyn Store, events: &[StoredEvent]) -> Result<usize, Error> {
    if events.iter().all(|stored| !stored.is_idle()) {
        return Ok(0);
    }
    let jobs = store.jobs().await?;
    let now = store.now().await?;
    start_all(store, events.iter().filter(|stored| stored.is_idle()), &jobs, now).await
}

/// Starts the jobs of stored events, beside those that these have started already; answers how many events started any.
async fn start_all(
    store: &dyn Store,
    events: impl Iterator<Item = &StoredEvent>,
    jobs: &[RegisteredJob],
    now: Timestamp,
) -> Result<usize, Error> {
    let mut runs = Vec::new();
    let mut of_events = BTreeMap::new();
    for stored in events {
        let jobs = jobs_started_by(&stored.event, jobs, now);
        runs.extend(jobs.iter().map(|job| NewRun::of_event(job, &stored.event)));
        if !jobs.is_empty() {
            of_events.insert(stored.event.id.clone(), stored.runs.clone());
        }
    }
    for (event_id, run) in enqueue_by_queue(store, runs).await? {
        run.file_in(of_events.entry(event_id).or_default());
    }
    let started = of_events.len();
    mark(store, of_events).await?;
    Ok(started)
}

/// Each queue may stand on a server of its own: one that is away keeps no run from the others. Answers what became of each,
/// with its event.
async fn enqueue_by_queue(store: &dyn Store, runs: Vec<NewRun>) -> Result<Vec<(String, EventRun)>, Error> {
    let mut by_queue: BTreeMap<String, Vec<NewRun>> = BTreeMap::new();
    for run in runs {
        by_queue.entry(run.queue.clone()).or_default().push(run);
    }
    // Many events of many jobs may be more than a group; the next repeats what an interruption leaves out.
    let most = store.limits().group_runs.max(1);
    let mut all = Ok(Vec::new());
    for runs in by_queue.into_values() {
        for runs in runs.chunks(most) {
            match (store.enqueue(runs.to_vec()).await, &mut all) {
                (Ok(answers), Ok(all)) => {
                    let of_event = |(run, answer): (&NewRun, Enqueued)| {
                        Some((run.event_id.clone()?, EventRun::of(run, answer)))
                    };
                    all.extend(runs.iter().zip(answers).filter_map(of_event));
                }
                (Err(error), Ok(_)) => all = Err(error),
                (_, Err(_)) => {}
            }
        }
    }
    all
}

/// Notes what became of events.
async fn mark(store: &dyn Store, of_events: BTreeMap<String, Vec<EventRun>>) -> Result<(), Error> {
    let mut of_events = of_events.into_iter();
    loop {
        let portion: Vec<_> = of_events.by_ref().take(MARKED_AT_ONCE).collect();
        if portion.is_empty() {
            return Ok(());
        }
        try_join_all(portion.iter().map(|(id, runs)| store.mark_started(id, runs.clone()))).await?;
    }
}
