//! What the processes of a simulation share: virtual time, the seed's random numbers, the store, the history, and the faults.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use riqle_jobs_conformance::{
    Random,
    history::{Entry, History},
};
use riqle_jobs_core::{
    Memory, RunId,
    store::{MachineClock, Readings},
};
use tokio::time::Instant;

/// The length of a lease of every worker.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// When the simulation begins, in milliseconds since 1970.
const BEGINS_AT: i64 = 1_767_225_600_000;

/// Which faults a seed has: each seed another mixture, so that each fault meets others and quiet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// Of a hundred calls, so many fail before their effect.
    pub(crate) fails: usize,
    /// Of a hundred calls, so many lose their reply.
    pub(crate) loses_reply: usize,
    /// Of a hundred writes, so many have their effect after they have failed.
    pub(crate) is_late: usize,
    /// Of a hundred writes that may be repeated, so many have their effect twice.
    pub(crate) is_doubled: usize,
    /// Of a thousand calls, so many take longer than a lease.
    pub(crate) is_slow: usize,
    /// Whether processes crash, are stopped for longer than a lease, and are shut down.
    pub(crate) crashes: bool,
    pub(crate) pauses: bool,
    pub(crate) shutdowns: bool,
    /// Whether the store is away for some time.
    pub(crate) is_away: bool,
    /// Whether the machine's clock is set.
    pub(crate) clock_steps: bool,
    /// Whether operators act.
    pub(crate) operators: bool,
    /// Whether ended runs are deleted early.
    pub(crate) prunes: bool,
    /// Whether nothing polls, so that each start needs its hint.
    pub(crate) polls_never: bool,
}

impl Faults {
    pub(crate) const NONE: Self = Self {
        fails: 0,
        loses_reply: 0,
        is_late: 0,
        is_doubled: 0,
        is_slow: 0,
        crashes: false,
        pauses: false,
        shutdowns: false,
        is_away: false,
        clock_steps: false,
        operators: false,
        prunes: false,
        polls_never: false,
    };

    pub(crate) fn draw(random: &mut Random) -> Self {
        let mut some = |most: usize| if random.percent(50) { 1 + random.below(most) } else { 0 };
        let (fails, loses_reply, is_late, is_doubled, is_slow) =
            (some(8), some(8), some(5), some(5), some(4));
        let mut half = || random.percent(50);
        let (crashes, pauses, shutdowns, is_away) = (half(), half(), half(), half());
        let (clock_steps, operators, prunes, polls_never) = (half(), half(), half(), half());
        Self {
            fails,
            loses_reply,
            is_late,
            is_doubled,
            is_slow,
            crashes,
            pauses,
            shutdowns,
            is_away,
            clock_steps,
            operators,
            prunes,
            polls_never,
        }
    }
}

pub(crate) struct World {
    pub(crate) store: Memory,
    pub(crate) history: History,
    lines: Arc<Mutex<Vec<Entry>>>,
    begun: Instant,
    random: Mutex<Random>,
    faults: Mutex<Faults>,
    away_until: Mutex<Option<Instant>>,
    /// By how much the machine's clock was set, in milliseconds.
    set_by: Arc<Mutex<i64>>,
    happened: Mutex<VecDeque<(Duration, String)>>,
    known: Mutex<Vec<RunId>>,
    /// Those that are staged and must arrive under their id.
    staged: Mutex<Vec<RunId>>,
    wrong: Mutex<Option<(Duration, String)>>,
    /// The keys of the emails that the providers have taken.
    taken: Mutex<HashSet<String>>,
}

impl World {
    pub(crate) fn new(mut random: Random) -> Arc<Self> {
        let begun = Instant::now();
        let faults = Faults::draw(&mut random);
        let set_by = Arc::new(Mutex::new(0));
        let (set, since) = (Arc::clone(&set_by), move || millis(begun.elapsed()));
        let machine = MachineClock::of("simulated", move || {
            let boot = since();
            Readings { wall: BEGINS_AT + boot + *set.lock().unwrap_or_else(PoisonError::into_inner), boot }
        });
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Kept(Arc::clone(&lines));
        Arc::new(Self {
            store: Memory::on_machine(machine),
            history: History::new(kept, move || begun.elapsed(), 1),
            lines,
            begun,
            random: Mutex::new(random),
            faults: Mutex::new(faults),
            away_until: Mutex::new(None),
            set_by,
            happened: Mutex::default(),
            known: Mutex::default(),
            staged: Mutex::default(),
            wrong: Mutex::default(),
            taken: Mutex::default(),
        })
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut lock(&self.random))
    }

    pub(crate) fn below(&self, end: usize) -> usize {
        self.draw(|random| random.below(end))
    }

    pub(crate) fn percent(&self, percent: usize) -> bool {
        self.draw(|random| random.percent(percent))
    }

    /// Up to so many milliseconds.
    pub(crate) fn up_to(&self, millis: usize) -> Duration {
        Duration::from_millis(self.below(millis.max(1)) as u64)
    }

    pub(crate) fn faults(&self) -> Faults {
        *lock(&self.faults)
    }

    /// From here on all goes well.
    pub(crate) fn heal(&self) {
        *lock(&self.faults) = Faults { polls_never: self.faults().polls_never, ..Faults::NONE };
        *lock(&self.away_until) = None;
        self.tell("all faults end");
    }

    pub(crate) fn be_away(&self, time: Duration) {
        self.tell(format!("the store is away for {time:?}"));
        *lock(&self.away_until) = Some(Instant::now() + time);
    }

    pub(crate) fn is_away(&self) -> bool {
        lock(&self.away_until).is_some_and(|until| Instant::now() < until)
    }

    /// Sets the machine's clock to so many minutes beside the right time.
    pub(crate) fn set_clock(&self, minutes: i64) {
        self.tell(format!("the machine's clock is set to {minutes} minutes ahead"));
        *lock(&self.set_by) = minutes * 60_000;
    }

    /// Notes what happened, for the story.
    pub(crate) fn tell(&self, what: impl Into<String>) {
        lock(&self.happened).push_back((self.begun.elapsed(), what.into()));
    }

    pub(crate) fn know(&self, run: RunId) {
        lock(&self.known).push(run);
    }

    /// Notes a run that is staged without a key, under which it might join another.
    pub(crate) fn note_staged(&self, run: RunId) {
        lock(&self.staged).push(run);
    }

    pub(crate) fn staged(&self) -> Vec<RunId> {
        lock(&self.staged).clone()
    }

    pub(crate) fn known(&self) -> Vec<RunId> {
        lock(&self.known).clone()
    }

    pub(crate) fn any_known(&self) -> Option<RunId> {
        let known = lock(&self.known);
        self.draw(|random| random.pick(&known))
    }

    pub(crate) fn is_new_to_provider(&self, key: &str) -> bool {
        lock(&self.taken).insert(key.to_owned())
    }

    /// What no history shows; the first is kept.
    pub(crate) fn went_wrong(&self, what: impl Into<String>) {
        let what = what.into();
        self.tell(format!("WRONG: {what}"));
        lock(&self.wrong).get_or_insert((self.begun.elapsed(), what));
    }

    pub(crate) fn wrong(&self) -> Option<(Duration, String)> {
        lock(&self.wrong).clone()
    }

    pub(crate) fn lines(&self) -> Vec<Entry> {
        lock(&self.lines).clone()
    }

    pub(crate) fn happened(&self) -> Vec<(Duration, String)> {
        lock(&self.happened).iter().cloned().collect()
    }
}

struct Kept(Arc<Mutex<Vec<Entry>>>);

impl riqle_jobs_conformance::history::Lines for Kept {
    fn take(&mut self, entry: Entry) {
        lock(&self.0).push(entry);
    }
}

pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
