//! What a doctor looks at besides the health page.

use std::{fs, path::Path};

use riqle_jobs_core::store::Problem;

use crate::{Synchronous, file::File};

/// The log is cut down to 32 MiB where nobody reads what it held long ago.
const LONG_LOG: u64 = 256 * 1024 * 1024;
/// Locks of files on these can't be relied on, and WAL needs memory that all processes share.
const OF_A_NETWORK: [&str; 10] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.sshfs", "fuse.glusterfs"];

pub(crate) fn examine(file: &File, synchronous: Synchronous) -> Vec<Problem> {
    let mut problems = Vec::new();
    if synchronous == Synchronous::Normal {
        problems.push(Problem {
            may_be_meant: true,
            ..Problem::new(
                "the URL has synchronous=normal, so a power cut may lose the last seconds of commits",
                "Remove it from the URL if that is not acceptable.",
            )
        });
    }
    let log = fs::metadata(file.log()).map_or(0, |log| log.len());
    if log > LONG_LOG {
        problems.push(Problem::new(
            format!("the -wal file is {} MiB, which slows down reads", log / 1024 / 1024),
            "Find the long-running reader: a backup, a shell, an open transaction.",
        ));
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if let Some(kind) = network_of(file.log(), &mounts) {
        problems.push(Problem::new(
            format!("the file is on a network file system ({kind}), where SQLite's locks are not reliable"),
            "Move it to a local disk, or use PostgreSQL.",
        ));
    }
    problems
}

/// The kind of file system that a path is on, by the lines of `/proc/self/mounts`, if that is one of a network.
fn network_of<'a>(path: &Path, mounts: &'a str) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        // A blank in it is written so.
        let place = place.replace("\\040", " ");
        path.starts_with(&place).then_some((place.len(), kind))
    });
    // Of two at the same place the last hides the first.
    let (_, kind) = mounts.max_by_key(|(length, _)| *length)?;
    OF_A_NETWORK.contains(&kind).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_file_system_is_seen_by_the_innermost_mount() {
        let mounts =
            "/dev/vda / ext4 rw 0 0\nserver:/x /srv nfs4 rw 0 0\n/dev/vdb /srv/fast\\040disk xfs rw 0 0\n";
        let of = |path| network_of(Path::new(path), mounts);
        assert_eq!(of("/srv/jobs.db"), Some("nfs4"));
        assert_eq!(of("/srv/fast disk/jobs.db"), None);
        assert_eq!(of("/home/jobs.db"), None);
    }
}
