//! The ids of a request's events, the same each time it is repeated.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use ulid::Ulid;
use uuid::Uuid;

/// The ids of a request's events: ULIDs of one time, their entropy counting up. Equal seeds give equal ids, so
/// that a repeated request adds nothing.
pub(super) struct Ids {
    millis: u64,
    entropy: [u8; 10],
}

impl Ids {
    /// From the header `x-inngest-event-id-seed`; without one, or with a malformed one, of this time and random.
    pub(super) fn new(seed: Option<&str>, now: Timestamp) -> Self {
        seed.and_then(Self::from_seed).unwrap_or_else(|| Self::random(now))
    }

    /// `MILLIS,BASE64`, of 48 bits and 10 bytes.
    fn from_seed(seed: &str) -> Option<Self> {
        let (millis, entropy) = seed.split_once(',')?;
        let millis: u64 = millis.trim().parse().ok().filter(|millis| millis >> Ulid::TIME_BITS == 0)?;
        let entropy = STANDARD.decode(entropy.trim()).ok()?.try_into().ok()?;
        Some(Self { millis, entropy })
    }

    fn random(now: Timestamp) -> Self {
        // Of a random UUID, the bytes without its version and variant.
        let bytes = Uuid::new_v4().into_bytes();
        let mut entropy = [0; 10];
        entropy[..6].copy_from_slice(&bytes[..6]);
        entropy[6..].copy_from_slice(&bytes[9..13]);
        Self { millis: u64::try_from(now.as_millisecond()).unwrap_or(0), entropy }
    }

    /// The id of the event with this index, from 0: its number, from 1, is added to bytes 6 to 9.
    pub(super) fn of(&self, index: usize) -> String {
        let [.., a, b, c, d] = self.entropy;
        #[allow(clippy::cast_possible_truncation, reason = "a request has 5,000 events")]
        let counted = u32::from_be_bytes([a, b, c, d]).wrapping_add(index as u32 + 1);
        let mut bytes = [0; 16];
        bytes[6..12].copy_from_slice(&self.entropy[..6]);
        bytes[12..].copy_from_slice(&counted.to_be_bytes());
        Ulid::from_parts(self.millis, u128::from_be_bytes(bytes)).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_ids_that_the_sdk_expects() {
        let ids = Ids::new(Some("1743130137367,eii2YKXRVTJPuA=="), Timestamp::UNIX_EPOCH);
        assert_eq!(ids.of(0), "01JQDAE4RQF8MBCR55T5AK4KXS");
        assert_eq!(ids.of(1), "01JQDAE4RQF8MBCR55T5AK4KXT");
    }

    #[test]
    fn a_malformed_seed_is_ignored() {
        let now = Timestamp::from_millisecond(1_743_130_137_367).ok();
        let now = now.unwrap_or_default();
        for seed in [
            "",
            ",",
            "1743130137367",
            "x,eii2YKXRVTJPuA==",
            "1743130137367,eii2",
            "-1,eii2YKXRVTJPuA==",
            "281474976710656,eii2YKXRVTJPuA==",
            "1743130137367,!",
        ] {
            let (one, other) = (Ids::new(Some(seed), now), Ids::new(Some(seed), now));
            assert_ne!(one.of(0), other.of(0), "{seed:?}");
            assert!(one.of(0).starts_with("01JQDAE4RQ"), "{seed:?}");
        }
    }

    #[test]
    fn the_count_wraps_around_within_its_four_bytes() {
        let seed = format!("0,{}", STANDARD.encode([0, 0, 0, 0, 0, 7, 255, 255, 255, 255]));
        let ids = Ids::new(Some(&seed), Timestamp::UNIX_EPOCH);
        assert_eq!(ids.of(0), Ulid::from_parts(0, 7 << 32).to_string());
    }
}
