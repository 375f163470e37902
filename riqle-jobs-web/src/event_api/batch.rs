//! Reads and checks the events of a request's body.

use std::fmt;

use jiff::Timestamp;
use riqle_jobs_core::{Payload, events::EVENT_ID_KEPT, from_millis, store::NewEvent};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The most events in a request.
const MOST_EVENTS: usize = 5_000;
/// Names with this prefix are reserved.
const RESERVED: &str = "inngest/";
/// The first millisecond of 1980, and of 2100.
const YEARS: std::ops::Range<i64> = 315_532_800_000..4_102_444_800_000;

/// The events of a request's body, read and checked.
pub(super) struct Batch<'a> {
    received: Vec<Received<'a>>,
    is_list: bool,
}

struct Received<'a> {
    name: String,
    data: &'a str,
    ts: Option<i64>,
    id: Option<String>,
}

impl<'a> Batch<'a> {
    /// Reads an array of events, or one. Names and ids are checked further by core.
    ///
    /// # Errors
    /// A line for the sender; it names the event at fault.
    pub(super) fn read(body: &'a [u8], event_bytes: usize) -> Result<Self, String> {
        let not_json = |error: serde_json::Error| {
            format!("the body is not JSON: line {}, column {}", error.line(), error.column())
        };
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        let (events, is_list) = match first {
            Some(b'{') => (vec![serde_json::from_slice(body).map_err(not_json)?], false),
            Some(b'[') => match serde_json::from_slice(body).map_err(not_json)? {
                List { events, count } if count <= MOST_EVENTS => (events, true),
                List { count, .. } => {
                    return Err(format!("the request has {count} events; the limit is {MOST_EVENTS}"));
                }
            },
            _ => return Err("the body is neither an event nor an array of events".to_owned()),
        };
        let mut batch = Self { received: Vec::with_capacity(events.len()), is_list };
        for (index, event) in events.into_iter().enumerate() {
            let received = Received::read(event, event_bytes);
            batch.received.push(received.map_err(|line| batch.place(index) + &line)?);
        }
        Ok(batch)
    }

    /// The prefix of a line about the event with this index.
    pub(super) fn place(&self, index: usize) -> String {
        if self.is_list { format!("event {index}, counted from 0: ") } else { String::new() }
    }

    /// The events to be sent, ids given to those that have none.
    pub(super) fn events(&self, ids: &super::Ids, now: Timestamp) -> Vec<NewEvent> {
        let events = self.received.iter().enumerate().map(|(index, received)| NewEvent {
            id: received.id.clone().unwrap_or_else(|| ids.of(index)),
            name: received.name.clone(),
            data: Payload::from_json_text(received.data),
            // What lies in the past must not come before what is due already.
            due_at: received.ts.map(from_millis).filter(|due_at| *due_at > now),
            id_kept: EVENT_ID_KEPT,
            trace: None,
        });
        events.collect()
    }
}

/// The properties of an event, each read by itself; others are ignored.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    ts: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

impl<'a> Received<'a> {
    fn read(event: &'a RawValue, event_bytes: usize) -> Result<Self, String> {
        let text = event.get();
        if text.len() > event_bytes {
            return Err(format!("the event has {} bytes; the limit is {event_bytes}", text.len()));
        }
        if !text.starts_with('{') {
            return Err("an event must be an object".to_owned());
        }
        let fields: Fields<'a> =
            serde_json::from_str(text).map_err(|_| "the event has the same property twice".to_owned())?;
        let name = string(fields.name, "name")?.unwrap_or_default();
        if name.is_empty() {
            return Err("the event's name is empty or missing".to_owned());
        }
        if name.starts_with(RESERVED) {
            return Err(format!("names that start with {RESERVED:?} are reserved"));
        }
        Ok(Self {
            name,
            data: fields.data.map_or("{}", RawValue::get),
            ts: fields.ts.map(time).transpose()?.flatten(),
            id: string(fields.id, "id")?.filter(|id| !id.is_empty()),
        })
    }
}

fn string(field: Option<&RawValue>, name: &str) -> Result<Option<String>, String> {
    field
        .map(|raw| serde_json::from_str(raw.get()).map_err(|_| format!("the event's {name} is not a string")))
        .transpose()
}

/// Some SDKs send 0 for none.
fn time(ts: &RawValue) -> Result<Option<i64>, String> {
    match serde_json::from_str::<i64>(ts.get()) {
        Ok(0) => Ok(None),
        Ok(millis) if YEARS.contains(&millis) => Ok(Some(millis)),
        Ok(_) => {
            Err("the event's ts is not between the years 1980 and 2100, in milliseconds since 1970"
                .to_owned())
        }
        Err(_) => Err("the event's ts is not a whole number of milliseconds since 1970".to_owned()),
    }
}

/// The items of an array; those over the limit are counted and not kept.
struct List<'a> {
    events: Vec<&'a RawValue>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = List<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<'de>, A::Error> {
        let mut list = List { events: Vec::new(), count: 0 };
        loop {
            if list.count < MOST_EVENTS {
                match items.next_element()? {
                    Some(event) => list.events.push(event),
                    None => return Ok(list),
                }
            } else if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(list);
            }
            list.count += 1;
        }
    }
}
