//! The one chromedriver of a test's binary, and the way to it.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, LazyLock},
    thread,
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    http::{Request, Response},
};
use riqle_jobs_core::async_trait;
use serde_json::json;
use thirtyfour::{
    Capabilities, WebDriver,
    error::{WebDriverError, WebDriverResult},
    session::http::{Body, HttpClient},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

const STARTS: u32 = 5;
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// To start Chromium takes longest; chromedriver itself gives that up after 60 s.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);
const WAY_OUT: &str = "the tests need Chromium and its chromedriver; `cargo xtask test` installs them and names them in \
     RIQLE_TEST_CHROMIUM and RIQLE_TEST_CHROMEDRIVER";

static CHROMEDRIVER: LazyLock<Chromedriver> = LazyLock::new(Chromedriver::start);

/// A session in a Chromium of its own.
pub(super) async fn session() -> WebDriver {
    let chromedriver = &*CHROMEDRIVER;
    let url = format!("http://{}", chromedriver.address);
    let client = Loopback(chromedriver.address);
    let session = WebDriver::builder(url, chromedriver.capabilities()).client(client).connect().await;
    session
        .unwrap_or_else(|error| panic!("Chromium did not start: {error}\n{}\n{WAY_OUT}", chromedriver.log()))
}

struct Chromedriver {
    address: SocketAddr,
    folder: PathBuf,
    /// Holds the pipe whose end, with this process, ends everything.
    _shell: Child,
}

impl Chromedriver {
    fn start() -> Self {
        // It chooses a port that is free for IPv4 and ends where that is taken for IPv6; so it may choose again.
        let mut starts = (0..STARTS).map(|_| Self::start_once());
        let first = starts.next().unwrap();
        let started = first.or_else(|problem| starts.find_map(Result::ok).ok_or(problem));
        started.unwrap_or_else(|problem| panic!("chromedriver did not start; {WAY_OUT}\n{problem}"))
    }

    fn start_once() -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("riqle-browser-").tempdir().unwrap().keep();
        // A static is never dropped, and what is killed can't clean up; so a shell waits for the end of a pipe that nobody
        // writes to, and takes down the session of processes that chromedriver leads, each Chromium in it.
        let script = r#"
            exec 3<&0
            setsid "$@" & driver=$!
            { read -r _ <&3; kill -9 -$driver $driver; rm -rf "$TMPDIR"; } &
            wait $driver
            echo "chromedriver has ended"
            wait
        "#;
        let log = fs::File::create(folder.join("log")).unwrap();
        let chromedriver =
            std::env::var_os("RIQLE_TEST_CHROMEDRIVER").unwrap_or_else(|| "chromedriver".into());
        let shell = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(chromedriver)
            .arg("--port=0")
            // The profiles stand in the one, each until its session ends; what Chromium keeps beside them in the other.
            .envs([("TMPDIR", &folder), ("HOME", &folder)])
            .envs([("TZ", "UTC"), ("LANG", "en_US.UTF-8"), ("LANGUAGE", "en_US")])
            // Ctrl-C is for the tests; the shell follows when they have ended.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("can't start a shell: {error}"))?;
        let port = port(&folder)?;
        Ok(Self { address: (Ipv4Addr::LOCALHOST, port).into(), folder, _shell: shell })
    }

    fn capabilities(&self) -> Capabilities {
        let mut arguments = vec![
            "--headless",
            // What a page loads from elsewhere fails, here as with everyone who has no network.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            // /dev/shm is small in containers.
            "--disable-dev-shm-usage",
        ];
        // Who made the folder is who runs Chromium, whose sandbox refuses root.
        if fs::metadata(&self.folder).unwrap().uid() == 0 {
            arguments.push("--no-sandbox");
        }
        let mut chromium = json!({"args": arguments});
        if let Ok(binary) = std::env::var("RIQLE_TEST_CHROMIUM") {
            chromium["binary"] = json!(binary);
        }
        let capabilities =
            json!({"goog:chromeOptions": chromium, "goog:loggingPrefs": {"browser": "SEVERE"}});
        serde_json::from_value(capabilities).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

/// The port that it has chosen, once it listens there; what it said where it does not.
fn port(folder: &Path) -> Result<u16, String> {
    let begun = Instant::now();
    loop {
        let log = fs::read_to_string(folder.join("log")).unwrap();
        let started = log.lines().find_map(|line| line.split_once("started successfully on port "));
        if let Some(port) = started.and_then(|(_, port)| port.strip_suffix('.')) {
            return Ok(port.parse().unwrap());
        }
        if log.contains("chromedriver has ended") || begun.elapsed() > STARTS_WITHIN {
            return Err(log);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A connection for each request, so that a session may end on another runtime than it began on.
struct Loopback(SocketAddr);

#[async_trait]
impl HttpClient for Loopback {
    async fn send(&self, asked: Request<Body<'_>>) -> WebDriverResult<Response<Bytes>> {
        let line = format!("{} {}", asked.method(), asked.uri().path());
        let body = match asked.body() {
            Body::Empty => String::new(),
            Body::Json(json) => json.to_string(),
        };
        let answer = timeout(ANSWERS_WITHIN, exchange(self.0, &line, &body)).await;
        let answer = answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        answer.map_err(|error| WebDriverError::RequestFailed(format!("{line}: {error}")))
    }

    async fn new(&self) -> Arc<dyn HttpClient> {
        Arc::new(Self(self.0))
    }
}

async fn exchange(address: SocketAddr, line: &str, body: &str) -> io::Result<Response<Bytes>> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let length = body.len();
    let asked = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(asked.as_bytes()).await?;
    let (mut status, mut length) = (None::<u16>, 0);
    let mut lines = (&mut stream).lines();
    // chromedriver leaves the connection open, whatever it is asked; so the answer ends where its head says.
    while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            Some(_) => {}
            None => status = line.split(' ').nth(1).and_then(|status| status.parse().ok()),
        }
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    let answer = Response::builder().status(status.unwrap_or_default()).body(answer.into());
    answer.map_err(io::Error::other)
}
