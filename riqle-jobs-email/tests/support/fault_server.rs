use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

use super::certificates::Certificates;

/// An SMTP server that goes wrong as it is told, and keeps what it was given.
///
/// Recipients choose what happens to them: `greylist@` (451), `unknown@` (550), `refused@` (554), `drop-reply@` (the
/// email is kept, the connection closed without an answer), `cut-N@` (closed after N bytes of the body), `hang@` (kept,
/// never answered).
pub struct FaultServer {
    pub port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    script: Mutex<Script>,
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    is_away: AtomicBool,
}

/// Counts a connection for as long as it is open.
struct Open<'a>(&'a Shared);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How a server behaves.
#[derive(Clone, Default)]
pub struct Script {
    pub encryption: ServerEncryption,
    pub certificates: Option<Arc<Certificates>>,
    /// User and password that it asks for.
    pub login: Option<(&'static str, &'static str)>,
    /// What it offers behind AUTH; `None` offers PLAIN and LOGIN where there is a login.
    pub mechanisms: Option<&'static str>,
    /// How many connections it takes at once; others are greeted with 421.
    pub most_connections: Option<usize>,
    /// How many emails it takes on a connection, and what it says to the next MAIL.
    pub emails_each: Option<(usize, &'static str)>,
    /// At `TOO MANY` (instead of that 421), `GREETING`, `EHLO`, `STARTTLS`, `AUTH`, `MAIL`, `RCPT`, `DATA`, `BODY` (its final answer), `RSET`.
    pub faults: HashMap<&'static str, Fault>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum ServerEncryption {
    #[default]
    None,
    StartTls,
    Implicit,
}

/// What goes wrong.
#[derive(Clone)]
pub enum Fault {
    /// Says this instead.
    Says(&'static str),
    /// Says these bytes instead.
    SaysBytes(&'static [u8]),
    /// Says nothing any more.
    Hangs,
    /// Closes the connection.
    Cuts,
    /// Goes on when told; once.
    Waits(Arc<Notify>),
}

/// An email that was taken.
#[derive(Clone, Debug)]
pub struct Received {
    pub from: String,
    pub to: String,
    /// As sent, dots unstuffed.
    pub data: String,
    pub encrypted: bool,
}

impl Received {
    pub fn message_id(&self) -> &str {
        let header = self.data.lines().find_map(|line| line.strip_prefix("Message-ID: "));
        header.expect("a Message-ID")
    }
}

impl Script {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn fault(mut self, at: &'static str, fault: Fault) -> Self {
        self.faults.insert(at, fault);
        self
    }

    pub fn login(mut self, user: &'static str, password: &'static str) -> Self {
        self.login = Some((user, password));
        self
    }

    pub fn encrypted(mut self, encryption: ServerEncryption, certificates: &Arc<Certificates>) -> Self {
        self.encryption = encryption;
        self.certificates = Some(Arc::clone(certificates));
        self
    }
}

impl FaultServer {
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            received: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            is_away: AtomicBool::new(false),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { port, shared, task }
    }

    /// Nobody listens any more, and connections are closed before their next email.
    pub fn goes_away(&self) {
        self.shared.is_away.store(true, Ordering::SeqCst);
        self.task.abort();
    }

    /// It listens again, on the same port.
    pub async fn comes_back(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.shared.is_away.store(false, Ordering::SeqCst);
        self.task = tokio::spawn(accept(listener, Arc::clone(&self.shared)));
    }

    /// From the next command on.
    pub fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.shared.script());
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many emails were taken.
    pub async fn has_received(&self, count: usize) {
        while self.received().len() < count {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// Plays the fault of this place, if there is one. `Ok(true)` means that it was answered.
    async fn fault(&self, at: &'static str, wire: &mut Wire) -> io::Result<bool> {
        let fault = {
            let mut script = self.script();
            match script.faults.get(at).cloned() {
                Some(Fault::Waits(go_on)) => {
                    script.faults.remove(at);
                    Some(Fault::Waits(go_on))
                }
                fault => fault,
            }
        };
        match fault {
            None => Ok(false),
            Some(Fault::Says(line)) => {
                say(wire, line).await?;
                Ok(true)
            }
            Some(Fault::SaysBytes(bytes)) => {
                wire.write_all(bytes).await?;
                wire.flush().await?;
                Ok(true)
            }
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::Cuts) => Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Fault::Waits(go_on)) => {
                go_on.notified().await;
                Ok(false)
            }
        }
    }
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}
type Wire = BufReader<Box<dyn Duplex>>;

async fn say(wire: &mut Wire, line: &str) -> io::Result<()> {
    // In one write: the second of two would wait for the first to be acknowledged.
    wire.write_all(format!("{line}\r\n").as_bytes()).await?;
    wire.flush().await
}

async fn encrypt(wire: Wire, shared: &Shared) -> io::Result<Wire> {
    let certificates = shared.script().certificates.clone().expect("certificates");
    let stream = certificates.acceptor.accept(wire.into_inner()).await?;
    Ok(BufReader::new(Box::new(stream)))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(&shared);
        // A client that goes away is no news here.
        tokio::spawn(async move { serve(stream, &shared).await.ok() });
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut wire: Wire = BufReader::new(Box::new(stream));
    // Counted until just before the client sees that it is closed.
    let others = shared.open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(shared);
    if shared.script().most_connections.is_some_and(|most| others >= most) {
        shared.fault("TOO MANY", &mut wire).await?;
        return say(&mut wire, "421 4.7.0 too many connections from you").await;
    }
    let mut emails = 0;
    let mut encrypted = false;
    if shared.script().encryption == ServerEncryption::Implicit {
        shared.fault("TLS", &mut wire).await?;
        wire = encrypt(wire, shared).await?;
        encrypted = true;
    }
    if !shared.fault("GREETING", &mut wire).await? {
        say(&mut wire, "220 fault.test ESMTP").await?;
    }
    let (mut from, mut to, mut known) = (String::new(), String::new(), false);
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let script = shared.script().clone();
        if shared.is_away.load(Ordering::SeqCst) {
            return Ok(());
        }
        if let (Some((each, refusal)), "MAIL") = (script.emails_each, verb.as_str()) {
            if emails >= each {
                say(&mut wire, refusal).await?;
                continue;
            }
            emails += 1;
        }
        match verb.as_str() {
            "EHLO" => {
                if !shared.fault("EHLO", &mut wire).await? {
                    let mut offers = vec!["fault.test".to_owned()];
                    if script.encryption == ServerEncryption::StartTls && !encrypted {
                        offers.push("STARTTLS".to_owned());
                    }
                    let mechanisms = script.mechanisms.or(script.login.map(|_| "PLAIN LOGIN"));
                    offers.extend(mechanisms.map(|names| format!("AUTH {names}")));
                    let last = offers.pop().unwrap();
                    for offer in offers {
                        wire.write_all(format!("250-{offer}\r\n").as_bytes()).await?;
                    }
                    say(&mut wire, &format!("250 {last}")).await?;
                }
            }
            "STARTTLS" => {
                if !shared.fault("STARTTLS", &mut wire).await? {
                    say(&mut wire, "220 go ahead").await?;
                    shared.fault("TLS", &mut wire).await?;
                    wire = encrypt(wire, shared).await?;
                    encrypted = true;
                }
            }
            "AUTH" => {
                if !shared.fault("AUTH", &mut wire).await? {
                    known = is_known(&mut wire, line, script.login).await?;
                    let answer = if known { "235 2.7.0 welcome" } else { "535 5.7.8 wrong user or password" };
                    say(&mut wire, answer).await?;
                }
            }
            "MAIL" => {
                if !shared.fault("MAIL", &mut wire).await? {
                    from = address(line);
                    let allowed = script.login.is_none() || known;
                    say(&mut wire, if allowed { "250 2.1.0 ok" } else { "530 5.7.0 log in first" }).await?;
                }
            }
            "RCPT" => {
                if !shared.fault("RCPT", &mut wire).await? {
                    to = address(line);
                    let answer = match to.split('@').next().unwrap_or_default() {
                        "greylist" => "451 4.7.1 greylisted, come again in 5 minutes",
                        "unknown" => "550 5.1.1 no such user",
                        "refused" => "554 5.7.1 refused by policy",
                        _ => "250 2.1.5 ok",
                    };
                    say(&mut wire, answer).await?;
                }
            }
            "DATA" => {
                if !shared.fault("DATA", &mut wire).await? {
                    say(&mut wire, "354 end with a dot").await?;
                    if let Some(bytes) = to.strip_prefix("cut-").and_then(|rest| rest.split('@').next()) {
                        let mut part = vec![0; bytes.parse().unwrap()];
                        wire.read_exact(&mut part).await?;
                        return Ok(());
                    }
                    let data = body(&mut wire).await?;
                    let email = Received { from: from.clone(), to: to.clone(), data, encrypted };
                    shared.received.lock().unwrap().push(email);
                    match to.split('@').next() {
                        Some("drop-reply") => return Ok(()),
                        Some("hang") => std::future::pending().await,
                        _ => {}
                    }
                    if !shared.fault("BODY", &mut wire).await? {
                        say(&mut wire, "250 2.0.0 taken as 42").await?;
                    }
                }
            }
            "RSET" => {
                if !shared.fault("RSET", &mut wire).await? {
                    say(&mut wire, "250 2.0.0 ok").await?;
                }
            }
            "QUIT" => return say(&mut wire, "221 2.0.0 bye").await,
            _ => say(&mut wire, "502 5.5.1 what?").await?,
        }
    }
}

async fn body(wire: &mut Wire) -> io::Result<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        if wire.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

async fn is_known(wire: &mut Wire, line: &str, login: Option<(&str, &str)>) -> io::Result<bool> {
    let (user, password) = login.unwrap_or_default();
    let mut words = line.split(' ').skip(1);
    match words.next() {
        Some("PLAIN") => {
            let expected = base64(format!("\0{user}\0{password}").as_bytes());
            Ok(words.next() == Some(expected.as_str()))
        }
        Some("LOGIN") => {
            let mut known = true;
            for (question, answer) in [("Username:", user), ("Password:", password)] {
                say(wire, &format!("334 {}", base64(question.as_bytes()))).await?;
                let mut line = String::new();
                wire.read_line(&mut line).await?;
                known &= line.trim_end() == base64(answer.as_bytes());
            }
            Ok(known)
        }
        _ => Ok(false),
    }
}

fn address(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(address, _)| address.to_owned()).unwrap_or_default()
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
