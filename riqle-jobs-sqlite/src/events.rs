use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use riqle_jobs_core::{
    NewRun, from_millis, millis_of,
    store::{EventStart, NewEvent, StoredEvent},
};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    enqueue::{enqueue, index, position},
    error::Result,
    lanes::Lanes,
    rows::{Query, for_each, get, get_count, maybe_time, millis, payload, time},
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
    let mut started: HashMap<String, u32> = HashMap::new();
    for (start, stored) in starts.iter().zip(&stored).filter(|(_, stored)| stored.started == 0) {
        let of_event = EventStart::clone(start).runs_for(stored);
        if !of_event.is_empty() && !started.contains_key(&stored.event.id) {
            started.insert(stored.event.id.clone(), u32::try_from(of_event.len()).unwrap_or(u32::MAX));
            runs.extend(of_event);
        }
    }
    let mut queues = BTreeSet::new();
    for answers in enqueue(connection, lanes, &[&runs], now).await? {
        let answers = answers?;
        let new = runs.iter().zip(answers).filter(|(_, answer)| answer.is_new());
        queues.extend(new.map(|(run, _)| run.queue.clone()));
    }
    let marked: Vec<_> = started.iter().map(|(id, runs)| (id.clone(), *runs)).collect();
    mark_started(connection, &marked).await?;
    for stored in &mut stored {
        stored.started = started.get(&stored.event.id).copied().unwrap_or(stored.started);
    }
    Ok((stored, queues))
}

/// Counts runs as started by events.
pub(crate) async fn mark_started(connection: &mut SqliteConnection, started: &[(String, u32)]) -> Result<()> {
    let template = include_str!("../queries/mark_started.sql");
    let row = |query: Query<'static>, _, (id, runs): &(String, u32)| query.bind(id.clone()).bind(*runs);
    for_each(connection, template, |query| query, started, row).await.map(drop)
}

pub(crate) fn stored_event(row: &SqliteRow) -> Result<StoredEvent> {
    let event = NewEvent {
        id: get(row, "id")?,
        name: get(row, "name")?,
        data: payload(row, "codec", "data")?,
        due_at: maybe_time(row, "due_at")?,
        id_kept: Duration::from_millis(get_count(row, "id_kept")?),
    };
    Ok(StoredEvent { event, received_at: time(row, "received_at")?, started: get(row, "started")? })
}
