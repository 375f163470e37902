//! What a claim need not read again. Rows that were claimed and have ended stay in the indexes until they are vacuumed,
//! which an old transaction elsewhere can hold up for hours: a claim that begins at the front reads them all.

use std::{
    cmp::min,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

/// Where the front is dear: how far ahead a look reads what is due next, and how often it reads the leases.
const AHEAD: Duration = Duration::from_secs(1);
/// The front is looked at no more often.
const FRONT_EVERY: Duration = Duration::from_secs(1);
/// Nor for more than this fraction of the time, since a run that arrives meanwhile waits.
const FRONT_SHARE: u32 = 500;
/// But at least so often.
const FRONT_LONGEST: Duration = Duration::from_secs(5 * 60);
/// How far apart two readings of one clock may be, in milliseconds.
const UNSHARP: i64 = 10;

/// How far the claims of a handle have come, by queue and jobs.
#[derive(Debug, Default)]
pub(crate) struct Floors {
    all: Mutex<HashMap<QueueJobs, Arc<Floor>>>,
}

/// A queue, and the jobs that are claimed of it.
pub(crate) type QueueJobs = (String, Arc<[String]>);

/// How far a claim has come.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) of: QueueJobs,
    pub(crate) floor: Floor,
}

/// What claims know from an earlier look: each run that it could see and that was due before the floor of its lane was
/// claimed. A run that it could not see was written by a transaction that was open then, or began later. Those of the
/// latter are not due before the look began, or are marked as late.
#[derive(Debug)]
pub(crate) struct Floor {
    /// How many connections were lost before.
    losses: u64,
    lanes: Lanes,
    open: Open,
    /// When the look began, by the server's clock.
    began: i64,
    /// When it was asked for.
    looked_at: Instant,
    /// No lease that ran out before is left.
    leases_from: i64,
    /// When the leases are to be looked at. Nothing: each time.
    leases_at: Option<Instant>,
    front_at: Instant,
    is_front_cheap: bool,
}

/// Lanes with the due time and id that each has come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes {
    pub(crate) lanes: Vec<i64>,
    pub(crate) due: Vec<i64>,
    pub(crate) ids: Vec<Uuid>,
}

/// Transactions that were open, and the time from which on what they wrote may be due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Open {
    pub(crate) transactions: Vec<i64>,
    pub(crate) since: Vec<i64>,
}

/// Where a look begins.
#[derive(Debug)]
pub(crate) struct Look {
    losses: u64,
    pub(crate) lanes: Lanes,
    pub(crate) open: Open,
    /// From when on runs may have been added.
    pub(crate) added_from: i64,
    /// Nothing: they are not looked at.
    pub(crate) leases_from: Option<i64>,
    /// When the look before began.
    pub(crate) last: i64,
    /// In milliseconds. Nothing: all the way.
    pub(crate) ahead: Option<i64>,
    before: Option<Arc<Floor>>,
    /// From when on what was written after the look before may be due.
    new_from: i64,
    asked_at: Instant,
    is_at_front: bool,
}

/// What a look saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) lanes: Lanes,
    pub(crate) open: Vec<i64>,
    pub(crate) now: i64,
    pub(crate) began: i64,
    /// From when on it has read everything again.
    pub(crate) back: i64,
    /// When the next lease runs out, no later than `ahead`.
    pub(crate) next_lease: Option<i64>,
    pub(crate) leaves_leases: bool,
}

/// What a look claimed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookClaimed {
    /// As many as it was to.
    pub(crate) is_full: bool,
    /// Their lease, if it claimed any.
    pub(crate) lease: Option<Duration>,
}

impl Floors {
    /// Where the next look of a queue begins. Once a connection was lost, it begins at the front: the server that has
    /// taken over may not know of claims that this one answered, and what they took is due again, as of old.
    pub(crate) fn look(&self, queue: &str, jobs: &Arc<[String]>, losses: u64) -> Look {
        let key = (queue.to_owned(), Arc::clone(jobs));
        let before = self.all.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let before = before.filter(|floor| floor.losses == losses);
        let is_front_cheap = before.as_ref().is_some_and(|floor| floor.is_front_cheap);
        let ahead = if is_front_cheap { None } else { i64::try_from(AHEAD.as_millis()).ok() };
        let now = Instant::now();
        // A clock that was set back by more than has passed since then shows an earlier time than that look's.
        let new_from = before
            .as_ref()
            .map_or(i64::MIN, |floor| floor.began.saturating_sub(millis_since(floor.looked_at)));
        match before {
            Some(floor) if now < floor.front_at => Look {
                losses,
                lanes: floor.lanes.clone(),
                open: floor.open.clone(),
                added_from: new_from,
                leases_from: floor.leases_at.is_none_or(|at| now >= at).then_some(floor.leases_from),
                last: floor.began,
                ahead,
                before: Some(floor),
                new_from,
                asked_at: now,
                is_at_front: false,
            },
            before => Look { losses, ahead, before, new_from, ..Look::at_front() },
        }
    }

    /// Keeps what a look has seen, once what it claimed is committed. Whichever of two at once comes last stays: either is
    /// true.
    pub(crate) fn keep(&self, found: Found) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(found.of, Arc::new(found.floor));
    }
}

impl Look {
    /// That reads everything.
    pub(crate) fn at_front() -> Self {
        Look {
            losses: 0,
            lanes: Lanes::default(),
            open: Open::default(),
            added_from: i64::MIN,
            leases_from: Some(i64::MIN),
            last: i64::MIN,
            ahead: None,
            before: None,
            new_from: i64::MIN,
            asked_at: Instant::now(),
            is_at_front: true,
        }
    }

    /// What is known after it.
    pub(crate) fn floor(self, seen: Seen, claimed: LookClaimed) -> Floor {
        let answered_at = Instant::now();
        let before = self.before.as_deref();
        // A transaction that is open now and was not then began later.
        let new_from = match before {
            Some(floor) if seen.now >= floor.began => self.new_from,
            _ => i64::MIN,
        };
        let was_open = before.map(|floor| floor.open.by_transaction()).unwrap_or_default();
        let since = |xid: &i64| was_open.get(xid).map_or(new_from, |since| min(*since, new_from));
        let leases_from = match self.leases_from {
            Some(from) if seen.leaves_leases => min(from, seen.back),
            Some(_) => seen.began,
            None => min(before.map_or(i64::MIN, |floor| floor.leases_from), seen.back),
        };
        // Those that are left beside a claim that is not full are locked: by whom, and for how long, is not known.
        let left = (seen.leaves_leases && claimed.is_full).then_some(Duration::ZERO);
        let next_lease = seen.next_lease.map(|due| from_millis(due.saturating_sub(seen.now)));
        let next_lease = [left, next_lease, claimed.lease].into_iter().flatten().fold(AHEAD, min);
        let leases_at = match (self.leases_from, before) {
            (Some(_), _) if self.ahead.is_none() && !claimed.is_full => None,
            (None, Some(floor)) => floor.leases_at.map(|at| min(at, answered_at + next_lease)),
            _ => Some(answered_at + next_lease),
        };
        let took = answered_at.duration_since(self.asked_at);
        let (front_at, is_front_cheap) = match before.filter(|_| !self.is_at_front) {
            Some(floor) => (floor.front_at, floor.is_front_cheap),
            None => {
                let pause = took.saturating_mul(FRONT_SHARE);
                (answered_at + pause.clamp(FRONT_EVERY, FRONT_LONGEST), pause <= FRONT_EVERY)
            }
        };
        Floor {
            losses: self.losses,
            open: Open { since: seen.open.iter().map(since).collect(), transactions: seen.open },
            lanes: seen.lanes,
            began: seen.began,
            looked_at: self.asked_at,
            leases_from,
            leases_at,
            front_at,
            is_front_cheap,
        }
    }
}

impl Open {
    fn by_transaction(&self) -> HashMap<i64, i64> {
        self.transactions.iter().copied().zip(self.since.iter().copied()).collect()
    }
}

impl Floor {
    /// In how many milliseconds the leases are to be looked at, where that is not done each time.
    pub(crate) fn leases_in(&self) -> Option<i64> {
        let wait = self.leases_at?.saturating_duration_since(Instant::now());
        Some(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
    }
}

fn millis_since(time: Instant) -> i64 {
    i64::try_from(time.elapsed().as_millis()).unwrap_or(i64::MAX).saturating_add(UNSHARP)
}

fn from_millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}
