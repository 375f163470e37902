//! Faults of the processes and the store.

use std::time::Duration;

use riqle_jobs_conformance::Random;
use rustix::process::Signal;
use tokio::time::sleep;

use crate::{LEASE, children::Children, server::Kind, server::Server};

/// How long a worker may take to shut down: its grace, and some time for the store.
const ENDS_WITHIN: Duration = Duration::from_secs(40);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A worker is killed, and another started.
    Kill(usize),
    /// A worker is stopped, and goes on after a time.
    Stop(usize, Duration),
    /// A worker is told to stop, and another started.
    ShutDown(usize),
    /// The machine's clock is set.
    Clock(i64),
    /// The server, or a node of it, crashes, and is started after a time.
    Crash(usize, Duration),
    Cut,
    Silence,
    FullDisk(Duration),
    /// A replica takes over from a master that lives.
    Failover(usize),
    /// A node of the cluster is stopped, and goes on after a time.
    StopNode(usize, Duration),
}

impl Fault {
    pub(crate) fn draw(random: &mut Random, kind: Kind, has_disk: bool) -> Self {
        let worker = random.below(4);
        let mut up_to = |lease: u32| LEASE.mul_f64(random.below(1_000) as f64 / 1_000.0) * lease;
        let (long, short) = (up_to(2), up_to(1));
        let node = random.below(6);
        // Those of every store, then those of this one.
        match (random.below(11), kind) {
            (0..3, _) => Fault::Kill(worker),
            (3..5, _) => Fault::Stop(worker, long),
            (5, _) => Fault::ShutDown(worker),
            (6..8, Kind::Sqlite) => Fault::Clock(10 * (random.below(25) as i64 - 12)),
            (6..8, Kind::Postgres | Kind::Redis) => Fault::Crash(0, short),
            (6, Kind::RedisCluster) => Fault::Crash(node, long),
            (7, Kind::RedisCluster) => Fault::StopNode(node, long),
            (8..10, Kind::RedisCluster) => Fault::Failover(node),
            (8, Kind::Postgres | Kind::Redis) => Fault::Silence,
            (9, Kind::Postgres | Kind::Redis) | (10, Kind::RedisCluster) => Fault::Cut,
            _ if has_disk => Fault::FullDisk(short),
            _ => Fault::Kill(worker),
        }
    }

    /// Resolves once it is over.
    pub(crate) async fn inject(self, children: &mut Children, server: &mut Server) -> Result<(), String> {
        match self {
            Fault::Kill(number) => {
                if let Some(worker) = children.workers.get_mut(number) {
                    worker.kill();
                }
                children.replace(number)
            }
            Fault::Stop(number, time) => {
                if let Some(worker) = children.workers.get(number) {
                    worker.signal(Signal::STOP);
                    sleep(time).await;
                    worker.signal(Signal::CONT);
                }
                Ok(())
            }
            Fault::ShutDown(number) => {
                if let Some(worker) = children.workers.get_mut(number) {
                    worker.signal(Signal::TERM);
                    worker.ends_within(ENDS_WITHIN).await?;
                }
                children.replace(number)
            }
            Fault::Clock(minutes) => children.machine.as_ref().map_or(Ok(()), |clock| clock.set(minutes)),
            Fault::Crash(node, time) => {
                tokio::task::block_in_place(|| server.crash(node));
                sleep(time).await;
                tokio::task::block_in_place(|| server.start_again(node))
            }
            Fault::Cut => {
                server.cut();
                Ok(())
            }
            Fault::Silence => {
                server.silence();
                Ok(())
            }
            Fault::FullDisk(time) => {
                let Some(disk) = server.disk() else { return Ok(()) };
                disk.fill()?;
                sleep(time).await;
                disk.make_room()?;
                // It may have crashed for want of room.
                tokio::task::block_in_place(|| {
                    server.crash(0);
                    server.start_again(0)
                })
            }
            Fault::Failover(node) => {
                server.fail_over(node)?;
                sleep(Duration::from_secs(1)).await;
                Ok(())
            }
            Fault::StopNode(node, time) => server.stop_node(node, time).await,
        }
    }
}
