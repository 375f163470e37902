//! All tests of all crates.

use crate::{
    command::{cargo, run},
    node, python,
    servers::{Durability, Servers},
};

pub(crate) fn all() -> Result<(), String> {
    let (python, modules) = (python::environment()?, node::modules()?);
    let servers = Servers::start(Durability::NoSync)?;
    let mut test = cargo("test --workspace --all-features --locked --no-fail-fast");
    servers.tell(&mut test);
    run(test.env("RIQLE_TEST_PYTHON", &python).env("RIQLE_TEST_NODE_MODULES", &modules))
}

/// What takes too long for every commit: kills of the shop, and the model test at length (over half an hour).
pub(crate) fn torture() -> Result<(), String> {
    kills()?;
    run(cargo("test --locked --release --package riqle-jobs-core --package riqle-jobs-sqlite model")
        .env("RIQLE_MODEL_SEEDS", "20")
        .env("RIQLE_MODEL_OPERATIONS", "100000"))
}

fn kills() -> Result<(), String> {
    run(&mut cargo("build --locked --release --example shop"))?;
    run(cargo("test --locked --release --test shop kill -- --nocapture")
        .env("RIQLE_KILLS", "50")
        .env("RIQLE_ORDERS", "500"))
}
