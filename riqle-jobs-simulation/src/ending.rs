//! The end of a simulation: what is left is worked, and must end.

use std::time::Duration;

use riqle_jobs_core::{
    EmailLog, Inspect, Operate, Queue, Relay, RunFilter, RunState, Shutdown, email::EmailFilter,
};
use tokio::time::{Instant, sleep};

use crate::{
    process::Process,
    scenario::{Scene, worker},
};

/// Within this all must have ended once the faults have.
const MOST_LEFT: Duration = Duration::from_secs(2 * 60 * 60);

impl Scene {
    /// All ends: what is left is worked by processes that nothing befalls.
    pub(crate) async fn end(&self) {
        let store = &self.world.store;
        for queue in ["walks", "mails"] {
            drop(store.resume_queue(queue).await);
        }
        let process = Process::new("worker at the end", &self.world);
        let worker = worker(&process);
        tokio::spawn(async move { worker.run_with(&Shutdown::new()).await });
        self.end_schedules().await;
        let relays = Process::new("relay at the end", &self.world);
        let relay = Relay::new(&self.staging, &relays.store());
        tokio::spawn(async move { relay.run_with(&Shutdown::new()).await });
        self.all_ends().await;
        // A worker that rests hears of them.
        let producer = Process::new("producer at the end", &self.world).store();
        for mail in 9_000..9_003 {
            sleep(self.world.up_to(30_000)).await;
            if let Some(run) = self.new_run(&mut { mail }) {
                self.world.know(run.id);
                drop(producer.enqueue(vec![run]).await);
            }
            self.all_ends().await;
        }
        let looks = Process::new("look at the end", &self.world).store();
        for run in self.world.known() {
            drop(looks.0.look(run).await);
        }
        // No operator has discarded it, and it is not deleted early.
        if !self.drawn.prunes && !self.drawn.operators {
            for run in self.world.staged() {
                if let Ok(None) = store.run(run).await {
                    self.world.went_wrong(format!("staged run {run} has not arrived"));
                }
            }
        }
        for email in store.emails(EmailFilter::all().limit(1_000)).await.unwrap_or_default() {
            drop(looks.0.look_at_email(email.id).await);
        }
    }

    /// Resolves once no run is live and nothing is staged, or that does not come.
    async fn all_ends(&self) {
        let store = &self.world.store;
        let until = Instant::now() + MOST_LEFT;
        let live = RunFilter::all().states([RunState::Pending, RunState::Waiting, RunState::Running]);
        loop {
            sleep(Duration::from_secs(5)).await;
            let left = store.runs(live.clone().limit(5)).await.unwrap_or_default();
            let staged = self.staging.waiting();
            if left.is_empty() && staged == 0 {
                break;
            }
            if Instant::now() >= until {
                match left.first() {
                    Some(run) => self.world.went_wrong(format!("run {} is stuck: {:?}", run.id, run.state)),
                    None => self.world.went_wrong(format!("{staged} staged items are stuck")),
                }
                break;
            }
        }
    }
}
