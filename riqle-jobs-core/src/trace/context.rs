//! Where in a trace a run was enqueued or an event sent, as it travels with it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::from_millis;

const TRACEPARENT_BYTES: usize = 55;
/// A longer `tracestate` is left out.
const TRACESTATE_BYTES: usize = 512;

/// Where in a trace a run was enqueued or an event sent: the `traceparent` and `tracestate` of
/// [W3C Trace Context](https://www.w3.org/TR/trace-context/), and when that was. It travels with the run through every
/// store; replays keep it.
///
/// Its text is `00-TRACE-PARENT-FLAGS MILLISECONDS`, and a space and the `tracestate` where there is one: 69 bytes, at
/// most 600, all of them ASCII.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TraceContext(Box<str>);

impl TraceContext {
    /// A context that began to travel at `since`, by the clock of its process. `None` if `traceparent` isn't one of
    /// version 00; a `tracestate` that is empty, longer than 512 bytes or not printable ASCII is left out.
    pub fn new(traceparent: &str, tracestate: &str, since: Timestamp) -> Option<Self> {
        if !is_traceparent(traceparent) {
            return None;
        }
        let since = since.as_millisecond();
        let is_kept = (1..=TRACESTATE_BYTES).contains(&tracestate.len())
            && tracestate.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        Some(Self(if is_kept {
            format!("{traceparent} {since} {tracestate}").into()
        } else {
            format!("{traceparent} {since}").into()
        }))
    }

    /// Reads its text; `None` if that isn't one.
    pub fn read(text: &str) -> Option<Self> {
        let (traceparent, rest) = text.split_once(' ')?;
        let (since, tracestate) = rest.split_once(' ').unwrap_or((rest, ""));
        let since = Timestamp::from_millisecond(since.parse().ok()?).ok()?;
        Self::new(traceparent, tracestate, since)
    }

    /// As text, for a store.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The header `traceparent`.
    pub fn traceparent(&self) -> &str {
        &self.0[..TRACEPARENT_BYTES]
    }

    /// The trace's id: 32 hexadecimal digits, by which a tracing backend finds it.
    pub fn trace_id(&self) -> &str {
        &self.0[3..35]
    }

    /// The header `tracestate`; empty if there is none.
    pub fn tracestate(&self) -> &str {
        self.0.splitn(3, ' ').nth(2).unwrap_or_default()
    }

    /// When it began to travel, by the clock of the process that enqueued or sent.
    pub fn since(&self) -> Timestamp {
        let millis = self.0.split(' ').nth(1).and_then(|millis| millis.parse().ok());
        from_millis(millis.unwrap_or_default())
    }

    /// For a field that holds one where it can be read: whatever else is there refuses nothing.
    pub(crate) fn deserialize_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Self>, D::Error> {
        Ok(serde_json::Value::deserialize(from)?.as_str().and_then(Self::read))
    }
}

fn is_traceparent(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut hexadecimal = |length| {
        parts.next().filter(|part| {
            part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let is_id = |id: Option<&str>| id.is_some_and(|id| id.bytes().any(|byte| byte != b'0'));
    let is_one = hexadecimal(2) == Some("00") && is_id(hexadecimal(32)) && is_id(hexadecimal(16));
    is_one && hexadecimal(2).is_some() && parts.next().is_none()
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn since() -> Timestamp {
        from_millis(1_764_590_000_123)
    }

    #[test]
    fn what_is_written_reads_back() {
        let context = TraceContext::new(PARENT, "vendor=a b,other=1", since()).unwrap();
        assert_eq!(context.as_str(), format!("{PARENT} 1764590000123 vendor=a b,other=1"));
        assert_eq!(TraceContext::read(context.as_str()), Some(context.clone()));
        assert_eq!((context.traceparent(), context.tracestate()), (PARENT, "vendor=a b,other=1"));
        assert_eq!((context.trace_id(), context.since()), ("4bf92f3577b34da6a3ce929d0e0e4736", since()));
    }

    #[test]
    fn a_garbled_traceparent_is_none_and_a_bad_tracestate_is_left_out() {
        for garbled in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::new(garbled, "", since()), None, "{garbled}");
        }
        for bad in ["line\nbreak", "é", &"x".repeat(513)] {
            let context = TraceContext::new(PARENT, bad, since()).unwrap();
            assert_eq!((context.tracestate(), context.as_str().len()), ("", 69), "{bad}");
        }
    }

    #[test]
    fn what_is_staged_in_its_place_and_is_none_refuses_nothing() {
        #[derive(Deserialize)]
        struct Head {
            #[serde(default, deserialize_with = "TraceContext::deserialize_or_none")]
            trace: Option<TraceContext>,
        }
        for head in
            ["{}", r#"{"trace":null}"#, r#"{"trace":7}"#, r#"{"trace":"x"}"#, r#"{"trace":{"a":[1]}}"#]
        {
            assert_eq!(serde_json::from_str::<Head>(head).unwrap().trace, None, "{head}");
        }
    }
}
