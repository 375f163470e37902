//! What a doctor looks at besides the health page.

use redis::cmd;
use riqle_jobs_core::{Error, store::Problem};

use crate::{Redis, server::Place, settings::text};

/// Every cluster has so many.
const SLOTS: u64 = 16_384;

impl Redis {
    /// Whether the servers of a cluster have all slots between them.
    pub(crate) async fn look_into(&self) -> Result<Vec<Problem>, Error> {
        let server = &self.shared.server;
        if matches!(server.place(), Place::Server(_)) {
            return Ok(Vec::new());
        }
        // Managed clusters, and users with few rights, are refused it.
        let Ok(info) = server.of_masters("examine", cmd("CLUSTER").arg("INFO").take()).await else {
            return Ok(Vec::new());
        };
        let well = info.into_iter().map(|info| covered(&text(info))).min();
        Ok(match well {
            Some(slots) if slots < SLOTS => vec![Problem::new(
                format!(
                    "only {slots} of the cluster's {SLOTS} slots are served, so queues in the other slots are stuck"
                ),
                "Bring the missing nodes back, or reassign their slots: see CLUSTER NODES.",
            )],
            _ => Vec::new(),
        })
    }
}

/// How many slots have a server that is well.
fn covered(info: &str) -> u64 {
    let value = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|value| value.trim().parse::<u64>().ok())
    };
    value("cluster_slots_ok").unwrap_or(SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_without_a_server_are_seen() {
        assert_eq!(covered("cluster_state:ok\r\ncluster_slots_ok:16384\r\n"), SLOTS);
        assert_eq!(
            covered("cluster_state:fail\r\ncluster_slots_ok:10923\r\ncluster_slots_fail:5461\r\n"),
            10_923
        );
    }
}
