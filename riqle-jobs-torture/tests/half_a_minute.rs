//! Half a minute of torture a store: `cargo xtask torture` takes longer.

#![allow(clippy::unwrap_used)]

use std::process::Command;

fn torture(store: &str) {
    let mut torture = Command::new(env!("CARGO_BIN_EXE_riqle-jobs-torture"));
    let tortured = torture.args(["--store", store, "--minutes", "0.5"]).output().unwrap();
    let told =
        [String::from_utf8_lossy(&tortured.stdout), String::from_utf8_lossy(&tortured.stderr)].concat();
    assert!(tortured.status.success(), "{told}");
}

#[test]
fn nothing_is_lost_on_sqlite() {
    torture("sqlite");
}

#[test]
fn nothing_is_lost_on_postgres() {
    torture("postgres");
}

#[test]
fn nothing_is_lost_on_redis() {
    torture("redis");
}

#[test]
fn nothing_is_lost_on_a_redis_cluster() {
    torture("redis-cluster");
}
