//! The connection that all operations share, to a server or to a cluster. It is made again when it breaks.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, RedisError, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
};
use riqle_jobs_core::{Error, Jitter, RetryPolicy};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::error::{is_of_the_connection, is_refused_for_now, is_unknown_script, translate, unavailable};
use crate::script::Script;

/// How long a connection may take to be made.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection to one node of a cluster may take: so that one that accepts and never answers keeps no
/// caller from the others.
pub(crate) const NODE_CONNECTED_WITHIN: Duration = Duration::from_secs(1);
/// How long a node of a cluster may take to answer: its replica takes over sooner as a rule.
pub(crate) const NODE_ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take: a connection whose other end is gone must not hold a caller forever.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// How long replicas have for what `wait` asks of them.
const REPLICATED_WITHIN: Duration = Duration::from_secs(1);
const TRIES: u32 = 5;

/// Written before a WAIT, also where the script before it found everything done: what a connection waits for is its own
/// newest write. The deletion comes first, since that needs no memory.
const MARK: &str = "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], '')";

/// What the script of an enqueue answers where its queue is to be entered first.
pub(crate) const NOTHING_YET: &[u8] = b"unknown";

/// Where the store is.
#[derive(Clone)]
pub(crate) enum Place {
    Server(Box<Client>),
    Cluster(Box<ClusterClient>, Vec<Client>),
}

/// Whether a command may be sent again if it is unknown what became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Safe,
    Never,
}

pub(crate) struct Server {
    place: Place,
    /// How many replicas have what a script wrote before its caller is answered.
    replicas: u32,
    /// With a number, so that a caller that finds it broken does not drop a newer one.
    current: Mutex<(u64, Option<Link>)>,
    /// Held while a connection is made.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
enum Link {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Server {
    pub(crate) fn new(place: Place, replicas: u32) -> Self {
        Self { place, replicas, current: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.place, Place::Cluster(..))
    }

    /// One that shares nothing with this one but the address.
    pub(crate) fn another(&self) -> Self {
        self.that_waits_for(self.replicas)
    }

    /// Another one, whose scripts are answered once this many replicas have what they wrote. A `WAIT` holds up
    /// all that comes behind it on the same connection.
    pub(crate) fn that_waits_for(&self, replicas: u32) -> Self {
        Self::new(self.place.clone(), replicas)
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Calls a script for the keys that begin with `prefix`.
    pub(crate) async fn call(
        &self,
        operation: &'static str,
        script: &Script,
        prefix: &str,
        arguments: &[Vec<u8>],
        repeat: Repeat,
    ) -> Result<Value, Error> {
        let waits = self.replicas > 0;
        let mut is_known = true;
        let mut tries = 0;
        loop {
            let call =
                if is_known { script.by_hash(prefix, arguments) } else { script.by_text(prefix, arguments) };
            let mut commands = vec![call];
            if waits {
                commands.push(redis::cmd("EVAL").arg(MARK).arg(1).arg(format!("{prefix}waited")).take());
                commands.push(
                    redis::cmd("WAIT")
                        .arg(self.replicas)
                        .arg(u64::try_from(REPLICATED_WITHIN.as_millis()).unwrap_or(1_000))
                        .take(),
                );
            }
            match self.send(prefix, &commands).await {
                Ok(answers) => return self.replicated(operation, answers),
                Err(Failure { error, .. }) if is_known && is_unknown_script(&error) => is_known = false,
                Err(failure) => self.pause(operation, failure, &mut tries, repeat).await?,
            }
        }
    }

    /// Sends commands for keys of one slot, that of `prefix`, and answers with what each was answered.
    pub(crate) async fn ask(
        &self,
        operation: &'static str,
        prefix: &str,
        commands: &[Cmd],
    ) -> Result<Vec<Value>, Error> {
        let mut tries = 0;
        loop {
            match self.send(prefix, commands).await {
                Ok(answers) => return Ok(answers),
                Err(failure) => self.pause(operation, failure, &mut tries, Repeat::Safe).await?,
            }
        }
    }

    /// What each server that holds keys answers to a command.
    pub(crate) async fn of_masters(
        &self,
        operation: &'static str,
        command: Cmd,
    ) -> Result<Vec<Value>, Error> {
        let asked = async {
            let (_, link) = self.link().await?;
            match link {
                Link::Server(mut connection) => {
                    Ok(vec![connection.req_packed_command(&command).await?.extract_error()?])
                }
                Link::Cluster(mut connection) => {
                    let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                    match connection.route_command(command, all).await? {
                        Value::Map(nodes) => Ok(nodes.into_iter().map(|(_, answer)| answer).collect()),
                        Value::Array(nodes) => Ok(nodes.into_iter().filter_map(of_node).collect()),
                        other => Ok(vec![other]),
                    }
                }
            }
        };
        asked.await.map_err(|error: RedisError| translate(operation, error))
    }

    fn replicated(&self, operation: &'static str, mut answers: Vec<Value>) -> Result<Value, Error> {
        // A script that answers so has stored nothing yet.
        if answers.len() > 1 && answers[0] != Value::BulkString(NOTHING_YET.to_vec()) {
            let confirmed = match answers.pop() {
                Some(Value::Int(confirmed)) => u32::try_from(confirmed).unwrap_or(0),
                _ => 0,
            };
            if confirmed < self.replicas {
                let message = format!(
                    "stored, but only {confirmed} of the {} replicas that wait asks for confirmed within \
                     {REPLICATED_WITHIN:?}",
                    self.replicas
                );
                return Err(unavailable(operation, message));
            }
        }
        Ok(answers.into_iter().next().unwrap_or(Value::Nil))
    }

    /// Waits before the next try, or gives up.
    async fn pause(
        &self,
        operation: &'static str,
        failure: Failure,
        tries: &mut u32,
        repeat: Repeat,
    ) -> Result<(), Error> {
        let Failure { error, was_sent } = failure;
        let may_be_sent_again = !was_sent || repeat == Repeat::Safe;
        let is_worth_it = is_refused_for_now(&error)
            || is_of_the_connection(&error) && may_be_sent_again && !error.is_timeout();
        *tries += 1;
        if !is_worth_it || *tries >= TRIES {
            return Err(translate(operation, error));
        }
        let waits = RetryPolicy::exponential(Duration::from_millis(20)).jitter(Jitter::Full);
        sleep(waits.delay_after(*tries, Uuid::new_v4().as_u64_pair().0)).await;
        Ok(())
    }

    async fn send(&self, prefix: &str, commands: &[Cmd]) -> Result<Vec<Value>, Failure> {
        let (number, mut link) = self.link().await.map_err(|error| Failure { error, was_sent: false })?;
        let answers = match timeout(ANSWERED_WITHIN, link.send(prefix, commands)).await {
            Ok(answers) => answers,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        };
        answers.map_err(|error| {
            let is_broken = is_of_the_connection(&error)
                || matches!(link, Link::Cluster(_)) && is_refused_for_now(&error);
            if is_broken {
                self.drop_link(number);
            }
            Failure { error, was_sent: true }
        })
    }

    async fn link(&self) -> RedisResult<(u64, Link)> {
        if let Some(link) = self.known_link() {
            return Ok(link);
        }
        let _only_one = self.connecting.lock().await;
        if let Some(link) = self.known_link() {
            return Ok(link);
        }
        let link = match timeout(CONNECTED_WITHIN, self.place.connect()).await {
            Ok(link) => link?,
            Err(_) => return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = (current.0 + 1, Some(link.clone()));
        Ok((current.0, link))
    }

    fn known_link(&self) -> Option<(u64, Link)> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.1.clone().map(|link| (current.0, link))
    }

    fn drop_link(&self, number: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == number {
            current.1 = None;
        }
    }
}

/// Of a pair of address and answer.
fn of_node(pair: Value) -> Option<Value> {
    match pair {
        Value::Array(pair) => pair.into_iter().next_back(),
        _ => None,
    }
}

struct Failure {
    error: RedisError,
    /// Whether it may have been carried out.
    was_sent: bool,
}

impl Place {
    async fn connect(&self) -> RedisResult<Link> {
        match self {
            Place::Server(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECTED_WITHIN))
                    .set_response_timeout(Some(ANSWERED_WITHIN));
                Ok(Link::Server(client.get_multiplexed_async_connection_with_config(&config).await?))
            }
            Place::Cluster(client, _) => Ok(Link::Cluster(client.get_async_connection().await?)),
        }
    }

    /// The nodes that were named.
    pub(crate) fn nodes(&self) -> &[Client] {
        match self {
            Place::Server(client) => std::slice::from_ref(client.as_ref()),
            Place::Cluster(_, nodes) => nodes,
        }
    }
}

impl Link {
    async fn send(&mut self, prefix: &str, commands: &[Cmd]) -> RedisResult<Vec<Value>> {
        if let ([command], Link::Server(connection)) = (commands, &mut *self) {
            return Ok(vec![connection.req_packed_command(command).await?.extract_error()?]);
        }
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let answers = match self {
            Link::Server(connection) => connection.req_packed_commands(&pipeline, 0, commands.len()).await?,
            Link::Cluster(connection) => {
                let node = SingleNodeRoutingInfo::SpecificNode(Route::with_key(prefix, SlotAddr::Master));
                match commands {
                    [command] => {
                        let answer = connection.route_command(command.clone(), RoutingInfo::SingleNode(node));
                        vec![answer.await?]
                    }
                    _ => connection.route_pipeline(pipeline, 0, commands.len(), node).await?,
                }
            }
        };
        answers.into_iter().map(Value::extract_error).collect()
    }
}
