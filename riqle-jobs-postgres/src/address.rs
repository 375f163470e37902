//! By which address of its host a server is reached. sqlx takes a name, tries its addresses one after the
//! other, each for as long as the system does, and can't be handed a socket: an address that drops packets
//! would use up all the time there is. So if a name takes long, the store finds which of its addresses answers,
//! and connects to that one.

use std::{net::SocketAddr, time::Duration};

use riqle_jobs_core::first_to_answer::{addresses, first_to_answer};
use sqlx::{
    ConnectOptions, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::time::timeout;

use crate::connections::CONNECTED_WITHIN;

/// How long a connect by name is left to itself.
const PATIENCE: Duration = Duration::from_millis(250);

/// Connects by the host's name, or by the address that answers if one that would be tried before it is silent.
/// The caller bounds the time.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    connect_to(options, addresses_of(options)).await
}

/// As [`connect`] would: for what connects by itself, such as a pool. Without an answer, by the name.
pub(crate) async fn reachable(options: &PgConnectOptions) -> PgConnectOptions {
    let by_address = timeout(CONNECTED_WITHIN, by_address(options, addresses_of(options)));
    by_address.await.ok().flatten().unwrap_or_else(|| options.clone())
}

async fn connect_to(
    options: &PgConnectOptions,
    addresses: impl Future<Output = Vec<SocketAddr>>,
) -> Result<PgConnection, sqlx::Error> {
    let mut by_name = Box::pin(options.connect());
    if let Ok(connection) = timeout(PATIENCE, &mut by_name).await {
        return connection;
    }
    let by_address = async {
        match by_address(options, addresses).await {
            Some(options) => options.connect().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        connection = by_name => connection,
        connection = by_address => connection,
    }
}

/// Where the host has several addresses. The name is in the certificate that `verify-full` asks for, so there is no way
/// by an address.
async fn addresses_of(options: &PgConnectOptions) -> Vec<SocketAddr> {
    let host = options.get_host();
    let is_socket = options.get_socket().is_some() || host.starts_with('/');
    if is_socket || matches!(options.get_ssl_mode(), PgSslMode::VerifyFull) {
        return Vec::new();
    }
    addresses(host, options.get_port()).await.unwrap_or_default()
}

/// By the first address that answers; `None` if a connect by name comes there by itself, since those before it refuse.
/// Some hosts know the database that is meant by the name in the TLS handshake, which a connect by address lacks.
async fn by_address(
    options: &PgConnectOptions,
    addresses: impl Future<Output = Vec<SocketAddr>>,
) -> Option<PgConnectOptions> {
    let addresses = addresses.await;
    if addresses.len() < 2 {
        return None;
    }
    let answer = first_to_answer(&addresses).await.ok()?;
    let mut before = addresses.iter().take_while(|address| **address != answer.address);
    if before.all(|address| answer.refused.contains(address)) {
        return None;
    }
    Some(options.clone().host(&answer.address.ip().to_string()))
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
