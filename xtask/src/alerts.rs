//! The alerts of `ops/`, held against series that should and should not fire them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::command::{output, root, run};

const WAY_OUT: &str =
    "the alerts are checked by promtool, of Prometheus: install it, or have apt-get that can download it";

/// Whether each is well formed, and fires when it should: by Prometheus's own tool.
pub(crate) fn fire() -> Result<(), String> {
    let (promtool, ops) = (promtool()?, root().join("ops"));
    run(Command::new(&promtool).args(["check", "rules", "alerts.yml"]).current_dir(&ops))?;
    run(Command::new(&promtool).args(["test", "rules", "alerts_test.yml"]).current_dir(&ops))
}

/// The system's, or one taken out of Debian's package: installed, that would start a server.
fn promtool() -> Result<PathBuf, String> {
    if let Ok(found) = output(Command::new("sh").args(["-c", "command -v promtool"])) {
        return Ok(found.trim().into());
    }
    let target: Option<PathBuf> = std::env::var_os("CARGO_TARGET_DIR").map(Into::into);
    let folder = target.unwrap_or_else(|| root().join("target")).join("promtool");
    let promtool = folder.join("usr/bin/promtool");
    if !promtool.exists() {
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let download = || run(Command::new("apt-get").args(["download", "prometheus"]).current_dir(&folder));
        // A new machine has no list of packages, or one of versions that are gone.
        let updated = || run(Command::new("apt-get").arg("update")).and_then(|()| download());
        download().or_else(|_| updated()).map_err(|_| WAY_OUT.to_owned())?;
        run(Command::new("dpkg-deb").arg("-x").arg(package_in(&folder)?).arg(&folder))?;
    }
    Ok(promtool)
}

fn package_in(folder: &Path) -> Result<PathBuf, String> {
    let files = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut files = files.filter_map(|file| Some(file.ok()?.path()));
    files.find(|file| file.extension().is_some_and(|kind| kind == "deb")).ok_or_else(|| WAY_OUT.to_owned())
}
