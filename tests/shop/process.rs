use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

use crate::http_client;
use riqle_jobs::web::webhooks::stripe::{SIGNATURE_HEADER, sign};

pub const SECRET: &str = "whsec_test";

/// The built example.
pub fn binary() -> PathBuf {
    let target = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let binary = target.join("examples").join("shop");
    assert!(binary.exists(), "the shop is not built: cargo build --example shop");
    binary
}

/// Runs the shop to its end, where no file of another build lies.
pub async fn run(flags: &[&str], environment: &[(&str, String)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    command(flags, environment).current_dir(&folder).output().await.unwrap()
}

fn command(flags: &[&str], environment: &[(&str, String)]) -> Command {
    let mut command = Command::new(binary());
    for name in [
        "RIQLE_JOBS_URL",
        "RIQLE_MAIL_URL",
        "RIQLE_MAIL_FROM",
        "RIQLE_SHOP_DB",
        "RIQLE_SHOP_OPERATOR",
        "RIQLE_SHOP_ZONE",
        "RIQLE_EVENT_KEY",
        "RIQLE_JOBS_OPERATOR",
        "RIQLE_JOBS_VIEWER",
        "INNGEST_EVENT_KEY",
        "STRIPE_WEBHOOK_SECRET",
        "RESEND_WEBHOOK_SECRET",
    ] {
        command.env_remove(name);
    }
    command.args(flags).envs(environment.iter().cloned()).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A running shop for real webhooks, at an address that outlives it.
pub struct Shop {
    pub address: SocketAddr,
    environment: Vec<(&'static str, String)>,
    child: Child,
    /// What it prints on standard output.
    printed: NamedTempFile,
}

impl Shop {
    /// Starts it; `mail_url` says where its emails go.
    pub async fn start(jobs_url: &str, mail_url: &str) -> Self {
        Self::start_with(environment(jobs_url, mail_url)).await
    }

    /// As [`start`](Self::start), with its own tables in a database of their own, which stages its runs.
    pub async fn start_staging(jobs_url: &str, shop_db: &str, mail_url: &str) -> Self {
        let mut environment = environment(jobs_url, mail_url);
        environment.push(("RIQLE_SHOP_DB", shop_db.to_owned()));
        Self::start_with(environment).await
    }

    pub async fn start_with(environment: Vec<(&'static str, String)>) -> Self {
        let printed = NamedTempFile::new().unwrap();
        let output = Stdio::from(printed.reopen().unwrap());
        Self::start_printing(environment, printed, output, Stdio::inherit()).await
    }

    /// As [`start_with`](Self::start_with), with other outputs; what the last start printed on a file is in `printed`.
    pub async fn start_printing(
        environment: Vec<(&'static str, String)>,
        printed: NamedTempFile,
        output: Stdio,
        errors: Stdio,
    ) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Self::spawn(address, &environment, output, errors);
        let shop = Self { address, environment, child, printed };
        shop.is_up().await;
        shop
    }

    fn spawn(
        address: SocketAddr,
        environment: &[(&'static str, String)],
        output: Stdio,
        errors: Stdio,
    ) -> Child {
        let flags = ["--no-demo", "--addr", &address.to_string()];
        command(&flags, environment).stdout(output).stderr(errors).spawn().unwrap()
    }

    /// kill -9, and up again.
    pub async fn kill_and_restart(&mut self) {
        self.child.kill().await.unwrap();
        let output = Stdio::from(self.printed.reopen().unwrap());
        self.child = Self::spawn(self.address, &self.environment, output, Stdio::inherit());
    }

    /// What it has printed on standard output.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(self.printed.path()).unwrap()
    }

    /// The address of the dashboard that it has printed, with its token.
    pub fn link(&self) -> String {
        let printed = self.printed();
        let line = printed.lines().find_map(|line| line.strip_prefix("  dashboard:  "));
        line.unwrap_or_else(|| panic!("{printed}")).to_owned()
    }

    /// Sends it SIGTERM.
    pub async fn terminate(&self) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    }

    /// How it ends by itself.
    pub async fn ends(&mut self) -> ExitStatus {
        tokio::time::timeout(Duration::from_secs(60), self.child.wait())
            .await
            .expect("it does not end")
            .unwrap()
    }

    pub async fn is_up(&self) {
        let up = async {
            while get(self.address, "/health").await.is_none_or(|(status, _)| status != 200) {
                // The process starts; nothing tells when it listens.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), up).await.expect("the shop does not come up");
    }

    /// Sends a signed event.
    pub async fn deliver(&self, event: &Value) -> Result<(u16, Value), crate::Failure> {
        Self::deliver_to(self.address, event).await
    }

    /// Sends a signed event to a shop that may be down.
    pub async fn deliver_to(address: SocketAddr, event: &Value) -> Result<(u16, Value), crate::Failure> {
        let body = event.to_string();
        let now = riqle_jobs::store::Clock::Server.local_now().as_second();
        let signature = sign(SECRET, now, body.as_bytes());
        http_client::post(address, "/webhooks/stripe", (SIGNATURE_HEADER, &signature), body.as_bytes()).await
    }
}

fn environment(jobs_url: &str, mail_url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("RIQLE_JOBS_URL", jobs_url.to_owned()),
        ("RIQLE_MAIL_URL", mail_url.to_owned()),
        ("STRIPE_WEBHOOK_SECRET", SECRET.to_owned()),
    ]
}

/// A GET's status and JSON; `None` where the shop is not there.
pub async fn get(address: SocketAddr, path: &str) -> Option<(u16, Value)> {
    let (status, _, body) = exchange(address, &format!("GET {path}"), "", "").await?;
    Some((status, serde_json::from_str(&body).ok()?))
}

/// Status, head and body of what is answered to a request, given as `GET /path`, lines of headers with CRLF, and a body.
pub async fn exchange(
    address: SocketAddr,
    line: &str,
    headers: &str,
    body: &str,
) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, head.to_owned(), body.to_owned()))
}

/// A paid checkout of an order.
pub fn checkout(event: &str, order: &str, email: &str) -> Value {
    let text = include_str!("../../examples/shop/stripe/checkout.session.completed.json");
    let mut checkout: Value = serde_json::from_str(text).unwrap();
    checkout["id"] = event.into();
    checkout["data"]["object"]["metadata"] = json!({ "orderId": order });
    checkout["data"]["object"]["customer_details"]["email"] = email.into();
    checkout
}

/// A refund that brings what was refunded of an order's charge from `before` to `sum`, in US cents.
pub fn refund(event: &str, order: &str, before: i64, sum: i64) -> Value {
    let text = include_str!("../../examples/shop/stripe/charge.refunded.json");
    let mut refund: Value = serde_json::from_str(text).unwrap();
    refund["id"] = event.into();
    refund["data"]["previous_attributes"] = json!({ "amount_refunded": before });
    let charge = &mut refund["data"]["object"];
    charge["id"] = format!("ch_{order}").into();
    charge["metadata"] = json!({ "orderId": order });
    charge["amount_refunded"] = sum.into();
    refund
}

/// Asks until something is there; the shop does its work in another process, and nothing tells when.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found).await.unwrap_or_else(|_| panic!("never: {what}"))
}
