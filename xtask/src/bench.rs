//! `cargo xtask bench` and `cargo xtask pages`: the benchmarks themselves are `benches/throughput/` and
//! `riqle-jobs-web/benches/pages.rs`.

use crate::{
    command::{self, cargo},
    servers::{Durability, Servers},
};

pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    beside_its_server("bench --package riqle-jobs --bench throughput --locked --", options)
}

pub(crate) fn pages(options: &[&str]) -> Result<(), String> {
    beside_its_server("bench --package riqle-jobs-web --bench pages --locked --", options)
}

/// With the server that the options name.
fn beside_its_server(bench: &str, options: &[&str]) -> Result<(), String> {
    let mut bench = cargo(bench);
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
