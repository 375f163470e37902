//! The command line of riqle-jobs: what its binary does, for its tests.
//!
//! Each command reads its arguments, asks core, and prints: a table on a terminal, lines with tabs elsewhere, one JSON object a
//! line with `--json`. What changes something is core's [`Operator`](riqle_jobs::operator::Operator), as in the dashboard.

mod act;
mod arguments;
mod care;
mod console;
mod context;
mod failure;
mod interruption;
mod look;
mod print;
mod selection;
mod times;
mod top;

use std::{
    ffi::OsString,
    io::{self, Write},
};

use clap::Parser;
use riqle_jobs::operator::RunAction;

pub use self::console::Console;
use self::{
    arguments::{Arguments, Command},
    context::Context,
    failure::{Failure, USAGE},
    print::in_one_line,
};

/// Where log lines go: to standard error, unless a live screen is on the terminal.
pub fn log_writer() -> Box<dyn Write> {
    if top::is_shown() { Box::new(io::sink()) } else { Box::new(io::stderr()) }
}

/// Does what the arguments say, the first of which is the program's name, and returns the exit code: 0 done, 1 refused,
/// 2 usage, 3 not found, 4 store unavailable, 5 check failed.
pub async fn run(arguments: impl IntoIterator<Item = OsString>, console: &mut Console) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let is_asked_for = !error.use_stderr();
            let text = if console.has_colors() {
                error.render().ansi().to_string()
            } else {
                error.render().to_string()
            };
            if is_asked_for {
                return console.say(&text).map_or_else(|failure| failure.code, |()| 0);
            }
            console.warn(&text);
            return USAGE;
        }
    };
    let ended = carry_out(parsed, &arguments, console).await;
    match ended {
        Ok(()) => 0,
        Err(failure) => {
            if !failure.text.is_empty() {
                for (number, line) in failure.text.lines().enumerate() {
                    let name = if number == 0 { "riqle-jobs: " } else { "" };
                    console.warn(&format!("{name}{}\n", in_one_line(line)));
                }
            }
            failure.code
        }
    }
}

async fn carry_out(arguments: Arguments, given: &[OsString], console: &mut Console) -> Result<(), Failure> {
    let needs_no_store = match &arguments.command {
        Command::Completions { shell } => Some(care::completions(*shell, console)),
        Command::Man { folder } => Some(care::man(folder)),
        _ => None,
    };
    if let Some(done) = needs_no_store {
        return done;
    }
    let mut context = Context::new(arguments.common, given, console)?;
    match arguments.command {
        Command::Migrate(asked) => return care::migrate(asked, &mut context).await,
        Command::Status => look::status(&mut context).await,
        Command::Top { every } => top::top(&every, &mut context).await,
        Command::Queues => look::queues(&mut context).await,
        Command::Workers => look::workers(&mut context).await,
        Command::Jobs => look::jobs(&mut context).await,
        Command::Runs(asked) => look::runs(asked, &mut context).await,
        Command::Emails(asked) => look::emails(asked, &mut context).await,
        Command::Events(asked) => look::events(asked, &mut context).await,
        Command::Audit(asked) => look::audit(asked, &mut context).await,
        Command::Enqueue(asked) => act::enqueue(asked, &mut context).await,
        Command::SendEvent(asked) => act::send_event(asked, &mut context).await,
        Command::Cancel(asked) => act::on_runs(asked, RunAction::Cancel, &mut context).await,
        Command::RunNow(asked) => act::on_runs(asked, RunAction::RunNow, &mut context).await,
        Command::Pause { queue, why } => act::pause(&queue, &why, &mut context).await,
        Command::Resume { queue } => act::resume(&queue, &mut context).await,
        Command::Drain { worker, undo } => act::drain(&worker, undo, &mut context).await,
        Command::Schedules(asked) => act::schedules(asked, &mut context).await,
        Command::Dead(asked) => act::dead(asked, &mut context).await,
        Command::Doctor => care::doctor(&mut context).await,
        Command::Prune(asked) => care::prune(asked, &mut context).await,
        Command::Export { run } => care::export(&run, &mut context).await,
        Command::Metrics => care::metrics(&mut context).await,
        Command::Dashboard(asked) => care::dashboard(asked, &mut context).await,
        Command::Completions { .. } | Command::Man { .. } => Ok(()),
    }
}
