//! Opening a store: what is wrong is said in one line, and many may open at once.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::Duration;

use riqle_jobs_core::{
    Database as _, DatabaseTransaction, EmailLog, ErrorKind, Hint, Inspect, Job, JobError, JobInput, Jobs,
    ManualClock, NewRun, Operate, Payload, Queue, Retention, RunContext, RunFilter, RunState, Staging,
    Worker,
};
use riqle_jobs_postgres::Postgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::support::{Schema, database::Database, database_url};

fn greeting() -> NewRun {
    NewRun::named("greet", Payload::json("Ada").unwrap())
}

async fn execute(sql: impl Into<String>) {
    let mut connection = PgConnection::connect(&database_url()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(&mut connection).await.unwrap();
}

async fn refused(url: &str) -> (ErrorKind, String) {
    let error = Postgres::connect(url).await.unwrap_err();
    let line = error.to_string();
    assert!(!line.contains('\n') && !line.contains("secret"), "{line}");
    (error.kind(), line)
}

#[tokio::test]
async fn a_wrong_url_is_named_and_its_password_is_not() {
    for url in
        ["postgres", "mysql://root:secret@localhost/shop", "postgres://u:secret@localhost:notaport/shop"]
    {
        let (kind, line) = refused(url).await;
        assert_eq!(kind, ErrorKind::Misconfigured, "{line}");
        assert!(line.contains("postgres://user:password@host:port/database"), "{line}");
    }
    let (kind, line) = refused(&format!("{}?listen=perhaps", database_url())).await;
    assert!(kind == ErrorKind::Misconfigured && line.contains("listen must be on or off"), "{line}");
    let (kind, line) = refused(&format!("{}?schema=No%20Schema", database_url())).await;
    assert!(kind == ErrorKind::Misconfigured && line.contains("lower-case"), "{line}");
    let (kind, line) = refused(&format!("{}?schema=pg_shop", database_url())).await;
    assert!(kind == ErrorKind::Misconfigured && line.contains("starts with pg_"), "{line}");
    for misspelt in ["lisen=off", "pasword=secret", "channel_binding=require"] {
        let (kind, line) = refused(&format!("{}?{misspelt}", database_url())).await;
        let (name, value) = misspelt.split_once('=').unwrap();
        assert!(kind == ErrorKind::Misconfigured && line.contains(name) && !line.contains(value), "{line}");
        assert!(line.contains("schema, listen, keep_succeeded, sslmode"), "{line}");
    }
}

#[tokio::test]
async fn a_url_takes_the_parameters_of_the_driver() {
    let schema = Schema::new();
    let url = format!("{}&application_name=ada%40shop&options[lock_timeout]=5s&sslmode=prefer", schema.url());
    let store = Postgres::connect(&url.replacen("postgres", "Postgres", 1)).await.unwrap();
    let shown = sqlx::query("SELECT current_setting('application_name'), current_setting('lock_timeout')");
    let row = shown.fetch_one(store.pool()).await.unwrap();
    assert_eq!((row.get::<&str, _>(0), row.get::<&str, _>(1)), ("ada@shop", "5s"));
}

#[tokio::test]
async fn a_schema_may_be_named_by_a_word_of_sql_or_end_like_the_default() {
    for name in ["order", "user", "my_riqle"] {
        let schema = Schema { name: name.to_owned() };
        execute(format!("DROP SCHEMA IF EXISTS \"{name}\" CASCADE")).await;
        for _ in 0..2 {
            let store = Postgres::connect(&schema.url()).await.unwrap();
            let id = store.enqueue(vec![greeting()]).await.unwrap()[0].id();
            assert!(store.run(id).await.unwrap().is_some());
            assert_eq!(store.health().await.unwrap().problems, []);
        }
        execute(format!("DROP SCHEMA \"{name}\" CASCADE")).await;
        execute(Postgres::schema_sql(name).unwrap()).await;
        Postgres::options(&schema.url()).migrate(false).open().await.unwrap();
    }
}

#[tokio::test]
async fn the_application_gets_connections_with_the_server_s_own_settings() {
    const SETTINGS: &str =
        "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN
             ('enable_seqscan', 'enable_bitmapscan', 'plan_cache_mode', 'jit', 'default_transaction_isolation')";
    let mut plain = PgConnection::connect(&database_url()).await.unwrap();
    let expected: String = sqlx::query(SETTINGS).fetch_one(&mut plain).await.unwrap().get(0);
    let schema = Schema::new();
    let store = schema.open(&ManualClock::new()).await;
    let of_pool: String = sqlx::query(SETTINGS).fetch_one(store.pool()).await.unwrap().get(0);
    let mut transaction = store.begin().await.unwrap();
    let of_transaction: String = sqlx::query(SETTINGS).fetch_one(&mut *transaction).await.unwrap().get(0);
    assert_eq!((of_pool, of_transaction), (expected.clone(), expected));
}

#[tokio::test]
async fn an_ipv6_address_in_a_url_is_an_address_and_no_name() {
    for url in ["postgres://u@[::1]:1/d", "postgres://u@[::1]:1/d?sslmode=verify-full"] {
        let (kind, line) = refused(url).await;
        assert_eq!(kind, ErrorKind::Unavailable, "{line}");
        assert!(line.contains("answers at [::1]:1 ("), "{line}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let (kind, line) = refused("postgres://u:secret@127.0.0.1:9/shop").await;
    assert!(kind == ErrorKind::Unavailable && line.contains("127.0.0.1:9"), "{line}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_a_wrong_setting() {
    let mut url: url::Url = database_url().parse().unwrap();
    url.set_path("/nowhere");
    let (kind, line) = refused(url.as_str()).await;
    assert!(kind == ErrorKind::Misconfigured && line.contains("nowhere"), "{line}");
}

#[tokio::test]
async fn a_user_without_the_right_to_make_a_schema_is_told_so() {
    let schema = Schema::new();
    let user = format!("{}_user", schema.name);
    execute(format!("CREATE ROLE {user} LOGIN PASSWORD 'secret'")).await;
    let mut url: url::Url = schema.url().parse().unwrap();
    url.set_username(&user).unwrap();
    url.set_password(Some("secret")).unwrap();
    let (kind, line) = refused(url.as_str()).await;
    assert!(kind == ErrorKind::Misconfigured && line.contains("right"), "{line}");
    // Where somebody else has migrated, the rights on the tables are enough.
    Postgres::connect(&schema.url()).await.unwrap();
    let name = &schema.name;
    execute(format!(
        "GRANT USAGE ON SCHEMA {name} TO {user};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {user};
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA {name} TO {user}"
    ))
    .await;
    let store = Postgres::connect(url.as_str()).await.unwrap();
    assert!(store.enqueue(vec![greeting()]).await.unwrap()[0].is_new());
    drop(store);
    execute(format!("DROP OWNED BY {user}; DROP ROLE {user}")).await;
}

#[tokio::test]
async fn f28_workers_go_on_under_a_migration_of_the_next_version_and_no_other_begins() {
    let schema = Schema::new();
    let name = &schema.name;
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let worker = Worker::new(&store).register(Stepped).concurrency(2);
    let jobs = Jobs::new(&store);
    jobs.enqueue_all((0..200).map(|_| SteppedInput(false))).await.unwrap();
    let migrate = execute(format!(
        "ALTER TABLE {name}.runs ADD COLUMN colour text;
         CREATE INDEX runs_colour ON {name}.runs (colour) WHERE colour IS NOT NULL;
         CREATE TABLE {name}.colours (colour text NOT NULL PRIMARY KEY);
         INSERT INTO {name}.migrations (number, name, hash) VALUES (2, 'next', '')"
    ));
    let (worked, ()) = tokio::join!(worker.run_until_idle(), migrate);
    worked.unwrap();
    jobs.enqueue(SteppedInput(false)).await.unwrap();
    worker.run_until_idle().await.unwrap();
    let succeeded = RunFilter::all().states([RunState::Succeeded]).limit(1_000);
    assert_eq!(jobs.runs(succeeded).await.unwrap().len(), 201);
    assert_eq!(jobs.health().await.unwrap().schema, Some(2));
    let (kind, line) = refused(&schema.url()).await;
    assert_eq!(kind, ErrorKind::Misconfigured);
    assert!(line.contains("is at migration 2") && line.contains("upgrade"), "{line}");
}

#[tokio::test]
async fn a_schema_of_another_build_is_refused_by_its_name() {
    for other in ["UPDATE {}.migrations SET hash = ''", "ALTER TABLE {}.migrations DROP COLUMN hash"] {
        let schema = Schema::new();
        drop(Postgres::connect(&schema.url()).await.unwrap());
        execute(other.replace("{}", &schema.name)).await;
        let (kind, line) = refused(&schema.url()).await;
        assert_eq!(kind, ErrorKind::Misconfigured);
        assert!(line.contains(&format!("schema {} was made by", schema.name)), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f28_ten_that_open_a_new_schema_at_once_make_it_once() {
    let schema = Schema::new();
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let url = schema.url();
        opening.spawn(async move { Postgres::connect(&url).await.map(drop) });
    }
    for opened in opening.join_all().await {
        opened.unwrap();
    }
    let mut connection = PgConnection::connect(&database_url()).await.unwrap();
    let count = format!("SELECT count(*) FROM {}.migrations", schema.name);
    let migrations: i64 = sqlx::query(AssertSqlSafe(count)).fetch_one(&mut connection).await.unwrap().get(0);
    assert_eq!(migrations, 1);
}

#[tokio::test]
async fn the_migrations_can_be_printed_and_run_by_other_means() {
    let schema = Schema::new();
    let options = || Postgres::options(&database_url()).schema(&schema.name).migrate(false);
    let error = options().open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    execute(Postgres::schema_sql(&schema.name).unwrap()).await;
    let store = options().open().await.unwrap();
    assert!(store.enqueue(vec![greeting()]).await.unwrap()[0].is_new());
}

#[tokio::test]
async fn a_migration_takes_as_long_as_it_needs_and_waits_for_another_only_so_long() {
    let database = Database::new().await;
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    let mut holds = other.begin().await.unwrap();
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('riqle-jobs migrations of riqle', 0))";
    sqlx::raw_sql(lock).execute(&mut *holds).await.unwrap();
    let (kind, line) = refused(&database.url()).await;
    assert!(kind == ErrorKind::Unavailable && line.contains("15s; connect again"), "{line}");
    holds.rollback().await.unwrap();

    // As long as the index of many runs takes, beyond what a statement may take by the settings of the role.
    database
        .execute(
            "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(17); END $$;
             CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE SCHEMA') EXECUTE FUNCTION slow()",
        )
        .await;
    let mut url: url::Url = database.url().parse().unwrap();
    url.query_pairs_mut().append_pair("options[statement_timeout]", "5s");
    let store = Postgres::connect(url.as_str()).await.unwrap();
    assert!(store.enqueue(vec![greeting()]).await.unwrap()[0].is_new());
}

#[tokio::test]
async fn two_schemas_of_one_database_know_nothing_of_each_other() {
    let (first, second) = (Schema::new(), Schema::new());
    let (first_store, second_store) =
        (first.open(&ManualClock::new()).await, second.open(&ManualClock::new()).await);
    let id = first_store.enqueue(vec![greeting()]).await.unwrap()[0].id();
    assert!(first_store.run(id).await.unwrap().is_some());
    assert!(second_store.run(id).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_is_told_at_once_and_the_listener_comes_back() {
    let schema = Schema::new();
    let (producer, worker) =
        (Postgres::connect(&schema.url()).await.unwrap(), Postgres::connect(&schema.url()).await.unwrap());
    let mut hints = worker.wake_ups();
    let due = Hint::Due(Some("default".to_owned()));
    told(&producer, &mut hints, &due).await;
    // F04: the listening connection dies.
    let channel = format!("riqle_jobs_{}", schema.name);
    execute(format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%{channel}%'"
    ))
    .await;
    told(&producer, &mut hints, &due).await;
}

#[test]
fn a_later_runtime_is_told_too_once_the_one_that_listened_has_ended() {
    let schema = Schema::new();
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let worker = runtime().block_on(async { Postgres::connect(&schema.url()).await.unwrap() });
    for _ in 0..2 {
        runtime().block_on(async {
            let producer = Postgres::connect(&schema.url()).await.unwrap();
            let mut hints = worker.wake_ups();
            told(&producer, &mut hints, &Hint::Due(Some("default".to_owned()))).await;
        });
    }
}

/// Enqueues until the hint has come: who listens is not known from outside.
async fn told(producer: &Postgres, hints: &mut riqle_jobs_core::WakeUps, wanted: &Hint) {
    for _ in 0..100 {
        producer.enqueue(vec![greeting()]).await.unwrap();
        let heard = tokio::time::timeout(Duration::from_millis(100), hints.next()).await;
        if heard.is_ok_and(|hint| hint == *wanted) {
            return;
        }
    }
    panic!("no hint has come");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_in_another_process_is_told_of_what_was_staged() {
    let schema = Schema::new();
    let (shop, relay) =
        (Postgres::connect(&schema.url()).await.unwrap(), Postgres::connect(&schema.url()).await.unwrap());
    let mut hints = relay.staging_wake_ups();
    // Until the hint has come: who listens is not known from outside.
    for _ in 0..100 {
        let mut transaction = shop.begin().await.unwrap();
        let wake = shop.stage_in(&mut transaction, vec![greeting()]).await.unwrap();
        transaction.commit().await.unwrap();
        wake.fire();
        let heard = tokio::time::timeout(Duration::from_millis(100), hints.next()).await;
        if heard.is_ok_and(|hint| hint == Hint::Staged) {
            return;
        }
    }
    panic!("no hint has come");
}

#[tokio::test]
async fn f27_without_listen_no_statement_stays_prepared() {
    let schema = Schema::new();
    let url = format!("{}&listen=off", schema.url());
    let store = Postgres::options(&url).max_connections(1).open().await.unwrap();
    let id = store.enqueue(vec![greeting()]).await.unwrap()[0].id();
    assert!(store.run(id).await.unwrap().is_some());
    let rows = sqlx::query("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN' || $1")
        .bind(&schema.name)
        .fetch_all(store.pool())
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn the_email_log_reads_as_the_product_reads_it() {
    let schema = Schema::new();
    let _store = schema.open(&ManualClock::new()).await;
    let mut connection = PgConnection::connect(&database_url()).await.unwrap();
    let path = format!("SET search_path = {}", schema.name);
    sqlx::raw_sql(AssertSqlSafe(path)).execute(&mut connection).await.unwrap();
    let log = r#"SELECT * FROM "EmailLog" WHERE status = 'failed' ORDER BY "createdAt" DESC"#;
    assert!(sqlx::query(log).fetch_all(&mut connection).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_day_of_the_history_that_is_over_is_dropped_whole_with_its_steps() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let name = &schema.name;
    // A day of 1970, as if it had been made then.
    execute(format!(
        "CREATE TABLE {name}.history_3 (LIKE {name}.history INCLUDING ALL);
         ALTER TABLE {name}.history ATTACH PARTITION {name}.history_3 FOR VALUES FROM (259200000) TO (345600000);
         INSERT INTO {name}.history (id, lane, due_at, enqueued_at, ended_at, failures, crashes, input_codec, state,
                                     reason, fingerprint, input)
         SELECT gen_random_uuid(), 1, 0, 0, 259200000, 0, 0, 0, 'succeeded', 'completed', '', ''
         FROM generate_series(1, 2500);
         INSERT INTO {name}.steps (run, saved_at, took, codec, name, result)
         SELECT id, 0, 0, 0, 'step', '' FROM {name}.history;"
    ))
    .await;
    let pruned = store.prune(Retention::default()).await.unwrap();
    assert_eq!(pruned.runs, 2500);
    let mut connection = PgConnection::connect(&database_url()).await.unwrap();
    let left = format!(
        "SELECT (SELECT count(*) FROM {name}.steps), to_regclass('{name}.history_3') IS NULL,
                (SELECT count(*) FROM pg_inherits WHERE inhparent = '{name}.history'::regclass)"
    );
    let row = sqlx::query(AssertSqlSafe(left)).fetch_one(&mut connection).await.unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<bool, _>(1)), (0, true));
    assert_eq!(row.get::<i64, _>(2), 4, "today, two days ahead, and the rest");
}

#[tokio::test]
async fn a_day_of_the_history_that_can_not_be_dropped_is_told_and_does_not_keep_the_others() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let name = &schema.name;
    execute(format!(
        "CREATE TABLE {name}.history_3 (LIKE {name}.history INCLUDING ALL);
         ALTER TABLE {name}.history ATTACH PARTITION {name}.history_3 FOR VALUES FROM (259200000) TO (345600000);
         CREATE TABLE {name}.history_4 (LIKE {name}.history INCLUDING ALL);
         ALTER TABLE {name}.history ATTACH PARTITION {name}.history_4 FOR VALUES FROM (345600000) TO (432000000);
         CREATE VIEW {name}.report AS SELECT id FROM {name}.history_3"
    ))
    .await;
    // The second within minutes does not try again.
    for _ in 0..2 {
        let error = store.prune(Retention::default()).await.unwrap_err();
        assert!(error.message().starts_with("days: ") && error.message().contains("history_3"), "{error}");
    }
    let mut connection = PgConnection::connect(&database_url()).await.unwrap();
    let left =
        format!("SELECT to_regclass('{name}.history_3') IS NULL, to_regclass('{name}.history_4') IS NULL");
    let row = sqlx::query(AssertSqlSafe(left)).fetch_one(&mut connection).await.unwrap();
    assert_eq!((row.get::<bool, _>(0), row.get::<bool, _>(1)), (false, true));
}

#[tokio::test]
async fn an_email_that_is_sent_again_while_it_is_pruned_stays() {
    let schema = Schema::new();
    let store = Postgres::connect(&schema.url()).await.unwrap();
    let name = &schema.name;
    execute(format!(
        "INSERT INTO {name}.emails (id, status, detail, phase, provider, created_at, updated_at, idempotency_key,
                                    header_message_id, sent_from, recipient, recipient_folded, subject, template, attempt,
                                    on_unknown, message, content)
         VALUES (gen_random_uuid(), 'failed', 'rejected', 'ended', 'smtp', 0, 0, 'key-1', '<1@riqle.com>',
                 'orders@riqle.com', 'ada@example.com', 'ada@example.com', 'Hello', 'welcome', 1, 'hold', '', '')"
    ))
    .await;
    let mut replay = PgConnection::connect(&database_url()).await.unwrap();
    let mut replay = replay.begin().await.unwrap();
    let update =
        format!("UPDATE {name}.emails SET status = 'pending', detail = 'sending', phase = 'started'");
    sqlx::raw_sql(AssertSqlSafe(update)).execute(&mut *replay).await.unwrap();
    let pruning = tokio::spawn({
        let store = store.clone();
        async move { store.prune(Retention::default()).await.unwrap().emails }
    });
    let waits = format!(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%DELETE%{name}%emails%')"
    );
    while !sqlx::query(AssertSqlSafe(waits.clone())).fetch_one(store.pool()).await.unwrap().get::<bool, _>(0)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    replay.commit().await.unwrap();
    assert_eq!(pruning.await.unwrap(), 0);
    assert_eq!(store.emails(Default::default()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_text_that_postgresql_can_not_hold_is_refused_whole() {
    let schema = Schema::new();
    let store = schema.open(&ManualClock::new()).await;
    let mut bad = greeting();
    bad.gates = vec!["a\0b".to_owned()];
    let error = store.enqueue(vec![greeting(), bad]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert!(store.counts().await.unwrap().is_empty());
}

#[tokio::test]
async fn succeeded_runs_that_are_not_kept_leave_nothing_and_dead_letters_stay() {
    let schema = Schema::new();
    let store = Postgres::connect(&format!("{}&keep_succeeded=0", schema.url())).await.unwrap();
    let jobs = Jobs::new(&store);
    let worker = Worker::new(&store).register(Stepped);
    let succeeded = jobs.enqueue(SteppedInput(false)).unique("once").await.unwrap().id();
    let dead = jobs.enqueue(SteppedInput(true)).await.unwrap().id();
    worker.run_until_idle().await.unwrap();
    assert_eq!(store.run(succeeded).await.unwrap(), None);
    assert_eq!(store.steps(succeeded).await.unwrap(), []);
    assert_eq!(store.steps(dead).await.unwrap().len(), 1);
    assert!(jobs.enqueue(SteppedInput(false)).unique("once").await.unwrap().is_new());
}

struct Stepped;

#[derive(serde::Serialize, serde::Deserialize)]
struct SteppedInput(bool);

impl JobInput for SteppedInput {
    const JOB: &'static str = "stepped";
}

impl Job for Stepped {
    type Input = SteppedInput;
    type Output = ();

    async fn run(&self, run: &RunContext, SteppedInput(dies): SteppedInput) -> Result<(), JobError> {
        run.step("step", || async { Ok(()) }).await?;
        if dies { Err(JobError::dead("as told")) } else { Ok(()) }
    }
}
