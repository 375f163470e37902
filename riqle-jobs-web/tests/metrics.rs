//! The text that Prometheus scrapes, over real HTTP, on memory and SQLite.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use riqle_jobs_core::{Job, JobError, JobInput, RunContext, Worker, WorkerId, store::WorkerReport};
use riqle_jobs_web::{
    metrics,
    security::{Access, Role},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::support::{Bench, WelcomeInput, get, serve};

const KEY: &str = "Authorization: Bearer scrapes\r\n";

fn access() -> Access {
    Access::closed().bearer("prometheus", "scrapes", Role::Viewer)
}

struct Dies;

#[derive(Serialize, Deserialize)]
struct DiesInput;

impl JobInput for DiesInput {
    const JOB: &'static str = "dies \"at once\"";
}

impl Job for Dies {
    type Input = DiesInput;
    type Output = ();

    async fn run(&self, _: &RunContext, _: DiesInput) -> Result<(), JobError> {
        Err(JobError::dead("no"))
    }
}

#[tokio::test]
async fn metrics_tell_of_queues_dead_letters_and_workers() {
    for bench in Bench::all().await {
        for number in 0..2 {
            bench.jobs.enqueue(WelcomeInput(json!(number))).await.unwrap();
            bench.jobs.enqueue(DiesInput).await.unwrap();
        }
        Worker::new(bench.jobs.store()).register(Dies).run_until_idle().await.unwrap();
        bench.jobs.pause_queue("email", "anna", "").await.unwrap();
        let report = WorkerReport {
            id: WorkerId::new(),
            label: "one".to_owned(),
            version: "1".to_owned(),
            jobs: [("send-welcome-email".to_owned(), "email".to_owned())].into(),
            concurrency: 4,
            running: 1,
            claimed_ahead: [].into(),
            troubles: Vec::new(),
        };
        bench.store().report_worker(report).await.unwrap();

        let address = serve(|_| metrics::router(&bench.jobs, access())).await;
        let answer = get(address, "/metrics", KEY).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head.contains("content-type: application/openmetrics-text"), "{}", answer.head);
        let (told, oldest): (Vec<_>, Vec<_>) = answer
            .text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .partition(|line| !line.starts_with("riqle_jobs_queue_oldest_due_seconds"));
        let mut told = told;
        told.sort_unstable();
        assert_eq!(
            told,
            [
                r#"riqle_jobs_dead_letters{job_name="dies \"at once\""} 2"#,
                r#"riqle_jobs_dead_letters{job_name="send-welcome-email"} 0"#,
                "riqle_jobs_expired_leases 0",
                "riqle_jobs_jobs_without_worker 0",
                "riqle_jobs_problems 0",
                r#"riqle_jobs_queue_paused{queue="default"} 0"#,
                r#"riqle_jobs_queue_paused{queue="email"} 1"#,
                r#"riqle_jobs_queue_runs{queue="default",state="due"} 0"#,
                r#"riqle_jobs_queue_runs{queue="default",state="running"} 0"#,
                r#"riqle_jobs_queue_runs{queue="default",state="scheduled"} 0"#,
                r#"riqle_jobs_queue_runs{queue="default",state="waiting"} 0"#,
                r#"riqle_jobs_queue_runs{queue="email",state="due"} 2"#,
                r#"riqle_jobs_queue_runs{queue="email",state="running"} 0"#,
                r#"riqle_jobs_queue_runs{queue="email",state="scheduled"} 0"#,
                r#"riqle_jobs_queue_runs{queue="email",state="waiting"} 0"#,
                "riqle_jobs_store_writable 1",
                "riqle_jobs_worker_slots 4",
                "riqle_jobs_worker_slots_used 1",
                r#"riqle_jobs_workers{order="drain"} 0"#,
                r#"riqle_jobs_workers{order="work"} 1"#,
            ]
        );
        let of_queue = |queue: &str| {
            let start = format!("riqle_jobs_queue_oldest_due_seconds{{queue={queue:?}}} ");
            let seconds = oldest.iter().find_map(|line| line.strip_prefix(&start));
            seconds.and_then(|seconds| seconds.parse::<f64>().ok()).unwrap_or(-1.0)
        };
        assert_eq!((oldest.len(), of_queue("default")), (2, 0.0), "{oldest:?}");
        assert!((0.0..60.0).contains(&of_queue("email")), "{oldest:?}");
        assert!(answer.text.ends_with("# EOF\n"), "{}", answer.text);
    }
}

#[tokio::test]
async fn metrics_are_read_once_for_all_who_scrape() {
    for bench in Bench::all().await {
        let address = serve(|_| metrics::router(&bench.jobs, access())).await;
        let first = get(address, "/metrics", KEY).await;
        bench.goes_away();
        assert_eq!(get(address, "/metrics", KEY).await.text, first.text);
        let other = serve(|_| metrics::router(&bench.jobs, access())).await;
        let answer = get(other, "/metrics", KEY).await;
        assert_eq!((answer.status, answer.json()["status"].as_u64()), (503, Some(503)));
        bench.comes_back();
        assert_eq!(get(other, "/metrics", KEY).await.status, 200);
    }
}

#[tokio::test]
async fn metrics_are_for_those_who_are_let_in() {
    let bench = Bench::all().await.remove(0);
    let address = serve(|_| metrics::router(&bench.jobs, access())).await;
    assert_eq!(get(address, "/metrics", "").await.status, 401);
    assert_eq!(get(address, "/metrics", "Authorization: Bearer other\r\n").await.status, 401);
    let closed = serve(|_| metrics::router(&bench.jobs, Access::closed())).await;
    assert_ne!(get(closed, "/metrics", KEY).await.status, 200);
}

#[tokio::test]
async fn what_alerts_and_panels_ask_for_is_told() {
    let bench = Bench::all().await.remove(0);
    let address = serve(|_| metrics::router(&bench.jobs, access())).await;
    let told = get(address, "/metrics", KEY).await.text;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops");
    let mut asked = 0;
    for file in ["alerts.yml", "alerts_test.yml", "grafana.json"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        for (at, _) in text.match_indices("riqle_jobs_") {
            let name = &text[at..];
            let end = name.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
            let name = &name[..end.unwrap_or(name.len())];
            assert!(told.contains(&format!("# TYPE {name} ")), "{file} asks for {name}");
            asked += 1;
        }
    }
    assert!(asked > 40, "{asked}");
}
