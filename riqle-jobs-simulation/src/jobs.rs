//! The jobs that a simulation runs: one of steps, and one that sends an email.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use riqle_jobs_conformance::{Random, history::Event};
use riqle_jobs_core::{
    Email, Error, Job, JobError, JobInput, Mailbox, Mailer, Receipt, RetryPolicy, RunContext, Sender, Worker,
    email::{Deferral, MessageIdentity, OutgoingMessage, SendOutcome, Transmission},
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::{
    process::Process,
    world::{LEASE, World, lock},
};

/// What an attempt of a run does follows from the run, the attempt and this.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Walk {
    pub(crate) steps: u8,
    pub(crate) script: u64,
}

impl JobInput for Walk {
    const JOB: &'static str = "walk";
    const QUEUE: &'static str = "walks";
}

pub(crate) struct TakeWalk(pub(crate) Arc<Process>);

/// The result of a step, which no attempt changes.
fn result(script: u64, step: u8) -> u64 {
    Random::new(script ^ (u64::from(step) << 32)).number() % 1_000
}

impl Job for TakeWalk {
    type Input = Walk;
    type Output = u64;

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::exponential(Duration::from_secs(1)).max_retries(4)
    }

    async fn run(&self, run: &RunContext, Walk { steps, script }: Walk) -> Result<u64, JobError> {
        let world = &self.0.world;
        let mut random = Random::new(script ^ u64::from(run.attempt()).wrapping_mul(0x9e37_79b9));
        let mut sum = 0;
        for step in 0..steps {
            let name = format!("step {step}");
            let lasts = match random.below(40) {
                0 => LEASE * 2,
                draw => Duration::from_millis(draw as u64 * 5),
            };
            let fails = random.percent(6);
            let (process, context, path) = (&self.0, run, name.clone());
            let walked = run
                .step(&name, || async move {
                    process.gate().await;
                    let (run, token) = (context.id(), context.token());
                    process.world.history.write(&process.name, Event::Computes { run, token, path });
                    sleep(lasts).await;
                    process.gate().await;
                    if fails { Err(JobError::retry("the step fails")) } else { Ok(result(script, step)) }
                })
                .await?;
            if walked != result(script, step) {
                world.went_wrong(format!("run {}, {name}: {walked} was handed to it", run.id()));
            }
            sum += walked;
            sleep(Duration::from_millis(random.below(50) as u64)).await;
        }
        match random.below(100) {
            0..12 => Err(JobError::retry("the body fails")),
            12..16 => Err(JobError::dead("it will never do")),
            16..18 => Err(JobError::cancel("no longer wanted")),
            18..24 if run.age() < LEASE => Err(JobError::snooze(LEASE, "not yet")),
            _ => Ok(sum),
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Mail {
    pub(crate) number: u32,
    /// Whether its provider drops repeats.
    pub(crate) drops_repeats: bool,
}

impl JobInput for Mail {
    const JOB: &'static str = "mail";
    const QUEUE: &'static str = "mails";
}

pub(crate) struct SendMail {
    resend: Sender,
    smtp: Sender,
}

impl SendMail {
    pub(crate) fn new(process: &Arc<Process>, post: &Arc<Post>) -> Self {
        let sender = |drops_repeats| {
            Sender::new(
                &process.store(),
                Arc::new(Provider { process: Arc::clone(process), post: Arc::clone(post), drops_repeats }),
            )
        };
        Self { resend: sender(true), smtp: sender(false) }
    }
}

impl Job for SendMail {
    type Input = Mail;
    type Output = Receipt;

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::exponential(Duration::from_secs(1)).max_retries(6)
    }

    async fn run(&self, run: &RunContext, mail: Mail) -> Result<Receipt, JobError> {
        let sender = if mail.drops_repeats { &self.resend } else { &self.smtp };
        run.step("send", || async {
            let from = Mailbox::parse("Shop <shop@example.com>")?;
            let to = Mailbox::parse(&format!("customer-{}@example.com", mail.number))?;
            let email = Email::new("walk", from, to, "Hello", "<p>Hello</p>".to_owned(), "Hello".to_owned());
            Ok(sender.send(&email).await?)
        })
        .await
    }
}

/// What the providers have taken.
#[derive(Default)]
pub(crate) struct Post {
    taken: Mutex<HashSet<String>>,
}

/// A provider, as a process reaches it.
struct Provider {
    process: Arc<Process>,
    post: Arc<Post>,
    drops_repeats: bool,
}

impl Provider {
    /// It takes the email, unless it drops it as a repeat.
    fn takes(&self, message: &OutgoingMessage, send: u64) {
        let is_new = lock(&self.post.taken).insert(message.key.clone());
        if is_new || !self.drops_repeats {
            self.world().history.delivered(&self.process.name, send, self.drops_repeats);
        }
    }

    fn world(&self) -> &World {
        &self.process.world
    }

    async fn travel(&self) {
        let most = if self.world().below(1_000) < self.world().faults().is_slow { 30_000 } else { 50 };
        sleep(self.world().up_to(most)).await;
    }
}

#[async_trait]
impl Mailer for Provider {
    fn provider(&self) -> &'static str {
        if self.drops_repeats { "resend" } else { "smtp" }
    }

    fn compose(&self, email: &Email, _: &MessageIdentity) -> Result<Vec<u8>, Error> {
        Ok(email.text.clone().into_bytes())
    }

    fn repeat_is_safe_for(&self) -> Duration {
        if self.drops_repeats { Duration::from_secs(24 * 60 * 60) } else { Duration::ZERO }
    }

    fn longest_send(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn send(&self, message: &OutgoingMessage, transmission: &Transmission) -> SendOutcome {
        self.process.gate().await;
        let faults = self.world().faults();
        let error = || "a fault of the simulation".to_owned();
        if self.world().percent(faults.fails) {
            return match self.world().below(4) {
                0 => SendOutcome::Retry { error: error(), after: None },
                1 => SendOutcome::Away { error: error() },
                2 => SendOutcome::Deferred {
                    by: Deferral::Load,
                    error: error(),
                    after: Some(Duration::from_secs(5)),
                },
                _ => SendOutcome::Misconfigured { error: error() },
            };
        }
        if let Err(error) = transmission.body_begins().await {
            return SendOutcome::Retry { error: error.to_string(), after: None };
        }
        let send = self.world().history.sends(&self.process.name, &message.key);
        self.travel().await;
        // On its way it arrives whatever becomes of the process.
        let arrives = !self.world().percent(faults.fails);
        if arrives {
            self.takes(message, send);
        }
        self.travel().await;
        self.process.gate().await;
        if !arrives || self.world().percent(faults.loses_reply) {
            return SendOutcome::Unknown { error: error() };
        }
        SendOutcome::Accepted { message_id: message.message_id.clone(), reply: "250 ok".to_owned() }
    }
}

/// A worker of a process, with both jobs.
pub(crate) fn worker(process: &Arc<Process>, post: &Arc<Post>) -> Worker {
    let faults = process.world.faults();
    let poll = if faults.polls_never { Duration::from_secs(24 * 60 * 60) } else { Duration::from_secs(1) };
    Worker::new(&process.store())
        .register(TakeWalk(Arc::clone(process)))
        .register(SendMail::new(process, post))
        .concurrency(4)
        .lease(LEASE)
        .poll_interval(poll)
        .grace(Duration::from_secs(60))
        .without_panic_hook()
}
