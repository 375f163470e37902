//! Progress and log lines of runs.

use std::collections::{HashMap, HashSet};

use riqle_jobs_core::{
    LeaseAnswer, LeaseRef, LeaseToken, RunId,
    limits::LINES_KEPT,
    store::{LogLine, LoggedLine, Note, Progress, RunNotes, rules::Fence},
};
use sqlx::postgres::PgRow;

use crate::{
    error::Result,
    fence::{answers, hold},
    rows::{count, get, get_count, get_u32, position, run_id, size, time, word},
    work::Work,
};

/// Keeps what the bodies say whose lease still holds.
pub(crate) async fn annotate(work: &mut Work<'_>, notes: &[Note]) -> Result<Vec<LeaseAnswer>> {
    let leases: Vec<&LeaseRef> = notes.iter().map(|note| &note.lease).collect();
    let held = hold(work, &leases).await?;
    let mut places = held.iter().map(position).collect::<Result<Vec<_>>>()?;
    places.sort_unstable();
    let noted: Vec<&Note> = places.into_iter().filter_map(|place| notes.get(place)).collect();
    set_progress(work, &noted).await?;
    add_lines(work, &noted).await?;
    answers(work, &leases, &held, Fence::answer).await
}

async fn set_progress(work: &mut Work<'_>, notes: &[&Note]) -> Result<()> {
    let progress: Vec<(RunId, &Progress)> =
        notes.iter().filter_map(|note| Some((note.lease.run, note.progress.as_ref()?))).collect();
    if progress.is_empty() {
        return Ok(());
    }
    Ok(work
        .query(include_str!("../queries/set_progress.sql"))
        .bind(progress.iter().map(|(run, _)| run.as_uuid()).collect::<Vec<_>>())
        .bind(progress.iter().map(|(_, progress)| count(progress.done)).collect::<Vec<_>>())
        .bind(progress.iter().map(|(_, progress)| count(progress.total)).collect::<Vec<_>>())
        .bind(progress.iter().map(|(_, progress)| progress.text.clone()).collect::<Vec<_>>())
        .execute(&mut *work.connection)
        .await
        .map(drop)?)
}

async fn add_lines(work: &mut Work<'_>, notes: &[&Note]) -> Result<()> {
    let runs: HashSet<RunId> =
        notes.iter().filter(|note| !note.lines.is_empty()).map(|note| note.lease.run).collect();
    if runs.is_empty() {
        return Ok(());
    }
    let runs: Vec<_> = runs.iter().map(RunId::as_uuid).collect();
    let mut newest = newest_lines(work, runs.clone()).await?;
    let mut new: Vec<(&Note, &LogLine)> = Vec::new();
    for note in notes {
        for line in &note.lines {
            let (run, token) = (note.lease.run, note.lease.token);
            let is_known = |(claim, number): &(LeaseToken, u32)| *claim == token && line.number <= *number;
            if !newest.get(&run).is_some_and(is_known) {
                newest.insert(run, (token, line.number));
                new.push((note, line));
            }
        }
    }
    work.timed(include_str!("../queries/add_lines.sql"))
        .bind(new.iter().map(|(note, _)| note.lease.run.as_uuid()).collect::<Vec<_>>())
        .bind(new.iter().map(|(note, _)| note.lease.token.as_uuid()).collect::<Vec<_>>())
        .bind(new.iter().map(|(_, line)| i64::from(line.number)).collect::<Vec<_>>())
        .bind(new.iter().map(|(_, line)| line.level.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|(_, line)| line.text.clone()).collect::<Vec<_>>())
        .execute(&mut *work.connection)
        .await?;
    Ok(work
        .query(include_str!("../queries/trim_lines.sql"))
        .bind(runs)
        .bind(size(LINES_KEPT))
        .execute(&mut *work.connection)
        .await
        .map(drop)?)
}

async fn newest_lines(
    work: &mut Work<'_>,
    runs: Vec<uuid::Uuid>,
) -> Result<HashMap<RunId, (LeaseToken, u32)>> {
    let newest = work.query(include_str!("../queries/newest_lines.sql")).bind(runs);
    let newest_of = |row: &PgRow| {
        Ok((run_id(row, "run")?, (LeaseToken::from_uuid(get(row, "token")?), get_u32(row, "line")?)))
    };
    newest.fetch_all(&mut *work.connection).await?.iter().map(newest_of).collect()
}

/// The notes of a run's bodies.
pub(crate) async fn read_notes(work: &mut Work<'_>, id: RunId) -> Result<RunNotes> {
    let progress = work.query("SELECT * FROM riqle.progress WHERE run = $1").bind(id.as_uuid());
    let progress = progress.fetch_optional(&mut *work.connection).await?;
    let lines = work.query("SELECT * FROM riqle.log_lines WHERE run = $1 ORDER BY number").bind(id.as_uuid());
    let lines = lines.fetch_all(&mut *work.connection).await?;
    Ok(RunNotes {
        progress: progress.as_ref().map(shown_progress).transpose()?,
        lines: lines.iter().map(shown_line).collect::<Result<_>>()?,
    })
}

fn shown_progress(row: &PgRow) -> Result<Progress> {
    Ok(Progress { done: get_count(row, "done")?, total: get_count(row, "total")?, text: get(row, "text")? })
}

fn shown_line(row: &PgRow) -> Result<LoggedLine> {
    Ok(LoggedLine {
        at: time(row, "at")?,
        attempt: get_u32(row, "attempt")?,
        level: word(row, "level")?,
        text: get(row, "text")?,
    })
}
