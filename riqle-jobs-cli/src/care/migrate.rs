//! `migrate`: the schema of a SQL store.

use riqle_jobs::{postgres::Postgres, sqlite::Sqlite, store::rules::Migrations};
use serde_json::json;

use crate::{
    arguments::{Migrate, MigrateOnly},
    context::{Context, scheme},
    failure::Failure,
};

pub(crate) async fn migrate(asked: Migrate, context: &mut Context<'_>) -> Result<(), Failure> {
    if let Some(MigrateOnly::Print) = asked.only {
        return print(context);
    }
    let Some(before) = standing(context).await? else {
        let name = scheme(&context.url);
        return context
            .tell(&format!("a {name} store has no schema to migrate"), &json!({"at": null, "pending": []}));
    };
    let pending = before.pending.join(", ");
    match (asked.only, asked.dry_run) {
        _ if before.pending.is_empty() => {
            let line = format!("the schema is up to date, at migration {}", before.applied);
            context.tell(&line, &json!({"at": before.applied, "pending": before.pending}))
        }
        (Some(_), _) => {
            let line = format!("the schema is at migration {}; pending: {pending}", before.applied);
            context.tell(&line, &json!({"at": before.applied, "pending": before.pending}))?;
            Err(Failure::found())
        }
        (None, true) => {
            let line = format!("would apply: {pending}");
            context.tell(&line, &json!({"at": before.applied, "pending": before.pending}))
        }
        (None, false) => {
            riqle_jobs::connect(&context.url).await?;
            let line = format!("applied: {pending}");
            let at = before.applied + before.pending.len();
            context.tell(&line, &json!({"at": at, "applied": before.pending, "pending": []}))
        }
    }
}

/// How the schema stands; `None` for a store that has none.
async fn standing(context: &Context<'_>) -> Result<Option<Migrations>, Failure> {
    let url = &context.url;
    Ok(match scheme(url).as_str() {
        "sqlite" => Some(Sqlite::options(url).migrations().await?),
        "postgres" | "postgresql" => Some(Postgres::options(url).migrations().await?),
        _ => {
            context.jobs().await?;
            None
        }
    })
}

fn print(context: &mut Context<'_>) -> Result<(), Failure> {
    let sql = match scheme(&context.url).as_str() {
        "sqlite" => Sqlite::schema_sql(),
        "postgres" | "postgresql" => Postgres::options(&context.url).schema_sql()?,
        name => return Err(Failure::refused(format!("a {name} store has no schema to print"))),
    };
    if context.json { context.print_json(&json!({"sql": sql})) } else { context.console.say(&sql) }
}
