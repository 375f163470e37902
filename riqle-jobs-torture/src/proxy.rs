//! What stands between the processes and a server, and fails as a network does.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

pub(crate) struct Proxy {
    port: u16,
    cut: Notify,
    /// Of the connections so far: whether they carry nothing any more, and stay open.
    silenced: Mutex<Arc<AtomicBool>>,
}

impl Proxy {
    pub(crate) async fn start(server: u16) -> Result<Arc<Self>, String> {
        let told = |error: std::io::Error| format!("the proxy can't listen: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(told)?;
        let port = listener.local_addr().map_err(told)?.port();
        let proxy = Arc::new(Self { port, cut: Notify::new(), silenced: Mutex::default() });
        let accepting = Arc::clone(&proxy);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&accepting).carry(client, server));
            }
        });
        Ok(proxy)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends the connections so far.
    pub(crate) fn cut(&self) {
        self.cut.notify_waiters();
    }

    /// The connections so far carry nothing any more; new ones do.
    pub(crate) fn silence(&self) {
        let mut silenced = self.silenced.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *silenced).store(true, Ordering::Relaxed);
    }

    async fn carry(self: Arc<Self>, client: TcpStream, server: u16) {
        let silenced = Arc::clone(&self.silenced.lock().unwrap_or_else(PoisonError::into_inner));
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            () = carry(from_client, to_server, &silenced) => {}
            () = carry(from_server, to_client, &silenced) => {}
            () = self.cut.notified() => {}
        }
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, silenced: &AtomicBool) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if silenced.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let Some(bytes) = bytes.get(..count) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
