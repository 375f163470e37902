//! How SQLite means to run the queries: by index, whatever else is stored.

use riqle_jobs_core::{Priority, RunFilter, RunState, from_millis};
use sqlx::{AssertSqlSafe, Row, sqlite::SqliteConnection};
use tempfile::TempDir;

use crate::{
    Sqlite,
    claim::{Due, Lane},
    email_log::page_of_emails,
    list::{number, page},
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
            include_str!("../queries/follow_clock.sql"),
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
            include_str!("../queries/replace_steps.sql"),
            include_str!("../queries/newest_lines.sql"),
            include_str!("../queries/add_lines.sql"),
            include_str!("../queries/trim_lines.sql"),
            include_str!("../queries/set_progress.sql"),
            include_str!("../queries/report_metrics.sql"),
            include_str!("../queries/forget_events.sql"),
            include_str!("../queries/store_events.sql"),
            include_str!("../queries/stored_events.sql"),
            include_str!("../queries/mark_started.sql"),
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

/// The lines of a page's plan that read ids, without those that read the rows of the page itself.
async fn plan_of_page(connection: &mut SqliteConnection, filter: &RunFilter) -> Vec<String> {
    let plan = plan(connection, &page(filter, &[7])).await;
    let rows = "USING PRIMARY KEY (id=?)";
    let of_rows = plan.iter().filter(|line| line.contains(rows)).count();
    assert_eq!(of_rows, 3, "each table is asked for the rows of the page: {plan:#?}");
    let of_ids = |line: &&String| line.contains("riqle_") && !line.contains(rows) && !line.contains("lanes");
    plan.iter().filter(of_ids).map(|line| line.replace("riqle_", "")).collect()
}

#[tokio::test]
async fn a_list_reads_ranges_of_indexes() {
    let of_job = RunFilter::all().job("greet");
    let since = of_job.clone().enqueued_from(from_millis(0));
    let pending = RunFilter::pending();
    let dead = of_job.clone().states([RunState::Dead]);
    let by_reference = RunFilter::all().reference("order-1");
    let by_key = RunFilter::all().unique_key("key");
    let by_error = dead.clone().error_fingerprint("error");
    let without_error = dead.clone().error_fingerprint(String::new());
    let of_lane = [
        "SEARCH runs USING COVERING INDEX runs_list (lane=? AND id<?)",
        "SEARCH runs USING INDEX runs_leases (lane=?)",
        "SEARCH runs USING INDEX runs_waiting (lane=?)",
        "SEARCH history USING COVERING INDEX history_list (lane=? AND state=? AND id<?)",
        "SEARCH history USING COVERING INDEX history_list (lane=? AND state=? AND id<?)",
        "SEARCH history USING COVERING INDEX history_list (lane=? AND state=? AND id<?)",
        "SEARCH dead USING COVERING INDEX dead_list (lane=? AND id<?)",
    ];
    with_store(async |connection| {
        let by_id =
            ["runs", "history", "dead"].map(|table| format!("SEARCH {table} USING PRIMARY KEY (id<?)"));
        assert_eq!(plan_of_page(connection, &RunFilter::default()).await, by_id);
        assert_eq!(plan_of_page(connection, &of_job).await.len(), of_lane.len());
        assert_eq!(plan_of_page(connection, &since).await, of_lane);
        assert_eq!(plan_of_page(connection, &pending).await, of_lane[..1]);
        assert_eq!(plan_of_page(connection, &dead).await, of_lane[6..]);
        for (filter, index) in [(by_reference, "reference"), (by_key, "unique_key")] {
            let expected = ["runs", "history", "dead"].map(|table| {
                format!("SEARCH {table} USING COVERING INDEX {table}_{index} ({index}=? AND id<?)")
            });
            assert_eq!(plan_of_page(connection, &filter).await, expected);
        }
        let expected =
            ["SEARCH dead USING COVERING INDEX dead_error (error_fingerprint=? AND lane=? AND id<?)"];
        assert_eq!(plan_of_page(connection, &by_error).await, expected);
        assert_eq!(plan_of_page(connection, &without_error).await, expected);
    })
    .await;
}

#[tokio::test]
async fn what_is_counted_and_cleared_away_is_read_from_indexes() {
    with_store(async |connection| {
        for query in [include_str!("../queries/counts.sql"), include_str!("../queries/queues.sql")] {
            let plan = plan(connection, query).await;
            let tables = ["riqle_runs ", "riqle_history ", "riqle_dead "];
            let reads_rows = |line: &&String| {
                tables.iter().any(|table| line.contains(table)) && !line.contains("COVERING")
            };
            assert_eq!(plan.iter().find(reads_rows), None, "{plan:#?}");
        }
        for (table, time) in
            [("riqle_history", "ended_at"), ("riqle_dead", "ended_at"), ("riqle_actions", "at")]
        {
            let plan =
                plan(connection, &format!("SELECT 1 FROM {table} WHERE {time} < ?1 ORDER BY {time} LIMIT 9"))
                    .await;
            assert!(plan.len() == 1 && plan[0].contains(&format!("({time}<?)")), "{plan:#?}");
        }
        for query in [include_str!("../queries/metrics.sql"), include_str!("../queries/prune_metrics.sql")] {
            let plan = plan(connection, query).await;
            let by_time = |line: &String| line.contains("PRIMARY KEY (span=? AND start");
            assert!(plan.iter().any(by_time), "{plan:#?}");
            assert!(plan.iter().all(|line| !line.contains("SCAN riqle_metrics")), "{plan:#?}");
            assert!(plan.iter().all(|line| !line.contains("TEMP B-TREE")), "{plan:#?}");
        }
    })
    .await;
}

#[tokio::test]
async fn counting_to_a_bound_reads_indexes_and_sorts_nothing() {
    let all = RunFilter::default();
    let dead = RunFilter::dead();
    let by_error = dead.clone().error_fingerprint("error");
    let without_error = dead.clone().error_fingerprint(String::new());
    let live = RunFilter::all().states([RunState::Pending, RunState::Running]);
    let since = live.clone().enqueued_from(from_millis(0));
    with_store(async |connection| {
        for filter in [all, dead, by_error, without_error, live, since] {
            let plan = plan(connection, &number(&filter, &[7, 8])).await;
            let of_runs: Vec<_> = plan.iter().filter(|line| line.contains("riqle_")).collect();
            assert!(!of_runs.is_empty() && of_runs.iter().all(|line| line.contains("lane=?")), "{plan:#?}");
            assert!(plan.iter().all(|line| !line.contains("TEMP B-TREE")), "{plan:#?}");
        }
    })
    .await;
}

#[tokio::test]
async fn groups_and_queues_are_found_by_seeks() {
    with_store(async |connection| {
        let queries = [
            include_str!("../queries/dead_groups.sql"),
            include_str!("../queries/queues.sql"),
            include_str!("../queries/due_jobs.sql"),
        ];
        for query in queries {
            let plan = plan(connection, query).await;
            let of_runs: Vec<_> = plan
                .iter()
                .filter(|line| line.contains(" d ") || line.contains(" r ") || line.contains("riqle_runs"))
                .collect();
            let by_lane = |line: &&&String| line.contains("COVERING INDEX") && line.contains("lane=?");
            assert!(!of_runs.is_empty() && of_runs.iter().all(|line| by_lane(&line)), "{plan:#?}");
            let sorts = plan.iter().filter(|line| line.contains("TEMP B-TREE"));
            // The queues themselves, which are few.
            assert!(sorts.count() <= usize::from(query.contains("GROUP BY queue")), "{plan:#?}");
        }
        let groups = plan(connection, include_str!("../queries/dead_groups.sql")).await;
        let expected = "SEARCH d USING COVERING INDEX riqle_dead_groups (lane=? AND error_fingerprint>?)";
        assert_eq!(groups.iter().filter(|line| **line == expected).count(), 1, "{groups:#?}");
        let expected = "SEARCH d USING COVERING INDEX riqle_dead_groups (lane=? AND error_fingerprint=?)";
        assert!(groups.iter().filter(|line| **line == expected).count() >= 3, "{groups:#?}");
    })
    .await;
}

#[tokio::test]
async fn emails_are_listed_from_indexes() {
    use riqle_jobs_core::email::{EmailDetail, EmailFilter};

    let by_details = EmailFilter::all().details([EmailDetail::Held, EmailDetail::Unknown]);
    with_store(async |connection| {
        let plan = plan(connection, &page_of_emails(&by_details)).await;
        let expected = "SEARCH riqle_emails USING COVERING INDEX riqle_emails_detail (detail=? AND id<?)";
        assert_eq!(plan.iter().filter(|line| **line == expected).count(), 2, "{plan:#?}");
        assert!(plan.iter().all(|line| !line.contains("SCAN riqle_emails")), "{plan:#?}");
    })
    .await;
}
