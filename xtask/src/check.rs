//! What is checked before the tests run.

use crate::{
    command::{cargo, output, root, run},
    features,
};

/// Each alone, with no default feature.
const FEATURES: &[&str] =
    &["sqlite", "postgres", "redis", "email", "smtp", "resend", "dkim", "doctor", "web", "mock"];
/// What core must never pull in.
const DRIVERS: &[&str] = &["sqlx", "redis", "lettre", "hyper", "axum", "reqwest", "rustls", "libsqlite3-sys"];
/// What no crate may pull in.
const UNWANTED: &[&str] = &["openssl-sys", "native-tls", "aws-lc-sys"];

pub(crate) fn all() -> Result<(), String> {
    run(&mut cargo("fmt --all --check"))?;
    run(&mut cargo("clippy --workspace --all-targets --all-features --locked -- -D warnings"))?;
    for feature in FEATURES {
        run(cargo("check --package riqle-jobs --no-default-features --locked --features").arg(feature))?;
    }
    run(&mut cargo("check --package riqle-jobs --no-default-features --locked"))?;
    run(cargo("doc --workspace --no-deps --all-features --locked").env("RUSTDOCFLAGS", "-D warnings"))?;
    // Whether each crate can be packaged; its code was built above.
    let packages =
        "package --workspace --exclude xtask --exclude riqle-jobs-conformance --no-verify --allow-dirty";
    run(cargo(packages).args(["--locked", "--offline", "--quiet"]))?;
    core_pulls_no_driver()?;
    features::tests_hide_nothing()?;
    nothing_unwanted_is_locked()
}

fn core_pulls_no_driver() -> Result<(), String> {
    let tree = output(&mut cargo(
        "tree --package riqle-jobs-core --all-features --edges normal --prefix none --format {p} --locked",
    ))?;
    match tree.lines().find(|line| DRIVERS.contains(&line.split(' ').next().unwrap_or_default())) {
        Some(driver) => Err(format!("riqle-jobs-core depends on a driver: {driver}")),
        None => Ok(()),
    }
}

fn nothing_unwanted_is_locked() -> Result<(), String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).map_err(|error| error.to_string())?;
    match UNWANTED.iter().find(|name| lock.contains(&format!("name = \"{name}\"\n"))) {
        Some(name) => Err(format!("Cargo.lock holds {name}; TLS is rustls with ring, everywhere")),
        None => Ok(()),
    }
}
