//! `enqueue` and `send-event`.

use riqle_jobs::{ErrorKind, Payload, RunId, store::NewEvent};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use uuid::Uuid;

use super::acted;
use crate::{
    arguments::{Enqueue, SendEvent},
    context::Context,
    failure::Failure,
    selection::must_be_job,
};

pub(crate) async fn enqueue(asked: Enqueue, context: &mut Context<'_>) -> Result<(), Failure> {
    let input = payload("--input", asked.input, &asked.fields, context)?;
    let id = asked.id.as_deref().map(str::parse::<RunId>).transpose();
    let id = id.map_err(|_| Failure::usage("--id is not a UUID"))?;
    match context.operator().await?.start(&asked.job, input, id).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            must_be_job(&context.jobs().await?, &asked.job).await?;
            Err(error.into())
        }
        done => acted("run", done?, context),
    }
}

pub(crate) async fn send_event(asked: SendEvent, context: &mut Context<'_>) -> Result<(), Failure> {
    let data = payload("--data", asked.data, &asked.fields, context)?;
    let id = asked.id.unwrap_or_else(|| Uuid::now_v7().to_string());
    let jobs = context.jobs().await?;
    let sent = jobs.send_events(vec![NewEvent::new(id, &asked.name, data)]).await?;
    let id = sent.into_iter().next().unwrap_or_default();
    let listed = jobs.events(riqle_jobs::store::EventFilter::all().id(&id)).await?;
    let runs: Vec<_> = listed.iter().flat_map(|event| &event.runs).collect();
    let started: Vec<_> = runs.iter().map(|run| json!({"job": run.job, "run": run.run})).collect();
    let line = match runs.is_empty() {
        true => {
            format!("event {id}: triggers no job yet; one that registers within 7 days will start")
        }
        false => {
            let runs: Vec<_> = runs.iter().map(|run| format!("{} {}", run.job, run.run)).collect();
            format!("event {id}: {}", runs.join(", "))
        }
    };
    context.tell(&line, &json!({"id": id, "runs": started}))
}

/// What is given as JSON, on standard input, or field by field.
fn payload(
    option: &str,
    text: Option<String>,
    fields: &[String],
    context: &mut Context<'_>,
) -> Result<Payload, Failure> {
    let text = match text.as_deref() {
        Some("-") => Some(context.console.read_all()?),
        _ => text,
    };
    let Some(text) = text else {
        let fields = fields.iter().map(|given| field(given)).collect::<Result<Vec<_>, _>>()?;
        return Ok(Payload::from_json_text(format!("{{{}}}", fields.join(","))));
    };
    if let Err(error) = serde_json::from_str::<IgnoredAny>(&text) {
        return Err(Failure::usage(format!("{option} is not JSON: {error}")));
    }
    Ok(Payload::from_json_text(text.trim()))
}

/// `key=text` or `key:=json` as a member of a JSON object; the JSON is kept as it is written.
fn field(given: &str) -> Result<String, Failure> {
    let wrong = || Failure::usage(format!("{given:?} is neither key=text nor key:=json"));
    let (key, value) = given.split_once('=').ok_or_else(wrong)?;
    let (key, value) = match key.strip_suffix(':') {
        None => (key, Value::from(value).to_string()),
        Some(key) => match serde_json::from_str::<IgnoredAny>(value) {
            Ok(_) => (key, value.to_owned()),
            Err(error) => {
                return Err(Failure::usage(format!("the value of {key:?} is not JSON: {error}")));
            }
        },
    };
    if key.is_empty() { Err(wrong()) } else { Ok(format!("{}:{value}", Value::from(key))) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_texts_or_json() {
        let read = field;
        assert_eq!(read("userId=user-7").unwrap(), r#""userId":"user-7""#);
        assert_eq!(read("name=a=b").unwrap(), r#""name":"a=b""#);
        assert_eq!(read("vip:=true").unwrap(), r#""vip":true"#);
        assert_eq!(read("empty=").unwrap(), r#""empty":"""#);
        assert_eq!(read("id:=12345678901234567890123").unwrap(), r#""id":12345678901234567890123"#);
        for wrong in ["vip", "=7", ":=7", "vip:=yes"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
