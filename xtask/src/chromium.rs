//! Chromium and its chromedriver, which the tests of pages drive.

use std::{env, path::PathBuf, process::Command};

use crate::command::run;

/// Each program, and the variable that names it to the tests and may name another than the system's.
const PROGRAMS: [(&str, &str); 2] =
    [("chromium", "RIQLE_TEST_CHROMIUM"), ("chromedriver", "RIQLE_TEST_CHROMEDRIVER")];
const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];

/// Where they are, by the variables of the tests; installed where one is missing.
pub(crate) fn programs() -> Result<[(&'static str, PathBuf); 2], String> {
    let [chromium, chromedriver] = PROGRAMS.map(found);
    if let (Some(chromium), Some(chromedriver)) = (chromium, chromedriver) {
        return Ok([chromium, chromedriver]);
    }
    install()?;
    match PROGRAMS.map(found) {
        [Some(chromium), Some(chromedriver)] => Ok([chromium, chromedriver]),
        _ => Err(way_out()),
    }
}

fn found((program, variable): (&str, &'static str)) -> Option<(&'static str, PathBuf)> {
    let named = env::var_os(variable).map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = || env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    Some((variable, named.or_else(on_path)?))
}

fn install() -> Result<(), String> {
    let install = || {
        let mut apt = Command::new("apt-get");
        // What they recommend beside is a desktop's.
        apt.args(["install", "-y", "--no-install-recommends"]).args(PACKAGES);
        run(apt.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    // A new machine has no list of packages, or one of versions that are gone.
    let updated = || run(Command::new("apt-get").arg("update")).and_then(|()| install());
    install().or_else(|_| updated()).map_err(|_| way_out())
}

fn way_out() -> String {
    let packages = PACKAGES.join(" ");
    format!(
        "the tests of pages need Chromium with its chromedriver: apt-get install --no-install-recommends {packages}"
    )
}
