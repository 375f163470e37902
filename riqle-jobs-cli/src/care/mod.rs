//! The commands that keep a store, and what runs on it, in order.

mod dashboard;
mod doctor;
mod export;
mod manual;
mod migrate;
mod prune;

pub(crate) use self::{
    dashboard::{dashboard, metrics},
    doctor::doctor,
    export::export,
    manual::{completions, man},
    migrate::migrate,
    prune::prune,
};
