//! All tests of all crates.

use std::thread;

use crate::{
    alerts, chromium,
    command::{again, behind, cargo, run},
    features::TESTED_APART,
    node, python,
    servers::{Durability, Servers},
    simulate::simulate,
    torture,
};

pub(crate) fn all() -> Result<(), String> {
    let (python, modules, chromium) = (python::environment()?, node::modules()?, chromium::programs()?);
    torture::install_faketime()?;
    alerts::fire()?;
    let servers = Servers::start(Durability::NoSync)?;
    // In two builds, so that a feature that one crate's tests add hides nothing from those of the others.
    let (mut apart, mut others) = (cargo("test"), cargo("test --workspace"));
    for package in TESTED_APART {
        apart.args(["--package", package]);
        others.args(["--exclude", package]);
    }
    for test in [&mut apart, &mut others] {
        servers.tell(test);
        test.args(["--all-features", "--locked", "--no-fail-fast"]);
        test.env("RIQLE_TEST_PYTHON", &python).env("RIQLE_TEST_NODE_MODULES", &modules);
        test.envs(chromium.clone());
    }
    run(again(&apart).arg("--no-run"))?;
    // These tests wait for servers, leases and clocks half of the time.
    let (apart, beside) = thread::scope(|scope| {
        let beside = scope.spawn(|| simulate(&["--seeds", "500"]).and(run(behind(&others).arg("--no-run"))));
        let apart = run(&mut apart);
        (apart, beside.join().unwrap_or_else(|_| Err("what was built beside the tests panicked".to_owned())))
    });
    apart.and(beside).and(run(&mut others))
}
