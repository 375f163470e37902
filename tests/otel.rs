//! How attempts follow the trace in which their runs were enqueued, in the spans that leave the process.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceContextExt, TraceState, TracerProvider},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use riqle_jobs::{
    Email, JobError, JobFn, JobInput, Jobs, Mailbox, ManualClock, Memory, NewRun, Payload, Relay, ReplayFrom,
    RetryPolicy, RunContext, RunState, Sender, Worker, otel, otel::TraceContext, testing::RecordingMailer,
};
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use tracing_subscriber::{Layer, filter::LevelFilter, layer::SubscriberExt, util::SubscriberInitExt};

#[derive(Clone, Debug, Default)]
struct Spans(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Spans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

static SPANS: LazyLock<Spans> = LazyLock::new(|| {
    let spans = Spans::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing_subscriber::registry().with(layer.with_filter(LevelFilter::DEBUG)).init();
    otel::propagate();
    spans
});

/// All spans that mention this queue or event, or whose trace or links do; as a picture: one a line, under its parent.
struct Traces(Vec<SpanData>);

impl Traces {
    fn of(root: SpanId, trace: TraceId) -> Self {
        let all = SPANS.0.lock().unwrap().clone();
        let linked = |span: &SpanData| {
            let mut links = span.links.iter();
            links.any(|link| link.span_context.trace_id() == trace && link.span_context.span_id() != root)
        };
        let traces: Vec<_> = all
            .iter()
            .filter(|span| span.span_context.trace_id() == trace || linked(span))
            .map(|span| span.span_context.trace_id())
            .collect();
        Self(all.into_iter().filter(|span| traces.contains(&span.span_context.trace_id())).collect())
    }

    /// Lines of `name`, ` -> name` of what it has a link to, and its error; those of one parent in the order of their beginning.
    fn picture(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let is_root = |span: &&SpanData| !self.0.iter().any(|other| self.is_parent(other, span));
        let mut roots: Vec<_> = self.0.iter().filter(is_root).collect();
        roots.sort_by_key(|span| span.start_time);
        for root in roots {
            self.draw(root, 0, &mut lines);
        }
        lines
    }

    fn is_parent(&self, parent: &SpanData, span: &SpanData) -> bool {
        parent.span_context.span_id() == span.parent_span_id
    }

    fn draw(&self, span: &SpanData, depth: usize, lines: &mut Vec<String>) {
        let name = |id: SpanId| {
            let linked = self.0.iter().find(|span| span.span_context.span_id() == id);
            linked.map_or_else(|| "elsewhere".to_owned(), |span| span.name.to_string())
        };
        let links = span.links.iter().map(|link| format!(" -> {}", name(link.span_context.span_id())));
        let error = match &span.status {
            Status::Error { .. } => format!(" !{}", attribute(span, "error.type")),
            _ => String::new(),
        };
        lines.push(format!("{}{}{}{error}", "  ".repeat(depth), span.name, links.collect::<String>()));
        let mut children: Vec<_> = self.0.iter().filter(|child| self.is_parent(span, child)).collect();
        children.sort_by_key(|span| span.start_time);
        for child in children {
            self.draw(child, depth + 1, lines);
        }
    }

    fn named(&self, name: &str) -> &SpanData {
        self.0.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}"))
    }
}

fn attribute(span: &SpanData, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
    found.map(|attribute| attribute.value.to_string()).unwrap_or_default()
}

/// What happens within a request of the application, and the traces that come of it.
async fn within_a_request<T>(work: impl Future<Output = T>) -> (T, SpanId, TraceId) {
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    LazyLock::force(&SPANS);
    let span = tracing::info_span!("request");
    let context = span.context();
    let (root, trace) = {
        let context = context.span().span_context().clone();
        (context.span_id(), context.trace_id())
    };
    (work.instrument(span).await, root, trace)
}

#[derive(Clone, Serialize, Deserialize)]
enum Work {
    Succeeds,
    FailsOnce,
    Panics,
    Snoozes,
    Dies,
    SendsEmail,
}

impl JobInput for Work {
    const JOB: &'static str = "work";
    const QUEUE: &'static str = "desk";
}

async fn work(sender: Sender, run: RunContext, work: Work) -> Result<(), JobError> {
    match work {
        Work::Succeeds => run.step("think", async || Ok(())).await,
        Work::FailsOnce => {
            run.step("think", async || Ok(())).await?;
            let attempt = run.attempt();
            let call = run.step("call", async || match attempt {
                1 => Err(JobError::retry("not yet").kind("away")),
                _ => Ok(()),
            });
            call.await
        }
        Work::Panics => panic!("at the disco"),
        Work::Snoozes => {
            run.step("wait", async || Err(JobError::snooze(Duration::from_secs(60), "early"))).await
        }
        Work::Dies => Err(JobError::dead("never")),
        Work::SendsEmail => {
            let address = |text| Mailbox::parse(text).map_err(JobError::dead);
            let (from, to) = (address("shop@example.com")?, address("ada@example.com")?);
            let email = Email::new("hello", from, to, "Hello", "<p>Hello</p>".to_owned(), "Hello".to_owned());
            run.step("send", async || sender.send(&email).await.map(drop).map_err(Into::into)).await
        }
    }
}

struct Desk {
    clock: ManualClock,
    store: Memory,
    jobs: Jobs,
    worker: Worker,
}

impl Desk {
    fn new() -> Self {
        let clock = ManualClock::new();
        let store = Memory::with_clock(&clock);
        let sender = Sender::new(&store, Arc::new(RecordingMailer::new()));
        let job = JobFn::new(move |run, input| work(sender.clone(), run, input));
        let worker =
            Worker::new(&store).register(job.retry_policy(RetryPolicy::fixed(Duration::from_secs(1))));
        Self { clock, jobs: Jobs::new(&store), store, worker }
    }

    /// The picture of what comes of one run, enqueued within a request.
    async fn picture_of(&self, input: Work) -> Vec<String> {
        let (run, root, trace) = within_a_request(async { self.jobs.enqueue(input).await.unwrap() }).await;
        self.worker.run_until_idle().await.unwrap();
        self.clock.advance(Duration::from_secs(2));
        self.worker.run_until_idle().await.unwrap();
        let stored = self.jobs.run(run.id()).await.unwrap().unwrap();
        assert_eq!(stored.trace.unwrap().trace_id(), trace.to_string());
        Traces::of(root, trace).picture()
    }
}

#[tokio::test]
async fn what_starts_at_once_is_part_of_the_trace_of_its_enqueue() {
    let picture = Desk::new().picture_of(Work::Succeeds).await;
    assert_eq!(picture, ["request", "  enqueue desk", "    process desk", "      step think"]);
}

#[tokio::test]
async fn an_email_is_a_span_of_its_step() {
    let picture = Desk::new().picture_of(Work::SendsEmail).await;
    let expected =
        ["request", "  enqueue desk", "    process desk", "      step send", "        email recording"];
    assert_eq!(picture, expected);
}

#[tokio::test]
async fn a_retry_is_a_trace_of_its_own_with_a_link_and_a_saved_step_has_no_span() {
    let picture = Desk::new().picture_of(Work::FailsOnce).await;
    let expected = [
        "request",
        "  enqueue desk",
        "    process desk !away",
        "      step think",
        "      step call !away",
        "process desk -> enqueue desk",
        "  step call",
    ];
    assert_eq!(picture, expected);
}

#[tokio::test]
async fn a_panic_and_a_dead_letter_are_errors_and_a_snooze_is_none() {
    let panics = Desk::new().picture_of(Work::Panics).await;
    assert_eq!(panics[2], "    process desk !panic");
    let dies = Desk::new().picture_of(Work::Dies).await;
    assert_eq!(dies, ["request", "  enqueue desk", "    process desk !failed"]);
    let snoozes = Desk::new().picture_of(Work::Snoozes).await;
    assert_eq!(snoozes, ["request", "  enqueue desk", "    process desk", "      step wait"]);
}

#[tokio::test]
async fn a_delayed_run_and_a_replay_begin_traces_of_their_own() {
    let desk = Desk::new();
    let (run, root, trace) = within_a_request(async {
        // The trace began to travel long ago, as that of a run that was delayed.
        let (traceparent, since) =
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "1764590000123");
        let trace = TraceContext::read(&format!("{traceparent} {since}"));
        assert!(trace.is_some());
        let old = NewRun { trace, ..NewRun::of(&Work::Succeeds).unwrap() };
        riqle_jobs::store::Queue::enqueue(&desk.store, vec![old]).await.unwrap();
        desk.jobs.enqueue(Work::Dies).await.unwrap()
    })
    .await;
    desk.worker.run_until_idle().await.unwrap();
    // Longer than what counts as at once.
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    desk.jobs.replay(run.id(), ReplayFrom::Start).await.unwrap();
    desk.worker.run_until_idle().await.unwrap();
    desk.clock.advance(Duration::from_secs(5));

    let old = TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
    assert_eq!(Traces::of(root, old).picture(), ["process desk -> elsewhere", "  step think"]);
    let replayed =
        ["request", "  enqueue desk", "    process desk !failed", "process desk -> enqueue desk !failed"];
    assert_eq!(Traces::of(root, trace).picture(), replayed);
    let stored = desk.jobs.runs(riqle_jobs::RunFilter::all()).await.unwrap();
    let traces = |run: &riqle_jobs::Run| run.trace.as_ref().unwrap().trace_id() == trace.to_string();
    assert_eq!(stored.iter().filter(|run| run.state == RunState::Dead && traces(run)).count(), 2);
}

#[tokio::test]
async fn the_fields_are_those_of_the_messaging_conventions() {
    let desk = Desk::new();
    let (run, root, trace) =
        within_a_request(async { desk.jobs.enqueue(Work::Succeeds).await.unwrap() }).await;
    desk.worker.run_until_idle().await.unwrap();
    let traces = Traces::of(root, trace);
    let id = run.id().to_string();
    let enqueue = traces.named("enqueue desk");
    let attempt = traces.named("process desk");
    for (span, kind, operation, of_type) in [
        (enqueue, SpanKind::Producer, "enqueue", "send"),
        (attempt, SpanKind::Consumer, "process", "process"),
    ] {
        assert_eq!(span.span_kind, kind);
        for (key, value) in [
            ("messaging.system", "riqle_jobs"),
            ("messaging.operation.name", operation),
            ("messaging.operation.type", of_type),
            ("messaging.destination.name", "desk"),
            ("messaging.message.id", &id),
        ] {
            assert_eq!(attribute(span, key), value, "{key} of {}", span.name);
        }
    }
    for (key, value) in [
        ("messaging.message.conversation_id", id.as_str()),
        ("messaging.consumer.group.name", "work"),
        ("riqle_jobs.job.attempt", "1"),
        ("riqle_jobs.job.crashes", "0"),
        ("riqle_jobs.steps.saved", "0"),
    ] {
        assert_eq!(attribute(attempt, key), value, "{key}");
    }
}

#[tokio::test]
async fn many_at_once_say_how_many_and_a_known_key_says_which_run_has_it() {
    let desk = Desk::new();
    let held = desk.jobs.enqueue(Work::Succeeds).unique("once").await.unwrap().id();
    let ((), root, trace) = within_a_request(async {
        desk.jobs.enqueue_all([Work::Succeeds, Work::Dies]).await.unwrap();
        desk.jobs.enqueue(Work::Succeeds).unique("once").await.unwrap();
        desk.jobs.enqueue(Work::Dies).unique("once").await.unwrap_err();
    })
    .await;
    let spans: Vec<_> =
        Traces::of(root, trace).0.into_iter().filter(|span| span.name == "enqueue desk").collect();
    let of = |key| spans.iter().map(|span| attribute(span, key)).collect::<Vec<_>>();
    assert_eq!(of("messaging.batch.message_count"), ["2", "", ""]);
    assert_eq!(of("messaging.message.id"), [String::new(), held.to_string(), String::new()]);
    assert_eq!(of("error.type"), ["", "", "conflict"]);
}

#[tokio::test]
async fn an_event_carries_its_trace_to_the_runs_that_it_starts_and_one_that_waited_is_linked() {
    #[derive(Serialize, Deserialize)]
    struct Greet {}
    impl JobInput for Greet {
        const JOB: &'static str = "greet";
        const QUEUE: &'static str = "door";
        const TRIGGER: Option<&'static str> = Some("user/came");
    }
    async fn greet(_: (), _: RunContext, _: Greet) -> Result<(), JobError> {
        Ok(())
    }
    let store = Memory::new();
    let jobs = Jobs::new(&store);
    let (_, root, trace) = within_a_request(async {
        jobs.send_event("user/came", &Greet {}).await.unwrap();
    })
    .await;
    // Nobody is known to wait for it yet. Longer than what counts as at once.
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    Worker::new(&store).register_with((), greet).run_until_idle().await.unwrap();
    assert_eq!(
        Traces::of(root, trace).picture(),
        ["request", "  send user/came", "process door -> send user/came"]
    );

    let (_, root, trace) = within_a_request(async {
        jobs.send_event("user/came", &Greet {}).await.unwrap();
    })
    .await;
    Worker::new(&store).register_with((), greet).run_until_idle().await.unwrap();
    assert_eq!(Traces::of(root, trace).picture(), ["request", "  send user/came", "    process door"]);
}

#[tokio::test]
async fn a_trace_passes_through_a_transaction_and_a_relay() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("shop.db").display());
    let database = riqle_jobs::sqlite::Sqlite::connect(&url).await.unwrap();
    let desk = Desk::new();
    let jobs = desk.jobs.staged_in(&database);
    let ((), root, trace) = within_a_request(async {
        let mut transaction = jobs.begin().await.unwrap();
        transaction.enqueue(Work::Succeeds).await.unwrap();
        transaction.commit().await.unwrap();
    })
    .await;
    Relay::new(&database, &desk.store).run_until_idle().await.unwrap();
    desk.worker.run_until_idle().await.unwrap();
    let picture = Traces::of(root, trace).picture();
    assert_eq!(picture, ["request", "  enqueue desk", "    process desk", "      step think"]);
}

#[tokio::test]
async fn what_is_not_sampled_says_so_to_its_attempts_and_nobody_sees_them() {
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    LazyLock::force(&SPANS);
    let desk = Desk::new();
    let trace = TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").unwrap();
    let caller = SpanId::from_hex("b7ad6b7169203331").unwrap();
    let caller = SpanContext::new(trace, caller, TraceFlags::default(), true, TraceState::default());
    let request = tracing::info_span!("request");
    request.set_parent(Context::new().with_remote_span_context(caller)).unwrap();
    let run = async { desk.jobs.enqueue(Work::Succeeds).await.unwrap() }.instrument(request).await;
    desk.worker.run_until_idle().await.unwrap();

    let stored = desk.jobs.run(run.id()).await.unwrap().unwrap();
    assert_eq!(stored.state, RunState::Succeeded);
    let carried = stored.trace.unwrap();
    assert_eq!(carried.trace_id(), trace.to_string());
    assert!(carried.traceparent().ends_with("-00"), "{carried:?}");
    let seen = SPANS.0.lock().unwrap();
    let is_of_run = |span: &&SpanData| attribute(span, "run") == run.id().to_string();
    assert_eq!(seen.iter().filter(is_of_run).count(), 0);
    assert_eq!(seen.iter().filter(|span| span.span_context.trace_id() == trace).count(), 0);
}

#[tokio::test]
async fn a_garbled_trace_is_left_out() {
    let desk = Desk::new();
    let mut run = NewRun::named("work", Payload::json(&Work::Succeeds).unwrap()).queue("desk");
    run.trace = TraceContext::read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x 1764590000123");
    assert_eq!(run.trace, None);
    let id = run.id;
    riqle_jobs::store::Queue::enqueue(&desk.store, vec![run]).await.unwrap();
    desk.worker.run_until_idle().await.unwrap();
    assert_eq!(desk.jobs.run(id).await.unwrap().unwrap().state, RunState::Succeeded);
}
