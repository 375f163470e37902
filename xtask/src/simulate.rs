//! `cargo xtask simulate`: the engine on one thread, with time, faults and the order of tasks from a seed.

use std::{path::PathBuf, process::Command};

use crate::command::{behind, cargo, root, run};

/// Plays seeds.
pub(crate) fn simulate(options: &[&str]) -> Result<(), String> {
    run(behind(&simulation("run --release --quiet")).arg("--").args(options))
}

pub(crate) fn check() -> Result<(), String> {
    run(simulation("clippy --release --quiet").args(["--", "-D", "warnings"]))
}

/// In a build of its own: there the engine takes its clock and its ids from the seed.
fn simulation(command: &str) -> Command {
    let target: Option<PathBuf> = std::env::var_os("CARGO_TARGET_DIR").map(Into::into);
    let target = target.unwrap_or_else(|| root().join("target")).join("simulation");
    let mut cargo = cargo(command);
    cargo.args(["--package", "riqle-jobs-simulation", "--locked", "--target-dir"]).arg(target);
    cargo.env("RUSTFLAGS", "--cfg riqle_simulation --cfg tokio_unstable");
    cargo
}
