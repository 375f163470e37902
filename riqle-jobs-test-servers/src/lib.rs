//! Servers of one's own, for tests and benchmarks: in temporary folders, on free ports, gone at the end.

mod own;
mod postgres;
mod redis;

pub use self::{
    postgres::{Durability, PostgresServer},
    redis::{RedisCluster, RedisServer, redis_command, redis_is_installed, signal_process},
};
