//! Connects to the first address of a host that answers, as RFC 8305 ("Happy Eyeballs") does it: for stores and mailers.
//!
//! Neither call bounds its time: the caller does.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::net::{TcpStream, lookup_host};

/// How long an address has for itself before the next is tried beside it (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection, and what the others did meanwhile.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The connection.
    pub stream: TcpStream,
    /// Which address it is to.
    pub address: SocketAddr,
    /// The addresses that have refused by then.
    pub refused: Vec<SocketAddr>,
}

/// Connects to the first address of a host that answers. A host is a name or an address; brackets around one, as in
/// URLs, are taken off.
///
/// # Errors
/// The host has no address, or what the last of them failed with.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    first_to_answer(&addresses(host, port).await?).await.map(|answer| answer.stream)
}

/// The addresses of a host, in the order in which the system would try them.
///
/// # Errors
/// As of the look-up.
pub async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok(lookup_host((bare, port)).await?.collect())
}

/// Tries the addresses, IPv6 and IPv4 in turns, each a quarter of a second after the one before, or as soon as one
/// fails. Of those that are still under way when one answers, none stays.
///
/// # Errors
/// What the last of them failed with; `NotFound` if there is none.
pub async fn first_to_answer(addresses: &[SocketAddr]) -> io::Result<Answer> {
    let mut waiting = in_turns(addresses).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut refused = Vec::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        attempts.extend(
            waiting.next().map(|address| async move { (address, TcpStream::connect(address).await) }),
        );
        tokio::select! {
            ended = attempts.next() => match ended {
                Some((address, Ok(stream))) => return Ok(Answer { stream, address, refused }),
                Some((address, Err(error))) => {
                    refused.push(address);
                    failure = error;
                }
                None => return Err(failure),
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if waiting.len() > 0 => {}
        }
    }
}

/// By turns of the families, beginning with that of the first (RFC 8305, section 4).
fn in_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let (same, other): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut other = other.into_iter();
    let mut turns: Vec<SocketAddr> =
        same.into_iter().flat_map(|address| std::iter::once(address).chain(other.next())).collect();
    turns.extend(other);
    turns
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use riqle_jobs_conformance::SilentHost;
    use tokio::net::TcpListener;

    use super::*;

    async fn silent() -> SilentHost {
        SilentHost::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    async fn listener(ip: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Where nothing listens.
    async fn refusing(ip: &str) -> SocketAddr {
        listener(ip).await.1
    }

    #[tokio::test]
    async fn an_address_that_is_silent_holds_the_next_up_for_a_quarter_of_a_second() {
        let (silent, (_listener, second)) = (silent().await, listener("127.0.0.1").await);
        let begun = Instant::now();
        let answer = first_to_answer(&[silent.address(), second]).await.unwrap();
        assert!(begun.elapsed() >= ATTEMPT_DELAY);
        assert_eq!((answer.address, answer.stream.peer_addr().unwrap()), (second, second));
        assert!(answer.refused.is_empty());
    }

    #[tokio::test]
    async fn several_that_are_silent_and_one_that_refuses_hold_up_nobody() {
        let (one, two) = (silent().await, silent().await);
        let (refusing, (_listener, last)) = (refusing("127.0.0.1").await, listener("127.0.0.1").await);
        let answer = first_to_answer(&[one.address(), refusing, two.address(), last]).await.unwrap();
        assert_eq!((answer.address, answer.refused), (last, vec![refusing]));
    }

    #[tokio::test]
    async fn the_first_is_taken_where_it_answers() {
        let ((_first, first), (_second, second)) = (listener("127.0.0.1").await, listener("127.0.0.1").await);
        assert_eq!(first_to_answer(&[first, second]).await.unwrap().address, first);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_is_not_waited_for() {
        let (refusing, (_listener, second)) = (refusing("127.0.0.1").await, listener("127.0.0.1").await);
        // A clock that is paused goes on only where nothing else is to be done: here it stands.
        let busy = tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let answer = first_to_answer(&[refusing, second]).await.unwrap();
        assert_eq!((answer.address, answer.refused), (second, vec![refusing]));
        busy.abort();
    }

    #[tokio::test]
    async fn where_all_refuse_or_none_is_there_the_error_says_so() {
        let all = [refusing("127.0.0.1").await, refusing("127.0.0.1").await];
        assert_eq!(first_to_answer(&all).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(first_to_answer(&[]).await.unwrap_err().to_string(), "the host has no address");
    }

    #[test]
    fn families_take_turns_beginning_with_the_first() {
        let all = |addresses: &[&str]| -> Vec<SocketAddr> {
            addresses.iter().map(|address| address.parse().unwrap()).collect()
        };
        for (given, turns) in [
            (&[][..], &[][..]),
            (
                &["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"],
                &["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"],
            ),
            (
                &["1.1.1.1:1", "[::1]:1", "[::2]:1", "[::3]:1"],
                &["1.1.1.1:1", "[::1]:1", "[::2]:1", "[::3]:1"],
            ),
            (&["1.1.1.1:1", "2.2.2.2:1"], &["1.1.1.1:1", "2.2.2.2:1"]),
        ] {
            assert_eq!(in_turns(&all(given)), all(turns));
        }
    }

    #[tokio::test]
    async fn a_host_is_a_name_or_an_address_with_or_without_brackets() {
        let (_listener, address) = listener("127.0.0.1").await;
        for host in ["127.0.0.1", "localhost", "[127.0.0.1]"] {
            let stream = connect(host, address.port()).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), address, "{host}");
        }
        assert_eq!(addresses("[::1]", 25).await.unwrap(), ["[::1]:25".parse().unwrap()]);
    }
}
