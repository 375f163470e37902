//! Which schedules a job's code declares, while workers of several builds live.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;

/// A build whose workers have not declared for so long has none.
const GONE_AFTER: Duration = Duration::from_secs(3 * 60);
/// How old the time may be at which a build was last seen.
const NOTED_EVERY: Duration = Duration::from_secs(45);
/// For how long a build is remembered, so that its return is no news.
const REMEMBERED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The most builds that are remembered.
const MOST_REMEMBERED: usize = 20;

/// What the builds of an application declare for a job. It is stored under an empty name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Declarations {
    builds: Vec<Build>,
    /// The names of the schedules that stand for a declaration.
    pub(crate) names: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Build {
    text: String,
    first_seen: Timestamp,
    last_seen: Timestamp,
}

impl Declarations {
    /// Notes what a worker declares. Answers whether that is in force: of the builds that have workers, the one that was first
    /// seen last. So neither an old worker in the middle of a deploy nor its restart changes anything, and a rollback does once
    /// the last new worker is gone.
    pub(crate) fn see(&mut self, text: &str, now: Timestamp) -> bool {
        match self.builds.iter_mut().find(|build| build.text == text) {
            Some(build) => build.last_seen = now,
            None => {
                self.builds.push(Build { text: text.to_owned(), first_seen: now, last_seen: now });
            }
        }
        self.builds.retain(|build| clock::later(build.last_seen, REMEMBERED_FOR) > now);
        if self.builds.len() > MOST_REMEMBERED {
            self.builds.sort_by_key(|build| build.last_seen);
            self.builds.remove(0);
        }
        let with_workers = self.builds.iter().filter(|build| clock::later(build.last_seen, GONE_AFTER) > now);
        with_workers.max_by_key(|build| build.first_seen).is_some_and(|build| build.text == text)
    }

    /// Whether only times of builds differ, by less than is worth a write.
    pub(crate) fn differs_little_from(&self, before: &Self) -> bool {
        let is_near = |(now, then): (&Build, &Build)| {
            now.text == then.text && clock::later(then.last_seen, NOTED_EVERY) > now.last_seen
        };
        self.names == before.names
            && self.builds.len() == before.builds.len()
            && self.builds.iter().zip(&before.builds).all(is_near)
    }
}
