//! A server for routers that no client can hold up.

mod timed_body;

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request, serve::Listener};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use riqle_jobs_core::Shutdown;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_io_timeout::TimeoutWriter;

use self::timed_body::TimedBody;

/// A full server logs it once in this time.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Serves a router over HTTP/1.1, with limits on clients: time for headers and body, time without reading the
/// answer, and the number of connections. It stops with the workers of the same [`Shutdown`].
///
/// HTTP/2 is off, whatever other crates switch on in `hyper`; a reverse proxy can offer it to browsers.
/// Handlers find the client's address in [`ConnectInfo`].
///
/// ```
/// use riqle_jobs_core::{Shutdown, Worker};
/// use riqle_jobs_web::Server;
///
/// # async fn serve(worker: Worker, router: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8288").await?;
/// let shutdown = Shutdown::on_signals()?;
/// let server = Server::new(listener, router);
/// let (worked, ()) = tokio::join!(worker.run_with(&shutdown), server.run_with(&shutdown));
/// worked?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it serves once it is run"]
pub struct Server<L = TcpListener> {
    listener: L,
    router: Router,
    connections: usize,
    times: Times,
    grace: Duration,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
struct Times {
    header: Duration,
    body: Duration,
    unread: Duration,
}

impl<L> Server<L>
where
    L: Listener,
    L::Addr: Clone + Sync + 'static,
{
    /// A server of this router on this listener.
    pub fn new(listener: L, router: Router) -> Self {
        let times = Times {
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            unread: Duration::from_secs(30),
        };
        Self { listener, router, connections: 1_024, times, grace: Duration::from_secs(10) }
    }

    /// How long a client may take to send the headers of a request, counted from the connection or the end of
    /// the previous request; so it is also how long an idle connection is kept. Default 10 s.
    pub fn header_time(mut self, most: Duration) -> Self {
        self.times.header = most;
        self
    }

    /// How long a client may take to send the body of a request, counted from its headers; then reading it fails, and the
    /// handlers of this crate answer 400. Default 30 s.
    pub fn body_time(mut self, most: Duration) -> Self {
        self.times.body = most;
        self
    }

    /// How long a client may leave a ready answer unread; then its connection is closed. Default 30 s.
    pub fn unread_time(mut self, most: Duration) -> Self {
        self.times.unread = most;
        self
    }

    /// The most connections open at once; more wait until one is closed. Default 1,024.
    pub fn connections(mut self, most: usize) -> Self {
        self.connections = most.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How long requests may continue once shutdown has begun; then their connections are closed. Default 10 s,
    /// like a worker's.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Serves until `shutdown` fires, and closes the port before it waits for requests in flight. If stopping
    /// at once is requested, or this future is dropped, all connections are closed.
    pub async fn run_with(self, shutdown: &Shutdown) {
        let Self { mut listener, router, connections, times, grace } = self;
        let service = TowerToHyperService::new(router);
        let free = Arc::new(Semaphore::new(connections));
        let mut places = Places { free, most: connections, told: None };
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.stopping() => break,
                // What it came to, the client has heard.
                Some(_) = open.join_next() => {}
                (place, (io, address)) = places.next(&mut listener) => {
                    let connection = Connection { service: service.clone(), address, times, shutdown: shutdown.clone() };
                    open.spawn(connection.serve(io, place));
                }
            }
        }
        drop(listener);
        let all_closed = async { while open.join_next().await.is_some() {} };
        let is_closed = tokio::select! {
            () = all_closed => true,
            () = shutdown.stopping_now() => false,
            () = sleep(grace) => false,
        };
        if !is_closed {
            tracing::warn!(connections = open.len(), "closing connections with unfinished requests");
        }
    }
}

/// Who may connect.
struct Places {
    free: Arc<Semaphore>,
    most: usize,
    /// When it was last logged that none is free.
    told: Option<Instant>,
}

impl Places {
    /// The next connection, once there is a place for it.
    async fn next<L: Listener>(&mut self, listener: &mut L) -> (OwnedSemaphorePermit, (L::Io, L::Addr)) {
        if self.free.available_permits() == 0 && self.told.is_none_or(|told| told.elapsed() > TOLD_EVERY) {
            self.told = Some(Instant::now());
            tracing::warn!(connections = self.most, "all connections are in use; new clients wait");
        }
        match Arc::clone(&self.free).acquire_owned().await {
            Ok(place) => (place, listener.accept().await),
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }
}

/// One client.
struct Connection<A> {
    service: TowerToHyperService<Router>,
    address: A,
    times: Times,
    shutdown: Shutdown,
}

impl<A: Clone + Send + Sync + 'static> Connection<A> {
    async fn serve<Io>(self, io: Io, place: OwnedSemaphorePermit)
    where
        Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let Self { service, address, times, shutdown } = self;
        let mut io = TimeoutWriter::new(io);
        io.set_timeout(Some(times.unread));
        let answer = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(|body| Body::new(TimedBody::new(body, times.body)));
            request.extensions_mut().insert(ConnectInfo(address.clone()));
            service.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(times.header)
            .serve_connection(TokioIo::new(Box::pin(io)), answer)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.stopping() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
        drop(place);
    }
}
