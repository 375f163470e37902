//! An input, a result or an output, as far as its reader may see it.

use std::fmt;

use riqle_jobs_core::{Codec, Payload};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::dashboard::{
    json_text::{Layout, rewrite},
    show::Count,
    visit::Visit,
};

/// An input, a result or an output, as far as its reader may see it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PayloadView {
    /// Verbatim except for blanks; `null` if it is not JSON. For viewers some values are `"[hidden]"`, and
    /// addresses without their names.
    #[schema(value_type = Option<serde_json::Value>)]
    json: Option<Box<RawValue>>,
    pub(crate) bytes: Count,
    /// Whether something is hidden.
    pub(crate) is_redacted: bool,
    #[serde(skip)]
    indented: String,
}

impl PayloadView {
    pub(crate) fn of(payload: &Payload, visit: &Visit) -> Self {
        let bytes = Count(payload.bytes.len() as u64);
        let text = (payload.codec == Codec::JSON).then(|| std::str::from_utf8(&payload.bytes).ok()).flatten();
        let hidden = (!visit.is_operator()).then_some(&visit.web.redaction);
        let rewritten = |layout| rewrite(text?, layout, hidden);
        let (compact, indented) = (rewritten(Layout::Compact), rewritten(Layout::Indented));
        let whole = text.and_then(|text| rewrite(text, Layout::Compact, None));
        Self {
            is_redacted: compact != whole,
            json: compact.and_then(|text| RawValue::from_string(text).ok()),
            bytes,
            indented: indented.unwrap_or_default(),
        }
    }

    /// As JSON without blanks.
    pub(crate) fn compact(&self) -> &str {
        self.json.as_ref().map_or("", |json| json.get())
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json.is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.compact() == "null"
    }
}

impl fmt::Display for PayloadView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_json() {
            f.write_str(&self.indented)
        } else {
            write!(f, "({} bytes, not JSON, or nested too deeply)", self.bytes)
        }
    }
}
