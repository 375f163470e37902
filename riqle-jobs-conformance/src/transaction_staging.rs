//! What is staged in a transaction for another store, and steps that are kept for its runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use riqle_jobs_core::{
    AsStaging, Database, DatabaseTransaction, Enqueued, Error, ErrorKind, Job, JobError, Jobs, LeaseToken,
    Memory, Relay, RetryPolicy, RunContext, RunFilter, RunId, RunState, StepPath, Transaction, Worker,
    schedule::Schedule,
    store::{STEPS_KEPT, ScheduleFilter, StagedRequest},
};

use super::transaction::{Bill, Greet, Order, ShopHarness, ada, runs, state};
use crate::{AroundCommit, Fault, UnreliableStaging, given::json};

pub async fn what_is_enqueued_for_another_store_arrives_after_the_commit<H: ShopHarness>(shop: &H) {
    let store = Memory::with_clock(shop.clock());
    let jobs = Jobs::new(&store).staged_in(shop.store());
    jobs.declare::<Greet>().await.unwrap();
    let relay = Relay::new(shop.store(), &store);
    for committed in [false, true] {
        let mut tx = jobs.begin().await.unwrap();
        H::insert_order(&mut tx).await;
        let run = tx.enqueue(ada()).delay(Duration::from_secs(60)).await.unwrap();
        assert!(matches!(run, Enqueued::Staged(_)) && !run.is_new());
        tx.send_event("user/created", &ada()).await.unwrap();
        match committed {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        relay.run_until_idle().await.unwrap();
        assert_eq!(state(&jobs, run.id()).await, committed.then_some(RunState::Pending));
    }
    assert_eq!((shop.orders().await, runs(&jobs).await.len()), (1, 1));
    assert!(runs(&Jobs::new(shop.store())).await.is_empty(), "nothing is enqueued where it is staged");
}

pub async fn a_staged_cancel_is_done_in_its_order<H: ShopHarness>(shop: &H) {
    let store = Memory::new();
    let jobs = Jobs::new(&store).staged_in(shop.store());
    let mut ids = Vec::new();
    let mut tx = jobs.begin().await.unwrap();
    ids.push(tx.enqueue(ada()).await.unwrap().id());
    ids.push(tx.enqueue(Bill(7)).await.unwrap().id());
    assert_eq!(tx.cancel(RunFilter::pending().of::<Greet>()).await.unwrap(), None);
    ids.push(tx.enqueue(ada()).await.unwrap().id());
    tx.commit().await.unwrap();
    Relay::new(shop.store(), &store).run_until_idle().await.unwrap();
    let mut states = Vec::new();
    for id in ids {
        states.push(state(&jobs, id).await.unwrap());
    }
    assert_eq!(states, [RunState::Cancelled, RunState::Pending, RunState::Pending]);
}

/// Counts in a step of a database beside its own store.
struct Count<H: ShopHarness> {
    jobs: Jobs<AroundCommit<H::Database>>,
    done: Arc<AtomicU32>,
}

impl<H: ShopHarness> Job for Count<H> {
    type Input = Order;
    type Output = u32;

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::fixed(Duration::ZERO)
    }

    async fn run(&self, run: &RunContext, _: Order) -> Result<u32, JobError> {
        let count = async |tx: &mut Transaction<AroundCommit<H::Database>>| {
            H::insert_order(tx).await;
            tx.enqueue(ada()).await?;
            Ok(self.done.fetch_add(1, Ordering::SeqCst) + 1)
        };
        let done = run.step_in(&self.jobs, "count", count).await?;
        if run.attempt() < 3 {
            return Err(JobError::retry("once more"));
        }
        Ok(done)
    }
}

pub async fn a_step_for_a_run_of_another_store_is_held_to_once_by_what_is_kept_of_it<H: ShopHarness>(
    shop: &H,
) {
    let store = Memory::with_clock(shop.clock());
    // The worker hears nothing of the first commit, and saves nothing with the run.
    let commits = AtomicU32::new(0);
    let lost = move || match commits.fetch_add(1, Ordering::SeqCst) {
        0 => Err(Error::new(ErrorKind::Unavailable, "commit", "no answer")),
        _ => Ok(()),
    };
    let jobs = Jobs::new(&store).staged_in(&AroundCommit::new(shop.store().clone(), || Ok(()), lost));
    let id = jobs.enqueue(Order("order-1".to_owned())).await.unwrap().id();
    let done = Arc::new(AtomicU32::new(0));
    let job = Count::<H> { jobs: jobs.clone(), done: Arc::clone(&done) };
    Worker::new(&store).register(job).run_until_idle().await.unwrap();
    Relay::new(shop.store(), &store).run_until_idle().await.unwrap();
    assert_eq!(state(&jobs, id).await, Some(RunState::Succeeded));
    assert_eq!((done.load(Ordering::SeqCst), shop.orders().await), (1, 1));
    assert_eq!(jobs.runs(RunFilter::all().of::<Greet>()).await.unwrap().len(), 1);
    let steps = jobs.steps(id).await.unwrap();
    assert_eq!(steps.iter().map(|step| step.path.as_str()).collect::<Vec<_>>(), ["count"]);
}

pub async fn of_two_that_take_a_step_at_once_the_second_gets_what_the_first_has_kept<H: ShopHarness>(
    shop: &H,
) {
    let (run, path) = (RunId::new(), StepPath::new("count").unwrap());
    let mut first = shop.store().begin().await.unwrap();
    assert_eq!(first.take_step(run, &path).await.unwrap(), None);
    let (store, of_second) = (shop.store().clone(), path.clone());
    let second = tokio::spawn(async move {
        let mut second = store.begin().await.unwrap();
        second.take_step(run, &of_second).await.unwrap()
    });
    first.keep_step(run, &path, json("1")).await.unwrap();
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), Some(json("1")));
    // What was rolled back is kept by nobody.
    let other = RunId::new();
    let mut undone = shop.store().begin().await.unwrap();
    undone.take_step(other, &path).await.unwrap();
    undone.keep_step(other, &path, json("2")).await.unwrap();
    undone.rollback().await.unwrap();
    assert_eq!(shop.store().begin().await.unwrap().take_step(other, &path).await.unwrap(), None);
}

pub async fn a_kept_step_is_forgotten_after_its_time<H: ShopHarness>(shop: &H) {
    let (run, path) = (RunId::new(), StepPath::new("count").unwrap());
    let mut tx = shop.store().begin().await.unwrap();
    tx.take_step(run, &path).await.unwrap();
    tx.keep_step(run, &path, json("1")).await.unwrap();
    tx.commit().await.unwrap();
    let staging = shop.store().as_staging();
    shop.clock().advance(STEPS_KEPT);
    assert_eq!(staging.forget_kept_steps().await.unwrap(), 0);
    shop.clock().advance(Duration::from_millis(1));
    assert_eq!(staging.forget_kept_steps().await.unwrap(), 1);
    assert_eq!(shop.store().begin().await.unwrap().take_step(run, &path).await.unwrap(), None);
}

pub async fn of_two_relays_none_takes_a_cancel_before_what_was_staged_ahead_of_it<H: ShopHarness>(shop: &H) {
    let jobs = Jobs::new(&Memory::with_clock(shop.clock())).staged_in(shop.store());
    for _ in 0..2 {
        let mut tx = jobs.begin().await.unwrap();
        tx.enqueue(ada()).await.unwrap();
        tx.cancel(RunFilter::pending().of::<Greet>()).await.unwrap();
        tx.commit().await.unwrap();
    }
    let (one, other) = (LeaseToken::new(), LeaseToken::new());
    let taken = async |token, limit| {
        let lease = Duration::from_secs(10);
        let request = StagedRequest { token, after: None, limit, bytes: 1 << 20, lease };
        let taken = shop.store().as_staging().take_staged(request).await.unwrap();
        taken.into_iter().map(|staged| staged.number).collect::<Vec<_>>()
    };
    let first = taken(one, 1).await;
    assert_eq!(first.len(), 1);
    assert!(
        taken(other, 10).await.is_empty(),
        "the cancel waits for the run before it, and holds up what is behind"
    );
    shop.store().as_staging().remove_staged(first).await.unwrap();
    let rest = taken(other, 10).await;
    assert_eq!(rest.len(), 3);
    assert!(taken(one, 10).await.is_empty());
    // Its relay is gone; nothing waits for ever.
    shop.clock().advance(Duration::from_secs(10));
    assert_eq!(taken(one, 10).await, rest);
}

pub async fn a_repeated_cancel_leaves_alone_what_was_staged_after_it<H: ShopHarness>(shop: &H) {
    let store = Memory::with_clock(shop.clock());
    let jobs = Jobs::new(&store).staged_in(shop.store());
    let mut tx = jobs.begin().await.unwrap();
    tx.cancel(RunFilter::pending().of::<Greet>()).await.unwrap();
    let new = tx.enqueue(ada()).await.unwrap().id();
    tx.commit().await.unwrap();
    // The relay hears nothing of its removal, and makes every round again.
    let staging = shop.store().as_staging();
    let lost = AtomicBool::new(false);
    let faults = move |operation: &'static str| {
        let is_first = operation == "remove_staged" && !lost.swap(true, Ordering::SeqCst);
        is_first.then_some(Fault::Before)
    };
    let unreliable: Arc<dyn riqle_jobs_core::Staging> = Arc::new(UnreliableStaging::new(staging, faults));
    let relay = Relay::new(&unreliable, &store);
    assert!(relay.run_until_idle().await.is_err());
    assert_eq!(state(&jobs, new).await, None, "it has not moved before the cancel was removed");
    relay.run_until_idle().await.unwrap();
    assert_eq!(state(&jobs, new).await, Some(RunState::Pending));
}

pub async fn a_schedule_that_is_staged_is_made_where_its_job_runs<H: ShopHarness>(shop: &H) {
    let store = Memory::with_clock(shop.clock());
    let jobs = Jobs::new(&store).staged_in(shop.store());
    let relay = Relay::new(shop.store(), &store);
    let (announced, staging) = (Jobs::new(&store), shop.store().as_staging());
    let ends = async |name: &str, committed| -> Vec<String> {
        let mut tx = jobs.begin().await.unwrap();
        tx.schedule(Schedule::every(name, Duration::from_secs(60), ada())).await.unwrap();
        match committed {
            true => tx.commit().await.unwrap(),
            false => tx.rollback().await.unwrap(),
        }
        relay.run_until_idle().await.unwrap();
        let made = announced.schedules(ScheduleFilter::default()).await.unwrap();
        made.into_iter().map(|schedule| schedule.name).collect()
    };

    // Of a job that nobody has announced, it is kept aside and holds up nothing.
    assert!(ends("tenant-7", true).await.is_empty());
    let refused = staging.refused_staged(10, None).await.unwrap().remove(0);
    assert!(refused.error.contains("is registered"), "{}", refused.error);
    announced.declare::<Greet>().await.unwrap();
    staging.stage_again(refused.number).await.unwrap();

    assert_eq!(ends("tenant-8", false).await, ["tenant-7"]);
    assert_eq!(ends("tenant-8", true).await, ["tenant-7", "tenant-8"]);
    assert!(Jobs::new(shop.store()).schedules(ScheduleFilter::default()).await.unwrap().is_empty());
}
