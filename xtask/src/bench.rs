//! `cargo xtask bench`, `cargo xtask soak` and `cargo xtask pages`: the benchmarks themselves are `benches/throughput/`,
//! `benches/soak/` and `riqle-jobs-web/benches/pages.rs`.

use std::process::Command;

use crate::{
    chromium,
    command::{self, cargo},
    servers::{Durability, Servers},
};

pub(crate) fn run(options: &[&str]) -> Result<(), String> {
    beside_its_server(&mut cargo("bench --package riqle-jobs --bench throughput --locked --"), options)
}

/// Five hundred runs a second, for half an hour unless told otherwise; it writes charts.
pub(crate) fn soak(options: &[&str]) -> Result<(), String> {
    let mut soak = cargo("bench --package riqle-jobs --bench soak --locked --");
    beside_its_server(soak.envs(chromium::programs()?), options)
}

pub(crate) fn pages(options: &[&str]) -> Result<(), String> {
    beside_its_server(&mut cargo("bench --package riqle-jobs-web --bench pages --locked --"), options)
}

/// With the server that the options name.
fn beside_its_server(bench: &mut Command, options: &[&str]) -> Result<(), String> {
    let servers = if options.contains(&"postgres") {
        Some(Servers::start_postgres(Durability::Full)?)
    } else if options.contains(&"redis") {
        Some(Servers::start_redis()?)
    } else {
        None
    };
    if let Some(servers) = &servers {
        servers.tell(bench);
    }
    command::run(bench.args(options))
}
