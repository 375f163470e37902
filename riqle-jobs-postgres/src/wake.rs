//! Hints: at once to the workers of this process, by NOTIFY to those of others. A NOTIFY is sent in a transaction of its
//! own, never more than one at a time: a commit with one in it holds up every other such commit of the server.

use std::{
    future::Future,
    mem,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use riqle_jobs_core::{Hint, Wake, WakeSender, WakeUps};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::{sync::Notify, time::timeout};
use uuid::Uuid;

use crate::{address::reachable, connections::Connections, statements::Statements, work::CHECK_WRITABLE};

/// Between two notifications; what comes meanwhile goes out together.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the listening connection may be silent before it is asked whether it still lives.
const SILENCE: Duration = Duration::from_secs(10);
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Wakes {
    local: WakeSender,
    /// Nothing where LISTEN is off.
    remote: Option<Remote>,
}

#[derive(Debug)]
struct Remote {
    /// Tells this handle's own notifications from others'.
    process: Uuid,
    channel: String,
    connections: Arc<Connections>,
    listened_by: PgConnectOptions,
    waiting: Mutex<Waiting>,
    listens: AtomicBool,
    closed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Waiting {
    payloads: Vec<String>,
    /// Whether a task is sending them.
    is_sent: bool,
}

impl Wakes {
    pub(crate) fn new(
        connections: &Arc<Connections>,
        options: &PgConnectOptions,
        statements: &Statements,
        listens: bool,
    ) -> Arc<Self> {
        let remote = listens.then(|| Remote {
            process: Uuid::now_v7(),
            channel: format!("riqle_jobs_{}", statements.schema()).chars().take(63).collect(),
            connections: Arc::clone(connections),
            listened_by: options.clone(),
            waiting: Mutex::default(),
            listens: AtomicBool::new(false),
            closed: Arc::new(Notify::new()),
        });
        Arc::new(Self { local: WakeSender::default(), remote })
    }

    /// Tells the workers of this process, and in a moment those of others.
    pub(crate) fn send(self: &Arc<Self>, hint: Hint) {
        if let Some(remote) = &self.remote {
            let payload = hint.message(remote.process);
            let mut waiting = remote.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if !waiting.payloads.contains(&payload) {
                waiting.payloads.push(payload);
            }
            // Without a runtime it can't be sent, and polling finds the run.
            if !waiting.is_sent
                && let Ok(runtime) = tokio::runtime::Handle::try_current()
            {
                waiting.is_sent = true;
                runtime.spawn(Arc::clone(self).notify());
            }
        }
        self.local.send(hint);
    }

    pub(crate) fn send_all(self: &Arc<Self>, hints: Vec<Hint>) {
        hints.into_iter().for_each(|hint| self.send(hint));
    }

    /// A hint to be fired after the caller's commit.
    pub(crate) fn wake(self: &Arc<Self>, hint: Hint) -> Wake {
        let wakes = Arc::clone(self);
        Wake::by(move || wakes.send(hint.clone()))
    }

    /// Hints from now on; the first call starts listening to other processes.
    pub(crate) fn wake_ups(self: &Arc<Self>) -> WakeUps {
        if let Some(remote) = &self.remote
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !remote.listens.swap(true, Ordering::AcqRel)
        {
            let listening = Listening(Arc::downgrade(self));
            runtime.spawn(listening.run(Arc::clone(&remote.closed)));
        }
        self.local.wake_ups()
    }

    async fn notify(self: Arc<Self>) {
        let Some(remote) = &self.remote else { return };
        let mut sending = Sending { remote, has_ended: false };
        loop {
            let payloads = {
                let mut waiting = remote.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let payloads = mem::take(&mut waiting.payloads);
                waiting.is_sent = !payloads.is_empty();
                payloads
            };
            if payloads.is_empty() {
                sending.has_ended = true;
                return;
            }
            if !matches!(timeout(ANSWERED_WITHIN, remote.tell(payloads)).await, Ok(Ok(()))) {
                tracing::debug!("a notification was lost; polling will find its run");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Remote {
    async fn tell(&self, payloads: Vec<String>) -> Result<(), sqlx::Error> {
        let mut connection = self.connections.lend().await?;
        // Its commit need not wait for the disk.
        sqlx::query(
            "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, payload)
             FROM unnest($2::text[]) AS payload",
        )
        .bind(self.channel.clone())
        .bind(payloads)
        .execute(&mut *connection)
        .await?;
        connection.give_back();
        Ok(())
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        if let Some(remote) = &self.remote {
            remote.closed.notify_one();
        }
    }
}

/// Lets the next hint send if a task ends early, with its runtime.
struct Sending<'a> {
    remote: &'a Remote,
    has_ended: bool,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        // Once it has ended another task may be sending.
        if !self.has_ended {
            self.remote.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_sent = false;
        }
    }
}

/// The listening connection, which comes back by itself and ends with the last handle, or with its runtime: then the next
/// who waits for hints listens on his own.
struct Listening(Weak<Wakes>);

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(wakes) = self.0.upgrade()
            && let Some(remote) = &wakes.remote
        {
            remote.listens.store(false, Ordering::Release);
        }
    }
}

impl Listening {
    async fn run(self, closed: Arc<Notify>) {
        tokio::select! {
            () = self.listen() => {}
            () = closed.notified() => {}
        }
    }

    async fn listen(&self) {
        let mut failures = 0_u32;
        while let Some((process, channel, options)) = self.settings() {
            match self.listen_once(process, &channel, options, failures > 0).await {
                Ok(()) => return,
                Err(Broken { after_success, error }) => {
                    failures = if after_success { 1 } else { failures.saturating_add(1) };
                    tracing::warn!(%error, "the listening connection was lost; reconnecting, polling continues");
                }
            }
            // From a tenth of a second on, spread by who we are.
            let spread = 750 + u64::from(process.as_bytes()[15]) * 2;
            let wait = Duration::from_millis(100) * 2_u32.saturating_pow(failures.min(8));
            tokio::time::sleep(wait.min(LONGEST_WAIT).mul_f64(spread as f64 / 1_000.0)).await;
        }
    }

    fn settings(&self) -> Option<(Uuid, String, PgConnectOptions)> {
        let wakes = self.0.upgrade()?;
        let remote = wakes.remote.as_ref()?;
        Some((remote.process, remote.channel.clone(), remote.listened_by.clone()))
    }

    async fn listen_once(
        &self,
        process: Uuid,
        channel: &str,
        options: PgConnectOptions,
        is_back: bool,
    ) -> Result<(), Broken> {
        let broken = |after_success| move |error: sqlx::Error| Broken { after_success, error };
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ANSWERED_WITHIN)
            .connect_lazy_with(reachable(&options).await);
        let mut listener = PgListener::connect_with(&pool).await.map_err(broken(false))?;
        answered(listener.listen(channel)).await.map_err(broken(false))?;
        if is_back {
            // Whatever was told meanwhile is lost.
            self.tell(Hint::Due(None));
        }
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(notification))) => {
                    if let Some(hint) = Hint::from_message(process, notification.payload())
                        && !self.tell(hint)
                    {
                        return Ok(());
                    }
                }
                Ok(Ok(None)) => return Err(broken(true)(sqlx::Error::Protocol("closed".to_owned()))),
                Ok(Err(error)) => return Err(broken(true)(error)),
                Err(_) => {
                    // Nobody writes, and so tells, on a server that is read-only by now.
                    let alive =
                        answered(sqlx::query(CHECK_WRITABLE).persistent(false).execute(&mut listener));
                    alive.await.map_err(broken(true))?;
                }
            }
        }
    }

    /// Answers whether anybody is left to be told.
    fn tell(&self, hint: Hint) -> bool {
        self.0.upgrade().map(|wakes| wakes.local.send(hint)).is_some()
    }
}

struct Broken {
    after_success: bool,
    error: sqlx::Error,
}

async fn answered<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(ANSWERED_WITHIN, answer).await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut))
}
