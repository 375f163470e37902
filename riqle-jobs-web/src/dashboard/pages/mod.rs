//! A file for each page: what it shows, and how it is read from the store.

pub(crate) mod action;
pub(crate) mod audit;
mod claimed;
pub(crate) mod confirm;
pub(crate) mod dead_letters;
pub(crate) mod email;
pub(crate) mod email_parts;
pub(crate) mod emails;
pub(crate) mod events;
mod id_prefix;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod overview;
pub(crate) mod payload;
pub(crate) mod queues;
pub(crate) mod run;
pub(crate) mod run_filter;
mod run_parts;
pub(crate) mod run_row;
pub(crate) mod runs;
pub(crate) mod schedule;
pub(crate) mod schedules;
pub(crate) mod suppressions;
mod timeline;
