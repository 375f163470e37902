//! How the servers keep what they are given, as they say themselves.

use redis::{Value, cmd};
use riqle_jobs_core::{Error, ErrorKind, store::Problem};

use crate::{
    error::OF_A_CLUSTER,
    server::{Place, Server},
};

/// Of a server, or of a master of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    version: String,
    /// `standalone` or `cluster`.
    mode: String,
    maxmemory_policy: String,
    /// `1` or `0`; empty if the server does not say.
    aof_enabled: String,
    aof_last_write_status: String,
    rdb_last_bgsave_status: String,
    /// `master` or `slave`.
    role: String,
    used_memory: u64,
    /// 0: no limit.
    maxmemory: u64,
    /// Empty if the server does not say: managed ones refuse CONFIG.
    appendfsync: String,
}

impl Settings {
    /// Of each server that holds keys.
    pub(crate) async fn of(operation: &'static str, server: &Server) -> Result<Vec<Self>, Error> {
        let mut settings = Vec::new();
        for node in server.of_masters(operation, cmd("INFO")).await? {
            settings.push(Self::of_info(&text(node)));
        }
        let appendfsync = cmd("CONFIG").arg("GET").arg("appendfsync").take();
        if let Ok(nodes) = server.of_masters(operation, appendfsync).await {
            for (node, settings) in nodes.into_iter().zip(&mut settings) {
                settings.appendfsync = last_text(node);
            }
        }
        Ok(settings)
    }

    fn of_info(info: &str) -> Self {
        let value = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().trim().to_owned()
        };
        Self {
            version: value("redis_version"),
            mode: value("redis_mode"),
            maxmemory_policy: value("maxmemory_policy"),
            aof_enabled: value("aof_enabled"),
            aof_last_write_status: value("aof_last_write_status"),
            rdb_last_bgsave_status: value("rdb_last_bgsave_status"),
            role: value("role"),
            used_memory: value("used_memory").parse().unwrap_or(0),
            maxmemory: value("maxmemory").parse().unwrap_or(0),
            appendfsync: String::new(),
        }
    }

    /// # Errors
    /// `Misconfigured` if the server is too old, belongs to a cluster that the URL does not speak of, or would throw
    /// runs away.
    pub(crate) fn check(&self, place: &Place, allows_eviction: bool) -> Result<(), Error> {
        let mut version = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let version = (version.next().unwrap_or(0), version.next().unwrap_or(0));
        if !self.version.is_empty() && version < (6, 2) {
            return Err(wrong(format!("the server is Redis {}; the store needs 6.2 or later", self.version)));
        }
        if matches!(place, Place::Server(_)) && self.mode == "cluster" {
            return Err(wrong(OF_A_CLUSTER.to_owned()));
        }
        // The volatile policies throw away only what has a time to live, which nothing of ours has.
        if self.maxmemory_policy.starts_with("allkeys") && !allows_eviction {
            return Err(wrong(format!(
                "maxmemory-policy is {}, so the server evicts runs when its memory is full: set it to noeviction, \
                 or add allow_eviction=true to the URL if runs may be lost",
                self.maxmemory_policy
            )));
        }
        Ok(())
    }

    /// What an operator should know.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.maxmemory_policy.starts_with("allkeys") {
            problems.push(Problem::new(
                format!(
                    "maxmemory-policy is {}: runs are evicted when the memory is full",
                    self.maxmemory_policy
                ),
                "Set it to noeviction.",
            ));
        }
        match (self.aof_enabled.as_str(), self.appendfsync.as_str()) {
            ("0", _) => problems.push(Problem::new(
                "appendonly is off: a restart of the server loses what came after its last snapshot",
                "Set it to yes.",
            )),
            ("1", "no") => problems.push(Problem::new(
                "appendfsync is no: a crash of the machine loses what its system had not written",
                "Set it to everysec (at most a second is lost) or always.",
            )),
            _ => {}
        }
        if self.aof_last_write_status == "err" {
            problems.push(Problem::new(
                "the server can't write its append-only file",
                "See its log and its disk.",
            ));
        }
        if self.rdb_last_bgsave_status == "err" {
            problems.push(Problem::new(
                "the server's last snapshot failed, so it refuses writes unless stop-writes-on-bgsave-error is no",
                "See its log and its disk.",
            ));
        }
        if self.role == "slave" {
            problems.push(Problem::new(
                "the server is a replica and takes no writes",
                "Name its master in the URL.",
            ));
        }
        // Where it evicts, it makes room; no key of ours has a time to live.
        if self.maxmemory > 0
            && self.used_memory >= self.maxmemory
            && !self.maxmemory_policy.starts_with("allkeys")
        {
            problems.push(Problem::new(
                format!(
                    "the server is out of memory ({} of {} bytes) and takes no new runs",
                    self.used_memory, self.maxmemory
                ),
                "Raise maxmemory, or let workers and pruning free some.",
            ));
        }
        problems
    }
}

pub(crate) fn text(value: Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text,
        _ => String::new(),
    }
}

/// The last text of a list or map.
fn last_text(value: Value) -> String {
    match value {
        Value::Array(values) => values.into_iter().next_back().map(last_text).unwrap_or_default(),
        Value::Map(pairs) => {
            pairs.into_iter().next_back().map(|(_, value)| last_text(value)).unwrap_or_default()
        }
        value => text(value),
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Misconfigured, "connect", message)
}
