//! What every retry policy promises.

use std::time::Duration;

use proptest::prelude::*;
use riqle_jobs_core::{Jitter, RetryPolicy};

fn policies() -> impl Strategy<Value = RetryPolicy> {
    let duration = || (0..u64::from(u32::MAX) * 1_000).prop_map(Duration::from_millis);
    prop_oneof![
        (duration(), 1.0..1_000.0).prop_map(|(base, factor)| RetryPolicy::exponential(base).factor(factor)),
        duration().prop_map(RetryPolicy::fixed),
        prop::collection::vec(duration(), 0..20).prop_map(RetryPolicy::table),
    ]
}

/// With policies of their own for some error kinds.
fn policies_of_kinds() -> impl Strategy<Value = RetryPolicy> {
    (policies(), prop::collection::vec(("[a-c]", policies(), any::<u32>()), 0..4)).prop_map(
        |(policy, kinds)| {
            kinds
                .into_iter()
                .fold(policy, |policy, (kind, own, retries)| policy.on(kind, own.max_retries(retries)))
        },
    )
}

fn attempts() -> impl Strategy<Value = u32> {
    prop_oneof![0..50_u32, any::<u32>(), Just(u32::MAX)]
}

proptest! {
    #[test]
    fn a_delay_is_never_longer_than_the_longest(
        policy in policies(), longest in any::<u32>(), attempt in attempts(), seed in any::<u64>(),
    ) {
        let longest = Duration::from_millis(longest.into());
        let policy = policy.longest(longest);
        for jitter in [Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Proportional(50)] {
            let policy = policy.clone().jitter(jitter);
            prop_assert!(policy.delay_after(attempt, seed) <= longest);
        }
    }

    #[test]
    fn full_jitter_only_shortens(policy in policies(), attempt in attempts(), seed in any::<u64>()) {
        let plain = policy.delay_after(attempt, seed);
        prop_assert!(policy.jitter(Jitter::Full).delay_after(attempt, seed) <= plain);
    }

    #[test]
    fn equal_jitter_keeps_half(policy in policies(), attempt in attempts(), seed in any::<u64>()) {
        let plain = policy.delay_after(attempt, seed);
        let spread = policy.jitter(Jitter::Equal).delay_after(attempt, seed);
        prop_assert!(plain / 2 <= spread && spread <= plain);
    }

    #[test]
    fn proportional_jitter_stays_within_its_percent(
        policy in policies(), attempt in attempts(), seed in any::<u64>(), percent in any::<u8>(),
    ) {
        let plain = policy.delay_after(attempt, seed);
        let spread = policy.jitter(Jitter::Proportional(percent)).delay_after(attempt, seed);
        let part = plain / 100 * u32::from(percent.min(100));
        prop_assert!(plain - part <= spread && spread <= plain.saturating_add(part));
    }

    #[test]
    fn exponential_delays_never_shrink_without_jitter(
        base in any::<u32>(), factor in 1.0..1_000.0_f64, attempt in attempts(),
    ) {
        let policy = RetryPolicy::exponential(Duration::from_micros(base.into())).factor(factor);
        prop_assert!(policy.delay_after(attempt.saturating_add(1), 0) >= policy.delay_after(attempt, 0));
    }

    #[test]
    fn a_kind_is_tried_by_its_last_policy_and_others_by_the_policy_itself(
        policy in policies_of_kinds(), own in policies(), attempt in attempts(), seed in any::<u64>(),
    ) {
        let plain = policy.for_kind(None).delay_after(attempt, seed);
        let with = policy.clone().on("a", policy.clone().on("x", own.clone())).on("a", own.clone());
        prop_assert_eq!(with.for_kind(Some("a")), &own);
        prop_assert_eq!(
            with.for_kind(Some("b")).delay_after(attempt, seed),
            policy.for_kind(Some("b")).delay_after(attempt, seed)
        );
        prop_assert_eq!(with.for_kind(Some("z")).delay_after(attempt, seed), plain);
        prop_assert_eq!(with.delay_after(attempt, seed), plain);
        prop_assert_eq!(with.to_string().matches("; on a: ").count(), 1);
    }

    #[test]
    fn equal_arguments_give_equal_delays(policy in policies(), attempt in attempts(), seed in any::<u64>()) {
        let policy = policy.jitter(Jitter::Full);
        prop_assert_eq!(policy.delay_after(attempt, seed), policy.clone().delay_after(attempt, seed));
    }
}

#[test]
fn the_default_waits_1_2_4_8_16_seconds() {
    let policy = RetryPolicy::default();
    let delays: Vec<u64> = (1..=5).map(|attempt| policy.delay_after(attempt, 7).as_secs()).collect();
    assert_eq!(delays, [1, 2, 4, 8, 16]);
    assert!(policy.allows_retry_after(5));
    assert!(!policy.allows_retry_after(6));
}

#[test]
fn full_jitter_differs_from_run_to_run() {
    let policy = RetryPolicy::fixed(Duration::from_secs(100)).jitter(Jitter::Full);
    let mut delays: Vec<_> = (0..1_000).map(|seed| policy.delay_after(1, seed)).collect();
    let average = delays.iter().sum::<Duration>() / 1_000;
    delays.sort();
    delays.dedup();
    assert!(delays.len() > 990, "only {} of 1000 delays differ", delays.len());
    assert!((45..55).contains(&average.as_secs()), "the average is {average:?}");
}

#[test]
fn a_table_goes_on_with_its_last_entry() {
    let policy = RetryPolicy::table([Duration::from_secs(3), Duration::from_secs(30)]).max_retries(4);
    let delays: Vec<u64> = (1..=4).map(|attempt| policy.delay_after(attempt, 0).as_secs()).collect();
    assert_eq!(delays, [3, 30, 30, 30]);
}

#[test]
fn none_never_retries() {
    assert!(!RetryPolicy::none().allows_retry_after(1));
}
