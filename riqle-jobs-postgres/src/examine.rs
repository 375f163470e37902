//! What a doctor looks at besides the health page.

use std::time::Duration;

use riqle_jobs_core::{
    Error,
    store::{
        Problem,
        rules::{HintChannel, HintListener},
    },
};
use tokio::time::timeout;

use crate::{Postgres, error::Result, health::OLD_TRANSACTION, rows::get, work::Work};

/// A notification arrives at once, if it does.
const ARRIVES_WITHIN: Duration = Duration::from_secs(3);

impl Postgres {
    pub(crate) async fn look_into(&self) -> std::result::Result<Vec<Problem>, Error> {
        let mut problems = self.ask("examine", &(), |work, ()| Box::pin(of_vacuum(work))).await?;
        problems.extend(self.of_listen().await);
        Ok(problems)
    }

    /// Whether what is sent by NOTIFY arrives: a pooler in transaction mode takes LISTEN, and forgets it.
    async fn of_listen(&self) -> Option<Problem> {
        let channel = self.shared.wake.channel()?.of_a_trial();
        // Where these fail, the server does, which is not for this to tell.
        let mut listener = channel.listen(0).await.ok()?;
        channel.publish(vec!["heard".to_owned()]).await.ok()?;
        match timeout(ARRIVES_WITHIN, listener.next()).await {
            Ok(_) => None,
            Err(_) => Some(Problem::new(
                "NOTIFY is not delivered, so runs enqueued by other processes are found only by polling",
                "Connect to the server directly instead of through a transaction pooler, or add listen=off to the URL.",
            )),
        }
    }
}

async fn of_vacuum(work: &mut Work<'_>) -> Result<Vec<Problem>> {
    let examine = work.query(include_str!("../queries/examine.sql"));
    let schema = work.statements.schema().to_owned();
    let row = examine.bind(schema).bind(OLD_TRANSACTION as f64).fetch_one(&mut *work.connection).await?;
    let mut problems = Vec::new();
    if get::<bool>(&row, "vacuum_is_off")? {
        problems.push(Problem::new(
            "autovacuum is off, so the tables grow and claims slow down",
            "Set autovacuum to on.",
        ));
    }
    if let Some(tables) = get::<Option<String>>(&row, "without_vacuum")? {
        problems.push(Problem::new(
            format!("autovacuum is disabled for {tables}; these tables grow and claims slow down"),
            "Reset it: ALTER TABLE … RESET (autovacuum_enabled).",
        ));
    }
    if let Some(who) = get::<Option<String>>(&row, "oldest_snapshot")? {
        problems.push(Problem::new(
            format!("a long transaction blocks VACUUM: {who}"),
            "End it, or terminate the process with pg_terminate_backend.",
        ));
    }
    if let Some(which) = get::<Option<String>>(&row, "oldest_prepared")? {
        problems.push(Problem::new(
            format!("a prepared transaction blocks VACUUM: {which}"),
            "COMMIT PREPARED or ROLLBACK PREPARED it.",
        ));
    }
    if let Some(slots) = get::<Option<String>>(&row, "idle_slots")? {
        problems.push(Problem {
            may_be_meant: true,
            ..Problem::new(
                format!("inactive replication slots make the server keep its WAL: {slots}"),
                "Start their consumers, or drop them with pg_drop_replication_slot.",
            )
        });
    }
    Ok(problems)
}
