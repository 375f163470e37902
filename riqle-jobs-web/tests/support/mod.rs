//! A server of our routers, a client, and stores to test them over.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "real-servers")]
pub mod browser;
pub mod crowd;
pub mod node;
#[cfg(feature = "real-servers")]
pub mod servers;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::Router;
use riqle_jobs_conformance::{Fault, Unreliable};
use riqle_jobs_core::{Job, JobError, JobInput, Jobs, Memory, Run, RunContext, RunFilter, Store};
use riqle_jobs_sqlite::Sqlite;
use riqle_jobs_web::{
    Dashboard,
    security::{Access, Role},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A job that an event starts; its input is whatever comes.
pub struct Welcome;

/// What [`Welcome`] is given.
#[derive(serde::Serialize, serde::Deserialize)]
pub struct WelcomeInput(pub Value);

impl JobInput for WelcomeInput {
    const JOB: &'static str = "send-welcome-email";
    const TRIGGER: Option<&'static str> = Some("email/welcome");
    const QUEUE: &'static str = "email";
}

impl Job for Welcome {
    type Input = WelcomeInput;
    type Output = Value;

    async fn run(&self, _: &RunContext, WelcomeInput(input): WelcomeInput) -> Result<Value, JobError> {
        Ok(input)
    }
}

/// A store to test over, which can be sent away.
pub struct Bench {
    pub jobs: Jobs,
    away: Arc<AtomicBool>,
    _folder: Option<TempDir>,
}

impl Bench {
    fn over(store: Arc<dyn Store>, folder: Option<TempDir>) -> Self {
        let away = Arc::new(AtomicBool::new(false));
        let is_away = Arc::clone(&away);
        let store = Unreliable::new(store, move |_| is_away.load(Ordering::SeqCst).then_some(Fault::Before));
        Self { jobs: Jobs::new(&store), away, _folder: folder }
    }

    /// On memory and on SQLite, each with the job [`Welcome`] declared.
    pub async fn all() -> Vec<Self> {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("jobs.db").display());
        let sqlite = Sqlite::connect(&url).await.unwrap();
        let all = vec![Self::over(Arc::new(Memory::new()), None), Self::over(Arc::new(sqlite), Some(folder))];
        for bench in &all {
            bench.jobs.declare::<WelcomeInput>().await.unwrap();
        }
        all
    }

    pub fn store(&self) -> &dyn Store {
        &**self.jobs.store()
    }

    /// From now on each call of the store fails.
    pub fn goes_away(&self) {
        self.away.store(true, Ordering::SeqCst);
    }

    pub fn comes_back(&self) {
        self.away.store(false, Ordering::SeqCst);
    }

    /// Oldest first, up to 10,000.
    pub async fn runs(&self) -> Vec<Run> {
        let filter = RunFilter::all().limit(10_000);
        let mut runs = self.store().runs(filter).await.unwrap();
        runs.reverse();
        runs
    }

    /// The inputs of all runs, as text.
    pub async fn inputs(&self) -> Vec<String> {
        let inputs = self.runs().await.into_iter().map(|run| String::from_utf8(run.input.bytes).unwrap());
        inputs.collect()
    }
}

/// Serves on loopback until the test ends.
pub async fn serve(router: impl FnOnce(SocketAddr) -> Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = router(address);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub raw_head: String,
    pub text: String,
}

impl Answer {
    /// Each answer says that it is JSON, and is.
    pub fn json(&self) -> Value {
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        serde_json::from_str(&self.text).unwrap()
    }
}

/// One request on a connection of its own; headers as lines, each ended by CRLF. A `Host` of its own replaces the usual one.
pub async fn request(address: SocketAddr, line: &str, headers: &str, body: &[u8]) -> Answer {
    let has_own = headers.lines().any(|line| line.to_lowercase().starts_with("host:"));
    let host = if has_own { String::new() } else { format!("Host: {address}\r\n") };
    let length = body.len();
    let head =
        format!("{line} HTTP/1.1\r\n{host}Content-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut answer = Vec::new();
    let write = async {
        writer.write_all(head.as_bytes()).await?;
        writer.write_all(body).await
    };
    // A server may answer and close before it has read all of it.
    let (_, read) = tokio::join!(write, reader.read_to_end(&mut answer));
    if answer.is_empty() {
        read.unwrap();
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").expect("an answer with a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_lowercase(), raw_head: head.to_owned(), text: unchunked(head, text) }
}

/// The text of an answer that came in pieces.
fn unchunked(head: &str, text: &str) -> String {
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return text.to_owned();
    }
    let (mut whole, mut rest) = (String::new(), text);
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole.push_str(&after[..length]);
        rest = after[length..].strip_prefix("\r\n").unwrap_or_default();
    }
    whole
}

pub async fn post(address: SocketAddr, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
    let headers = format!("Content-Type: application/json\r\n{headers}");
    request(address, &format!("POST {path}"), &headers, body.as_ref()).await
}

pub async fn get(address: SocketAddr, path: &str, headers: &str) -> Answer {
    request(address, &format!("GET {path}"), headers, b"").await
}

/// Lets `anna` act and `ben` look.
pub fn access() -> Access {
    Access::closed()
        .bearer("anna", ANNA, Role::Operator)
        .bearer("ben", BEN, Role::Viewer)
        .basic("anna", ANNA_PASSWORD, Role::Operator)
        .basic("ben", BEN_PASSWORD, Role::Viewer)
}

pub const ANNA: &str = "anna's long token";
pub const BEN: &str = "ben's long token";
pub const ANNA_PASSWORD: &str = "annas-password";
pub const BEN_PASSWORD: &str = "bens-password";

/// The dashboard at `/jobs`, over a store.
pub async fn dashboard(jobs: &Jobs) -> SocketAddr {
    let router = Router::new().nest_service("/jobs", Dashboard::new(jobs, access()).router());
    serve(|_| router).await
}

/// A page as HTML.
pub async fn page(address: SocketAddr, token: &str, path: &str) -> Answer {
    get(address, &format!("/jobs/{path}"), &format!("Authorization: Bearer {token}\r\nAccept: text/html\r\n"))
        .await
}

/// A page as JSON.
pub async fn data(address: SocketAddr, token: &str, path: &str) -> Value {
    let headers = format!("Authorization: Bearer {token}\r\nAccept: application/json\r\n");
    let answer = get(address, &format!("/jobs/{path}"), &headers).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// An action, as tools send it.
pub async fn act(address: SocketAddr, token: &str, path: &str, body: &str) -> Answer {
    post(address, &format!("/jobs/{path}"), &format!("Authorization: Bearer {token}\r\n"), body).await
}

/// An action, as a browser sends it that has loaded a page before.
pub async fn submit(address: SocketAddr, token: &str, path: &str, fields: &str) -> Answer {
    let first = page(address, token, "overview").await;
    let cookie = first.cookie();
    let value = cookie.split_once('=').unwrap().1;
    let headers = format!(
        "Authorization: Bearer {token}\r\nCookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    );
    let body = format!("formToken={value}&{fields}");
    request(address, &format!("POST /jobs/{path}"), &headers, body.as_bytes()).await
}

impl Answer {
    /// Name and value of the cookie that it sets.
    pub fn cookie(&self) -> String {
        let at = self.raw_head.to_lowercase().find("set-cookie: ").expect("a cookie is set");
        self.raw_head[at + 12..].split([';', '\r']).next().unwrap().to_owned()
    }

    /// Where a browser goes on.
    pub fn location(&self) -> &str {
        let at = self.raw_head.to_lowercase().find("location: ").expect("it goes on somewhere");
        self.raw_head[at + 10..].split('\r').next().unwrap()
    }
}
