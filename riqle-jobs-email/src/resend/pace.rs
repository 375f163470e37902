//! How many emails Resend takes, and when: what its rate limit headers say.

use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;

use crate::pause::Pause;

/// Resend's answers count in seconds.
const SHORTEST_WINDOW: Duration = Duration::from_secs(1);

/// How many emails may go out, and when: what the answers' `ratelimit-limit`, `ratelimit-remaining` and `ratelimit-reset`
/// say (draft-ietf-httpapi-ratelimit-headers). Nothing is held back before the first answer.
///
/// Emails beyond the limit are promised a place in one of the next windows, in the order in which they ask.
#[derive(Debug, Default)]
pub(super) struct Pace {
    window: Option<Window>,
    /// After refusals without an email in between that was taken.
    pause: Option<Pause>,
}

#[derive(Debug)]
struct Window {
    /// Emails a window.
    limit: u32,
    length: Duration,
    /// Of this window.
    left: u32,
    ends: Instant,
    /// Promised to emails that wait for a window to come.
    promised: u32,
    /// No answer has told of it: after a pause emails go one by one, until one is taken.
    is_assumed: bool,
}

impl Pace {
    /// How long to wait before the next email; its place is taken. Refused if that is longer than `longest`: no
    /// place is taken then.
    pub(super) fn take(&mut self, now: Instant, longest: Duration) -> Result<Duration, Duration> {
        let Some(window) = &mut self.window else { return Ok(Duration::ZERO) };
        window.roll(now);
        if window.left > 0 {
            window.left -= 1;
            return Ok(Duration::ZERO);
        }
        let windows_between = window.promised / window.limit;
        let wait = window.ends.duration_since(now) + window.length.saturating_mul(windows_between);
        if wait > longest {
            return Err(wait);
        }
        window.promised += 1;
        Ok(wait)
    }

    /// Learns from an answer.
    pub(super) fn learn(&mut self, now: Instant, headers: &HeaderMap) {
        let Some(limit) = number(headers, "ratelimit-limit").filter(|limit| *limit > 0) else { return };
        let reset = number(headers, "ratelimit-reset").map_or(SHORTEST_WINDOW, seconds).max(SHORTEST_WINDOW);
        let remaining = number(headers, "ratelimit-remaining").unwrap_or(limit);
        match &mut self.window {
            Some(window) => {
                window.is_assumed = false;
                window.roll(now);
                window.limit = limit;
                window.length = window.length.max(reset);
                window.left = window.left.min(remaining);
            }
            None => {
                let ends = now + reset;
                let (length, left) = (reset, remaining);
                self.window = Some(Window { limit, length, left, ends, promised: 0, is_assumed: false });
            }
        }
    }

    /// The provider has taken an email, or refused it for itself. What was sent before a refusal does not end its pause.
    pub(super) fn judged(&mut self, now: Instant) {
        if self.pause.take_if(|pause| pause.left(now).is_zero()).is_some() {
            self.window.take_if(|window| window.is_assumed);
        }
    }

    /// The provider has refused an email for its rate: nothing is sent for as long as it asks, and longer each
    /// time.
    pub(super) fn refused(&mut self, now: Instant, asked: Duration) {
        let pause = Pause::after(self.pause, now, asked);
        self.pause = Some(pause);
        // Those that wait keep their order, and go no faster than the limit afterwards.
        let window = self.window.get_or_insert(Window {
            limit: 1,
            length: SHORTEST_WINDOW,
            left: 0,
            ends: now,
            promised: 0,
            is_assumed: true,
        });
        window.roll(now);
        window.left = 0;
        window.ends = window.ends.max(now + pause.left(now));
    }
}

impl Window {
    fn roll(&mut self, now: Instant) {
        while now >= self.ends {
            let due = self.promised.min(self.limit);
            self.promised -= due;
            self.left = self.limit - due;
            if self.promised == 0 && now >= self.ends + self.length {
                // Nobody waits, so the windows between need not be counted.
                self.left = self.limit;
                self.ends = now + self.length;
            } else {
                self.ends += self.length;
            }
        }
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds).min(60 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn headers(limit: u32, remaining: u32, reset: u32) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("ratelimit-limit", limit), ("ratelimit-remaining", remaining), ("ratelimit-reset", reset)]
        {
            headers.insert(name, value.into());
        }
        headers
    }

    #[test]
    fn nothing_waits_before_the_limit_is_known() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.learn(now, &HeaderMap::new());
        pace.learn(now, &headers(0, 0, 1));
        for _ in 0..100 {
            assert_eq!(pace.take(now, Duration::ZERO), Ok(Duration::ZERO));
        }
    }

    #[test]
    fn emails_beyond_the_limit_go_in_the_windows_to_come_in_order() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.learn(now, &headers(2, 1, 1));
        let waits: Vec<u64> = (0..6).map(|_| pace.take(now, MINUTE).unwrap().as_secs()).collect();
        assert_eq!(waits, [0, 1, 1, 2, 2, 3]);
        // The first two of those are gone by now, and so is their window's share.
        assert_eq!(pace.take(now + SECOND, MINUTE), Ok(2 * SECOND));
        assert_eq!(pace.take(now + 10 * SECOND, MINUTE), Ok(Duration::ZERO));
    }

    #[test]
    fn a_wait_that_is_too_long_is_refused_and_takes_no_place() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.learn(now, &headers(1, 0, 1));
        assert_eq!(pace.take(now, SECOND), Ok(SECOND));
        assert_eq!(pace.take(now, SECOND), Err(2 * SECOND));
        assert_eq!(pace.take(now, 2 * SECOND), Ok(2 * SECOND));
    }

    #[test]
    fn pauses_after_refusals_grow_and_emails_go_one_by_one_until_one_is_taken() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            pace.refused(now, Duration::ZERO);
            // Another one of the same moment.
            pace.refused(now, Duration::ZERO);
            let wait = Duration::from_secs(expected);
            assert_eq!(pace.take(now, Duration::ZERO), Err(wait));
            now += wait;
            assert_eq!(pace.take(now, Duration::ZERO), Ok(Duration::ZERO));
            assert_eq!(pace.take(now, Duration::ZERO), Err(SECOND), "one goes first");
        }
        pace.judged(now);
        assert_eq!(pace.take(now, Duration::ZERO), Ok(Duration::ZERO));
        assert_eq!(pace.take(now, Duration::ZERO), Ok(Duration::ZERO));
        pace.refused(now, Duration::from_secs(30));
        assert_eq!(pace.take(now, MINUTE), Ok(Duration::from_secs(30)));
    }

    #[test]
    fn after_a_pause_emails_go_no_faster_than_the_limit() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.learn(now, &headers(2, 2, 1));
        pace.refused(now, 5 * SECOND);
        let waits: Vec<u64> = (0..5).map(|_| pace.take(now, MINUTE).unwrap().as_secs()).collect();
        assert_eq!(waits, [5, 5, 6, 6, 7]);
    }

    #[test]
    fn a_share_that_others_have_used_is_gone() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.learn(now, &headers(10, 10, 1));
        pace.learn(now, &headers(10, 0, 1));
        assert_eq!(pace.take(now, MINUTE), Ok(SECOND));
        pace.refused(now, 30 * SECOND);
        assert_eq!(pace.take(now, MINUTE), Ok(30 * SECOND));
    }
}
