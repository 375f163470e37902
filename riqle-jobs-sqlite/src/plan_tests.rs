//! How SQLite means to run the queries: by index, whatever else is stored.

use riqle_jobs_core::{Priority, from_millis};
use sqlx::{AssertSqlSafe, Row, sqlite::SqliteConnection};
use tempfile::TempDir;

use crate::{
    Sqlite,
    claim::{Due, Lane},
};

async fn plan(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}\n{error}"));
    rows.iter().map(|row| row.get("detail")).collect()
}

async fn with_store(test: impl AsyncFnOnce(&mut SqliteConnection)) {
    let folder = TempDir::new().unwrap();
    let store =
        Sqlite::connect(&format!("sqlite:{}", folder.path().join("jobs.db").display())).await.unwrap();
    test(&mut *store.pool().acquire().await.unwrap()).await;
}

fn lane(number: i64) -> Lane {
    let (due_at, lease_until) = (Some(from_millis(0)), Some(from_millis(0)));
    Lane { number, job: format!("job-{number}"), priority: Priority::DEFAULT, due_at, lease_until }
}

#[tokio::test]
async fn a_claim_reads_one_range_of_one_index_for_each_lane() {
    with_store(async |connection| {
        let lanes = [lane(1), lane(2)];
        let lanes: Vec<_> = lanes.iter().collect();
        for pending in [&lanes[..1], &lanes[..]] {
            let due = Due { pending: pending.to_vec(), expired: Vec::new(), now: from_millis(0), limit: 10 };
            let plan = plan(connection, &due.ids(false)).await;
            let of_runs: Vec<_> = plan.iter().filter(|line| line.contains("riqle_runs")).collect();
            let expected = "SEARCH riqle_runs USING COVERING INDEX riqle_runs_due (lane=? AND due_at<?)";
            assert_eq!(of_runs, vec![expected; pending.len()], "{plan:#?}");
            assert!(plan.iter().all(|line| !line.contains("TEMP B-TREE")), "{plan:#?}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_heads_of_lanes_are_single_seeks() {
    with_store(async |connection| {
        let plan = plan(connection, include_str!("../queries/heads.sql")).await;
        let of_runs: Vec<_> = plan.iter().filter(|line| line.contains("riqle_runs")).collect();
        let expected = [
            "SEARCH riqle_runs USING COVERING INDEX riqle_runs_due (lane=?)",
            "SEARCH riqle_runs USING COVERING INDEX riqle_runs_leases (lane=?)",
        ];
        assert_eq!(of_runs, expected, "{plan:#?}");
    })
    .await;
}

#[tokio::test]
async fn nothing_that_grows_is_scanned_on_the_way_of_a_run() {
    with_store(async |connection| {
        let queries = [
            include_str!("../queries/existing_runs.sql"),
            include_str!("../queries/unique_holders.sql"),
            include_str!("../queries/enqueue.sql"),
            include_str!("../queries/take_unique.sql"),
            include_str!("../queries/release_unique.sql"),
            include_str!("../queries/fences.sql"),
            include_str!("../queries/save_steps.sql"),
            include_str!("../queries/extend.sql"),
            include_str!("../queries/settle_ended.sql"),
            include_str!("../queries/settle_dead.sql"),
            include_str!("../queries/settle_again.sql"),
            include_str!("../queries/take_over.sql"),
            include_str!("../queries/claimed_steps.sql"),
            include_str!("../queries/claimed_inputs.sql"),
            include_str!("../queries/give_back.sql"),
        ];
        for query in queries {
            let plan = plan(connection, query).await;
            // The values given, known as v, are all that may be scanned.
            let scans = |line: &&String| {
                line.contains("SCAN") && line.contains("riqle_") || line.contains("AUTOMATIC")
            };
            assert_eq!(plan.iter().find(scans), None, "{query}\n{plan:#?}");
            assert!(
                plan.iter().all(|line| !line.starts_with("SCAN r") && !line.starts_with("SCAN u")),
                "{query}\n{plan:#?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn runs_are_listed_in_the_order_of_their_tables() {
    with_store(async |connection| {
        let list =
            include_str!("../queries/run.sql").replace("id = ?1", "id < ?1 ORDER BY id DESC LIMIT 100");
        let plan = plan(connection, &list).await;
        assert!(plan.iter().all(|line| !line.contains("TEMP B-TREE")), "{plan:#?}");
        for table in ["riqle_runs", "riqle_history", "riqle_dead"] {
            let search = format!("SEARCH {table} USING PRIMARY KEY (id<?)");
            assert!(plan.contains(&search), "{search}\n{plan:#?}");
        }
    })
    .await;
}
