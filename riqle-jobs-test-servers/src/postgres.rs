//! A PostgreSQL server of one's own: in a temporary folder, on a free port, gone at the end.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::own::{STARTS_WITHIN, free_port, nanos, run};

/// How safe a commit is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// As PostgreSQL is by default: fsync and synchronous_commit on.
    Full,
    /// Survives a crash of the server, not of the machine: for tests, which are faster so.
    NoSync,
}

/// A running server; it stops where this is dropped.
pub struct PostgresServer {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    durability: Durability,
    server: Option<Child>,
}

impl PostgresServer {
    /// Makes and starts one.
    ///
    /// # Errors
    /// Where its programs are missing, or it does not answer in time: with its log.
    pub fn start(durability: Durability) -> Result<Self, String> {
        Self::start_in(&std::env::temp_dir(), durability)
    }

    /// As [`start`](Self::start), with its folder in `parent`.
    ///
    /// # Errors
    /// As there.
    pub fn start_in(parent: &Path, durability: Durability) -> Result<Self, String> {
        let programs = programs().ok_or(
            "the tests need the programs of a PostgreSQL server (initdb, postgres): apt-get install postgresql",
        )?;
        let folder = parent.join(format!("riqle-postgres-{}-{}", std::process::id(), nanos()));
        fs::create_dir_all(&folder).map_err(|error| format!("can't make {}: {error}", folder.display()))?;
        if is_root() {
            run(Command::new("chown").arg(user()).arg(&folder))?;
        }
        let mut server = Self { programs, folder, port: free_port()?, durability, server: None };
        let data = server.data();
        run(server
            .program("initdb")
            .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync"])
            .args(["--locale=C", "-D"])
            .arg(data))?;
        server.start_again()?;
        Ok(server)
    }

    /// Starts a standby of it, to which every commit goes before it is acknowledged.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn standby(&self) -> Result<Self, String> {
        let folder = self.folder.with_extension("standby");
        fs::create_dir_all(&folder).map_err(|error| format!("can't make {}: {error}", folder.display()))?;
        if is_root() {
            run(Command::new("chown").arg(user()).arg(&folder))?;
        }
        let mut standby = Self {
            programs: self.programs.clone(),
            folder,
            port: free_port()?,
            durability: self.durability,
            server: None,
        };
        run(self
            .program("pg_basebackup")
            .args(["-R", "-X", "stream", "-c", "fast", "-h", "127.0.0.1", "-U", "postgres"])
            .args(["-p", &self.port.to_string(), "-D"])
            .arg(standby.data()))?;
        standby.start_again()?;
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")?;
        self.sql("SELECT pg_reload_conf()")?;
        Ok(standby)
    }

    /// Makes a standby the server.
    ///
    /// # Errors
    /// Where it is none.
    pub fn promote(&self) -> Result<(), String> {
        run(self.program("pg_ctl").args(["promote", "-D"]).arg(self.data()))
    }

    fn sql(&self, sql: &str) -> Result<(), String> {
        let port = self.port.to_string();
        let at = ["-q", "-X", "-h", "127.0.0.1", "-U", "postgres", "-p", &port, "-c", sql, "postgres"];
        run(self.program("psql").args(at))
    }

    /// Copies the data alone, not the tables, of one database into another, as `pg_dump` and `psql` do.
    ///
    /// # Errors
    /// What these programs say.
    pub fn copy_data(&self, from: &str, to: &str) -> Result<(), String> {
        let (port, file) = (self.port.to_string(), self.folder.join("dump.sql"));
        let at = ["-h", "127.0.0.1", "-U", "postgres", "-p", &port];
        let what = ["--data-only", "--schema=riqle", "--exclude-table=riqle.migrations"];
        run(self.program("pg_dump").args(at).args(what).arg("-f").arg(&file).arg(from))?;
        let restore = ["-q", "-X", "-v", "ON_ERROR_STOP=1"];
        run(self.program("psql").args(at).args(restore).arg("-f").arg(&file).arg(to))
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the server where it has stopped.
    ///
    /// # Errors
    /// Where it does not answer in time: with its log.
    pub fn start_again(&mut self) -> Result<(), String> {
        let safety = match self.durability {
            Durability::Full => "on",
            Durability::NoSync => "off",
        };
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-k", ""]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "max_connections=300",
            "shared_buffers=256MB",
            "max_wal_size=2GB",
            &format!("fsync={safety}"),
            "synchronous_commit=on",
        ] {
            command.args(["-c", setting]);
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log"));
        let log = log.map_err(|error| format!("can't write the server's log: {error}"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.server = Some(command.spawn().map_err(|error| format!("can't start postgres: {error}"))?);
        self.wait()
    }

    /// Takes the server down as a crash does: nothing is flushed, connections break off.
    pub fn crash(&mut self) {
        let data = self.data();
        let _ = run(self.program("pg_ctl").args(["stop", "-m", "immediate", "-D"]).arg(data));
        if let Some(mut server) = self.server.take() {
            let _ = server.wait();
        }
    }

    fn wait(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let port = self.port.to_string();
            let mut ready = self.program("pg_isready");
            ready.args(["-q", "-h", "127.0.0.1", "-p", &port]);
            if run(&mut ready).is_ok() {
                return Ok(());
            }
            let ended = self.server.as_mut().is_some_and(|server| matches!(server.try_wait(), Ok(Some(_))));
            if ended || begun.elapsed() > STARTS_WITHIN {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(format!("PostgreSQL did not start:\n{log}"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// One of the server's programs; they refuse to run as root.
    fn program(&self, name: &str) -> Command {
        let mut program = self.programs.join(name);
        if !program.is_file() {
            // A package may bring the server alone.
            program = name.into();
        }
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", user(), "--regid", "nogroup", "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.folder);
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.crash();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The folder of the newest server's programs.
fn programs() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).filter(|folder| folder.join("initdb").is_file()).collect())
        .unwrap_or_default();
    // Where Debian puts them.
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        let mut versions: Vec<_> = versions.flatten().map(|version| version.path().join("bin")).collect();
        versions.sort();
        folders.extend(versions.into_iter().rev());
    }
    folders.into_iter().filter_map(|folder| real(&folder)).find(|folder| folder.join("postgres").is_file())
}

/// A wrapper elsewhere may stand for the program.
fn real(folder: &Path) -> Option<PathBuf> {
    fs::canonicalize(folder.join("initdb")).ok()?.parent().map(Path::to_owned)
}

fn is_root() -> bool {
    run(Command::new("sh").args(["-c", "test $(id -u) -eq 0"])).is_ok()
}

/// Whom a server started by root runs as.
fn user() -> &'static str {
    if run(Command::new("id").arg("postgres")).is_ok() { "postgres" } else { "nobody" }
}
