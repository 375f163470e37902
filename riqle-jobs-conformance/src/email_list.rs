//! Which emails are listed, and the addresses that nothing is sent to.

use riqle_jobs_core::{
    RunId,
    email::{EmailDetail, EmailFilter, EmailStatus},
};

use crate::{
    Harness,
    given::{email::*, *},
};

pub async fn emails_are_listed_newest_first_by_what_is_asked(harness: &dyn Harness) {
    let store = harness.store();
    let run = RunId::new();
    let mut ids = vec![];
    for number in 0..4 {
        harness.clock().advance(ms(1));
        let mut email = email(&format!("key-{number}"));
        email.run_id = (number % 2 == 0).then_some(run);
        if number == 3 {
            email.reference = Some("order-1002".to_owned());
            email.to = "grace@bücher.example".to_owned();
        }
        ids.push(intended(&*store, email).await);
    }
    let sender = started(&*store, ids[1]).await;
    store
        .end_email(ids[1], sender, not_sent(EmailStatus::Failed, EmailDetail::Rejected, "no"))
        .await
        .unwrap();
    let listed = async |filter| {
        let rows = store.emails(filter).await.unwrap();
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let all = EmailFilter::default();

    assert_eq!(listed(all.clone()).await, [ids[3], ids[2], ids[1], ids[0]]);
    let failed = all.clone().status(EmailStatus::Failed);
    assert_eq!(listed(failed).await, [ids[1]]);
    let pending = all.clone().status(EmailStatus::Pending);
    assert_eq!(listed(pending).await, [ids[3], ids[2], ids[0]]);
    let details = |details: &[EmailDetail]| all.clone().details(details);
    assert_eq!(listed(details(&[EmailDetail::Rejected])).await, [ids[1]]);
    assert_eq!(listed(details(&[EmailDetail::Queued])).await, [ids[3], ids[2], ids[0]]);
    let both = details(&[EmailDetail::Rejected, EmailDetail::Queued]);
    assert_eq!(listed(both.clone().limit(3)).await, [ids[3], ids[2], ids[1]]);
    assert_eq!(listed(both.before(ids[2])).await, [ids[1], ids[0]]);
    assert!(listed(details(&[EmailDetail::Bounced])).await.is_empty());
    let failed_queued = details(&[EmailDetail::Queued]).status(EmailStatus::Failed);
    assert!(listed(failed_queued).await.is_empty());
    let order = all.clone().reference("order-1001");
    assert_eq!(listed(order).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(listed(all.clone().run_id(run)).await, [ids[2], ids[0]]);
    for spelling in ["grace@bücher.example", "GRACE@BÜCHER.EXAMPLE", "grace@xn--bcher-kva.example"] {
        let to = all.clone().to(spelling);
        assert_eq!(listed(to).await, [ids[3]], "{spelling}");
    }
    assert_eq!(listed(all.clone().limit(2)).await, [ids[3], ids[2]]);
    let second_page = all.limit(2).before(ids[2]);
    assert_eq!(listed(second_page).await, [ids[1], ids[0]]);
}

pub async fn a_suppressed_address_is_known_in_every_spelling(harness: &dyn Harness) {
    let store = harness.store();
    store.suppress("ada@xn--bcher-kva.example", "bounced").await.unwrap();
    let spellings = [
        "ada@bücher.example",
        "Ada@BÜCHER.Example",
        "ada@bu\u{308}cher.example",
        "ada＠bücher。example",
        "a\u{200b}da@bücher.example\u{feff}",
        "\"ada\"@bücher.example.",
    ];

    let other = harness.second_handle().await;
    for spelling in spellings {
        assert_eq!(other.suppression(spelling).await.unwrap().as_deref(), Some("bounced"), "{spelling:?}");
        other.unsuppress(spelling).await.unwrap();
        assert_eq!(store.suppression("ada@xn--bcher-kva.example").await.unwrap(), None, "{spelling:?}");
        store.suppress(spelling, "bounced").await.unwrap();
        let listed = other.suppressions(10, None).await.unwrap();
        let addresses: Vec<&str> = listed.iter().map(|one| one.address.as_str()).collect();
        assert_eq!(addresses, ["ada@xn--bcher-kva.example"], "{spelling:?}");
    }
    for another in ["ada@bucher.example", "a.da@bücher.example", "ada@xn--bcher-kva.example.com"] {
        assert_eq!(other.suppression(another).await.unwrap(), None, "{another}");
    }
}

pub async fn a_suppressed_address_is_known_in_any_case_and_keeps_its_first_reason(harness: &dyn Harness) {
    let store = harness.store();

    store.suppress("Ada@Example.com", "bounced").await.unwrap();
    store.suppress("ada@example.com", "complained").await.unwrap();

    let other = harness.second_handle().await;
    assert_eq!(other.suppression("ADA@EXAMPLE.COM").await.unwrap().as_deref(), Some("bounced"));
    assert_eq!(other.suppression("grace@example.com").await.unwrap(), None);
    other.unsuppress("aDa@example.com").await.unwrap();
    other.unsuppress("aDa@example.com").await.unwrap();
    assert_eq!(store.suppression("ada@example.com").await.unwrap(), None);
}
