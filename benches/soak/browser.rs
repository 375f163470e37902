//! A Chromium that has a page open.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::process;

pub(crate) struct Browser(Child);

impl Browser {
    pub(crate) fn open(url: &str, folder: &Path) -> Result<Self, String> {
        let program = std::env::var_os("RIQLE_TEST_CHROMIUM").unwrap_or_else(|| "chromium".into());
        let mut chromium = Command::new(&program);
        // Headless it stays up only where somebody may connect.
        chromium.args(["--headless", "--disable-gpu", "--no-sandbox", "--remote-debugging-port=0"]);
        chromium.arg(format!("--user-data-dir={}", folder.join("chromium").display())).arg(url);
        let started = chromium.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        started.map(Self).map_err(|error| format!("can't start {}: {error}", program.display()))
    }

    /// Of all its processes, in bytes.
    pub(crate) fn memory(&self) -> f64 {
        process::family(self.0.id()).into_iter().map(process::memory).sum()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
