//! Events as they are kept, and what they have started. The registry is in one slot of a cluster and each queue
//! in its own: an event is stored, then its runs, then it is counted as started. What breaks off in between is
//! repeated, and each run has a unique key of its event.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use futures_util::future::join_all;
use redis::cmd;
use riqle_jobs_core::{
    Error, NewRun, Payload, Queue, TraceContext,
    events::EVENT_ID_KEPT,
    from_millis,
    store::{EventFilter, EventRun, EventStart, ListedEvent, NewEvent, StoredEvent},
};

use crate::{
    Redis,
    change::Change,
    frame::{Frame, Reader, corrupt},
    rows::wait_millis,
    script::{MARK_STARTED, STORE_EVENTS},
    server::Repeat,
    values::{bytes, list, maybe_bytes, maybe_number, unexpected},
};

/// How many events are deleted, or read for a page, at once.
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
        let mut started = HashSet::new();
        let mut by_queue: BTreeMap<String, Vec<NewRun>> = BTreeMap::new();
        for (stored, start) in stored.iter().zip(&starts) {
            let runs = start.runs_for(stored);
            // The list may name it twice.
            if !runs.is_empty() && started.insert(stored.event.id.clone()) {
                for run in runs {
                    by_queue.entry(run.queue.clone()).or_default().push(run);
                }
            }
        }
        // Each has its answer first: an unavailable queue keeps no other from its runs.
        let enqueued = join_all(by_queue.into_values().map(|runs| self.enqueue_portions(runs))).await;
        let mut of_events: BTreeMap<String, Vec<EventRun>> = BTreeMap::new();
        for of_queue in enqueued {
            for (event_id, run) in of_queue? {
                run.file_in(of_events.entry(event_id).or_default());
            }
        }
        let marked: Vec<_> = of_events.iter().map(|(id, runs)| (id.as_str(), runs.as_slice())).collect();
        self.mark_events("start_events", &marked).await?;
        for stored in &mut stored {
            if let Some(runs) = of_events.get(&stored.event.id) {
                stored.runs.clone_from(runs);
            }
        }
        Ok(stored)
    }

    /// Runs of one queue, which may be more than a group; answers what became of each, with its event.
    async fn enqueue_portions(&self, runs: Vec<NewRun>) -> Result<Vec<(String, EventRun)>, Error> {
        let mut enqueued = Vec::with_capacity(runs.len());
        for runs in runs.chunks(self.shared.limits.group_runs.max(1)) {
            for (run, answer) in runs.iter().zip(self.enqueue(runs.to_vec()).await?) {
                let event_id = run.event_id.clone().unwrap_or_default();
                enqueued.push((event_id, EventRun::of(run, answer)));
            }
        }
        Ok(enqueued)
    }

    /// Notes the runs of events; those that are not there are let be.
    pub(crate) async fn mark_events(
        &self,
        operation: &'static str,
        started: &[(&str, &[EventRun])],
    ) -> Result<(), Error> {
        if started.is_empty() {
            return Ok(());
        }
        let mut arguments = Vec::with_capacity(2 * started.len());
        for (id, runs) in started {
            let runs = if runs.is_empty() { String::new() } else { serde_json::json!(runs).to_string() };
            arguments.extend([id.as_bytes().to_vec(), runs.into_bytes()]);
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
        events.retain(StoredEvent::is_idle);
        Ok(events)
    }

    async fn events(&self, operation: &'static str, ids: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let get = cmd("HMGET").arg(self.shared.keys.of_registry("events")).arg(ids).take();
        list(self.of_registry(operation, &[get]).await?.remove(0))?.into_iter().map(maybe_bytes).collect()
    }

    /// A page of events, newest first; of the same millisecond by their ids.
    pub(crate) async fn page_of_events(&self, filter: &EventFilter) -> Result<Vec<ListedEvent>, Error> {
        let (mut listed, mut after) = (Vec::new(), None);
        if let Some(before) = &filter.before {
            let received = self.shared.keys.of_registry("events:received");
            let rank = cmd("ZREVRANK").arg(received).arg(before).take();
            match maybe_number(self.of_registry("events", &[rank]).await?.remove(0))? {
                Some(rank) => after = Some(rank),
                None => return Ok(listed),
            }
        }
        let mut from = after.map_or(0, |rank| usize::try_from(rank).unwrap_or(usize::MAX).saturating_add(1));
        let mut left = filter.looked_at();
        while left > 0 && listed.len() < filter.page_size() {
            let ids = match &filter.id {
                Some(id) => vec![id.as_bytes().to_vec()],
                None => self.newest_events(from, left.min(PORTION)).await?,
            };
            let fields: Vec<&[u8]> = ids.iter().map(Vec::as_slice).collect();
            for (id, kept) in ids.iter().zip(self.events("events", &fields).await?) {
                let Some(kept) = kept else { continue };
                let Kept { name, received_at, runs, .. } = Kept::read(&kept)?;
                if filter.name.as_ref().is_none_or(|asked| *asked == name) {
                    let (id, received_at) = (crate::frame::text(id)?, from_millis(received_at));
                    listed.push(ListedEvent { id, name, received_at, runs });
                }
            }
            if filter.id.is_some() || ids.len() < left.min(PORTION) {
                break;
            }
            (from, left) = (from + ids.len(), left - ids.len());
        }
        listed.truncate(filter.page_size());
        Ok(listed)
    }

    async fn newest_events(&self, from: usize, most: usize) -> Result<Vec<Vec<u8>>, Error> {
        let received = self.shared.keys.of_registry("events:received");
        let page = cmd("ZRANGE").arg(received).arg(from).arg(from + most - 1).arg("REV").take();
        list(self.of_registry("events", &[page]).await?.remove(0))?.into_iter().map(bytes).collect()
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
const TRACE: u8 = 4;

/// What the script keeps of an event as it is given. An id that is kept as long as most are takes no place.
pub(crate) fn kept_of(event: &NewEvent) -> Vec<u8> {
    let id_kept = Some(wait_millis(event.id_kept)).filter(|kept| *kept != wait_millis(EVENT_ID_KEPT));
    let due_at = event.due_at.map(|time| time.as_millisecond());
    let mut kept = Frame::default();
    let trace = event.trace.as_ref().map(TraceContext::as_str);
    kept.byte(id_kept.map_or(0, |_| ID_KEPT) | due_at.map_or(0, |_| DUE_AT) | trace.map_or(0, |_| TRACE));
    for time in [id_kept, due_at].into_iter().flatten() {
        kept.long(time);
    }
    if let Some(trace) = trace {
        kept.text(trace);
    }
    kept.payload(&event.data);
    kept.0
}

/// An event as it is kept under its id.
pub(crate) struct Kept {
    received_at: i64,
    number: i64,
    name: String,
    runs: Vec<EventRun>,
    id_kept: Duration,
    due_at: Option<i64>,
    trace: Option<TraceContext>,
    data: Payload,
}

impl Kept {
    pub(crate) fn read(stored: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader(stored);
        let (received_at, number, name) = (reader.long()?, reader.long()?, reader.key()?);
        let runs = match reader.text()?.as_str() {
            "" => Vec::new(),
            runs => serde_json::from_str(runs).map_err(|cause| {
                corrupt("the runs of an event are not as they were written").caused_by(cause)
            })?,
        };
        let flags = reader.byte()?;
        let mut time = |flag| (flags & flag != 0).then(|| reader.long()).transpose();
        let (id_kept, due_at) = (time(ID_KEPT)?, time(DUE_AT)?);
        let id_kept = id_kept.map_or(EVENT_ID_KEPT, |kept| Duration::from_millis(kept.unsigned_abs()));
        let trace = (flags & TRACE != 0).then(|| reader.text()).transpose()?;
        let trace = trace.as_deref().and_then(TraceContext::read);
        Ok(Self { received_at, number, name, runs, id_kept, due_at, trace, data: reader.payload()? })
    }

    /// The list that it is in while it has started nothing.
    fn idle(&self) -> String {
        format!("events:idle:{}", self.name)
    }

    fn member(&self, id: &[u8]) -> Vec<u8> {
        [self.number.to_be_bytes().as_slice(), id].concat()
    }

    pub(crate) fn event(self, id: String) -> StoredEvent {
        let Self { name, data, id_kept, trace, .. } = self;
        let due_at = self.due_at.map(from_millis);
        StoredEvent {
            event: NewEvent { id, name, data, due_at, id_kept, trace },
            received_at: from_millis(self.received_at),
            runs: self.runs,
        }
    }
}
