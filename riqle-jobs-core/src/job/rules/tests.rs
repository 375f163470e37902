//! What templates make of inputs, as unique keys and references, and which are refused.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rules(unique: &'static str, reference: &'static str) -> JobRules {
    JobRules { unique: Some(Unique::by(unique)), reference: Some(Key::by(reference)) }
}

fn keys(rules: &JobRules, input: &str) -> RunKeys {
    rules.keys("greet", &Payload::from_json_text(input)).unwrap()
}

fn unique(template: &'static str, input: &str) -> Option<String> {
    keys(&rules(template, "greet"), input).unique.map(|(key, _)| key)
}

fn reference(template: &'static str, input: &str) -> Option<String> {
    keys(&rules("greet", template), input).reference
}

#[test]
fn a_key_is_the_template_with_the_values_of_its_paths() {
    let input = r#"{"user":"ada","order":{"number":7,"paid":true,"price":1.50},"user":"grace"}"#;
    for (template, expected) in [
        ("welcome:{user}", "welcome:grace"),
        ("{order.number}", "7"),
        ("{order.paid}/{order.price}", "true/1.5"),
        ("daily", "daily"),
    ] {
        assert_eq!(unique(template, input).as_deref(), Some(expected));
        assert_eq!(reference(template, input).as_deref(), Some(expected));
    }
}

#[test]
fn different_values_make_different_keys() {
    for (value, expected) in [
        (json!("a:b"), "user:a:b"),
        (json!("é%"), "user:é%25"),
        (json!(""), r#"user:"""#),
        (json!(7), "user:7"),
        (json!("7"), r#"user:"7""#),
        (json!("\"7\""), r#"user:""7"""#),
        (json!("true"), r#"user:"true""#),
        (json!(true), "user:true"),
        (json!("007"), "user:007"),
    ] {
        let input = json!({ "id": value }).to_string();
        assert_eq!(unique("user:{id}", &input).as_deref(), Some(expected));
    }
}

#[test]
fn what_follows_a_value_is_escaped_in_it() {
    let key = |a: &str, b: &str| unique("{a}/{b}", &json!({ "a": a, "b": b }).to_string()).unwrap();
    assert_eq!((key("a/b", "c"), key("a", "b/c")), ("a%2fb/c".to_owned(), "a/b/c".to_owned()));
}

#[test]
fn numbers_that_mean_the_same_make_the_same_key() {
    for number in ["1", "1.0", "10e-1"] {
        assert_eq!(unique("{n}", &format!(r#"{{"n":{number}}}"#)).as_deref(), Some("1"));
    }
    let large = unique("{n}", r#"{"n":9007199254740993}"#);
    assert_eq!(large.as_deref(), Some("9007199254740993"));
}

#[test]
fn a_reference_has_the_values_as_they_are() {
    let input = json!({ "id": "a%/b", "number": "7", "empty": "" }).to_string();
    assert_eq!(reference("{id}/{number}", &input).as_deref(), Some("a%/b/7"));
    assert_eq!(reference("{empty}", &input), None);
}

#[test]
fn a_path_that_is_missing_null_or_no_single_value_is_named() {
    let input = r#"{"none":null,"list":[1],"object":{},"text":"x"}"#;
    for path in ["none", "list", "object", "missing", "text.more", "list.0"] {
        let rules =
            JobRules { unique: Some(Unique::by(format!("{{text}}:{{{path}}}").leak())), reference: None };
        let lacking = vec![LackingPath { rule: JobRule::Unique, path: path.to_owned() }];
        assert_eq!(keys(&rules, input), RunKeys { lacking, ..RunKeys::default() });
        assert_eq!(unique(format!("{{text}}:{{{path}?}}").leak(), input), None);
    }
    for input in ["7", "[]", "not JSON", ""] {
        assert_eq!(keys(&rules("a{x}", "{y}"), input).lacking.len(), 2, "{input}");
    }
    let other = Payload { codec: crate::Codec(9), bytes: br#"{"x":1}"#.to_vec() };
    assert_eq!(rules("a{x}", "b").keys("greet", &other).unwrap().lacking.len(), 1);
    // A path that must be there is named also beside an optional one.
    assert_eq!(keys(&rules("{a?}:{b}", "c"), "{}").lacking[0].path, "b");
}

#[test]
fn what_no_store_takes_as_a_key_is_a_digest_after_the_readable_text() {
    let long = json!({ "id": "x".repeat(600), "line": "a\nb" }).to_string();
    for (template, text) in [("user:{id}", "user:"), ("50% of {line}", "50%% of "), ("{line}", "")] {
        for key in [unique(template, &long).unwrap(), reference(template, &long).unwrap()] {
            let digest = key.strip_prefix(text).unwrap().strip_prefix("%#").unwrap();
            assert_eq!((digest.len(), key.len() <= KEY_BYTES), (64, true), "{key}");
        }
    }
    assert_ne!(unique("{line}", r#"{"line":"a\nb"}"#), unique("{line}", r#"{"line":"a\nc"}"#));
    // The longest text before it leaves room for the digest.
    let template: &str = format!("{}{{id}}", "é".repeat(250)).leak();
    assert!(unique(template, &long).unwrap().len() <= KEY_BYTES);
}

#[test]
fn no_template_makes_the_key_of_an_event() {
    let input = json!({ "id": "event/evt_1", "kind": "event", "number": "evt_1" }).to_string();
    for template in ["{id}", "{kind}/{number}"] {
        let key = unique(template, &input).unwrap();
        assert!(key.starts_with("%#"), "{key}");
    }
    assert_eq!(reference("{kind}/{number}", &input).as_deref(), Some("event/evt_1"));
}

#[test]
fn a_wrong_template_is_refused_with_what_is_wrong() {
    let long = "x".repeat(KEY_BYTES + 1);
    for (template, problem) in [
        ("", "is empty"),
        ("welcome:{user", "does not close a brace"),
        ("welcome:{us{er}", "does not close a brace"),
        ("welcome:user}", "closes a brace that is not open"),
        ("welcome:{}", "has an empty path: {}"),
        ("welcome:{?}", "has an empty path: {?}"),
        ("{order..id}", "has an empty path: {order..id}"),
        ("{shop}{order}", "has no text before {order}, so two inputs could make the same key"),
        ("event/{id}", "begins with \"event/\", as the keys of events do"),
        ("a\n{id}", "holds a control character"),
        (long.as_str(), "has 513 bytes, the limit is 512"),
    ] {
        let unique = Unique { key: template.to_owned().into(), scope: UniqueScope::WhileNotEnded };
        let error = JobRules { unique: Some(unique), reference: None }.check("greet").unwrap_err();
        let message = format!("the template {template:?} of the unique key of job \"greet\" {problem}");
        assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, message.as_str()));
        assert!(error.is_permanent());
    }
    // Two paths side by side are fine where values are put in as they are.
    rules("a", "{shop}{order}").check("greet").unwrap();
}

#[test]
fn rules_are_read_as_they_were_written_and_unknown_ones_left_out() {
    let rules = rules("welcome:{user}", "{user}");
    let written = serde_json::to_string(&rules).unwrap();
    assert_eq!(
        written,
        r#"{"unique":{"key":"welcome:{user}","scope":"while-not-ended"},"reference":"{user}"}"#
    );
    assert_eq!(serde_json::from_str::<JobRules>(&written).unwrap(), rules);
    let newer: JobRules = serde_json::from_str(r#"{"limits":["{user}"]}"#).unwrap();
    assert_eq!(newer, JobRules::default());
}

/// Values and texts of few characters, so that they often meet.
fn value() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        "[%\"2:t#]{0,3}".prop_map(serde_json::Value::from),
        "[0-9]{1,2}|true|%25|%3a|%%".prop_map(serde_json::Value::from),
        (0..30).prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_inputs_make_one_key_only_where_their_values_are_the_same(
        texts in ["[%\"2:t#]{0,2}", "[%\"2:t#]{1,2}", "[%\"2:t#]{0,2}"],
        one in [value(), value()],
        other in [value(), value()],
    ) {
        let template = format!("{}{{a}}{}{{b}}{}", texts[0], texts[1], texts[2]);
        let rules = JobRules {
            unique: Some(Unique { key: template.into(), scope: UniqueScope::WhilePending }),
            reference: None,
        };
        let key = |[a, b]: &[serde_json::Value; 2]| keys(&rules, &json!({ "a": a, "b": b }).to_string()).unique;
        prop_assert_eq!(key(&one) == key(&other), one == other);
    }
}
