//! The connections for the store's own statements: lent, checked, closed and made again.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use riqle_jobs_core::{Error, ErrorKind};
use sqlx::{Connection, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    address,
    connect::{silent, while_running},
    error::{Failure, Result},
};

/// How long a caller waits for a connection.
pub(crate) const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// A connection idle for this long may be cut by now, and is checked first.
const SURELY_ALIVE: Duration = Duration::from_secs(1);
const PING_ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// Plans are made for the tables as they are, and kept; older ones are made again, since autovacuum, which has them made
/// again when tables have grown, may be late or off.
const PLANS_LAST: Duration = Duration::from_secs(60);
/// A connection idle for this long is closed.
const KEPT: Duration = Duration::from_secs(10 * 60);

/// The connections that the store's own statements run on. The one given back last is lent first, and none is asked
/// whether it lives when it comes back: a statement is one round trip, and those that are needed stay warm.
#[derive(Debug)]
pub(crate) struct Connections {
    options: PgConnectOptions,
    /// Whether statements stay prepared, and so have plans to be made again.
    keeps_plans: bool,
    idle: Mutex<Vec<Idle>>,
    permits: Arc<Semaphore>,
    losses: AtomicU64,
    /// What connecting failed with, unless the newest connect succeeded.
    away: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    planned_at: Instant,
    since: Instant,
}

impl Connections {
    pub(crate) fn new(options: PgConnectOptions, keeps_plans: bool, most: u32) -> Arc<Self> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            options,
            keeps_plans,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(most)),
            losses: AtomicU64::new(0),
            away: Mutex::default(),
        })
    }

    /// Lends a connection.
    pub(crate) async fn lend(self: &Arc<Self>) -> Result<Lent> {
        let permit = match timeout(CONNECTED_WITHIN, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(permit) => permit.map_err(|_| sqlx::Error::PoolClosed)?,
            // If the server is unavailable, the callers waiting for it hold all of them.
            Err(_) => match self.away().clone() {
                Some(away) => return Err(Failure::from(Error::new(ErrorKind::Unavailable, "connect", away))),
                None => return Err(sqlx::Error::PoolTimedOut.into()),
            },
        };
        let lent = |connection, planned_at| {
            let loss = Loss { home: Arc::clone(self), is_back: false };
            Lent { connection, planned_at, loss, _permit: permit }
        };
        if let Some(mut idle) = self.newest() {
            if matches!(timeout(PING_ANSWERED_WITHIN, idle.make_ready(self.keeps_plans)).await, Ok(Ok(()))) {
                return Ok(lent(idle.connection, idle.planned_at));
            }
            // The others have lain idle for longer.
            self.forget_idle();
        }
        match reached(&self.options).await {
            Ok(connection) => {
                *self.away() = None;
                Ok(lent(connection, Instant::now()))
            }
            Err(error) => {
                *self.away() = Some(error.message().to_owned());
                Err(Failure::from(error))
            }
        }
    }

    fn newest(&self) -> Option<Idle> {
        self.idle().pop()
    }

    /// After a connection broke off, the others are likely to be broken, too.
    pub(crate) fn forget_idle(&self) {
        self.losses.fetch_add(1, Ordering::SeqCst);
        let forgotten = std::mem::take(&mut *self.idle());
        drop(forgotten);
    }

    /// How often one was lost. What another server answers, or one that has crashed, may be older than what was committed
    /// before.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Ordering::SeqCst)
    }

    fn away(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    /// Checks that it is alive, if that is not certain.
    async fn make_ready(&mut self, keeps_plans: bool) -> Result<()> {
        if keeps_plans && self.planned_at.elapsed() >= PLANS_LAST {
            self.connection.execute("DISCARD PLANS").await?;
            self.planned_at = Instant::now();
        } else if self.since.elapsed() >= SURELY_ALIVE {
            self.connection.ping().await?;
        }
        Ok(())
    }
}

/// A new connection.
///
/// # Errors
/// `Unavailable`, with what the store's first connect would say: what was right when the store was opened, such as a
/// password that has been changed since, is likely to be right again.
pub(crate) async fn reached(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    match timeout(CONNECTED_WITHIN, address::connect(options)).await {
        Ok(connection) => connection.map_err(|error| while_running(options, error)),
        Err(_) => Err(silent(options)),
    }
}

/// How long an answer of a [`Probe`] holds.
const PROBED_FOR: Duration = Duration::from_secs(1);

/// Whether a server can be reached: one caller asks, and the others have its answer.
#[derive(Debug, Default)]
pub(crate) struct Probe(AsyncMutex<Option<(Instant, Option<String>)>>);

impl Probe {
    /// Makes a connection, unless one was made just now.
    ///
    /// # Errors
    /// As [`reached`].
    pub(crate) async fn reach(&self, options: &PgConnectOptions) -> Result<(), Error> {
        let mut newest = self.0.lock().await;
        if newest.as_ref().is_none_or(|(at, _)| at.elapsed() >= PROBED_FOR) {
            let away = reached(options).await.err().map(|error| error.message().to_owned());
            *newest = Some((Instant::now(), away));
        }
        match newest.as_ref().and_then(|(_, away)| away.clone()) {
            Some(away) => Err(Error::new(ErrorKind::Unavailable, "connect", away)),
            None => Ok(()),
        }
    }
}

/// A connection on loan. If dropped it is closed: what it still waits for is unknown.
pub(crate) struct Lent {
    connection: PgConnection,
    planned_at: Instant,
    loss: Loss,
    _permit: OwnedSemaphorePermit,
}

/// Counts a connection that does not come back.
struct Loss {
    home: Arc<Connections>,
    is_back: bool,
}

impl Drop for Loss {
    fn drop(&mut self) {
        if !self.is_back {
            self.home.losses.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Lent {
    /// Back to the others, at rest.
    pub(crate) fn give_back(mut self) {
        self.loss.is_back = true;
        let mut idle = self.loss.home.idle();
        // The oldest lie first.
        let kept = idle.iter().position(|idle| idle.since.elapsed() < KEPT).unwrap_or(idle.len());
        let closed: Vec<Idle> = idle.drain(..kept).collect();
        idle.push(Idle { connection: self.connection, planned_at: self.planned_at, since: Instant::now() });
        drop(idle);
        drop(closed);
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
