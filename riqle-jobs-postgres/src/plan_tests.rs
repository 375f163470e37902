//! How PostgreSQL means to run the statements on the way of a run, and what a claim reads: by index, whatever is stored, and
//! whatever the statistics say. A plan is kept with its connection, so it outlives what it was made for.

use std::{collections::HashMap, time::Duration};

use riqle_jobs_core::{ClaimRequest, LeaseToken, NewRun, Payload, Queue, WorkerId};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::{
    Postgres,
    claim::{CLAIM_ALL, CLAIM_DUE, claim},
    connections::Lent,
    support::{Schema, database_url},
    work::Work,
};

const ON_THE_WAY: [(&str, &str); 22] = [
    ("claimed_steps", include_str!("../queries/claimed_steps.sql")),
    ("settle", include_str!("../queries/settle.sql")),
    ("extend", include_str!("../queries/extend.sql")),
    ("save_steps", include_str!("../queries/save_steps.sql")),
    ("replace_steps", include_str!("../queries/replace_steps.sql")),
    ("hold", include_str!("../queries/hold.sql")),
    ("fences", include_str!("../queries/fences.sql")),
    ("give_back", include_str!("../queries/give_back.sql")),
    ("enqueue", include_str!("../queries/enqueue.sql")),
    ("existing_runs", include_str!("../queries/existing_runs.sql")),
    ("unique_holders", include_str!("../queries/unique_holders.sql")),
    ("take_unique", include_str!("../queries/take_unique.sql")),
    ("cancel", include_str!("../queries/cancel.sql")),
    ("discard", include_str!("../queries/discard.sql")),
    ("forget_runs", include_str!("../queries/forget_runs.sql")),
    ("add_lines", include_str!("../queries/add_lines.sql")),
    ("trim_lines", include_str!("../queries/trim_lines.sql")),
    ("mark_started", include_str!("../queries/mark_started.sql")),
    ("due_schedules", include_str!("../queries/due_schedules.sql")),
    ("lock_schedules", include_str!("../queries/lock_schedules.sql")),
    ("write_schedules", include_str!("../queries/write_schedules.sql")),
    ("ended_runs", include_str!("../queries/ended_runs.sql")),
];

/// What the tables hold, and what is known of them.
const STATISTICS: [(&str, &str); 5] = [
    ("none, of empty tables", ""),
    ("of empty tables", "VACUUM ANALYZE"),
    (
        "of 20,000 runs that are all held",
        "INSERT INTO riqle.runs (id, lane, state, token, lease_until, due_at, enqueued_at, fingerprint, input_codec, input)
         SELECT gen_random_uuid(), 1, 'running', gen_random_uuid(), n + 1000000, n, n, '', 1, '' FROM generate_series(1, 20000) n;
         VACUUM ANALYZE riqle.runs",
    ),
    (
        "of 20,000 runs that are all pending, with a key and steps",
        "UPDATE riqle.runs SET state = 'pending', token = NULL, lease_until = NULL, unique_key = id::text, unique_scope = 'while-pending';
         INSERT INTO riqle.unique_keys (job, key, run, fingerprint) SELECT 'greet', id::text, id, '' FROM riqle.runs;
         INSERT INTO riqle.steps (run, name, saved_at, took, codec, result) SELECT id, 'step', 1, 1, 1, '' FROM riqle.runs;
         VACUUM ANALYZE",
    ),
    (
        "of one run in a table that was large",
        "DELETE FROM riqle.runs WHERE id > (SELECT min(id::text)::uuid FROM riqle.runs);
         DELETE FROM riqle.unique_keys; DELETE FROM riqle.steps; VACUUM ANALYZE",
    ),
];

async fn text(connection: &mut Lent, sql: &str) -> Vec<String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut **connection).await;
    rows.unwrap_or_else(|error| panic!("{sql}\n{error}"))
        .iter()
        .filter_map(|row| row.try_get(0).ok())
        .collect()
}

/// The plan that connections of the store keep.
async fn plan(connection: &mut Lent, sql: &str) -> Vec<String> {
    let parameters = (1..99).take_while(|n| sql.contains(&format!("${n}"))).count();
    let nulls = vec!["NULL"; parameters].join(", ");
    text(connection, &format!("PREPARE asked AS {sql}")).await;
    let values = if nulls.is_empty() { nulls } else { format!("({nulls})") };
    let plan = text(connection, &format!("EXPLAIN (COSTS OFF) EXECUTE asked {values}")).await;
    text(connection, "DEALLOCATE asked").await;
    plan
}

/// The first column of each index.
async fn first_columns(connection: &mut Lent, schema: &str) -> HashMap<String, String> {
    let sql = "SELECT c.relname, pg_get_indexdef(i.indexrelid, 1, true) FROM pg_index i
               JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = $1::regnamespace";
    let rows = sqlx::query(sql).bind(schema).fetch_all(&mut **connection).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// The reads of tables that grow which are not bound: by a whole table, or by an index that is not entered at a value of its
/// first column.
fn unbound(plan: &[String], first_columns: &HashMap<String, String>) -> Vec<String> {
    let mut unbound = Vec::new();
    for (at, line) in plan.iter().enumerate() {
        let Some((_, table)) = line.rsplit_once(" on ") else { continue };
        let table = table.split(' ').next().unwrap_or_default();
        if !line.contains(" Scan ")
            || ["CTE", "Function", "Subquery"].iter().any(|kind| line.contains(&format!("{kind} Scan")))
        {
            continue;
        }
        // The queues and their jobs are few. Ids are looked for in the history and among dead letters by plans that are made
        // again each minute.
        if ["lanes", "queues", "dead"].contains(&table) || table.starts_with("history") {
            continue;
        }
        let index = line.split(" using ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        let first = first_columns.get(index);
        let entered = first.map(|column| [" = ", " >= "].map(|operator| format!("({column}{operator}")));
        let mut of_scan =
            plan[at + 1..].iter().take_while(|line| !line.contains("->") && !line.contains("CTE "));
        let is_entered = |line: &String| {
            line.trim_start().starts_with("Index Cond: ")
                && entered.iter().flatten().any(|entered| line.contains(entered))
        };
        if !of_scan.any(is_entered) {
            unbound.push(line.trim().to_owned());
        }
    }
    unbound
}

#[tokio::test]
async fn nothing_that_grows_is_scanned_on_the_way_of_a_run_whatever_the_statistics_say() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let mut connection = store.shared.connections.lend().await.unwrap();
    let first_columns = first_columns(&mut connection, &schema.name).await;
    let mut wrong = Vec::new();
    for (name, change) in STATISTICS {
        for sql in change.split(';').map(|sql| store.shared.statements.text(sql)) {
            text(&mut connection, &sql).await;
        }
        let claims = [("claim, all", CLAIM_ALL.as_str()), ("claim, due", CLAIM_DUE.as_str())];
        for (query, sql) in claims.into_iter().chain(ON_THE_WAY) {
            let plan = plan(&mut connection, &store.shared.statements.text(sql)).await;
            for scan in unbound(&plan, &first_columns) {
                wrong.push(format!("{query} with statistics {name}: {scan}\n{}", plan.join("\n")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} plans\n{}", wrong.len(), wrong.join("\n\n"));
}

fn run() -> NewRun {
    NewRun::named("greet", Payload::json("Ada").unwrap())
}

fn request(limit: usize) -> ClaimRequest {
    ClaimRequest {
        queue: "default".to_owned(),
        jobs: ["greet".to_owned()].into(),
        limit,
        lease: Duration::from_secs(60),
        token: LeaseToken::new(),
        worker: WorkerId::new(),
    }
}

/// How many entries of indexes of runs a claim reads.
async fn read_by_claim(store: &Postgres, connection: &mut Lent) -> i64 {
    let mut transaction = connection.begin().await.unwrap();
    let mut work = Work::new(&mut transaction, &store.shared.statements, None);
    let before = read_so_far(&mut work).await;
    claim(&mut work, store, &request(10)).await.unwrap();
    let read = read_so_far(&mut work).await - before;
    let found = work.found.take().unwrap();
    transaction.commit().await.unwrap();
    store.shared.floors.keep(found);
    read
}

async fn read_so_far(work: &mut Work<'_>) -> i64 {
    let read = "SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid))::bigint FROM pg_index
                WHERE indrelid = 'riqle.runs'::regclass";
    let read = sqlx::query(AssertSqlSafe(work.statements.text(read)));
    read.fetch_one(&mut *work.connection).await.unwrap().get(0)
}

#[tokio::test]
async fn an_idle_claim_does_not_read_what_an_old_snapshot_keeps() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    store.enqueue(vec![run()]).await.unwrap();
    let mut holder = PgConnection::connect(&database_url()).await.unwrap();
    holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pg_class").await.unwrap();
    let mut connection = store.shared.connections.lend().await.unwrap();
    for sql in [
        "INSERT INTO riqle.runs (id, lane, state, due_at, enqueued_at, fingerprint, input_codec, input)
         SELECT gen_random_uuid(), lane, 'pending', riqle.now(NULL) - 3600000 - n, n, '', 1, ''
         FROM riqle.lanes, generate_series(1, 5000) n",
        "UPDATE riqle.runs SET state = 'running', token = id, lease_until = due_at + 30000",
        "DELETE FROM riqle.runs",
    ] {
        text(&mut connection, &store.shared.statements.text(sql)).await;
    }
    let at_front = read_by_claim(&store, &mut connection).await;
    assert!(
        at_front >= 10_000,
        "the entries of 5,000 runs and of their leases are dead and still there: {at_front}"
    );
    // Should the machine stand still meanwhile, it is time to look at the front again.
    let mut from_floor = i64::MAX;
    for _ in 0..10 {
        from_floor = from_floor.min(read_by_claim(&store, &mut connection).await);
    }
    assert!(from_floor < 10, "{from_floor}");
}
