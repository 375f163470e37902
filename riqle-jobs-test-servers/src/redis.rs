//! Redis servers of one's own: in a temporary folder, on free ports, gone at the end.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::own::{STARTS_WITHIN, free_port, nanos, run};

/// A running server; it stops where this is dropped, and where whoever started it is killed.
pub struct RedisServer {
    folder: PathBuf,
    port: u16,
    settings: Vec<String>,
    server: Option<Child>,
}

impl RedisServer {
    /// Makes and starts one, with these settings beside ours: `appendonly yes`, `appendfsync everysec`.
    ///
    /// # Errors
    /// Where the program is missing, or does not answer in time: with its log.
    pub fn start(settings: &[&str]) -> Result<Self, String> {
        Self::start_in(&std::env::temp_dir(), settings)
    }

    /// As [`start`](Self::start), with its folder in `parent`.
    ///
    /// # Errors
    /// As there.
    pub fn start_in(parent: &Path, settings: &[&str]) -> Result<Self, String> {
        loop {
            let server = Self::start_on(free_port()?, parent, settings)?;
            if !server.port_belongs_to_another() {
                return Ok(server);
            }
        }
    }

    /// Whether a server that was started at the same moment got the port, and answers on it.
    fn port_belongs_to_another(&self) -> bool {
        let folder = self.folder.display().to_string();
        self.command(&["CONFIG", "GET", "dir"])
            .is_ok_and(|told| told.contains("riqle-redis-") && !told.contains(&folder))
    }

    fn start_on(port: u16, parent: &Path, settings: &[&str]) -> Result<Self, String> {
        let folder = parent.join(format!("riqle-redis-{}-{port}-{}", std::process::id(), nanos()));
        fs::create_dir_all(&folder).map_err(|error| format!("can't make {}: {error}", folder.display()))?;
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { folder, port, settings, server: None };
        server.start_again()?;
        Ok(server)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the server where it has stopped, on the data that it had.
    ///
    /// # Errors
    /// Where it does not answer in time: with its log.
    pub fn start_again(&mut self) -> Result<(), String> {
        // What is killed can't stop its server; so a shell waits for the end of a pipe that nobody writes to.
        let script = "redis-server \"$@\" & server=$!; read -r _; kill -9 $server 2>/dev/null; wait $server";
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).current_dir(&self.folder);
        for (name, value) in [
            ("--port", self.port.to_string().as_str()),
            ("--bind", "127.0.0.1"),
            ("--dir", &self.folder.display().to_string()),
            ("--appendonly", "yes"),
            ("--appendfsync", "everysec"),
            ("--save", ""),
            ("--daemonize", "no"),
        ] {
            command.args([name, value]);
        }
        command.args(&self.settings);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log"));
        let log = log.map_err(|error| format!("can't write the server's log: {error}"))?;
        let other = log.try_clone().map_err(|error| format!("can't write the server's log: {error}"))?;
        command.stdin(Stdio::piped()).stdout(log).stderr(other);
        self.server = Some(command.spawn().map_err(|error| format!("can't start redis-server: {error}"))?);
        self.wait()
    }

    /// Takes its folder away, so that it can't save anything.
    ///
    /// # Errors
    /// Where it is gone already.
    pub fn lose_folder(&self) -> Result<(), String> {
        fs::remove_dir_all(&self.folder)
            .map_err(|error| format!("can't remove {}: {error}", self.folder.display()))
    }

    /// Takes the server down as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut shell) = self.server.take() {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }

    /// Sends one command and answers with the first bytes of its answer.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn command(&self, words: &[&str]) -> Result<String, String> {
        redis_command(self.port, words)
    }

    /// Sends its process a signal, such as `-STOP`.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn signal(&self, signal: &str) -> Result<(), String> {
        signal_process(&self.process()?, signal)
    }

    /// The id of its process.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn process(&self) -> Result<String, String> {
        let info = self.command(&["INFO", "server"])?;
        let process = info.lines().find_map(|line| line.strip_prefix("process_id:"));
        process.map(|process| process.trim().to_owned()).ok_or_else(|| format!("no process id in {info}"))
    }

    /// Whether it follows another; `false` where it does not answer.
    pub fn is_replica(&self) -> bool {
        self.command(&["INFO", "replication"]).is_ok_and(|told| told.contains("role:slave"))
    }

    fn wait(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            if self
                .command(&["PING"])
                .is_ok_and(|answer| answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
            {
                return Ok(());
            }
            if begun.elapsed() > STARTS_WITHIN {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(format!("Redis did not start:\n{log}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A cluster of three masters with a replica each.
pub struct RedisCluster {
    /// Masters and replicas.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Makes and starts one.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start() -> Result<Self, String> {
        Self::start_with(&[])
    }

    /// Makes and starts one, with these settings of each node.
    ///
    /// # Errors
    /// As [`RedisServer::start`].
    pub fn start_with(settings: &[&str]) -> Result<Self, String> {
        let settings = [&["--cluster-enabled", "yes", "--cluster-node-timeout", "1500"], settings].concat();
        let parent = std::env::temp_dir();
        let nodes = (0..6).map(|_| RedisServer::start_on(free_cluster_port()?, &parent, &settings));
        let cluster = Self { nodes: nodes.collect::<Result<_, _>>()? };
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]);
        for node in &cluster.nodes {
            create.arg(format!("127.0.0.1:{}", node.port));
        }
        run(create.args(["--cluster-replicas", "1", "--cluster-yes"]))?;
        cluster.wait()?;
        Ok(cluster)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let nodes: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis-cluster://{}", nodes.join(","))
    }

    /// Resolves once all of its nodes serve.
    ///
    /// # Errors
    /// Where they don't in time.
    pub fn wait(&self) -> Result<(), String> {
        let begun = Instant::now();
        let is_ready = |node: &RedisServer| {
            let is_ok =
                node.command(&["CLUSTER", "INFO"]).is_ok_and(|info| info.contains("cluster_state:ok"));
            let role = node.command(&["INFO", "replication"]).unwrap_or_default();
            is_ok && (role.contains("role:master") || role.contains("master_link_status:up"))
        };
        while !self.nodes.iter().all(is_ready) {
            if begun.elapsed() > STARTS_WITHIN {
                return Err("the Redis cluster did not come together".to_owned());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// Sends one command to a server of this machine and answers with the first bytes of its answer.
///
/// # Errors
/// Where it does not answer.
pub fn redis_command(port: u16, words: &[&str]) -> Result<String, String> {
    let talk = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text += &format!("${}\r\n{word}\r\n", word.len());
        }
        stream.write_all(text.as_bytes())?;
        let mut answer = vec![0; 64 * 1024];
        let length = stream.read(&mut answer)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    talk().map_err(|error| format!("{words:?} to port {port}: {error}"))
}

/// Sends a process a signal, such as `-CONT`.
///
/// # Errors
/// Where there is none of that id.
pub fn signal_process(process: &str, signal: &str) -> Result<(), String> {
    run(Command::new("kill").args([signal, process]))
}

/// Whether Redis's programs are there.
pub fn redis_is_installed() -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &str| {
        std::env::split_paths(&paths).any(|folder: PathBuf| Path::new(&folder).join(name).is_file())
    };
    has("redis-server") && has("redis-cli")
}

/// A node's bus listens on a port 10,000 above its own.
fn free_cluster_port() -> Result<u16, String> {
    for _ in 0..1_000 {
        let port = free_port()?;
        let port = if port > 55_000 { port - 12_000 } else { port };
        if TcpListener::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok()
        {
            return Ok(port);
        }
    }
    Err("no free port with another one 10,000 above".to_owned())
}
