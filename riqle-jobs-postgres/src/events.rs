//! Events: how they are stored, start runs, and are listed.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use riqle_jobs_core::{
    NewRun, millis_of,
    store::{EventFilter, EventRun, EventStart, ListedEvent, NewEvent, StoredEvent},
};
use sqlx::postgres::PgRow;

use crate::{
    enqueue::{Within, enqueue},
    error::Result,
    portions::portions,
    rows::{codec, get, get_count, json, maybe_time, millis, payload, size, time, trace},
    work::Work,
};

/// Stores events; returns what is stored under each id. In the order of their ids, as everybody does.
pub(crate) async fn store_events(work: &mut Work<'_>, events: &[NewEvent]) -> Result<Vec<StoredEvent>> {
    work.timed(include_str!("../queries/forget_events.sql"))
        .bind(events.iter().map(|event| event.id.clone()).collect::<Vec<_>>())
        .execute(&mut *work.connection)
        .await?;
    // Of those with the same id the first: the sort keeps their order.
    let mut distinct: Vec<&NewEvent> = events.iter().collect();
    distinct.sort_by(|a, b| a.id.cmp(&b.id));
    distinct.dedup_by(|later, first| later.id == first.id);
    let mut stored = HashMap::with_capacity(distinct.len());
    for portion in portions(&distinct, |event| event.data.bytes.len()) {
        for row in insert_portion(work, portion).await? {
            let event = stored_event(&row)?;
            stored.insert(event.event.id.clone(), event);
        }
    }
    let under = |event: &NewEvent| stored.get(&event.id).cloned().ok_or(sqlx::Error::RowNotFound.into());
    events.iter().map(under).collect()
}

async fn insert_portion(work: &mut Work<'_>, events: &[&NewEvent]) -> Result<Vec<PgRow>> {
    Ok(work
        .timed(include_str!("../queries/store_events.sql"))
        .bind(events.iter().map(|event| event.id.clone()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.name.clone()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.due_at.map(millis)).collect::<Vec<_>>())
        .bind(events.iter().map(|event| millis_of(event.id_kept)).collect::<Vec<_>>())
        .bind(events.iter().map(|event| codec(event.data.codec)).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.data.bytes.clone()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| Some(event.trace.as_ref()?.as_str())).collect::<Vec<_>>())
        .fetch_all(&mut *work.connection)
        .await?)
}

/// Stores events and, of those that have started nothing, the runs; all or nothing in the transaction of `work`.
pub(crate) async fn start_events(
    work: &mut Work<'_>,
    within: Within<'_>,
    starts: &[EventStart],
) -> Result<Vec<StoredEvent>> {
    let events: Vec<_> = starts.iter().map(|start| start.event.clone()).collect();
    let mut stored = store_events(work, &events).await?;
    let mut started = HashSet::new();
    let mut by_queue: BTreeMap<String, Vec<NewRun>> = BTreeMap::new();
    for (start, stored) in starts.iter().zip(&stored) {
        let runs = start.runs_for(stored);
        // The list may name it twice.
        if !runs.is_empty() && started.insert(stored.event.id.clone()) {
            for run in runs {
                by_queue.entry(run.queue.clone()).or_default().push(run);
            }
        }
    }
    let groups: Vec<_> = by_queue.values().map(Vec::as_slice).collect();
    let mut of_events: HashMap<String, Vec<EventRun>> = HashMap::new();
    for (group, answers) in groups.iter().zip(enqueue(work, within, &groups).await?) {
        for (run, answer) in group.iter().zip(answers?) {
            let id = run.event_id.clone().unwrap_or_default();
            EventRun::of(run, answer).file_in(of_events.entry(id).or_default());
        }
    }
    for stored in &mut stored {
        if let Some(runs) = of_events.get(&stored.event.id) {
            stored.runs.clone_from(runs);
        }
    }
    mark_all_started(work, of_events).await?;
    Ok(stored)
}

async fn mark_all_started(work: &mut Work<'_>, started: HashMap<String, Vec<EventRun>>) -> Result<()> {
    if started.is_empty() {
        return Ok(());
    }
    let written = |runs: Vec<EventRun>| (!runs.is_empty()).then(|| serde_json::json!(runs).to_string());
    let (ids, runs): (Vec<_>, Vec<_>) = started.into_iter().map(|(id, runs)| (id, written(runs))).unzip();
    work.run(work.query(include_str!("../queries/mark_started.sql")).bind(ids).bind(runs)).await
}

/// Notes the runs of an event.
pub(crate) async fn mark_started(work: &mut Work<'_>, id: &str, runs: Vec<EventRun>) -> Result<()> {
    mark_all_started(work, HashMap::from([(id.to_owned(), runs)])).await
}

/// Events with one of these names that have started nothing, oldest first.
pub(crate) async fn idle_events(
    work: &mut Work<'_>,
    names: &[String],
    limit: usize,
) -> Result<Vec<StoredEvent>> {
    let idle = work.query(include_str!("../queries/idle_events.sql")).bind(names.to_vec()).bind(size(limit));
    idle.fetch_all(&mut *work.connection).await?.iter().map(stored_event).collect()
}

/// A page of events, newest first.
pub(crate) async fn list_events(work: &mut Work<'_>, filter: &EventFilter) -> Result<Vec<ListedEvent>> {
    let query = match &filter.id {
        Some(id) => {
            work.query("SELECT id, name, received_at, runs FROM riqle.events WHERE id = $1").bind(id.clone())
        }
        None => work
            .query(include_str!("../queries/list_events.sql"))
            .bind(filter.name.clone())
            .bind(filter.before.clone())
            .bind(size(filter.looked_at()))
            .bind(size(filter.page_size())),
    };
    let listed = |row: &PgRow| {
        Ok(ListedEvent {
            id: get(row, "id")?,
            name: get(row, "name")?,
            received_at: time(row, "received_at")?,
            runs: runs(row)?,
        })
    };
    let rows = query.fetch_all(&mut *work.connection).await?;
    let mut events = rows.iter().map(listed).collect::<Result<Vec<ListedEvent>>>()?;
    events.retain(|event| filter.name.as_ref().is_none_or(|name| *name == event.name));
    Ok(events)
}

fn runs(row: &PgRow) -> Result<Vec<EventRun>> {
    match get::<Option<&str>>(row, "runs")? {
        Some(_) => json(row, "runs"),
        None => Ok(Vec::new()),
    }
}

fn stored_event(row: &PgRow) -> Result<StoredEvent> {
    let event = NewEvent {
        id: get(row, "id")?,
        name: get(row, "name")?,
        data: payload(row, "codec", "data")?,
        due_at: maybe_time(row, "due_at")?,
        id_kept: Duration::from_millis(get_count(row, "id_kept")?),
        trace: trace(row)?,
    };
    Ok(StoredEvent { event, received_at: time(row, "received_at")?, runs: runs(row)? })
}
