//! The binary as it is installed: where it finds its store, what it says of one that is not there, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use riqle_jobs::{Jobs, Memory, sqlite::Sqlite, store::Store};
use support::{
    Resize,
    binary::{a_new_store_is_made_checked_followed_and_served, binary, on, text},
    ran,
};

fn url_in(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("jobs.db").display())
}

#[tokio::test]
async fn a_store_is_made_by_migrate_alone_and_then_nothing_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let url = url_in(folder.path());
    let asked = on(&url, "status");
    assert_eq!(asked.status.code(), Some(1));
    assert!(text(&asked.stderr).contains("there is no file"), "{}", text(&asked.stderr));
    assert!(!folder.path().join("jobs.db").exists());
    assert_eq!(text(&on(&url, "migrate --dry-run").stdout), "would apply: schema\n");
    assert!(!folder.path().join("jobs.db").exists());
    a_new_store_is_made_checked_followed_and_served(&url, true).await;
}

#[test]
fn a_store_that_is_away_or_not_named_has_its_exit_code() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for url in [format!("redis://127.0.0.1:{port}"), format!("postgres://ada:secret@127.0.0.1:{port}/shop")] {
        let asked = on(&url, "status");
        assert_eq!(asked.status.code(), Some(4), "{}", text(&asked.stderr));
        assert!(!text(&asked.stderr).contains("secret"), "{}", text(&asked.stderr));
    }
    let unnamed = binary().arg("status").output().unwrap();
    assert_eq!(unnamed.status.code(), Some(2));
    assert!(text(&unnamed.stderr).contains("no store given: pass --url or set RIQLE_JOBS_URL"));
    let url = format!("postgres://ada:secret@127.0.0.1:{port}/shop");
    let shown = binary().args(["status", "--url", &url]).output().unwrap();
    assert!(text(&shown.stderr).contains("is visible in process lists"), "{}", text(&shown.stderr));
    assert_eq!(on("mysql://db/shop", "status").status.code(), Some(1));
}

#[tokio::test]
async fn a_reader_that_closes_its_pipe_ends_a_command_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let url = url_in(folder.path());
    let jobs = Jobs::new(&Sqlite::connect(&url).await.unwrap());
    jobs.enqueue_all((0..1_000).map(|image| Resize { image })).await.unwrap();
    let mut listing = binary()
        .env("RIQLE_JOBS_URL", &url)
        .args(["runs", "list", "--json", "--limit", "1000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, listing.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("\"job\":\"resize\""), "{first}");
    let mut errors = String::new();
    listing.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((listing.wait().unwrap().code(), errors.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn an_action_that_is_interrupted_is_recorded_so_and_goes_on_when_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let url = url_in(folder.path());
    let jobs = Jobs::new(&Sqlite::connect(&url).await.unwrap());
    for (signal, image) in [("INT", 1), ("TERM", 2), ("HUP", 3)] {
        jobs.enqueue_all((0..100).map(|_| Resize { image })).await.unwrap();
        let line = "cancel --job resize --rate 50 --yes";
        let acting = binary()
            .env("RIQLE_JOBS_URL", &url)
            .args(line.split(' '))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let cancelled = || async {
            let cancelled = riqle_jobs::RunFilter::cancelled();
            jobs.store().count_runs(cancelled, 10_000).await.unwrap()
        };
        let before = cancelled().await;
        for tries in 0.. {
            if cancelled().await >= before + 2 {
                break;
            }
            assert!(tries < 1_000, "nothing is cancelled");
            // The binary is another process: only the store tells how far it is.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let told =
            Command::new("kill").args([format!("-{signal}"), acting.id().to_string()]).status().unwrap();
        assert!(told.success());
        let ended = acting.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(1), "{signal}: {}", text(&ended.stderr));
        assert!(text(&ended.stderr).contains("it is safe to repeat"), "{}", text(&ended.stderr));
        let actions = jobs.store().actions(riqle_jobs::store::ActionFilter::default()).await.unwrap();
        assert!(actions[0].action.outcome.starts_with("interrupted after "), "{:?}", actions[0].action);
        assert!(on(&url, "cancel --job resize --yes --rate 10000").status.success());
    }
    assert_eq!(jobs.runs(riqle_jobs::RunFilter::pending()).await.unwrap(), []);
}

#[tokio::test]
async fn doctor_finds_runs_that_no_worker_takes_whoever_reads_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let url = url_in(folder.path());
    let jobs = Jobs::new(&Sqlite::connect(&url).await.unwrap());
    jobs.enqueue(Resize { image: 1 }).await.unwrap();
    let doctor = on(&url, "doctor --json");
    let no_worker = r#"{"level":"bad","what":"No worker is alive","cure":"Start a process that runs a Worker on this store.","look":"queues"}"#;
    assert_eq!((doctor.status.code(), text(&doctor.stdout)), (Some(5), format!("{no_worker}\n")));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let unread = binary().env("RIQLE_JOBS_URL", &url).arg("doctor").stdout(writer).status().unwrap();
    assert_eq!(unread.code(), Some(5));
}

#[tokio::test]
async fn who_acts_is_recorded_as_user_and_host_unless_a_name_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let url = url_in(folder.path());
    let jobs = Jobs::new(&Sqlite::connect(&url).await.unwrap());
    jobs.enqueue(Resize { image: 1 }).await.unwrap();
    assert_eq!(on(&url, "pause images").status.code(), Some(0));
    assert_eq!(on(&url, "resume images --as night-shift").status.code(), Some(0));
    let actions = jobs.store().actions(riqle_jobs::store::ActionFilter::default()).await.unwrap();
    let by: Vec<_> = actions.iter().map(|recorded| recorded.action.by.as_str()).collect();
    assert_eq!(by[0], "night-shift");
    assert!(by[1].starts_with("anna@"), "{by:?}");
}

#[tokio::test]
async fn the_help_of_each_command_fits_a_screen_and_has_an_example() {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let mut to_see = vec![String::new()];
    let mut seen = 0;
    while let Some(command) = to_see.pop() {
        let line = format!("{command} --help");
        let help = ran(&store, line.trim(), None).await;
        assert_eq!(help.code, 0, "{command}");
        assert!(help.out.lines().count() <= 45, "{command}: {} lines", help.out.lines().count());
        let is_group = help.out.contains("\nCommands:\n");
        assert!(
            help.out.contains("\nExample: ") || (is_group && !command.is_empty()),
            "{command}:\n{}",
            help.out
        );
        seen += 1;
        let commands = help.out.split("\nCommands:\n").nth(1).unwrap_or_default();
        for name in commands.lines().take_while(|line| line.starts_with("  ")) {
            let name = name.split_whitespace().next().unwrap_or_default();
            to_see.push(format!("{command} {name}").trim().to_owned());
        }
    }
    assert!(seen > 40, "{seen} commands");
}
