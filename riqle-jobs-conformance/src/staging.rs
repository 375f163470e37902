//! What is staged in a transaction of the application, until a relay has moved it.

use std::{collections::HashSet, sync::Arc};

use riqle_jobs_core::{
    Due, ErrorKind, Hint, LeaseToken, NewRun, Payload, Priority, Staging, UniqueScope,
    store::{NewEvent, StagedItem, StagedNumber, StagedRequest, StagingStatus, TakenStaged},
};

use crate::{StagingHarness, TransactionEnd::*, given::*};

pub(crate) fn event(id: &str) -> NewEvent {
    NewEvent::new(id, "user/created", json("7"))
}

/// Takes at most so many items under `token`.
fn request(token: LeaseToken, limit: usize) -> StagedRequest {
    StagedRequest { token, after: None, limit, bytes: 1 << 20, lease: LEASE }
}

async fn taken(staging: &dyn Staging) -> Vec<TakenStaged> {
    staging.take_staged(request(LeaseToken::new(), 1000)).await.unwrap()
}

fn items(taken: &[TakenStaged]) -> Vec<StagedItem> {
    taken.iter().map(|staged| staged.item().unwrap()).collect()
}

fn numbers(taken: &[TakenStaged]) -> Vec<StagedNumber> {
    taken.iter().map(|staged| staged.number).collect()
}

pub(crate) async fn committed(harness: &dyn StagingHarness, runs: &[NewRun]) {
    let _ = harness.stage(runs.to_vec(), Vec::new(), Commit).await.unwrap();
}

fn runs(count: usize) -> Vec<NewRun> {
    (0..count).map(|_| run_of(GREET)).collect()
}

fn as_items(runs: &[NewRun]) -> Vec<StagedItem> {
    runs.iter().cloned().map(StagedItem::Run).collect()
}

pub async fn a_run_is_taken_as_it_was_staged(harness: &dyn StagingHarness) {
    let full = NewRun {
        event_id: Some("evt_1".to_owned()),
        gates: vec!["tenant/7".to_owned(), "".to_owned()],
        trace: trace(),
        ..run_of(GREET)
            .unique_within("greet:\u{202e}ada", UniqueScope::Period(ms(1500)))
            .reference("order \"7\"")
            .priority(Priority::URGENT)
            .at(at(60_000))
    };
    let mut bare = NewRun::named("bill", Payload::from_json_text("9007199254740993"))
        .queue("Büro")
        .priority(Priority::LOW);
    bare.fingerprint.0 = [7; 16];
    let odd = NewRun { input: Payload::from_json_text(vec![0, 0xff, b'"']), ..run_of(GREET) };
    let keyed = [UniqueScope::WhilePending, UniqueScope::WhileNotEnded];
    let keyed = keyed.map(|scope| run_of(GREET).unique_within("key", scope).delay(secs(60)));
    let runs: Vec<NewRun> = [full, bare, odd].into_iter().chain(keyed).collect();

    committed(harness, &runs).await;

    assert_eq!(items(&taken(&*harness.second_staging().await).await), as_items(&runs));
}

pub async fn an_event_is_taken_as_it_was_staged(harness: &dyn StagingHarness) {
    let later = NewEvent {
        due_at: Some(at(60_000)),
        data: json(r#"{"user":"Ada"}"#),
        id_kept: secs(35 * 24 * 3600),
        trace: trace(),
        ..event("evt_2")
    };
    let events = vec![event("evt 1"), later];

    let _ = harness.stage(Vec::new(), events.clone(), Commit).await.unwrap();

    let expected: Vec<_> = events.into_iter().map(StagedItem::Event).collect();
    assert_eq!(items(&taken(&*harness.staging()).await), expected);
}

pub async fn f18_a_transaction_that_rolls_back_stages_nothing(harness: &dyn StagingHarness) {
    let run = run_of(GREET);
    let wakes = harness.stage(vec![run.clone()], vec![event("evt_1")], RollBack).await.unwrap();
    wakes.into_iter().for_each(riqle_jobs_core::Wake::fire);

    assert!(taken(&*harness.staging()).await.is_empty());
    assert_eq!(harness.staging().staging_status().await.unwrap(), StagingStatus::default());
    committed(harness, &[run]).await;
    assert_eq!(taken(&*harness.staging()).await.len(), 1, "it can be staged now");
}

pub async fn the_same_id_again_stages_nothing_more(harness: &dyn StagingHarness) {
    let run = run_of(GREET);
    // An event may be named like a run.
    let named_alike = event(&run.id.to_string());
    let other = NewRun { id: run.id, ..run_of("bill") };

    committed(harness, &[run.clone(), other.clone()]).await;
    let _ = harness.stage(vec![other], vec![named_alike.clone(), named_alike.clone()], Commit).await.unwrap();

    let expected = [StagedItem::Run(run), StagedItem::Event(named_alike)];
    assert_eq!(items(&taken(&*harness.staging()).await), expected);
}

pub async fn f14_what_is_over_a_limit_is_refused_at_once_and_nothing_of_it_staged(
    harness: &dyn StagingHarness,
) {
    let large = |run: NewRun| NewRun { input: Payload::from_json_text(vec![b'1'; (1 << 20) + 1]), ..run };
    let nameless = NewEvent { name: String::new(), ..event("evt_1") };

    let run = harness.stage(vec![run_of(GREET), large(run_of(GREET))], Vec::new(), Commit).await;
    let event = harness.stage(Vec::new(), vec![event("evt_1"), nameless], Commit).await;
    let many = harness.stage(runs(10_001), Vec::new(), Commit).await;

    for (refused, index) in [(run, Some(1)), (event, Some(1)), (many, None)] {
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.index()), (ErrorKind::Rejected, index), "{error}");
    }
    assert!(taken(&*harness.staging()).await.is_empty());
}

pub async fn items_are_taken_in_the_order_of_staging_and_never_more_than_asked_for(
    harness: &dyn StagingHarness,
) {
    let staging = harness.staging();
    let mut runs = runs(5);
    // Neither id nor priority nor due time counts.
    runs.swap(0, 3);
    runs[4] = runs[4].clone().priority(Priority::URGENT).at(at(-60_000));
    committed(harness, &runs[..2]).await;
    committed(harness, &runs[2..]).await;

    let first = staging.take_staged(request(LeaseToken::new(), 3)).await.unwrap();
    let none = staging.take_staged(request(LeaseToken::new(), 0)).await.unwrap();
    let rest = taken(&*staging).await;

    assert_eq!(items(&first), as_items(&runs[..3]));
    assert!(none.is_empty());
    assert_eq!(items(&rest), as_items(&runs[3..]));
    assert!(numbers(&first).is_sorted() && first[2].number < rest[0].number);
}

pub async fn only_items_behind_a_number_are_taken_where_one_is_given(harness: &dyn StagingHarness) {
    let staging = harness.staging();
    let (token, runs) = (LeaseToken::new(), runs(3));
    committed(harness, &runs).await;
    let first = staging.take_staged(request(token, 1)).await.unwrap();

    let behind = StagedRequest { after: Some(first[0].number), ..request(token, 10) };
    let rest = staging.take_staged(behind).await.unwrap();

    assert_eq!(items(&rest), as_items(&runs[1..]));
}

pub async fn no_item_is_taken_behind_so_many_bytes(harness: &dyn StagingHarness) {
    let staging = harness.staging();
    let sized = |bytes| NewRun { input: Payload::from_json_text(vec![b'1'; bytes]), ..run_of(GREET) };
    committed(harness, &[sized(100), sized(50), sized(1), sized(1)]).await;
    let take = async |bytes| {
        let request = StagedRequest { bytes, ..request(LeaseToken::new(), 10) };
        staging.take_staged(request).await.unwrap().len()
    };

    assert_eq!([take(10).await, take(51).await, take(51).await], [1, 2, 1]);
}

pub async fn what_one_relay_has_taken_no_other_takes_before_its_lease_ends(harness: &dyn StagingHarness) {
    committed(harness, &runs(2)).await;
    let first = taken(&*harness.staging()).await;
    let other = harness.second_staging().await;

    harness.clock().advance(LEASE - ms(1));
    assert!(taken(&*other).await.is_empty());
    harness.clock().advance(ms(1));
    let second = taken(&*other).await;

    assert_eq!(numbers(&second), numbers(&first));
    assert_eq!((first[0].waited, second[0].waited), (ms(0), LEASE));
}

pub async fn a_relay_is_answered_again_what_it_has_taken_and_its_lease_prolonged(
    harness: &dyn StagingHarness,
) {
    let staging = harness.staging();
    let token = LeaseToken::new();
    committed(harness, &runs(2)).await;
    let first = staging.take_staged(request(token, 1)).await.unwrap();
    harness.clock().advance(LEASE - ms(1));

    let again = staging.take_staged(request(token, 2)).await.unwrap();
    harness.clock().advance(LEASE - ms(1));

    assert_eq!((again.len(), again[0].number), (2, first[0].number));
    assert!(taken(&*staging).await.is_empty());
}

pub async fn of_many_relays_at_once_each_takes_other_items(harness: &dyn StagingHarness) {
    let handles = [harness.staging(), harness.second_staging().await, harness.second_staging().await];
    committed(harness, &runs(200)).await;

    let taken = at_once(12, |number| {
        let (staging, token) = (Arc::clone(&handles[number % handles.len()]), LeaseToken::new());
        async move {
            let mut all = Vec::new();
            // A relay that the others got in the way of looks again.
            for limit in (7..).step_by(7).take(30) {
                all = staging.take_staged(request(token, limit)).await.unwrap();
            }
            numbers(&all)
        }
    })
    .await;

    let distinct: HashSet<_> = taken.iter().flatten().collect();
    assert_eq!((distinct.len(), taken.iter().flatten().count()), (200, 200));
}

pub async fn what_is_removed_is_gone_and_may_be_removed_again(harness: &dyn StagingHarness) {
    let staging = harness.staging();
    let run = run_of(GREET);
    committed(harness, &[run.clone(), run_of(GREET)]).await;
    let items = numbers(&taken(&*staging).await);

    staging.remove_staged(vec![items[0]]).await.unwrap();
    staging.remove_staged(vec![items[0], StagedNumber(9_999)]).await.unwrap();
    staging.remove_staged(Vec::new()).await.unwrap();
    staging.refuse_staged(items[0], "too late").await.unwrap();
    assert_eq!(staging.staging_status().await.unwrap().waiting, 1);
    staging.remove_staged(vec![items[1]]).await.unwrap();
    assert!(staging.refused_staged(10, None).await.unwrap().is_empty());

    // What is gone may be staged again, under a number that names nothing else to a relay that comes late.
    committed(harness, &[run]).await;
    let again = numbers(&taken(&*staging).await);
    assert!(again.len() == 1 && again[0] > items[1], "{again:?}");
}

pub async fn a_refused_item_is_kept_aside_with_its_first_error(harness: &dyn StagingHarness) {
    let staging = harness.staging();
    let staged = runs(2);
    committed(harness, &staged).await;
    let items = taken(&*staging).await;

    harness.clock().advance(secs(1));
    staging.refuse_staged(items[0].number, "no such queue").await.unwrap();
    harness.clock().advance(LEASE);
    staging.refuse_staged(items[0].number, "no such queue either").await.unwrap();

    assert_eq!(numbers(&taken(&*staging).await), [items[1].number]);
    let refused = harness.second_staging().await.refused_staged(10, None).await.unwrap();
    assert_eq!((refused.len(), refused[0].number), (1, items[0].number));
    assert_eq!(refused[0].staged.item().unwrap(), StagedItem::Run(staged[0].clone()));
    let seen = (refused[0].staged_at, refused[0].refused_at, refused[0].error.as_str());
    assert_eq!(seen, (at(0), at(1000), "no such queue"));
}

pub async fn refused_items_come_in_pages(harness: &dyn StagingHarness) {
    let staging = harness.staging();
    committed(harness, &runs(5)).await;
    let items = numbers(&taken(&*staging).await);
    for item in [items[4], items[0], items[2]] {
        staging.refuse_staged(item, "no").await.unwrap();
    }
    let page = async |limit, after| {
        let page = staging.refused_staged(limit, after).await.unwrap();
        page.iter().map(|refused| refused.number).collect::<Vec<_>>()
    };

    assert_eq!(page(2, None).await, [items[0], items[2]]);
    assert_eq!(page(2, Some(items[2])).await, [items[4]]);
    assert!(page(2, Some(items[4])).await.is_empty());
}

pub async fn a_refused_item_moves_when_it_is_staged_again(harness: &dyn StagingHarness) {
    let staging = harness.staging();
    committed(harness, &[run_of(GREET).delay(secs(60))]).await;
    let item = numbers(&taken(&*staging).await)[0];
    staging.refuse_staged(item, "no").await.unwrap();
    harness.clock().advance(secs(1));
    let mut hints = staging.staging_wake_ups();

    staging.stage_again(item).await.unwrap();
    staging.stage_again(item).await.unwrap();

    assert_eq!(hints.next().await, Hint::Staged);
    // At once: nobody has it any more.
    let again = taken(&*staging).await;
    assert_eq!(numbers(&again), [item]);
    let StagedItem::Run(run) = again[0].item().unwrap() else { panic!("a run was staged") };
    assert_eq!(run.due, Due::In(secs(59)));
    assert!(staging.refused_staged(10, None).await.unwrap().is_empty());
    let missing = staging.stage_again(StagedNumber(9_999)).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

pub async fn the_status_tells_what_waits_and_what_was_refused(harness: &dyn StagingHarness) {
    let staging = harness.staging();
    assert_eq!(staging.staging_status().await.unwrap(), StagingStatus::default());
    committed(harness, &runs(1)).await;
    harness.clock().advance(secs(1));
    committed(harness, &runs(2)).await;
    let status = |waiting, oldest, refused| StagingStatus { waiting, oldest, refused };
    assert_eq!(staging.staging_status().await.unwrap(), status(3, Some(at(0)), 0));

    let items = numbers(&taken(&*staging).await);
    staging.refuse_staged(items[0], "no").await.unwrap();
    assert_eq!(staging.staging_status().await.unwrap(), status(2, Some(at(1000)), 1));

    staging.remove_staged(items).await.unwrap();
    assert_eq!(staging.staging_status().await.unwrap(), StagingStatus::default());
}

pub async fn a_waiting_relay_is_woken_by_the_wake(harness: &dyn StagingHarness) {
    let mut hints = harness.staging().staging_wake_ups();
    for (runs, events) in [(runs(1), vec![]), (vec![], vec![event("evt_1")])] {
        let [of_runs, of_events] = harness.stage(runs.clone(), events, Commit).await.unwrap();
        if runs.is_empty() { of_events } else { of_runs }.fire();
        assert_eq!(hints.next().await, Hint::Staged);
    }
}
