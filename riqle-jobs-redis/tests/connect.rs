//! Opening a store: what is wrong is said in one line.

#![allow(clippy::unwrap_used, clippy::panic)]

use riqle_jobs_core::{ErrorKind, Hint, Inspect, NewRun, Payload, Queue, WakeUps};
use riqle_jobs_redis::Redis;
use riqle_jobs_test_servers::RedisServer;

fn greeting() -> NewRun {
    NewRun::named("greet", Payload::json("Ada").unwrap())
}

async fn refused(url: &str) -> (ErrorKind, String) {
    let error = Redis::connect(url).await.unwrap_err();
    let line = error.to_string();
    assert!(!line.contains('\n') && !line.contains("secret"), "{line}");
    (error.kind(), line)
}

#[tokio::test]
async fn a_wrong_url_is_named_and_its_password_is_not() {
    for url in ["redis", "mysql://root:secret@localhost/shop", "redis://u:secret@localhost:notaport"] {
        let (kind, line) = refused(url).await;
        assert_eq!(kind, ErrorKind::Misconfigured, "{line}");
        assert!(line.contains("redis://user:password@host:port/database"), "{line}");
    }
    for (parameter, problem) in [
        ("prefx=a", "unknown URL parameter \"prefx\"; known are prefix, wait, allow_eviction, ca"),
        ("wait=some", "wait must be a number of replicas"),
        ("allow_eviction=1", "allow_eviction must be true or false"),
        ("prefix=a{b}", "prefix must be 1 to 64 letters"),
        ("ca=/no/such/file", "can't be read"),
    ] {
        let (kind, line) = refused(&format!("redis://u:secret@localhost/?{parameter}")).await;
        assert!(kind == ErrorKind::Misconfigured && line.contains(problem), "{line}");
    }
}

#[tokio::test]
async fn a_question_mark_in_a_password_is_told_and_no_part_of_the_password_is() {
    for url in ["redis://:pa?secret/rd@host", "redis://ada:pa?wait=secret@host", "rediss://:a#secret@host"] {
        let (kind, line) = refused(url).await;
        assert!(kind == ErrorKind::Misconfigured && (line.contains("%3F") || !url.contains('?')), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_another_than_the_url_says_is_refused() {
    let (server, node) =
        (RedisServer::start(&[]).unwrap(), RedisServer::start(&["--cluster-enabled", "yes"]).unwrap());
    for (url, named) in [
        (node.url(), "redis-cluster://"),
        (format!("{}/3", node.url()), "redis-cluster://"),
        (server.url().replace("redis:", "redis-cluster:"), "redis://"),
        (format!("{}/99", server.url()), "database"),
    ] {
        let (kind, line) = refused(&url).await;
        assert!(kind == ErrorKind::Misconfigured && line.contains(named), "{url}: {line}");
    }
    Redis::connect(&server.url().replace("redis:", "REDIS:")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    for url in ["redis://u:secret@127.0.0.1:9", "redis-cluster://u:secret@127.0.0.1:9,127.0.0.1:10"] {
        let (kind, line) = refused(url).await;
        assert!(kind == ErrorKind::Unavailable && line.contains("127.0.0.1:9"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_a_wrong_setting() {
    let server = RedisServer::start(&["--requirepass", "right"]).unwrap();
    let port = server.port();
    for user in ["", ":secret@", "ada:secret@"] {
        let (kind, line) = refused(&format!("redis://{user}127.0.0.1:{port}")).await;
        assert!(kind == ErrorKind::Misconfigured && line.contains("user name or password"), "{line}");
    }
    Redis::connect(&format!("redis://:right@127.0.0.1:{port}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn f19_a_server_that_evicts_is_refused_unless_it_is_allowed() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]).unwrap();

    let (kind, line) = refused(&server.url()).await;

    assert_eq!(kind, ErrorKind::Misconfigured);
    assert!(line.contains("allkeys-lru") && line.contains("allow_eviction=true"), "{line}");
    let store = Redis::connect(&format!("{}?allow_eviction=true", server.url())).await.unwrap();
    let problems = store.health().await.unwrap().problems;
    assert!(problems.len() == 1 && problems[0].what.contains("allkeys-lru"), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_version_has_laid_out_is_refused() {
    let server = RedisServer::start(&[]).unwrap();
    Redis::connect(&server.url()).await.unwrap();
    Redis::connect(&server.url()).await.unwrap();
    server.command(&["SET", "riqle:{%registry}:layout", "99"]).unwrap();

    let (kind, line) = refused(&server.url()).await;

    assert_eq!(kind, ErrorKind::Misconfigured);
    assert!(line.contains("layout 99") && line.contains("knows 1"), "{line}");
    Redis::connect(&format!("{}?prefix=other", server.url())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_nothing_on_disk_is_a_problem_of_the_health() {
    let server = RedisServer::start(&["--appendonly", "no"]).unwrap();
    let problems = Redis::connect(&server.url()).await.unwrap().health().await.unwrap().problems;
    assert!(problems.len() == 1 && problems[0].what.contains("appendonly is off"), "{problems:?}");

    let server = RedisServer::start(&["--appendfsync", "no"]).unwrap();
    let problems = Redis::connect(&server.url()).await.unwrap().health().await.unwrap().problems;
    assert!(problems.len() == 1 && problems[0].what.contains("appendfsync is no"), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_config_is_no_error() {
    let server = RedisServer::start(&["--rename-command", "CONFIG", ""]).unwrap();
    let store = Redis::connect(&server.url()).await.unwrap();
    assert_eq!(store.health().await.unwrap().problems, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_without_replicas_is_told_and_repeating_is_safe() {
    let server = RedisServer::start(&[]).unwrap();
    let store = Redis::connect(&format!("{}?wait=1", server.url())).await.unwrap();
    let run = greeting();
    for _ in 0..2 {
        let error = store.enqueue(vec![run.clone()]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("0 of the 1 replicas"), "{error}");
    }
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &server.port().to_string()]).unwrap();
    while !replica.command(&["INFO", "replication"]).unwrap().contains("master_link_status:up") {
        // The replica copies first.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    store.enqueue(vec![run.clone()]).await.unwrap();
    assert!(!store.enqueue(vec![run.clone()]).await.unwrap()[0].is_new());
    assert!(store.run(run.id).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_replicas_holds_up_no_read() {
    let server = RedisServer::start(&[]).unwrap();
    let store = Redis::connect(&format!("{}?wait=1", server.url())).await.unwrap();
    let run = greeting();
    // Without a replica each of these waits for a second, one after the other.
    let waiting: Vec<_> = (0..10)
        .map(|n| {
            let (store, run) = (store.clone(), NewRun { queue: format!("queue-{n}"), ..run.clone() });
            tokio::spawn(async move { store.enqueue(vec![run]).await.map(drop) })
        })
        .collect();
    while !server.command(&["INFO", "clients"]).unwrap().contains("blocked_clients:1") {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }

    store.run(run.id).await.unwrap();

    assert!(waiting.iter().any(|waiting| !waiting.is_finished()), "the read came last");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[test]
fn a_later_runtime_is_told_too_once_the_one_that_listened_has_ended() {
    let server = RedisServer::start(&[]).unwrap();
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let worker = runtime().block_on(async { Redis::connect(&server.url()).await.unwrap() });
    for _ in 0..2 {
        runtime().block_on(async {
            let producer = Redis::connect(&server.url()).await.unwrap();
            told(&producer, &mut worker.wake_ups()).await;
        });
    }
}

/// Enqueues until the hint has come: who listens is not known from outside.
async fn told(producer: &Redis, hints: &mut WakeUps) {
    for _ in 0..100 {
        producer.enqueue(vec![greeting()]).await.unwrap();
        let heard = tokio::time::timeout(std::time::Duration::from_millis(100), hints.next()).await;
        if heard.is_ok_and(|hint| hint == Hint::Due(Some("default".to_owned()))) {
            return;
        }
    }
    panic!("no hint has come");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_is_reached_by_its_root_certificate_and_by_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(file("cert"), certificate.cert.pem()).unwrap();
    std::fs::write(file("key"), certificate.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (file("cert"), file("key"));
    let plain = RedisServer::start(&[]).unwrap();
    // The port without TLS stays, for the wait until it has started.
    let port = plain.port();
    drop(plain);
    let tls = ["--tls-port", &port.to_string(), "--tls-cert-file", &cert, "--tls-key-file", &key];
    let rest = ["--tls-ca-cert-file", &cert, "--tls-auth-clients", "no"];
    let _server = RedisServer::start(&[tls.as_slice(), rest.as_slice()].concat()).unwrap();

    let store = Redis::connect(&format!("rediss://localhost:{port}?ca={cert}")).await.unwrap();

    assert!(store.enqueue(vec![greeting()]).await.unwrap()[0].is_new());
    let (kind, line) = refused(&format!("rediss://localhost:{port}")).await;
    assert_eq!(kind, ErrorKind::Unavailable, "{line}");
}
