//! `schedules`: what is done to one.

use riqle_jobs::store::Timestamp;

use super::{acted, many::confirm};
use crate::{
    arguments::{Schedule, Schedules, SchedulesCommand},
    context::Context,
    failure::{Failure, NOT_FOUND},
    look,
    selection::nearest,
    times::time,
};

/// How many schedules are searched for a similar name.
const ALIKE: usize = 1_000;

pub(crate) async fn schedules(asked: Schedules, context: &mut Context<'_>) -> Result<(), Failure> {
    match asked.command {
        SchedulesCommand::List { prefix, limit } => {
            look::schedules::list(prefix, usize::from(limit), context).await
        }
        SchedulesCommand::Next { which, ticks } => {
            let shown = look::schedules::next(&which, usize::from(ticks), context).await;
            hinted(shown, &which, context).await
        }
        SchedulesCommand::Pause { which, why } => {
            let done = context.operator().await?.pause_schedule(&which.job, &which.name, &why).await;
            let done = hinted(done.map_err(Failure::from), &which, context).await?;
            acted(&format!("schedule {} of job {} is paused", which.name, which.job), done, context)
        }
        SchedulesCommand::Resume { which } => {
            let done = context.operator().await?.resume_schedule(&which.job, &which.name).await;
            let done = hinted(done.map_err(Failure::from), &which, context).await?;
            acted(&format!("schedule {} of job {} is resumed", which.name, which.job), done, context)
        }
        SchedulesCommand::Trigger { which } => {
            let done = context.operator().await?.trigger_schedule(&which.job, &which.name).await;
            let done = hinted(done.map_err(Failure::from), &which, context).await?;
            acted("run", done, context)
        }
        SchedulesCommand::Backfill { which, from, until } => {
            let now: Timestamp = context.jobs().await?.store().wall_time().await?;
            let (from, until) = (time("--from", &from, now)?, time("--until", &until, now)?);
            let operator = context.operator().await?;
            let done = operator.backfill_schedule(&which.job, &which.name, from, until).await;
            let done = hinted(done.map_err(Failure::from), &which, context).await?;
            acted(&format!("backfill of schedule {} of job {}", which.name, which.job), done, context)
        }
        SchedulesCommand::Remove { which, yes } => {
            confirm(yes, &format!("Remove the schedule {} of job {}?", which.name, which.job), context)?;
            let done = context.operator().await?.remove_schedule(&which.job, &which.name).await;
            let done = hinted(done.map_err(Failure::from), &which, context).await?;
            acted(&format!("schedule {} of job {} is removed", which.name, which.job), done, context)
        }
    }
}

/// Suggests similar schedules for an unknown one.
async fn hinted<T>(done: Result<T, Failure>, which: &Schedule, context: &Context<'_>) -> Result<T, Failure> {
    let Err(failure) = &done else { return done };
    if failure.code != NOT_FOUND {
        return done;
    }
    let filter = riqle_jobs::store::ScheduleFilter { limit: ALIKE, ..Default::default() };
    let Ok(known) = context.jobs().await?.schedules(filter).await else { return done };
    let known = known.iter().filter(|known| !known.state.is_removed);
    let names: Vec<_> = known.map(|known| format!("{} {}", known.job, known.name)).collect();
    let hint = nearest(&format!("{} {}", which.job, which.name), names.iter().map(String::as_str));
    Err(Failure::not_found(format!("job {:?} has no schedule {:?}{hint}", which.job, which.name)))
}
