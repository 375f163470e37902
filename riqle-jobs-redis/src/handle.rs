//! The handle of the store, and what its clones share.

use std::{fmt, sync::Arc};

use redis::Value;
use riqle_jobs_core::{AsStore, Clock, Error, Limits, Store, store::Writes};

use crate::{
    RedisOptions,
    enqueue::Groups,
    keys::Keys,
    script::Script,
    server::{Repeat, Server},
    wake::Wakes,
};

/// A store on a Redis server or cluster. A handle: clones share connections, which close with the last of them.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), riqle_jobs_core::Error> {
/// use riqle_jobs_core::{Jobs, NewRun, Payload, Priority, Queue};
/// use riqle_jobs_redis::Redis;
///
/// let store = Redis::connect("redis://localhost").await?;
/// let run = NewRun::named("confirm-order", Payload::json("o-1")?);
/// store.enqueue(vec![run]).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Redis {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) server: Server,
    /// If `wait` asks for replicas.
    pub(crate) waiting: Option<Server>,
    pub(crate) keys: Keys,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) groups: Groups,
    /// The outcome of writes.
    pub(crate) writes: Writes,
    pub(crate) wake: Arc<Wakes>,
}

impl AsStore for Redis {
    type Database = ();

    fn as_store(&self) -> Arc<dyn Store> {
        Arc::new(self.clone())
    }

    fn database(&self) {}
}

impl Redis {
    /// Connects to `redis://user:password@host:port/database`, `rediss://…` (TLS) or
    /// `redis-cluster://user:password@host:port,host:port`. Parameters:
    ///
    /// - `prefix=NAME`: the prefix of all keys; default `riqle`.
    /// - `wait=N`: an enqueue, a settlement and a saved step are answered once N replicas have them; default 0.
    /// - `allow_eviction=true`: accept a server that evicts runs when its memory is full.
    /// - `ca=FILE`: the root certificate (PEM) for `rediss://`, instead of the well-known ones.
    ///
    /// # Errors
    /// As [`RedisOptions::open`].
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::options(url).open().await
    }

    /// As [`connect`](Self::connect), with more options.
    pub fn options(url: &str) -> RedisOptions {
        RedisOptions::of_url(url)
    }

    /// Calls a script for a queue's keys.
    pub(crate) async fn call(
        &self,
        operation: &'static str,
        script: &Script,
        queue: &str,
        arguments: Vec<Vec<u8>>,
    ) -> Result<Value, Error> {
        let prefix = self.shared.keys.queue(queue);
        let server = &self.shared.server;
        server.call(operation, script, &prefix, &arguments, Repeat::Safe).await
    }

    /// As [`call`](Self::call), answered once as many replicas have it as `wait` asks for.
    pub(crate) async fn call_durably(
        &self,
        operation: &'static str,
        script: &Script,
        queue: &str,
        arguments: Vec<Vec<u8>>,
    ) -> Result<Value, Error> {
        let prefix = self.shared.keys.queue(queue);
        let written = self.durably().call(operation, script, &prefix, &arguments, Repeat::Safe).await;
        self.shared.writes.note(written)
    }

    /// The server for calls answered once as many replicas have them as `wait` asks for.
    pub(crate) fn durably(&self) -> &Server {
        self.shared.waiting.as_ref().unwrap_or(&self.shared.server)
    }

    /// The time used instead of the server's, as scripts take it: milliseconds, or nothing.
    pub(crate) fn frozen(&self) -> Vec<u8> {
        let clock = self.shared.clock.manual();
        clock.map_or_else(Vec::new, |clock| clock.now().as_millisecond().to_string().into_bytes())
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("keys", &self.shared.keys)
            .field("limits", &self.shared.limits)
            .finish_non_exhaustive()
    }
}
