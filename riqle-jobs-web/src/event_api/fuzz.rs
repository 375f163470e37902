//! What must hold for any body of a request (`cargo xtask fuzz`).

use jiff::Timestamp;
use riqle_jobs_conformance::fuzz;
use riqle_jobs_core::from_millis;
use serde_json::{Value, value::RawValue};

use super::{batch::Batch, ids::Ids};

const LIMIT: usize = 4_096;
const SEED: &str = "1743130137367,eii2YKXRVTJPuA==";

#[test]
fn a_body_is_events_as_they_were_sent_or_a_line_for_the_sender() {
    fuzz!(|bytes| {
        let now = from_millis(1_743_130_137_367);
        let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let (seed, body) = bytes.split_at(line);
        let (seed, ids) = (std::str::from_utf8(seed).ok(), Ids::new(Some(SEED), now));
        assert_eq!(Ids::new(seed, Timestamp::UNIX_EPOCH).of(0).len(), 26);
        let batch = match Batch::read(body, LIMIT) {
            Ok(batch) => batch,
            Err(line) => {
                return assert!(
                    !line.is_empty() && !line.contains("s3cret") && !line.contains('\n'),
                    "{line}"
                );
            }
        };
        let events = batch.events(&ids, now);
        assert_eq!(batch.events(&ids, now), events, "a repeated request adds nothing");
        let body = std::str::from_utf8(body).unwrap();
        let sent: Vec<Value> = match serde_json::from_str(body) {
            Ok(Value::Array(events)) => events,
            Ok(event) => vec![event],
            // Deeper than what is read as a value.
            Err(_) => return,
        };
        assert_eq!(events.len(), sent.len());
        for (event, sent) in events.iter().zip(&sent) {
            let data = std::str::from_utf8(&event.data.bytes).unwrap();
            assert!(body.contains(data) || data == "{}", "{data}");
            assert!(serde_json::from_str::<&RawValue>(data).is_ok(), "{data}");
            assert_eq!(Some(&*event.name), sent["name"].as_str());
            assert!(event.due_at.is_none_or(|due_at| due_at > now), "{:?}", event.due_at);
            assert!(
                !event.id.is_empty() && sent["id"].as_str().is_none_or(|id| id.is_empty() || id == event.id)
            );
        }
    });
}
