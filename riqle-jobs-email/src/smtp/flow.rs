//! Who may use or open a connection, and when: turns, pauses, and how many emails the server takes on each.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::AbortHandle, time::timeout_at};

use super::places::{LONGEST_IDLE, Places};
use crate::pause::Pause;

const SECOND: Duration = Duration::from_secs(1);
/// How long a server's limit of emails per connection is remembered.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// What all senders of a mailer know of its server. `C` is a connection.
pub(super) struct Flow<C> {
    state: Mutex<State<C>>,
    /// Told when a connection may be had.
    changed: Notify,
}

struct State<C> {
    places: Places<C>,
    /// The server accepts no connection, or no email for its rate.
    pause: Option<Pause>,
    /// After a pause one sender tries again, while the others wait for what comes of it: in the place of this number.
    probe: Option<u64>,
    /// How many emails the server takes on a connection, and since when that is known.
    emails: Option<(u32, Instant)>,
    /// Closes connections that wait for too long.
    sweep: Option<AbortHandle>,
}

/// A connection's place among those allowed; free again once this is dropped, by the connection and by the task
/// that opens it.
pub(super) struct Place<C> {
    flow: Weak<Flow<C>>,
    number: u64,
}

/// What a sender may do.
pub(super) enum Turn<C> {
    /// Go on with this connection.
    Idle(C),
    /// Open another one.
    Open(Arc<Place<C>>),
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
        let state = State { places: Places::new(most), pause: None, probe: None, emails: None, sweep: None };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    /// Waits for a connection until the deadline.
    pub(super) async fn turn(self: &Arc<Self>, deadline: Instant) -> Result<Turn<C>, NoTurn> {
        loop {
            let changed = self.changed.notified();
            let now = Instant::now();
            if let Some(turn) = self.try_turn(now).map_err(NoTurn::Later)? {
                return Ok(turn);
            }
            let grows = {
                let State { places, pause, .. } = &*self.state();
                if now >= deadline {
                    let is_away = places.none_is_accepted() && pause.is_none();
                    return Err(if is_away {
                        NoTurn::Away
                    } else {
                        NoTurn::Later(SECOND + SECOND.mul_f64(any_share()))
                    });
                }
                places.grows_at().filter(|at| *at > now)
            };
            let _ = timeout_at(grows.map_or(deadline, |at| at.min(deadline)).into(), changed).await;
        }
    }

    fn try_turn(self: &Arc<Self>, now: Instant) -> Result<Option<Turn<C>>, Duration> {
        let mut state = self.state();
        let left = state.pause.map_or(Duration::ZERO, |pause| pause.left(now));
        if !left.is_zero() {
            return Err(behind_the_probe(left));
        }
        if let Some(connection) = state.places.take_idle() {
            return Ok(Some(Turn::Idle(connection)));
        }
        if state.probe.is_some() {
            return Ok(None);
        }
        let Some(number) = state.places.take(now) else { return Ok(None) };
        state.probe = state.pause.map(|_| number);
        Ok(Some(Turn::Open(Arc::new(Place { flow: Arc::downgrade(self), number }))))
    }

    /// The server did not accept a connection. Waits until it has accepted another one, or none that was begun
    /// before this is still being opened: so that, of many started at once, the ones it refuses are told from
    /// an unavailable server.
    pub(super) async fn failed(&self, number: u64, deadline: Instant) {
        self.state().places.failed(number);
        self.changed.notify_waiters();
        loop {
            let changed = self.changed.notified();
            let is_judged = {
                let State { places, .. } = &*self.state();
                !places.none_is_accepted() || !places.an_earlier_one_is_opening(number)
            };
            if is_judged || timeout_at(deadline.into(), changed).await.is_err() {
                return;
            }
        }
    }

    /// The server has refused a connection. Returns whether it holds others, so that callers need only wait for
    /// those: [`Places::one_too_many`].
    pub(super) fn one_too_many(&self, number: u64, now: Instant) -> bool {
        let is_one = self.state().places.one_too_many(number, now);
        self.changed.notify_waiters();
        is_one
    }

    /// The server accepts no connection, or no email for its rate; answers when to come again. What is idle is closed: after
    /// the pause one sender tries first.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let (wait, _idle) = {
            let mut state = self.state();
            let before = state.pause;
            let left = before.map_or(Duration::ZERO, |pause| pause.left(now));
            if !left.is_zero() {
                // Others were refused at the same time.
                return behind_the_probe(left);
            }
            let pause = Pause::after(before, now, Duration::ZERO).longer_by(any_share());
            state.pause = Some(pause);
            (pause.left(now), state.places.take_all_idle())
        };
        wait
    }

    /// Ends a pause: whatever keeps connections from coming about, it is not the server's load.
    pub(super) fn resume(&self) {
        let was_paused = {
            let mut state = self.state();
            state.probe = None;
            state.pause.take().is_some()
        };
        if was_paused {
            self.changed.notify_waiters();
        }
    }

    /// The server has refused an email after this many on the same connection.
    pub(super) fn takes_no_more_than(&self, emails: u32, now: Instant) {
        self.state().emails = Some((emails, now));
    }

    /// Whether a connection that has delivered this many is at its end.
    pub(super) fn is_used_up(&self, emails: u32, now: Instant) -> bool {
        let known = self.state().emails.filter(|(_, since)| now.duration_since(*since) < REMEMBERED);
        known.is_some_and(|(most, _)| emails >= most)
    }

    /// Keeps a connection for the next email, for a minute or two: others may need its place. In a pause it is closed.
    pub(super) fn keep(self: &Arc<Self>, connection: C)
    where
        C: Send + 'static,
    {
        {
            let mut state = self.state();
            if state.pause.is_some() {
                // The connection is dropped after the lock, which its place takes.
                return;
            }
            state.places.keep(connection, Instant::now());
            // One whose runtime has ended has finished, too.
            if state.sweep.as_ref().is_none_or(AbortHandle::is_finished) {
                state.sweep = Some(tokio::spawn(sweep(Arc::downgrade(self))).abort_handle());
            }
        }
        self.changed.notify_waiters();
    }

    /// Takes out those that have waited for too long; answers whether others wait.
    fn take_old(&self, now: Instant) -> (Vec<(C, Instant)>, bool) {
        let mut state = self.state();
        let old = state.places.take_old(now);
        if !state.places.has_idle() {
            state.sweep = None;
        }
        (old, state.sweep.is_some())
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Place<C> {
    /// In the order in which they were begun.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The server has greeted.
    pub(super) fn accepted(&self) {
        if let Some(flow) = self.flow.upgrade() {
            flow.state().places.accepted(self.number);
            flow.changed.notify_waiters();
        }
    }

    /// The server has judged an email on the connection: no pause is needed any more, but one that has just begun.
    pub(super) fn serves(&self, now: Instant) {
        if let Some(flow) = self.flow.upgrade()
            && flow.state().pause.is_some_and(|pause| pause.left(now).is_zero())
        {
            flow.resume();
        }
    }
}

impl<C> Drop for Place<C> {
    fn drop(&mut self) {
        let Some(flow) = self.flow.upgrade() else { return };
        {
            let mut state = flow.state();
            state.places.free(self.number);
            state.probe.take_if(|probe| *probe == self.number);
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

/// When to come again in a pause: some seconds after the sender that tries first.
fn behind_the_probe(left: Duration) -> Duration {
    left + SECOND + (2 * SECOND).mul_f64(any_share())
}

/// From 0 to 1, at random: those that were refused at once don't come again at once.
fn any_share() -> f64 {
    (RandomState::new().hash_one(0) % 1_000) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(flow: &Arc<Flow<u8>>, now: Instant) -> Option<Arc<Place<u8>>> {
        match flow.try_turn(now) {
            Ok(Some(Turn::Open(place))) => Some(place),
            Ok(Some(Turn::Idle(_))) => panic!("an idle connection"),
            Ok(None) | Err(_) => None,
        }
    }

    fn accepted(flow: &Arc<Flow<u8>>, now: Instant) -> Arc<Place<u8>> {
        let place = place(flow, now).unwrap();
        place.accepted();
        place.serves(now);
        place
    }

    #[test]
    fn where_no_connection_is_accepted_one_probe_goes_first_and_pauses_grow() {
        let (flow, mut now) = (Flow::new(4), Instant::now());
        let two = (place(&flow, now).unwrap(), place(&flow, now).unwrap());
        assert!(!flow.one_too_many(two.0.number(), now));
        drop(two);
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
            let refused = place(&flow, now).unwrap();
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
