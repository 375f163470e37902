//! The machine's clocks as an embedded store reads them, and a time that follows no sudden step.

use std::{
    fmt, fs,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use uuid::Uuid;

use super::Problem;
use crate::from_millis;

/// A store does not follow a step of the wall clock by more than this, in milliseconds.
const LONGEST_STEP: i64 = 60_000;
/// Smaller steps are not worth noting, in milliseconds.
const NOTED_STEP: i64 = 1_000;

/// The machine's clocks, read at one moment, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readings {
    /// Since 1970, by the clock that people and time servers set.
    pub wall: i64,
    /// By a clock that is never set and keeps counting while the machine is suspended.
    pub boot: i64,
}

impl Readings {
    fn ahead(self) -> i64 {
        self.wall.saturating_sub(self.boot)
    }
}

/// Where an embedded store reads the machine's clocks.
#[derive(Clone)]
pub struct MachineClock {
    read: Arc<dyn Fn() -> Readings + Send + Sync>,
    boot: Arc<str>,
}

impl Default for MachineClock {
    fn default() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        // Where it is not known, no other process's readings are comparable.
        let boot = boot.map_or_else(|_| Uuid::new_v4().to_string(), |id| id.trim().to_owned());
        // Containers may count from another moment.
        let namespace = fs::read_link("/proc/self/ns/time").unwrap_or_default();
        let boot = format!("{boot} {}", namespace.display());
        Self { read: Arc::new(read), boot: boot.into() }
    }
}

impl MachineClock {
    /// A clock set by a store's own tests; `boot` names the boot since which it counts.
    pub fn of(boot: &str, read: impl Fn() -> Readings + Send + Sync + 'static) -> Self {
        Self { read: Arc::new(read), boot: boot.into() }
    }

    /// Reads both clocks.
    pub fn read(&self) -> Readings {
        (self.read)()
    }

    /// Reads both clocks for a store's time; again where they say that one was set, since a process that was stopped
    /// between the two would say so.
    pub fn read_for(&self, time: SteadyTime) -> Readings {
        let readings = self.read();
        if time.is_outdated(readings) { self.read() } else { readings }
    }

    /// Names the boot since which `boot` counts.
    pub fn boot(&self) -> &str {
        &self.boot
    }
}

impl fmt::Debug for MachineClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineClock").field("boot", &self.boot).finish_non_exhaustive()
    }
}

fn read() -> Readings {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Readings { wall: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX), boot: since_boot() }
}

/// `CLOCK_BOOTTIME`: unlike `CLOCK_MONOTONIC`, and so [`std::time::Instant`], it counts while the machine is suspended.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn since_boot() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000)
}

/// Apple's `CLOCK_MONOTONIC` counts while the machine is asleep, unlike its [`std::time::Instant`].
#[cfg(target_vendor = "apple")]
fn since_boot() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000)
}

/// The closest that the standard library offers.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn since_boot() -> i64 {
    static FIRST: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    i64::try_from(FIRST.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// The time of an embedded store: the wall clock's without its steps of more than a minute, so that leases and
/// delays keep their remaining time when the machine's clock is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SteadyTime {
    /// How far the wall clock was ahead of the boot's when both were last noted, in milliseconds.
    pub ahead: i64,
    /// The store's time minus the wall clock's, in milliseconds.
    pub offset: i64,
}

impl SteadyTime {
    /// The time of a new store.
    pub fn starting(readings: Readings) -> Self {
        Self { ahead: readings.ahead(), offset: 0 }
    }

    /// The time of a store that was used before the machine's last boot, until `last`: how the wall clock was
    /// set meanwhile is unknown and assumed right, but the store's time does not go back.
    pub fn after_boot(readings: Readings, offset: i64, last: i64) -> Self {
        Self { ahead: readings.ahead(), offset: offset.max(last.saturating_sub(readings.wall)) }
    }

    /// The store's time.
    pub fn now(self, readings: Readings) -> Timestamp {
        from_millis(readings.wall.saturating_add(self.noted(readings).offset))
    }

    /// With the wall clock as it is now.
    #[must_use]
    pub fn noted(self, readings: Readings) -> Self {
        let step = readings.ahead().saturating_sub(self.ahead);
        let ahead = readings.ahead();
        if step.saturating_abs() <= LONGEST_STEP {
            // A clock that was slow after a boot is set forward, and needs no holding up any more.
            let held_up = self.offset.max(0);
            let is_right = if step < NOTED_STEP { 0 } else { step.min(held_up) };
            return Self { ahead, offset: self.offset.saturating_sub(is_right) };
        }
        let offset = self.offset.saturating_sub(step);
        // The wall clock is right again, or nearly so: what is left is a small step.
        Self { ahead, offset: if offset.saturating_abs() <= LONGEST_STEP { 0 } else { offset } }
    }

    /// As [`noted`](Self::noted), by a process whose readings can't be compared with those of the one that stored
    /// `offset`: of what is as good as the same, the stored one stays.
    #[must_use]
    pub fn noted_beside(self, readings: Readings, offset: i64) -> Self {
        let noted = self.noted(readings);
        let is_same = noted.offset.saturating_sub(offset).saturating_abs() < NOTED_STEP;
        Self { offset: if is_same { offset } else { noted.offset }, ..noted }
    }

    /// Whether the wall clock was set since it was noted.
    pub fn is_outdated(self, readings: Readings) -> bool {
        readings.ahead().saturating_sub(self.ahead).saturating_abs() >= NOTED_STEP
    }

    /// What the health says about it; `ends` says how it ends.
    pub fn problem(self, readings: Readings, ends: &str) -> Option<Problem> {
        let offset = self.noted(readings).offset;
        let side = if offset > 0 { "ahead of" } else { "behind" };
        let seconds = offset.saturating_abs() / 1_000;
        (offset.saturating_abs() > LONGEST_STEP).then(|| {
            Problem::new(
                format!(
                    "the machine's clock was set while the store was in use: the store's time is {seconds} s {side} it, so \
                     that leases, delays and retries keep their remaining time, and only runs that are due at a given time \
                     follow the clock"
                ),
                ends,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const START: Readings = Readings { wall: 1_767_225_600_000, boot: 5_000 };

    fn later(by: i64, stepped: i64) -> Readings {
        Readings { wall: START.wall + by + stepped, boot: START.boot + by }
    }

    fn since_start(time: SteadyTime, readings: Readings) -> i64 {
        time.now(readings).as_millisecond() - START.wall
    }

    #[test]
    fn a_step_of_more_than_a_minute_either_way_is_left_out_and_a_smaller_one_followed() {
        let time = SteadyTime::starting(START);
        for step in [-2 * HOUR, -60_001, 60_001, 2 * HOUR] {
            let stepped = later(1_000, step);
            assert_eq!(since_start(time, stepped), 1_000);
            assert!(time.is_outdated(stepped));
            let noted = time.noted(stepped);
            assert_eq!((noted.offset, noted.noted(stepped)), (-step, noted));
            assert_eq!(since_start(noted, later(2_000, step)), 2_000);
            // Set right again.
            assert_eq!(noted.noted(later(3_000, 0)), time);
        }
        for step in [-60_000, -1, 1, 60_000] {
            assert_eq!(since_start(time, later(1_000, step)), 1_000 + step);
            assert_eq!(time.noted(later(1_000, step)).offset, 0);
        }
    }

    #[test]
    fn after_a_boot_the_time_does_not_go_back() {
        let boot = Readings { wall: START.wall + HOUR, boot: 0 };
        let ahead = SteadyTime::after_boot(boot, 0, START.wall + 3 * HOUR);
        assert_eq!(since_start(ahead, boot), 3 * HOUR);
        let behind = SteadyTime::after_boot(boot, -HOUR / 2, START.wall);
        assert_eq!(since_start(behind, boot), HOUR / 2);
    }

    #[test]
    fn a_clock_that_is_slow_after_each_boot_adds_nothing_up() {
        let mut time = SteadyTime::starting(START);
        // By the right clock.
        let mut now = START.wall;
        for _ in 0..5 {
            let last = now;
            now += 5_000;
            // 20 s slow.
            let booted = Readings { wall: now - 20_000, boot: 0 };
            time = SteadyTime::after_boot(booted, time.offset, last);
            assert_eq!((time.offset, time.now(booted).as_millisecond()), (15_000, last));
            now += 30_000;
            let corrected = Readings { wall: now, boot: 30_000 };
            assert_eq!(time.now(corrected).as_millisecond(), now);
            time = time.noted(corrected);
            assert_eq!(time.offset, 0);
        }
    }

    #[test]
    fn a_small_step_changes_no_offset_but_one_that_it_makes_up_for() {
        let behind = SteadyTime { offset: -2 * HOUR, ..SteadyTime::starting(START) };
        let ahead = SteadyTime { offset: 2 * HOUR, ..behind };
        for step in [-60_000, -1_000, -1, 1, 999] {
            assert_eq!(behind.noted(later(0, step)).offset, -2 * HOUR);
            assert_eq!(ahead.noted(later(0, step)).offset, 2 * HOUR);
        }
        assert_eq!(behind.noted(later(0, 60_000)).offset, -2 * HOUR);
        assert_eq!(ahead.noted(later(0, 60_000)).offset, 2 * HOUR - 60_000);
    }

    #[test]
    fn the_machines_clocks_go_on_together() {
        let clock = MachineClock::default();
        let first = clock.read();
        let time = SteadyTime::starting(first);
        let second = clock.read();
        assert!(second.boot >= first.boot && !time.is_outdated(second), "{first:?}, {second:?}");
    }
}
