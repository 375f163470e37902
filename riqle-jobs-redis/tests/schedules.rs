//! Schedules whose job moves to another queue, and so to another slot, where that is interrupted.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use redis::Commands;
use riqle_jobs_core::{
    Jobs, ManualClock, Payload, Priority, Registry, Timestamp,
    schedule::{NewSchedule, Rule},
    store::{DueRequest, JobDeclaration, JobRules, ScheduleFilter, Schedules},
};
use riqle_jobs_redis::Redis;

use crate::support::{Prefix, redis_url};

const HOUR: Duration = Duration::from_secs(3_600);
/// Job and name, as they are kept.
const FIELD: &[u8] = b"sync\0hourly";

/// A schedule of a job in the queue "old", due by now.
async fn due_in_old(prefix: &Prefix) -> Redis {
    let clock = ManualClock::new();
    let store = prefix.open(&clock).await;
    let job = JobDeclaration {
        name: "sync".to_owned(),
        queue: "old".to_owned(),
        priority: Priority::DEFAULT,
        trigger: None,
        policy: None,
        rules: JobRules::default(),
    };
    store.register_jobs(vec![job]).await.unwrap();
    let rule = Rule::Every { period: HOUR, from: Timestamp::UNIX_EPOCH };
    let schedule = NewSchedule::new("sync", "hourly", rule, Payload::json(&7).unwrap());
    Jobs::new(&store).schedule_named(schedule).await.unwrap();
    clock.advance(HOUR);
    store
}

/// The keys of a queue, as a move leaves them that goes down half way.
struct Slot {
    connection: redis::Connection,
    begin: String,
}

impl Slot {
    fn of(prefix: &Prefix, queue: &str) -> Self {
        let connection = redis::Client::open(redis_url()).unwrap().get_connection().unwrap();
        Self { connection, begin: format!("{}:{{{queue}}}:schedules", prefix.name) }
    }

    fn close(&mut self) {
        let () = self.connection.sadd(format!("{}:closed", self.begin), FIELD).unwrap();
    }

    fn row(&mut self) -> Vec<u8> {
        self.connection.hget(&self.begin, FIELD).unwrap()
    }

    fn put(&mut self, row: &[u8]) {
        let () = self.connection.hset(&self.begin, FIELD, row).unwrap();
        let () = self.connection.zadd(format!("{}:names", self.begin), FIELD, 0).unwrap();
    }
}

async fn due_in(store: &Redis, queue: &str) -> usize {
    let request = DueRequest { queue: queue.to_owned(), jobs: ["sync".to_owned()].into(), limit: 10 };
    store.due_schedules(request).await.unwrap().schedules.len()
}

#[tokio::test]
async fn a_move_that_was_interrupted_goes_on() {
    let prefix = Prefix::on_server();
    let store = due_in_old(&prefix).await;
    assert_eq!(due_in(&store, "old").await, 1);
    Slot::of(&prefix, "old").close();
    assert_eq!((due_in(&store, "old").await, due_in(&store, "new").await), (0, 0));

    store.gather_schedules("sync", "new").await.unwrap();
    assert_eq!((due_in(&store, "old").await, due_in(&store, "new").await), (0, 1));
    assert_eq!(store.schedules(ScheduleFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_to_move_and_stays_after_all_is_due_again() {
    let prefix = Prefix::on_server();
    let store = due_in_old(&prefix).await;
    Slot::of(&prefix, "old").close();
    store.gather_schedules("sync", "old").await.unwrap();
    assert_eq!(due_in(&store, "old").await, 1);
}

#[tokio::test]
async fn what_moved_and_comes_back_replaces_what_its_move_left_behind() {
    let prefix = Prefix::on_server();
    let store = due_in_old(&prefix).await;
    let mut old = Slot::of(&prefix, "old");
    let row = old.row();
    store.gather_schedules("sync", "new").await.unwrap();
    assert_eq!(due_in(&store, "new").await, 1);
    old.put(&row);
    old.close();

    store.gather_schedules("sync", "old").await.unwrap();
    assert_eq!((due_in(&store, "old").await, due_in(&store, "new").await), (1, 0));
    assert_eq!(store.schedules(ScheduleFilter::default()).await.unwrap().len(), 1);
}
