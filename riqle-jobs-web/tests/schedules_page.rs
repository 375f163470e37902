//! The pages of schedules, and what operators do there, asked over HTTP.
#![allow(clippy::unwrap_used)]

mod support;

use std::{net::SocketAddr, time::Duration};

use riqle_jobs_core::{
    RunState, WorkerId,
    store::{TroubleKind, WorkerReport, WorkerTrouble},
};
use serde_json::{Value, json};

use crate::support::{ANNA, BEN, Bench, act, crowd, dashboard, data, page, submit};

const MORNING: &str = "schedules/send-welcome-email/every%2Dmorning";
const INTERVAL: &str = "schedules/send-welcome-email/shop%2F7%20%26%20more";

async fn newest_action(address: SocketAddr) -> Value {
    data(address, ANNA, "audit").await["actions"][0].clone()
}

async fn done(address: SocketAddr, path: &str, body: &str) -> String {
    let answer = act(address, ANNA, path, body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()["outcome"].as_str().unwrap().to_owned()
}

async fn refused(address: SocketAddr, path: &str, body: &str) -> (u16, String) {
    let answer = act(address, ANNA, path, body).await;
    (answer.status, answer.json()["error"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn schedules_are_listed_with_their_next_and_last_tick() {
    for bench in Bench::all().await {
        crowd::schedules(&bench.jobs).await;
        let address = dashboard(&bench.jobs).await;
        let listed = data(address, BEN, "schedules").await["schedules"].clone();
        let names: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["every-morning", "month's end", "shop/7 & more"]);
        assert_eq!(listed[0]["rule"], json!("at 08:00 on weekdays, Europe/Berlin"));
        assert_eq!(listed[0]["last"]["state"], json!("pending"));
        assert_eq!((&listed[0]["live"], &listed[0]["isPaused"]), (&json!(1), &json!(false)));
        assert_eq!((&listed[1]["next"], &listed[1]["isPaused"]), (&json!(null), &json!(true)));
        assert_eq!(listed[2]["rule"], json!("every 1m 30s"));
        let narrowed = data(address, BEN, "schedules?prefix=shop%2F").await["schedules"].clone();
        assert_eq!(narrowed.as_array().unwrap().len(), 1);
        let behind =
            data(address, BEN, "schedules?afterJob=send-welcome-email&afterName=month%27s%20end").await;
        assert_eq!(behind["schedules"], narrowed);
        assert!(page(address, BEN, "schedules").await.text.contains("at 08:00 on weekdays, Europe/Berlin"));
    }
}

#[tokio::test]
async fn a_schedule_shows_its_next_five_ticks_and_its_run_shows_the_schedule() {
    for bench in Bench::all().await {
        crowd::schedules(&bench.jobs).await;
        let address = dashboard(&bench.jobs).await;
        let shown = data(address, ANNA, MORNING).await;
        assert_eq!(shown["nextTicks"].as_array().unwrap().len(), 5);
        assert_eq!(shown["nextTicks"][0], shown["next"]);
        assert_eq!(
            [&shown["cron"], &shown["zone"], &shown["everySeconds"], &shown["missed"], &shown["overlap"]],
            [
                &json!("0 8 * * 1-5"),
                &json!("Europe/Berlin"),
                &json!(null),
                &json!("latest"),
                &json!("one-waits")
            ]
        );
        assert_eq!(shown["liveRuns"], json!([shown["last"]["run"]]));
        let interval = data(address, ANNA, INTERVAL).await;
        assert_eq!(
            [&interval["cron"], &interval["everySeconds"], &interval["startingAt"]],
            [&json!(null), &json!(90.0), &json!("1970-01-01T00:00:00Z")]
        );
        let run = format!("runs/{}", shown["last"]["run"].as_str().unwrap());
        assert_eq!(data(address, BEN, &run).await["schedule"]["name"], json!("every-morning"));
        let html = page(address, BEN, &run).await.text;
        assert!(html.contains(r#"<a href="../schedules/send%2Dwelcome%2Demail/every%2Dmorning">"#), "{html}");
        assert_eq!(page(address, ANNA, "schedules/send-welcome-email/none").await.status, 404);
        assert_eq!(page(address, ANNA, "schedules/send-welcome-email/%00").await.status, 404);
    }
}

#[tokio::test]
async fn operators_trigger_pause_resume_and_remove_and_each_is_recorded() {
    for bench in Bench::all().await {
        crowd::schedules(&bench.jobs).await;
        let address = dashboard(&bench.jobs).await;
        let run = done(address, &format!("{INTERVAL}/trigger"), "{}").await;
        let runs = bench.runs().await;
        let run = runs.iter().find(|one| one.id.to_string() == run).unwrap();
        assert_eq!(
            (run.state, run.tick.as_ref().unwrap().schedule.as_str()),
            (RunState::Pending, "shop/7 & more")
        );
        let action = newest_action(address).await;
        assert_eq!(
            [&action["kind"], &action["subject"], &action["state"], &action["by"]],
            ["trigger", "schedule shop/7 & more of job send-welcome-email", "done", "anna"]
        );

        done(address, &format!("{MORNING}/pause"), r#"{"why":"a holiday"}"#).await;
        let again = done(address, &format!("{MORNING}/pause"), "{}").await;
        assert_eq!(again, "already paused by anna; nothing changed");
        let pause = data(address, BEN, MORNING).await["pause"].clone();
        assert_eq!((&pause["by"], &pause["why"]), (&json!("anna"), &json!("a holiday")));
        assert!(page(address, BEN, MORNING).await.text.contains("Paused by <b>anna</b>"));
        let resumed = submit(address, ANNA, &format!("{MORNING}/resume"), "").await;
        assert_eq!(
            (resumed.status, resumed.location()),
            (303, "../../../schedules/send%2Dwelcome%2Demail/every%2Dmorning")
        );
        assert_eq!(data(address, BEN, MORNING).await["pause"], json!(null));

        let removed = submit(address, ANNA, &format!("{MORNING}/remove"), "").await;
        assert_eq!((removed.status, removed.location()), (303, "../../../schedules"));
        assert_eq!(page(address, ANNA, MORNING).await.status, 404);
        assert_eq!(
            refused(address, &format!("{MORNING}/trigger"), "{}").await,
            (404, "no such schedule".to_owned())
        );
        assert_eq!(
            newest_action(address).await["kind"],
            json!("remove"),
            "what is not there is not acted on"
        );
    }
}

#[tokio::test]
async fn a_schedule_is_edited_in_part_and_what_is_wrong_with_the_edit_is_told() {
    for bench in Bench::all().await {
        crowd::schedules(&bench.jobs).await;
        let address = dashboard(&bench.jobs).await;
        let edit = format!("{MORNING}/edit");
        let before = data(address, ANNA, MORNING).await;
        for (body, told) in [
            (r#"{"cron":"0 25 * * *"}"#, "hour"),
            (r#"{"zone":"Europe/Atlantis"}"#, "Europe/Atlantis"),
            (r#"{"cron":"0 9 * * *","everySeconds":60}"#, "not both"),
            (r#"{"startingAt":"2026-01-01T00:00:00Z"}"#, "`everySeconds` is missing"),
            (r#"{"everySeconds":0.5}"#, "a second at least"),
            (r#"{"everySeconds":-1}"#, "`everySeconds` is not a duration"),
            (r#"{"missed":"all:0"}"#, "1 to 1000"),
            (r#"{"missed":"some"}"#, "`missed` must be"),
            (r#"{"overlap":"twice"}"#, "`overlap` must be"),
            (r#"{"inputText":"{"}"#, "the input is not JSON"),
            (r#"{"crom":"0 9 * * *"}"#, "unknown field `crom`"),
        ] {
            let (status, error) = refused(address, &edit, body).await;
            assert!(status == 400 && error.contains(told), "{body}: {status} {error}");
        }
        assert_eq!(data(address, ANNA, MORNING).await, before);

        done(address, &edit, r#"{"cron":"30 9 * * *","missed":"all:7","input":{"shop":8}}"#).await;
        let after = data(address, ANNA, MORNING).await;
        assert_eq!(
            [&after["rule"], &after["zone"], &after["missed"], &after["overlap"], &after["input"]["json"]],
            [
                &json!("at 09:30 every day, Europe/Berlin"),
                &before["zone"],
                &json!("all:7"),
                &before["overlap"],
                &json!({"shop": 8})
            ]
        );
        assert_eq!(after["edited"]["by"], json!("anna"));
        let action = newest_action(address).await;
        assert_eq!(
            (&action["kind"], &action["detail"]),
            (
                &json!("edit"),
                &json!(
                    "times from at 08:00 on weekdays, Europe/Berlin to at 09:30 every day, Europe/Berlin, missed ticks from \
                     latest to all:7, another input"
                )
            )
        );
        // A form sends all of it; what is only laid out otherwise stays as it was.
        let form = "everySeconds=600&startingAt=2026-01-01T00%3A00%3A00Z&missed=skip&overlap=allow&jitterSeconds=2.5\
                    &inputText=%7B%22shop%22%3A+7%2C+%22note%22%3A+%22the+digest+of+the+shop%22%7D";
        assert_eq!(submit(address, ANNA, &format!("{INTERVAL}/edit"), form).await.status, 303);
        let after = data(address, ANNA, INTERVAL).await;
        assert_eq!(
            [&after["everySeconds"], &after["jitterSeconds"], &after["missed"], &after["overlap"]],
            [&json!(600.0), &json!(2.5), &json!("skip"), &json!("allow")]
        );
        let detail = newest_action(address).await["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.starts_with("times from every 1m 30s to every 10m, from 2026-01-01T00:00:00Z, "),
            "{detail}"
        );
        assert!(!detail.contains("input"), "{detail}");
    }
}

#[tokio::test]
async fn a_range_is_filled_in_once_it_has_ticks_and_has_come() {
    for bench in Bench::all().await {
        crowd::schedules(&bench.jobs).await;
        let address = dashboard(&bench.jobs).await;
        let backfill = format!("{MORNING}/backfill");
        for (range, told) in [
            (r#"{"from":"2026-01-03T00:00:00Z","until":"2026-01-04T23:00:00Z"}"#, "there is no tick"),
            (r#"{"from":"2026-01-03T00:00:00Z","until":"2999-01-04T23:00:00Z"}"#, "has not come yet"),
            (r#"{"from":"yesterday","until":"2026-01-04T23:00:00Z"}"#, "`from` is not a time"),
            (r#"{"from":"2026-01-03T00:00:00Z","until":""}"#, "`until` is missing"),
            (r#"{"from":"2026-01-03T00:00:00Z"}"#, "missing field `until`"),
        ] {
            let (status, error) = refused(address, &backfill, range).await;
            assert!(status == 400 && error.contains(told), "{range}: {status} {error}");
        }
        let form = "from=2026-01-05T00%3A00&until=2026-01-09T23%3A59%3A59";
        assert_eq!(submit(address, ANNA, &backfill, form).await.status, 303);
        let shown = data(address, BEN, MORNING).await["backfill"].clone();
        assert_eq!((&shown["by"], &shown["until"]), (&json!("anna"), &json!("2026-01-09T23:59:59Z")));
        let range = r#"{"from":"2026-01-05T00:00:00Z","until":"2026-01-09T23:00:00Z"}"#;
        let (status, error) = refused(address, &backfill, range).await;
        assert!(status == 409 && error.contains("anna is filling in the ticks"), "{status} {error}");
        assert_eq!(newest_action(address).await["state"], json!("failed"));
    }
}

/// What a browser sends of a page's form that nobody has changed.
async fn unchanged(address: SocketAddr, path: &str) -> String {
    let html = page(address, ANNA, path).await.text;
    let value = |name: &str| {
        let at = html.find(&format!("name=\"{name}\"")).unwrap();
        let begin = at + html[at..].find("value=\"").unwrap() + 7;
        html[begin..].split('"').next().unwrap().to_owned()
    };
    let shown = data(address, ANNA, path).await;
    let fields = [
        ("shown", value("shown")),
        ("everySeconds", value("everySeconds")),
        ("startingAt", value("startingAt")),
        ("missed", shown["missed"].as_str().unwrap().to_owned()),
        ("overlap", shown["overlap"].as_str().unwrap().to_owned()),
        ("jitterSeconds", value("jitterSeconds")),
    ];
    fields.map(|(name, value)| format!("{name}={}", value.replace(':', "%3A").replace('+', "%2B"))).join("&")
}

#[tokio::test]
async fn a_form_that_nobody_has_changed_changes_nothing_and_an_old_one_is_refused() {
    for bench in Bench::all().await {
        crowd::schedules(&bench.jobs).await;
        let address = dashboard(&bench.jobs).await;
        let odd = r#"{"everySeconds":1.1,"startingAt":"2026-01-01T00:00:00.007Z","jitterSeconds":0.3,"missed":"all:7"}"#;
        done(address, &format!("{INTERVAL}/edit"), odd).await;
        let range = r#"{"from":"2026-01-05T00:00:00Z","until":"2026-01-05T01:00:00Z"}"#;
        done(address, &format!("{INTERVAL}/backfill"), range).await;
        let before = data(address, ANNA, INTERVAL).await;
        let form = unchanged(address, INTERVAL).await;
        assert_eq!(submit(address, ANNA, &format!("{INTERVAL}/edit"), &form).await.status, 303);
        assert_eq!(newest_action(address).await["detail"], json!("nothing"));
        let after = data(address, ANNA, INTERVAL).await;
        for field in ["rule", "everySeconds", "startingAt", "jitterSeconds", "missed", "backfill", "input"] {
            assert_eq!(after[field], before[field], "{field}");
        }

        done(address, &format!("{INTERVAL}/edit"), r#"{"jitterSeconds":2}"#).await;
        assert_eq!(submit(address, ANNA, &format!("{INTERVAL}/edit"), &form).await.status, 409);
        assert_eq!(data(address, ANNA, INTERVAL).await["jitterSeconds"], json!(2.0));
    }
}

/// A worker's report that tells a schedule's name.
fn failing_to_tick(name: &str) -> WorkerReport {
    let error = format!("schedule {name:?} of job \"send-welcome-email\": no such time zone");
    let trouble = WorkerTrouble { kind: TroubleKind::Schedules, lasting: Duration::from_secs(60), error };
    WorkerReport {
        id: WorkerId::new(),
        label: "worker".to_owned(),
        version: "1".to_owned(),
        jobs: [].into(),
        concurrency: 1,
        running: 0,
        claimed_ahead: [].into(),
        troubles: vec![trouble],
    }
}

#[tokio::test]
async fn viewers_see_no_schedule_whose_name_holds_an_address() {
    for bench in Bench::all().await {
        crowd::schedules(&bench.jobs).await;
        let mut new =
            bench.jobs.schedule_status("send-welcome-email", "every-morning").await.unwrap().unwrap();
        new.name = "digest for ada@example.com".to_owned();
        crowd::schedule_as(&bench.jobs, &new).await;
        let run = bench.jobs.trigger_schedule(&new.job, &new.name).await.unwrap();
        let address = dashboard(&bench.jobs).await;
        let path = "schedules/send-welcome-email/digest%20for%20ada%40example.com";
        assert_eq!(page(address, ANNA, path).await.status, 200);
        assert_eq!(page(address, BEN, path).await.status, 403);
        for (token, shown) in [(ANNA, 4), (BEN, 3)] {
            let listed = data(address, token, "schedules").await["schedules"].clone();
            assert_eq!(listed.as_array().unwrap().len(), shown);
        }
        assert_eq!(data(address, BEN, "schedules?prefix=digest").await["schedules"], json!([]));
        let behind = "schedules?afterJob=send-welcome-email&afterName=dig";
        assert_eq!(data(address, BEN, behind).await["schedules"].as_array().unwrap().len(), 3);
        bench.store().report_worker(failing_to_tick("ada@example.com")).await.unwrap();
        let overview = page(address, BEN, "overview").await.text;
        assert!(overview.contains("failing to tick") && !overview.contains("ada@"), "{overview}");
        assert!(page(address, ANNA, "overview").await.text.contains("ada@example.com"));
        let of_run = page(address, BEN, &format!("runs/{run}")).await.text;
        assert!(of_run.contains("digest for a…@example.com") && !of_run.contains("ada"), "{of_run}");
    }
}
