//! `cargo xtask emails`: the samples themselves are `riqle-jobs-email/examples/emails.rs`.

use crate::command::{cargo, root};

pub(crate) fn write() -> Result<(), String> {
    let folder = root().join("target").join("emails");
    crate::command::run(
        cargo("run --quiet --package riqle-jobs-email --example emails --locked --").arg(folder),
    )
}
