use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

#[cfg(feature = "real-servers")]
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use crate::{
    process::{Shop, checkout, get},
    smtp_receiver::SmtpReceiver,
};

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn customer(order: usize) -> String {
    format!("customer-{order}@example.com")
}

/// F01, F17: `RIQLE_ORDERS=500 RIQLE_KILLS=50` is the long run.
#[tokio::test(flavor = "multi_thread")]
async fn orders_that_come_while_the_shop_is_killed_again_and_again_are_each_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let jobs_url = format!("sqlite:{}", folder.path().join("shop.db").display());
    each_order_is_confirmed(&jobs_url, None, 1).await;
}

/// F18: the orders are in one file, the runs in another store; what is staged is moved by the shop's own relay.
#[tokio::test(flavor = "multi_thread")]
async fn orders_that_are_staged_while_the_shop_is_killed_are_each_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name| format!("sqlite:{}", folder.path().join(name).display());
    each_order_is_confirmed(&file("jobs.db"), Some(&file("shop.db")), 1).await;
}

#[cfg(feature = "real-servers")]
#[tokio::test(flavor = "multi_thread")]
async fn orders_that_are_staged_for_redis_while_the_shop_is_killed_are_each_confirmed() {
    let server = std::env::var("REDIS_URL").expect("REDIS_URL names a server; `cargo xtask test` starts one");
    let folder = tempfile::tempdir().unwrap();
    let shop_db = format!("sqlite:{}", folder.path().join("shop.db").display());
    let separator = if server.contains('?') { '&' } else { '?' };
    let prefix = format!("shop_{}", riqle_jobs::RunId::new().as_uuid().simple());
    let jobs_url = format!("{server}{separator}prefix={prefix}");
    each_order_is_confirmed(&jobs_url, Some(&shop_db), 1).await;
}

/// Two shops on one database, each killed in turn.
#[cfg(feature = "real-servers")]
#[tokio::test(flavor = "multi_thread")]
async fn orders_that_come_while_two_shops_on_postgresql_are_killed_are_each_confirmed() {
    let server =
        std::env::var("DATABASE_URL").expect("DATABASE_URL names a server; `cargo xtask test` starts one");
    let schema = format!("shop_{}", riqle_jobs::RunId::new().as_uuid().simple());
    let mut connection = PgConnection::connect(&server).await.unwrap();
    let create = format!("CREATE SCHEMA {schema}");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    let separator = if server.contains('?') { '&' } else { '?' };
    // The shop's own tables go where the search path points.
    let jobs_url = format!("{server}{separator}schema={schema}&options=-c%20search_path%3D{schema}");
    each_order_is_confirmed(&jobs_url, None, 2).await;
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
}

/// With `shop_db` the shop's own tables are there, and stage the runs.
async fn each_order_is_confirmed(jobs_url: &str, shop_db: Option<&str>, shops: usize) {
    let (orders, kills) = (setting("RIQLE_ORDERS", 100), setting("RIQLE_KILLS", 8));
    let receiver = SmtpReceiver::start().await;
    let start = async |mail_url: &str| match shop_db {
        Some(shop_db) => Shop::start_staging(jobs_url, shop_db, mail_url).await,
        None => Shop::start(jobs_url, mail_url).await,
    };
    let mail_url = format!("smtp://{}?tls=none", receiver.address);
    let mut all = Vec::new();
    for _ in 0..shops {
        all.push(start(&mail_url).await);
    }

    // Orders are released as the kills go on, so that each kill finds some under way.
    let released = Arc::new(Semaphore::new(0));
    let taken = Arc::new(AtomicUsize::new(0));
    let mut customers = JoinSet::new();
    for order in 0..orders {
        let (released, taken, address) =
            (Arc::clone(&released), Arc::clone(&taken), all[order % shops].address);
        customers.spawn(async move {
            released.acquire().await.unwrap().forget();
            let event = checkout(&format!("evt_{order}"), &format!("order-{order}"), &customer(order));
            while deliver(address, &event).await != Some(200) {
                // As Stripe does: again, until it is taken.
                sleep(Duration::from_millis(25)).await;
            }
            taken.fetch_add(1, Ordering::SeqCst);
        });
    }
    for kill in 0..kills {
        released.add_permits(orders / kills + usize::from(kill < orders % kills));
        // Some orders of this round are in before the blow falls, at a point that differs from round to round.
        let already = taken.load(Ordering::SeqCst);
        while taken.load(Ordering::SeqCst) == already && taken.load(Ordering::SeqCst) < orders {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_millis((kill as u64 * 7_919) % 97)).await;
        all[kill % shops].kill_and_restart().await;
    }
    for shop in &all {
        shop.is_up().await;
    }
    customers.join_all().await;

    let shop = &all[0];
    // What was claimed at a kill waits for its lease, 30 s.
    let all_fulfilled = async {
        for order in 0..orders {
            while !is_fulfilled(shop, order).await {
                sleep(Duration::from_millis(100)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(180), all_fulfilled).await.expect("an order is not fulfilled");

    let mut repeated = 0;
    for order in 0..orders {
        let (_, emails) = get(shop.address, &format!("/orders/order-{order}/emails")).await.unwrap();
        let rows = emails.as_array().unwrap();
        assert_eq!(rows.len(), 1, "{emails}");
        assert_eq!(rows[0]["status"], "sent", "{emails}");
        let mut ids = receiver.message_ids(&customer(order));
        let deliveries = ids.len() as u64;
        let sends = rows[0]["sends"].as_u64().unwrap();
        assert!(deliveries >= 1 && deliveries <= sends, "{deliveries} deliveries, {emails}");
        repeated += usize::from(deliveries > 1);
        ids.dedup();
        assert_eq!(ids.len(), 1, "order {order} came under several Message-IDs: {ids:?}");
        assert_eq!(rows[0]["messageId"], ids[0]);
    }
    eprintln!(
        "{orders} orders, {kills} kills: each confirmed, {repeated} delivered again under the same Message-ID"
    );
}

async fn is_fulfilled(shop: &Shop, order: usize) -> bool {
    let answer = get(shop.address, &format!("/orders/order-{order}")).await;
    answer.is_some_and(|(_, order)| order["fulfilledAt"].is_string())
}

async fn deliver(address: std::net::SocketAddr, event: &serde_json::Value) -> Option<u16> {
    Shop::deliver_to(address, event).await.ok().map(|(status, _)| status)
}
