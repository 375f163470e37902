//! What an application does to schedules in its transactions: nobody waits for their end.

use std::time::Duration;

use riqle_jobs_core::{
    ErrorKind, JobError, JobFn, Jobs, RunContext, RunFilter, RunState, Worker, schedule::Schedule,
    store::ScheduleFilter,
};
use tokio::time::sleep;

use super::transaction::{Greet, ShopHarness, ada, runs, state};

const HOUR: Duration = Duration::from_secs(3_600);

pub async fn a_schedule_of_a_transaction_is_made_after_its_commit_alone<H: ShopHarness>(shop: &H) {
    let jobs = Jobs::new(shop.store());
    let worker = Worker::new(shop.store()).register(JobFn::new(|_: RunContext, _: Greet| async { Ok(()) }));
    let scheduled = async || -> Vec<String> {
        worker.run_until_idle().await.unwrap();
        let all = jobs.schedules(ScheduleFilter::default()).await.unwrap();
        all.into_iter().map(|schedule| schedule.name).collect()
    };
    let daily = |name: &str| Schedule::cron(name, "0 8 * * *", ada());
    for committed in [false, true] {
        let mut tx = jobs.begin().await.unwrap();
        H::insert_order(&mut tx).await;
        tx.schedule(daily("tenant-7")).await.unwrap();
        let wrong = tx.schedule(Schedule::cron("wrong", "0 25 * * *", ada())).await.unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::Rejected);
        match committed {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        let expected: &[&str] = if committed { &["tenant-7"] } else { &[] };
        assert_eq!(scheduled().await, expected);
    }
    assert_eq!(shop.orders().await, 1);

    // An open transaction keeps nobody from what is there.
    let mut tx = jobs.begin().await.unwrap();
    tx.schedule(Schedule::cron("tenant-7", "0 9 * * *", ada())).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(scheduled().await, ["tenant-7"]);
    let rule = jobs.schedules(ScheduleFilter::default()).await.unwrap().remove(0).state.rule;
    assert_eq!(rule.to_string(), "at 09:00 every day, UTC");
}

pub async fn a_tick_that_waits_starts_once_a_cancel_of_the_earlier_run_has_committed<H: ShopHarness>(
    shop: &H,
) {
    let jobs = Jobs::new(shop.store());
    let asleep = |_: RunContext, _: Greet| async { Err::<(), _>(JobError::snooze(HOUR * 24, "asleep")) };
    let worker = Worker::new(shop.store()).register(JobFn::new(asleep));
    worker.run_until_idle().await.unwrap();
    jobs.schedule(Schedule::every("hourly", HOUR, ada())).await.unwrap();
    for _ in 0..2 {
        shop.clock().advance(HOUR);
        worker.run_until_idle().await.unwrap();
    }
    let first = runs(&jobs).await[0].id;
    for committed in [false, true] {
        let mut tx = jobs.begin().await.unwrap();
        assert_eq!(tx.cancel(RunFilter::pending()).await.unwrap(), Some(1));
        match committed {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        worker.run_until_idle().await.unwrap();
        assert_eq!(runs(&jobs).await.len(), if committed { 2 } else { 1 });
    }
    assert_eq!(state(&jobs, first).await, Some(RunState::Cancelled));

    // A tick that begins to wait while such a cancel is open.
    let mut tx = jobs.begin().await.unwrap();
    assert_eq!(tx.cancel(RunFilter::pending()).await.unwrap(), Some(1));
    shop.clock().advance(HOUR);
    let (ticked, ()) = tokio::join!(worker.run_until_idle(), async {
        // On SQLite the tick waits for this commit; elsewhere it is written before, as a rule.
        sleep(Duration::from_millis(100)).await;
        tx.commit().await.unwrap();
    });
    ticked.unwrap();
    worker.run_until_idle().await.unwrap();
    assert_eq!(runs(&jobs).await.len(), 3);
}
