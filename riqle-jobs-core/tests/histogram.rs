//! What histograms promise.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;
use riqle_jobs_core::{ErrorKind, store::Histogram};

const DAY_MICROS: u64 = 24 * 3_600 * 1_000_000;

/// Of every order of magnitude.
fn durations() -> impl Strategy<Value = Vec<Duration>> {
    let one = (0..38_u32, any::<u64>()).prop_map(|(bits, random)| {
        let micros = (1_u64 << bits) | (random & ((1 << bits) - 1));
        Duration::from_micros(micros.min(DAY_MICROS - 1))
    });
    prop::collection::vec(one, 1..200)
}

fn merged(a: &Histogram, b: &Histogram) -> Histogram {
    let mut sum = a.clone();
    sum.merge(b);
    sum
}

proptest! {
    #[test]
    fn merging_does_not_care_for_order(a in durations(), b in durations(), c in durations()) {
        let whole = Histogram::of(a.iter().chain(&b).chain(&c).copied());
        let [a, b, c] = [a, b, c].map(Histogram::of);
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&merged(&a, &b), &c), whole);
    }

    #[test]
    fn a_percentile_is_within_one_bucket_of_the_value(durations in durations(), percent in 0.0..=100.0_f64) {
        let histogram = Histogram::of(durations.iter().copied());
        let mut sorted = durations;
        sorted.sort();
        let rank = ((percent / 100.0 * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
        let exact = sorted[rank - 1];
        let found = histogram.percentile(percent).unwrap();
        prop_assert!(exact < found, "{found:?} is the upper end of the bucket of {exact:?}");
        let widest = (exact + exact / 8 + Duration::from_nanos(12_500)).max(Duration::from_micros(100));
        prop_assert!(found <= widest, "{found:?} is too far from {exact:?}");
    }

    #[test]
    fn percentiles_never_fall(durations in durations(), a in 0.0..=100.0_f64, b in 0.0..=100.0_f64) {
        let histogram = Histogram::of(durations);
        let (low, high) = (a.min(b), a.max(b));
        prop_assert!(histogram.percentile(low) <= histogram.percentile(high));
    }

    #[test]
    fn json_brings_back_the_same(durations in durations()) {
        let histogram = Histogram::of(durations);
        let text = serde_json::to_string(&histogram).unwrap();
        prop_assert_eq!(serde_json::from_str::<Histogram>(&text).unwrap(), histogram.clone());
        prop_assert_eq!(text.parse::<Histogram>().unwrap(), histogram);
    }

    #[test]
    fn counts_come_by_bucket_and_bring_back_the_same_in_any_order(durations in durations()) {
        let histogram = Histogram::of(durations.iter().copied());
        let mut counts: Vec<_> = histogram.counts().collect();
        prop_assert!(counts.is_sorted());
        prop_assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), durations.len() as u64);
        counts.reverse();
        prop_assert_eq!(counts.into_iter().collect::<Histogram>(), histogram);
    }
}

#[test]
fn an_empty_histogram_has_no_percentile() {
    assert_eq!(Histogram::default().percentile(50.0), None);
    assert_eq!(Histogram::of([Duration::MAX]).count(), 1);
}

#[test]
fn what_was_not_written_as_a_histogram_is_not_read_as_one() {
    for text in
        ["", "[", "[[", "[[]]", "[[1]]", "[[1,2]", "[[1,2],]", "[[1,-2]]", "[[70000,1]]", "[[1,2,3]]", "{}"]
    {
        assert_eq!(text.parse::<Histogram>().unwrap_err().kind(), ErrorKind::Corrupt, "{text}");
    }
    assert_eq!("[]".parse::<Histogram>().unwrap(), Histogram::default());
}
