//! Dead letters of one job whose newest errors are alike.

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::Timestamp;

use crate::RunId;

/// Dead letters of one job with similar newest errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadGroup {
    /// The job's name.
    pub job: String,
    /// The fingerprint they share; `None` for those that died without an error, such as by crashes.
    pub error_fingerprint: Option<String>,
    /// How many; exact below [`COUNTED_TO`](super::COUNTED_TO).
    pub runs: u64,
    /// When the first of them died.
    pub first_at: Timestamp,
    /// When the last of them died.
    pub last_at: Timestamp,
    /// The one that died last; of several in the same millisecond, the one with the greatest id.
    pub newest: RunId,
}

impl DeadGroup {
    /// Merges groups found queue by queue into what [`Inspect::dead_groups`](crate::Inspect::dead_groups)
    /// returns.
    pub fn merged(parts: impl IntoIterator<Item = DeadGroup>, limit: usize) -> Vec<DeadGroup> {
        let mut groups: BTreeMap<(String, Option<String>), DeadGroup> = BTreeMap::new();
        for part in parts {
            let key = (part.job.clone(), part.error_fingerprint.clone());
            groups.entry(key).and_modify(|group| group.merge(&part)).or_insert(part);
        }
        // Sorted by job and fingerprint already, and the sort is stable.
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| Reverse(group.last_at));
        groups.truncate(limit);
        groups
    }

    fn merge(&mut self, other: &DeadGroup) {
        self.runs = self.runs.saturating_add(other.runs);
        self.first_at = self.first_at.min(other.first_at);
        (self.last_at, self.newest) = (self.last_at, self.newest).max((other.last_at, other.newest));
    }
}
