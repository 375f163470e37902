//! A small file system that can be full.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

const SIZE: &str = "4g";

/// A file system in memory.
pub(crate) struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// `None` where this user may mount nothing.
    pub(crate) fn mounted_on(folder: &Path) -> Option<Self> {
        let options = ["-t", "tmpfs", "-o", &format!("size={SIZE},mode=755"), "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(folder).output();
        mounted.is_ok_and(|done| done.status.success()).then(|| Self { folder: folder.to_owned() })
    }

    /// Leaves no room but a little.
    pub(crate) fn fill(&self) -> Result<(), String> {
        let used = Command::new("df").args(["--output=used", "-k"]).arg(&self.folder).output();
        let used = used.map_err(|error| format!("df: {error}"))?;
        let used = String::from_utf8_lossy(&used.stdout);
        let used: u64 =
            used.lines().nth(1).and_then(|used| used.trim().parse().ok()).ok_or("df tells nothing")?;
        self.resize(&format!("{}k", used + 64))
    }

    pub(crate) fn make_room(&self) -> Result<(), String> {
        self.resize(SIZE)
    }

    fn resize(&self, size: &str) -> Result<(), String> {
        let options = ["-o", &format!("remount,size={size}")];
        let done = Command::new("mount").args(options).arg(&self.folder).output();
        match done {
            Ok(done) if done.status.success() => Ok(()),
            Ok(done) => Err(format!("can't resize a tmpfs: {}", String::from_utf8_lossy(&done.stderr))),
            Err(error) => Err(format!("mount: {error}")),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: files may still be about to be closed.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}
