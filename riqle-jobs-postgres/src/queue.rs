//! What producers and workers ask (`Queue`), and the connection that extends leases.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use riqle_jobs_core::{
    ClaimRequest, Claimed, Clock, Enqueued, Error, ErrorKind, Hint, LeaseAnswer, LeaseConnection, LeaseRef,
    LeaseToken, Limits, NewRun, Queue, Settlement, StepSave, WakeUps, from_millis, store::Note,
};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use crate::{
    Postgres, address,
    claim::claim,
    error::Result as Fallible,
    notes::annotate,
    rows::get,
    settle::settle,
    steps::{Locked, extend, save_steps},
    work::{BEGIN, Work},
};

/// How long the keeper of leases waits for its own connection: less than a lease.
const EXTENDED_WITHIN: Duration = Duration::from_secs(5);

#[async_trait]
impl Queue for Postgres {
    async fn enqueue(&self, runs: Vec<NewRun>) -> Result<Vec<Enqueued>, Error> {
        self.shared.limits.check_group(&runs)?;
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        self.enqueue_group(runs).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claimed, Error> {
        // Whoever asks gives back by the token what an answer that was lost has claimed.
        self.ask_once("claim", &(self.clone(), request), |work, (store, request)| {
            Box::pin(claim(work, store, request))
        })
        .await
    }

    async fn give_back(&self, queue: &str, token: LeaseToken) -> Result<(), Error> {
        let question = (queue.to_owned(), token);
        self.ask("give_back", &question, |work, (queue, token)| Box::pin(give_back(work, queue, *token)))
            .await
    }

    async fn extend(&self, leases: Vec<LeaseRef>, lease: Duration) -> Result<Vec<LeaseAnswer>, Error> {
        let question = (leases, lease);
        let waiting = self.ask("extend", &question, |work, (leases, lease)| {
            Box::pin(extend(work, leases, *lease, Locked::Wait))
        });
        // None was skipped.
        Ok(waiting.await?.into_iter().map(|answer| answer.unwrap_or(LeaseAnswer::LeaseLost)).collect())
    }

    async fn save_steps(&self, steps: Vec<StepSave>) -> Result<Vec<LeaseAnswer>, Error> {
        self.ask("save_steps", &steps, |work, steps| Box::pin(save_steps(work, steps))).await
    }

    async fn annotate(&self, notes: Vec<Note>) -> Result<Vec<LeaseAnswer>, Error> {
        self.change("annotate", &notes, |work, notes| Box::pin(annotate(work, notes))).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<LeaseAnswer>, Error> {
        if self.shared.keeps_succeeded {
            self.ask("settle", &settlements, |work, settlements| Box::pin(settle(work, true, settlements)))
                .await
        } else {
            // What the runs leave goes with them.
            self.change("settle", &settlements, |work, settlements| {
                Box::pin(settle(work, false, settlements))
            })
            .await
        }
    }

    async fn lease_connection(&self) -> Result<Box<dyn LeaseConnection>, Error> {
        Ok(Box::new(PostgresLeaseConnection { store: self.clone(), connection: None }))
    }

    fn wake_ups(&self) -> WakeUps {
        self.shared.wake.wake_ups()
    }

    fn clock(&self) -> Clock {
        self.shared.clock.clone()
    }

    async fn now(&self) -> Result<Timestamp, Error> {
        self.ask("now", &(), |work, ()| {
            Box::pin(async move {
                let row = work.timed("SELECT riqle.now($1) AS now").fetch_one(&mut *work.connection).await?;
                Ok(from_millis(get(&row, "now")?))
            })
        })
        .await
    }

    fn limits(&self) -> Limits {
        self.shared.limits
    }
}

async fn give_back(work: &mut Work<'_>, queue: &str, token: LeaseToken) -> Fallible<()> {
    let freed = work
        .timed(include_str!("../queries/give_back.sql"))
        .bind(queue.to_owned())
        .bind(token.as_uuid())
        .execute(&mut *work.connection)
        .await?;
    if freed.rows_affected() > 0 {
        work.hint(Hint::Due(Some(queue.to_owned())));
    }
    Ok(())
}

/// Extends leases on a connection of its own, made on the keeper's runtime: neither a pool that is empty nor a body that
/// blocks the application's runtime keeps it from that.
struct PostgresLeaseConnection {
    store: Postgres,
    connection: Option<PgConnection>,
}

#[async_trait]
impl LeaseConnection for PostgresLeaseConnection {
    async fn extend(
        &mut self,
        leases: Vec<LeaseRef>,
        lease: Duration,
    ) -> Result<Vec<Option<LeaseAnswer>>, Error> {
        let extended = match timeout(EXTENDED_WITHIN, self.try_extend(&leases, lease)).await {
            Ok(extended) => extended.map_err(|error| error.of("extend")),
            Err(_) => {
                let message = format!("the server did not answer within {EXTENDED_WITHIN:?}");
                Err(Error::new(ErrorKind::Unavailable, "extend", message))
            }
        };
        if extended.is_err() {
            self.connection = None;
        }
        extended
    }
}

impl PostgresLeaseConnection {
    async fn try_extend(
        &mut self,
        leases: &[LeaseRef],
        lease: Duration,
    ) -> Fallible<Vec<Option<LeaseAnswer>>> {
        let shared = &self.store.shared;
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(address::connect(&shared.options).await?),
        };
        if shared.statements.need_transactions() {
            let mut transaction = connection.begin_with(BEGIN).await?;
            let mut work = Work::new(&mut transaction, &shared.statements, self.store.frozen());
            let answers = extend(&mut work, leases, lease, Locked::Skip).await?;
            transaction.commit().await?;
            return Ok(answers);
        }
        let mut work = Work::new(connection, &shared.statements, self.store.frozen());
        extend(&mut work, leases, lease, Locked::Skip).await
    }
}
