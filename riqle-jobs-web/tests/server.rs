//! What a client may take of a server, and that none holds up its shutdown; over real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    response::Response,
    routing::{get, post},
};
use futures_util::{future::join_all, stream};
use riqle_jobs_core::{
    ClaimRequest, Jobs, LeaseToken, Memory, NewRun, Payload, Queue, Shutdown, WorkerId,
    store::{Note, Progress},
};
use riqle_jobs_web::{Dashboard, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::{sleep, timeout},
};

use self::support::{ANNA, access, request};

/// Far more than a loaded machine needs.
const IN_TIME: Duration = Duration::from_secs(30);
/// No test waits for it.
const NEVER: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_millis(100);

async fn in_time<T>(event: impl Future<Output = T>) -> T {
    timeout(IN_TIME, event).await.expect("it happens in time")
}

/// A server with patience in all, but for what a test changes.
struct Served {
    address: SocketAddr,
    shutdown: Shutdown,
    running: JoinHandle<()>,
}

impl Served {
    async fn start(router: Router, set: impl FnOnce(Server) -> Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), Shutdown::new());
        let server = Server::new(listener, router).header_time(NEVER).body_time(NEVER).unread_time(NEVER);
        let server = set(server.grace(NEVER));
        let running = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { server.run_with(&shutdown).await }
        });
        Self { address, shutdown, running }
    }

    /// A client that has sent this much, and goes on to send nothing.
    async fn dawdler(&self, sent: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        stream
    }

    async fn ends(self) {
        in_time(self.running).await.unwrap();
    }
}

/// All that comes up to the end of the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut rest = Vec::new();
    // A connection that is closed before all was read is reset.
    let _ =
        timeout(Duration::from_secs(60), stream.read_to_end(&mut rest)).await.expect("the connection ends");
    String::from_utf8(rest).unwrap()
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" })).route("/", post(async |body: Bytes| body))
}

/// A request that is answered once it may be; tells of each that has begun.
fn gated(begun: &Arc<Notify>, may_end: &Arc<Notify>) -> Router {
    let (begun, may_end) = (Arc::clone(begun), Arc::clone(may_end));
    let answer = move || {
        let (begun, may_end) = (Arc::clone(&begun), Arc::clone(&may_end));
        async move {
            begun.notify_one();
            may_end.notified().await;
            "hello"
        }
    };
    Router::new().route("/", get(answer))
}

const WHOLE: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
/// A client may stop anywhere in its headers.
const HALVES: [&str; 4] = ["", "G", "GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost: x\r\nX-Long: "];

#[tokio::test]
async fn a_client_that_does_not_send_its_headers_in_time_is_let_go() {
    let served = Served::start(hello(), |server| server.header_time(SHORT)).await;
    for half in HALVES {
        assert_eq!(rest(served.dawdler(half).await).await, "", "{half}");
    }
    // Also one that has been answered before; on a machine that stalls, even a whole request comes too late.
    let mut answered = String::new();
    while answered.is_empty() {
        answered = rest(served.dawdler(WHOLE).await).await;
    }
    assert!(answered.starts_with("HTTP/1.1 200") && answered.ends_with("hello"), "{answered}");
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_fails_and_one_that_comes_bit_by_bit_too() {
    let served = Served::start(hello(), |server| server.body_time(SHORT)).await;
    let head = "POST / HTTP/1.1\r\nHost: x\r\n";
    for half in [
        format!("{head}Content-Length: 9\r\n\r\nhalf"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n4\r\nha"),
    ] {
        let answer = rest(served.dawdler(&half).await).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let mut slow = served.dawdler(&format!("{head}Content-Length: 100000\r\n\r\n")).await;
    let (mut reader, mut writer) = slow.split();
    let bit_by_bit = async {
        while writer.write_all(b"x").await.is_ok() {
            // The client's pace.
            sleep(Duration::from_millis(1)).await;
        }
    };
    let mut status = [0; 12];
    in_time(async {
        tokio::select! {
            read = reader.read_exact(&mut status) => drop(read.unwrap()),
            () = bit_by_bit => {}
        }
    })
    .await;
    assert_eq!(&status, b"HTTP/1.1 400");
}

/// Tells when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn an_answer_that_is_never_read_gives_its_connection_back() {
    let dropped = Arc::new(Notify::new());
    let endless = {
        let dropped = Arc::clone(&dropped);
        move || {
            let guard = Dropped(Arc::clone(&dropped));
            let chunks = stream::unfold(guard, |guard| async {
                Some((Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 65_536])), guard))
            });
            async move { Response::new(Body::from_stream(chunks)) }
        }
    };
    let router = Router::new().route("/", get(endless));
    let served = Served::start(router, |server| server.unread_time(SHORT).connections(1)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(served.address).await.unwrap();
    stream.write_all(WHOLE.as_bytes()).await.unwrap();
    in_time(dropped.notified()).await;
    // The only place is free again.
    let mut next = served.dawdler(WHOLE).await;
    let mut status = [0; 12];
    in_time(next.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    drop(stream);
}

/// The store's own limit of an input.
const LARGE: usize = 1 << 20;

#[tokio::test]
async fn a_page_that_follows_and_is_never_read_gives_its_connection_back() {
    let store = Memory::new();
    let input = Payload::from_json_text(format!("\"{}\"", "x".repeat(LARGE - 2)));
    let run = NewRun::named("greet", input);
    let id = run.id;
    store.enqueue(vec![run]).await.unwrap();
    let request = ClaimRequest {
        queue: "default".to_owned(),
        jobs: ["greet".to_owned()].into(),
        limit: 1,
        lease: NEVER,
        token: LeaseToken::new(),
        worker: WorkerId::new(),
    };
    let lease = store.claim(request).await.unwrap().runs.remove(0).lease;
    let dashboard = Dashboard::new(&Jobs::new(&store), access()).router();
    let router = hello().nest_service("/jobs", dashboard);
    let served = Served::start(router, |server| server.unread_time(SHORT).connections(1)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut follower = socket.connect(served.address).await.unwrap();
    let follow = format!(
        "GET /jobs/runs/{id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ANNA}\r\nAccept: text/event-stream\r\n\r\n"
    );
    follower.write_all(follow.as_bytes()).await.unwrap();
    let changes = async {
        for done in 0.. {
            let progress = Some(Progress { done, total: 0, text: String::new() });
            store.annotate(vec![Note { lease: lease.clone(), progress, lines: Vec::new() }]).await.unwrap();
            // The page is looked at each second.
            sleep(Duration::from_millis(100)).await;
        }
    };
    // Answered once the only place is free; without a limit the page would be followed for a minute.
    let other = timeout(Duration::from_secs(50), rest(served.dawdler("GET / HTTP/1.0\r\n\r\n").await));
    tokio::select! {
        answer = other => assert!(answer.expect("the place is not free").ends_with("hello")),
        () = changes => {}
    }
    drop(follower);
}

#[tokio::test]
async fn no_more_connections_are_open_than_may_be_and_all_are_served_in_the_end() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let router = {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        Router::new().route(
            "/",
            get(move || {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // The others get their chance.
                    sleep(Duration::from_millis(2)).await;
                    now.fetch_sub(1, Ordering::SeqCst);
                }
            }),
        )
    };
    let served = Served::start(router, |server| server.connections(3)).await;
    // Half a request and a silent client take a place each.
    let _dawdlers = [served.dawdler("GET").await, served.dawdler("").await];
    let answers = join_all((0..40).map(|_| in_time(request(served.address, "GET /", "", b"")))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_shutdown_waits_for_requests_that_have_begun_and_takes_no_new_ones() {
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let served = Served::start(gated(&begun, &may_end), |server| server).await;
    let client = served.dawdler(WHOLE).await;
    in_time(begun.notified()).await;
    served.shutdown.stop();
    in_time(async {
        while TcpStream::connect(served.address).await.is_ok() {
            // The port is closed by another task.
            tokio::task::yield_now().await;
        }
    })
    .await;
    may_end.notify_one();
    let answer = rest(client).await;
    assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
    served.ends().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_connections_that_ask_for_nothing() {
    let served = Served::start(hello(), |server| server).await;
    let _silent = served.dawdler("").await;
    let mut idle = served.dawdler(WHOLE).await;
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    served.shutdown.stop();
    served.ends().await;
}

#[tokio::test]
async fn clients_that_dawdle_hold_up_a_shutdown_for_the_grace_time_at_most() {
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let router = hello().nest("/gated", gated(&begun, &may_end));
    let served = Served::start(router, |server| server.grace(SHORT)).await;
    let mut dawdlers = Vec::new();
    for half in HALVES {
        dawdlers.push(served.dawdler(half).await);
    }
    dawdlers.push(served.dawdler("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf").await);
    dawdlers.push(served.dawdler("GET /gated HTTP/1.1\r\nHost: x\r\n\r\n").await);
    in_time(begun.notified()).await;
    served.shutdown.stop();
    served.ends().await;
    for dawdler in dawdlers {
        assert_eq!(rest(dawdler).await, "");
    }
}

#[tokio::test]
async fn stopping_at_once_waits_for_nobody() {
    let (begun, may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let served = Served::start(gated(&begun, &may_end), |server| server).await;
    let (half, whole) = (served.dawdler("GET / HTTP").await, served.dawdler(WHOLE).await);
    in_time(begun.notified()).await;
    served.shutdown.stop();
    served.shutdown.stop_now();
    served.ends().await;
    assert_eq!((rest(half).await, rest(whole).await), (String::new(), String::new()));
}

#[tokio::test]
async fn a_server_that_is_dropped_closes_its_connections() {
    let served = Served::start(hello(), |server| server).await;
    let half = served.dawdler("GET").await;
    served.running.abort();
    assert!(in_time(served.running).await.unwrap_err().is_cancelled());
    assert_eq!(rest(half).await, "");
}

#[tokio::test]
async fn a_handler_that_panics_ends_its_connection_alone_and_handlers_know_the_client() {
    let router = Router::new()
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("no")
                }
            }),
        )
        .route(
            "/",
            get(|ConnectInfo(client): ConnectInfo<SocketAddr>| async move { client.ip().to_string() }),
        );
    let served = Served::start(router, |server| server.connections(1)).await;
    assert_eq!(rest(served.dawdler("GET /panic HTTP/1.1\r\nHost: x\r\n\r\n").await).await, "");
    let answer = in_time(request(served.address, "GET /", "", b"")).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "127.0.0.1"));
}
