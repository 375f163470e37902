use std::path::Path;

use riqle_jobs::{Jobs, RunFilter};
use serde_json::{Value, json};

use crate::process::{Shop, checkout, eventually, get, refund};

/// A shop, with the folder of its file and its emails.
async fn shop() -> (Shop, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mail = format!("file:{}", folder.path().join("mail").display());
    let jobs_url = format!("sqlite:{}", folder.path().join("shop.db").display());
    (Shop::start(&jobs_url, &mail).await, folder)
}

/// The subjects of the refund emails, in alphabetical order.
fn refunds_told(folder: &Path) -> Vec<String> {
    let Ok(emails) = std::fs::read_dir(folder.join("mail")) else { return Vec::new() };
    let texts = emails.map(|email| std::fs::read_to_string(email.unwrap().path()).unwrap_or_default());
    let subject =
        |text: String| text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned));
    let mut subjects: Vec<_> =
        texts.filter_map(subject).filter(|subject| subject.contains("refund")).collect();
    subjects.sort();
    subjects
}

/// The errors of the dead letters, the first one first, each with the number of its attempts.
async fn dead_letters(folder: &Path) -> Vec<(String, usize)> {
    let store = riqle_jobs::connect(&format!("sqlite:{}", folder.join("shop.db").display())).await.unwrap();
    let mut runs = Jobs::new(&store).runs(RunFilter::dead()).await.unwrap();
    runs.reverse();
    runs.iter().map(|run| (run.error().unwrap_or_default().to_owned(), run.attempts.len())).collect()
}

async fn order(shop: &Shop, id: &str) -> Value {
    get(shop.address, &format!("/orders/{id}")).await.unwrap().1
}

async fn deliver(shop: &Shop, event: &Value) {
    let (status, answer) = shop.deliver(event).await.unwrap();
    assert!(status == 200 && answer["run"].is_string(), "{status} {answer}");
}

#[tokio::test]
async fn a_refund_that_comes_before_its_purchase_is_told_once_that_is_there() {
    let (shop, folder) = shop().await;
    // One order is not in the shop's table yet, the other is, and not paid.
    for id in ["order-7", "order-1001"] {
        deliver(&shop, &refund(&format!("evt_refund_{id}"), id, 0, 1000)).await;
    }
    assert_eq!(order(&shop, "order-1001").await["refundedAmount"], 0);
    for id in ["order-7", "order-1001"] {
        deliver(&shop, &checkout(&format!("evt_paid_{id}"), id, "ada@example.com")).await;
        let told = eventually("the refund is told", async || {
            let order = order(&shop, id).await;
            order["refundedAt"].is_string().then_some(order)
        });
        let order = told.await;
        assert_eq!((&order["refundedAmount"], &order["status"]), (&json!(1000), &json!("paid")));
    }
    let expected = ["order-1001", "order-7"].map(|id| format!("Your refund of $10.00 for Riqle order {id}"));
    assert_eq!(refunds_told(folder.path()), expected);
}

#[tokio::test]
async fn refunds_in_parts_are_each_told_once_and_the_orders_state_follows_their_sum() {
    let (shop, folder) = shop().await;
    deliver(&shop, &checkout("evt_paid", "order-7", "ada@example.com")).await;
    let mut first_told = None;
    for (number, (before, sum)) in [(0, 1000), (1000, 3000), (3000, 5300)].into_iter().enumerate() {
        let mut event = refund(&format!("evt_{number}"), "order-7", before, sum);
        if number == 1 {
            // As a charge of a customer without an address: the order's is used.
            event["data"]["object"]["billing_details"]["email"] = Value::Null;
            // And as an event that does not say what was refunded before: what was told so far.
            event["data"]["previous_attributes"] = json!({});
        }
        deliver(&shop, &event).await;
        // Another event of the same refund, and the same event again.
        let mut again = event.clone();
        again["id"] = format!("evt_again_{number}").into();
        deliver(&shop, &again).await;
        deliver(&shop, &event).await;
        let told = eventually("the refund is told", async || {
            let order = order(&shop, "order-7").await;
            let is_told = refunds_told(folder.path()).len() == number + 1 && order["refundedAt"].is_string();
            is_told.then_some(order)
        });
        let order = told.await;
        let status = if sum == 5300 { "refunded" } else { "paid" };
        assert_eq!((&order["refundedAmount"], &order["status"]), (&json!(sum), &json!(status)));
        let first = first_told.get_or_insert_with(|| order["refundedAt"].clone());
        assert_eq!(&order["refundedAt"], first);
    }
    let expected = ["$10.00", "$20.00", "$23.00"]
        .map(|amount| format!("Your refund of {amount} for Riqle order order-7"));
    assert_eq!(refunds_told(folder.path()), expected);
    let (_, emails) = get(shop.address, "/orders/order-7/emails").await.unwrap();
    let to: Vec<_> = emails.as_array().unwrap().iter().map(|row| row["to"].as_str().unwrap()).collect();
    assert_eq!(to, ["ada@example.com"; 4]);
}

#[tokio::test]
async fn refunds_that_do_not_fit_their_order_are_taken_and_dead_at_once_without_an_email() {
    let (shop, folder) = shop().await;
    deliver(&shop, &checkout("evt_paid", "order-7", "ada@example.com")).await;
    let mut other_currency = refund("evt_eur", "order-7", 0, 100);
    other_currency["data"]["object"]["currency"] = "eur".into();
    let mut no_currency = refund("evt_zzz", "order-7", 0, 101);
    no_currency["data"]["object"]["currency"] = "zzz".into();
    let events = [
        refund("evt_larger", "order-7", 0, 5301),
        refund("evt_negative", "order-7", 2000, 500),
        refund("evt_nothing", "order-7", 700, 700),
        other_currency,
        no_currency,
    ];
    for event in &events {
        deliver(&shop, event).await;
    }
    deliver(&shop, &refund("evt_right", "order-7", 0, 5300)).await;
    let order = eventually("the right refund is told", async || {
        let order = order(&shop, "order-7").await;
        (order["status"] == "refunded" && order["refundedAt"].is_string()).then_some(order)
    });
    assert_eq!(order.await["refundedAmount"], 5300);
    assert_eq!(refunds_told(folder.path()), ["Your refund of $53.00 for Riqle order order-7"]);
    let errors = [
        "a refund of $53.01 does not fit: $53.00 of $53.00 is left",
        "a refund of -$15.00 does not fit: $53.00 of $53.00 is left",
        "a refund of $0.00 does not fit: $53.00 of $53.00 is left",
        "a refund of €1.00 does not fit: $53.00 of $53.00 is left",
        "a refund of 101 in \"zzz\", which is not a currency, does not fit: $53.00 of $53.00 is left",
    ];
    let expected = errors.map(|error| (format!("step \"add-refund\": order \"order-7\": {error}"), 1));
    let dead = eventually("five dead letters", async || {
        let dead = dead_letters(folder.path()).await;
        (dead.len() == 5).then_some(dead)
    });
    let mut dead = dead.await;
    // They died side by side, in any order.
    let mut expected = expected.to_vec();
    dead.sort();
    expected.sort();
    assert_eq!(dead, expected);
}

#[tokio::test]
async fn an_order_in_a_currency_that_does_not_exist_is_a_dead_letter_at_once() {
    let (shop, folder) = shop().await;
    let mut paid = checkout("evt_zzz", "order-8", "ada@example.com");
    paid["data"]["object"]["currency"] = "zzz".into();
    deliver(&shop, &paid).await;
    let dead = eventually("the run is dead", async || dead_letters(folder.path()).await.pop());
    let (error, attempts) = dead.await;
    assert!(error.contains("not a currency code of ISO 4217"), "{error}");
    assert_eq!(attempts, 1);
}
