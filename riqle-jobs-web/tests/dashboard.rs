//! What the dashboard shows and does, asked over HTTP.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::request::Parts, response::Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use riqle_jobs_conformance::Unreliable;
use riqle_jobs_core::{
    AttemptOutcome, ClaimRequest, Ending, Error, ErrorKind, Jobs, LeaseRef, LeaseToken, Memory, NewRun,
    Payload, Reason, Retention, RunFilter, RunId, RunState, Settlement, StepPath, StepSave, Store, WorkerId,
    async_trait,
    store::{WorkerOrder, WorkerReport},
};
use riqle_jobs_web::{
    Dashboard,
    security::{Access, Authenticate, Role, User},
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::support::{
    ANNA, ANNA_PASSWORD, BEN, Bench, act,
    crowd::{self, Crowd},
    dashboard, data, get, page, post, serve, submit,
};

const JOB: &str = "send-welcome-email";

/// A run of the job, pending.
async fn pending(store: &dyn Store, input: &str) -> RunId {
    let run = NewRun::named(JOB, Payload::from_json_text(input)).queue("email");
    let id = run.id;
    store.enqueue(vec![run]).await.unwrap();
    id
}

/// A run that has become a dead letter.
async fn dead(store: &dyn Store, input: &str, error: &str) -> RunId {
    let id = pending(store, input).await;
    let lease = claimed(store, WorkerId::new()).await;
    assert_eq!(lease.run, id);
    failed(store, lease, Ending::Dead { reason: Reason::Permanent }, error).await;
    id
}

/// The next due run of the job.
async fn claimed(store: &dyn Store, worker: WorkerId) -> LeaseRef {
    let request = ClaimRequest {
        queue: "email".to_owned(),
        jobs: [JOB.to_owned()].into(),
        limit: 1,
        lease: Duration::from_secs(60),
        token: LeaseToken::new(),
        worker,
    };
    store.claim(request).await.unwrap().runs.remove(0).lease
}

async fn failed(store: &dyn Store, lease: LeaseRef, ending: Ending, error: &str) {
    let settlement = Settlement {
        lease,
        ending,
        failures: 1,
        attempt: 1,
        outcome: AttemptOutcome::Failed,
        error: Some(error.to_owned()),
        error_fingerprint: Some("f00d".to_owned()),
    };
    store.settle(vec![settlement]).await.unwrap();
}

/// What came of an action that goes on in the background.
async fn outcome(address: SocketAddr, action: &str) -> Value {
    let ended = async {
        loop {
            let action = data(address, BEN, &format!("audit/{action}")).await;
            if action["state"] != "underway" {
                return action["outcome"].clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap()
}

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_page_is_there_as_html_and_as_json() {
    for bench in Bench::all().await {
        Crowd { runs: 300, emails: 20 }.gather(bench.store()).await;
        crowd::schedules(&bench.jobs).await;
        let address = dashboard(&bench.jobs).await;
        let runs = data(address, BEN, "runs?state=dead").await;
        let run = format!("runs/{}", ids(&runs["runs"])[0]);
        let email = format!("emails/{}", ids(&data(address, BEN, "emails").await["emails"])[0]);
        let job = format!("jobs/{JOB}?range=week");
        for path in [
            "overview",
            "overview?range=day",
            "runs",
            "runs?state=succeeded&job=send-welcome-email",
            "runs/confirm?act=replay&state=dead",
            &run,
            "dead-letters",
            "jobs",
            &job,
            "schedules",
            "schedules?job=send-welcome-email&prefix=every",
            "schedules/send-welcome-email/every%2Dmorning",
            "schedules/send-welcome-email/shop%2F7%20%26%20more",
            "queues",
            "events",
            "emails",
            "emails?state=open",
            &email,
            "audit",
        ] {
            let html = page(address, BEN, path).await;
            assert_eq!(html.status, 200, "{path}");
            assert!(html.head.contains("content-type: text/html"), "{path}");
            assert!(html.text.contains("<main id=\"main\"") && html.text.contains("</html>"), "{path}");
            assert!(data(address, BEN, path).await.is_object(), "{path}");
        }
        assert_eq!(page(address, ANNA, "suppressions").await.status, 200);
        let root = page(address, ANNA, "").await;
        assert_eq!((root.status, root.location()), (303, "./overview"));
    }
}

#[tokio::test]
async fn runs_are_found_by_what_the_address_says() {
    for bench in Bench::all().await {
        let store = bench.store();
        let first = dead(store, r#"{"n":1}"#, "the mailer refused it: 550").await;
        let second = dead(store, r#"{"n":2}"#, "no route to host").await;
        let waiting = pending(store, r#"{"n":3}"#).await;
        let address = dashboard(&bench.jobs).await;
        let found = async |query: &str| ids(&data(address, BEN, &format!("runs?{query}")).await["runs"]);

        assert_eq!(found("").await, [waiting, second, first].map(|id| id.to_string()));
        assert_eq!(found("state=pending").await, [waiting.to_string()]);
        assert_eq!(found("state=dead&error=f00d").await, [second, first].map(|id| id.to_string()));
        assert_eq!(found("state=dead&withoutError=true").await, Vec::<String>::new());
        assert_eq!(found("text=REFUSED").await, [first.to_string()]);
        assert_eq!(found(&format!("state=dead&before={second}")).await, [first.to_string()]);
        assert_eq!(found("from=2020-01-01T00:00&to=2020-01-02T00:00").await, Vec::<String>::new());
        let tabs = data(address, BEN, "runs?job=send-welcome-email").await["tabs"].clone();
        let dead_tab = tabs.as_array().unwrap().iter().find(|tab| tab["state"] == "dead").unwrap();
        assert_eq!(*dead_tab, json!({"state": "dead", "runs": 2, "isAtLeast": false}));

        assert_eq!(
            page(address, BEN, &format!("runs?id={first}")).await.location(),
            format!("./runs/{first}")
        );
        for (query, words) in [
            ("state=lost", "unknown state"),
            ("from=yesterday", "not a time"),
            ("id=xyz", "no run"),
            ("state=succeeded&text=x", "dead letters only"),
            ("state=dead&state=pending", "read"),
        ] {
            let refused = page(address, BEN, &format!("runs?{query}")).await;
            assert_eq!(refused.status, 400, "{query}");
            assert!(refused.text.contains(words), "{query}: {}", refused.text);
        }
    }
}

#[tokio::test]
async fn older_pages_follow_without_a_gap() {
    for bench in Bench::all().await {
        let mut expected = Vec::new();
        for number in 0..120 {
            expected.push(pending(bench.store(), &format!("{number}")).await.to_string());
        }
        expected.reverse();
        let address = dashboard(&bench.jobs).await;
        let (mut met, mut query) = (Vec::new(), "state=pending".to_owned());
        loop {
            let shown = data(address, BEN, &format!("runs?{query}")).await;
            met.extend(ids(&shown["runs"]));
            match shown["next"].as_str() {
                Some(next) => next.clone_into(&mut query),
                None => break,
            }
        }
        assert_eq!(met, expected);
    }
}

#[tokio::test]
async fn a_dead_run_is_replayed_with_an_edited_input() {
    for bench in Bench::all().await {
        let id = dead(bench.store(), r#"{"paymentId":12345678901234567890}"#, "no").await;
        let address = dashboard(&bench.jobs).await;

        let text = "%7B%20%22paymentId%22%3A%2012345678901234567891%20%7D";
        let done =
            submit(address, ANNA, &format!("runs/{id}/replay"), &format!("from=start&inputText={text}"))
                .await;
        assert_eq!(done.status, 303, "{done:?}");
        let new: RunId = done.location().strip_prefix("../../runs/").unwrap().parse().unwrap();
        let run = bench.store().run(new).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(run.input.bytes).unwrap(), r#"{"paymentId":12345678901234567891}"#);
        assert_eq!((run.replay_of, run.state), (Some(id), RunState::Pending));

        let audit = data(address, BEN, "audit").await["actions"][0].clone();
        assert_eq!(
            (&audit["by"], &audit["kind"], &audit["state"]),
            (&json!("anna"), &json!("replay"), &json!("done"))
        );
        assert_eq!(audit["subject"], json!(format!("run {id}")));
        assert_eq!(audit["outcome"], json!(new.to_string()));

        let again = submit(address, ANNA, &format!("runs/{id}/replay"), "").await;
        assert_eq!(again.status, 400);
        assert!(again.text.contains("was replayed"), "{}", again.text);
        assert_eq!(data(address, BEN, "audit").await["actions"][0]["state"], json!("failed"));
    }
}

#[tokio::test]
async fn an_input_that_is_not_edited_stays_as_it_was() {
    for bench in Bench::all().await {
        let written = r#"{ "b": 1.50, "a": [ ] }"#;
        let id = dead(bench.store(), written, "no").await;
        let address = dashboard(&bench.jobs).await;
        let indented = "%7B%0A%20%20%22b%22%3A%201.50%2C%0A%20%20%22a%22%3A%20%5B%5D%0A%7D";
        let done =
            submit(address, ANNA, &format!("runs/{id}/replay"), &format!("inputText={indented}")).await;
        let new: RunId = done.location().strip_prefix("../../runs/").unwrap().parse().unwrap();
        let run = bench.store().run(new).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(run.input.bytes).unwrap(), written);

        for bad in ["inputText=%7B", "from=step%3Anobodys", "from=nowhere"] {
            assert_eq!(submit(address, ANNA, &format!("runs/{id}/replay"), bad).await.status, 400, "{bad}");
        }
    }
}

#[tokio::test]
async fn a_whole_group_is_replayed_after_its_count_was_shown() {
    for bench in Bench::all().await {
        for number in 0..5 {
            dead(bench.store(), &format!("{number}"), "no").await;
        }
        let address = dashboard(&bench.jobs).await;
        let groups = data(address, BEN, "dead-letters").await["groups"].clone();
        assert_eq!(groups.as_array().unwrap().len(), 1);
        assert_eq!((&groups[0]["job"], &groups[0]["runs"]), (&json!(JOB), &json!(5)));
        assert_eq!(groups[0]["error"], json!("no"));
        let query = "act=replay&state=dead&job=send-welcome-email&error=f00d";
        assert_eq!(data(address, BEN, &format!("runs/confirm?{query}")).await["runs"], json!(5));

        let search = "state%3Ddead%26job%3Dsend-welcome-email%26error%3Df00d";
        let begun = submit(address, ANNA, "runs/act", &format!("act=replay&pace=1000&query={search}")).await;
        assert_eq!(begun.status, 303, "{begun:?}");
        let action = begun.location().strip_prefix("../audit/").unwrap().to_owned();
        assert_eq!(outcome(address, &action).await, json!("5 done"));
        let pending = RunFilter::pending();
        assert_eq!(bench.store().runs(pending).await.unwrap().len(), 5);
        assert_eq!(data(address, BEN, "dead-letters").await["groups"], json!([]));
    }
}

#[tokio::test]
async fn what_came_after_the_count_is_not_acted_on() {
    for bench in Bench::all().await {
        let counted = pending(bench.store(), "1").await;
        let address = dashboard(&bench.jobs).await;
        let asked = data(address, BEN, "runs/confirm?act=cancel&state=pending").await;
        assert_eq!(asked["runs"], json!(1));
        // Times are kept to the millisecond.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let later = pending(bench.store(), "2").await;

        let body = json!({"act": "cancel", "search": asked["search"]}).to_string();
        let begun = act(address, ANNA, "runs/act", &body).await.json();

        assert_eq!(outcome(address, begun["action"].as_str().unwrap()).await, json!("1 done"));
        let state = async |id| bench.store().run(id).await.unwrap().unwrap().state;
        assert_eq!((state(counted).await, state(later).await), (RunState::Cancelled, RunState::Pending));
    }
}

#[tokio::test]
async fn a_run_shows_who_tried_it_and_what_no_step_has_saved() {
    for bench in Bench::all().await {
        let store = bench.store();
        let id = pending(store, "1").await;
        let worker = WorkerId::new();
        let (label, version) = ("shop-1/4711".to_owned(), "1.0.0".to_owned());
        let jobs = [(JOB.to_owned(), "email".to_owned())].into();
        let report = WorkerReport {
            id: worker,
            label,
            version,
            jobs,
            concurrency: 8,
            running: 1,
            claimed_ahead: [].into(),
            troubles: Vec::new(),
        };
        store.report_worker(report).await.unwrap();
        let address = dashboard(&bench.jobs).await;
        let seen = async || data(address, BEN, &format!("runs/{id}")).await;

        let lease = claimed(store, worker).await;
        assert_eq!(seen().await["unsaved"], Value::Null);
        let step = StepSave {
            lease: lease.clone(),
            path: StepPath::from_stored("pay"),
            result: Payload::from_json_text("7"),
            took: Duration::from_millis(1),
            replaces: false,
        };
        store.save_steps(vec![step]).await.unwrap();
        let running = seen().await;
        assert_eq!(running["unsaved"]["outcome"], json!("running"));
        assert_eq!(running["holder"]["label"], json!("shop-1/4711"));
        assert!(page(address, BEN, &format!("runs/{id}")).await.text.contains("id=\"unsaved\""));

        failed(store, lease, Ending::Again { after: Duration::from_secs(60) }, "no").await;
        let waiting = seen().await;
        assert_eq!(waiting["unsaved"]["outcome"], json!("failed"));
        assert_eq!(waiting["attempts"][0]["workerLabel"], json!("shop-1/4711"));
        store.remove_worker(worker).await.unwrap();
        let forgotten = seen().await["attempts"][0].clone();
        assert_eq!((&forgotten["workerLabel"], &forgotten["worker"]), (&Value::Null, &json!(worker)));
    }
}

#[tokio::test]
async fn chosen_runs_are_acted_on_and_each_that_can_not_be_is_told() {
    for bench in Bench::all().await {
        let (one, two) = (dead(bench.store(), "1", "no").await, dead(bench.store(), "2", "no").await);
        let address = dashboard(&bench.jobs).await;
        let body = json!({"act": "discard", "ids": [one, two, RunId::new()]}).to_string();
        let done = act(address, ANNA, "runs/act", &body).await;
        let outcome = done.json()["outcome"].as_str().unwrap().to_owned();
        assert!(outcome.starts_with("2 done, 1 skipped: no run "), "{outcome}");
        let recorded = data(address, BEN, "audit").await["actions"][0].clone();
        assert_eq!(recorded["subject"], json!("3 runs"));
        assert!(recorded["detail"].as_str().unwrap().contains(&format!("{one}, {two}, ")), "{recorded}");
        assert!(bench.store().run(one).await.unwrap().is_none());

        let later = pending(bench.store(), "3").await;
        let body = json!({"act": "replay", "ids": [later]}).to_string();
        let told = act(address, ANNA, "runs/act", &body).await.json()["outcome"].as_str().unwrap().to_owned();
        assert!(told.starts_with("0 done, 1 skipped: ") && told.contains("is pending"), "{told}");
        assert_eq!(act(address, ANNA, "runs/act", r#"{"act":"cancel","ids":[]}"#).await.status, 400);
        assert_eq!(act(address, ANNA, "runs/act", r#"{"act":"destroy","ids":[]}"#).await.status, 400);

        // What is not meant as all must not be taken for it.
        for refused in [
            json!({"act": "cancel", "search": {"job": JOB, "state": "dead"}}),
            json!({"act": "cancel", "search": {"jobb": JOB}}),
            json!({"act": "cancel", "serach": {"job": JOB}, "ids": [later]}),
            json!({"act": "cancel", "search": {}}),
            json!({"act": "cancel", "search": {"job": "  "}}),
            json!({"act": "cancel", "search": {"job": JOB}, "ids": [later]}),
            json!({"act": "cancel", "search": {"job": JOB, "before": later}}),
        ] {
            assert_eq!(act(address, ANNA, "runs/act", &refused.to_string()).await.status, 400, "{refused}");
        }
        assert_eq!(act(address, ANNA, &format!("runs/{one}/discard"), "{}").await.status, 404);
        assert_eq!(bench.store().run(later).await.unwrap().unwrap().state, RunState::Pending);
        assert_eq!(act(address, ANNA, &format!("runs/{later}/cancel"), "{}").await.status, 200);
        assert_eq!(bench.store().run(later).await.unwrap().unwrap().state, RunState::Cancelled);
        assert_eq!(act(address, ANNA, "runs/no-id/cancel", "{}").await.status, 404);
        assert_eq!(act(address, ANNA, "runs/%ff/cancel", "{}").await.status, 404);
        assert_eq!(post(address, "/jobs/runs/%ff/cancel", "", "{}").await.status, 401);
    }
}

#[tokio::test]
async fn a_queue_is_paused_with_who_and_why_and_resumed() {
    for bench in Bench::all().await {
        let address = dashboard(&bench.jobs).await;
        assert_eq!(submit(address, ANNA, "queues/nobodys/pause", "").await.status, 404);
        let paused = submit(address, ANNA, "queues/email/pause", "why=the+provider+is+down").await;
        assert_eq!((paused.status, paused.location()), (303, "../../queues"));
        let queue = data(address, BEN, "queues").await["queues"][0].clone();
        assert_eq!((&queue["name"], &queue["pause"]["by"]), (&json!("email"), &json!("anna")));
        assert_eq!(queue["pause"]["why"], json!("the provider is down"));
        assert_eq!(
            data(address, BEN, "overview").await["findings"][1]["what"],
            json!("The queue email is paused")
        );

        let again = act(address, ANNA, "queues/email/pause", r#"{"why":"x"}"#).await.json();
        assert_eq!(again["outcome"], json!("already paused by anna; nothing changed"));
        assert_eq!(act(address, ANNA, "queues/email/pause", r#"{"reason":"x"}"#).await.status, 400);
        assert_eq!(act(address, ANNA, "queues/nobodys/resume", "").await.status, 404);
        submit(address, ANNA, "queues/email/resume", "").await;
        assert_eq!(data(address, BEN, "queues").await["queues"][0]["pause"], Value::Null);
        let audit = data(address, BEN, "audit").await["actions"].clone();
        let kinds: Vec<_> =
            audit.as_array().unwrap().iter().map(|action| action["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["resume", "pause", "pause"]);
    }
}

#[tokio::test]
async fn what_is_claimed_ahead_is_shown_apart_from_what_runs() {
    for bench in Bench::all().await {
        let (store, worker) = (bench.store(), WorkerId::new());
        let report = WorkerReport {
            id: worker,
            label: "shop-1".to_owned(),
            version: "1".to_owned(),
            jobs: [(JOB.to_owned(), "default".to_owned())].into(),
            concurrency: 4,
            running: 4,
            claimed_ahead: [("email".to_owned(), 4)].into(),
            troubles: Vec::new(),
        };
        store.report_worker(report).await.unwrap();
        for _ in 0..8 {
            pending(store, "1").await;
            claimed(store, worker).await;
        }
        let address = dashboard(&bench.jobs).await;
        let overview = data(address, BEN, "overview").await;
        assert_eq!((&overview["running"], &overview["claimedAhead"]), (&json!(4), &json!(4)));
        let queues = data(address, BEN, "queues").await;
        for row in [&queues["queues"][0], &queues["workers"][0]] {
            assert_eq!((&row["running"], &row["claimedAhead"]), (&json!(4), &json!(4)), "{queues}");
        }
        let shown = page(address, BEN, "queues").await.text;
        assert!(shown.contains("4 of 4, 4 claimed ahead"), "{shown}");
        let tile = "<dt>Claimed ahead</dt><dd>4</dd>";
        assert!(page(address, BEN, "overview").await.text.contains(tile));
    }
}

/// The sessions of an application.
struct Sessions;

#[async_trait]
impl Authenticate for Sessions {
    async fn user(&self, _: &Parts) -> Result<User, Response> {
        Ok(User { name: "ada".to_owned(), role: Role::Operator })
    }
}

#[tokio::test]
async fn the_sample_for_curl_fits_the_way_in() {
    let bench = Bench::all().await.remove(0);
    let id = pending(bench.store(), r#"{"name":"O'Hara"}"#).await;
    let serve_with = async |access| {
        let dashboard = Dashboard::new(&bench.jobs, access).router();
        serve(|_| Router::new().nest_service("/jobs", dashboard)).await
    };
    let named = serve_with(support::access()).await;
    let (access, link) = Access::closed().or_link();
    let (linked, link) = (serve_with(access).await, link.unwrap());
    let own = serve_with(Access::by(Sessions)).await;
    let open = serve_with(Access::open_to_this_machine(([127, 0, 0, 1], 80).into())).await;
    let basic = format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("anna:{ANNA_PASSWORD}")));
    let cookie = format!("Cookie: {}\r\n", get(linked, &link.to("/jobs"), "").await.cookie());
    let bearer = " \\\n  -H \"Authorization: Bearer $RIQLE_TOKEN\"";
    for (address, headers, hint, entry) in [
        (named, basic, "# curl asks for the password\n", " \\\n  -u 'anna'"),
        (named, format!("Authorization: Bearer {ANNA}\r\n"), "# RIQLE_TOKEN is your token\n", bearer),
        (linked, cookie, "# RIQLE_TOKEN is the token of the link that the application printed\n", bearer),
        (
            own,
            "Cookie: session=1\r\n".to_owned(),
            "# RIQLE_COOKIE is this header of your session\n",
            " \\\n  -H \"Cookie: $RIQLE_COOKIE\"",
        ),
        (open, String::new(), "", ""),
    ] {
        let shown = get(address, &format!("/jobs/runs/{id}"), &headers).await.text;
        let shown = shown.replace("&#39;", "'").replace("&#34;", "\"");
        let sample = shown.split("id=\"curl\">").nth(1).and_then(|rest| rest.split("</pre>").next()).unwrap();
        let expected = format!(
            r#"{hint}curl -X POST 'http://{address}/jobs/jobs/send%2Dwelcome%2Demail/runs' \
  -H 'Content-Type: application/json'{entry} \
  -d '{{"input": {{"name":"O'\''Hara"}}}}'"#
        );
        assert_eq!(sample, expected);
    }
}

#[tokio::test]
async fn a_nul_in_a_search_or_a_form_is_refused_in_words_of_ours() {
    for bench in Bench::all().await {
        let address = dashboard(&bench.jobs).await;
        for path in [
            "runs?text=%00",
            "runs?key=a%00b",
            "runs?id=%00",
            "emails?to=a%00",
            "audit?subject=%00",
            "overview?range=%00",
        ] {
            for who in [ANNA, BEN] {
                let answer = page(address, who, path).await;
                let text = "the address contains a NUL character, which stored text never does";
                assert!(answer.status == 400 && answer.text.contains(text), "{path}: {}", answer.text);
            }
        }
        for path in ["jobs/%00", "runs/%00", "emails/a%00b", "no-such-page/%00"] {
            assert_eq!(page(address, ANNA, path).await.status, 404, "{path}");
        }
        let refused = submit(address, ANNA, "queues/email/pause", "why=%00").await;
        let text = "the form contains a NUL character, which stored text never does";
        assert!(refused.status == 400 && refused.text.contains(text), "{}", refused.text);
        assert_eq!(submit(address, ANNA, "queues/%00/pause", "").await.status, 404);
    }
}

#[tokio::test]
async fn a_worker_is_told_to_drain() {
    for bench in Bench::all().await {
        let id = WorkerId::new();
        let report = WorkerReport {
            id,
            label: "shop-1".to_owned(),
            version: "1".to_owned(),
            jobs: [(JOB.to_owned(), "default".to_owned())].into(),
            concurrency: 4,
            running: 1,
            claimed_ahead: [].into(),
            troubles: Vec::new(),
        };
        bench.store().report_worker(report.clone()).await.unwrap();
        let address = dashboard(&bench.jobs).await;
        assert_eq!(data(address, BEN, "queues").await["workers"][0]["order"], json!("work"));
        let ordered = submit(address, ANNA, &format!("workers/{id}/order"), "order=drain").await;
        assert_eq!(ordered.status, 303);
        assert_eq!(bench.store().report_worker(report).await.unwrap(), WorkerOrder::Drain);
        assert_eq!(
            act(address, ANNA, &format!("workers/{}/order", WorkerId::new()), r#"{"order":"work"}"#)
                .await
                .status,
            404
        );
    }
}

#[tokio::test]
async fn a_job_is_run_with_test_data() {
    for bench in Bench::all().await {
        pending(bench.store(), r#"{"name":"Ada"}"#).await;
        let address = dashboard(&bench.jobs).await;
        let shown = page(address, ANNA, &format!("jobs/{JOB}")).await.text;
        assert!(shown.contains("&#34;name&#34;: &#34;Ada&#34;"), "{shown}");
        let done =
            submit(address, ANNA, &format!("jobs/{JOB}/runs"), "inputText=%7B%22name%22%3A%22Bob%22%7D")
                .await;
        let id: RunId = done.location().strip_prefix("../../runs/").unwrap().parse().unwrap();
        let run = bench.store().run(id).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(run.input.bytes).unwrap(), r#"{"name":"Bob"}"#);
        let of_nothing = act(address, ANNA, &format!("jobs/{JOB}/runs"), r#"{"input":null}"#).await;
        let id: RunId = of_nothing.json()["outcome"].as_str().unwrap().parse().unwrap();
        assert_eq!(bench.store().run(id).await.unwrap().unwrap().input.bytes, b"null");
        assert_eq!(submit(address, ANNA, &format!("jobs/{JOB}/runs"), "inputText=x").await.status, 400);
        assert_eq!(submit(address, ANNA, "jobs/nobody/runs", "inputText=1").await.status, 404);
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_settled_and_an_address_suppressed() {
    for bench in Bench::all().await {
        Crowd { runs: 100, emails: 20 }.gather(bench.store()).await;
        let address = dashboard(&bench.jobs).await;
        let open = data(address, ANNA, "emails?state=open").await["emails"].clone();
        let id = ids(&open)[0].clone();
        assert_eq!(ids(&open).len(), 1);
        assert_eq!(submit(address, ANNA, &format!("emails/{id}/resolve"), "outcome=sent").await.status, 303);
        let email = data(address, ANNA, &format!("emails/{id}")).await;
        assert_eq!((&email["status"], &email["isOpen"]), (&json!("sent"), &json!(false)));
        for word in ["sent", "not-sent"] {
            let body = json!({"outcome": word}).to_string();
            assert_eq!(act(address, ANNA, &format!("emails/{id}/resolve"), &body).await.status, 400);
        }
        assert_eq!(
            email["events"].as_array().unwrap().last().unwrap()["text"],
            json!("resolved as sent by anna")
        );
        assert_eq!(email["message"]["text"], json!("Thank you for your order."));

        submit(address, ANNA, "suppressions/add", "address=Ada%40Example.com&reason=asked").await;
        let list = data(address, ANNA, "suppressions").await["suppressions"].clone();
        assert_eq!((&list[0]["address"], &list[0]["reason"]), (&json!("ada@example.com"), &json!("asked")));
        submit(address, ANNA, "suppressions/remove", "address=ada%40example.com").await;
        assert_eq!(data(address, ANNA, "suppressions").await["suppressions"], json!([]));
        for odd in ["nobody", "Ada+<ada@example.com>", "a%00b@example.com", "a b@example.com"] {
            let body = format!("address={odd}");
            assert_eq!(submit(address, ANNA, "suppressions/add", &body).await.status, 400, "{odd}");
        }
    }
}

#[tokio::test]
async fn a_page_that_is_followed_is_sent_again_when_it_changes() {
    for bench in Bench::all().await {
        let id = pending(bench.store(), "1").await;
        let address = dashboard(&bench.jobs).await;
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "GET /jobs/runs/{id} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {BEN}\r\nAccept: text/html, text/event-stream\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        let wait_for = async |lines: &mut tokio::io::Lines<BufReader<tokio::net::TcpStream>>, words: &str| {
            let found = async {
                while let Some(line) = lines.next_line().await.unwrap() {
                    if line.contains(words) {
                        return;
                    }
                }
                panic!("the stream ended before {words:?}");
            };
            tokio::time::timeout(Duration::from_secs(30), found).await.unwrap();
        };
        wait_for(&mut lines, "content-type: text/event-stream").await;
        wait_for(&mut lines, r#"class="state pending""#).await;
        bench.jobs.cancel(id).await.unwrap();
        wait_for(&mut lines, r#"class="state cancelled""#).await;
        bench.store().prune(Retention { ended: Some(Duration::ZERO), ..Retention::FOREVER }).await.unwrap();
        wait_for(&mut lines, "no such run").await;
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_said_so_and_nothing_is_done() {
    for bench in Bench::all().await {
        let id = pending(bench.store(), "1").await;
        let address = dashboard(&bench.jobs).await;
        bench.goes_away();
        let away = page(address, BEN, "overview").await;
        assert_eq!(away.status, 503);
        assert!(away.text.contains("the store is unavailable"), "{}", away.text);
        assert_eq!(act(address, ANNA, &format!("runs/{id}/cancel"), "{}").await.status, 503);
        bench.comes_back();
        assert_eq!(bench.store().run(id).await.unwrap().unwrap().state, RunState::Pending);
        assert_eq!(page(address, BEN, "overview").await.status, 200);
        assert_eq!(data(address, BEN, "audit").await["actions"], json!([]));
    }
}

#[tokio::test]
async fn an_id_is_found_by_its_start() {
    for bench in Bench::all().await {
        let store = bench.store();
        let mut ids = Vec::new();
        for text in ["019b76da-a801-7000-8000-000000000001", "019b76da-a801-7000-8000-0000000000a2"] {
            let mut run = NewRun::named(JOB, Payload::from_json_text("1")).queue("email");
            run.id = text.parse().unwrap();
            ids.push(run.id);
            store.enqueue(vec![run]).await.unwrap();
        }
        let address = dashboard(&bench.jobs).await;
        let location = async |id: &str| {
            let answer = page(address, BEN, &format!("runs?id={id}")).await;
            (answer.status, answer.location().to_owned())
        };
        for start in [
            "019b76da-a801-7000-8000-0000000000a",
            "019B76DAA801700080000000000000A2",
            "%20019b76da-a801-7000-8000-0000000000a2",
        ] {
            assert_eq!(location(start).await, (303, format!("./runs/{}", ids[1])), "{start}");
        }
        for start in ["0", "019b76da", "019b76da-a801-7000-8000-"] {
            let found = data(address, BEN, &format!("runs?id={start}")).await;
            let found: Vec<_> =
                found["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect();
            assert_eq!(found, [ids[1].to_string(), ids[0].to_string()], "{start}");
        }
        for start in ["019b76db", "019b76d9", "ffff"] {
            let missed = page(address, BEN, &format!("runs?id={start}")).await;
            assert!(missed.status == 404 && missed.text.contains("no run"), "{start}: {missed:?}");
        }
    }
}

#[tokio::test]
async fn the_audit_is_searched_by_who_what_target_and_time() {
    for bench in Bench::all().await {
        let (one, two) = (pending(bench.store(), "1").await, pending(bench.store(), "2").await);
        let address = dashboard(&bench.jobs).await;
        act(address, ANNA, &format!("runs/{one}/cancel"), "{}").await;
        let chosen = json!({"act": "cancel", "ids": [one, two]}).to_string();
        act(address, ANNA, "runs/act", &chosen).await;
        act(address, ANNA, "suppressions/add", r#"{"address":"grace@example.com","reason":"asked"}"#).await;
        let found = async |who, query: String| {
            let found = data(address, who, &format!("audit?{query}")).await["actions"].clone();
            let kinds = found.as_array().unwrap().iter();
            kinds.map(|action| action["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };

        assert_eq!(found(BEN, format!("subject={one}")).await, ["cancel", "cancel"]);
        assert_eq!(found(BEN, format!("subject={two}&by=anna&kind=cancel")).await, ["cancel"]);
        assert_eq!(found(BEN, "kind=suppress".to_owned()).await, ["suppress"]);
        assert_eq!(found(BEN, "by=ben".to_owned()).await, [""; 0]);
        assert_eq!(found(BEN, "to=2020-01-01T00:00".to_owned()).await, [""; 0]);
        assert_eq!(found(BEN, "from=2020-01-01T00:00".to_owned()).await.len(), 3);
        // A viewer does not find out an address by guessing its start.
        assert_eq!(found(ANNA, "subject=grace".to_owned()).await, ["suppress"]);
        assert_eq!(found(BEN, "subject=grace".to_owned()).await, [""; 0]);
        assert_eq!(page(address, BEN, "audit?kind=destroy").await.status, 400);
        assert!(page(address, BEN, "audit?kind=cancel").await.text.contains("<option selected>cancel"));
    }
}

#[tokio::test]
async fn how_an_action_ended_is_recorded_once_the_store_takes_it() {
    let memory = Memory::new();
    let run = pending(&memory, "1").await;
    // The second record of the action is refused three times.
    let records = Arc::new(AtomicU32::new(0));
    let store = Unreliable::new(Arc::new(memory.clone()), |_| None).failing(move |operation| {
        let is_refused =
            operation == "record_action" && (1..4).contains(&records.fetch_add(1, Ordering::SeqCst));
        is_refused.then(|| Error::new(ErrorKind::Unavailable, operation, "away"))
    });
    let address = dashboard(&Jobs::new(&store)).await;
    assert_eq!(act(address, ANNA, &format!("runs/{run}/cancel"), "{}").await.status, 200);
    for tries in 0.. {
        let actions = data(address, BEN, "audit").await["actions"].clone();
        if actions[0]["state"] == json!("done") {
            break;
        }
        assert!(tries < 1_000, "{actions}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_action_on_chosen_runs_that_stops_says_what_was_done_before() {
    let memory = Memory::new();
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(pending(&memory, &number.to_string()).await);
    }
    // One of the first portion is left as it is; the store goes away in the second.
    ids[4] = RunId::new();
    let left = Arc::new(AtomicU32::new(27));
    let store = Unreliable::new(Arc::new(memory.clone()), |_| None).failing(move |operation| {
        let is_over = operation == "cancel"
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        is_over.then(|| Error::new(ErrorKind::Unavailable, operation, "away"))
    });
    let address = dashboard(&Jobs::new(&store)).await;

    let stopped = act(address, ANNA, "runs/act", &json!({"act": "cancel", "ids": ids}).to_string()).await;

    assert_eq!(stopped.status, 503);
    let text = stopped.json()["error"].as_str().unwrap().to_owned();
    assert!(text.starts_with("stopped after 26 done, 1 skipped: "), "{text}");
    assert!(text.ends_with("the store is unavailable; try again"), "{text}");
    let actions = data(address, BEN, "audit").await["actions"].clone();
    assert!(actions[0]["outcome"].as_str().unwrap().starts_with("stopped after 2 done: "), "{actions}");
    assert!(actions[1]["outcome"].as_str().unwrap().starts_with("24 done, 1 skipped"), "{actions}");
}

#[tokio::test]
async fn snoozes_in_a_row_are_shown_with_their_count_and_the_last_failure_is_the_error() {
    for bench in Bench::all().await {
        let store = bench.store();
        let id = pending(store, "1").await;
        for outcome in [AttemptOutcome::Failed, AttemptOutcome::Snoozed, AttemptOutcome::Snoozed] {
            let lease = claimed(store, WorkerId::new()).await;
            let settlement = Settlement {
                lease,
                ending: Ending::Again { after: Duration::ZERO },
                failures: 1,
                attempt: 1,
                outcome,
                error: Some(if outcome == AttemptOutcome::Failed { "refused" } else { "waiting" }.to_owned()),
                error_fingerprint: None,
            };
            store.settle(vec![settlement]).await.unwrap();
        }
        let address = dashboard(&bench.jobs).await;

        let run = data(address, BEN, &format!("runs/{id}")).await;

        let attempts: Vec<_> = run["attempts"].as_array().unwrap().iter().collect();
        assert_eq!((attempts.len(), &attempts[1]["times"]), (2, &json!(2)));
        assert_eq!(run["wholeError"], json!("refused"));
        assert!(page(address, BEN, &format!("runs/{id}")).await.text.contains("<span>2 times</span>"));
    }
}
