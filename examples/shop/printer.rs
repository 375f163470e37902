use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use riqle_jobs::{Run, RunState, testing::Moment, web::security::Link};

use crate::{config::Config, routes::DASHBOARD};

/// What the shop shows on the terminal; colours only there. Standard output may be closed, as by `head`.
pub struct Printer {
    colours: bool,
    started: Instant,
    address: SocketAddr,
    /// If no operator is configured.
    link: Option<Link>,
}

impl Printer {
    pub fn new(address: SocketAddr, link: Option<Link>) -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colours, started: Instant::now(), address, link }
    }

    pub fn start(&self, config: &Config) {
        print(&self.bold("The Riqle shop"));
        self.line(&format!("listens on  http://{}", self.address));
        self.line(&format!("dashboard:  {}", self.dashboard()));
        self.line(&format!("runs are in {}", without_password(&config.jobs_url)));
        self.line(&format!("emails go to {}", without_password(&config.mail_url)));
        if let Some(folder) = &config.folder {
            self.line(&format!("this run created the folder {}", folder.display()));
        }
    }

    fn dashboard(&self) -> String {
        let page = format!("http://{}{DASHBOARD}", self.address);
        self.link.as_ref().map_or(page.clone(), |link| link.to(&page))
    }

    pub fn scene(&self, title: &str) {
        print(&format!("\n{}", self.bold(title)));
    }

    /// A line of a run's timeline, as it happens.
    pub fn moment(&self, run: &Run, moment: &Moment, enqueued: riqle_jobs::store::Timestamp) {
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
            (RunState::Succeeded, _) => "the email was sent".to_owned(),
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
        print(line.trim_end());
    }

    pub fn line(&self, text: &str) {
        print(&format!("  {text}"));
    }

    pub fn end(&self) {
        let took = self.started.elapsed().as_secs_f64();
        print(&format!("\nNo run is pending, running or waiting; done after {took:.1} s."));
    }

    pub fn stays_up(&self) {
        print(&format!("\nThe shop keeps running; see its runs at {} ; Ctrl-C stops it.", self.dashboard()));
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// If it can't be written, the shop continues.
pub fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
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
