//! `top`: the store on one screen, kept up to date.

mod reading;
mod screen;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt;
use ratatui::DefaultTerminal;
use tokio::time::sleep;

use self::{reading::Reading, screen::Screen};
use crate::{context::Context, failure::Failure, interruption::interruption, times::pause};

/// Shows the store until somebody quits; where nobody looks on a terminal, prints what there is to see once.
pub(crate) async fn top(every: &str, context: &mut Context<'_>) -> Result<(), Failure> {
    let every = pause("--every", every)?;
    if context.json {
        return Err(Failure::usage(
            "top has no JSON output; use status --json, queues --json and workers --json",
        ));
    }
    let jobs = context.jobs().await?;
    let store = jobs.store();
    let screen = Screen::new(Reading::of(&**store).await?, context.console.has_colors());
    if !context.console.is_terminal() {
        return context.console.say(&screen.text());
    }
    let interruption = interruption()?;
    let mut terminal = OwnScreen::take()?;
    let live = keep_up(screen, every, &mut terminal.0, || Reading::of(&**store));
    tokio::select! {
        ended = live => ended,
        () = interruption.stopping() => Ok(()),
    }
}

/// Looks again and again, and heeds keys meanwhile: a store that hangs keeps nobody from quitting.
async fn keep_up<R>(
    mut screen: Screen,
    every: Duration,
    terminal: &mut DefaultTerminal,
    read: impl Fn() -> R,
) -> Result<(), Failure>
where
    R: Future<Output = Result<Reading, riqle_jobs::Error>>,
{
    let mut keys = EventStream::new();
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        let mut is_read = false;
        let reading = async {
            sleep(every).await;
            read().await
        };
        tokio::pin!(reading);
        while !is_read {
            tokio::select! {
                reading = &mut reading => {
                    screen.took(reading);
                    is_read = true;
                }
                event = keys.next() => match event {
                    Some(Ok(Event::Key(key))) if quits(key) => return Ok(()),
                    Some(Ok(Event::Key(key))) => heed(&mut screen, key),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                    None => return Ok(()),
                },
            }
            terminal.draw(|frame| screen.draw(frame))?;
        }
    }
}

fn quits(key: KeyEvent) -> bool {
    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

fn heed(screen: &mut Screen, key: KeyEvent) {
    if key.kind == KeyEventKind::Release {
        return;
    }
    match key.code {
        KeyCode::Tab => screen.next_table(),
        KeyCode::Down | KeyCode::Char('j') => screen.scroll(1),
        KeyCode::Up | KeyCode::Char('k') => screen.scroll(-1),
        KeyCode::PageDown => screen.scroll(10),
        KeyCode::PageUp => screen.scroll(-10),
        _ => {}
    }
}

static IS_SHOWN: AtomicBool = AtomicBool::new(false);

/// Whether the terminal shows `top`, which a line of the log would spoil.
pub(crate) fn is_shown() -> bool {
    IS_SHOWN.load(Ordering::Relaxed)
}

/// The terminal, given back as it was when this is dropped.
struct OwnScreen(DefaultTerminal);

impl OwnScreen {
    fn take() -> Result<Self, Failure> {
        let taken = Self(ratatui::try_init()?);
        IS_SHOWN.store(true, Ordering::Relaxed);
        Ok(taken)
    }
}

impl Drop for OwnScreen {
    fn drop(&mut self) {
        IS_SHOWN.store(false, Ordering::Relaxed);
        // Where it is gone, nothing is left to give back.
        let _ = ratatui::try_restore();
    }
}
