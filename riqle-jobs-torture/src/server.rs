//! The store under torture: its server, and the ways in which it fails.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use riqle_jobs_conformance::Proxy;
use riqle_jobs_test_servers::{Durability, PostgresServer, RedisCluster, RedisServer, signal_process};
use tempfile::TempDir;

use crate::disk::Disk;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Redis,
    RedisCluster,
}

impl Kind {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "sqlite" => Some(Kind::Sqlite),
            "postgres" => Some(Kind::Postgres),
            "redis" => Some(Kind::Redis),
            "redis-cluster" => Some(Kind::RedisCluster),
            _ => None,
        }
    }
}

pub(crate) struct Server {
    programs: Programs,
    proxy: Option<Arc<Proxy>>,
    disk: Option<Disk>,
    // After what lies on it.
    folder: TempDir,
}

enum Programs {
    None,
    Postgres(PostgresServer),
    Redis(RedisServer),
    Cluster(RedisCluster),
}

impl Server {
    pub(crate) async fn start(kind: Kind) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("can't make a folder: {error}"))?;
        let disk = match kind {
            // Each of its nodes would need one.
            Kind::RedisCluster => None,
            _ => Disk::mounted_on(folder.path()),
        };
        let programs = tokio::task::block_in_place(|| programs(kind, folder.path()))?;
        let port = match &programs {
            Programs::Postgres(server) => Some(server.port()),
            Programs::Redis(server) => Some(server.port()),
            Programs::None | Programs::Cluster(_) => None,
        };
        let proxy = match port {
            Some(port) => {
                let proxy = Proxy::start(port).await;
                Some(proxy.map_err(|error| format!("the proxy can't listen: {error}"))?)
            }
            None => None,
        };
        Ok(Self { programs, proxy, disk, folder })
    }

    /// As the processes reach it.
    pub(crate) fn url(&self) -> String {
        let port = self.proxy.as_ref().map_or(0, |proxy| proxy.port());
        match &self.programs {
            Programs::None => format!("sqlite:{}", self.folder.path().join("jobs.db").display()),
            Programs::Postgres(_) => format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            Programs::Redis(_) => format!("redis://127.0.0.1:{port}"),
            // One replica of each master may take over.
            Programs::Cluster(cluster) => format!("{}?wait=1", cluster.url()),
        }
    }

    pub(crate) fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// Takes the server, or a node of it, down as a crash does.
    pub(crate) fn crash(&mut self, node: usize) {
        match &mut self.programs {
            Programs::None => {}
            Programs::Postgres(server) => server.crash(),
            Programs::Redis(server) => server.kill(),
            Programs::Cluster(cluster) => {
                if let Some(node) = cluster.nodes.get_mut(node) {
                    node.kill();
                }
            }
        }
    }

    /// Starts what a crash took down, and waits until it serves.
    pub(crate) fn start_again(&mut self, node: usize) -> Result<(), String> {
        match &mut self.programs {
            Programs::None => Ok(()),
            Programs::Postgres(server) => server.start_again(),
            Programs::Redis(server) => server.start_again(),
            Programs::Cluster(cluster) => {
                if let Some(node) = cluster.nodes.get_mut(node) {
                    node.start_again()?;
                }
                cluster.wait()
            }
        }
    }

    /// Breaks off the connections so far.
    pub(crate) fn cut(&self) {
        match (&self.proxy, &self.programs) {
            (Some(proxy), _) => proxy.cut(),
            (None, Programs::Cluster(cluster)) => {
                for node in &cluster.nodes {
                    for kind in ["normal", "pubsub"] {
                        let _ = node.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
                    }
                }
            }
            _ => {}
        }
    }

    /// The connections so far carry nothing any more.
    pub(crate) fn silence(&self) {
        if let Some(proxy) = &self.proxy {
            proxy.silence();
        }
    }

    /// Lets a replica of the cluster take over from its master, which may refuse that while it has no other.
    pub(crate) fn fail_over(&self, node: usize) -> Result<(), String> {
        let Programs::Cluster(cluster) = &self.programs else { return Ok(()) };
        let replicas: Vec<_> = cluster.nodes.iter().filter(|node| node.is_replica()).collect();
        let replica = replicas.get(node % replicas.len().max(1)).ok_or("the cluster has no replica")?;
        replica.command(&["CLUSTER", "FAILOVER"]).map(drop)
    }

    /// Stops a node of the cluster as SIGSTOP does, for a time.
    pub(crate) async fn stop_node(&self, node: usize, time: Duration) -> Result<(), String> {
        let Programs::Cluster(cluster) = &self.programs else { return Ok(()) };
        let Some(node) = cluster.nodes.get(node) else { return Ok(()) };
        let process = node.process()?;
        signal_process(&process, "-STOP")?;
        tokio::time::sleep(time).await;
        signal_process(&process, "-CONT")?;
        tokio::task::block_in_place(|| cluster.wait())
    }

    /// The ports of the nodes that are masters.
    pub(crate) fn masters(&self) -> BTreeSet<u16> {
        let Programs::Cluster(cluster) = &self.programs else { return BTreeSet::new() };
        cluster.nodes.iter().filter(|node| !node.is_replica()).map(|node| node.port()).collect()
    }
}

fn programs(kind: Kind, folder: &Path) -> Result<Programs, String> {
    // So that what is answered outlives a crash.
    let always = ["--appendfsync", "always"];
    Ok(match kind {
        Kind::Sqlite => Programs::None,
        Kind::Postgres => Programs::Postgres(PostgresServer::start_in(folder, Durability::Full)?),
        Kind::Redis => Programs::Redis(RedisServer::start_in(folder, &always)?),
        Kind::RedisCluster => Programs::Cluster(RedisCluster::start_with(&always)?),
    })
}
