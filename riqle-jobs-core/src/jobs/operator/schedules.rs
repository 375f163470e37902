//! What is done to a schedule.

use jiff::Timestamp;

use super::{Done, Operator, already_paused, check_why, shown};
use crate::{Error, ErrorKind, Jobs, ScheduleStatus, schedule::NewSchedule, store::ActionKind};

impl Operator {
    /// Starts a run of a schedule now; the outcome is its id.
    ///
    /// # Errors
    /// As [`Jobs::trigger_schedule`].
    pub async fn trigger_schedule(&self, job: &str, name: &str) -> Result<Done, Error> {
        self.on_schedule(ActionKind::Trigger, job, name, "", |jobs, found| async move {
            jobs.trigger_schedule(&found.job, &found.name).await.map(|run| run.to_string())
        })
        .await
    }

    /// Stops the ticks of a schedule, at most 500 bytes of why; the outcome says who had paused it before.
    ///
    /// # Errors
    /// As [`Jobs::pause_schedule`]; `Rejected` for a longer reason.
    pub async fn pause_schedule(&self, job: &str, name: &str, why: &str) -> Result<Done, Error> {
        check_why("pause_schedule", why)?;
        let (by, reason) = (self.by.clone(), why.to_owned());
        self.on_schedule(ActionKind::Pause, job, name, why, move |jobs, found| async move {
            jobs.pause_schedule(&found.job, &found.name, &by, &reason).await?;
            Ok(found.state.pause.map_or_else(String::new, |pause| already_paused(&pause.by)))
        })
        .await
    }

    /// Lets a paused schedule tick again, from now on.
    ///
    /// # Errors
    /// As [`Jobs::resume_schedule`].
    pub async fn resume_schedule(&self, job: &str, name: &str) -> Result<Done, Error> {
        self.on_schedule(ActionKind::Resume, job, name, "", |jobs, found| async move {
            jobs.resume_schedule(&found.job, &found.name).await.map(|()| String::new())
        })
        .await
    }

    /// Fills in the ticks of a range, both ends included, one run after the other.
    ///
    /// # Errors
    /// As [`Jobs::backfill_schedule`].
    pub async fn backfill_schedule(
        &self,
        job: &str,
        name: &str,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Done, Error> {
        let (by, detail) = (self.by.clone(), format!("from {from} until {until}"));
        self.on_schedule(ActionKind::Backfill, job, name, &detail, move |jobs, found| async move {
            jobs.backfill_schedule(&found.job, &found.name, from, until, &by).await?;
            Ok("begun".to_owned())
        })
        .await
    }

    /// Gives a schedule another rule, input or policy.
    ///
    /// # Errors
    /// As [`Jobs::edit_schedule`].
    pub async fn edit_schedule(&self, new: NewSchedule) -> Result<Done, Error> {
        let found = self.schedule(&new.job, &new.name).await?;
        let (by, detail) = (self.by.clone(), differences(&found, &new));
        let subject = subject_of(&new.job, &new.name);
        self.recorded(ActionKind::Edit, &subject, &detail, move |jobs| async move {
            jobs.edit_schedule(new, &by).await.map(|()| String::new())
        })
        .await
    }

    /// Removes a schedule; its runs stay.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable`.
    pub async fn remove_schedule(&self, job: &str, name: &str) -> Result<Done, Error> {
        self.on_schedule(ActionKind::Remove, job, name, "", |jobs, found| async move {
            jobs.remove_schedule(&found.job, &found.name).await.map(|()| String::new())
        })
        .await
    }

    async fn on_schedule<F>(
        &self,
        kind: ActionKind,
        job: &str,
        name: &str,
        detail: &str,
        act: impl FnOnce(Jobs, ScheduleStatus) -> F + Send + 'static,
    ) -> Result<Done, Error>
    where
        F: Future<Output = Result<String, Error>> + Send + 'static,
    {
        let found = self.schedule(job, name).await?;
        self.recorded(kind, &subject_of(job, name), detail, move |jobs| act(jobs, found)).await
    }

    /// One that is not removed.
    async fn schedule(&self, job: &str, name: &str) -> Result<ScheduleStatus, Error> {
        let found = self.jobs.schedule_status(job, name).await.map_err(shown)?;
        let found = found.filter(|found| !found.state.is_removed);
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "schedule", "no such schedule"))
    }
}

fn subject_of(job: &str, name: &str) -> String {
    format!("schedule {name} of job {job}")
}

/// What an edit changes, for display.
fn differences(found: &ScheduleStatus, new: &NewSchedule) -> String {
    let state = &found.state;
    let mut all = Vec::new();
    let mut note = |what: &str, old: String, new: String| {
        if old != new {
            all.push(format!("{what} from {old} to {new}"));
        }
    };
    note("times", state.rule.to_string(), new.rule.to_string());
    note("missed ticks", state.missed.to_string(), new.missed.to_string());
    note("overlap", state.overlap.to_string(), new.overlap.to_string());
    note("jitter", format!("{:?}", state.jitter), format!("{:?}", new.jitter));
    if found.input != new.input {
        all.push("another input".to_owned());
    }
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}
