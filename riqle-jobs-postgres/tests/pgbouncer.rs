//! F27: through PgBouncer in transaction mode, where each statement may run on another connection of the server.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use riqle_jobs_core::{
    Database, DatabaseTransaction, Inspect, Job, JobError, JobInput, Jobs, RunContext, RunState, Worker,
};
use riqle_jobs_postgres::Postgres;

use crate::support::{Schema, database_url};

/// A pooler before the server of the tests; it ends where this is dropped.
struct Pooler {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Pooler {
    fn start() -> Self {
        let server: url::Url = database_url().parse().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let settings = folder.path().join("pgbouncer.ini");
        let (host, of_server) = (server.host_str().unwrap(), server.port().unwrap_or(5432));
        let user = server.username();
        let password = server.password().map(|password| format!("password={password}")).unwrap_or_default();
        let database = server.path().trim_start_matches('/');
        let lines = format!(
            "[databases]\n{database} = host={host} port={of_server} user={user} {password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\nmax_client_conn = 100\ndefault_pool_size = 3\n"
        );
        std::fs::write(&settings, lines).unwrap();
        std::fs::set_permissions(&settings, std::fs::Permissions::from_mode(0o644)).unwrap();
        let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
        // Where Debian has it, which is not in everybody's path.
        let debians = "/usr/sbin/pgbouncer";
        let program = if std::path::Path::new(debians).is_file() { debians } else { "pgbouncer" };
        let mut command = if is_root {
            // It refuses to run as root.
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--", program]);
            command
        } else {
            Command::new(program)
        };
        let process =
            command.arg(&settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap_or_else(
                |error| panic!("the test needs PgBouncer (apt-get install pgbouncer): {error}"),
            );
        Self { process, port, _folder: folder }
    }

    fn url(&self, schema: &Schema) -> String {
        let mut url: url::Url = schema.url().parse().unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.query_pairs_mut().append_pair("listen", "off");
        url.into()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Count(Arc<AtomicU32>);

#[derive(serde::Serialize, serde::Deserialize)]
struct CountInput(u32);

impl JobInput for CountInput {
    const JOB: &'static str = "count";
}

impl Job for Count {
    type Input = CountInput;
    type Output = u32;

    async fn run(&self, run: &RunContext, CountInput(number): CountInput) -> Result<u32, JobError> {
        for name in ["first", "second"] {
            run.step(name, || async {
                self.0.fetch_add(1, Ordering::Relaxed);
                Ok(number)
            })
            .await?;
        }
        Ok(number)
    }
}

async fn connect(url: &str) -> Postgres {
    for _ in 0..200 {
        if let Ok(store) = Postgres::connect(url).await {
            return store;
        }
        // It starts; nothing tells when it listens.
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Postgres::connect(url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn f27_runs_go_through_a_pooler_in_transaction_mode() {
    let (pooler, schema) = (Pooler::start(), Schema::new());
    let store = connect(&pooler.url(&schema)).await;
    let jobs = Jobs::new(&store);
    let steps = Arc::new(AtomicU32::new(0));
    let mut producers = tokio::task::JoinSet::new();
    for producer in 0..10 {
        let jobs = jobs.clone();
        producers.spawn(async move {
            for number in 0..20 {
                let key = format!("{producer}-{number}");
                jobs.enqueue(CountInput(number)).unique(&key).await.unwrap();
            }
        });
    }
    producers.join_all().await;
    let mut transaction = store.begin().await.unwrap();
    let run = riqle_jobs_core::NewRun::of(&CountInput(7)).unwrap();
    let (_, wake) = store.enqueue_in(&mut transaction, vec![run]).await.unwrap();
    transaction.commit().await.unwrap();
    wake.fire();
    Worker::new(&store).register(Count(Arc::clone(&steps))).run_until_idle().await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.len(), counts[0].state, counts[0].runs), (1, RunState::Succeeded, 201));
    assert_eq!(steps.load(Ordering::Relaxed), 402);
}
