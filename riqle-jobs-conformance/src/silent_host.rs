//! A host that neither answers nor refuses a connection.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

/// A host whose packets are dropped, as a client sees it: the queue of its listener is full (on Linux), so that
/// no client is answered and none refused.
#[derive(Debug)]
pub struct SilentHost {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl SilentHost {
    /// At an address of this machine, such as `127.0.0.1:0`.
    ///
    /// # Panics
    /// Where the address can't be listened to.
    pub async fn at(address: SocketAddr) -> Self {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1).unwrap();
        let (address, mut queue) = (listener.local_addr().unwrap(), Vec::new());
        // A connection on the loopback stands at once while there is room.
        while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            queue.push(stream.unwrap());
        }
        Self { address, _listener: listener, _queue: queue }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
