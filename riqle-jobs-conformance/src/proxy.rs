//! What stands between a store and its server, and fails as a network does.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    time::sleep,
};

/// Passes connections on to a server of this machine, until told otherwise.
pub struct Proxy {
    port: u16,
    server: AtomicU16,
    cut: Notify,
    /// Of the connections so far: whether they carry nothing any more, and stay open.
    silenced: Mutex<Arc<AtomicBool>>,
    /// How many milliseconds what is sent is on its way.
    away: AtomicU64,
}

impl Proxy {
    /// Begins to pass connections on to the server at a port.
    ///
    /// # Errors
    /// Where no port can be listened at.
    pub async fn start(server: u16) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Arc::new(Self {
            port: listener.local_addr()?.port(),
            server: AtomicU16::new(server),
            cut: Notify::new(),
            silenced: Mutex::default(),
            away: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&proxy);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&accepting).carry(client));
            }
        });
        Ok(proxy)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends the connections so far.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// Ends the connections so far; new ones go to the server at another port.
    pub fn switch_to(&self, server: u16) {
        self.server.store(server, Ordering::Relaxed);
        self.cut();
    }

    /// The connections so far carry nothing any more; new ones do.
    pub fn silence(&self) {
        let mut silenced = self.silenced.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *silenced).store(true, Ordering::Relaxed);
    }

    /// From now on what is sent is so many milliseconds on its way.
    pub fn delay_by(&self, milliseconds: u64) {
        self.away.store(milliseconds, Ordering::Relaxed);
    }

    async fn carry(self: Arc<Self>, client: TcpStream) {
        let silenced = Arc::clone(&self.silenced.lock().unwrap_or_else(PoisonError::into_inner));
        let server = ("127.0.0.1", self.server.load(Ordering::Relaxed));
        let Ok(server) = TcpStream::connect(server).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            () = self.carry_one_way(from_client, to_server, &silenced) => {}
            () = self.carry_one_way(from_server, to_client, &silenced) => {}
            () = self.cut.notified() => {}
        }
    }

    async fn carry_one_way(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, silenced: &AtomicBool) {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if silenced.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let away = self.away.load(Ordering::Relaxed);
            if away > 0 {
                sleep(Duration::from_millis(away)).await;
            }
            let Some(bytes) = bytes.get(..count) else { return };
            if to.write_all(bytes).await.is_err() {
                return;
            }
        }
    }
}
