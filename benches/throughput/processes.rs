//! How much the processes of a store's server and this one have computed.

use std::path::Path;

use sqlx::{Connection, Executor, PgConnection, Row};

use crate::limits::{database_url, redis_process};

/// A store's server, as far as it runs on this machine.
pub(crate) struct Server(Option<u64>);

impl Server {
    pub(crate) async fn of(store: &str) -> Self {
        Self(match store {
            "postgres" => postgres_process().await,
            "redis" => Some(redis_process()),
            _ => None,
        })
    }

    /// The seconds that all of its processes and this one have computed.
    pub(crate) fn busy(&self) -> f64 {
        let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| stat(&entry.ok()?.path()));
        let (own, of_server) = (stat(Path::new("/proc/self")).map_or(0, |stat| stat.own), |stat: &Stat| {
            self.0.is_some() && (Some(stat.process) == self.0 || Some(stat.parent) == self.0)
        });
        // What has ended counts with the one that began it.
        let of_server = all
            .filter(of_server)
            .map(|stat| if Some(stat.process) == self.0 { stat.own + stat.of_ended } else { stat.own });
        (of_server.sum::<u64>() + own) as f64 / 100.0
    }
}

/// The one that has begun all the others.
async fn postgres_process() -> Option<u64> {
    let mut connection = PgConnection::connect(&database_url()).await.unwrap();
    let row = connection.fetch_one("SELECT pg_backend_pid()").await.unwrap();
    stat(Path::new("/proc").join(row.get::<i32, _>(0).to_string()).as_path()).map(|stat| stat.parent)
}

struct Stat {
    process: u64,
    parent: u64,
    own: u64,
    of_ended: u64,
}

/// In ticks, which are hundredths of a second on Linux.
fn stat(process: &Path) -> Option<Stat> {
    let text = std::fs::read_to_string(process.join("stat")).ok()?;
    let (before, after) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let field = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
    Some(Stat {
        process: before.split_whitespace().next()?.parse().ok()?,
        parent: field(4)?,
        own: field(14)? + field(15)?,
        of_ended: field(16)? + field(17)?,
    })
}
