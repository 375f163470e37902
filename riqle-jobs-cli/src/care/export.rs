//! `export`: a run for a bug report.

use riqle_jobs::web::redacted;

use crate::{context::Context, failure::Failure, look::json_of, selection::run_id};

/// Without the values of keys such as `password` and `email`, and without the names of addresses.
pub(crate) async fn export(run: &str, context: &mut Context<'_>) -> Result<(), Failure> {
    let whole = json_of(&context.jobs().await?, run_id(run)?).await?;
    let text = redacted(&whole);
    context.console.say(&format!("{text}\n"))
}
