//! The store under load, and what can be measured of it.

use std::{env, fs, path::Path};

use sqlx::{Connection, Executor, PgConnection, Row};

use crate::{
    MEGABYTE,
    figures::{Figures, HISTORY_OF_THE_DAY},
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    Redis,
}

const FILE: &str = "jobs.db";

impl Kind {
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Kind::Sqlite, Kind::Postgres, Kind::Redis].into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
            Kind::Redis => "redis",
        }
    }

    /// The URL of an empty one.
    pub(crate) async fn fresh(self, folder: &Path) -> Result<String, String> {
        match self {
            Kind::Sqlite => Ok(format!("sqlite:{}", folder.join(FILE).display())),
            Kind::Postgres => {
                let url = server("DATABASE_URL")?;
                let mut connection = PgConnection::connect(&url).await.unwrap();
                connection.execute("DROP SCHEMA IF EXISTS soak CASCADE").await.unwrap();
                let separator = if url.contains('?') { '&' } else { '?' };
                Ok(format!("{url}{separator}schema=soak"))
            }
            Kind::Redis => {
                let url = server("REDIS_URL")?;
                let keys: u64 = redis::cmd("DBSIZE").query(&mut redis(&url)).unwrap();
                match keys {
                    0 => Ok(url),
                    _ => Err(format!("REDIS_URL names a server with {keys} keys: a soak needs an empty one")),
                }
            }
        }
    }

    pub(crate) async fn measure(self, url: &str, folder: &Path, figures: &mut Figures) {
        match self {
            Kind::Sqlite => {
                let size = |file: &str| fs::metadata(folder.join(file)).map_or(0, |file| file.len()) as f64;
                figures.note("size of the file, MB", size(FILE) / MEGABYTE);
                figures.note("size of its -wal, MB", size(&format!("{FILE}-wal")) / MEGABYTE);
            }
            Kind::Postgres => {
                let of_server = url.trim_end_matches("schema=soak");
                let mut connection = PgConnection::connect(of_server).await.unwrap();
                let query = sqlx::query(include_str!("postgres.sql"));
                let told = query.fetch_one(&mut connection).await.unwrap();
                let names =
                    ["connections", "size of the tables, MB", "rows of the tables", HISTORY_OF_THE_DAY];
                for (place, name) in names.into_iter().enumerate() {
                    figures.note(name, told.get(place));
                }
            }
            Kind::Redis => {
                let mut connection = redis(url);
                let info: String = redis::cmd("INFO").arg("all").query(&mut connection).unwrap();
                let told = |name: &str| {
                    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    value.and_then(|value| value.trim().parse::<f64>().ok()).unwrap_or_default()
                };
                figures.note("connections", told("connected_clients") - 1.0);
                figures.note("memory of the data, MB", told("used_memory_dataset") / MEGABYTE);
                figures.note("size of the append-only files, MB", told("aof_current_size") / MEGABYTE);
                let keys: f64 = redis::cmd("DBSIZE").query(&mut connection).unwrap();
                figures.note("keys", keys);
            }
        }
    }
}

fn server(variable: &str) -> Result<String, String> {
    env::var(variable).map_err(|_| format!("{variable} names no server: cargo xtask soak starts one"))
}

fn redis(url: &str) -> redis::Connection {
    redis::Client::open(url).unwrap().get_connection().unwrap()
}
