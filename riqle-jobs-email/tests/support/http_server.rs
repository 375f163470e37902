use std::{
    collections::{HashMap, VecDeque},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::certificates::Certificates;

/// An HTTP server that answers as it is told, request by request, and keeps what it was sent. When it has been told no
/// more it answers as Resend does to an email that it takes: the same id to the same key.
pub struct HttpServer {
    pub port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

type Handler = Box<dyn Fn(Request) -> Pin<Box<dyn Future<Output = HttpAnswer> + Send>> + Send + Sync>;

#[derive(Default)]
struct Shared {
    /// Answers instead of all else.
    handler: Option<Handler>,
    answers: Mutex<VecDeque<HttpAnswer>>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    certificates: Option<Arc<Certificates>>,
}

/// What a request is answered.
#[derive(Clone, Debug)]
pub enum HttpAnswer {
    /// A status line, header lines and a body.
    Says(String),
    /// The connection is closed without a word, after the request was read.
    Cuts,
    /// The connection is closed after half of the body was read.
    CutsTheBody,
    /// Nothing, ever.
    Hangs,
}

impl HttpAnswer {
    pub fn new(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        Self::Says(format!("HTTP/1.1 {status} Whatever\r\n{lines}content-length: {length}\r\n\r\n{body}"))
    }

    /// One of Resend's errors.
    pub fn error(status: u16, name: &str) -> Self {
        Self::error_with(status, name, &[])
    }

    pub fn error_with(status: u16, name: &str, headers: &[(&str, &str)]) -> Self {
        let body = format!(r#"{{"statusCode":{status},"name":"{name}","message":"About {name}"}}"#);
        Self::new(status, headers, &body)
    }
}

/// A request, whole.
#[derive(Clone, Debug)]
pub struct Request {
    /// As in `POST /emails`.
    pub line: String,
    /// By their names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn key(&self) -> &str {
        &self.headers["idempotency-key"]
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl HttpServer {
    pub async fn start(answers: impl IntoIterator<Item = HttpAnswer>) -> Self {
        Self::with(Shared { answers: Mutex::new(answers.into_iter().collect()), ..Shared::default() }).await
    }

    /// A server whose answers come from elsewhere.
    pub async fn through<A: Future<Output = HttpAnswer> + Send + 'static>(
        handler: impl Fn(Request) -> A + Send + Sync + 'static,
    ) -> Self {
        let handler: Handler = Box::new(move |request| Box::pin(handler(request)));
        Self::with(Shared { handler: Some(handler), ..Shared::default() }).await
    }

    pub async fn encrypted(certificates: &Arc<Certificates>) -> Self {
        Self::with(Shared { certificates: Some(Arc::clone(certificates)), ..Shared::default() }).await
    }

    async fn with(shared: Shared) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(shared);
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    let shared = Arc::clone(&shared);
                    // A client that goes away is no news here.
                    tokio::spawn(async move { accept(stream, &shared).await.ok() });
                }
            }
        });
        Self { port, shared, task }
    }

    pub fn url(&self) -> String {
        let scheme = if self.shared.certificates.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until so many requests were read.
    pub async fn has_read(&self, count: usize) {
        while self.requests().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    match &shared.certificates {
        Some(certificates) => serve(certificates.acceptor.accept(stream).await?, shared).await,
        None => serve(stream, shared).await,
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = match head(&mut stream).await {
            // What a client of TLS is answered that comes to a port without.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
            request => request?,
        };
        let length: usize = request.headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut answer = shared.answers.lock().unwrap().pop_front();
        if matches!(answer, Some(HttpAnswer::CutsTheBody)) {
            stream.read_exact(&mut vec![0; length / 2]).await?;
            return Ok(());
        }
        request.body = vec![0; length];
        stream.read_exact(&mut request.body).await?;
        let taken = taken(&request);
        shared.requests.lock().unwrap().push(request.clone());
        if let Some(handler) = &shared.handler {
            answer = Some(handler(request).await);
        }
        match answer {
            Some(HttpAnswer::Cuts | HttpAnswer::CutsTheBody) => return Ok(()),
            Some(HttpAnswer::Hangs) => std::future::pending().await,
            Some(HttpAnswer::Says(text)) => stream.write_all(text.as_bytes()).await?,
            None => stream.write_all(taken.as_bytes()).await?,
        }
        stream.flush().await?;
    }
}

async fn head(stream: &mut (impl AsyncBufReadExt + Unpin)) -> io::Result<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let line = lines.remove(0).trim_end_matches(" HTTP/1.1").to_owned();
    let headers = lines.iter().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Ok(Request { line, headers, body: Vec::new() })
}

fn taken(request: &Request) -> String {
    let key = request.headers.get("idempotency-key").cloned().unwrap_or_default();
    let body = format!(r#"{{"id":"id of {key}"}}"#);
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
