//! `cargo xtask bench`: the benchmark itself is `benches/throughput.rs`.

use crate::command::cargo;

pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    super::command::run(cargo("bench --package riqle-jobs --bench throughput --locked --").args(options))
}
