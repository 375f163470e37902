use std::{
    net::{SocketAddr, TcpListener},
    process::Stdio,
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

use crate::process::{Shop, exchange};

/// An nginx that passes everything on, with nothing but `proxy_pass`.
struct Nginx {
    address: SocketAddr,
    _folder: TempDir,
    _child: Child,
}

impl Nginx {
    async fn before(shop: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let own = |name: &str| folder.path().join(name).display().to_string();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};", own(kind)))
            .concat();
        let configuration = format!(
            "daemon off; master_process off; pid {}; error_log {};\nevents {{}}\nhttp {{ access_log off; {temporary}\n\
             server {{ listen {address}; location / {{ proxy_pass http://{shop}; }} }} }}\n",
            own("pid"),
            own("errors")
        );
        std::fs::write(own("nginx.conf"), configuration).unwrap();
        let mut command = Command::new("nginx");
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin")).args([
            "-e",
            &own("errors"),
            "-c",
            &own("nginx.conf"),
        ]);
        let child = command.stdin(Stdio::null()).kill_on_drop(true).spawn();
        let child =
            child.unwrap_or_else(|error| panic!("the test needs nginx: apt-get install nginx ({error})"));
        let up = async {
            while TcpStream::connect(address).await.is_err() {
                // The process starts; nothing tells when it listens.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let up = tokio::time::timeout(Duration::from_secs(30), up).await;
        up.unwrap_or_else(|_| panic!("{}", std::fs::read_to_string(own("errors")).unwrap_or_default()));
        Self { address, _folder: folder, _child: child }
    }
}

#[tokio::test]
async fn behind_nginx_with_nothing_but_proxy_pass_the_shop_is_closed_and_open_by_the_link_it_printed() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::start_with(vec![
        ("RIQLE_JOBS_URL", format!("sqlite:{}", folder.path().join("shop.db").display())),
        ("RIQLE_MAIL_URL", format!("file:{}", folder.path().join("mail").display())),
    ])
    .await;
    let nginx = Nginx::before(shop.address).await;
    let ask = async |line: &str, headers: &str, body: &str| {
        exchange(nginx.address, line, headers, body).await.unwrap()
    };
    for line in ["GET /jobs", "GET /jobs/overview", "GET /jobs/runs", "GET /jobs?token=x"] {
        let (status, _, body) = ask(line, "", "").await;
        assert_eq!(status, 401, "{line}: {body}");
    }
    let json = "Content-Type: application/json\r\n";
    assert_eq!(ask("POST /jobs/queues/email/pause", json, "{}").await.0, 401);
    assert_eq!(ask("POST /e/any", json, r#"{"name":"email/welcome","data":{}}"#).await.0, 503);
    assert_eq!(ask("GET /health", "", "").await.0, 200);

    let link = shop.link();
    let path = link.strip_prefix(&format!("http://{}", shop.address)).unwrap();
    let (status, head, _) = ask(&format!("GET {path}"), "", "").await;
    assert!(status == 303 && head.contains("./jobs"), "{head}");
    let cookie_of = |head: &str| {
        let at = head.to_lowercase().find("set-cookie: ").expect("a cookie is set") + 12;
        head[at..].split(';').next().unwrap().to_owned()
    };
    let entered = format!("Cookie: {}\r\n", cookie_of(&head));
    let (status, head, page) = ask("GET /jobs/queues", &entered, "").await;
    assert!(status == 200 && page.contains("<h1>Queues</h1>"), "{page}");

    // An action, as a browser sends it to a host that it trusts.
    let form = cookie_of(&head);
    let headers = format!(
        "{}; {form}\r\nContent-Type: application/x-www-form-urlencoded\r\nSec-Fetch-Site: same-origin\r\nOrigin: http://{}\r\n",
        entered.trim_end(),
        nginx.address
    );
    let body = format!("formToken={}", form.split_once('=').unwrap().1);
    assert_eq!(ask("POST /jobs/queues/email/pause", &headers, &body).await.0, 303);

    // A page that follows what it shows hears of a change at once, though nginx buffers what it passes on.
    let mut stream = TcpStream::connect(nginx.address).await.unwrap();
    let follow = format!(
        "GET /jobs/queues HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n{entered}\r\n",
        nginx.address
    );
    stream.write_all(follow.as_bytes()).await.unwrap();
    let heard = async {
        let (mut heard, mut buffer) = (String::new(), [0; 4_096]);
        while !heard.contains("data:") {
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "{heard}");
            heard += &String::from_utf8_lossy(&buffer[..read]);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), heard).await.expect("the page hears of nothing");
}
