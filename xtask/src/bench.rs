//! `cargo xtask bench`: the benchmark itself is `benches/throughput.rs`.

use crate::{
    command::{self, cargo},
    servers::{Durability, Servers},
};

pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    let mut bench = cargo("bench --package riqle-jobs --bench throughput --locked --");
    let servers = if options.contains(&"postgres") {
        Some(Servers::start_postgres(Durability::Full)?)
    } else if options.contains(&"redis") {
        Some(Servers::start_redis()?)
    } else {
        None
    };
    if let Some(servers) = &servers {
        servers.tell(&mut bench);
    }
    command::run(bench.args(options))
}
