//! Every key is in the list of `keys.rs`, with its type, and goes where the list says so.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use riqle_jobs_conformance::{Harness, random_operations_match_memory};
use riqle_jobs_core::{
    ActionId, EmailId, EmailLog, Inspect, ManualClock, Operate, Queue, Registry, Retention, RunFilter, RunId,
    RunState, Store, UniqueScope, WorkerId, async_trait,
    email::{EmailEnding, EmailStart, NewEmail, OnUnknown, Rendered},
    store::{
        ActionKind, ActionState, Audit, EventEffect, EventRun, JobDeclaration, JobMetrics, JobRules,
        NewAction, NewEvent, Span, WorkerOrder, WorkerReport,
    },
};
use riqle_jobs_core::{Payload, Priority};
use riqle_jobs_redis::Redis;

use crate::support::{Prefix, redis_url};

/// A line of the list: what the key begins with, its type, and whether it stays after everything is pruned.
struct Listed {
    begins: String,
    is_whole: bool,
    kind: String,
    stays: bool,
}

/// The tables of the documentation of `keys.rs`.
fn list() -> Vec<Listed> {
    let mut listed = Vec::new();
    let mut family = "";
    for line in include_str!("../src/keys.rs").lines().filter_map(|line| line.strip_prefix("//! ")) {
        for (word, of) in
            [("Of a queue", "}:"), ("Of the registry", ":{%registry}:"), ("Of the email log", ":{%email}:")]
        {
            if line.starts_with(word) {
                family = of;
            }
        }
        let columns: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [keys, kind, _, stays] = columns.as_slice() else { continue };
        if !keys.starts_with('`') {
            continue;
        }
        for key in keys.split(", ") {
            let key = key.trim_matches('`');
            let fixed = key.find(|c: char| c.is_ascii_uppercase()).unwrap_or(key.len());
            listed.push(Listed {
                begins: format!("{family}{}", &key[..fixed]),
                is_whole: fixed == key.len(),
                kind: match *kind {
                    "sorted set" => "zset".to_owned(),
                    kind => kind.to_owned(),
                },
                stays: *stays != "no",
            });
        }
    }
    assert!(listed.len() > 30, "the list was not understood");
    listed
}

fn connection() -> redis::Connection {
    redis::Client::open(redis_url()).unwrap().get_connection().unwrap()
}

/// The keys that begin so, with their types.
fn keys(begins: &str) -> Vec<(String, String)> {
    let mut connection = connection();
    let pattern = format!("*{begins}*");
    let mut scan = redis::cmd("SCAN");
    scan.cursor_arg(0).arg("MATCH").arg(pattern).arg("COUNT").arg(10_000);
    let found: Vec<Vec<u8>> = scan.iter(&mut connection).unwrap().map(Result::unwrap).collect();
    let kind = |key: &Vec<u8>| redis::cmd("TYPE").arg(key).query::<String>(&mut connection).unwrap();
    let kinds: Vec<_> = found.iter().map(kind).collect();
    found.iter().map(|key| String::from_utf8_lossy(key).into_owned()).zip(kinds).collect()
}

/// What comes after prefix and hash tag of a queue, registry or email log.
fn listed<'a>(list: &'a [Listed], key: &str) -> &'a Listed {
    let is_of = |listed: &&Listed| {
        let place = key.find(&listed.begins).map(|place| place + listed.begins.len());
        place.is_some_and(|end| if listed.is_whole { end == key.len() } else { end <= key.len() })
    };
    let found: Vec<&Listed> = list.iter().filter(is_of).collect();
    assert!(!found.is_empty(), "key {key:?} is in no list");
    // Of keys that begin alike the longest.
    found.into_iter().max_by_key(|listed| (listed.is_whole, listed.begins.len())).unwrap()
}

struct OnServer {
    store: Redis,
    clock: ManualClock,
    prefix: Prefix,
}

#[async_trait]
impl Harness for OnServer {
    async fn start() -> Self {
        let (prefix, clock) = (Prefix::on_server(), ManualClock::new());
        let store = prefix.open(&clock).await;
        Self { store, clock, prefix }
    }

    fn store(&self) -> std::sync::Arc<dyn Store> {
        std::sync::Arc::new(self.store.clone())
    }

    async fn second_handle(&self) -> std::sync::Arc<dyn Store> {
        std::sync::Arc::new(self.prefix.open(&self.clock).await)
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }
}

/// What the random operations leave out.
async fn fill_the_rest(store: &Redis) {
    let declaration = JobDeclaration {
        name: "greet".to_owned(),
        queue: "mail".to_owned(),
        priority: Priority::DEFAULT,
        trigger: None,
        policy: None,
        rules: JobRules::default(),
    };
    store.register_jobs(vec![declaration]).await.unwrap();
    let worker = WorkerReport {
        id: WorkerId::new(),
        label: "worker".to_owned(),
        version: "1".to_owned(),
        jobs: [("greet".to_owned(), "mail".to_owned())].into(),
        concurrency: 1,
        running: 0,
        claimed_ahead: [].into(),
        troubles: Vec::new(),
    };
    store.report_worker(worker.clone()).await.unwrap();
    let now = store.now().await.unwrap();
    let metrics = Span::ALL.iter().map(|span| JobMetrics::new("greet", *span, now)).collect();
    store.report_metrics(worker.id, metrics).await.unwrap();
    store.order_worker(worker.id, WorkerOrder::Drain).await.unwrap();
    let action = NewAction {
        id: ActionId::new(),
        by: "ada".to_owned(),
        kind: ActionKind::Pause,
        subject: "mail".to_owned(),
        detail: String::new(),
        state: ActionState::Done,
        outcome: String::new(),
    };
    store.record_action(action).await.unwrap();
    let event = |id: &str| NewEvent::new(id, "user/created", Payload::from_json_text("1"));
    let started = EventRun {
        job: "greet".to_owned(),
        run: RunId::new(),
        effect: EventEffect::Started,
        lacking: Vec::new(),
    };
    store.store_events(vec![event("a"), event("b")]).await.unwrap();
    store.mark_started("a", vec![started]).await.unwrap();
    let email = NewEmail {
        id: EmailId::new(),
        idempotency_key: "key".to_owned(),
        rendered: Rendered {
            provider: "file".to_owned(),
            header_message_id: "<1@example.com>".to_owned(),
            from: "a@example.com".to_owned(),
            subject: "subject".to_owned(),
            content: "content".to_owned(),
            message: b"message".to_vec(),
        },
        to: "B@example.com".to_owned(),
        template: "template".to_owned(),
        reference: Some("order-1".to_owned()),
        run_id: Some(RunId::new()),
        step: None,
        attempt: 1,
        on_unknown: OnUnknown::Hold,
    };
    let id = store.intend_email(email).await.unwrap().id;
    let sender = uuid::Uuid::now_v7();
    let start = EmailStart { sender, run_id: None, attempt: 1, rendered: None, longest_send: Duration::ZERO };
    store.start_email(id, start).await.unwrap();
    store.email_body_begins(id, sender, 1).await.unwrap();
    let sent = EmailEnding::Sent { message_id: "m-1".to_owned(), reply: "ok".to_owned() };
    store.end_email(id, sender, sent).await.unwrap();
    store.suppress("c@example.com", "bounced").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_listed_with_its_type_and_what_is_pruned_leaves_none() {
    let list = list();
    let scene = OnServer::start().await;
    random_operations_match_memory(&scene, 11, 1_500).await;
    fill_the_rest(&scene.store).await;
    // Also what the conformance suite has left on the same server.
    let all = keys("test-");
    assert!(all.len() > 40, "{all:?}");
    for (key, kind) in &all {
        assert_eq!(listed(&list, key).kind, *kind, "{key:?}");
        assert!(key.starts_with("test-"), "{key:?} does not begin with the prefix");
    }

    let store = &scene.store;
    for queue in store.queues().await.unwrap() {
        store.resume_queue(&queue.name).await.unwrap();
    }
    let open = vec![RunState::Pending, RunState::Running];
    loop {
        let runs = store.runs(RunFilter::all().states(open.clone())).await.unwrap();
        if runs.is_empty() {
            break;
        }
        for run in runs {
            store.cancel(run.id).await.unwrap();
        }
    }
    scene.clock.advance(Duration::from_secs(400 * 24 * 3600));
    let zero = Some(Duration::ZERO);
    let retention =
        Retention { ended: zero, dead: zero, events: zero, emails: zero, metrics: zero, actions: zero };
    let pruned = store.prune(retention).await.unwrap();
    let others = (pruned.events, pruned.emails, pruned.metrics, pruned.actions);
    assert!(pruned.runs > 100 && others == (2, 1, 2, 1), "{pruned:?}");
    assert_eq!(store.counts().await.unwrap(), []);
    assert_eq!(store.dead_groups(100).await.unwrap(), []);

    for (key, _) in keys(&scene.prefix.name) {
        let listed = listed(&list, &key);
        assert!(listed.stays, "{key:?} is left");
        let is_of_emails = key.contains(":{%email}:") && !key.contains("suppressed");
        assert!(!is_of_emails, "{key:?} is left of an email that is no longer there");
    }
}

#[tokio::test]
async fn unique_keys_whose_period_is_over_leave_with_one_prune() {
    let scene = OnServer::start().await;
    let run = |n: u32| {
        let input = Payload::from_json_text("1");
        let run = riqle_jobs_core::NewRun::named("greet", input).queue("mail");
        run.unique_within(format!("key-{n}"), UniqueScope::Period(Duration::from_secs(60)))
    };
    scene.store.enqueue((0..1_200).map(run).collect()).await.unwrap();
    scene.clock.advance(Duration::from_secs(3_600));

    // No run has ended.
    let pruned = scene.store.prune(Retention::default()).await.unwrap();

    assert_eq!(pruned.runs, 0);
    let left = |key: &str| !keys(&format!("{}:{{mail}}:{key}", scene.prefix.name)).is_empty();
    assert!(left("runs") && !left("unique") && !left("expiring"));
}

#[tokio::test]
async fn a_key_of_another_type_is_told_and_nothing_is_half_written() {
    // Not one that the other test looks at.
    let prefix = format!("theirs-{}", uuid::Uuid::now_v7().simple());
    let store = Redis::connect(&format!("{}?prefix={prefix}", redis_url())).await.unwrap();
    let run = || riqle_jobs_core::NewRun::named("greet", Payload::from_json_text("1")).queue("mail");
    let theirs = format!("{}:{{mail}}:open:greet", prefix);
    redis::cmd("SET").arg(&theirs).arg("theirs").exec(&mut connection()).unwrap();

    let error = store.enqueue(vec![run()]).await.unwrap_err();

    assert_eq!(error.kind(), riqle_jobs_core::ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("prefix"), "{error}");
    let left: Vec<String> = keys(&prefix).into_iter().map(|(key, _)| key).collect();
    let entered = ["queues", "layout"].map(|key| format!("{prefix}:{{%registry}}:{key}"));
    assert!(left.iter().all(|key| *key == theirs || entered.contains(key)), "{left:?}");
}
