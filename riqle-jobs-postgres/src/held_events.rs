//! Stores events while open transactions hold some of them, or unique keys of their runs.

use std::{ops::Range, time::Instant};

use riqle_jobs_core::{
    Error, ErrorKind,
    store::{EventStart, NewEvent, StoredEvent},
};

use crate::{
    Postgres,
    batches::{FREE_WITHIN, HARDLY_WAIT, LOOK_AGAIN, WAIT_A_MOMENT},
    enqueue::Within,
    error::HeldUp,
    events::{start_events, store_events},
};

impl Postgres {
    /// Stores events, all or none. One that an open transaction has is waited for, with nothing locked meanwhile.
    pub(crate) async fn store_all_events(&self, events: Vec<NewEvent>) -> Result<Vec<StoredEvent>, Error> {
        let begun = Instant::now();
        loop {
            let stored = self
                .change("store_events", &events, |work, events| {
                    Box::pin(async move {
                        work.query(WAIT_A_MOMENT).execute(&mut *work.connection).await?;
                        store_events(work, events).await
                    })
                })
                .await;
            match stored {
                Err(error) if HeldUp::is_cause_of(&error) && begun.elapsed() < FREE_WITHIN => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(error) if HeldUp::is_cause_of(&error) => return Err(held_up("store_events", None)),
                stored => return stored,
            }
        }
    }

    /// Stores events with their runs, all or none. Where an open transaction has some of them, or the unique keys of their
    /// runs, the others are stored without these, which are waited for.
    pub(crate) async fn start_all_events(&self, events: Vec<EventStart>) -> Result<Vec<StoredEvent>, Error> {
        let begun = Instant::now();
        let mut stored: Vec<Option<StoredEvent>> = vec![None; events.len()];
        // The next part last.
        let mut parts: Vec<Range<usize>> = std::iter::once(0..events.len()).collect();
        let mut held: Vec<Range<usize>> = Vec::new();
        loop {
            while let Some(part) = parts.pop() {
                match self.start_part(&events, part.clone()).await {
                    Ok(answers) => {
                        for (place, answer) in stored[part].iter_mut().zip(answers) {
                            *place = Some(answer);
                        }
                    }
                    Err(error) if !HeldUp::is_cause_of(&error) => return Err(error),
                    // So many are held that each can't be found in time.
                    Err(_) if part.len() > 1 && begun.elapsed() >= FREE_WITHIN => {
                        return Err(held_up("start_events", None));
                    }
                    // Halved until the one that is held stands alone.
                    Err(_) if part.len() > 1 => {
                        let middle = part.start + part.len() / 2;
                        parts.extend([middle..part.end, part.start..middle]);
                    }
                    Err(_) => held.push(part),
                }
            }
            match held.first() {
                None => return Ok(stored.into_iter().flatten().collect()),
                Some(first) if begun.elapsed() >= FREE_WITHIN => {
                    return Err(held_up("start_events", Some(&events[first.start].event.id)));
                }
                Some(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
            parts.extend(held.drain(..).rev());
        }
    }

    async fn start_part(&self, events: &[EventStart], part: Range<usize>) -> Result<Vec<StoredEvent>, Error> {
        let is_whole = part.len() == events.len();
        // Whoever waits leaves connections to the others. Never closed.
        let _turn = if is_whole { None } else { self.shared.batches.alone.acquire().await.ok() };
        let wait = if is_whole { WAIT_A_MOMENT } else { HARDLY_WAIT };
        self.change("start_events", &(&events[part], wait), |work, (events, wait)| {
            Box::pin(async move {
                work.query(wait).execute(&mut *work.connection).await?;
                start_events(work, Within::Ours, events).await
            })
        })
        .await
    }
}

fn held_up(operation: &'static str, id: Option<&str>) -> Error {
    let what = id.map_or("one of the events".to_owned(), |id| format!("the event {id:?}"));
    let message = format!("an open transaction holds {what}, or a unique key of its runs");
    Error::new(ErrorKind::Unavailable, operation, message)
}
