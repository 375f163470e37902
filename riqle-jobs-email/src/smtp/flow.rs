//! How many connections a server takes, and how many emails each.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::timeout_at};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// Servers may close after 5 minutes (RFC 5321, section 4.5.3.2.7).
pub(super) const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// For so long a server's limit of emails a connection is remembered.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// What all senders of a mailer know of its server. `C` is a connection.
pub(super) struct Flow<C> {
    state: Mutex<State<C>>,
    /// Told when a connection may be had.
    changed: Notify,
    most: usize,
}

struct State<C> {
    /// How many connections there may be for now.
    bound: usize,
    /// When it grows again, and how long after a refusal that is.
    grows: Option<(Instant, Duration)>,
    /// Connections that are open, being opened or idle.
    taken: usize,
    /// Of those the ones that the server has accepted.
    accepted: usize,
    /// With the time since when each waits.
    idle: Vec<(C, Instant)>,
    /// Whether a task closes those that wait for too long.
    is_swept: bool,
    /// How many emails the server takes on a connection, and since when that is known.
    emails: Option<(u32, Instant)>,
    pause: Option<Pause>,
}

/// The server accepts no connection, or no email for its rate.
struct Pause {
    until: Instant,
    length: Duration,
    /// Whether one sender tries again, while the others wait for what comes of it.
    is_probed: bool,
}

/// A connection's place among those that there may be; free again once this is dropped.
pub(super) struct Place<C> {
    flow: Weak<Flow<C>>,
    is_accepted: bool,
    is_probe: bool,
}

/// What a sender may do.
pub(super) enum Turn<C> {
    /// Go on with this connection.
    Idle(C),
    /// Open another one.
    Open(Place<C>),
}

/// Why there is no connection for a sender.
#[derive(Debug)]
pub(super) enum NoTurn {
    /// The server takes no more for now: come again after this time.
    Later(Duration),
    /// The server has accepted none in all that time.
    Away,
}

impl<C> Flow<C> {
    pub(super) fn new(most: usize) -> Arc<Self> {
        let state = State {
            bound: most,
            grows: None,
            taken: 0,
            accepted: 0,
            idle: Vec::new(),
            is_swept: false,
            emails: None,
            pause: None,
        };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new(), most })
    }

    /// Waits for a connection until the deadline.
    pub(super) async fn turn(self: &Arc<Self>, deadline: Instant) -> Result<Turn<C>, NoTurn> {
        loop {
            let changed = self.changed.notified();
            let now = Instant::now();
            if let Some(turn) = self.try_turn(now).map_err(NoTurn::Later)? {
                return Ok(turn);
            }
            if now >= deadline {
                let state = self.state();
                let is_away = state.accepted == 0 && state.pause.is_none();
                return Err(if is_away { NoTurn::Away } else { NoTurn::Later(SECOND + spread(SECOND)) });
            }
            let grows = self.state().grows.map(|(at, _)| at).filter(|at| *at > now);
            let _ = timeout_at(grows.map_or(deadline, |at| at.min(deadline)).into(), changed).await;
        }
    }

    fn try_turn(self: &Arc<Self>, now: Instant) -> Result<Option<Turn<C>>, Duration> {
        let mut state = self.state();
        if let Some(pause) = &state.pause
            && now < pause.until
        {
            // Behind the one that tries first.
            return Err(pause.until - now + SECOND + spread(2 * SECOND));
        }
        if let Some((connection, _)) = state.idle.pop() {
            return Ok(Some(Turn::Idle(connection)));
        }
        let is_probe = state.pause.is_some();
        if state.pause.as_ref().is_some_and(|pause| pause.is_probed) {
            return Ok(None);
        }
        if let Some((at, _)) = state.grows
            && now >= at
            && state.bound < self.most
        {
            state.bound += 1;
            state.grows = state.grows.map(|(_, wait)| (now + wait, wait));
        }
        if state.taken >= state.bound {
            return Ok(None);
        }
        state.taken += 1;
        if let Some(pause) = &mut state.pause {
            pause.is_probed = true;
        }
        Ok(Some(Turn::Open(Place { flow: Arc::downgrade(self), is_accepted: false, is_probe })))
    }

    /// The server did not accept a connection, whose place is free again. Answers whether it holds others: then there may be no
    /// more than those for a while, and nobody has to wait for anything but them.
    pub(super) fn one_too_many(&self, now: Instant) -> bool {
        let mut state = self.state();
        if state.accepted == 0 {
            return false;
        }
        // Those that are being opened may yet be accepted.
        state.bound = state.accepted.max(state.bound.min(state.taken + 1) - 1);
        let wait = match state.grows {
            // Long before: another time of load.
            Some((at, _)) if now > at + LONGEST_PAUSE => SECOND,
            Some((_, wait)) => (2 * wait).min(MINUTE),
            None => SECOND,
        };
        state.grows = Some((now + wait, wait));
        true
    }

    /// The server accepts no connection, or no email for its rate; answers when to come again.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let mut state = self.state();
        let length = match &state.pause {
            // Others were refused at the same time.
            Some(pause) if now < pause.until => return pause.until - now + SECOND + spread(2 * SECOND),
            Some(pause) => (2 * pause.length).min(LONGEST_PAUSE),
            None => SECOND,
        };
        let wait = length + spread(length / 4);
        state.pause = Some(Pause { until: now + wait, length, is_probed: false });
        wait
    }

    /// Ends a pause: whatever keeps connections from coming about, it is not the server's load.
    pub(super) fn resume(&self) {
        self.state().pause = None;
        self.changed.notify_waiters();
    }

    /// The server has refused an email after so many on the same connection.
    pub(super) fn takes_no_more_than(&self, emails: u32, now: Instant) {
        self.state().emails = Some((emails, now));
    }

    /// Whether a connection that has delivered so many is at its end.
    pub(super) fn is_used_up(&self, emails: u32, now: Instant) -> bool {
        let known = self.state().emails.filter(|(_, since)| now.duration_since(*since) < REMEMBERED);
        known.is_some_and(|(most, _)| emails >= most)
    }

    /// Keeps a connection for the next email, for a minute or two: others may need its place.
    pub(super) fn keep(self: &Arc<Self>, connection: C)
    where
        C: Send + 'static,
    {
        let is_swept = {
            let mut state = self.state();
            state.idle.push((connection, Instant::now()));
            std::mem::replace(&mut state.is_swept, true)
        };
        self.changed.notify_waiters();
        if !is_swept {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Takes out those that have waited for too long; answers whether others wait.
    fn take_old(&self, now: Instant) -> (Vec<(C, Instant)>, bool) {
        let mut state = self.state();
        let is_old = |(_, since): &mut (C, Instant)| now.duration_since(*since) >= LONGEST_IDLE;
        let old = state.idle.extract_if(.., is_old).collect();
        state.is_swept = !state.idle.is_empty();
        (old, state.is_swept)
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Place<C> {
    /// The server has greeted.
    pub(super) fn accepted(&mut self) {
        if !std::mem::replace(&mut self.is_accepted, true)
            && let Some(flow) = self.flow.upgrade()
        {
            flow.state().accepted += 1;
        }
    }

    /// The server has judged an email on the connection: no pause is needed any more.
    pub(super) fn serves(&self) {
        if let Some(flow) = self.flow.upgrade()
            && flow.state().pause.take().is_some()
        {
            flow.changed.notify_waiters();
        }
    }
}

impl<C> Drop for Place<C> {
    fn drop(&mut self) {
        let Some(flow) = self.flow.upgrade() else { return };
        {
            let mut state = flow.state();
            state.taken = state.taken.saturating_sub(1);
            state.accepted = state.accepted.saturating_sub(usize::from(self.is_accepted));
            if let (true, Some(pause)) = (self.is_probe, &mut state.pause) {
                pause.is_probed = false;
            }
        }
        flow.changed.notify_waiters();
    }
}

/// Closes connections that wait for too long, until none waits.
async fn sweep<C>(flow: Weak<Flow<C>>) {
    loop {
        tokio::time::sleep(LONGEST_IDLE).await;
        let Some(flow) = flow.upgrade() else { return };
        let (old, others_wait) = flow.take_old(Instant::now());
        // Each gives its place back when it is dropped, which takes the lock.
        drop(old);
        if !others_wait {
            return;
        }
    }
}

/// Up to so long, at random: those that were refused at once don't come again at once.
fn spread(most: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1_000;
    most.mul_f64(random as f64 / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(flow: &Arc<Flow<u8>>, now: Instant) -> Option<Place<u8>> {
        match flow.try_turn(now) {
            Ok(Some(Turn::Open(place))) => Some(place),
            Ok(Some(Turn::Idle(_))) => panic!("an idle connection"),
            Ok(None) | Err(_) => None,
        }
    }

    fn accepted(flow: &Arc<Flow<u8>>, now: Instant) -> Place<u8> {
        let mut place = place(flow, now).unwrap();
        place.accepted();
        place.serves();
        place
    }

    #[test]
    fn no_more_connections_than_the_bound_are_open_and_a_place_that_is_dropped_is_free() {
        let (flow, now) = (Flow::new(2), Instant::now());
        let first = accepted(&flow, now);
        let _second = accepted(&flow, now);
        assert!(place(&flow, now).is_none());
        drop(first);
        assert!(place(&flow, now).is_some());
    }

    #[test]
    fn one_connection_too_many_lowers_the_bound_for_a_while_and_pauses_nobody() {
        let (flow, mut now) = (Flow::new(4), Instant::now());
        let held: Vec<_> = (0..3).map(|_| accepted(&flow, now)).collect();
        drop(place(&flow, now).unwrap());
        assert!(flow.one_too_many(now));
        assert!(place(&flow, now).is_none());
        // It is tried again after a second, and then ever more seldom.
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(place(&flow, now + Duration::from_secs(wait) - Duration::from_millis(1)).is_none());
            now += Duration::from_secs(wait);
            drop(place(&flow, now).unwrap());
            assert!(flow.one_too_many(now));
        }
        drop(held);
        assert!(place(&flow, now).is_some(), "others may take the places of those that have ended");
    }

    #[test]
    fn where_no_connection_is_accepted_one_probe_goes_first_and_pauses_grow() {
        let (flow, mut now) = (Flow::new(4), Instant::now());
        let two = (place(&flow, now).unwrap(), place(&flow, now).unwrap());
        drop(two);
        assert!(!flow.one_too_many(now));
        let first = flow.pause(now);
        assert!((SECOND..SECOND * 5 / 4).contains(&first), "{first:?}");
        // The other one was refused at the same time: no longer pause for that.
        assert!(flow.pause(now) >= first + SECOND);
        let behind = flow.try_turn(now).err().unwrap();
        assert!(behind >= first + SECOND, "{behind:?} after {first:?}");

        let mut length = first;
        for expected in [2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            now += length;
            let probe = place(&flow, now).unwrap();
            assert!(place(&flow, now).is_none(), "one goes first");
            drop(probe);
            length = flow.pause(now);
            assert!(
                length >= Duration::from_secs(expected) && length <= Duration::from_secs(expected) * 5 / 4
            );
        }
        now += length;
        let probe = accepted(&flow, now);
        assert!(place(&flow, now).is_some(), "the others come behind it");
        drop(probe);
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_its_turn_to_another() {
        let (flow, now) = (Flow::<u8>::new(4), Instant::now());
        let wait = flow.pause(now);
        drop(place(&flow, now + wait).unwrap());
        assert!(place(&flow, now + wait).is_some());
    }

    #[test]
    fn a_pause_that_begins_while_another_connection_is_opened_ends_with_the_first_that_asks() {
        let (flow, now) = (Flow::<u8>::new(1), Instant::now());
        let opening = place(&flow, now).unwrap();
        let later = now + flow.pause(now);
        assert!(place(&flow, later).is_none(), "there is no place for a probe");
        drop(opening);
        assert!(place(&flow, later).is_some());
    }

    #[test]
    fn a_server_that_accepts_connections_and_refuses_emails_is_paused_for_longer_each_time() {
        let (flow, mut now) = (Flow::<u8>::new(4), Instant::now());
        for expected in [1, 2, 4, 8] {
            let mut refused = place(&flow, now).unwrap();
            refused.accepted();
            drop(refused);
            let length = flow.pause(now);
            assert!(length >= Duration::from_secs(expected), "{length:?} of {expected} s");
            now += length;
        }
    }

    #[tokio::test]
    async fn an_idle_connection_is_used_again_and_closed_after_a_minute() {
        let (flow, now) = (Flow::<u8>::new(1), Instant::now());
        flow.keep(7);
        assert!(matches!(flow.try_turn(now), Ok(Some(Turn::Idle(7)))));
        flow.keep(8);
        let (old, others_wait) = flow.take_old(Instant::now());
        assert!(old.is_empty() && others_wait);
        let (old, others_wait) = flow.take_old(Instant::now() + LONGEST_IDLE);
        assert!(old.len() == 1 && !others_wait);
    }

    #[test]
    fn how_many_emails_a_connection_takes_is_remembered_for_an_hour() {
        let (flow, now) = (Flow::<u8>::new(4), Instant::now());
        assert!(!flow.is_used_up(1_000, now));
        flow.takes_no_more_than(5, now);
        assert!(flow.is_used_up(5, now) && !flow.is_used_up(4, now));
        assert!(!flow.is_used_up(5, now + REMEMBERED));
    }
}
