//! Runs an operation on a connection: its time limit, its retries, its transaction, its hints.

use std::{future::Future, pin::Pin, time::Duration};

use riqle_jobs_core::{Error, Hint, Jitter, RetryPolicy};
use sqlx::{Connection, PgConnection};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::{
    Postgres,
    connections::Lent,
    error::{Failure, Result as Fallible},
    floors::Found,
    statements::{Query, Statements},
};

/// How long a statement, or a transaction of ours, may take: a connection whose other end is gone must not hold
/// anybody forever, nor for as long as a lease.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// After a restart of the server each connection of the pool may be broken; a new one is made instead.
const TRIES: u32 = 5;

/// Begins a transaction of our own statements. They are written for READ COMMITTED: under a stricter level, which the
/// database may have as its default, they would fail for each other's sake.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
/// Begins a transaction of the application, of the isolation that the database or the application says. It fails on a
/// server that is read-only, in the same round trip: what it would write would fail.
pub(crate) const BEGIN_TO_WRITE: &str =
    "BEGIN; SELECT 1 / CASE current_setting('transaction_read_only') WHEN 'on' THEN 0 ELSE 1 END";
/// Fails on a server that is read-only.
pub(crate) const CHECK_WRITABLE: &str =
    "SELECT 1 / CASE current_setting('transaction_read_only') WHEN 'on' THEN 0 ELSE 1 END";
/// Each waits for up to twice as long as the one before, beginning here.
const PAUSE: Duration = Duration::from_millis(10);

/// The operations that surely write, so that their success shows that the store can be written to.
const WRITES: [&str; 8] = [
    "enqueue",
    "settle",
    "save_steps",
    "report_worker",
    "store_events",
    "start_events",
    "intend_email",
    "record_action",
];

/// A connection at work for one operation.
pub(crate) struct Work<'c> {
    pub(crate) connection: &'c mut PgConnection,
    pub(crate) statements: &'c Statements,
    /// Stands in for the server's time, in milliseconds.
    pub(crate) frozen: Option<i64>,
    /// To be sent once it is done.
    hints: Vec<Hint>,
    /// To be kept once it is done.
    pub(crate) found: Option<Found>,
}

impl<'c> Work<'c> {
    pub(crate) fn new(
        connection: &'c mut PgConnection,
        statements: &'c Statements,
        frozen: Option<i64>,
    ) -> Self {
        Self { connection, statements, frozen, hints: Vec::new(), found: None }
    }

    /// A statement whose tables are written as `riqle.…`.
    pub(crate) fn query(&self, template: &'static str) -> Query {
        self.statements.query(template)
    }

    /// As [`query`](Self::query), with the frozen time as its first parameter.
    pub(crate) fn timed(&self, template: &'static str) -> Query {
        self.query(template).bind(self.frozen)
    }

    /// Runs a statement that answers nothing.
    pub(crate) async fn run(&mut self, query: Query) -> Fallible<()> {
        query.execute(&mut *self.connection).await?;
        Ok(())
    }

    /// What is to be sent, for who commits it.
    pub(crate) fn take_hints(&mut self) -> Vec<Hint> {
        std::mem::take(&mut self.hints)
    }

    /// Sends a hint after the commit.
    pub(crate) fn hint(&mut self, hint: Hint) {
        if !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
    }
}

/// What [`Postgres::ask`] and [`Postgres::change`] run.
pub(crate) type Apply<Q, A> = for<'w, 'c> fn(&'w mut Work<'c>, &'w Q) -> Working<'w, A>;

/// An operation under way.
pub(crate) type Working<'w, A> = Pin<Box<dyn Future<Output = Fallible<A>> + Send + 'w>>;

/// How the statements of an operation stand to each other.
#[derive(Clone, Copy)]
enum Stand {
    Apart,
    Together,
}

impl Postgres {
    /// Runs `apply`, which is one statement, or several that need not stand together. It may be run again after a
    /// connection broke off.
    pub(crate) async fn ask<Q: Sync, A>(
        &self,
        operation: &'static str,
        question: &Q,
        apply: Apply<Q, A>,
    ) -> Result<A, Error> {
        self.repeat(operation, question, apply, Stand::Apart).await
    }

    /// Runs `apply` once: what it did before a connection broke off is not to be done a second time.
    pub(crate) async fn ask_once<Q: Sync, A>(
        &self,
        operation: &'static str,
        question: &Q,
        apply: Apply<Q, A>,
    ) -> Result<A, Error> {
        self.try_once(question, apply).await.map_err(|error| error.of(operation))
    }

    /// Runs `apply` in a transaction.
    pub(crate) async fn change<Q: Sync, A>(
        &self,
        operation: &'static str,
        question: &Q,
        apply: Apply<Q, A>,
    ) -> Result<A, Error> {
        self.repeat(operation, question, apply, Stand::Together).await
    }

    async fn repeat<Q: Sync, A>(
        &self,
        operation: &'static str,
        question: &Q,
        apply: Apply<Q, A>,
        stand: Stand,
    ) -> Result<A, Error> {
        let answer = self.try_again(question, apply, stand).await;
        if WRITES.contains(&operation) {
            match answer {
                Err(error) if error.is_in_the_way() => return Err(error.of(operation)),
                answer => {
                    return self.shared.writes.note(answer.map_err(|error| error.of(operation)));
                }
            }
        }
        answer.map_err(|error| error.of(operation))
    }

    async fn try_again<Q: Sync, A>(&self, question: &Q, apply: Apply<Q, A>, stand: Stand) -> Fallible<A> {
        let mut tries = 1;
        loop {
            let answer = match stand {
                Stand::Apart => self.try_once(question, apply).await,
                Stand::Together => self.try_in_transaction(question, apply).await,
            };
            match answer {
                Err(error) if tries < TRIES && error.is_worth_repeating() => {
                    if !error.is_outrun() {
                        let pauses = RetryPolicy::exponential(PAUSE).jitter(Jitter::Full);
                        sleep(pauses.delay_after(tries, Uuid::new_v4().as_u64_pair().0)).await;
                    }
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    async fn try_once<Q: Sync, A>(&self, question: &Q, apply: Apply<Q, A>) -> Fallible<A> {
        if self.shared.statements.need_transactions() {
            return self.try_in_transaction(question, apply).await;
        }
        let mut connection = self.shared.connections.lend().await?;
        let mut work = Work::new(&mut connection, &self.shared.statements, self.frozen());
        let answer = answered(apply(&mut work, question)).await;
        let (hints, found) = (work.take_hints(), work.found.take());
        self.put_away(connection, answer.as_ref().err());
        let answer = answer?;
        self.done(hints, found);
        Ok(answer)
    }

    async fn try_in_transaction<Q: Sync, A>(&self, question: &Q, apply: Apply<Q, A>) -> Fallible<A> {
        let mut connection = self.shared.connections.lend().await?;
        let in_transaction = async {
            let mut transaction = connection.begin_with(BEGIN).await?;
            let mut work = Work::new(&mut transaction, &self.shared.statements, self.frozen());
            let applied = apply(&mut work, question).await;
            let (hints, found) = (work.take_hints(), work.found.take());
            match applied {
                Ok(answer) => {
                    transaction.commit().await?;
                    Ok((answer, hints, found))
                }
                Err(error) => {
                    // Where that fails, so does the next use of the connection; what failed first is what matters.
                    let _ = transaction.rollback().await;
                    Err(error)
                }
            }
        };
        let answer = answered(in_transaction).await;
        self.put_away(connection, answer.as_ref().err());
        let (answer, hints, found) = answer?;
        self.done(hints, found);
        Ok(answer)
    }

    /// What follows from an operation once it is committed.
    fn done(&self, hints: Vec<Hint>, found: Option<Found>) {
        hints.into_iter().for_each(|hint| self.shared.wake.send(hint));
        if let Some(found) = found {
            self.shared.floors.keep(found);
        }
    }

    /// Back to the others, unless it broke off.
    fn put_away(&self, connection: Lent, error: Option<&Failure>) {
        match error {
            Some(error) if error.is_of_the_connection() || matches!(error, Failure::Silence(_)) => {
                self.shared.connections.forget_idle();
            }
            // Whatever left it in a transaction, no caller must get it like this.
            _ if connection.is_in_transaction() => drop(connection),
            _ => connection.give_back(),
        }
    }

    /// The time used instead of the server's.
    pub(crate) fn frozen(&self) -> Option<i64> {
        self.shared.clock.manual().map(|clock| clock.now().as_millisecond())
    }
}

/// What a statement answers, unless it takes too long.
pub(crate) async fn answered<A, E>(answer: impl Future<Output = Result<A, E>>) -> Fallible<A>
where
    Failure: From<E>,
{
    answered_within(ANSWERED_WITHIN, answer).await
}

/// As [`answered`], for what may take longer.
pub(crate) async fn answered_within<A, E>(
    patience: Duration,
    answer: impl Future<Output = Result<A, E>>,
) -> Fallible<A>
where
    Failure: From<E>,
{
    let answer = timeout(patience, answer).await.map_err(|_| Failure::Silence(patience))?;
    answer.map_err(Failure::from)
}

/// For what has no [`Work`].
pub(crate) async fn within<A, E>(
    operation: &'static str,
    answer: impl Future<Output = Result<A, E>>,
) -> Result<A, Error>
where
    Failure: From<E>,
{
    answered(answer).await.map_err(|error| error.of(operation))
}
