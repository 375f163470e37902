//! PostgreSQL beside many rows: dead ones that an old snapshot keeps, and live ones of which its statistics know nothing.
//! The rows are made by SQL, since a million runs through the API take minutes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use riqle_jobs::{JobInput, Jobs, Worker, store::Store};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{
    CONCURRENCY, DRAIN_RUNS, Nothing, Order, Stamped, fill, idle_latencies,
    limits::{database_url, fresh_schema},
    order,
    processes::Server,
    work_through,
};

const DEAD_RUNS: i64 = 1_000_000;
const BESIDE: i64 = 1_000_000;
const HELD: i64 = 20_000;
const AT_ONCE: i64 = 100_000;
const IDLE_FOR: Duration = Duration::from_secs(20);

/// How fast runs start and drain, on an empty store and then beside a million that have ended since another transaction
/// took its snapshot; and how busy server and worker are then while nothing is to do.
pub(crate) async fn held_snapshot() {
    for name in ["empty", "held"] {
        let store = riqle_jobs::connect(&fresh_schema().await).await.unwrap();
        let mut holder = PgConnection::connect(&database_url()).await.unwrap();
        if name == "held" {
            make_lanes(&store).await;
            holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM bench.runs").await.unwrap();
            end_runs(Order::JOB).await;
            end_runs(Stamped::JOB).await;
        }
        let latencies = idle_latencies(&store).await;
        for percent in [50, 99] {
            println!("{name}_p{percent} {}", latencies[latencies.len() * percent / 100]);
        }
        println!("{name}_cpu {}", idle_cpu(&store).await);
        fill(&store, DRAIN_RUNS).await;
        println!(
            "{name}_drain {}",
            DRAIN_RUNS as f64 / work_through(&store, DRAIN_RUNS, 0).await.as_secs_f64()
        );
        holder.close().await.unwrap();
    }
}

/// How fast a store drains when it is empty, and then among a million runs of which 20,000 are held, while the statistics
/// of its tables and the plans of its connections are of another time: of the empty tables, or of all runs being held.
pub(crate) async fn stale_statistics() {
    let mut server = PgConnection::connect(&database_url()).await.unwrap();
    let mut empty = 0.0;
    for (name, are_held) in [("empty", 0), ("of_empty", 0), ("of_held", BESIDE)] {
        let store = riqle_jobs::connect(&fresh_schema().await).await.unwrap();
        make_lanes(&store).await;
        for table in ["runs", "steps", "unique_keys", "lanes", "dead", "history_rest"] {
            let sql = format!(
                "ALTER TABLE bench.{table} SET (autovacuum_enabled = off); VACUUM ANALYZE bench.{table}"
            );
            for sql in sql.split("; ") {
                server.execute(AssertSqlSafe(sql)).await.unwrap();
            }
        }
        // The plans are made now.
        fill(&store, 2_000).await;
        work_through(&store, 2_000, 1).await;
        if name != "empty" {
            hold_runs(are_held.max(HELD)).await;
            if are_held > 0 {
                server.execute("ANALYZE bench.runs").await.unwrap();
                fill(&store, 2_000).await;
                work_through(&store, 2_000, 1).await;
                let most = "UPDATE bench.runs SET state = 'pending', due_at = due_at + 864000000, token = NULL, \
                            worker = NULL, claimed_at = NULL, lease_until = NULL \
                            WHERE id > (SELECT id FROM bench.runs ORDER BY id OFFSET 20000 LIMIT 1)";
                server.execute(most).await.unwrap();
            } else {
                add_pending(BESIDE - HELD).await;
            }
        }
        fill(&store, DRAIN_RUNS).await;
        let rate = DRAIN_RUNS as f64 / work_through(&store, DRAIN_RUNS, 1).await.as_secs_f64();
        println!("{name}_drain {rate}");
        if name == "empty" {
            empty = rate;
        } else {
            println!("{name}_ratio {}", rate / empty);
        }
    }
}

/// So that the lanes are there.
async fn make_lanes(store: &Arc<dyn Store>) {
    let jobs = Jobs::new(store);
    jobs.enqueue(order(0)).await.unwrap();
    jobs.enqueue(Stamped(order(0))).await.unwrap();
    let mut server = PgConnection::connect(&database_url()).await.unwrap();
    server.execute("DELETE FROM bench.runs").await.unwrap();
}

/// Half of a million runs that were enqueued over the last hours, claimed and settled.
async fn end_runs(job: &str) {
    let mut server = PgConnection::connect(&database_url()).await.unwrap();
    for first in (0..DEAD_RUNS / 2).step_by(AT_ONCE as usize) {
        let count = AT_ONCE.min(DEAD_RUNS / 2 - first);
        insert(&mut server, job, 20 * (DEAD_RUNS / 2 - first), 20, count).await;
        server
            .execute(
                "UPDATE bench.runs SET state = 'running', token = id, worker = id, claimed_at = due_at, \
                 lease_until = due_at + 30000, claims = 1 WHERE state = 'pending'",
            )
            .await
            .unwrap();
        server.execute("DELETE FROM bench.runs").await.unwrap();
    }
}

/// Runs that another worker holds.
async fn hold_runs(count: i64) {
    let mut server = PgConnection::connect(&database_url()).await.unwrap();
    for _ in 0..count / HELD {
        insert(&mut server, Order::JOB, 20_000, 1, HELD).await;
    }
    server
        .execute(
            "UPDATE bench.runs SET state = 'running', token = gen_random_uuid(), worker = id, claimed_at = due_at, \
             lease_until = due_at + 86400000, claims = 1 WHERE state = 'pending'",
        )
        .await
        .unwrap();
}

/// Runs that are due in ten days.
async fn add_pending(count: i64) {
    let mut server = PgConnection::connect(&database_url()).await.unwrap();
    for first in (0..count).step_by(AT_ONCE as usize) {
        insert(&mut server, Order::JOB, -864_000_000, 0, AT_ONCE.min(count - first)).await;
    }
}

/// Pending runs, the first of which was due so many milliseconds ago, each so much later than the one before.
async fn insert(server: &mut PgConnection, job: &str, ago: i64, apart: i64, count: i64) {
    let insert = "INSERT INTO bench.runs (id, lane, state, due_at, enqueued_at, fingerprint, input_codec, input)
        SELECT (lpad(to_hex(due_at), 12, '0') || substr(md5(random()::text), 13))::uuid, lane, 'pending', due_at, due_at,
               '\\x00000000000000000000000000000000', 1, convert_to('{\"order_id\":\"order-000000000001\",\"number\":1}', 'UTF8')
        FROM (SELECT lane FROM bench.lanes WHERE job = $1) l
        CROSS JOIN (SELECT bench.now(NULL) - $2 + n * $3 AS due_at FROM generate_series(1, $4) AS n) d";
    sqlx::query(insert).bind(job).bind(ago).bind(apart).bind(count).execute(server).await.unwrap();
}

/// How much of a core the server and this process take while a worker waits, in percent.
async fn idle_cpu(store: &Arc<dyn Store>) -> f64 {
    let worker = Worker::new(store).concurrency(CONCURRENCY).register(Nothing::default());
    let server = Server::of("postgres").await;
    let mut percent = 0.0;
    worker
        .run_until(async {
            // Past its start.
            tokio::time::sleep(Duration::from_secs(5)).await;
            let (begun, before) = (Instant::now(), server.busy());
            tokio::time::sleep(IDLE_FOR).await;
            percent = (server.busy() - before) * 100.0 / begun.elapsed().as_secs_f64();
        })
        .await
        .unwrap();
    percent
}
