//! `prune`: deletes what need not be kept any longer.

use riqle_jobs::store::Retention;
use serde_json::json;

use crate::{act::confirm, arguments::Prune, context::Context, failure::Failure, times::age};

pub(crate) async fn prune(asked: Prune, context: &mut Context<'_>) -> Result<(), Failure> {
    let read = |option, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => age(option, text),
    };
    let retention = Retention {
        ended: read("--ended", &asked.ended)?,
        dead: read("--dead", &asked.dead)?,
        events: read("--events", &asked.events)?,
        emails: read("--emails", &asked.emails)?,
        metrics: read("--metrics", &asked.metrics)?,
        actions: read("--actions", &asked.actions)?,
    };
    if retention == Retention::FOREVER {
        return Err(Failure::usage(
            "nothing is to be deleted: give --ended, --dead, --events, --emails, --metrics or --actions",
        ));
    }
    confirm(asked.yes, "Delete what is older, for good?", context)?;
    let jobs = context.jobs().await?;
    let mut all = riqle_jobs::store::Pruned::default();
    // A call deletes a bounded portion.
    loop {
        let pruned = jobs.store().prune(retention).await?;
        all.runs += pruned.runs;
        all.events += pruned.events;
        all.emails += pruned.emails;
        all.metrics += pruned.metrics;
        all.actions += pruned.actions;
        if pruned == riqle_jobs::store::Pruned::default() {
            break;
        }
    }
    let line = format!(
        "deleted {} runs, {} events, {} emails, {} spans of figures, {} actions",
        all.runs, all.events, all.emails, all.metrics, all.actions
    );
    context.tell(
        &line,
        &json!({"runs": all.runs, "events": all.events, "emails": all.emails, "metrics": all.metrics, "actions": all.actions}),
    )
}
