//! The ids of runs, leases, workers, emails and actions, and the id that a run's replay gets.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    Error, ErrorKind,
    outside::{random_id, rising_id},
};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $new:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, unlike any other.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self($new)
            }

            /// From the stored form.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The form to store.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Uuid::parse_str(text).map(Self).map_err(|cause| {
                    Error::new(ErrorKind::Rejected, "parse", concat!("not a ", stringify!($name))).permanent()
                        .caused_by(cause)
                })
            }
        }
    };
}

id! {
    /// Names a run. A UUIDv7, made before the run is stored, so that a repeated enqueue is harmless; ids from
    /// one process rise.
    RunId, rising_id()
}
id! {
    /// Fences one claim: every write of a worker carries it, and a store refuses any but the newest.
    LeaseToken, random_id()
}
id! {
    /// Names a worker process; random, never reused after a restart.
    WorkerId, random_id()
}
id! {
    /// Names a row of the email log.
    EmailId, rising_id()
}
id! {
    /// Names an action of an operator.
    ActionId, rising_id()
}

impl RunId {
    /// The id under which [`Jobs::replay_all`](crate::Jobs::replay_all) replays this run: always the same one,
    /// so that a repeated replay is recognised. A UUIDv8 a millisecond younger than this one, otherwise its
    /// SHA-256; it is greater, so that a list by falling id that has come to this run does not meet its replay.
    pub fn of_replay(&self) -> RunId {
        let digest =
            Sha256::new().chain_update(b"riqle-jobs replay").chain_update(self.0.as_bytes()).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        let millis = (self.0.as_u64_pair().0 >> 16).saturating_add(1);
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        RunId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_replay_is_another_greater_one_and_always_the_same() {
        let mut id = RunId::from_uuid(Uuid::from_u128(0x019b_76da_a800_7000_8000_0000_0000_0001));
        let first = id.of_replay();
        assert_eq!(first.to_string(), "019b76da-a801-83a7-8614-734105b7b85c");
        for _ in 0..100 {
            let next = id.of_replay();
            assert_eq!(next, id.of_replay());
            assert!(next > id && next.as_uuid().get_version_num() == 8);
            id = next;
        }
    }
}
