//! How urgent a run is.

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind};

/// How urgent a run is among the due runs of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(u8);

impl Priority {
    /// Before all others.
    pub const URGENT: Priority = Priority(0);
    /// Before the default.
    pub const HIGH: Priority = Priority(1);
    /// The default.
    pub const DEFAULT: Priority = Priority(2);
    /// After all others.
    pub const LOW: Priority = Priority(3);
    /// All of them, most urgent first.
    pub const ALL: [Priority; 4] = [Self::URGENT, Self::HIGH, Self::DEFAULT, Self::LOW];

    /// From the stored number, 0 to 3.
    ///
    /// # Errors
    /// `Corrupt` for another number.
    pub fn from_number(number: u8) -> Result<Self, Error> {
        if number > 3 {
            let message = format!("priority {number} is not between 0 and 3");
            return Err(Error::new(ErrorKind::Corrupt, "read", message));
        }
        Ok(Self(number))
    }

    /// The number to store: 0 most urgent, to 3.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}
