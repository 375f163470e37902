//! What must hold for any webhook (`cargo xtask fuzz`).

use riqle_jobs_conformance::fuzz;
use serde_json::Value;

use super::{Ignored, WebhookError, resend, stripe};

const NOW: i64 = 1_795_460_000;
const SECRET: &str = "whsec_c2VjcmV0LW9mLXRoZS1zaG9w";

/// The place of a change, and how a byte is changed; then what is signed.
fn change(bytes: &[u8]) -> Option<(usize, u8, &[u8])> {
    let [high, low, flipped, body @ ..] = bytes else { return None };
    (*flipped != 0).then_some((usize::from(*high) * 256 + usize::from(*low), *flipped, body))
}

/// With one byte changed at this place of all.
fn changed(bytes: &[u8], place: usize, flipped: u8) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    if let Some(byte) = changed.get_mut(place) {
        *byte ^= flipped;
    }
    changed
}

#[test]
fn what_stripe_signed_is_read_and_nothing_that_differs_in_a_byte() {
    fuzz!(|bytes| {
        let Some((place, flipped, body)) = change(bytes) else { return };
        let secrets = stripe::Secrets::new([SECRET]).unwrap();
        let header = stripe::sign(SECRET, NOW, body);
        match secrets.verify(Some(&header), body, NOW) {
            Ok(event) => event_of_stripe(&event, body),
            Err(error) => assert!(matches!(error, WebhookError::NoEvent(_)), "{error}"),
        }
        let place = place % (header.len() + body.len());
        let other = changed(&[header.as_bytes(), body].concat(), place, flipped);
        let (other_header, other_body) = other.split_at(header.len());
        let other_header = std::str::from_utf8(other_header).ok();
        let refused = secrets.verify(other_header, other_body, NOW).unwrap_err();
        assert!(!matches!(refused, WebhookError::NoEvent(_)), "{other_header:?}");
        assert!(
            secrets.verify(Some(&header), body, NOW + 301).is_err()
                && secrets.verify(None, body, NOW).is_err()
        );
        let _ = secrets.verify(std::str::from_utf8(body).ok(), body, NOW).map_err(|error| error.to_string());
    });
}

fn event_of_stripe(event: &stripe::Event, body: &[u8]) {
    // What is skipped may hold half of a surrogate pair, or what is not UTF-8.
    let Ok(sent) = serde_json::from_slice::<Value>(body) else { return };
    assert_eq!((Some(&*event.id), Some(&*event.kind)), (sent["id"].as_str(), sent["type"].as_str()));
    let fact = match event.fact() {
        Ok(fact) => fact,
        Err(why) => return assert!(!matches!(why, Ignored::Unstorable(_) | Ignored::UnknownEmail), "{why}"),
    };
    let job = fact.job_event(&event.id).unwrap();
    let data: Value = job.data.decode().unwrap();
    let object = &sent["data"]["object"];
    let said = serde_json::to_string(object).unwrap();
    for field in ["orderId", "customerEmail", "userId", "email", "refundReason", "name"] {
        if let Some(text) = data[field].as_str() {
            assert!(said.contains(&serde_json::to_string(text).unwrap()), "{field} of {data}");
        }
    }
    if let Some(amount) = data["refund"]["upTo"].as_i64() {
        assert_eq!(Some(amount), object["amount_refunded"].as_i64());
    }
    assert_eq!(job.id, event.id);
}

#[test]
fn what_resend_signed_is_read_and_nothing_that_differs_in_a_byte() {
    fuzz!(|bytes| {
        let Some((place, flipped, body)) = change(bytes) else { return };
        let secrets = resend::Secrets::new([SECRET]).unwrap();
        let (id, timestamp) = ("msg_1", NOW.to_string());
        let signature = resend::sign(SECRET, id, NOW, body).unwrap();
        let delivery = resend::Delivery { id, timestamp: &timestamp, signature: &signature };
        match secrets.verify(Some(delivery), body, NOW) {
            Ok(report) => {
                // What is skipped may hold half of a surrogate pair.
                if let Ok(sent) = serde_json::from_slice::<Value>(body) {
                    assert_eq!((&*report.id, Some(&*report.kind)), (id, sent["type"].as_str()));
                }
                if let Ok(event) = report.email_event() {
                    assert_eq!((event.provider_event_id.as_str(), event.at), (id, report.at));
                }
                let _ = report.other_key();
            }
            Err(error) => assert!(matches!(error, WebhookError::NoEvent(_)), "{error}"),
        }
        let parts = [id.as_bytes(), timestamp.as_bytes(), signature.as_bytes(), body];
        let all = parts.concat();
        let other = changed(&all, place % all.len(), flipped);
        let (other_id, rest) = other.split_at(id.len());
        let (other_timestamp, rest) = rest.split_at(timestamp.len());
        let (other_signature, other_body) = rest.split_at(signature.len());
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let other = text(other_id).zip(text(other_timestamp)).zip(text(other_signature));
        let other = other.map(|((id, timestamp), signature)| resend::Delivery { id, timestamp, signature });
        // A signature means the same without its padding, and with a space behind it.
        let is_padding = place % all.len() == id.len() + timestamp.len() + signature.len() - 1;
        if !is_padding {
            let refused = secrets.verify(other, other_body, NOW).unwrap_err();
            assert!(!matches!(refused, WebhookError::NoEvent(_)), "{other:?}");
        }
        let signature = String::from_utf8_lossy(body);
        let _ = secrets.verify(Some(resend::Delivery { signature: &signature, ..delivery }), body, NOW);
        let _ = resend::Secrets::new([&*signature]);
    });
}
