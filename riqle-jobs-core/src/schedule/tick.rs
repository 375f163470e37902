//! A time of a schedule, and the run that starts at it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{NewRun, OtherInput, Payload, RunId, clock, job::mix, store::JobDeclaration};

/// What a run was started by: a schedule, at one of its times. The body takes its time from here, not from a clock: a run may
/// come late, be tried again, or be replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The schedule's name in its job.
    pub schedule: String,
    /// The time. Of a run that was triggered by hand, when that was.
    pub at: Timestamp,
}

impl Tick {
    /// The id of its run, always the same one, so that no tick starts twice: a UUIDv8 of the tick's time, otherwise a SHA-256.
    pub fn run_id(&self, job: &str) -> RunId {
        let millis = self.at.as_millisecond();
        let mut digest = Sha256::new();
        for part in [b"riqle-jobs tick", job.as_bytes(), self.schedule.as_bytes(), &millis.to_be_bytes()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.finalize()[..16]);
        bytes[..6].copy_from_slice(&millis.max(0).to_be_bytes()[2..]);
        RunId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// By how much of a schedule's jitter its run is delayed: always the same.
    pub fn delay(&self, job: &str, jitter: Duration) -> Duration {
        let most = clock::millis_of(jitter).unsigned_abs();
        let seed = self.run_id(job).as_uuid().as_u64_pair().1;
        Duration::from_millis(mix(seed) % (most + 1))
    }

    /// A run of its job, due now, with the keys that the job's rules make of the input. Where another run holds the unique key, that
    /// one stands for it, whatever its input.
    pub(crate) fn run(&self, job: &JobDeclaration, input: Payload) -> NewRun {
        let mut run = NewRun::of_rules(job, input);
        if let Some(unique) = &mut run.unique {
            unique.other_input = OtherInput::IsIgnored;
        }
        NewRun { id: self.run_id(&job.name), tick: Some(self.clone()), ..run }
    }
}
