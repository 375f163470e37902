//! The servers that tests and benchmarks run against, unless the environment names others.

use std::process::Command;

use crate::command::{output, run};

#[path = "../../riqle-jobs-postgres/tests/support/cluster.rs"]
mod cluster;

use cluster::Cluster;
pub(crate) use cluster::Durability;

/// They stop where this is dropped.
pub(crate) struct Servers {
    postgres: Option<Cluster>,
}

impl Servers {
    /// Starts what `DATABASE_URL` does not name.
    pub(crate) fn start(durability: Durability) -> Result<Self, String> {
        if std::env::var_os("DATABASE_URL").is_some() {
            return Ok(Self { postgres: None });
        }
        let postgres = Cluster::start(durability).or_else(|problem| {
            install_postgres().map_err(|_| problem)?;
            Cluster::start(durability)
        })?;
        install_pgbouncer()?;
        println!("PostgreSQL for the tests: {}", postgres.url());
        Ok(Self { postgres: Some(postgres) })
    }

    /// Tells a command where they are.
    pub(crate) fn tell(&self, command: &mut Command) {
        if let Some(postgres) = &self.postgres {
            command.env("DATABASE_URL", postgres.url());
        }
    }
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

fn install_postgres() -> Result<(), String> {
    run(Command::new("apt-get").args(["install", "-y", "postgresql"]))
}
