//! Schedules: which runs of a job start at which times.

mod cron;
mod declarations;
mod describe;
mod new_schedule;
mod plan;
mod policy;
mod rule;
mod state;
mod tick;
#[cfg(test)]
mod times_tests;
mod wish;

pub(crate) use self::{
    declarations::Declarations,
    plan::{Plan, Seen},
    rule::Times,
    wish::{ScheduleSettings, ToDo},
};
pub use self::{
    new_schedule::{NewSchedule, SCHEDULE_NAME_BYTES, Schedule},
    policy::{MOST_MISSED, Missed, Overlap},
    rule::{Rule, SHORTEST_INTERVAL},
    state::{Backfill, EditedBy, MOST_BACKFILLED, ScheduleState, SkipReason, SkippedTick, StartedTick},
    tick::Tick,
};
