//! Random numbers that are the same everywhere for a seed.

use std::time::Duration;

use uuid::Uuid;

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): small, fast, the same everywhere for a seed.
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `end - 1`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    /// True in so many of a hundred draws.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these; none of an empty list.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())).cloned() }
    }

    /// Up to so many milliseconds; in one of ten draws a part of one more.
    pub fn duration(&mut self, millis: usize) -> Duration {
        let nanos = if self.percent(10) { self.below(1_000_000) } else { 0 };
        Duration::from_millis(self.below(millis) as u64) + Duration::from_nanos(nanos as u64)
    }

    pub fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.number(), self.number())
    }
}
