//! The options of a store, and how it is opened.

use std::sync::Arc;

use redis::cmd;
use riqle_jobs_core::{Clock, Error, ErrorKind, Limits};

use crate::{
    Redis,
    error::{CONNECT, unavailable},
    handle::Shared,
    keys::Keys,
    server::Server,
    settings::Settings,
    url::{OfUrl, Secret, parse},
    values::maybe_bytes,
    wake::{Channel, Wakes},
};

/// Options for opening a store.
///
/// The server's user needs these permissions and no others, here for the default prefix; in a cluster on every
/// node, plus `+cluster|slots`:
///
/// ```text
/// ACL SETUSER riqle on >PASSWORD resetkeys ~riqle:* resetchannels &riqle:* -@all +ping +info +config|get +wait +publish +subscribe +eval +evalsha +time +type +get +set +del +exists +hget +hmget +hgetall +hvals +hset +hdel +hlen +hexists +sadd +srem +smembers +sismember +zadd +zrem +zscore +zcard +zcount +zlexcount +zrange +zrangebyscore +zrangebylex +zrevrank +zrevrangebylex +rpush +lrange +ltrim
/// ```
///
/// `+config|get` only lets the health report more; a database in the URL needs `+select`.
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until `open`"]
pub struct RedisOptions {
    url: Secret,
    clock: Clock,
    limits: Limits,
}

impl RedisOptions {
    pub(crate) fn of_url(url: &str) -> Self {
        Self { url: Secret(url.to_owned()), clock: Clock::default(), limits: Limits::default() }
    }

    /// Takes the time from `clock`, such as a `&ManualClock`, instead of the server.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Sets what the store accepts.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Connects, and checks how the server persists its data.
    ///
    /// # Errors
    /// `Misconfigured` for a wrong URL, user or password, a server older than 6.2, a server named as a cluster
    /// or the reverse, one that evicts runs when its memory is full, and keys laid out by another version;
    /// `Unavailable` if the server can't be reached.
    pub async fn open(self) -> Result<Redis, Error> {
        let OfUrl { place, addresses, keys, replicas, allows_eviction } = parse(&self.url.0)?;
        let server = Server::new(place, 0);
        let waiting = (replicas > 0).then(|| server.that_waits_for(replicas));
        let settings = Settings::of(CONNECT, &server).await.map_err(|error| match error.kind() {
            ErrorKind::Unavailable => {
                let message =
                    format!("no Redis server answers at {addresses} ({}); is it running?", error.message());
                unavailable("connect", message).caused_by(error)
            }
            _ => error,
        })?;
        settings.iter().try_for_each(|settings| settings.check(server.place(), allows_eviction))?;
        check_layout(&server, &keys).await?;
        let wake = Wakes::new(Some(Channel::new(&server, &keys)));
        Ok(Redis {
            shared: Arc::new(Shared {
                server,
                waiting,
                keys,
                clock: self.clock,
                limits: self.limits,
                groups: Default::default(),
                writes: Default::default(),
                wake,
            }),
        })
    }
}

/// The version of the layout of `keys.rs`, `rows.rs` and the scripts; raised when that changes.
const LAYOUT: &str = "1";

/// So that no version reads another version's layout.
async fn check_layout(server: &Server, keys: &Keys) -> Result<(), Error> {
    let (registry, key) = (keys.registry(), keys.of_registry("layout"));
    let get = cmd("GET").arg(&key).take();
    let set = cmd("SET").arg(&key).arg(LAYOUT).arg("NX").take();
    let found = match server.ask(CONNECT, &registry, &[set, get.clone()]).await {
        Ok(found) => found,
        // A full server accepts nothing new; the next one to connect writes it.
        Err(_) => server.ask(CONNECT, &registry, &[get]).await?,
    };
    let Some(layout) = found.into_iter().next_back().map(maybe_bytes).transpose()?.flatten() else {
        return Ok(());
    };
    if layout == LAYOUT.as_bytes() {
        return Ok(());
    }
    let layout = String::from_utf8_lossy(&layout);
    let message = format!(
        "the keys at {registry} have the layout {layout}; this version of riqle-jobs knows {LAYOUT}: use the version that wrote \
         them, or another prefix"
    );
    Err(Error::new(ErrorKind::Misconfigured, "connect", message))
}
