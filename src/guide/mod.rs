//! The guide: [a first job](first_job), [`steps`], [`deploys`], [`staging`].

#[doc = include_str!("first_job.md")]
pub mod first_job {}

#[doc = include_str!("steps.md")]
pub mod steps {}

#[doc = include_str!("deploys.md")]
pub mod deploys {}

#[doc = include_str!("staging.md")]
pub mod staging {}
