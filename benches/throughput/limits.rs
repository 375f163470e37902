//! What the machine allows with no library at all, to be read beside the figures of the stores.

use std::{
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Connection, Executor, PgConnection, Row};

use crate::{CONCURRENCY, DRAIN_RUNS, order, print_rate};

pub(crate) async fn print(url: &str, folder: &Path) {
    if url == "memory:" {
        print_rate("limit_drain", DRAIN_RUNS, channel().await);
    } else if url.starts_with("sqlite:") {
        disk(folder);
    } else if url.starts_with("redis:") {
        redis_loops();
    } else {
        disk(folder);
        server().await;
    }
}

/// A bare channel and a task for each item, as many at once as a worker has slots.
async fn channel() -> Duration {
    let (items, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    (0..DRAIN_RUNS).for_each(|number| items.send(order(number)).unwrap());
    drop(items);
    let slots = Arc::new(tokio::sync::Semaphore::new(CONCURRENCY));
    let ended = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    while let Some(order) = waiting.recv().await {
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let ended = Arc::clone(&ended);
        tokio::spawn(async move {
            ended.fetch_add(u64::from(!order.order_id.is_empty()), Ordering::Relaxed);
            drop(slot);
        });
    }
    let _ = slots.acquire_many(CONCURRENCY as u32).await.unwrap();
    assert_eq!(ended.load(Ordering::Relaxed), DRAIN_RUNS);
    begun.elapsed()
}

/// How long the disk takes to keep a small write.
fn disk(folder: &Path) {
    let mut file = std::fs::File::create(folder.join("sync")).unwrap();
    let mut took: Vec<f64> = (0..500)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&[0; 4_096]).unwrap();
            file.sync_data().unwrap();
            begun.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!("disk_sync_p50 {}\ndisk_sync_p99 {}", took[took.len() / 2], took[took.len() * 99 / 100]);
}

pub(crate) fn database_url() -> String {
    std::env::var("DATABASE_URL").expect("DATABASE_URL names no server; cargo xtask bench starts one")
}

/// The URL of an empty schema.
pub(crate) async fn fresh_schema() -> String {
    let url = database_url();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.execute("DROP SCHEMA IF EXISTS bench CASCADE").await.unwrap();
    connection.execute("CHECKPOINT").await.unwrap();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}schema=bench")
}

/// How safe the server's commits are.
pub(crate) fn settings() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(&database_url()).await.unwrap();
        let mut shown = Vec::new();
        for setting in ["server_version", "fsync", "synchronous_commit"] {
            let query = sqlx::query("SELECT current_setting($1)").bind(setting);
            let value: String = query.fetch_one(&mut connection).await.unwrap().get(0);
            shown.push(format!("{setting}={value}"));
        }
        shown.join(", ")
    })
}

/// Raw loops: rows of a thousand inserted at once, and a hundred taken and deleted at once by each of four.
async fn server() {
    let mut connection = PgConnection::connect(&database_url()).await.unwrap();
    let table = "CREATE SCHEMA IF NOT EXISTS bench; DROP TABLE IF EXISTS bench.raw;
                 CREATE TABLE bench.raw (id bigint PRIMARY KEY, due_at bigint NOT NULL, input bytea NOT NULL);
                 CREATE INDEX ON bench.raw (due_at, id)";
    connection.execute(table).await.unwrap();
    let all: Vec<i64> = (0..DRAIN_RUNS as i64).collect();
    let begun = Instant::now();
    for ids in all.chunks(1_000) {
        let insert = "INSERT INTO bench.raw SELECT id, id, input FROM unnest($1::bigint[], $2::bytea[]) AS v(id, input)";
        let inputs: Vec<Vec<u8>> =
            ids.iter().map(|id| serde_json::to_vec(&order(*id as u64)).unwrap()).collect();
        sqlx::query(insert).bind(ids).bind(inputs).execute(&mut connection).await.unwrap();
    }
    print_rate("limit_bulk", DRAIN_RUNS, begun.elapsed());
    let begun = Instant::now();
    let mut takers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        takers.spawn(async {
            let mut connection = PgConnection::connect(&database_url()).await.unwrap();
            let take = "DELETE FROM bench.raw WHERE id = ANY (ARRAY(
                            SELECT id FROM bench.raw WHERE due_at <= $1 ORDER BY due_at, id
                            LIMIT 100 FOR UPDATE SKIP LOCKED)) RETURNING input";
            while !sqlx::query(take).bind(i64::MAX).fetch_all(&mut connection).await.unwrap().is_empty() {}
        });
    }
    takers.join_all().await;
    print_rate("limit_drain", DRAIN_RUNS, begun.elapsed());
}

fn redis() -> redis::Connection {
    let url = std::env::var("REDIS_URL").expect("REDIS_URL names no server; cargo xtask bench starts one");
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

/// The URL of an empty server: everything on it is deleted.
pub(crate) fn fresh_redis() -> String {
    let mut connection = redis();
    redis::cmd("FLUSHALL").exec(&mut connection).unwrap();
    std::env::var("REDIS_URL").unwrap()
}

/// How much memory the server has in use, in bytes.
pub(crate) fn redis_memory() -> u64 {
    let info: String = redis::cmd("INFO").arg("memory").query(&mut redis()).unwrap();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    used.unwrap().trim().parse().unwrap()
}

/// The server's process.
pub(crate) fn redis_process() -> u64 {
    let info: String = redis::cmd("INFO").arg("server").query(&mut redis()).unwrap();
    let process = info.lines().find_map(|line| line.strip_prefix("process_id:"));
    process.unwrap().trim().parse().unwrap()
}

/// How the server keeps what it is given.
pub(crate) fn redis_settings() -> String {
    let mut connection = redis();
    let mut shown = Vec::new();
    for setting in ["appendonly", "appendfsync", "maxmemory-policy"] {
        let (name, value): (String, String) =
            redis::cmd("CONFIG").arg("GET").arg(setting).query(&mut connection).unwrap();
        shown.push(format!("{name}={value}"));
    }
    shown.join(", ")
}

/// Raw loops of scripts: a thousand put in at once, and a hundred taken at once, and then deleted.
fn redis_loops() {
    let put = redis::Script::new(
        "for n = 1, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[n], ARGV[n + 1])
         redis.call('ZADD', KEYS[1], ARGV[n], ARGV[n]) end",
    );
    let take = redis::Script::new(
        "local ids = redis.call('ZRANGE', KEYS[1], 0, 99)
         if #ids == 0 then return {} end
         redis.call('ZREM', KEYS[1], unpack(ids))
         for _, id in ipairs(ids) do redis.call('HSET', KEYS[3], id, ARGV[1]) end
         return { ids, redis.call('HMGET', KEYS[2], unpack(ids)) }",
    );
    let end = redis::Script::new(
        "redis.call('HDEL', KEYS[3], unpack(ARGV)) return redis.call('HDEL', KEYS[2], unpack(ARGV))",
    );
    let mut connection = redis();
    let (due, inputs, held) = ("{raw}:due", "{raw}:inputs", "{raw}:held");
    let all: Vec<u64> = (0..DRAIN_RUNS).collect();
    let begun = Instant::now();
    for ids in all.chunks(1_000) {
        let mut call = put.key(due);
        call.key(inputs);
        ids.iter().for_each(|id| {
            call.arg(*id).arg(serde_json::to_vec(&order(*id)).unwrap());
        });
        call.invoke::<()>(&mut connection).unwrap();
    }
    print_rate("limit_bulk", DRAIN_RUNS, begun.elapsed());
    let begun = Instant::now();
    loop {
        let taken: Vec<Vec<Vec<u8>>> =
            take.key(due).key(inputs).key(held).arg("worker").invoke(&mut connection).unwrap();
        let Some(ids) = taken.first() else { break };
        let mut call = end.key(due);
        call.key(inputs).key(held);
        ids.iter().for_each(|id| {
            call.arg(id);
        });
        call.invoke::<()>(&mut connection).unwrap();
    }
    print_rate("limit_drain", DRAIN_RUNS, begun.elapsed());
}
