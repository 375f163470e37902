//! How many connections to a server there may be, and those that wait for an email.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

const SECOND: Duration = Duration::from_secs(1);
/// A lowered bound grows by one after a second, then ever more rarely, in the end once in this time.
const LONGEST_GROWTH: Duration = Duration::from_secs(60);
/// After this long without a refusal, the next one belongs to another period of load.
const FORGOTTEN: Duration = Duration::from_secs(5 * 60);
/// Servers may close after 5 minutes (RFC 5321, section 4.5.3.2.7).
pub(super) const LONGEST_IDLE: Duration = Duration::from_secs(60);

/// How many connections to a server there may be, and those that wait for an email. `C` is a connection.
pub(super) struct Places<C> {
    most: usize,
    /// How many there may be for now.
    bound: usize,
    /// When that grows again, and how long after a refusal that is.
    grows: Option<(Instant, Duration)>,
    /// How many had been begun at the newest refusal.
    begun_by_then: u64,
    /// The places that are taken, by their numbers, which are in the order in which they were begun.
    taken: BTreeMap<u64, Stage>,
    begun: u64,
    /// With the time since when each waits.
    idle: Vec<(C, Instant)>,
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    /// The server did not accept it, and it is not known yet whether it accepts others.
    Failed,
    /// In use or idle.
    Accepted,
}

impl<C> Places<C> {
    pub(super) fn new(most: usize) -> Self {
        let taken = BTreeMap::new();
        Self { most, bound: most, grows: None, begun_by_then: 0, taken, begun: 0, idle: Vec::new() }
    }

    /// A place for one more connection: its number.
    pub(super) fn take(&mut self, now: Instant) -> Option<u64> {
        if let Some((_, wait)) = self.grows.filter(|(at, _)| now >= *at)
            && self.bound < self.most
        {
            self.bound += 1;
            self.grows = Some((now + wait, wait));
        }
        if self.taken.len() >= self.bound {
            return None;
        }
        self.begun += 1;
        self.taken.insert(self.begun, Stage::Opening);
        Some(self.begun)
    }

    /// The server has greeted.
    pub(super) fn accepted(&mut self, number: u64) {
        if let Some(stage) = self.taken.get_mut(&number) {
            *stage = Stage::Accepted;
        }
    }

    /// No connection came about, or it was closed before its greeting; its place stays taken until that is judged.
    pub(super) fn failed(&mut self, number: u64) {
        if let Some(stage) = self.taken.get_mut(&number).filter(|stage| **stage == Stage::Opening) {
            *stage = Stage::Failed;
        }
    }

    /// The connection has ended.
    pub(super) fn free(&mut self, number: u64) {
        self.taken.remove(&number);
    }

    pub(super) fn none_is_accepted(&self) -> bool {
        self.count(Stage::Accepted) == 0
    }

    /// Whether the server may yet accept one that was begun before this.
    pub(super) fn an_earlier_one_is_opening(&self, number: u64) -> bool {
        self.taken.range(..number).any(|(_, stage)| *stage == Stage::Opening)
    }

    /// The server refused a connection, whose place is freed. Answers whether it holds others: then there may be no more than
    /// those for a while.
    pub(super) fn one_too_many(&mut self, number: u64, now: Instant) -> bool {
        self.free(number);
        if self.none_is_accepted() {
            return false;
        }
        // Those that are being opened may yet be accepted.
        self.bound = self.count(Stage::Accepted).max(self.bound.min(self.taken.len() + 1) - 1);
        let wait = match self.grows {
            Some((at, _)) if now > at + FORGOTTEN => SECOND,
            // It was begun before the newest refusal, and tells nothing new.
            Some((_, wait)) if number <= self.begun_by_then => wait,
            Some((_, wait)) => (2 * wait).min(LONGEST_GROWTH),
            None => SECOND,
        };
        self.grows = Some((now + wait, wait));
        self.begun_by_then = self.begun;
        true
    }

    /// When there may be one more than now.
    pub(super) fn grows_at(&self) -> Option<Instant> {
        self.grows.map(|(at, _)| at)
    }

    /// Keeps a connection for the next email.
    pub(super) fn keep(&mut self, connection: C, now: Instant) {
        self.idle.push((connection, now));
    }

    /// The connection that was kept last: it is the likeliest to be still there.
    pub(super) fn take_idle(&mut self) -> Option<C> {
        self.idle.pop().map(|(connection, _)| connection)
    }

    pub(super) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Takes out those that were kept for too long.
    pub(super) fn take_old(&mut self, now: Instant) -> Vec<(C, Instant)> {
        let is_old = |(_, since): &mut (C, Instant)| now.duration_since(*since) >= LONGEST_IDLE;
        self.idle.extract_if(.., is_old).collect()
    }

    /// Takes out all that were kept.
    pub(super) fn take_all_idle(&mut self) -> Vec<(C, Instant)> {
        mem::take(&mut self.idle)
    }

    fn count(&self, stage: Stage) -> usize {
        self.taken.values().filter(|each| **each == stage).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(places: &mut Places<u8>, now: Instant) -> u64 {
        let number = places.take(now).unwrap();
        places.accepted(number);
        number
    }

    #[test]
    fn no_more_places_than_the_bound_are_taken_and_one_that_is_freed_can_be_taken_again() {
        let (mut places, now) = (Places::<u8>::new(2), Instant::now());
        let first = accept(&mut places, now);
        let second = places.take(now).unwrap();
        assert_eq!(places.take(now), None);
        for number in [first, second] {
            places.free(number);
            accept(&mut places, now);
            assert_eq!(places.take(now), None);
        }
    }

    #[test]
    fn one_connection_too_many_lowers_the_bound_for_a_while() {
        let (mut places, mut now) = (Places::<u8>::new(4), Instant::now());
        let held: Vec<u64> = (0..3).map(|_| accept(&mut places, now)).collect();
        let refused = places.take(now).unwrap();
        assert!(places.one_too_many(refused, now));
        assert_eq!(places.take(now), None);
        // It is tried again after a second, and then ever more seldom.
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(places.take(now + Duration::from_secs(wait) - Duration::from_millis(1)), None);
            now += Duration::from_secs(wait);
            let refused = places.take(now).unwrap();
            assert!(places.one_too_many(refused, now));
        }
        held.into_iter().for_each(|number| places.free(number));
        assert!(places.take(now).is_some(), "others may take the places of those that have ended");
    }

    #[test]
    fn of_many_that_are_begun_at_once_the_bound_comes_to_be_as_many_as_are_accepted() {
        let (mut places, now) = (Places::<u8>::new(10), Instant::now());
        let numbers: Vec<u64> = (0..10).map(|_| places.take(now).unwrap()).collect();
        // The server takes five: the others are closed while those are being opened.
        numbers[5..].iter().for_each(|number| places.failed(*number));
        assert_eq!(places.take(now), None, "they are not judged yet");
        assert!(places.an_earlier_one_is_opening(numbers[5]));
        places.accepted(numbers[0]);
        numbers[5..].iter().for_each(|number| assert!(places.one_too_many(*number, now)));
        assert_eq!((places.bound, places.grows), (5, Some((now + SECOND, SECOND))));
    }

    #[test]
    fn where_none_is_accepted_none_was_too_many() {
        let (mut places, now) = (Places::<u8>::new(4), Instant::now());
        let (first, second) = (places.take(now).unwrap(), places.take(now).unwrap());
        assert!(places.an_earlier_one_is_opening(second) && !places.an_earlier_one_is_opening(first));
        places.failed(first);
        assert!(!places.an_earlier_one_is_opening(second) && places.none_is_accepted());
        assert!(!places.one_too_many(second, now));
        // One that greeted and then refused is no other.
        let alone = accept(&mut places, now);
        assert!(!places.one_too_many(alone, now));
    }
}
