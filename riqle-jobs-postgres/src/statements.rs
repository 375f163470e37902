//! The store's statements, rewritten for the schema that it uses.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use riqle_jobs_core::{Error, ErrorKind};
use sqlx::{AssertSqlSafe, Postgres as Driver, postgres::PgArguments};

/// A statement in flight.
pub(crate) type Query = sqlx::query::Query<'static, Driver, PgArguments>;

/// The schema that the statements are written for.
const WRITTEN_FOR: &str = "riqle";

/// The statements of a store, in its own schema.
#[derive(Debug)]
pub(crate) struct Statements {
    schema: String,
    /// Whether statements stay prepared under a name: not where connections are shared by a pooler.
    named: bool,
    texts: Mutex<HashMap<(usize, usize), Arc<str>>>,
}

impl Statements {
    /// # Errors
    /// `Misconfigured` for a schema's name that is not plain, or that PostgreSQL keeps for itself.
    pub(crate) fn new(schema: &str, named: bool) -> Result<Self, Error> {
        let starts_well = schema.starts_with(|first: char| first.is_ascii_lowercase() || first == '_');
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !starts_well || !schema.chars().all(is_plain) || schema.len() > 63 {
            let message =
                format!("schema {schema:?} must be at most 63 lower-case letters, digits and underscores");
            return Err(Error::new(ErrorKind::Misconfigured, "connect", message));
        }
        if schema.starts_with("pg_") {
            let message =
                format!("schema {schema:?} starts with pg_, which PostgreSQL reserves; choose another");
            return Err(Error::new(ErrorKind::Misconfigured, "connect", message));
        }
        Ok(Self { schema: schema.to_owned(), named, texts: Mutex::default() })
    }

    /// Whether each statement needs a transaction around it: a pooler may hand the connection on between the parsing of
    /// an unnamed statement and its execution, but not within a transaction.
    pub(crate) fn need_transactions(&self) -> bool {
        !self.named
    }

    pub(crate) fn schema(&self) -> &str {
        &self.schema
    }

    /// A statement whose tables are written as `riqle.…`.
    pub(crate) fn query(&self, template: &'static str) -> Query {
        let query = match self.schema.as_str() {
            WRITTEN_FOR => sqlx::query(template),
            _ => sqlx::query(AssertSqlSafe(self.kept(template))),
        };
        query.persistent(self.named)
    }

    /// As [`query`](Self::query), of a text that is put together for this once.
    pub(crate) fn query_once(&self, text: &str) -> Query {
        sqlx::query(AssertSqlSafe(self.text(text))).persistent(false)
    }

    /// The text for this schema, whose name may be a word of SQL.
    pub(crate) fn text(&self, template: &str) -> String {
        template.replace("riqle.", &format!("\"{}\".", self.schema))
    }

    fn kept(&self, template: &'static str) -> Arc<str> {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (template.as_ptr().addr(), template.len());
        Arc::clone(texts.entry(key).or_insert_with(|| self.text(template).into()))
    }
}
