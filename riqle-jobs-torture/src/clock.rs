//! The wall clock that a process sees, by libfaketime. Monotonic clocks stay as they are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The clock of a machine, which moves for all of its processes.
pub(crate) struct MachineClock {
    file: PathBuf,
}

impl MachineClock {
    pub(crate) fn new(folder: &Path) -> Result<Self, String> {
        let clock = Self { file: folder.join("clock") };
        clock.set(0)?;
        Ok(clock)
    }

    /// To so many minutes beside the right time.
    pub(crate) fn set(&self, minutes: i64) -> Result<(), String> {
        // At once: a process may read it while it is written.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("{:+}\n", minutes * 60))
            .and_then(|()| fs::rename(&next, &self.file))
            .map_err(|error| format!("can't set the clock: {error}"))
    }

    pub(crate) fn tell(&self, process: &mut Command) -> Result<(), String> {
        process.env("FAKETIME_TIMESTAMP_FILE", &self.file).env("FAKETIME_NO_CACHE", "1");
        preload(process)
    }
}

/// Gives a process a clock an hour ahead.
pub(crate) fn an_hour_ahead(process: &mut Command) -> Result<(), String> {
    process.env("FAKETIME", "+1h");
    preload(process)
}

fn preload(process: &mut Command) -> Result<(), String> {
    let library = library().ok_or("clocks are set by libfaketime: apt-get install faketime")?;
    process.env("LD_PRELOAD", library).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Ok(())
}

fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|folder| folder.path());
    let named = |folder: PathBuf| folder.join("faketime").join("libfaketimeMT.so.1");
    folders.map(named).find(|library| library.is_file())
}
