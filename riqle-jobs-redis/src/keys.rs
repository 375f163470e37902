//! Every key, with its type. What belongs to a queue is under one hash tag, in one slot of a cluster; so do the
//! registry and the email log. A run's id is 16 bytes in keys, fields and members.
//!
//! Of a queue, after `riqle:{QUEUE}:` (`lua/` builds them too):
//!
//! | key | type | holds | stays after everything is pruned |
//! |---|---|---|---|
//! | `jobs` | set | the jobs that have runs here | no |
//! | `runs` | hash | id → what never changes: input, job, keys ([`Body`](crate::rows::Body)) | no |
//! | `states` | hash | id → what changes, from the first claim or the end on ([`State`](crate::rows::State)) | no |
//! | `due:PRIORITY:JOB` | sorted set | pending runs, and those whose lease was found to have run out, by due time | no |
//! | `held:JOB` | sorted set | running runs by the end of their lease | no |
//! | `expired:JOB` | sorted set | running runs that are in `due`, by the end of their lease | no |
//! | `open:JOB` | sorted set | ids of runs that have not ended, in their order | no |
//! | `succeeded:JOB`, `cancelled:JOB`, `dead:JOB`, `replayed:JOB` | sorted set | ids of ended runs, in their order | no |
//! | `ended`, `letters` | sorted set | ended runs, and dead letters, by their end | no |
//! | `group:NAME` | sorted set | dead letters of a job with the same fingerprint of their newest error, by their end | no |
//! | `groups` | sorted set | names of these: job and fingerprint, by their newest end, the last one first | no |
//! | `unique` | hash | job and unique key, also of an event → run, fingerprint, end of the period | no |
//! | `expiring` | sorted set | job and unique key by the end of their period | no |
//! | `references`, `keys` | sorted set | reference, unique key, each before an id | no |
//! | `errors:JOB` | sorted set | fingerprint of the newest error before an id, of runs that are no dead letters | no |
//! | `dead-errors:JOB` | sorted set | the same of dead letters; nothing before an id where there is no error | no |
//! | `steps:ID` | hash | number and name of a step → place, time, length, result | no |
//! | `notes:ID` | hash | progress; the newest line's claim and number | no |
//! | `lines:ID` | list | log lines | no |
//! | `schedules` | hash | job and name → a schedule: its version, whether the end of a run makes it due, when it is, the rest | until it is removed |
//! | `schedules:names` | sorted set | jobs and names in their order | until they are removed |
//! | `schedules:due:JOB` | sorted set | names by the time at which they are due | until they are removed |
//! | `schedules:waking` | set | jobs and names of those that the end of a run makes due | until it ends |
//! | `schedules:closed` | set | jobs and names of those that are on their way to another queue | until they are there |
//! | `scheduled` | hash | run → job and name of its schedule, until it ends | no |
//! | `live:JOB␀NAME` | sorted set | runs of a schedule that have not ended | no |
//! | `settings` | hash | the pause | while it lasts |
//! | `waited` | string | nothing; written before a `WAIT`, so that it waits for all before | yes |
//!
//! Of the registry, after `riqle:{%registry}:`:
//!
//! | key | type | holds | stays after everything is pruned |
//! |---|---|---|---|
//! | `queues` | set | every queue that ever had a run, a job or a pause | yes |
//! | `jobs` | hash | job → when it was seen, its declaration | yes |
//! | `workers` | hash | worker → when it began and was seen, its report | until it stops or is forgotten |
//! | `workers:orders` | hash | worker → what it was ordered | until it stops or is forgotten |
//! | `events` | hash | event → when it came, its number, name, runs, data | no |
//! | `events:received` | sorted set | events by the time they came | no |
//! | `events:idle:NAME` | sorted set | idle events, by number | no |
//! | `events:next` | hash | the newest number | yes |
//! | `metrics` | hash | span of time, worker and job → what they counted | no |
//! | `metrics:of:SPAN` | sorted set | its fields with spans of one length, by their start | no |
//! | `actions` | hash | action → when it was first and last recorded, what it is | no |
//! | `actions:ids` | sorted set | ids of actions in their order | no |
//! | `actions:recorded` | sorted set | the same by their first record | no |
//! | `layout` | string | the number of the layout that these tables describe | yes |
//!
//! Of the email log, after `riqle:{%email}:`:
//!
//! | key | type | holds | stays after everything is pruned |
//! |---|---|---|---|
//! | `rows` | hash | id → the email, its sender, its events | while it is pending |
//! | `messages` | hash | id → the bytes that are sent | with the rows |
//! | `ids` | sorted set | ids in their order | with the rows |
//! | `by` | hash | idempotency key, message ids → id | with the rows |
//! | `lists` | sorted set | status, detail, reference, run, canonical recipient, each before an id | with the rows |
//! | `done` | sorted set | emails that are not pending, by their creation | no |
//! | `suppressed` | hash | address → when and why | until it is taken off |
//! | `suppressed:list` | sorted set | the addresses in their order | until they are taken off |

use riqle_jobs_core::{Error, ErrorKind};

/// The keys of one installation of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    /// # Errors
    /// `Misconfigured` for a prefix with other characters than letters, digits, `-`, `_`, `.` and `:`.
    pub(crate) fn new(prefix: &str) -> Result<Self, Error> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if prefix.is_empty() || prefix.len() > 64 || !prefix.chars().all(is_plain) {
            let message = format!("prefix must be 1 to 64 letters, digits or any of -_.: and is {prefix:?}");
            return Err(Error::new(ErrorKind::Misconfigured, "connect", message));
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// What the keys of a queue begin with. Its name is the hash tag, so braces in it are written otherwise.
    pub(crate) fn queue(&self, queue: &str) -> String {
        let name = queue.replace('%', "%25").replace('{', "%7b").replace('}', "%7d");
        format!("{}:{{{name}}}:", self.prefix)
    }

    /// What the registry's keys begin with. No queue's name is written so: a `%` in one is `%25`.
    pub(crate) fn registry(&self) -> String {
        format!("{}:{{%registry}}:", self.prefix)
    }

    /// A key of the registry.
    pub(crate) fn of_registry(&self, key: &str) -> String {
        self.registry() + key
    }

    /// What the keys of the email log begin with.
    pub(crate) fn email(&self) -> String {
        format!("{}:{{%email}}:", self.prefix)
    }

    /// A key of the email log.
    pub(crate) fn of_email(&self, key: &str) -> String {
        self.email() + key
    }

    /// The channel of hints to other processes.
    pub(crate) fn channel(&self) -> String {
        format!("{}:hints", self.prefix)
    }
}
