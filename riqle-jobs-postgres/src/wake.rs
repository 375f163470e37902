//! Hints to other processes, by NOTIFY. One is sent in a transaction of its own, never more than one at a time: a commit
//! with one in it holds up every other such commit of the server.

use std::{sync::Arc, time::Duration};

use riqle_jobs_core::{
    Cause,
    store::rules::{HintChannel, HintListener, RemoteHints},
};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use uuid::Uuid;

use crate::{address::reachable, connections::Connections, statements::Statements, work::CHECK_WRITABLE};

const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

pub(crate) type Wakes = RemoteHints<Channel>;

pub(crate) struct Channel {
    name: String,
    connections: Arc<Connections>,
    options: PgConnectOptions,
}

impl Channel {
    pub(crate) fn new(
        connections: &Arc<Connections>,
        options: &PgConnectOptions,
        statements: &Statements,
    ) -> Self {
        Self {
            name: format!("riqle_jobs_{}", statements.schema()).chars().take(63).collect(),
            connections: Arc::clone(connections),
            options: options.clone(),
        }
    }
}

impl Channel {
    /// One that nobody else uses.
    pub(crate) fn of_a_trial(&self) -> Self {
        Self {
            name: format!("riqle_jobs_trial_{}", Uuid::new_v4().simple()),
            connections: Arc::clone(&self.connections),
            options: self.options.clone(),
        }
    }
}

impl HintChannel for Channel {
    type Listener = Listener;

    async fn publish(&self, messages: Vec<String>) -> Result<(), Cause> {
        let mut connection = self.connections.lend().await.map_err(|error| error.of("notify"))?;
        // Its commit need not wait for the disk.
        sqlx::query(
            "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, payload)
             FROM unnest($2::text[]) AS payload",
        )
        .bind(&self.name)
        .bind(messages)
        .execute(&mut *connection)
        .await?;
        connection.give_back();
        Ok(())
    }

    async fn listen(&self, _turn: usize) -> Result<Listener, Cause> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECTED_WITHIN)
            .connect_lazy_with(reachable(&self.options).await);
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(&self.name).await?;
        Ok(Listener(listener))
    }
}

pub(crate) struct Listener(PgListener);

impl HintListener for Listener {
    async fn next(&mut self) -> Result<String, Cause> {
        match self.0.try_recv().await? {
            Some(notification) => Ok(notification.payload().to_owned()),
            None => Err("the server has closed it".into()),
        }
    }

    /// No process writes, and so tells, on a server that is read-only by now.
    async fn check(&mut self) -> Result<(), Cause> {
        sqlx::query(CHECK_WRITABLE).persistent(false).execute(&mut self.0).await?;
        Ok(())
    }
}
