//! `prune`: deletes what is older than it must be kept.

use riqle_jobs::store::Retention;
use serde_json::json;

use crate::{
    act::{confirm, failure_of},
    arguments::Prune,
    context::Context,
    failure::Failure,
    interruption::interruption,
    times::age,
};

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
        let options = "--ended, --dead, --events, --emails, --metrics or --actions";
        return Err(Failure::usage(format!("nothing to delete: pass {options}")));
    }
    let operator = context.operator().await?;
    confirm(asked.yes, "Permanently delete everything older?", context)?;
    let interruption = interruption()?;
    let pruned = operator.prune(retention, &interruption).await;
    let (done, pruned) = pruned.map_err(|error| failure_of(error, &interruption))?;
    context.tell(
        &format!("deleted {pruned}"),
        &json!({
            "action": done.action,
            "runs": pruned.runs,
            "events": pruned.events,
            "emails": pruned.emails,
            "metrics": pruned.metrics,
            "actions": pruned.actions,
        }),
    )
}
