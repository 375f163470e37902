//! The bytes to and from an SMTP server: one whole reply at a time, in clear or over TLS.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::tls::Tls;

/// No honest reply is longer. lettre parses all of a reply after each of its lines.
const LONGEST_REPLY: usize = 16 * 1024;
const MOST_LINES: usize = 100;
/// Of a line of a reply, in characters; lettre takes no line of over 1,000 bytes.
const LONGEST_LINE: usize = 240;
const CODE_LENGTH: usize = 3;

/// A connection that hands out one whole reply at a time, as text, whatever its bytes.
///
/// lettre reads ahead, and would take what stands behind a reply for the answer to the next command; here it is unread, and the
/// connection no longer [quiet](Self::is_quiet). What an attacker in between puts behind the answer to STARTTLS never counts
/// as said in private (RFC 3207, section 6; CVE-2011-0411).
#[derive(Clone)]
pub(super) struct Wire(Arc<Mutex<State>>);

struct State {
    stream: Stream,
    /// Read, and not handed out.
    ahead: Vec<u8>,
    /// What is left of the reply that is being handed out.
    reply: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    Private(Box<TlsStream<TcpStream>>),
    /// In a handshake, or lost in one.
    None,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        let state = State { stream: Stream::Plain(stream), ahead: Vec::new(), reply: Vec::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// From here on everything is said in private.
    pub(super) async fn encrypt(&self, tls: &Tls) -> io::Result<()> {
        let stream = match std::mem::replace(&mut self.state().stream, Stream::None) {
            Stream::Plain(stream) => stream,
            Stream::Private(_) | Stream::None => return Err(io::ErrorKind::NotConnected.into()),
        };
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        let private = connector.connect(tls.name.clone(), stream).await?;
        self.state().stream = Stream::Private(Box::new(private));
        Ok(())
    }

    /// Makes up the greeting that a client waits for, and that no server says again after STARTTLS.
    pub(super) fn greets_again(&self) {
        self.state().reply = b"220 in private\r\n".to_vec();
    }

    /// Whether the server is there, and has sent nothing unasked.
    pub(super) fn is_quiet(&self) -> bool {
        let mut state = self.state();
        let is_open = state.poll_more(&mut Context::from_waker(Waker::noop())).is_pending();
        is_open && !state.has_unread()
    }

    /// Whether the server, or something in between, has sent anything unasked.
    pub(super) fn has_unread(&self) -> bool {
        let mut state = self.state();
        let _ = state.poll_more(&mut Context::from_waker(Waker::noop()));
        state.has_unread()
    }

    /// Resolves once the server has closed.
    pub(super) async fn until_closed(&self) {
        while let Ok(1..) = std::future::poll_fn(|cx| self.state().poll_more(cx)).await {
            self.state().ahead.clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Reads a whole reply; nothing at the end of the stream.
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(reply) = take_reply(&mut self.ahead)? {
                self.reply = reply;
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_more(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn has_unread(&self) -> bool {
        !self.ahead.is_empty() || !self.reply.is_empty()
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [0; 4096];
        let mut read = ReadBuf::new(&mut space);
        ready!(match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, &mut read),
            Stream::Private(stream) => Pin::new(stream).poll_read(cx, &mut read),
            Stream::None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        })?;
        self.ahead.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }
}

/// The first reply, once it is whole (RFC 5321, section 4.2.1).
pub(super) fn take_reply(ahead: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let (mut end, mut lines) = (0, 0);
    while let Some(length) = ahead[end..].iter().position(|byte| *byte == b'\n') {
        let goes_on = ahead[end..end + length].get(3) == Some(&b'-');
        end += length + 1;
        lines += 1;
        if lines > MOST_LINES || end > LONGEST_REPLY {
            return Err(too_long());
        }
        if !goes_on {
            let reply: Vec<u8> = ahead.drain(..end).collect();
            return Ok(Some(text_of(&reply)));
        }
    }
    if ahead.len() > LONGEST_REPLY { Err(too_long()) } else { Ok(None) }
}

/// A reply that lettre reads: what is not UTF-8 is replaced, lines are cut and end as they should. It knows no code without
/// a text (RFC 5321, section 4.2, allows one), so a space is added.
fn text_of(reply: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(reply);
    let line = |line: &str| {
        let cut: String = line.chars().take(LONGEST_LINE).collect();
        cut + if line.len() == CODE_LENGTH { " \r\n" } else { "\r\n" }
    };
    text.lines().map(line).collect::<String>().into_bytes()
}

fn too_long() -> io::Error {
    let message = format!("the server's reply has more than {MOST_LINES} lines or {LONGEST_REPLY} bytes");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.reply.is_empty() {
            ready!(state.poll_reply(cx))?;
        }
        let count = state.reply.len().min(out.remaining());
        out.put_slice(&state.reply[..count]);
        state.reply.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.has_unread() {
            // It would be taken for the answer to what is said now, and the answer to the body for one to DATA.
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the server spoke out of turn",
            )));
        }
        match &mut state.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Private(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Private(stream) => Pin::new(stream).poll_flush(cx),
            Stream::None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Private(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncTokioStream for Wire {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.state().stream {
            Stream::Plain(stream) => stream.peer_addr(),
            Stream::Private(stream) => stream.get_ref().0.peer_addr(),
            Stream::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bytes: &[u8]) -> (Option<String>, usize) {
        let mut ahead = bytes.to_vec();
        let reply = take_reply(&mut ahead).unwrap().map(|reply| String::from_utf8(reply).unwrap());
        (reply, ahead.len())
    }

    #[test]
    fn one_whole_reply_is_taken_and_what_stands_behind_it_stays() {
        assert_eq!(taken(b""), (None, 0));
        assert_eq!(taken(b"250-a\r\n250"), (None, 10));
        assert_eq!(taken(b"250-a\r\n250 b\r\n"), (Some("250-a\r\n250 b\r\n".to_owned()), 0));
        assert_eq!(taken(b"250 ok\r\n550 no\r\n"), (Some("250 ok\r\n".to_owned()), 8));
        assert_eq!(taken(b"250\n"), (Some("250 \r\n".to_owned()), 0));
        assert_eq!(taken(b"HTTP/1.1 400\r\n"), (Some("HTTP/1.1 400\r\n".to_owned()), 0));
    }

    #[test]
    fn a_reply_that_is_not_utf_8_is_read_all_the_same() {
        assert_eq!(taken(b"250 gr\xfc\xdfe\r\n"), (Some("250 gr\u{fffd}\u{fffd}e\r\n".to_owned()), 0));
    }

    #[test]
    fn a_long_line_is_cut_and_a_reply_of_too_many_is_an_error() {
        let (line, _) = taken(format!("250 {}\r\n", "a".repeat(5_000)).as_bytes());
        assert_eq!(line.unwrap().len(), LONGEST_LINE + 2);
        for endless in ["250-a\r\n".repeat(MOST_LINES + 1), "2".repeat(LONGEST_REPLY + 1)] {
            let error = take_reply(&mut endless.into_bytes()).unwrap_err();
            assert_eq!(error.to_string(), "the server's reply has more than 100 lines or 16384 bytes");
        }
    }
}
