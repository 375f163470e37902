//! A Python with what the real-server tests need, in a virtual environment under `target/`.

use std::{path::PathBuf, process::Command};

use crate::command::{output, root, run};

const PACKAGES: &[&str] = &["aiosmtpd==1.4.6", "dkimpy==1.1.8", "pynacl==1.6.2"];

/// The environment's Python; made where it is missing.
pub(crate) fn environment() -> Result<PathBuf, String> {
    let folder = root().join("target").join("test-tools").join("python");
    let python = folder.join("bin").join("python");
    let has_packages = || output(Command::new(&python).args(["-c", "import aiosmtpd, dkim, nacl"])).is_ok();
    if has_packages() {
        return Ok(python);
    }
    if output(Command::new("python3").args(["-c", "import venv, ensurepip"])).is_err() {
        install_python()?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    Ok(python)
}

fn install_python() -> Result<(), String> {
    let way_out = "the tests need Python 3 with venv, for a real SMTP server: apt-get install python3-venv";
    run(Command::new("apt-get").args(["install", "-y", "python3-venv"])).map_err(|_| way_out.to_owned())
}
