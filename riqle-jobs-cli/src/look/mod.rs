//! The commands that only look.

mod emails;
mod overview;
mod records;
mod run;
mod runs;
pub(crate) mod schedules;

pub(crate) use self::{
    emails::emails,
    overview::{FindingRow, jobs, queues, status, workers},
    records::{audit, events},
    run::json_of,
    runs::runs,
};
