//! What is checked before the tests run.

use crate::{
    command::{cargo, output, root, run},
    faults, features, simulate,
};

/// Each alone, with no default feature.
const FEATURES: &[&str] = &[
    "sqlite",
    "postgres",
    "redis",
    "email",
    "email-inputs",
    "smtp",
    "resend",
    "dkim",
    "doctor",
    "web",
    "metrics",
    "mock",
];
/// What core must never pull in.
const DRIVERS: &[&str] = &["sqlx", "redis", "lettre", "hyper", "axum", "reqwest", "rustls", "libsqlite3-sys"];
/// What the inputs of the emails must not pull in beside these.
const OF_SENDING: &[&str] = &["askama", "iso_currency", "resend-rs"];
/// What no crate may pull in.
const UNWANTED: &[&str] = &["openssl-sys", "native-tls", "aws-lc-sys"];

pub(crate) fn all() -> Result<(), String> {
    run(&mut cargo("fmt --all --check"))?;
    run(&mut cargo("clippy --workspace --all-targets --all-features --locked -- -D warnings"))?;
    simulate::check()?;
    for feature in FEATURES {
        run(cargo("check --package riqle-jobs --no-default-features --locked --features").arg(feature))?;
    }
    run(&mut cargo("check --package riqle-jobs --no-default-features --locked"))?;
    run(cargo("doc --workspace --no-deps --all-features --locked").env("RUSTDOCFLAGS", "-D warnings"))?;
    // Whether each crate can be packaged; its code was built above.
    let packages = "package --workspace --exclude xtask --exclude riqle-jobs-conformance --exclude riqle-jobs-simulation --exclude riqle-jobs-test-servers --exclude riqle-jobs-torture --no-verify --allow-dirty";
    run(cargo(packages).args(["--locked", "--offline", "--quiet"]))?;
    core_pulls_no_driver()?;
    inputs_pull_no_mailer()?;
    features::tests_hide_nothing()?;
    faults::are_shown()?;
    nothing_unwanted_is_locked()
}

fn core_pulls_no_driver() -> Result<(), String> {
    match dependency_of("--package riqle-jobs-core --all-features", &[DRIVERS])? {
        Some(driver) => Err(format!("riqle-jobs-core depends on a driver: {driver}")),
        None => Ok(()),
    }
}

/// A process that enqueues emails and sends none links neither templates nor a mailer.
fn inputs_pull_no_mailer() -> Result<(), String> {
    let unwanted = [DRIVERS, OF_SENDING];
    for package in [
        "--package riqle-jobs-email --no-default-features",
        "--package riqle-jobs --no-default-features --features email-inputs",
    ] {
        if let Some(name) = dependency_of(package, &unwanted)? {
            return Err(format!("the inputs of the emails ({package}) depend on {name}"));
        }
    }
    Ok(())
}

/// The first of these packages that another one depends on.
fn dependency_of(package: &str, unwanted: &[&[&str]]) -> Result<Option<String>, String> {
    let options = format!("tree {package} --edges normal --prefix none --format {{p}} --locked");
    let tree = output(&mut cargo(&options))?;
    let is_unwanted = |line: &&str| {
        let name = line.split(' ').next().unwrap_or_default();
        unwanted.iter().any(|names| names.contains(&name))
    };
    Ok(tree.lines().find(is_unwanted).map(str::to_owned))
}

fn nothing_unwanted_is_locked() -> Result<(), String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).map_err(|error| error.to_string())?;
    match UNWANTED.iter().find(|name| lock.contains(&format!("name = \"{name}\"\n"))) {
        Some(name) => Err(format!("Cargo.lock holds {name}; TLS is rustls with ring, everywhere")),
        None => Ok(()),
    }
}
