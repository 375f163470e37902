//! `cargo xtask audit`: what the locked packages are allowed to be, as `deny.toml` says.

use std::process::Command;

use crate::command::{cargo, output, root, run};

const VERSION: &str = "0.20.2";

pub(crate) fn audit() -> Result<(), String> {
    let folder = root().join("target").join("test-tools").join("cargo-deny");
    let program = folder.join("bin").join("cargo-deny");
    let is_there = output(Command::new(&program).arg("--version")).is_ok_and(|told| told.contains(VERSION));
    if !is_there {
        let mut install = cargo("install cargo-deny --locked --quiet --version");
        run(install.args([VERSION, "--root"]).arg(&folder))?;
    }
    let mut deny = Command::new(&program);
    deny.current_dir(root()).args(["--workspace", "--all-features", "--locked", "check"]);
    run(deny.args(["licenses", "bans", "sources"]))
}
