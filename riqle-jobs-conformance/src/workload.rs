//! The jobs that the simulation and the torture run: one of steps, and one that sends an email.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use riqle_jobs_core::{
    AsStore, Email, Error, Job, JobError, JobInput, Mailbox, Mailer, Receipt, RetryPolicy, RunContext,
    Sender, Worker,
    email::{Deferral, MessageIdentity, OutgoingMessage, SendOutcome, Transmission},
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::{
    Random,
    history::{Answer, Ask, Entry, Event, History},
};

/// After the first failure of a run; doubled with each one more.
const FIRST_DELAY: Duration = Duration::from_secs(1);

/// What surrounds the jobs of a process.
#[async_trait]
pub trait Surroundings: Send + Sync + 'static {
    /// The process's name.
    fn process(&self) -> &str;

    fn history(&self) -> &History;

    /// The length of the worker's leases.
    fn lease(&self) -> Duration;

    /// A random number below `end`.
    fn below(&self, end: usize) -> usize;

    fn provider(&self) -> ProviderFaults;

    /// Whether the provider has not taken an email under this key before.
    fn is_new_to_provider(&self, key: &str) -> bool;

    /// Tells what no history shows.
    fn went_wrong(&self, what: String);

    /// Resolves while the process goes on; never, once it is dead.
    async fn gate(&self) {}
}

/// How often a provider fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProviderFaults {
    /// Percent of emails that are refused, and percent that are lost on their way.
    pub fails: usize,
    /// Percent of those that arrive and are not answered.
    pub loses_reply: usize,
    /// Whether it may refuse because of its settings: the email then waits for a quarter of an hour.
    pub is_misconfigured: bool,
    /// Per thousand of the ways there and back that take up to half a minute; the others take up to 50 ms.
    pub is_slow: usize,
}

/// What an attempt of a run does follows from this and the attempt's number.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Walk {
    pub steps: u8,
    pub script: u64,
}

impl JobInput for Walk {
    const JOB: &'static str = "walk";
    const QUEUE: &'static str = "walks";
}

struct TakeWalk(Arc<dyn Surroundings>);

/// The result of a step, which no attempt changes.
fn result(script: u64, step: u8) -> u64 {
    Random::new(script ^ (u64::from(step) << 32)).number() % 1_000
}

impl Job for TakeWalk {
    type Input = Walk;
    type Output = u64;

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::exponential(FIRST_DELAY).max_retries(4)
    }

    async fn run(&self, run: &RunContext, Walk { steps, script }: Walk) -> Result<u64, JobError> {
        let around = &self.0;
        let mut random = Random::new(script ^ u64::from(run.attempt()).wrapping_mul(0x9e37_79b9));
        let mut sum = 0;
        for step in 0..steps {
            let name = format!("step {step}");
            let lasts = match random.below(40) {
                0 => around.lease() * 2,
                draw => Duration::from_millis(draw as u64 * 5),
            };
            let fails = random.percent(6);
            let path = name.clone();
            let walked = run
                .step(&name, || async move {
                    around.gate().await;
                    let (run, token) = (run.id(), run.token());
                    around.history().write(around.process(), Event::Computes { run, token, path });
                    sleep(lasts).await;
                    around.gate().await;
                    if fails { Err(JobError::retry("the step fails")) } else { Ok(result(script, step)) }
                })
                .await?;
            if walked != result(script, step) {
                around.went_wrong(format!("run {}, {name}: {walked} was handed to it", run.id()));
            }
            sum += walked;
            sleep(Duration::from_millis(random.below(50) as u64)).await;
        }
        match random.below(100) {
            0..12 => Err(JobError::retry("the body fails")),
            12..16 => Err(JobError::dead("it will never do")),
            16..18 => Err(JobError::cancel("no longer wanted")),
            18..24 if run.age() < around.lease() => Err(JobError::snooze(around.lease(), "not yet")),
            _ => Ok(sum),
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Mail {
    pub number: u32,
    /// Whether its provider drops repeats.
    pub drops_repeats: bool,
}

impl JobInput for Mail {
    const JOB: &'static str = "mail";
    const QUEUE: &'static str = "mails";
}

struct SendMail {
    resend: Sender,
    smtp: Sender,
}

impl SendMail {
    fn new(store: &impl AsStore, around: &Arc<dyn Surroundings>) -> Self {
        let provider = |drops_repeats| Arc::new(Provider { around: Arc::clone(around), drops_repeats });
        Self { resend: Sender::new(store, provider(true)), smtp: Sender::new(store, provider(false)) }
    }
}

impl Job for SendMail {
    type Input = Mail;
    type Output = Receipt;

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::exponential(FIRST_DELAY).max_retries(6)
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

/// A provider, as a process reaches it.
struct Provider {
    around: Arc<dyn Surroundings>,
    drops_repeats: bool,
}

impl Provider {
    /// It takes the email, unless it drops it as a repeat.
    fn takes(&self, message: &OutgoingMessage, send: u64) {
        if self.around.is_new_to_provider(&message.key) || !self.drops_repeats {
            self.around.history().delivered(self.around.process(), send, self.drops_repeats);
        }
    }

    fn percent(&self, percent: usize) -> bool {
        self.around.below(100) < percent
    }

    async fn travel(&self) {
        let most = if self.around.below(1_000) < self.around.provider().is_slow { 30_000 } else { 50 };
        sleep(Duration::from_millis(self.around.below(most) as u64)).await;
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
        self.around.gate().await;
        let faults = self.around.provider();
        let error = || "a fault of the provider".to_owned();
        if self.percent(faults.fails) {
            return match self.around.below(3 + usize::from(faults.is_misconfigured)) {
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
        let send = self.around.history().sends(self.around.process(), &message.key);
        self.travel().await;
        // On its way it arrives whatever becomes of the process.
        let arrives = !self.percent(faults.fails);
        if arrives {
            self.takes(message, send);
        }
        self.travel().await;
        self.around.gate().await;
        if !arrives || self.percent(faults.loses_reply) {
            return SendOutcome::Unknown { error: error() };
        }
        SendOutcome::Accepted { message_id: message.message_id.clone(), reply: "250 ok".to_owned() }
    }
}

/// A worker with both jobs.
pub fn worker(store: &impl AsStore, around: &Arc<dyn Surroundings>) -> Worker {
    Worker::new(store)
        .register(TakeWalk(Arc::clone(around)))
        .register(SendMail::new(store, around))
        .lease(around.lease())
}

/// Says where an attempt of these jobs that failed is to be followed by another after a delay that is not its policy's.
pub fn wrong_delay<'a>(history: impl IntoIterator<Item = &'a Entry>) -> Option<String> {
    let (mut claims, mut failures) = (HashMap::new(), HashMap::new());
    for (index, entry) in history.into_iter().enumerate() {
        match &entry.event {
            Event::Calls { call, ask: Ask::Claim { token, .. } } => {
                claims.insert(*call, *token);
            }
            Event::Answered { call, answer: Answer::Claimed(runs) } => {
                let Some(token) = claims.get(call) else { continue };
                failures.extend(runs.iter().map(|taken| ((taken.run, *token), taken.failures)));
            }
            Event::Calls { ask: Ask::Settle(settlements), .. } => {
                for settled in settlements {
                    let before = failures.get(&(settled.held.run, settled.held.token));
                    let (Some(before), Some(after), Some(delay)) = (before, settled.failures, settled.after)
                    else {
                        continue;
                    };
                    let policy = FIRST_DELAY * 2_u32.pow(*before);
                    if after > *before && delay != policy {
                        let run = settled.held.run;
                        return Some(format!(
                            "run {run}: failure {after} is followed by {delay:?}, not by {policy:?} (line {})",
                            index + 1
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    None
}
