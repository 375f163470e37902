//! What the engine takes from the world outside: the monotonic clock and fresh ids. A build for simulations
//! (`--cfg riqle_simulation`) takes the clock from tokio, where it can be paused, and the ids from a seed. It keeps leases on the
//! runtime that runs the worker, too.

#[cfg(not(riqle_simulation))]
pub(crate) use std::time::Instant;
#[cfg(riqle_simulation)]
pub(crate) use tokio::time::{Instant, sleep_until};

#[cfg(not(riqle_simulation))]
pub(crate) fn sleep_until(until: Instant) -> tokio::time::Sleep {
    tokio::time::sleep_until(until.into())
}

#[cfg(not(riqle_simulation))]
pub(crate) fn rising_id() -> uuid::Uuid {
    uuid::Uuid::now_v7()
}

#[cfg(not(riqle_simulation))]
pub(crate) fn random_id() -> uuid::Uuid {
    uuid::Uuid::new_v4()
}

#[cfg(riqle_simulation)]
pub use simulated::seed_ids;
#[cfg(riqle_simulation)]
pub(crate) use simulated::{random_id, rising_id};

#[cfg(riqle_simulation)]
mod simulated {
    use std::cell::Cell;

    use uuid::Uuid;

    use crate::job::mix;

    thread_local! {
        static SEED: Cell<u64> = const { Cell::new(0) };
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }

    /// Begins the ids of this thread anew, from a seed.
    pub fn seed_ids(seed: u64) {
        SEED.set(seed);
        COUNT.set(0);
    }

    fn next() -> (u64, u64) {
        let count = COUNT.get().wrapping_add(1);
        COUNT.set(count);
        (count, mix(mix(SEED.get()) ^ count))
    }

    pub(crate) fn rising_id() -> Uuid {
        let (count, mixed) = next();
        Uuid::from_u64_pair(
            0x019b_76da_a800_7000 + (count >> 16 << 16),
            0x8000_0000_0000_0000 | (count << 32) | (mixed >> 32),
        )
    }

    pub(crate) fn random_id() -> Uuid {
        let (count, mixed) = next();
        Uuid::from_u64_pair(mixed, count)
    }
}
