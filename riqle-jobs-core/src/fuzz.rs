//! What must hold for any bytes (`cargo xtask fuzz`).

use std::{borrow::Cow, collections::BTreeMap};

use riqle_jobs_conformance::fuzz;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    ErrorKind, Mailbox, Payload, Priority, StepPath, Timestamp, TraceContext,
    canonical_json::canonical_json,
    email::{AddressInText, addresses_in, ascii_address, canonical_address, mask_addresses, visible_text},
    limits::{check_json, clean_text},
    schedule::Rule,
    store::{Histogram, Staged, StagedItem, StagedKind},
};

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[test]
fn any_json_has_one_canonical_text_that_means_the_same() {
    fuzz!(|json| {
        let payload = Payload::from_json_text(json);
        let value = payload.decode::<Value>();
        assert_eq!(check_json("input", &payload).is_ok(), value.is_ok(), "what is taken can be read");
        let Some(canonical) = canonical_json(json) else {
            return assert!(value.is_err());
        };
        let value = value.unwrap();
        assert_eq!(canonical_json(&canonical).as_deref(), Some(&*canonical));
        assert!(mean_the_same(&value, &serde_json::from_slice(&canonical).unwrap()), "{}", text(&canonical));
        // `1e16` becomes as many digits.
        assert!(canonical.len() <= 8 * json.len(), "{} bytes of {}", canonical.len(), json.len());
        let again = Payload::from_json_text(canonical);
        assert_eq!(again.fingerprint(), payload.fingerprint());
    });
}

/// As JSON, whose numbers are compared as 64-bit floats: -0 is 0.
fn mean_the_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| mean_the_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_in_other = |(key, value)| other.get(key).is_some_and(|other| mean_the_same(value, other));
            one.len() == other.len() && one.iter().all(is_in_other)
        }
        _ => one == other,
    }
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "never read")]
enum Kind {
    Card { number: u64 },
    Cash(bool),
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "never read")]
struct Charge {
    kind: Option<Kind>,
    sign: Option<char>,
    by_number: Option<BTreeMap<u8, i8>>,
}

#[test]
fn an_error_of_decoding_quotes_nothing_of_the_data() {
    fn is_told_without_it<T: DeserializeOwned>(value: &Value) {
        let payload = Payload::json(value).unwrap();
        let Err(error) = payload.decode::<T>() else { return };
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
    fuzz!(|bytes| {
        let text = text(bytes);
        let (before, after) = text.split_once('|').unwrap_or((&text, ""));
        let secret = format!("{before}s3cret{after}");
        for value in [
            json!(secret),
            json!({ &secret: 1 }),
            json!({ "kind": secret }),
            json!({ "kind": { &secret: 1 } }),
            json!({ "kind": { "Card": { "number": secret } } }),
            json!({ "sign": secret }),
            json!({ "by_number": { &secret: 1 } }),
        ] {
            is_told_without_it::<Charge>(&value);
            is_told_without_it::<Vec<u8>>(&value);
            is_told_without_it::<(u64, bool)>(&value);
            is_told_without_it::<Kind>(&value);
        }
    });
}

#[test]
fn a_mailbox_prints_and_reads_as_itself_and_an_address_has_one_canonical_form() {
    fuzz!(|bytes| {
        let text = text(bytes);
        let canonical = canonical_address(&text);
        assert_eq!(canonical_address(&canonical), canonical);
        let Ok(mailbox) = Mailbox::parse(&text) else { return };
        assert_eq!(Mailbox::parse(&mailbox.to_string()).unwrap(), mailbox);
        let ascii = ascii_address(&mailbox.address).unwrap();
        assert!(ascii.len() <= 254 && ascii.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{ascii:?}");
        assert_eq!(ascii_address(&ascii).unwrap(), ascii);
        assert_eq!(canonical_address(&ascii), canonical_address(&mailbox.address));
        assert_eq!(Some(&*mailbox.domain()), ascii.rsplit_once('@').map(|(_, domain)| domain));
        let name = mailbox.name.unwrap_or_default();
        assert!(!name.chars().any(char::is_control) && visible_text(&name) == name, "{name:?}");
    });
}

#[test]
fn a_masked_text_shows_no_name_of_an_address() {
    fuzz!(|bytes| {
        let text = text(bytes);
        let (mut end, found) = (0, addresses_in(&text));
        for address in &found {
            let (name, at, domain) = (&address.name, &address.at, &address.domain);
            assert!([end, name.start, name.end, at.start, at.end, domain.start, domain.end].is_sorted());
            assert!(!name.is_empty() && !at.is_empty() && !domain.is_empty(), "{address:?}");
            end = domain.end;
        }
        assert!(end <= text.len());
        let masked = mask_addresses(&text);
        // Else a letter may stand where a sign or a quote was, as the host of an @ before it.
        let begins_with_its_letter =
            |address: &AddressInText| text[address.name.clone()].chars().next() == address.initial;
        if !text.contains(['"', '(', ')', '\\', '%', '&']) && found.iter().all(begins_with_its_letter) {
            assert_eq!(mask_addresses(&masked), masked);
        }
        let framed = format!("to <ada.lovelace@example.com>: {text}");
        assert!(mask_addresses(&framed).starts_with("to <a…@example.com>: "), "{framed:?}");
    });
}

#[test]
fn other_keys_of_a_step_make_another_path() {
    fuzz!(|bytes| {
        let text = text(bytes);
        let (one, other) = text.split_once('|').unwrap_or((&text, "send"));
        let path = |text: &str| {
            let mut keys: Vec<_> = text.lines().collect();
            let name = keys.pop().unwrap_or_default();
            let path = StepPath::under(&keys, name).ok()?;
            assert_eq!(path.name(), name);
            assert!(path.as_str().len() <= 512 + 2 * 128 + 1 && !path.as_str().contains(char::is_control));
            assert_eq!(StepPath::from_stored(path.as_str()), path);
            Some((keys.join("\n") + "\n" + name, path))
        };
        if let (Some((one, path)), Some((other, another))) = (path(one), path(other)) {
            assert_eq!(one == other, path == another, "{path} and {another}");
        }
    });
}

#[test]
fn what_was_staged_is_read_as_it_was_or_is_corrupt() {
    fuzz!(|bytes| {
        let text = text(bytes);
        let mut parts = text.splitn(3, '\n');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let (kind, id, head) = (part(), part(), part());
        let Ok(kind) = kind.parse::<StagedKind>() else { return };
        let staged = Staged { kind, id, head, payload: Payload::from_json_text("{}") };
        let item = match staged.item() {
            Ok(item) => item,
            Err(error) => return assert_eq!(error.kind(), ErrorKind::Corrupt),
        };
        let again = match item.clone() {
            StagedItem::Run(run) => {
                assert!(Priority::ALL.contains(&run.priority), "{:?}", run.priority);
                Staged::run(run)
            }
            StagedItem::Event(event) => Staged::event(event),
            StagedItem::Cancel(filter) => Staged::cancel(&filter),
            StagedItem::Schedule(new) => Staged::schedule(&new),
        };
        assert_eq!(again.unwrap().item().unwrap(), item);
    });
}

#[test]
fn what_was_counted_is_read_as_it_was_or_is_corrupt() {
    fuzz!(|bytes| {
        let text = text(bytes);
        let histogram = match text.parse::<Histogram>() {
            Ok(histogram) => histogram,
            Err(error) => return assert_eq!(error.kind(), ErrorKind::Corrupt),
        };
        let written = serde_json::to_string(&histogram).unwrap();
        assert_eq!(written.parse::<Histogram>().unwrap(), histogram);
        assert_eq!(serde_json::from_str::<Histogram>(&written).unwrap(), histogram);
        assert!(written.len() <= 2 * text.len() + 2, "{written}");
        let is_sorted =
            histogram.counts().collect::<Vec<_>>().is_sorted_by(|(one, _), (other, _)| one < other);
        assert!(is_sorted, "{written}");
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert!(twice.percentile(99.0) <= histogram.percentile(100.0) || histogram.count() == 0);
    });
}

#[test]
fn a_cleaned_text_fits_and_is_clean() {
    fuzz!(|bytes| {
        let text = text(bytes);
        let limit = 3 + text.len() / 2;
        let clean = clean_text(&text, limit);
        assert!(clean.len() <= limit && !clean.contains('\0'), "{clean:?}");
        assert_eq!(clean_text(&clean, limit), clean);
        assert_eq!(clean_text(&text, usize::MAX), text.replace('\0', "\u{fffd}"));
    });
}

#[test]
fn a_cron_expression_is_refused_or_has_ticks_in_order_and_words() {
    fuzz!(|expression| {
        let rule = Rule::Cron { expression: text(expression).into_owned(), zone: "Europe/Berlin".to_owned() };
        assert!(!rule.to_string().is_empty());
        match rule.next_after(Timestamp::UNIX_EPOCH, 3) {
            Ok(ticks) => assert!(ticks.is_sorted_by(|one, next| one < next), "{ticks:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Rejected),
        }
    });
}

#[test]
fn a_text_is_a_trace_context_that_reads_back_or_is_none() {
    fuzz!(|bytes| {
        let Some(context) = TraceContext::read(&text(bytes)) else { return };
        assert!(context.as_str().len() <= 600 && context.as_str().is_ascii());
        assert_eq!(TraceContext::read(context.as_str()).as_ref(), Some(&context));
        let again = TraceContext::new(context.traceparent(), context.tracestate(), context.since());
        assert_eq!(again, Some(context));
    });
}
