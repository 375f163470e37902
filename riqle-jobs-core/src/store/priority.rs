//! How urgent a run is.

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{Error, ErrorKind};

/// How urgent a run is among the due runs of its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

/// What is stored as JSON is checked, too.
impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_number(u8::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_that_there_is_not_is_not_read() {
        for priority in Priority::ALL {
            let json = serde_json::to_string(&priority).unwrap();
            assert_eq!(serde_json::from_str::<Priority>(&json).unwrap(), priority);
        }
        let error = serde_json::from_str::<Priority>("4").unwrap_err();
        assert!(error.to_string().contains("priority 4 is not between 0 and 3"), "{error}");
    }
}
