//! A worker's or a producer's process: what it was told, and what surrounds its jobs.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use riqle_jobs_conformance::{
    Random,
    history::{History, Recorded},
    workload::{ProviderFaults, Surroundings},
};
use riqle_jobs_core::{ErrorKind, Payload};
use tokio::{sync::oneshot, time::sleep};

use crate::{LEASE, histories};

pub(crate) struct Process {
    pub(crate) name: String,
    url: String,
    folder: PathBuf,
    history: History,
    random: Mutex<Random>,
}

impl Process {
    /// Of its arguments: a name, a number of its own, the store's URL, and the folder of the histories.
    pub(crate) fn of(arguments: &[&str]) -> Result<Arc<Self>, String> {
        let [name, number, url, folder] = arguments else {
            return Err("a process needs a name, a number, a URL and a folder".to_owned());
        };
        let number = number.parse().map_err(|_| format!("{number} is not a number"))?;
        Self::new(name, number, url, Path::new(folder)).map(Arc::new)
    }

    pub(crate) fn new(name: &str, number: u64, url: &str, folder: &Path) -> Result<Self, String> {
        Ok(Self {
            name: name.to_owned(),
            url: url.to_owned(),
            folder: folder.to_owned(),
            history: histories::history(folder, number)?,
            random: Mutex::new(Random::new(number)),
        })
    }

    /// Its handle of the store, once that can be reached.
    pub(crate) async fn store(&self) -> Result<Recorded, String> {
        loop {
            match riqle_jobs::connect(&self.url).await {
                Ok(store) => return Ok(self.history.of(&self.name, store)),
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    sleep(Duration::from_millis(100)).await;
                }
                Err(error) => return Err(format!("{}: {error}", self.name)),
            }
        }
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn up_to(&self, millis: usize) -> Duration {
        Duration::from_millis(self.below(millis) as u64)
    }
}

/// Resolves once the process that started this one wants it to stop, or is gone: its end of the pipe is closed.
pub(crate) fn stop_requested() -> oneshot::Receiver<()> {
    let (told, is_told) = oneshot::channel();
    // On a thread of its own: a runtime would wait for it at its end.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        told.send(())
    });
    is_told
}

/// What no history shows, written by any process.
pub(crate) fn wrong(folder: &Path) -> PathBuf {
    folder.join("wrong")
}

#[async_trait]
impl Surroundings for Process {
    fn process(&self) -> &str {
        &self.name
    }

    fn history(&self) -> &History {
        &self.history
    }

    fn lease(&self) -> Duration {
        LEASE
    }

    fn below(&self, end: usize) -> usize {
        self.draw(|random| random.below(end))
    }

    fn provider(&self) -> ProviderFaults {
        ProviderFaults { fails: 3, loses_reply: 3, is_misconfigured: false, is_slow: 2 }
    }

    /// The providers' memory is a file for each email.
    fn is_new_to_provider(&self, key: &str) -> bool {
        let digest = Payload::json(&key).map(|key| key.fingerprint().0).unwrap_or_default();
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        File::create_new(self.folder.join(name).with_extension("taken")).is_ok()
    }

    fn went_wrong(&self, what: String) {
        let file = OpenOptions::new().create(true).append(true).open(wrong(&self.folder));
        if file.and_then(|mut file| writeln!(file, "{what}")).is_err() {
            eprintln!("{what}");
        }
    }
}
