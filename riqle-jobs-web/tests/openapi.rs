//! The OpenAPI document says what the dashboard answers.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{
    ANNA, Bench, act,
    crowd::{self, Crowd},
    dashboard, data, get,
};

/// That an answer is what the document says, and holds nothing that the document does not name.
fn check(document: &Value, schema: &Value, answer: &Value, path: &str) {
    let mut whole = document.clone();
    close(&mut whole["components"]["schemas"]);
    whole["allOf"] = json!([schema]);
    let validator = jsonschema::draft202012::new(&whole).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{path}: {errors:#?}");
}

/// Lets no object hold more than it names; one that is made of several is left open.
fn close(schemas: &mut Value) {
    let text = schemas.to_string();
    for (name, schema) in schemas.as_object_mut().unwrap() {
        let is_a_part = text
            .contains(&format!(r##"{{"$ref":"#/components/schemas/{name}"}},{{"properties""##))
            || text.contains(&format!(r##"{{"$ref":"#/components/schemas/{name}"}},{{"type":"object""##));
        if schema.get("properties").is_some() && !is_a_part {
            schema["additionalProperties"] = json!(false);
        }
    }
}

#[tokio::test]
async fn every_page_answers_what_the_document_says() {
    for bench in Bench::all().await {
        Crowd { runs: 300, emails: 20 }.gather(bench.store()).await;
        bench.store().suppress("a@example.com", "asked").await.unwrap();
        crowd::schedules(&bench.jobs).await;
        let address = dashboard(&bench.jobs).await;
        assert_eq!(act(address, ANNA, "queues/email/pause", r#"{"why":"x"}"#).await.status, 200);
        let document = get(address, "/jobs/openapi.json", "").await.json();
        let id_of = |list: &Value| list[0]["id"].as_str().unwrap().to_owned();
        let dead = data(address, ANNA, "runs?state=dead").await["runs"].clone();
        let emails = data(address, ANNA, "emails").await["emails"].clone();
        let actions = data(address, ANNA, "audit").await["actions"].clone();
        let mut met = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            let Some(schema) = methods.pointer("/get/responses/200/content/application~1json/schema") else {
                continue;
            };
            let asked = match path.as_str() {
                "/runs/confirm" => "runs/confirm?act=replay".to_owned(),
                "/runs/{id}" => format!("runs/{}", id_of(&dead)),
                "/emails/{id}" => format!("emails/{}", id_of(&emails)),
                "/audit/{id}" => format!("audit/{}", id_of(&actions)),
                "/jobs/{name}" => "jobs/send-welcome-email".to_owned(),
                "/schedules/{job}/{name}" => "schedules/send-welcome-email/every%2Dmorning".to_owned(),
                plain => plain.trim_start_matches('/').to_owned(),
            };
            check(&document, schema, &data(address, ANNA, &asked).await, path);
            met += 1;
        }
        assert_eq!(met, 16);
    }
}

#[tokio::test]
async fn the_document_is_one_that_generators_take() {
    let bench = Bench::all().await.remove(0);
    let document = get(dashboard(&bench.jobs).await, "/jobs/openapi.json", "").await.json();
    let mut names = HashSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            assert_eq!(method == "post", operation.get("requestBody").is_some(), "{method} {path}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let words = response["description"].as_str();
                assert!(words.is_some_and(|words| !words.is_empty()), "{method} {path} {status}");
            }
            assert!(operation["responses"].get("401").is_some(), "{method} {path}");
        }
    }
    assert_eq!(document["security"], json!([{"basic": []}, {"bearer": []}]));
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], json!("bearer"));
}

#[tokio::test]
async fn every_action_is_described_with_what_it_answers() {
    let bench = Bench::all().await.remove(0);
    let address = dashboard(&bench.jobs).await;
    let document = get(address, "/jobs/openapi.json", "").await.json();
    let mut actions = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let Some(action) = methods.get("post") else { continue };
        actions += 1;
        assert!(action["summary"].as_str().is_some_and(|words| !words.is_empty()), "{path}");
        // It is there: what it refuses is the body or the id, not the path.
        let asked = path
            .trim_start_matches('/')
            .replace("{id}", "0197a6f0-3c5e-7b1d-9f00-6a1c4a0f3f2e")
            .replace("{job}", "nothing")
            .replace("{name}", "nobody");
        let refused = act(address, ANNA, &asked, "7").await;
        check(&document, &json!({"$ref": "#/components/schemas/Problem"}), &refused.json(), path);
        assert_eq!(refused.status, 400, "{path}");
    }
    assert_eq!(actions, 18);
    let done = act(address, ANNA, "queues/email/pause", "{}").await.json();
    check(&document, &json!({"$ref": "#/components/schemas/Done"}), &done, "/queues/{name}/pause");
}
