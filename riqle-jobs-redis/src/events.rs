//! Events as they are kept, and what they have started. The registry is in one slot of a cluster and each queue
//! in its own: an event is stored, then its runs, then it is counted as started. What breaks off in between is
//! repeated, and each run has a unique key of its event.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::future::join_all;
use redis::cmd;
use riqle_jobs_core::{
    Error, NewRun, Payload, Queue,
    events::EVENT_ID_KEPT,
    from_millis,
    store::{EventStart, NewEvent, StoredEvent},
};

use crate::{
    Redis,
    change::Change,
    frame::{Frame, Reader},
    rows::wait_millis,
    script::{MARK_STARTED, STORE_EVENTS},
    server::Repeat,
    values::{bytes, list, maybe_bytes, unexpected},
};

/// How many events are deleted at once.
const PORTION: usize = 200;

impl Redis {
    /// Stores events that have not come yet.
    pub(crate) async fn keep_events(
        &self,
        operation: &'static str,
        events: Vec<NewEvent>,
    ) -> Result<Vec<StoredEvent>, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments = vec![self.frozen(), wait_millis(EVENT_ID_KEPT).to_string().into_bytes()];
        for event in &events {
            arguments.extend([event.id.as_bytes().to_vec(), event.name.as_bytes().to_vec()]);
            arguments.push(kept_of(event));
        }
        let registry = self.shared.keys.registry();
        let stored = self.durably().call(operation, &STORE_EVENTS, &registry, &arguments, Repeat::Safe).await;
        let stored = self.shared.writes.note(stored)?;
        let stored = list(stored)?;
        if stored.len() != events.len() {
            return Err(unexpected());
        }
        stored
            .into_iter()
            .zip(events)
            .map(|(stored, event)| Ok(Kept::read(&bytes(stored)?)?.event(event.id)))
            .collect()
    }

    /// Stores events, enqueues the runs of those that have started nothing yet, and counts these as started.
    pub(crate) async fn start_stored_events(
        &self,
        starts: Vec<EventStart>,
    ) -> Result<Vec<StoredEvent>, Error> {
        self.shared.limits.check_event_runs(&starts)?;
        let events = starts.iter().map(|start| start.event.clone()).collect();
        let mut stored = self.keep_events("start_events", events).await?;
        let mut started: HashMap<String, u32> = HashMap::new();
        let mut by_queue: BTreeMap<String, Vec<NewRun>> = BTreeMap::new();
        for (stored, start) in stored.iter().zip(starts) {
            let id = &stored.event.id;
            let runs = start.runs_for(stored);
            if runs.is_empty() || started.contains_key(id) {
                continue;
            }
            started.insert(id.clone(), u32::try_from(runs.len()).unwrap_or(u32::MAX));
            for run in runs {
                by_queue.entry(run.queue.clone()).or_default().push(run);
            }
        }
        // Each has its answer first: an unavailable queue keeps no other from its runs.
        let enqueued = join_all(by_queue.into_values().map(|runs| self.enqueue_portions(runs))).await;
        enqueued.into_iter().collect::<Result<(), Error>>()?;
        let marked: Vec<_> = started.iter().map(|(id, runs)| (id.as_str(), *runs)).collect();
        self.mark_events("start_events", &marked).await?;
        for stored in &mut stored {
            if let Some(runs) = started.get(&stored.event.id) {
                stored.started = *runs;
            }
        }
        Ok(stored)
    }

    /// Runs of one queue, which may be more than a group.
    async fn enqueue_portions(&self, mut runs: Vec<NewRun>) -> Result<(), Error> {
        let most = self.shared.limits.group_runs.max(1);
        while !runs.is_empty() {
            let rest = runs.split_off(most.min(runs.len()));
            self.enqueue(std::mem::replace(&mut runs, rest)).await?;
        }
        Ok(())
    }

    /// Counts runs as started by events; those that are not there are let be.
    pub(crate) async fn mark_events(
        &self,
        operation: &'static str,
        started: &[(&str, u32)],
    ) -> Result<(), Error> {
        if started.is_empty() {
            return Ok(());
        }
        let mut arguments = Vec::with_capacity(2 * started.len());
        for (id, runs) in started {
            arguments.extend([id.as_bytes().to_vec(), runs.to_string().into_bytes()]);
        }
        let registry = self.shared.keys.registry();
        self.durably().call(operation, &MARK_STARTED, &registry, &arguments, Repeat::Safe).await.map(drop)
    }

    /// Events of these names that have started nothing, in the order in which they came.
    pub(crate) async fn list_idle_events(
        &self,
        names: Vec<String>,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, Error> {
        if names.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let idle = |name: &String| {
            let key = self.shared.keys.of_registry(&format!("events:idle:{name}"));
            cmd("ZRANGE").arg(key).arg(0).arg(limit - 1).take()
        };
        let lists: Vec<_> = names.iter().map(idle).collect();
        let mut members = Vec::new();
        for found in self.of_registry("idle_events", &lists).await? {
            for member in list(found)? {
                members.push(bytes(member)?);
            }
        }
        members.sort_unstable();
        members.dedup();
        members.truncate(limit);
        let ids: Vec<&[u8]> = members.iter().filter_map(|member| member.get(8..)).collect();
        let mut events = Vec::new();
        for (id, kept) in ids.iter().zip(self.events("idle_events", &ids).await?) {
            let Some(kept) = kept else { continue };
            events.push(Kept::read(&kept)?.event(crate::frame::text(id)?));
        }
        events.retain(|event| event.started == 0);
        Ok(events)
    }

    async fn events(&self, operation: &'static str, ids: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let get = cmd("HMGET").arg(self.shared.keys.of_registry("events")).arg(ids).take();
        list(self.of_registry(operation, &[get]).await?.remove(0))?.into_iter().map(maybe_bytes).collect()
    }

    /// Deletes events that came long enough ago; answers how many.
    pub(crate) async fn prune_events(&self, kept: Option<Duration>) -> Result<u64, Error> {
        let Some(kept) = kept else { return Ok(0) };
        let deletion = |ids: Vec<Vec<u8>>| async move {
            let fields: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
            let mut change = Change::default();
            for (id, stored) in ids.iter().zip(self.events("prune", &fields).await?) {
                change = change.expect("events", id, stored.as_deref()).zrem("events:received", id);
                if let Some(stored) = stored {
                    let kept = Kept::read(&stored)?;
                    change = change.zrem(&kept.idle(), kept.member(id)).hdel("events", id);
                }
            }
            Ok((change, ids.len()))
        };
        let (registry, kept) = (self.shared.keys.registry(), kept.max(EVENT_ID_KEPT));
        self.prune_listed(&registry, "events:received", kept, PORTION, deletion).await
    }
}

/// Bits of the byte that says what is kept of an event beside its data, in this order.
const ID_KEPT: u8 = 2;
const DUE_AT: u8 = 1;

/// What the script keeps of an event as it is given. An id that is kept as long as most are takes no place.
fn kept_of(event: &NewEvent) -> Vec<u8> {
    let id_kept = Some(wait_millis(event.id_kept)).filter(|kept| *kept != wait_millis(EVENT_ID_KEPT));
    let due_at = event.due_at.map(|time| time.as_millisecond());
    let mut kept = Frame::default();
    kept.byte(id_kept.map_or(0, |_| ID_KEPT) | due_at.map_or(0, |_| DUE_AT));
    for time in [id_kept, due_at].into_iter().flatten() {
        kept.long(time);
    }
    kept.payload(&event.data);
    kept.0
}

/// An event as it is kept under its id.
struct Kept {
    received_at: i64,
    started: u32,
    number: i64,
    name: String,
    id_kept: Duration,
    due_at: Option<i64>,
    data: Payload,
}

impl Kept {
    fn read(stored: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader(stored);
        let (received_at, started, number) = (reader.long()?, reader.number()?, reader.long()?);
        let name = reader.key()?;
        let flags = reader.byte()?;
        let mut time = |flag| (flags & flag != 0).then(|| reader.long()).transpose();
        let (id_kept, due_at) = (time(ID_KEPT)?, time(DUE_AT)?);
        let id_kept = id_kept.map_or(EVENT_ID_KEPT, |kept| Duration::from_millis(kept.unsigned_abs()));
        Ok(Self { received_at, started, number, name, id_kept, due_at, data: reader.payload()? })
    }

    /// The list that it is in while it has started nothing.
    fn idle(&self) -> String {
        format!("events:idle:{}", self.name)
    }

    fn member(&self, id: &[u8]) -> Vec<u8> {
        [self.number.to_be_bytes().as_slice(), id].concat()
    }

    fn event(self, id: String) -> StoredEvent {
        let due_at = self.due_at.map(from_millis);
        StoredEvent {
            event: NewEvent { id, name: self.name, data: self.data, due_at, id_kept: self.id_kept },
            received_at: from_millis(self.received_at),
            started: self.started,
        }
    }
}
