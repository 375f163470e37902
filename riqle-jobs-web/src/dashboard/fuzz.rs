//! What must hold for any text that a page shows as JSON (`cargo xtask fuzz`).

use std::sync::LazyLock;

use riqle_jobs_conformance::fuzz;
use riqle_jobs_core::email::mask_addresses;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{
    json_text::{Layout, rewrite},
    redaction::Redaction,
};

#[test]
fn json_that_is_laid_out_means_the_same_and_is_laid_out_once() {
    fuzz!(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Some(compact) = rewrite(&text, Layout::Compact, None) else { return };
        let indented = rewrite(&text, Layout::Indented, None).unwrap();
        assert!(compact.len() <= text.len());
        assert_eq!(rewrite(&compact, Layout::Compact, None).as_deref(), Some(&*compact));
        assert_eq!(rewrite(&indented, Layout::Compact, None).as_deref(), Some(&*compact));
        assert_eq!(rewrite(&compact, Layout::Indented, None).as_deref(), Some(&*indented));
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            assert_eq!(serde_json::from_str::<Value>(&compact).unwrap(), value);
        }
    });
}

#[test]
fn json_that_is_redacted_holds_no_value_of_a_hidden_key() {
    fuzz!(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        static HIDDEN: LazyLock<Redaction> = LazyLock::new(Redaction::default);
        let hidden = &*HIDDEN;
        let Some(shown) = rewrite(&text, Layout::Compact, Some(hidden)) else { return };
        assert!(serde_json::from_str::<IgnoredAny>(&shown).is_ok(), "{shown}");
        // What was an address may leave another one.
        if !shown.contains('…') {
            assert_eq!(rewrite(&shown, Layout::Compact, Some(hidden)).as_deref(), Some(&*shown));
        }
        if let Ok(value) = serde_json::from_str::<Value>(&shown) {
            look_for_secrets(&value, hidden);
        }
        // A secret, wherever the text stands in the JSON around it.
        let framed =
            serde_json::json!({ "log": format!(r#"{{"password":"s3cret","text":{text}}}"#) }).to_string();
        let framed = rewrite(&framed, Layout::Compact, Some(hidden)).unwrap();
        assert!(!framed.contains(r#"\"password\":\"s3cret"#), "{framed}");
    });
}

fn look_for_secrets(value: &Value, hidden: &Redaction) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let is_shown = !value.is_null() && value != "" && value != "[hidden]";
                // What is left of an address may read like another key: `p…@in.de`.
                let was_address = key.contains('…');
                assert!(was_address || !hidden.hides(key) || !is_shown, "{key}: {value}");
                look_for_secrets(value, hidden);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| look_for_secrets(item, hidden)),
        Value::String(text) => {
            assert!(text.contains('…') || mask_addresses(text) == *text, "{text}");
            let is_json = text.trim_start().starts_with(['{', '[']);
            if let Ok(inner) = serde_json::from_str::<Value>(text)
                && is_json
            {
                look_for_secrets(&inner, hidden);
            }
        }
        _ => {}
    }
}
