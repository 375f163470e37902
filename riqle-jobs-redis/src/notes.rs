//! Progress and log lines of runs.

use riqle_jobs_core::{
    Error, LeaseAnswer, LogLevel, from_millis,
    limits::LINES_KEPT,
    store::{LoggedLine, Note, Progress, RunNotes, rules::Fence},
};

use crate::{
    Redis,
    frame::{Frame, Reader, corrupt, text},
    queue::{answers, id_and_token},
    script::ANNOTATE,
};

impl Redis {
    /// Keeps what bodies of runs of one queue say, whose lease still holds.
    pub(crate) async fn annotate_of(
        &self,
        queue: &str,
        notes: Vec<&Note>,
    ) -> Result<Vec<LeaseAnswer>, Error> {
        let mut arguments = vec![self.frozen(), LINES_KEPT.to_string().into_bytes()];
        for note in notes {
            arguments.push(id_and_token(&note.lease));
            arguments.push(note.progress.as_ref().map(progress_bytes).unwrap_or_default());
            arguments.push(note.lines.len().to_string().into_bytes());
            for line in &note.lines {
                arguments.push(line.number.to_string().into_bytes());
                let mut rest = Frame::default();
                rest.word(line.level.as_str()).raw(line.text.as_bytes());
                arguments.push(rest.0);
            }
        }
        let annotated = self.call("annotate", &ANNOTATE, queue, arguments).await?;
        answers(annotated, Fence::answer)
    }
}

fn progress_bytes(progress: &Progress) -> Vec<u8> {
    let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
    let mut bytes = Frame::default();
    bytes.long(count(progress.done)).long(count(progress.total)).raw(progress.text.as_bytes());
    bytes.0
}

/// The notes of a run's bodies.
pub(crate) fn notes(progress: Option<Vec<u8>>, lines: Vec<Vec<u8>>) -> Result<RunNotes, Error> {
    Ok(RunNotes {
        progress: progress.map(|bytes| shown_progress(&bytes)).transpose()?,
        lines: lines.iter().map(|line| shown_line(line)).collect::<Result<_, _>>()?,
    })
}

fn shown_progress(bytes: &[u8]) -> Result<Progress, Error> {
    let mut reader = Reader(bytes);
    let mut count = || reader.long().map(i64::unsigned_abs);
    let (done, total) = (count()?, count()?);
    Ok(Progress { done, total, text: text(reader.rest())? })
}

fn shown_line(bytes: &[u8]) -> Result<LoggedLine, Error> {
    let mut reader = Reader(bytes);
    let (at, attempt) = (from_millis(reader.long()?), reader.number()?);
    let level: LogLevel = reader.word()?.parse().map_err(|_| corrupt("a log line has an unknown level"))?;
    Ok(LoggedLine { at, attempt, level, text: text(reader.rest())? })
}
