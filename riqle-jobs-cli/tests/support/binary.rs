//! The binary as it is installed, and what it does on a store of any kind.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Output, Stdio},
};

use riqle_jobs::Jobs;

use super::Resize;

pub fn binary() -> Command {
    let mut binary = Command::new(env!("CARGO_BIN_EXE_riqle-jobs"));
    for variable in ["RIQLE_JOBS_URL", "RIQLE_JOBS_OPERATOR", "RIQLE_JOBS_VIEWER"] {
        binary.env_remove(variable);
    }
    binary.env("USER", "anna").stdin(Stdio::null());
    binary
}

pub fn on(url: &str, line: &str) -> Output {
    binary().env("RIQLE_JOBS_URL", url).args(line.split(' ')).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Starts a command that goes on; answers with the lines that it prints.
pub fn started(url: &str, line: &str) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut command = binary();
    command.env("RIQLE_JOBS_URL", url).args(line.split(' ')).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines.map(Result::unwrap))
}

/// Sends it SIGTERM, and answers with its exit code.
pub fn ended(mut child: Child) -> Option<i32> {
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    child.wait().unwrap().code()
}

/// The status of an answer over HTTP.
pub fn status_of(address: &str, path: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// A store from its first migration on: `schema` is what `migrate` says of it, if it has a schema.
pub async fn a_new_store_is_made_checked_followed_and_served(url: &str, schema: bool) {
    let printed = |line: &str| {
        let output = on(url, line);
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    if schema {
        let pending = r#"{"at":0,"pending":["schema"]}"#;
        assert_eq!(printed("migrate status --json"), (Some(5), format!("{pending}\n")));
        assert_eq!(
            printed("migrate status"),
            (Some(5), "the schema is at migration 0; pending: schema\n".to_owned())
        );
        assert_eq!(printed("migrate --dry-run"), (Some(0), "would apply: schema\n".to_owned()));
        assert_eq!(printed("migrate --dry-run --json"), (Some(0), format!("{pending}\n")));
        let applied = r#"{"at":1,"applied":["schema"],"pending":[]}"#;
        assert_eq!(printed("migrate --json"), (Some(0), format!("{applied}\n")));
        let up_to_date = "the schema is up to date, at migration 1\n".to_owned();
        assert_eq!(printed("migrate"), (Some(0), up_to_date.clone()));
        assert_eq!(printed("migrate status"), (Some(0), up_to_date));
        assert_eq!(printed("migrate status --json"), (Some(0), "{\"at\":1,\"pending\":[]}\n".to_owned()));
        let (code, sql) = printed("migrate print");
        assert!(code == Some(0) && sql.contains("CREATE TABLE"), "{sql}");
    } else {
        let (code, told) = printed("migrate");
        assert!(code == Some(0) && told.ends_with("store has no schema to migrate\n"), "{told}");
        assert_eq!(printed("migrate status --json"), (Some(0), "{\"at\":null,\"pending\":[]}\n".to_owned()));
        assert_eq!(printed("migrate print").0, Some(1));
    }
    assert_eq!(printed("doctor"), (Some(0), String::new()));
    assert_eq!(printed("doctor --json"), (Some(0), String::new()));

    let (tail, mut lines) = started(url, "runs tail --json");
    let jobs = Jobs::new(&riqle_jobs::connect(url).await.unwrap());
    jobs.enqueue(Resize { image: 1 }).await.unwrap();
    let line = lines.next().unwrap();
    assert!(
        line.starts_with("{\"id\":\"") && line.contains("\"job\":\"resize\",\"queue\":\"images\""),
        "{line}"
    );
    assert_eq!(ended(tail), Some(0));

    let (dashboard, mut lines) = started(url, "dashboard --listen 127.0.0.1:0");
    let line = lines.next().unwrap();
    assert!(line.starts_with("dashboard: http://127.0.0.1:"), "{line}");
    let address = line.split('/').nth(2).unwrap().to_owned();
    // No worker is alive; and who has no link gets no page.
    assert_eq!(status_of(&address, "/health"), "503");
    assert_eq!(status_of(&address, "/jobs/overview"), "401");
    assert_eq!(ended(dashboard), Some(0));
}
