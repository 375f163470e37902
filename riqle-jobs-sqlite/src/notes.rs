//! Progress and log lines of runs.

use std::collections::{HashMap, HashSet};

use riqle_jobs_core::{
    LeaseAnswer, LeaseToken, RunId,
    limits::LINES_KEPT,
    store::{LogLine, LoggedLine, Note, Progress, RunNotes, rules::Fence},
};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    enqueue::index,
    error::Result,
    fence::fences,
    rows::{Query, count, for_each, for_ids, get, get_count, millis, run_id, time, word},
    writer::Write,
};

/// Keeps what the bodies say whose lease still holds.
pub(crate) async fn annotate(write: &mut Write, notes: &[Note]) -> Result<Vec<LeaseAnswer>> {
    let leases: Vec<_> = notes.iter().map(|note| &note.lease).collect();
    let fences = fences(&mut write.connection, &leases).await?;
    let held: Vec<&Note> = notes
        .iter()
        .zip(&fences)
        .filter(|(_, fence)| **fence == Fence::Holds)
        .map(|(note, _)| note)
        .collect();
    set_progress(&mut write.connection, &held).await?;
    add_lines(write, &held).await?;
    Ok(fences.into_iter().map(Fence::answer).collect())
}

async fn set_progress(connection: &mut SqliteConnection, notes: &[&Note]) -> Result<()> {
    let progress: Vec<_> =
        notes.iter().filter_map(|note| Some((note.lease.run, note.progress.as_ref()?))).collect();
    let row = |query: Query<'static>, _, (run, progress): &(RunId, &Progress)| {
        query
            .bind(run.as_uuid())
            .bind(count(progress.done))
            .bind(count(progress.total))
            .bind(progress.text.clone())
    };
    let template = include_str!("../queries/set_progress.sql");
    for_each(connection, template, |query| query, &progress, row).await.map(drop)
}

async fn add_lines(write: &mut Write, notes: &[&Note]) -> Result<()> {
    let runs: HashSet<RunId> =
        notes.iter().filter(|note| !note.lines.is_empty()).map(|note| note.lease.run).collect();
    let runs: Vec<_> = runs.into_iter().collect();
    let mut newest = newest_lines(&mut write.connection, &runs).await?;
    let mut new: Vec<(&Note, &LogLine)> = Vec::new();
    for note in notes {
        for line in &note.lines {
            let claim = note.lease.token;
            let known = newest.insert(note.lease.run, (claim, line.number));
            match known {
                Some((token, number)) if token == claim && line.number <= number => {
                    newest.insert(note.lease.run, (token, number));
                }
                _ => new.push((note, line)),
            }
        }
    }
    let row = |query: Query<'static>, _, (note, line): &(&Note, &LogLine)| {
        query
            .bind(note.lease.run.as_uuid())
            .bind(note.lease.token.as_uuid())
            .bind(line.number)
            .bind(line.level.as_str())
            .bind(line.text.clone())
    };
    let template = include_str!("../queries/add_lines.sql");
    let now = millis(write.now);
    for_each(&mut write.connection, template, |query| query.bind(now), &new, row).await?;
    let template = include_str!("../queries/trim_lines.sql");
    let row = |query: Query<'static>, _, run: &RunId| query.bind(run.as_uuid());
    for_each(&mut write.connection, template, |query| query.bind(index(LINES_KEPT)), &runs, row)
        .await
        .map(drop)
}

async fn newest_lines(
    connection: &mut SqliteConnection,
    runs: &[RunId],
) -> Result<HashMap<RunId, (LeaseToken, u32)>> {
    let rows = for_ids(connection, include_str!("../queries/newest_lines.sql"), runs).await?;
    let newest =
        |row| Ok((run_id(row, "run")?, (LeaseToken::from_uuid(get(row, "token")?), get(row, "line")?)));
    rows.iter().map(newest).collect()
}

/// The notes of a run's bodies.
pub(crate) async fn read_notes(connection: &mut SqliteConnection, id: RunId) -> Result<RunNotes> {
    let progress = sqlx::query("SELECT * FROM riqle_progress WHERE run = ?1")
        .bind(id.as_uuid())
        .fetch_optional(&mut *connection)
        .await?;
    let lines = sqlx::query("SELECT * FROM riqle_log_lines WHERE run = ?1 ORDER BY number")
        .bind(id.as_uuid())
        .fetch_all(connection)
        .await?;
    Ok(RunNotes {
        progress: progress.as_ref().map(shown_progress).transpose()?,
        lines: lines.iter().map(shown_line).collect::<Result<_>>()?,
    })
}

fn shown_progress(row: &SqliteRow) -> Result<Progress> {
    Ok(Progress { done: get_count(row, "done")?, total: get_count(row, "total")?, text: get(row, "text")? })
}

fn shown_line(row: &SqliteRow) -> Result<LoggedLine> {
    Ok(LoggedLine {
        at: time(row, "at")?,
        attempt: get(row, "attempt")?,
        level: word(row, "level")?,
        text: get(row, "text")?,
    })
}
