//! Events: how they are stored, start runs, and are listed.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;
use riqle_jobs_core::{
    NewRun, from_millis, millis_of,
    store::{EventFilter, EventRun, EventStart, ListedEvent, NewEvent, StoredEvent},
};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    enqueue::{enqueue, index, position},
    error::Result,
    lanes::Lanes,
    rows::{Query, for_each, get, get_count, json, maybe_time, millis, payload, time, trace},
};

/// Stores events; returns what is stored under each id.
pub(crate) async fn store_events(
    connection: &mut SqliteConnection,
    events: &[&NewEvent],
    now: Timestamp,
) -> Result<Vec<StoredEvent>> {
    let now = millis(now);
    let id = |query: Query<'static>, _, event: &&NewEvent| query.bind(event.id.clone());
    let template = include_str!("../queries/forget_events.sql");
    for_each(connection, template, |query| query.bind(now), events, id).await?;
    let row = |query: Query<'static>, _, event: &&NewEvent| {
        query
            .bind(event.id.clone())
            .bind(event.name.clone())
            .bind(event.due_at.map(|time| millis(from_millis(millis(time)))))
            .bind(millis_of(event.id_kept))
            .bind(event.trace.as_ref().map(|trace| trace.as_str().to_owned()))
            .bind(event.data.codec.0)
            .bind(event.data.bytes.clone())
    };
    let template = include_str!("../queries/store_events.sql");
    for_each(connection, template, |query| query.bind(now), events, row).await?;
    let numbered = |query: Query<'static>, n, event: &&NewEvent| query.bind(index(n)).bind(event.id.clone());
    let template = include_str!("../queries/stored_events.sql");
    let rows = for_each(connection, template, |query| query, events, numbered).await?;
    let mut stored =
        rows.iter().map(|row| Ok((position(row)?, stored_event(row)?))).collect::<Result<Vec<_>>>()?;
    stored.sort_unstable_by_key(|(n, _)| *n);
    Ok(stored.into_iter().map(|(_, stored)| stored).collect())
}

/// Stores events with the runs of those that have started none, whose checks have passed. Returns what is stored
/// under each id, and the queues in which runs are new.
pub(crate) async fn start_events(
    connection: &mut SqliteConnection,
    lanes: &mut Lanes,
    starts: &[&EventStart],
    now: Timestamp,
) -> Result<(Vec<StoredEvent>, BTreeSet<String>)> {
    let events: Vec<_> = starts.iter().map(|start| &start.event).collect();
    let mut stored = store_events(connection, &events, now).await?;
    let mut runs: Vec<NewRun> = Vec::new();
    let mut started = HashSet::new();
    for (start, stored) in starts.iter().zip(&stored) {
        let of_event = start.runs_for(stored);
        // The list may name it twice.
        if !of_event.is_empty() && started.insert(stored.event.id.clone()) {
            runs.extend(of_event);
        }
    }
    let mut queues = BTreeSet::new();
    let mut of_events: HashMap<String, Vec<EventRun>> = HashMap::new();
    for answers in enqueue(connection, lanes, &[&runs], now).await? {
        for (run, answer) in runs.iter().zip(answers?) {
            if answer.is_new() {
                queues.insert(run.queue.clone());
            }
            let id = run.event_id.clone().unwrap_or_default();
            EventRun::of(run, answer).file_in(of_events.entry(id).or_default());
        }
    }
    let marked: Vec<_> = of_events.iter().map(|(id, runs)| (id.clone(), runs.clone())).collect();
    mark_started(connection, &marked).await?;
    for stored in &mut stored {
        if let Some(runs) = of_events.get(&stored.event.id) {
            stored.runs.clone_from(runs);
        }
    }
    Ok((stored, queues))
}

/// Notes the runs of events.
pub(crate) async fn mark_started(
    connection: &mut SqliteConnection,
    started: &[(String, Vec<EventRun>)],
) -> Result<()> {
    let template = include_str!("../queries/mark_started.sql");
    let row = |query: Query<'static>, _, (id, runs): &(String, Vec<EventRun>)| {
        let runs = (!runs.is_empty()).then(|| serde_json::json!(runs).to_string());
        query.bind(id.clone()).bind(runs)
    };
    for_each(connection, template, |query| query, started, row).await.map(drop)
}

/// A page of events, newest first.
pub(crate) async fn list_events(
    connection: &mut SqliteConnection,
    filter: &EventFilter,
) -> Result<Vec<ListedEvent>> {
    let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    let rows = match &filter.id {
        Some(id) => {
            sqlx::query("SELECT id, name, received_at, runs FROM riqle_events WHERE id = ?1").bind(id)
        }
        None => sqlx::query(include_str!("../queries/list_events.sql"))
            .bind(&filter.name)
            .bind(&filter.before)
            .bind(size(filter.looked_at()))
            .bind(size(filter.page_size())),
    };
    let listed = |row: &SqliteRow| {
        Ok(ListedEvent {
            id: get(row, "id")?,
            name: get(row, "name")?,
            received_at: time(row, "received_at")?,
            runs: runs(row)?,
        })
    };
    let mut events =
        rows.fetch_all(connection).await?.iter().map(listed).collect::<Result<Vec<ListedEvent>>>()?;
    events.retain(|event| filter.name.as_ref().is_none_or(|name| *name == event.name));
    Ok(events)
}

fn runs(row: &SqliteRow) -> Result<Vec<EventRun>> {
    match get::<Option<String>>(row, "runs")? {
        Some(_) => json(row, "runs"),
        None => Ok(Vec::new()),
    }
}

pub(crate) fn stored_event(row: &SqliteRow) -> Result<StoredEvent> {
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
