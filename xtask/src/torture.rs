//! `cargo xtask torture`: what takes too long for every commit.

use std::process::Command;

use crate::{
    command::{cargo, output, run},
    servers::{Durability, Servers},
};

const STORES: &[&str] = &["sqlite", "postgres", "redis", "redis-cluster"];

/// Real processes under real faults, on one store where the options name it.
pub(crate) fn torture(options: &[&str]) -> Result<(), String> {
    install_faketime()?;
    if options.contains(&"--store") {
        return processes(options);
    }
    for store in STORES {
        processes(&[&["--store", store], options].concat())?;
    }
    at_length()
}

fn processes(options: &[&str]) -> Result<(), String> {
    run(cargo("run --release --quiet --locked --package riqle-jobs-torture --").args(options))
}

/// It sets the clocks that processes see.
pub(crate) fn install_faketime() -> Result<(), String> {
    if output(Command::new("sh").args(["-c", "ls /usr/lib/*/faketime/libfaketimeMT.so.1"])).is_ok() {
        return Ok(());
    }
    let way_out = "the torture sets clocks by libfaketime: apt-get install faketime";
    run(Command::new("apt-get").args(["install", "-y", "faketime"])).map_err(|_| way_out.to_owned())
}

/// Kills of the shop, crashes of the server, and the model test (over an hour).
fn at_length() -> Result<(), String> {
    let servers = Servers::start(Durability::Full)?;
    kills(&servers)?;
    run(cargo("test --locked --release --package riqle-jobs-postgres --test faults")
        .env("RIQLE_CRASHES", "12"))?;
    run(cargo("test --locked --release --package riqle-jobs-core --package riqle-jobs-sqlite model")
        .env("RIQLE_MODEL_SEEDS", "20")
        .env("RIQLE_MODEL_OPERATIONS", "100000"))?;
    run(cargo("test --locked --release --package riqle-jobs-core --lib models -- --nocapture")
        .env("RIQLE_MODELS", "large"))?;
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
