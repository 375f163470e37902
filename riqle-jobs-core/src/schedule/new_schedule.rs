//! A schedule to be made, by a job's code or at run time.

use std::{marker::PhantomData, time::Duration};

use jiff::Timestamp;

use super::{MOST_MISSED, Missed, Overlap, Rule, rule::Times};
use crate::{
    Error, ErrorKind, JobInput, Limits, NewRun, Payload, email::sha256_hex, job, limits,
    store::JobDeclaration,
};

/// The longest name of a schedule, in bytes.
pub const SCHEDULE_NAME_BYTES: usize = 255;

/// The longest jitter.
const MOST_JITTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A schedule of a job: at each of its ticks, a run of the job with this input starts. Its name is unique in the job.
///
/// A job has those that [`Job::schedules`](crate::Job::schedules) answers; others are made at run time by
/// [`Jobs::schedule`](crate::Jobs::schedule), such as one a tenant.
///
/// ```
/// # use std::time::Duration;
/// # use riqle_jobs_core::JobInput;
/// use riqle_jobs_core::schedule::{Missed, Overlap, Schedule};
///
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct SalesDigest { shop: u32 }
/// # impl JobInput for SalesDigest { const JOB: &'static str = "send-sales-digest"; }
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Sync { shop: u32 }
/// # impl JobInput for Sync { const JOB: &'static str = "sync"; }
/// let digest = Schedule::cron("shop-7", "0 8 * * 1-5", SalesDigest { shop: 7 }).zone("Europe/Berlin");
/// let sync = Schedule::every("shop-7", Duration::from_secs(600), Sync { shop: 7 })
///     .missed(Missed::Skip)
///     .overlap(Overlap::Skip)
///     .jitter(Duration::from_secs(30));
/// ```
#[derive(Debug)]
#[must_use = "nothing is scheduled until a job answers it or `Jobs::schedule` takes it"]
pub struct Schedule<I> {
    new: Result<NewSchedule, Error>,
    input: PhantomData<fn(I)>,
}

impl<I: JobInput> Schedule<I> {
    /// By a [cron expression](Rule::Cron), on the wall clock of UTC unless another [`zone`](Self::zone) is set.
    pub fn cron(name: impl Into<String>, expression: impl Into<String>, input: I) -> Self {
        let rule = Rule::Cron { expression: expression.into(), zone: "UTC".to_owned() };
        Self::of(name.into(), rule, &input)
    }

    /// Every so often, a second at least: at the full periods since 1970 in UTC, unless [`starting`](Self::starting) says
    /// another time to count from.
    pub fn every(name: impl Into<String>, period: Duration, input: I) -> Self {
        Self::of(name.into(), Rule::Every { period, from: Timestamp::UNIX_EPOCH }, &input)
    }

    fn of(name: String, rule: Rule, input: &I) -> Self {
        let new = NewRun::of(input).and_then(|run| {
            // What the input lacks for its keys is refused now, not at each tick.
            limits::check_lacking(&run)?;
            Ok(NewSchedule::new(run.job, name, rule, run.input).queue(run.queue))
        });
        Self { new: new.map_err(|error| error.of("schedule")), input: PhantomData }
    }

    /// The zone on whose wall clock a cron expression is read: a name such as `Europe/Berlin`.
    pub fn zone(self, zone: impl Into<String>) -> Self {
        self.with(|new| new.zone(zone.into()))
    }

    /// The time from which an interval is counted: its first tick, or one that has come already.
    pub fn starting(self, from: Timestamp) -> Self {
        self.with(|new| new.starting(from))
    }

    /// What becomes of missed ticks. Default: the latest starts a run.
    pub fn missed(self, missed: Missed) -> Self {
        self.with(|new| Ok(NewSchedule { missed, ..new }))
    }

    /// What becomes of a tick while an earlier run has not ended. Default: one waits for it.
    pub fn overlap(self, overlap: Overlap) -> Self {
        self.with(|new| Ok(NewSchedule { overlap, ..new }))
    }

    /// Delays each run by a part of this, made of the schedule's name and the tick: so that those of many tenants do not all
    /// start at once. The tick itself stays as it is. At most a day. Default: none.
    pub fn jitter(self, jitter: Duration) -> Self {
        self.with(|new| Ok(NewSchedule { jitter, ..new }))
    }

    /// Without the type of its input.
    ///
    /// # Errors
    /// As [`NewRun::of`], and where the input lacks what the job's keys are made of.
    pub fn erase(self) -> Result<NewSchedule, Error> {
        self.new
    }

    fn with(self, change: impl FnOnce(NewSchedule) -> Result<NewSchedule, Error>) -> Self {
        Self { new: self.new.and_then(change), ..self }
    }
}

/// A [`Schedule`] without the type of its input, and for jobs whose name is known only at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSchedule {
    /// The job's name.
    pub job: String,
    /// The job's queue.
    pub queue: String,
    /// Its name, unique in the job.
    pub name: String,
    /// Its times.
    pub rule: Rule,
    /// The input of its runs.
    pub input: Payload,
    /// What becomes of missed ticks.
    pub missed: Missed,
    /// What becomes of a tick while an earlier run has not ended.
    pub overlap: Overlap,
    /// By how much a run is delayed at most.
    pub jitter: Duration,
}

impl NewSchedule {
    /// With the defaults of a [`Schedule`].
    pub fn new(job: impl Into<String>, name: impl Into<String>, rule: Rule, input: Payload) -> Self {
        Self {
            job: job.into(),
            queue: job::QUEUE.to_owned(),
            name: name.into(),
            rule,
            input,
            missed: Missed::default(),
            overlap: Overlap::default(),
            jitter: Duration::ZERO,
        }
    }

    /// As one of this job.
    pub(crate) fn of(self, job: &JobDeclaration) -> Self {
        Self { job: job.name.clone(), queue: job.queue.clone(), ..self }
    }

    /// Sets the job's queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = queue.into();
        self
    }

    fn zone(mut self, new: String) -> Result<Self, Error> {
        match &mut self.rule {
            Rule::Cron { zone, .. } => *zone = new,
            Rule::Every { .. } => {
                return Err(rejected("an interval has no zone: it follows real time".to_owned()));
            }
        }
        Ok(self)
    }

    fn starting(mut self, new: Timestamp) -> Result<Self, Error> {
        match &mut self.rule {
            Rule::Every { from, .. } => *from = new,
            Rule::Cron { .. } => return Err(rejected("only an interval is counted from a time".to_owned())),
        }
        Ok(self)
    }

    /// Checks all but its rule.
    ///
    /// # Errors
    /// `Rejected`, with the field and what is wrong with it.
    pub(crate) fn check_settings(&self, limits: &Limits) -> Result<(), Error> {
        limits::check_name("job", &self.job)
            .and_then(|()| limits::check_name("queue", &self.queue))
            .and_then(|()| limits::check_text("the name of a schedule", &self.name, SCHEDULE_NAME_BYTES))
            .and_then(|()| limits.check_input(&self.input))
            .map_err(|error| error.of("schedule"))?;
        match self.missed {
            Missed::All(most) if !(1..=MOST_MISSED).contains(&most) => {
                return Err(rejected(format!(
                    "1 to {MOST_MISSED} missed ticks may start a run each, not {most}"
                )));
            }
            _ => {}
        }
        if self.jitter > MOST_JITTER {
            return Err(rejected(format!("jitter is a day at most, not {:?}", self.jitter)));
        }
        Ok(())
    }

    /// Its times, where everything about it is right.
    ///
    /// # Errors
    /// As [`check_settings`](Self::check_settings).
    pub(crate) fn checked(&self, limits: &Limits) -> Result<Times, Error> {
        self.check_settings(limits)?;
        let times = self.rule.times()?;
        if times.next_after(Timestamp::UNIX_EPOCH).is_none() {
            return Err(self.never_comes());
        }
        Ok(times)
    }

    /// As [`checked`](Self::checked), of one that ticks after `now`.
    pub(crate) fn checked_to_come(&self, limits: &Limits, now: Timestamp) -> Result<Times, Error> {
        let times = self.checked(limits)?;
        if times.next_after(now).is_none() {
            return Err(self.never_comes());
        }
        Ok(times)
    }

    fn never_comes(&self) -> Error {
        rejected(format!("the schedule {:?} never comes: {}", self.name, self.rule))
    }

    /// Tells whether who makes it again says the same.
    pub(crate) fn text(&self) -> String {
        let Self { rule, missed, overlap, jitter, input, .. } = self;
        let settings = serde_json::to_vec(&(rule, missed, overlap, jitter)).unwrap_or_default();
        sha256_hex(&[&settings[..], &input.fingerprint().0].concat())
    }
}

fn rejected(message: String) -> Error {
    Error::new(ErrorKind::Rejected, "schedule", message).permanent()
}
