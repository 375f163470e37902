use std::{
    io::IsTerminal,
    net::SocketAddr,
    time::{Duration, Instant},
};

use riqle_jobs::{Run, RunState, testing::Moment};

use crate::{config::Config, routes::DASHBOARD};

/// What the shop shows on the terminal; colours only there.
pub struct Printer {
    colours: bool,
    started: Instant,
}

impl Printer {
    pub fn new() -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colours, started: Instant::now() }
    }

    pub fn start(&self, config: &Config, address: SocketAddr) {
        println!("{}", self.bold("The Riqle shop"));
        println!("  listens on  http://{address}");
        println!("  dashboard:  http://{address}{DASHBOARD}");
        println!("  runs are in {}", without_password(&config.jobs_url));
        println!("  emails go to {}", without_password(&config.mail_url));
        if let Some(folder) = &config.folder {
            println!("  this start made the folder {}", folder.display());
        }
    }

    pub fn scene(&self, title: &str) {
        println!("\n{}", self.bold(title));
    }

    /// A line of a run's timeline, as it happens.
    pub fn moment(&self, run: &Run, moment: &Moment, enqueued: riqle_jobs::Timestamp) {
        let since = Duration::try_from(moment.at.duration_since(enqueued)).unwrap_or_default();
        let record = run
            .attempts
            .iter()
            .find(|record| record.ended_at == moment.at && moment.state != RunState::Running);
        let note = match (moment.state, record) {
            (RunState::Pending, None) => "enqueued".to_owned(),
            (RunState::Pending, Some(record)) => {
                let delay = record.delay.unwrap_or_default();
                format!("again in {delay:?}: {}", first_line(record.error.as_deref()))
            }
            (RunState::Dead, _) => format!("a dead letter: {}", first_line(run.error())),
            (RunState::Succeeded, _) => "the email is out".to_owned(),
            _ => String::new(),
        };
        let state = format!("{:<9}", moment.state);
        let state = match moment.state {
            RunState::Succeeded => self.paint("32", &state),
            RunState::Dead => self.paint("31", &state),
            RunState::Running => self.paint("36", &state),
            _ => state,
        };
        let line = format!("  {:>6.3} s  {state}  attempt {}  {note}", since.as_secs_f64(), moment.attempt);
        println!("{}", line.trim_end());
    }

    pub fn line(&self, text: &str) {
        println!("  {text}");
    }

    pub fn end(&self) {
        println!(
            "\nNo run is pending, running or waiting; done after {:.1} s.",
            self.started.elapsed().as_secs_f64()
        );
    }

    pub fn stays_up(&self, address: SocketAddr) {
        println!("\nThe shop stays up; look at its runs at http://{address}{DASHBOARD}; Ctrl-C ends it.");
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn first_line(text: Option<&str>) -> &str {
    text.and_then(|text| text.lines().next()).unwrap_or_default()
}

fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 < at => format!("{}…{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}
