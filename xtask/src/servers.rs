//! The servers that tests and benchmarks run against, unless the environment names others.

use std::process::Command;

pub(crate) use riqle_jobs_test_servers::Durability;
use riqle_jobs_test_servers::{PostgresServer, RedisCluster, RedisServer};

use crate::command::{output, run};

/// They stop where this is dropped.
pub(crate) struct Servers {
    postgres: Option<PostgresServer>,
    redis: Option<RedisServer>,
    redis_cluster: Option<RedisCluster>,
}

impl Servers {
    /// Starts what `DATABASE_URL`, `REDIS_URL` and `REDIS_CLUSTER_URL` do not name.
    pub(crate) fn start(durability: Durability) -> Result<Self, String> {
        Ok(Self {
            postgres: postgres(durability)?,
            redis: redis("REDIS_URL", || RedisServer::start(&[]))?,
            redis_cluster: redis("REDIS_CLUSTER_URL", RedisCluster::start)?,
        })
    }

    /// Starts a PostgreSQL server alone.
    pub(crate) fn start_postgres(durability: Durability) -> Result<Self, String> {
        Ok(Self { postgres: postgres(durability)?, redis: None, redis_cluster: None })
    }

    /// Starts a Redis server alone.
    pub(crate) fn start_redis() -> Result<Self, String> {
        let redis = redis("REDIS_URL", || RedisServer::start(&[]))?;
        Ok(Self { postgres: None, redis, redis_cluster: None })
    }

    /// Tells a command where they are.
    pub(crate) fn tell(&self, command: &mut Command) {
        if let Some(postgres) = &self.postgres {
            command.env("DATABASE_URL", postgres.url());
        }
        if let Some(redis) = &self.redis {
            command.env("REDIS_URL", redis.url());
        }
        if let Some(cluster) = &self.redis_cluster {
            command.env("REDIS_CLUSTER_URL", cluster.url());
        }
    }
}

fn postgres(durability: Durability) -> Result<Option<PostgresServer>, String> {
    if std::env::var_os("DATABASE_URL").is_some() {
        return Ok(None);
    }
    let postgres = PostgresServer::start(durability).or_else(|problem| {
        install_postgres().map_err(|_| problem)?;
        PostgresServer::start(durability)
    })?;
    install_pgbouncer()?;
    install_nginx()?;
    println!("PostgreSQL for the tests: {}", postgres.url());
    Ok(Some(postgres))
}

fn redis<T>(variable: &str, start: impl Fn() -> Result<T, String>) -> Result<Option<T>, String> {
    if std::env::var_os(variable).is_some() {
        return Ok(None);
    }
    if !riqle_jobs_test_servers::redis_is_installed() {
        let way_out = "the tests need redis-server and redis-cli: apt-get install redis-server";
        run(Command::new("apt-get").args(["install", "-y", "redis-server"]))
            .map_err(|_| way_out.to_owned())?;
    }
    start().map(Some)
}

/// `cargo xtask servers COMMAND …`: runs a command while they stand.
pub(crate) fn with(arguments: &[&str]) -> Result<(), String> {
    let Some((program, arguments)) = arguments.split_first() else {
        return Err("say what to run: cargo xtask servers cargo test -p riqle-jobs-postgres".to_owned());
    };
    let servers = Servers::start(Durability::NoSync)?;
    let mut command = Command::new(program);
    command.args(arguments);
    servers.tell(&mut command);
    run(&mut command)
}

/// One of the tests goes through it.
fn install_pgbouncer() -> Result<(), String> {
    if output(Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin command -v pgbouncer"])).is_ok() {
        return Ok(());
    }
    let way_out = "the tests need PgBouncer, for the store behind a pooler: apt-get install pgbouncer";
    run(Command::new("apt-get").args(["install", "-y", "pgbouncer"])).map_err(|_| way_out.to_owned())
}

/// The example is tried behind it.
fn install_nginx() -> Result<(), String> {
    if output(Command::new("sh").args(["-c", "PATH=$PATH:/usr/sbin command -v nginx"])).is_ok() {
        return Ok(());
    }
    let way_out = "the tests need nginx, for the shop behind a proxy: apt-get install nginx";
    run(Command::new("apt-get").args(["install", "-y", "nginx"])).map_err(|_| way_out.to_owned())
}

fn install_postgres() -> Result<(), String> {
    run(Command::new("apt-get").args(["install", "-y", "postgresql"]))
}
