//! The start of an id, as a range of ids.

use riqle_jobs_core::RunId;
use uuid::Uuid;

use crate::dashboard::failure::Failure;

/// What ids begin with: ids sort like their text, so those with a common prefix are neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdPrefix {
    /// The first id with this prefix.
    first: u128,
    /// The last one.
    last: u128,
}

impl IdPrefix {
    /// From hexadecimal digits, with or without the dashes, in capitals or not.
    ///
    /// # Errors
    /// 400 if no id can begin with this.
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (first, last) = (padded(&digits, '0'), padded(&digits, 'f'));
        match (first, last) {
            (Some(first), Some(last)) if is_hex && !digits.is_empty() && text.len() <= 36 => {
                Ok(Self { first, last })
            }
            _ => Err(Failure::bad(
                "no run's id begins with this; ids look like 0197a6f0-3c5e-7b1d-9f00-6a1c4a0f3f2e",
            )),
        }
    }

    pub(crate) fn begins(self, id: RunId) -> bool {
        (self.first..=self.last).contains(&id.as_uuid().as_u128())
    }

    /// The whole id, if it is one.
    pub(crate) fn whole(self) -> Option<RunId> {
        (self.first == self.last).then(|| RunId::from_uuid(Uuid::from_u128(self.first)))
    }

    /// The id below which all of them are; `None`: no bound.
    pub(crate) fn after(self) -> Option<RunId> {
        self.last.checked_add(1).map(|after| RunId::from_uuid(Uuid::from_u128(after)))
    }
}

fn padded(digits: &str, filler: char) -> Option<u128> {
    let missing = 32_usize.checked_sub(digits.len())?;
    let text: String = digits.chars().chain(std::iter::repeat_n(filler, missing)).collect();
    u128::from_str_radix(&text, 16).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_begins_with_each_start_of_it() {
        let id: RunId = "0197a6f0-3c5e-7b1d-9f00-6a1c4a0f3f2e".parse().unwrap();
        for length in 1..=36 {
            let start = &id.to_string()[..length];
            let prefix = IdPrefix::read(&start.to_uppercase()).unwrap();
            assert!(prefix.begins(id) && prefix.after().unwrap() > id, "{start}");
            assert_eq!(prefix.whole(), (length == 36).then_some(id));
        }
        assert_eq!(IdPrefix::read("0197a6f03c5e7b1d9f006a1c4a0f3f2e").unwrap().whole(), Some(id));
        assert!(!IdPrefix::read("0197a6f1").unwrap().begins(id));
        assert_eq!(IdPrefix::read("f").unwrap().after(), None);
    }

    #[test]
    fn what_begins_no_id_is_refused() {
        for text in ["-", "0197x", "+1", "0197a6f0-3c5e-7b1d-9f00-6a1c4a0f3f2e0", "0 1", "run"] {
            assert_eq!(IdPrefix::read(text).unwrap_err().status, 400, "{text}");
        }
    }
}
