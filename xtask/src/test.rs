//! All tests of all crates.

use crate::{
    chromium,
    command::{cargo, run},
    features::TESTED_APART,
    node, python,
    servers::{Durability, Servers},
    simulate::simulate,
};

pub(crate) fn all() -> Result<(), String> {
    let (python, modules, chromium) = (python::environment()?, node::modules()?, chromium::programs()?);
    let servers = Servers::start(Durability::NoSync)?;
    // In two builds, so that a feature that one crate's tests add hides nothing from those of the others.
    let (mut apart, mut others) = (cargo("test"), cargo("test --workspace"));
    for package in TESTED_APART {
        apart.args(["--package", package]);
        others.args(["--exclude", package]);
    }
    let mut all = simulate(&["--seeds", "500"]);
    for mut test in [apart, others] {
        servers.tell(&mut test);
        test.args(["--all-features", "--locked", "--no-fail-fast"]);
        test.env("RIQLE_TEST_PYTHON", &python).env("RIQLE_TEST_NODE_MODULES", &modules);
        all = all.and(run(test.envs(chromium.clone())));
    }
    all
}

/// What takes too long for every commit: kills of the shop, crashes of the server, and the model test at length (over an
/// hour).
pub(crate) fn torture() -> Result<(), String> {
    let servers = Servers::start(Durability::Full)?;
    kills(&servers)?;
    run(cargo("test --locked --release --package riqle-jobs-postgres --test faults")
        .env("RIQLE_CRASHES", "12"))?;
    run(cargo("test --locked --release --package riqle-jobs-core --package riqle-jobs-sqlite model")
        .env("RIQLE_MODEL_SEEDS", "20")
        .env("RIQLE_MODEL_OPERATIONS", "100000"))?;
    run(cargo("test --locked --release --package riqle-jobs-redis --test faults").env("RIQLE_CUTS", "60"))?;
    for package in ["riqle-jobs-postgres", "riqle-jobs-redis"] {
        let mut model = cargo("test --locked --release --test conformance --package");
        servers.tell(model.args([package, "model"]));
        run(model.env("RIQLE_MODEL_SEEDS", "20").env("RIQLE_MODEL_OPERATIONS", "10000"))?;
    }
    Ok(())
}

fn kills(servers: &Servers) -> Result<(), String> {
    run(&mut cargo("build --locked --release --example shop"))?;
    let mut test = cargo("test --locked --release --test shop kill -- --nocapture");
    servers.tell(&mut test);
    run(test.env("RIQLE_KILLS", "50").env("RIQLE_ORDERS", "500"))
}
