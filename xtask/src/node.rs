//! The npm packages that the real-server tests need, under `target/`.

use std::{fs, path::PathBuf, process::Command};

use crate::command::{output, root, run};

const FILES: &[&str] = &["package.json", "package-lock.json"];

/// The folder of the packages; installed where it is missing or of another lock.
pub(crate) fn modules() -> Result<PathBuf, String> {
    let (wanted, folder) =
        (root().join("xtask").join("node"), root().join("target").join("test-tools").join("node"));
    let modules = folder.join("node_modules");
    // npm notes last what it has installed.
    let is_complete = modules.join(".package-lock.json").is_file();
    let is_wanted = FILES.iter().all(|file| {
        let (wanted, had) = (fs::read(wanted.join(file)), fs::read(folder.join(file)));
        matches!((wanted, had), (Ok(wanted), Ok(had)) if wanted == had)
    });
    if is_complete && is_wanted {
        return Ok(modules);
    }
    if output(Command::new("npm").arg("--version")).is_err() {
        install_node()?;
    }
    fs::create_dir_all(&folder).map_err(|error| format!("can't make {}: {error}", folder.display()))?;
    for file in FILES {
        let copied = fs::copy(wanted.join(file), folder.join(file));
        copied.map_err(|error| format!("can't copy xtask/node/{file}: {error}"))?;
    }
    let options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    run(Command::new("npm").args(options).current_dir(&folder))?;
    Ok(modules)
}

fn install_node() -> Result<(), String> {
    let way_out = "the tests need Node.js 20 with npm, for a double of Resend and the SDKs of others: apt-get install nodejs npm";
    run(Command::new("apt-get").args(["install", "-y", "nodejs", "npm"])).map_err(|_| way_out.to_owned())
}
