//! What Linux tells of a process.

use std::fs;

/// In bytes, what it shares with others in part.
pub(crate) fn memory(process: u32) -> f64 {
    let told = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let kilobytes = told.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
    kilobytes.and_then(|number| number.parse::<f64>().ok()).unwrap_or_default() * 1024.0
}

pub(crate) fn descriptors(process: u32) -> f64 {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count) as f64
}

/// A process, those that it started, those that they started.
pub(crate) fn family(of: u32) -> Vec<u32> {
    let mut family = vec![of];
    let children: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let told = fs::read_to_string(entry.path().join("stat")).ok()?;
            // Behind its name, which may hold anything, come its state and its parent.
            let parent = told.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((parent, process))
        })
        .collect();
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(children.iter().filter(|child| child.0 == parent).map(|child| child.1));
        at += 1;
    }
    family
}
