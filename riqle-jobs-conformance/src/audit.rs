//! What people did.

use riqle_jobs_core::{
    ActionId, ErrorKind,
    store::{ActionFilter, ActionKind, ActionState, NewAction, RecordedAction},
};

use crate::{
    Harness,
    given::{operator::*, *},
};

pub async fn an_action_is_kept_as_it_was_recorded_last_with_the_time_of_its_first_record(
    harness: &dyn Harness,
) {
    let store = harness.store();
    let begun = NewAction {
        subject: "dead letters of greet \u{1f381}".to_owned(),
        detail: "100 a second".to_owned(),
        ..action(ActionKind::Replay)
    };
    harness.clock().advance(ms(5));
    store.record_action(begun.clone()).await.unwrap();
    let recorded = |action, changed| RecordedAction { action, at: at(5), changed_at: at(changed) };
    let other = harness.second_handle().await;
    assert_eq!(other.action(begun.id).await.unwrap(), Some(recorded(begun.clone(), 5)));

    harness.clock().advance(secs(1));
    let done = NewAction {
        by: "grace".to_owned(),
        kind: ActionKind::Discard,
        subject: "one".to_owned(),
        detail: String::new(),
        state: ActionState::Done,
        outcome: "3 were replayed".to_owned(),
        ..begun
    };
    for _ in 0..2 {
        other.record_action(done.clone()).await.unwrap();
    }

    assert_eq!(store.action(done.id).await.unwrap(), Some(recorded(done.clone(), 1005)));
    assert_eq!(store.actions(ActionFilter::default()).await.unwrap(), [recorded(done, 1005)]);
}

pub async fn an_action_that_is_not_there_is_none(harness: &dyn Harness) {
    let store = harness.store();
    assert_eq!(store.action(ActionId::new()).await.unwrap(), None);
    assert_eq!(store.actions(ActionFilter::default()).await.unwrap(), []);
}

pub async fn every_kind_and_state_of_an_action_is_kept(harness: &dyn Harness) {
    let store = harness.store();
    for kind in ActionKind::ALL.iter().copied() {
        for state in ActionState::ALL.iter().copied() {
            let action = NewAction { state, ..action(kind) };
            store.record_action(action.clone()).await.unwrap();
            assert_eq!(store.action(action.id).await.unwrap().map(|recorded| recorded.action), Some(action));
        }
    }
}

pub async fn actions_come_newest_first_in_pages(harness: &dyn Harness) {
    let store = harness.store();
    let actions: Vec<_> = (0..5).map(|_| action(ActionKind::RunNow)).collect();
    // Stored in another order than that of their ids.
    for number in [3, 0, 4, 2, 1] {
        store.record_action(actions[number].clone()).await.unwrap();
        harness.clock().advance(ms(1));
    }
    let ids: Vec<_> = actions.iter().rev().map(|action| action.id).collect();
    let page = async |limit, before| {
        let page = store.actions(ActionFilter { limit, before, ..ActionFilter::default() }).await.unwrap();
        page.into_iter().map(|recorded| recorded.action.id).collect::<Vec<_>>()
    };

    assert_eq!(page(10, None).await, ids);
    assert_eq!(page(2, None).await, ids[..2]);
    assert_eq!(page(2, Some(ids[1])).await, ids[2..4]);
    assert_eq!(page(2, Some(ids[3])).await, ids[4..]);
    assert!(page(2, Some(ids[4])).await.is_empty());
    assert_eq!(page(0, None).await, ids);
}

pub async fn actions_are_listed_by_who_what_subject_and_time(harness: &dyn Harness) {
    let store = harness.store();
    let of = |by: &str, kind, subject: &str, detail: &str| NewAction {
        by: by.to_owned(),
        subject: subject.to_owned(),
        detail: detail.to_owned(),
        ..action(kind)
    };
    let run = "019b76da-a800";
    let actions = [
        of("ada", ActionKind::Cancel, &format!("run {run}"), ""),
        of("ben", ActionKind::Cancel, "2 runs", &format!("{run}, another")),
        of("ada", ActionKind::Pause, "Queue MAIL", "a deploy"),
        of("Ada", ActionKind::Pause, "queue reports", ""),
    ];
    for action in &actions {
        store.record_action(action.clone()).await.unwrap();
        harness.clock().advance(secs(1));
    }
    let listed = async |filter: ActionFilter| -> Vec<usize> {
        let found = store.actions(filter).await.unwrap();
        let place = |id| actions.iter().position(|action| action.id == id).unwrap();
        found.into_iter().map(|recorded| place(recorded.action.id)).collect()
    };
    let all = ActionFilter::default;
    let text = |text: &str| Some(text.to_owned());

    assert_eq!(listed(ActionFilter { by: text("ada"), ..all() }).await, [2, 0]);
    assert_eq!(listed(ActionFilter { kind: Some(ActionKind::Pause), ..all() }).await, [3, 2]);
    assert_eq!(listed(ActionFilter { subject: text(run), ..all() }).await, [1, 0]);
    assert_eq!(listed(ActionFilter { subject: text("queue mail"), ..all() }).await, [2]);
    assert_eq!(listed(ActionFilter { from: Some(at(1000)), to: Some(at(3000)), ..all() }).await, [2, 1]);
    let both = ActionFilter { by: text("ada"), kind: Some(ActionKind::Cancel), ..all() };
    assert_eq!(listed(both.clone()).await, [0]);
    assert_eq!(listed(ActionFilter { before: Some(actions[0].id), ..both }).await, [0; 0]);
    assert_eq!(listed(ActionFilter { subject: text("no such"), ..all() }).await, [0; 0]);
}

pub async fn a_filtered_list_of_actions_comes_in_pages_however_many_lie_between(harness: &dyn Harness) {
    let store = harness.store();
    let mut asked = vec![];
    for number in 0..1_205 {
        let by = if number % 400 == 0 { "ada" } else { "ben" };
        let action = NewAction { by: by.to_owned(), ..action(ActionKind::RunNow) };
        if by == "ada" {
            asked.insert(0, action.id);
        }
        store.record_action(action).await.unwrap();
    }
    let page = async |before| {
        let filter = ActionFilter { by: Some("ada".to_owned()), before, limit: 3, ..ActionFilter::default() };
        let page = store.actions(filter).await.unwrap();
        page.into_iter().map(|recorded| recorded.action.id).collect::<Vec<_>>()
    };

    assert_eq!(page(None).await, asked[..3]);
    assert_eq!(page(Some(asked[2])).await, asked[3..]);
}

pub async fn an_action_says_who_acts(harness: &dyn Harness) {
    let store = harness.store();
    for by in [String::new(), "a".repeat(513), "ada\n".to_owned()] {
        let nobody = NewAction { by, ..action(ActionKind::Cancel) };
        let error = store.record_action(nobody.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert_eq!(store.action(nobody.id).await.unwrap(), None);
    }
    store.record_action(NewAction { by: "a".repeat(512), ..action(ActionKind::Cancel) }).await.unwrap();
}

pub async fn the_texts_of_an_action_are_cleaned_and_cut(harness: &dyn Harness) {
    let store = harness.store();
    let long = NewAction {
        subject: "a\0b".to_owned(),
        detail: "\u{e9}".repeat(1000),
        outcome: "x".repeat(1024),
        ..action(ActionKind::Suppress)
    };
    store.record_action(long.clone()).await.unwrap();

    let kept = store.action(long.id).await.unwrap().expect("it is kept").action;
    assert_eq!(kept.subject, "a\u{fffd}b");
    assert_eq!(kept.detail, format!("{}\u{2026}", "\u{e9}".repeat(510)));
    assert_eq!(kept.outcome, long.outcome);
}
