//! What an application does in transactions of its SQL database.

use std::{
    future::{Future, IntoFuture, poll_fn},
    ops::DerefMut,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use riqle_jobs_core::{
    AsStaging, AsStore, Database, Enqueued, Error, ErrorKind, Hint, Job, JobError, JobInput, Jobs,
    ManualClock, Memory, NewRun, RetryPolicy, RunContext, RunFilter, RunId, RunState, Store, Transaction,
    Worker,
    store::{JobDeclaration, NewEvent},
};
use serde::{Deserialize, Serialize};

use crate::{
    AroundCommit,
    given::{greets_new_users, json},
};

/// A SQL store on a frozen clock, with a table `orders` of the application beside it.
pub trait ShopHarness: Send + Sync + Sized + 'static {
    /// What the application's statements run on.
    type Connection: Send;
    /// The store's handle.
    type Database: Database<Transaction: DerefMut<Target = Self::Connection>>
        + Store
        + AsStore<Database = Self::Database>
        + AsStaging;

    /// A new one.
    fn start() -> impl Future<Output = Self> + Send;

    /// Its store.
    fn store(&self) -> &Self::Database;

    /// The store's clock.
    fn clock(&self) -> &ManualClock;

    /// Writes an order.
    fn insert_order(connection: &mut Self::Connection) -> impl Future<Output = ()> + Send;

    /// How many orders there are.
    fn orders(&self) -> impl Future<Output = i64> + Send;

    /// Another worker takes over every run that is running.
    fn take_over(store: &Self::Database) -> impl Future<Output = ()> + Send;
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Greet(String);

impl JobInput for Greet {
    const JOB: &'static str = "greet";
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Bill(pub(crate) u32);

impl JobInput for Bill {
    const JOB: &'static str = "bill";
    const QUEUE: &'static str = "money";
}

pub(crate) fn ada() -> Greet {
    Greet("Ada".to_owned())
}

fn jobs<H: ShopHarness>(shop: &H) -> Jobs<H::Database> {
    Jobs::new(shop.store())
}

pub(crate) async fn runs(jobs: &Jobs<impl Sized>) -> Vec<riqle_jobs_core::Run> {
    jobs.runs(RunFilter::all()).await.unwrap()
}

pub(crate) async fn state(jobs: &Jobs<impl Sized>, run: RunId) -> Option<RunState> {
    jobs.run(run).await.unwrap().map(|run| run.state)
}

pub async fn f18_a_commit_makes_the_order_and_its_run_lasting<H: ShopHarness>(shop: &H) {
    let jobs = jobs(shop);
    let mut hints = jobs.store().wake_ups();
    let mut tx = jobs.begin().await.unwrap();
    H::insert_order(&mut tx).await;
    let run = tx.enqueue(ada()).await.unwrap().id();
    assert_eq!(state(&jobs, run).await, None);
    tx.commit().await.unwrap();
    assert_eq!(shop.orders().await, 1);
    assert_eq!(state(&jobs, run).await, Some(RunState::Pending));
    assert_eq!(hints.next().await, Hint::Due(Some("default".to_owned())), "the workers were told");
}

pub async fn f18_a_rollback_leaves_neither_the_order_nor_its_run<H: ShopHarness>(shop: &H) {
    let jobs = jobs(shop);
    let mut tx = jobs.begin().await.unwrap();
    H::insert_order(&mut tx).await;
    tx.enqueue(ada()).unique("ada").await.unwrap();
    tx.rollback().await.unwrap();
    // Dropped is rolled back, too.
    let mut tx = jobs.begin().await.unwrap();
    H::insert_order(&mut tx).await;
    tx.enqueue(ada()).unique("ada").await.unwrap();
    drop(tx);
    assert_eq!(shop.orders().await, 0);
    assert!(runs(&jobs).await.is_empty());
    assert!(jobs.enqueue(ada()).unique("ada").await.unwrap().is_new(), "the key is free");
}

pub async fn what_is_refused_leaves_the_transaction_able_to_commit<H: ShopHarness>(shop: &H) {
    let jobs = jobs(shop);
    jobs.enqueue(ada()).unique("ada").await.unwrap();
    let mut tx = jobs.begin().await.unwrap();
    H::insert_order(&mut tx).await;
    let group =
        vec![NewRun::of(&ada()).unwrap(), NewRun::of(&Greet("Bob".to_owned())).unwrap().unique("ada")];
    let refused = tx.enqueue_runs(group).await.unwrap_err();
    assert_eq!((refused.kind(), refused.index()), (ErrorKind::Conflict, Some(1)));
    tx.commit().await.unwrap();
    assert_eq!(shop.orders().await, 1);
    assert_eq!(runs(&jobs).await.len(), 1);
}

pub async fn runs_of_several_queues_are_enqueued_in_one_call<H: ShopHarness>(shop: &H) {
    let jobs = jobs(shop);
    let mut hints = jobs.store().wake_ups();
    let mut tx = jobs.begin().await.unwrap();
    let group = vec![NewRun::of(&ada()).unwrap(), NewRun::of(&Bill(7)).unwrap(), NewRun::of(&ada()).unwrap()];
    let ids: Vec<_> = group.iter().map(|run| run.id).collect();
    let answers = tx.enqueue_runs(group).await.unwrap();
    assert_eq!(answers, ids.iter().map(|id| Enqueued::New(*id)).collect::<Vec<_>>());
    let bills = tx.enqueue_all([Bill(1), Bill(2)]).await.unwrap();
    tx.commit().await.unwrap();
    for id in ids.into_iter().chain(bills.into_iter().map(Enqueued::id)) {
        assert_eq!(state(&jobs, id).await, Some(RunState::Pending));
    }
    assert_eq!(hints.next().await, Hint::Due(None), "the workers of every queue were told");
}

pub async fn an_event_in_a_transaction_starts_its_runs_with_the_commit_and_once<H: ShopHarness>(shop: &H) {
    let jobs = jobs(shop);
    let declaration = JobDeclaration { queue: "email".to_owned(), ..greets_new_users() };
    jobs.store().register_jobs(vec![declaration]).await.unwrap();
    let event = NewEvent::new("user-7", "user/created", json("\"Ada\""));
    for committed in [false, true, true] {
        let mut tx = jobs.begin().await.unwrap();
        assert_eq!(tx.send_events(vec![event.clone()]).await.unwrap(), ["user-7"]);
        if committed {
            tx.commit().await.unwrap();
        }
    }
    // And by the plain way, which finds the event stored.
    jobs.send_events(vec![event]).await.unwrap();
    let runs = runs(&jobs).await;
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].queue.as_str(), runs[0].event_id.as_deref()), ("email", Some("user-7")));
}

pub async fn a_cancel_takes_effect_with_the_commit<H: ShopHarness>(shop: &H) {
    let jobs = jobs(shop);
    let (one, two) = (jobs.enqueue(ada()).reference("order-7"), jobs.enqueue(ada()).reference("order-8"));
    let (one, two) = (one.await.unwrap().id(), two.await.unwrap().id());
    let of_order = || RunFilter::pending().of::<Greet>().reference("order-7");
    let mut tx = jobs.begin().await.unwrap();
    assert_eq!(tx.cancel(of_order()).await.unwrap(), Some(1));
    tx.rollback().await.unwrap();
    assert_eq!(state(&jobs, one).await, Some(RunState::Pending));
    let mut tx = jobs.begin().await.unwrap();
    H::insert_order(&mut tx).await;
    assert_eq!(tx.cancel(of_order()).await.unwrap(), Some(1));
    assert_eq!(tx.cancel(of_order()).await.unwrap(), Some(0), "it is cancelled already");
    tx.commit().await.unwrap();
    assert_eq!(state(&jobs, one).await, Some(RunState::Cancelled));
    assert_eq!(state(&jobs, two).await, Some(RunState::Pending));
}

/// Waits until it is to stop.
struct Wait(Arc<AtomicBool>);

impl Job for Wait {
    type Input = Greet;
    type Output = ();

    async fn run(&self, run: &RunContext, _: Greet) -> Result<(), JobError> {
        self.0.store(true, Ordering::SeqCst);
        run.cancelled().await;
        Ok(())
    }
}

pub async fn a_worker_is_told_of_a_cancel_once_it_has_committed<H: ShopHarness>(shop: &H) {
    let jobs = jobs(shop);
    let run = jobs.enqueue(ada()).await.unwrap().id();
    let runs = Arc::new(AtomicBool::new(false));
    let worker = Worker::new(shop.store()).register(Wait(Arc::clone(&runs)));
    let cancelled = async {
        while !runs.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut tx = jobs.begin().await.unwrap();
        assert_eq!(tx.cancel(RunFilter::running()).await.unwrap(), Some(1));
        tx.commit().await.unwrap();
    };
    // The body ends for the hint alone: nothing is polled for it before a lease is extended.
    let (ended, ()) = tokio::join!(worker.run_until_idle(), cancelled);
    ended.unwrap();
    assert_eq!(state(&jobs, run).await, Some(RunState::Cancelled));
}

/// Marks an order in a step; what happens between is the case's.
struct Mark<H: ShopHarness> {
    jobs: Jobs<H::Database>,
    between: Between,
    done: Arc<AtomicU32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    /// The first attempt fails in the step, after its writes.
    RolledBack,
    /// The first attempt commits and fails.
    FailedAfterwards,
    /// Another claim takes the run over before the step.
    TakenOver,
    /// The step calls another one.
    StepWithin,
    /// The commit of the step is not answered, and the body calls it again.
    UnansweredCommit,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Order(pub(crate) String);

impl JobInput for Order {
    const JOB: &'static str = "mark";
}

impl<H: ShopHarness> Mark<H> {
    async fn mark<D: Database<Transaction: DerefMut<Target = H::Connection>>>(
        &self,
        run: &RunContext,
        tx: &mut Transaction<D>,
    ) -> Result<u32, JobError> {
        let done = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        H::insert_order(tx).await;
        tx.enqueue(ada()).await?;
        match self.between {
            Between::RolledBack if run.attempt() == 1 => Err(JobError::retry("rolled back")),
            Between::StepWithin => run.step("look-up", || async { Ok(1) }).await,
            _ => Ok(done),
        }
    }
}

impl<H: ShopHarness> Job for Mark<H> {
    type Input = Order;
    type Output = u32;

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::fixed(Duration::ZERO)
    }

    async fn run(&self, run: &RunContext, _: Order) -> Result<u32, JobError> {
        if self.between == Between::UnansweredCommit {
            let lost = || Err(Error::new(ErrorKind::Unavailable, "commit", "no answer"));
            let unanswered = Jobs::new(&AroundCommit::new(self.jobs.database().clone(), || Ok(()), lost));
            let unanswered = run.step_in(&unanswered, "mark", async |tx| self.mark(run, tx).await).await;
            assert_eq!(unanswered.unwrap_err().message(), "commit: no answer");
        }
        let done = run.step_in(&self.jobs, "mark", async |tx| self.mark(run, tx).await).await?;
        if run.attempt() == 1 && self.between == Between::FailedAfterwards {
            return Err(JobError::retry("failed afterwards"));
        }
        Ok(done)
    }
}

/// Answers with the run's state, how often the step was done, and how many orders and greetings there are.
async fn mark<H: ShopHarness>(shop: &H, between: Between) -> (RunState, u32, i64, usize) {
    let jobs = jobs(shop);
    let done = Arc::new(AtomicU32::new(0));
    let id = jobs.enqueue(Order("order-1".to_owned())).await.unwrap().id();
    if between == Between::TakenOver {
        // As the claim of another worker does, without the clock that would let this one claim, too.
        let job = TakenOver::<H> { jobs: jobs.clone() };
        Worker::new(shop.store()).register(job).run_until_idle().await.unwrap();
    } else {
        let job = Mark::<H> { jobs: jobs.clone(), between, done: Arc::clone(&done) };
        Worker::new(shop.store()).register(job).run_until_idle().await.unwrap();
    }
    let greetings = jobs.runs(RunFilter::all().of::<Greet>()).await.unwrap().len();
    let state = state(&jobs, id).await.unwrap();
    (state, done.load(Ordering::SeqCst), shop.orders().await, greetings)
}

/// Its run is another worker's by the time of the step.
struct TakenOver<H: ShopHarness> {
    jobs: Jobs<H::Database>,
}

impl<H: ShopHarness> Job for TakenOver<H> {
    type Input = Order;
    type Output = ();

    async fn run(&self, run: &RunContext, _: Order) -> Result<(), JobError> {
        H::take_over(self.jobs.database()).await;
        let in_step = async |tx: &mut Transaction<H::Database>| {
            H::insert_order(tx).await;
            Ok(())
        };
        run.step_in(&self.jobs, "mark", in_step).await
    }
}

pub async fn a_step_and_the_writes_of_its_transaction_are_there_together<H: ShopHarness>(shop: &H) {
    assert_eq!(mark(shop, Between::Nothing).await, (RunState::Succeeded, 1, 1, 1));
}

pub async fn a_step_that_was_rolled_back_is_done_again<H: ShopHarness>(shop: &H) {
    assert_eq!(mark(shop, Between::RolledBack).await, (RunState::Succeeded, 2, 1, 1));
}

pub async fn a_step_that_was_committed_is_not_done_again<H: ShopHarness>(shop: &H) {
    assert_eq!(mark(shop, Between::FailedAfterwards).await, (RunState::Succeeded, 1, 1, 1));
}

pub async fn a_step_is_not_begun_under_a_lost_lease<H: ShopHarness>(shop: &H) {
    assert_eq!(mark(shop, Between::TakenOver).await, (RunState::Running, 0, 0, 0));
}

pub async fn a_step_within_a_transaction_is_dead_at_once_and_nothing_of_it_stays<H: ShopHarness>(shop: &H) {
    assert_eq!(mark(shop, Between::StepWithin).await, (RunState::Dead, 1, 0, 0));
}

pub async fn a_step_whose_commit_was_not_answered_is_looked_for_and_not_done_again<H: ShopHarness>(shop: &H) {
    assert_eq!(mark(shop, Between::UnansweredCommit).await, (RunState::Succeeded, 1, 1, 1));
}

pub async fn a_step_in_a_database_that_lacks_the_run_says_so<H: ShopHarness>(shop: &H) {
    let store = Memory::new();
    let id = Jobs::new(&store).enqueue(Order("order-1".to_owned())).await.unwrap().id();
    let job = Mark::<H> { jobs: jobs(shop), between: Between::Nothing, done: Arc::default() };
    Worker::new(&store).register(job).run_until_idle().await.unwrap();
    let run = Jobs::new(&store).run(id).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Dead);
    let error = run.attempts.last().and_then(|attempt| attempt.error.clone()).unwrap_or_default();
    assert!(error.contains(".staged_in(&database)"), "{error}");
    assert_eq!(shop.orders().await, 0);
}

pub async fn a_transaction_with_a_call_that_was_dropped_half_way_does_not_commit<H: ShopHarness>(shop: &H) {
    let jobs = jobs(shop);
    // Dropped after the first poll, after the second and so on, until a call comes to its end.
    for polls in 1.. {
        let mut tx = jobs.begin().await.unwrap();
        H::insert_order(&mut tx).await;
        let mut call = Box::pin(tx.enqueue(ada()).unique("ada").into_future());
        let mut left = polls;
        let ended = poll_fn(|context| {
            left -= 1;
            match call.as_mut().poll(context) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending if left == 0 => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        });
        let ended = ended.await;
        drop(call);
        if ended {
            assert!(polls > 1, "no call was dropped");
            tx.rollback().await.unwrap();
            break;
        }
        // A call whose first statement has not left yet has left nothing behind.
        if let Err(refused) = tx.commit().await {
            assert_eq!(refused.kind(), ErrorKind::Rejected, "after {polls} polls: {refused}");
        }
        assert!(runs(&jobs).await.is_empty(), "after {polls} polls");
    }
    assert!(jobs.enqueue(ada()).unique("ada").await.unwrap().is_new(), "the key is free");
}
