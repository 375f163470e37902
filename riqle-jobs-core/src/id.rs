use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Error, ErrorKind};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $new:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new one, unlike any other.
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
                    Error::new(ErrorKind::Rejected, "parse", concat!("not a ", stringify!($name)))
                        .caused_by(cause)
                })
            }
        }
    };
}

id! {
    /// Names a run. A UUIDv7, made before the run is stored, so that a repeated enqueue is harmless;
    /// ids made by one process rise.
    RunId, Uuid::now_v7()
}
id! {
    /// Fences one claim: every write of a worker carries it, and a store refuses any but the newest.
    LeaseToken, Uuid::new_v4()
}
id! {
    /// Names a worker process; random, never reused after a restart.
    WorkerId, Uuid::new_v4()
}
id! {
    /// Names a row of the email log.
    EmailId, Uuid::now_v7()
}
