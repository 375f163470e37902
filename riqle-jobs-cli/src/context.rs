//! What every command has: the store, who acts, and where to print.

use std::{ffi::OsString, process::Command, sync::Arc};

use riqle_jobs::{
    Error, ErrorKind, Jobs, operator::Operator, postgres::Postgres, redis::Redis, sqlite::Sqlite,
    store::Store,
};

use tokio::sync::OnceCell;

use crate::{Console, arguments::Common, failure::Failure};

pub(crate) struct Context<'a> {
    pub(crate) console: &'a mut Console,
    pub(crate) url: String,
    pub(crate) json: bool,
    by: Option<String>,
    /// Opened by the first who asks.
    jobs: OnceCell<Jobs>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(common: Common, given: &[OsString], console: &'a mut Console) -> Result<Self, Failure> {
        let url = common.url.filter(|url| !url.trim().is_empty());
        let url = url.ok_or_else(|| {
            Failure::usage(
                "no store given: pass --url or set RIQLE_JOBS_URL to sqlite:PATH, postgres://…, redis://… or redis-cluster://…",
            )
        })?;
        if common.by.as_ref().is_some_and(|by| by.trim().is_empty()) {
            return Err(Failure::usage("--as is empty"));
        }
        let is_in_arguments = given.iter().any(|argument| argument.to_string_lossy().contains(&*url));
        if is_in_arguments && has_password(&url) {
            console.warn(
                "riqle-jobs: warning: the password in --url is visible in process lists; set RIQLE_JOBS_URL instead\n",
            );
        }
        Ok(Self { console, url, json: common.json, by: common.by, jobs: OnceCell::new() })
    }

    /// The store, which must be there: none is made, and no schema is changed.
    pub(crate) async fn jobs(&self) -> Result<Jobs, Failure> {
        let jobs = self.jobs.get_or_try_init(|| async { Ok::<_, Error>(Jobs::new(&self.store().await?)) });
        Ok(jobs.await?.clone())
    }

    async fn store(&self) -> Result<Arc<dyn Store>, Error> {
        let url = &self.url;
        match scheme(url).as_str() {
            "memory" => self.console.memory().cloned().ok_or_else(|| {
                let message = "an in-memory store is visible only to its own process";
                Error::new(ErrorKind::Misconfigured, "connect", message)
            }),
            "sqlite" => Ok(Arc::new(Sqlite::options(url).migrate(false).open().await?)),
            "postgres" | "postgresql" => Ok(Arc::new(Postgres::options(url).migrate(false).open().await?)),
            "redis" | "rediss" | "redis-cluster" | "rediss-cluster" => {
                Ok(Arc::new(Redis::connect(url).await?))
            }
            _ => riqle_jobs::connect(url).await,
        }
    }

    /// Who acts, on the store.
    pub(crate) async fn operator(&self) -> Result<Operator, Failure> {
        Ok(self.jobs().await?.operator(self.by()))
    }

    pub(crate) fn by(&self) -> String {
        let set = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        self.by.clone().unwrap_or_else(|| {
            let user = set("USER").or_else(|| set("LOGNAME")).unwrap_or_else(|| "somebody".to_owned());
            match host() {
                Some(host) => format!("{user}@{host}"),
                None => user,
            }
        })
    }
}

/// In lower case, and empty where there is none.
pub(crate) fn scheme(url: &str) -> String {
    url.split_once(':').map(|(scheme, _)| scheme.to_lowercase()).unwrap_or_default()
}

fn host() -> Option<String> {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let told = || Some(String::from_utf8_lossy(&Command::new("hostname").output().ok()?.stdout).into_owned());
    let host = read.or_else(told)?;
    Some(host.trim().to_owned()).filter(|host| !host.is_empty())
}

/// Whether a URL has something between `:` and `@`, behind its scheme, or a parameter that is one.
fn has_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let in_authority = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    in_authority.is_some_and(|(_, password)| !password.is_empty()) || query.contains("password=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_seen_where_urls_have_one() {
        for with in
            ["postgres://anna:secret@db/shop", "redis://:secret@cache", "postgres://db/shop?password=secret"]
        {
            assert!(has_password(with), "{with}");
        }
        for without in
            ["sqlite:jobs.db", "postgres://anna@db:5432/shop", "redis://cache:6379", "postgres:///a:b@c"]
        {
            assert!(!has_password(without), "{without}");
        }
    }
}
