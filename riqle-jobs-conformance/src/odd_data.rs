//! What comes back byte for byte: no store looks inside.

use riqle_jobs_core::{
    Codec, Ending, NewRun, Payload, RunFilter, Settlement, StepSave,
    limits::{ERROR_BYTES, clean_text},
    store::NewEvent,
};

use crate::{Harness, given::*};

/// Payloads that a store which looked inside would change or refuse.
fn odd_payloads() -> Vec<Payload> {
    let other = |bytes: &[u8]| Payload { codec: Codec(200), bytes: bytes.to_vec() };
    vec![
        json("{}"),
        json("null"),
        json("\"\""),
        json(r#""a\u0000b""#),
        json("\"\u{1f381} \u{202e}ﬁ e\u{301}\""),
        json(r#"{"b": 1, "a":1.0,"b" :2 , "1e2":1E+2}"#),
        json(&format!("\"{}\"", "x".repeat(1_048_574))),
        other(&[0xff, 0x00, 0xfe, b'\'', b'\\', 0x80]),
        other(b""),
    ]
}

pub async fn an_input_comes_back_as_it_was_given(harness: &dyn Harness) {
    let store = harness.store();
    for input in odd_payloads() {
        let id = enqueued(&*store, NewRun { input: input.clone(), ..run_of(GREET) }).await;

        assert_eq!(seen(&*store, id).await.input, input);
        assert_eq!(claimed(&*store).await.input, input);
    }
}

pub async fn f13_integers_beyond_2_to_the_53_are_exact(harness: &dyn Harness) {
    let store = harness.store();
    let numbers = json("[9007199254740993,-9223372036854775808,18446744073709551617,0.1000000000000000055]");

    let id = enqueued(&*store, NewRun { input: numbers.clone(), ..run_of(GREET) }).await;
    let claim = claimed(&*store).await;
    saved(&*store, StepSave { result: numbers.clone(), ..step(&claim, "sum", "0") }).await;
    let ending = Ending::Succeeded { output: numbers.clone() };
    settled(&*store, Settlement { ending, ..succeeds(&claim) }).await;

    assert_eq!(claim.input, numbers);
    assert_eq!(store.steps(id).await.unwrap()[0].result, numbers);
    assert_eq!(seen(&*store, id).await.output, Some(numbers));
}

pub async fn a_step_result_comes_back_as_it_was_given(harness: &dyn Harness) {
    let store = harness.store();
    for result in odd_payloads() {
        enqueued(&*store, run_of(GREET)).await;
        let claim = claimed(&*store).await;
        saved(&*store, StepSave { result: result.clone(), ..step(&claim, "odd", "0") }).await;
        settled(&*store, fails(&claim, secs(0))).await;

        let again = claimed(&*store).await;
        assert_eq!(again.steps[0].result, result);
        settled(&*store, succeeds(&again)).await;
    }
}

pub async fn an_output_comes_back_as_it_was_given(harness: &dyn Harness) {
    let store = harness.store();
    for output in odd_payloads() {
        let id = enqueued(&*store, run_of(GREET)).await;
        let ending = Ending::Succeeded { output: output.clone() };
        settled(&*store, Settlement { ending, ..succeeds(&claimed(&*store).await) }).await;

        assert_eq!(seen(&*store, id).await.output, Some(output));
    }
}

pub async fn event_data_comes_back_as_it_was_given(harness: &dyn Harness) {
    let store = harness.store();
    for (number, data) in odd_payloads().into_iter().enumerate() {
        let id = format!("evt_{number} \u{1f381}");
        let event = NewEvent::new(id, "user/créé", data);
        store.store_events(vec![event.clone()]).await.unwrap();

        let again = store.store_events(vec![event.clone()]).await.unwrap();
        assert_eq!(again[0].event, event);
    }
    assert_eq!(store.idle_events(vec!["user/créé".to_owned()], 100).await.unwrap().len(), 9);
}

pub async fn an_error_text_comes_back_as_it_was_given(harness: &dyn Harness) {
    let store = harness.store();
    let texts =
        ["", "two\nlines\r\n\tand a tab", "\u{1f4a5} 'quoted' \"twice\" \\ $1 %s {}", "\u{1b}[31mred"];
    for error in texts {
        let id = enqueued(&*store, run_of(GREET)).await;
        let error = Some(error.to_owned());
        settled(&*store, Settlement { error: error.clone(), ..dies(&claimed(&*store).await) }).await;

        assert_eq!(seen(&*store, id).await.attempts[0].error, error);
    }
}

pub async fn f12_a_cleaned_error_text_never_makes_a_run_stick(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of(GREET)).await;
    let invalid = String::from_utf8_lossy(b"a\0b \xff ").into_owned() + &"\u{1f4a5}".repeat(5000);

    let error = Some(clean_text(&invalid, ERROR_BYTES));
    settled(&*store, Settlement { error, ..dies(&claimed(&*store).await) }).await;

    let run = seen(&*store, id).await;
    let error = run.error().expect("the error is kept");
    assert!(error.starts_with("a\u{fffd}b \u{fffd} \u{1f4a5}") && error.ends_with("\u{1f4a5}…"));
    assert!(error.len() <= 8192);
}

pub async fn names_and_keys_come_back_as_they_were_given(harness: &dyn Harness) {
    let store = harness.store();
    let odd = "größe/'; drop table runs; -- \\ % _ * {} \u{1f381}";
    let run = NewRun { queue: odd.to_owned(), ..run_of(odd).unique(odd).reference(odd) };
    let id = enqueued(&*store, NewRun { event_id: Some(odd.to_owned()), ..run.clone() }).await;

    let mut request = claim_of(&[odd], 10);
    request.queue = odd.to_owned();
    let claim = store.claim(request).await.unwrap().runs.remove(0);
    saved(&*store, step(&claim, odd, "1")).await;

    assert_eq!((claim.job.as_str(), &*claim.lease.queue), (odd, odd));
    let run = seen(&*store, id).await;
    assert_eq!([&run.job, &run.queue], [odd, odd]);
    assert_eq!([run.unique_key, run.reference, run.event_id], [(); 3].map(|()| Some(odd.to_owned())));
    assert_eq!(store.steps(id).await.unwrap()[0].path.as_str(), odd);
}

pub async fn a_filter_matches_whole_texts_only(harness: &dyn Harness) {
    let store = harness.store();
    let id = enqueued(&*store, run_of("a_b").reference("50%")).await;
    enqueued(&*store, run_of("axb").reference("500")).await;

    for (job, reference, expected) in [
        (Some("a_b"), None, vec![id]),
        (None, Some("50%"), vec![id]),
        (Some("A_B"), None, vec![]),
        (None, Some("50"), vec![]),
        (Some("a_%"), Some("%"), vec![]),
    ] {
        let filter = RunFilter {
            job: job.map(str::to_owned),
            reference: reference.map(str::to_owned),
            ..RunFilter::default()
        };
        let found = store.runs(filter).await.unwrap();
        assert_eq!(found.iter().map(|run| run.id).collect::<Vec<_>>(), expected, "{job:?} {reference:?}");
    }
}
