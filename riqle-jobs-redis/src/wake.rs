//! Hints to other processes, by PUBLISH. In a cluster a message comes to every node, so any will do.

use futures_util::StreamExt;
use redis::{
    aio::{PubSubSink, PubSubStream},
    cmd,
};
use riqle_jobs_core::{
    Cause,
    store::rules::{HintChannel, HintListener, RemoteHints},
};

use crate::{keys::Keys, server::Server};

pub(crate) type Wakes = RemoteHints<Channel>;

pub(crate) struct Channel {
    name: String,
    /// Of the slot that messages are sent by.
    prefix: String,
    server: Server,
}

impl Channel {
    pub(crate) fn new(server: &Server, keys: &Keys) -> Self {
        Self { name: keys.channel(), prefix: keys.registry(), server: server.another() }
    }
}

impl HintChannel for Channel {
    type Listener = Listener;

    async fn publish(&self, messages: Vec<String>) -> Result<(), Cause> {
        let publish = |message: String| cmd("PUBLISH").arg(&self.name).arg(message).take();
        let commands: Vec<_> = messages.into_iter().map(publish).collect();
        self.server.ask("wake", &self.prefix, &commands).await?;
        Ok(())
    }

    /// Of a cluster another node each time.
    async fn listen(&self, turn: usize) -> Result<Listener, Cause> {
        let nodes = self.server.place().nodes();
        let node = nodes.get(turn % nodes.len().max(1)).ok_or("the cluster has no nodes")?;
        let mut connection = node.get_async_pubsub().await?;
        connection.subscribe(&self.name).await?;
        let (questions, messages) = connection.split();
        Ok(Listener { questions, messages })
    }
}

pub(crate) struct Listener {
    questions: PubSubSink,
    messages: PubSubStream,
}

impl HintListener for Listener {
    async fn next(&mut self) -> Result<String, Cause> {
        let message = self.messages.next().await.ok_or("the server has closed it")?;
        Ok(String::from_utf8_lossy(message.get_payload_bytes()).into_owned())
    }

    async fn check(&mut self) -> Result<(), Cause> {
        self.questions.ping::<redis::Value>().await?;
        Ok(())
    }
}
