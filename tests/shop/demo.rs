use crate::process::run;

/// The delays that a printed timeline shows, in order.
fn delays(output: &str) -> Vec<&str> {
    output.lines().filter_map(|line| line.split("again in ").nth(1)?.split(':').next()).collect()
}

/// A zone in which 08:00, when the digest goes out by itself, is hours away.
fn zone() -> String {
    let hour = riqle_jobs::store::Clock::Server.local_now().as_second() / 3_600 % 24;
    (if hour < 12 { "Pacific/Honolulu" } else { "Europe/Berlin" }).to_owned()
}

/// What the log says of the demo's dead letter.
const DEAD_LETTER: &str = "job=\"send-purchase-confirmation\" queue=\"email\" attempt=4 reason=retries-exhausted \
    error=\"step \\\"send-email\\\": email not sent yet: 451 4.7.1 try again later\" times=1";

#[tokio::test]
async fn the_demo_goes_as_told_twice_on_one_database() {
    let folder = tempfile::tempdir().unwrap();
    let mail = folder.path().join("mail");
    let environment = [
        ("RIQLE_JOBS_URL", format!("sqlite:{}", folder.path().join("shop.db").display())),
        ("RIQLE_MAIL_URL", format!("file:{}", mail.display())),
        ("RIQLE_SHOP_ZONE", zone()),
    ];
    for round in 1..=2 {
        let output = run(&["--exit-when-idle", "--addr", "127.0.0.1:0"], &environment).await;
        let shown = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{shown}\n{errors}");
        assert_eq!(delays(&shown), ["1s", "2s", "1s", "2s", "4s"], "{shown}");
        assert!(shown.contains("keeps fetch-order"), "{shown}");
        assert!(
            shown.contains("  dashboard:  http://127.0.0.1:") && shown.contains("/jobs?token="),
            "{shown}"
        );
        // The whole log: of what went well, or was retried, it tells nothing.
        let [line] = *errors.lines().filter(|line| !line.contains(" sqlx::")).collect::<Vec<_>>() else {
            panic!("{errors}")
        };
        let (told, run) = line.split_once(" run=").unwrap();
        let (_, told_of_run) = run.split_once(' ').unwrap();
        assert_eq!(told, "shop: ERROR riqle_jobs_core::worker::dead_log: a run is a dead letter");
        assert_eq!(told_of_run, DEAD_LETTER);
        let messages = std::fs::read_dir(&mail).unwrap().count();
        let digest =
            ["EUR: =E2=82=AC49.90 from 1 order,", "USD: $98.00 from 2 orders, $4.50 refunded in 1 refund"];
        let told = |text: &String| digest.iter().all(|line| text.contains(line));
        let all = std::fs::read_dir(&mail)
            .unwrap()
            .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        assert!(all.filter(told).count() > 0, "{shown}");
        assert_eq!(messages, 5 * round, "{shown}");
    }
}

#[tokio::test]
async fn the_demo_plays_on_the_memory_store_with_its_own_tables_beside() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("RIQLE_JOBS_URL", "memory:".to_owned()),
        ("RIQLE_SHOP_DB", format!("sqlite:{}", folder.path().join("shop.db").display())),
        ("RIQLE_MAIL_URL", format!("file:{}", folder.path().join("mail").display())),
    ];
    let output = run(&["--exit-when-idle", "--addr", "127.0.0.1:0"], &environment).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_wrong_setting_is_one_clear_line() {
    for (name, value, line) in [
        (
            "RIQLE_JOBS_URL",
            "oracle:x",
            "shop: connect: unknown scheme \"oracle\"; use memory:, sqlite:PATH, postgres://… or redis://…\n",
        ),
        ("RIQLE_MAIL_FROM", "nobody", "shop: address: not an email address of the form local@domain\n"),
    ] {
        let output = run(&["--exit-when-idle", "--addr", "127.0.0.1:0"], &[(name, value.to_owned())]).await;
        assert!(!output.status.success());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), line);
    }
}

#[tokio::test]
async fn a_taken_port_is_one_clear_line_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--addr", &address], &[]).await;
    let line = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        line.starts_with(&format!("shop: can't listen on {address}")) && line.contains("--addr 127.0.0.1:0"),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1);
}
