//! What a dashboard asks, where it is answered from counts that are kept, or for many runs in another way than for few.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use riqle_jobs_core::{
    Inspect, NewRun, Operate, Payload, Queue, Replay, Retention, RunFilter, RunId, RunState, Timestamp,
    store::COUNTED_TO,
};
use riqle_jobs_postgres::Postgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{Schema, database_url};

async fn execute(sql: impl Into<String>) {
    let mut connection = PgConnection::connect(&database_url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut connection).await.unwrap();
}

/// So many dead letters in lane 1, one a millisecond.
fn dead_letters(schema: &str, count: u32, print: &str) -> String {
    format!(
        "INSERT INTO {schema}.dead (id, lane, due_at, enqueued_at, ended_at, failures, crashes, input_codec, reason,
                                    fingerprint, input, error_fingerprint)
         SELECT gen_random_uuid(), 1, 0, 0, n, 1, 0, 0, 'permanent', '', '', {print}
         FROM generate_series(1, {count}) n;"
    )
}

async fn groups(store: &Postgres) -> Vec<(Option<String>, u64, i64, i64)> {
    let groups = store.dead_groups(100).await.unwrap();
    let shown = |time: Timestamp| time.as_millisecond();
    groups
        .into_iter()
        .map(|group| (group.error_fingerprint, group.runs, shown(group.first_at), shown(group.last_at)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_that_come_and_go_at_once_are_counted_right() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let name = schema.name.clone();
    execute(format!("INSERT INTO {name}.lanes VALUES (1, 'default', 'greet', 2)")).await;
    execute(dead_letters(&name, 400, "'aa'")).await;
    let dead = RunFilter::dead().limit(400);
    let ids: Vec<RunId> = store.runs(dead).await.unwrap().iter().map(|run| run.id).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for ids in ids[..120].chunks(30).map(<[_]>::to_vec) {
        let (store, name) = (store.clone(), name.clone());
        tasks.spawn(async move {
            for (n, id) in ids.into_iter().enumerate() {
                match n % 3 {
                    0 => store.discard(id).await.unwrap(),
                    1 => store.replay(id, RunId::new(), Replay::default()).await.unwrap(),
                    _ => execute(dead_letters(&name, 1, "'aa'")).await,
                }
                if n % 10 == 0 {
                    store.prune(Retention::FOREVER).await.unwrap();
                }
            }
        });
    }
    tasks.join_all().await;

    let counted =
        |groups: Vec<(Option<String>, u64, i64, i64)>| groups.iter().map(|group| group.1).sum::<u64>();
    assert_eq!(counted(groups(&store).await), 400 - 80 + 40);
    store.prune(Retention::FOREVER).await.unwrap();
    assert_eq!(counted(groups(&store).await), 400 - 80 + 40);
    let rows = format!("SELECT count(*) FROM {name}.dead_counts");
    let rows: (i64,) = sqlx::query_as(AssertSqlSafe(rows)).fetch_one(store.pool()).await.unwrap();
    assert_eq!(rows.0, 1, "they were joined");

    let pruned = store.prune(Retention { dead: Some(Duration::ZERO), ..Retention::FOREVER }).await.unwrap();
    assert_eq!((pruned.runs, groups(&store).await), (360, Vec::new()));
}

#[tokio::test]
async fn a_prune_joins_what_was_counted_apart_and_leaves_the_other_counts_untouched() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let name = &schema.name;
    execute(format!("INSERT INTO {name}.lanes VALUES (1, 'default', 'greet', 2)")).await;
    for (count, print) in [(2, "'aa'"), (3, "'bb'"), (4, "'bb'"), (5, "NULL")] {
        execute(dead_letters(name, count, print)).await;
    }
    let rows = async || {
        let rows =
            format!("SELECT error_fingerprint, runs, ctid::text FROM {name}.dead_counts ORDER BY 1, 2");
        sqlx::query_as::<_, (String, i64, String)>(AssertSqlSafe(rows)).fetch_all(store.pool()).await.unwrap()
    };
    let before = rows().await;
    store.prune(Retention::FOREVER).await.unwrap();
    let after = rows().await;
    assert_eq!(after[..2], before[..2]);
    assert_eq!(
        after[2..].iter().map(|(print, runs, _)| (print.as_str(), *runs)).collect::<Vec<_>>(),
        [("bb", 7)]
    );
    store.prune(Retention::FOREVER).await.unwrap();
    assert_eq!(rows().await, after);
}

#[tokio::test]
async fn a_page_and_a_count_of_a_job_are_the_same_beside_many_runs_of_another_and_among_many_of_its_own() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let run = |job: &str| NewRun::named(job, Payload::json("Ada").unwrap());
    let mut of_few = Vec::new();
    let mut of_many = Vec::new();
    for n in 0..2_500 {
        if n % 500 == 0 {
            of_few.push(run("few"));
        }
        of_many.push(run("many"));
    }
    for runs in [&of_few[..], &of_many[..1_000], &of_many[1_000..2_000], &of_many[2_000..]] {
        store.enqueue(runs.to_vec()).await.unwrap();
    }
    for (job, runs) in [("few", &of_few), ("many", &of_many)] {
        let ids: Vec<RunId> = runs.iter().rev().map(|run| run.id).collect();
        for states in [vec![], vec![RunState::Pending]] {
            let filter = RunFilter::all().states(states).job(job.to_owned());
            let page = async |before| {
                let page = RunFilter { before, limit: 3, ..filter.clone() };
                store.runs(page).await.unwrap().iter().map(|run| run.id).collect::<Vec<_>>()
            };
            assert_eq!(page(None).await, ids[..3]);
            assert_eq!(page(Some(ids[1])).await, ids[2..5]);
            assert_eq!(store.count_runs(filter.clone(), 10_000).await.unwrap(), runs.len() as u64);
            assert_eq!(store.count_runs(filter, 4).await.unwrap(), 4);
        }
    }
    let filter = RunFilter::all().queue("default").limit(3_000);
    assert_eq!(store.runs(filter).await.unwrap().len(), 2_505);
}

#[tokio::test]
async fn the_runs_of_a_lane_are_counted_to_ten_thousand() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let name = &schema.name;
    execute(format!(
        "INSERT INTO {name}.lanes VALUES (1, 'default', 'greet', 2), (2, 'default', 'greet', 1), (3, 'other', 'greet', 2);
         INSERT INTO {name}.runs (id, lane, due_at, enqueued_at, input_codec, state, fingerprint, input)
         SELECT gen_random_uuid(), CASE WHEN n <= 10001 THEN 1 WHEN n <= 11000 THEN 2 ELSE 3 END, n, 0, 0, 'pending', '', ''
         FROM generate_series(1, 20000) n;"
    ))
    .await;
    let queues = store.queues().await.unwrap();
    let shown: Vec<_> = queues
        .iter()
        .map(|queue| (queue.name.as_str(), queue.due, queue.oldest_due.unwrap().as_millisecond()))
        .collect();
    assert_eq!(shown, [("default", COUNTED_TO + 999, 1), ("other", 9_000, 11_001)]);
}
