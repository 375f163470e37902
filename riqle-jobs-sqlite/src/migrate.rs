//! The migrations of the schema, and how they are applied.

use std::path::Path;

use riqle_jobs_core::{
    Error, ErrorKind,
    store::rules::{Migration, Migrations, Schema},
};
use sqlx::{Connection, Row, SqliteConnection};

use crate::{
    Sqlite,
    error::{is_busy, translate},
};

const MIGRATIONS: [Migration; 1] =
    [Migration { name: "schema", sql: include_str!("../migrations/0001_schema.sql") }];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS riqle_migrations (
    number     INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL,
    hash       TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT";

impl Sqlite {
    /// The SQL that builds the whole schema, for other migration tools: each migration with its record in
    /// `riqle_migrations`. A file that it has built need not be migrated when it is opened.
    pub fn schema_sql() -> String {
        let migrations = (1..).zip(&MIGRATIONS).map(|(number, migration): (u32, _)| {
            let Migration { name, sql } = migration;
            format!(
                "\n-- Migration {number}, {name}.\n{sql}\nINSERT INTO riqle_migrations (number, name, hash, applied_at) \
                 VALUES ({number}, '{name}', '{}', CAST(strftime('%s', 'now') AS INTEGER) * 1000);\n",
                migration.hash()
            )
        });
        format!("{TABLE};\n{}", migrations.collect::<String>())
    }
}

/// Which migrations a file has. Refuses one that this version can't work with.
pub(crate) async fn migrations(connection: &mut SqliteConnection, file: &Path) -> Result<Migrations, Error> {
    let schema = recorded(&MIGRATIONS, connection).await.map_err(|error| translate("connect", error))?;
    let applied = usable(schema, &MIGRATIONS, file)?;
    Ok(Migrations::of(applied, &MIGRATIONS))
}

/// Those of a file that is not there.
pub(crate) fn none_applied() -> Migrations {
    Migrations::of(0, &MIGRATIONS)
}

/// Refuses a schema that is not up to date.
pub(crate) async fn check(connection: &mut SqliteConnection, file: &Path) -> Result<(), Error> {
    let Migrations { applied, pending } = migrations(connection, file).await?;
    if pending.is_empty() {
        return Ok(());
    }
    let (file, known) = (file.display(), MIGRATIONS.len());
    let message = format!(
        "{file} has schema {applied}; this version of riqle-jobs needs {known}: run `riqle-jobs migrate`, or \
         open it without migrate(false)"
    );
    Err(Error::new(ErrorKind::Misconfigured, "connect", message))
}

/// Brings the schema of `file` up to date; of several that start at once, one does.
pub(crate) async fn migrate(connection: &mut SqliteConnection, file: &Path, now: i64) -> Result<(), Error> {
    migrate_to(&MIGRATIONS, connection, file, now).await
}

async fn migrate_to(
    known: &[Migration],
    connection: &mut SqliteConnection,
    file: &Path,
    now: i64,
) -> Result<(), Error> {
    let schema = match apply(known, connection, now).await {
        // A long transaction elsewhere must not stop a start that has nothing to apply.
        Err(error) if is_busy(&error) => match recorded(known, connection).await {
            Ok(Schema::Applied(applied)) if applied < known.len() => return Err(translate("connect", error)),
            Ok(schema) => schema,
            Err(_) => return Err(translate("connect", error)),
        },
        Err(error) => return Err(translate("connect", error)),
        Ok(schema) => schema,
    };
    usable(schema, known, file).map(drop)
}

/// How many migrations are applied, of a schema that this version can work with.
fn usable(schema: Schema, known: &[Migration], file: &Path) -> Result<usize, Error> {
    let file = file.display();
    let message = match schema {
        Schema::Newer(newest) => format!(
            "{file} has schema {newest}; this version of riqle-jobs knows up to {}: upgrade riqle-jobs",
            known.len()
        ),
        Schema::Other(_) => format!(
            "{file} was made by a build of riqle-jobs before 0.1.0, with another schema: name another file, or delete \
             this one if you need nothing of what is in it"
        ),
        Schema::Applied(applied) => return Ok(applied),
        _ => return Ok(0),
    };
    Err(Error::new(ErrorKind::Misconfigured, "connect", message))
}

/// Applies what is left to apply, unless the schema is refused.
async fn apply(
    known: &[Migration],
    connection: &mut SqliteConnection,
    now: i64,
) -> Result<Schema, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let schema = recorded(known, &mut transaction).await?;
    let Schema::Applied(applied) = schema else { return Ok(schema) };
    sqlx::query(TABLE).execute(&mut *transaction).await?;
    for (number, migration) in (1_i64..).zip(known).skip(applied) {
        sqlx::raw_sql(migration.sql).execute(&mut *transaction).await?;
        let record = "INSERT INTO riqle_migrations (number, name, hash, applied_at) VALUES (?1, ?2, ?3, ?4)";
        let record = sqlx::query(record).bind(number).bind(migration.name).bind(migration.hash()).bind(now);
        record.execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(Schema::Applied(known.len()))
}

async fn recorded(known: &[Migration], connection: &mut SqliteConnection) -> Result<Schema, sqlx::Error> {
    let has = "SELECT count(*) AS columns, count(*) FILTER (WHERE name = 'hash') AS hashes
               FROM pragma_table_info('riqle_migrations')";
    let has = sqlx::query(has).fetch_one(&mut *connection).await?;
    let recorded = match (has.try_get("columns")?, has.try_get("hashes")?) {
        (0_i64, _) => return Ok(Schema::Applied(0)),
        // A build before 0.1.0 recorded none.
        (_, 0_i64) => "SELECT number, NULL AS hash FROM riqle_migrations ORDER BY number",
        _ => "SELECT number, hash FROM riqle_migrations ORDER BY number",
    };
    let recorded = sqlx::query(recorded).fetch_all(connection).await?;
    let recorded = recorded.iter().map(|row| {
        let number: i64 = row.try_get("number")?;
        Ok((number.unsigned_abs(), row.try_get("hash")?))
    });
    Ok(Schema::of(&recorded.collect::<Result<Vec<_>, sqlx::Error>>()?, known))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        time::Duration,
    };

    use riqle_jobs_core::{Job, JobError, JobInput, Jobs, RunContext, RunFilter, RunState, Worker};
    use sqlx::ConnectOptions;
    use tempfile::TempDir;

    use super::*;
    use crate::Sqlite;

    /// What a next version may bring: the version before goes on.
    const NEXT: [Migration; 2] = [
        MIGRATIONS[0],
        Migration {
            name: "next",
            sql: "ALTER TABLE riqle_runs ADD COLUMN colour TEXT;
                  CREATE INDEX riqle_runs_colour ON riqle_runs (colour) WHERE colour IS NOT NULL;
                  CREATE TABLE riqle_colours (colour TEXT NOT NULL PRIMARY KEY) STRICT;",
        },
    ];

    struct Greet(Arc<AtomicU32>);

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Greeting(u32);

    impl JobInput for Greeting {
        const JOB: &'static str = "greet";
    }

    impl Job for Greet {
        type Input = Greeting;
        type Output = u32;

        async fn run(&self, run: &RunContext, Greeting(number): Greeting) -> Result<u32, JobError> {
            run.step("greet", || async { Ok(self.0.fetch_add(1, Ordering::SeqCst)) }).await?;
            Ok(number)
        }
    }

    async fn open(folder: &TempDir) -> Result<Sqlite, Error> {
        Sqlite::connect(&format!("sqlite:{}", folder.path().join("jobs.db").display())).await
    }

    async fn migrate_to_next(store: &Sqlite) {
        let mut connection = store.shared.options.connect().await.unwrap();
        migrate_to(&NEXT, &mut connection, Path::new("jobs.db"), 0).await.unwrap();
        connection.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_the_printed_sql_has_built_needs_no_migration() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("jobs.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(Sqlite::schema_sql())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let url = format!("sqlite:{}", file.display());
        assert_eq!(Sqlite::options(&url).migrations().await.unwrap(), Migrations::of(1, &MIGRATIONS));
        let store = Sqlite::options(&url).migrate(false).open().await.unwrap();
        assert_eq!(Jobs::new(&store).runs(RunFilter::all()).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_file_of_others_is_left_as_it_is_by_who_does_not_migrate() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("shop.db");
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql("CREATE TABLE orders (id INTEGER)").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let before = std::fs::read(&file).unwrap();
        let url = format!("sqlite:{}", file.display());
        assert_eq!(Sqlite::options(&url).migrations().await.unwrap(), none_applied());
        let error = Sqlite::options(&url).migrate(false).open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.message().contains("run `riqle-jobs migrate`"), "{}", error.message());
        let missing = format!("sqlite:{}", folder.path().join("none.db").display());
        assert_eq!(Sqlite::options(&missing).migrations().await.unwrap(), none_applied());
        let error = Sqlite::options(&missing).migrate(false).open().await.unwrap_err();
        assert!(error.message().starts_with("there is no file"), "{}", error.message());
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn f28_workers_go_on_under_a_migration_of_the_next_version() {
        let folder = TempDir::new().unwrap();
        let store = open(&folder).await.unwrap();
        let (jobs, greeted) = (Jobs::new(&store), Arc::default());
        let worker = Worker::new(&store).register(Greet(Arc::clone(&greeted))).concurrency(2);
        jobs.enqueue_all((0..200).map(Greeting)).await.unwrap();
        let idle = async {
            worker.run_until_idle().await.unwrap();
        };
        let migration = async {
            while greeted.load(Ordering::SeqCst) < 5 {
                // The worker is at work in between.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            migrate_to_next(&store).await;
            migrate_to_next(&store).await;
        };
        tokio::join!(idle, migration);
        jobs.enqueue(Greeting(200)).await.unwrap();
        worker.run_until_idle().await.unwrap();

        let succeeded = RunFilter::all().states([RunState::Succeeded]).limit(1_000);
        assert_eq!(jobs.runs(succeeded).await.unwrap().len(), 201);
        assert_eq!(greeted.load(Ordering::SeqCst), 201);
        assert_eq!(jobs.health().await.unwrap().schema, Some(2));
        let refused = open(&folder).await.unwrap_err();
        assert!(refused.message().contains("schema 2; this version"), "{refused}");
    }

    #[tokio::test]
    async fn a_file_of_another_build_is_refused_by_its_name_and_left_as_it_is() {
        for other in [
            "UPDATE riqle_migrations SET hash = 'of another text'",
            "ALTER TABLE riqle_migrations DROP COLUMN hash",
            "ALTER TABLE riqle_migrations DROP COLUMN hash;
             INSERT INTO riqle_migrations (number, name, applied_at) VALUES (2, 'staging', 0)",
        ] {
            let folder = TempDir::new().unwrap();
            let store = open(&folder).await.unwrap();
            sqlx::raw_sql(other).execute(store.pool()).await.unwrap();
            let refused = open(&folder).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Misconfigured, "{refused}");
            let line = refused.message();
            assert!(line.contains("jobs.db was made by") && line.contains("delete"), "{line}");
            assert!(!line.contains('\n') && line.len() < 240, "{line}");
        }
    }
}
