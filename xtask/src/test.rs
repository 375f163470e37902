//! All tests of all crates.

use crate::{
    chromium,
    command::{cargo, run},
    features::TESTED_APART,
    node, python,
    servers::{Durability, Servers},
    simulate::simulate,
    torture,
};

pub(crate) fn all() -> Result<(), String> {
    let (python, modules, chromium) = (python::environment()?, node::modules()?, chromium::programs()?);
    torture::install_faketime()?;
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
