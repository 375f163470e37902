//! The page of events.
#![allow(clippy::unwrap_used)]

mod support;

use riqle_jobs_core::{
    NewRun, Payload, Priority, Unique,
    store::{JobDeclaration, JobRules, NewEvent},
};
use serde_json::json;

use crate::support::{ANNA, BEN, Bench, dashboard, data, page};

const JOB: &str = "greet";

fn greets() -> JobDeclaration {
    JobDeclaration {
        name: JOB.to_owned(),
        queue: "mail".to_owned(),
        priority: Priority::DEFAULT,
        trigger: Some("user/created".to_owned()),
        policy: None,
        rules: JobRules { unique: Some(Unique::by("greet:{user}")), reference: None },
    }
}

fn event(id: &str, name: &str, data: &str) -> NewEvent {
    NewEvent::new(id, name, Payload::from_json_text(data))
}

#[tokio::test]
async fn an_event_is_shown_with_its_runs_and_what_its_data_lacks() {
    for bench in Bench::all().await {
        bench.store().register_jobs(vec![greets()]).await.unwrap();
        let ada = NewRun::named(JOB, Payload::from_json_text("1")).queue("mail").unique("greet:ada");
        let holder = ada.id;
        bench.store().enqueue(vec![ada]).await.unwrap();
        let events = vec![
            event("evt_1", "user/created", r#"{"user":"ada"}"#),
            event("ada@example.com", "user/created", "{}"),
            event("evt_3", "user/deleted", "{}"),
        ];
        for event in events {
            bench.jobs.send_events(vec![event]).await.unwrap();
        }
        let address = dashboard(&bench.jobs).await;

        let shown = data(address, ANNA, "events").await["events"].clone();

        let ids: Vec<_> = shown.as_array().unwrap().iter().map(|event| &event["id"]).collect();
        assert_eq!(ids, ["evt_3", "ada@example.com", "evt_1"]);
        assert_eq!(shown[0]["runs"], json!([]));
        let started = &shown[1]["runs"][0];
        assert_eq!(
            (&started["effect"], &started["lacking"]),
            (&json!("started"), &json!(["user (unique key)"]))
        );
        let joined = json!([{"job": JOB, "run": holder, "effect": "joined", "lacking": []}]);
        assert_eq!(shown[2]["runs"], joined);
        let html = page(address, ANNA, "events").await.text;
        assert!(html.contains(&format!("runs/{holder}")), "{html}");
        assert!(html.contains("the data lacks user (unique key)") && html.contains("idle"), "{html}");

        let of_name = data(address, ANNA, "events?name=user%2Fdeleted").await["events"].clone();
        assert_eq!((of_name.as_array().unwrap().len(), &of_name[0]["id"]), (1, &json!("evt_3")));
        let of_id = data(address, ANNA, "events?id=evt_1").await["events"].clone();
        assert_eq!(of_id[0]["runs"], joined);
        // Viewers see no address in an id either.
        let shown = data(address, BEN, "events").await["events"].clone();
        assert_eq!(shown[1]["id"], json!("a…@example.com"));
    }
}
