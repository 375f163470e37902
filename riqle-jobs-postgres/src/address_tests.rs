//! Which address of a host is chosen when the first is silent.

use std::time::Duration;

use riqle_jobs_conformance::SilentHost;
use sqlx::Row;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::support::database_url;

/// The server of the tests at an address that may be chosen.
async fn server_at(address: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let url: PgConnectOptions = database_url().parse().unwrap();
    let server = (url.get_host().to_owned(), url.get_port());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect((server.0.as_str(), server.1)).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    address
}

/// Two addresses of one host, as it were: the first is silent, the server is at the second.
async fn half_silent() -> (SilentHost, [SocketAddr; 2]) {
    let server = server_at("127.0.0.1:0".parse().unwrap()).await;
    let silent = SilentHost::at(SocketAddr::new("127.0.0.2".parse().unwrap(), server.port())).await;
    let addresses = [silent.address(), server];
    (silent, addresses)
}

/// By a name that leads to the address first.
fn options(first: SocketAddr) -> PgConnectOptions {
    let options: PgConnectOptions = database_url().parse().unwrap();
    options.host(&first.ip().to_string()).port(first.port())
}

async fn chosen(addresses: &[SocketAddr]) -> Option<String> {
    let options = by_address(&options(addresses[0]), async { addresses.to_vec() }).await;
    options.map(|options| options.get_host().to_owned())
}

#[tokio::test]
async fn a_server_whose_first_address_is_silent_is_reached_by_another() {
    let (_silent, addresses) = half_silent().await;
    let connected = async |options: PgConnectOptions| {
        let connect = connect_to(&options, async { addresses.to_vec() });
        timeout(CONNECTED_WITHIN, connect).await.unwrap()
    };
    let mut connection = connected(options(addresses[0])).await.unwrap();
    let row = sqlx::query("SELECT 7").fetch_one(&mut connection).await.unwrap();
    assert_eq!(row.get::<i32, _>(0), 7);
    let error = connected(options(addresses[0]).database("not-there")).await.unwrap_err();
    assert!(error.to_string().contains("not-there"), "{error}");
}

#[tokio::test]
async fn the_name_stays_unless_an_address_before_the_one_that_answers_is_silent() {
    let (silent, [first, server]) = half_silent().await;
    let (refusing, other) = {
        let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (refusing.local_addr().unwrap(), server_at("127.0.0.1:0".parse().unwrap()).await)
    };
    assert_eq!(chosen(&[first, server]).await.as_deref(), Some("127.0.0.1"));
    assert_eq!(chosen(&[refusing, first, server]).await.as_deref(), Some("127.0.0.1"));
    for by_name in [&[server][..], &[server, silent.address()], &[refusing, other], &[first]] {
        assert_eq!(chosen(by_name).await, None, "{by_name:?}");
    }
}

#[tokio::test]
async fn where_the_name_is_in_the_certificate_or_a_socket_is_named_no_address_is_looked_for() {
    let local = |url: &str| url.parse::<PgConnectOptions>().unwrap();
    assert!(!addresses_of(&local("postgres://u@localhost/d?sslmode=require")).await.is_empty());
    for url in [
        "postgres://u@localhost/d?sslmode=verify-full",
        "postgres://u@%2Ftmp/d",
        "postgres://u@localhost/d?host=/tmp",
        "postgres://u@name.invalid/d",
    ] {
        assert_eq!(addresses_of(&local(url)).await, [], "{url}");
    }
}

#[tokio::test]
async fn a_connect_by_name_that_is_slow_is_not_given_up_for_its_addresses() {
    let server = server_at("127.0.0.1:0".parse().unwrap()).await;
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = options(slow.local_addr().unwrap());
    let addresses = async { vec![slow.local_addr().unwrap(), server] };
    let connect = tokio::spawn({
        let (options, addresses) = (options.clone(), addresses.await);
        async move { connect_to(&options, async { addresses }).await }
    });
    // The second connection is the look at the addresses; only then the first is carried to the server.
    let (mut client, _) = slow.accept().await.unwrap();
    let _look = slow.accept().await.unwrap();
    let mut server = TcpStream::connect(server).await.unwrap();
    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
    timeout(Duration::from_secs(5), connect).await.unwrap().unwrap().unwrap();
}
