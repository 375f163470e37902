//! Live pages: sends the body of a page again each time it changes.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{Stream, stream};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{
    ANSWERS_WITHIN, HEADERS,
    failure::Failure,
    page::{Page, failed},
    visit::Visit,
};

const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// The most live pages at one time.
const MOST: usize = 256;
const MOST_OF_A_USER: usize = 24;
/// A page that takes long to load is loaded less often.
const REST_FOR_EACH_LOOK: u32 = 10;
/// Then the browser reconnects, and its access is checked again.
const LASTS: Duration = Duration::from_secs(60);
const COMES_BACK_AFTER: Duration = Duration::from_millis(500);

/// Sends a page's body again each time it changes. Above the limit, the browser is told to come back later.
pub(super) fn follow<P: Page, F>(visit: Visit, load: impl Fn() -> F + Send + Sync + 'static) -> Response
where
    F: Future<Output = Result<P, Failure>> + Send,
{
    let ends = Instant::now() + LASTS;
    let Some(place) = visit.web.streams.place(&visit.user.name) else {
        // The page's script says so on the page.
        let away = Event::default().event("away").data("too many live pages").retry(LASTS);
        return answer(stream::iter([Ok(away)]));
    };
    let place = place.until(ends);
    let shutdown = visit.web.shutdown.clone();
    let state = Following::At { last: String::new(), rest: LOOKS_EVERY };
    answer(stream::unfold((state, visit, load, place), move |(state, visit, load, place)| {
        let shutdown = shutdown.clone();
        async move {
            let told = tokio::select! {
                told = next(state, &visit, &load) => told,
                () = shutdown.stopping() => None,
                () = tokio::time::sleep_until(ends) => None,
            };
            let (event, state) = told?;
            Some((Ok(event), (state, visit, load, place)))
        }
    }))
}

fn answer(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    // nginx would keep small pages back until there are more.
    let unbuffered = [("x-accel-buffering", "no")];
    (HEADERS, unbuffered, Sse::new(events).keep_alive(KeepAlive::default())).into_response()
}

/// The state of a stream.
enum Following {
    /// At this body; the page is loaded again after a rest.
    At { last: String, rest: Duration },
    /// It was told that the page is gone.
    Gone,
    /// It was told to close.
    Closed,
}

/// Loads until there is something to send.
async fn next<P: Page, F>(
    state: Following,
    visit: &Visit,
    load: &impl Fn() -> F,
) -> Option<(Event, Following)>
where
    F: Future<Output = Result<P, Failure>> + Send,
{
    let (mut last, mut rest) = match state {
        Following::At { last, rest } => (last, rest),
        Following::Gone => {
            return Some((Event::default().event("gone").data("the page is gone"), Following::Closed));
        }
        Following::Closed => return None,
    };
    loop {
        sleep(rest).await;
        let begun = Instant::now();
        let body = match timeout(ANSWERS_WITHIN, load()).await {
            Ok(Ok(page)) => page.html(visit).ok(),
            Ok(Err(failure)) if failure.status == StatusCode::NOT_FOUND => {
                return Some((body_event(&failed(&failure)), Following::Gone));
            }
            // What can't be had now may be had next time.
            Ok(Err(_)) | Err(_) => None,
        };
        rest = LOOKS_EVERY.max(begun.elapsed() * REST_FOR_EACH_LOOK);
        if let Some(body) = body.filter(|body| *body != last) {
            last = body;
            return Some((body_event(&last), Following::At { last, rest }));
        }
    }
}

fn body_event(body: &str) -> Event {
    // A line break of another kind has no place in an event.
    Event::default().data(body.replace('\r', "")).retry(COMES_BACK_AFTER)
}

/// Counts the live pages.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<HashMap<String, usize>>);

/// Let go of when it is dropped.
#[derive(Debug)]
struct Place {
    streams: Arc<Streams>,
    user: String,
}

impl Streams {
    fn place(self: &Arc<Self>, user: &str) -> Option<Place> {
        let mut followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_user = followed.get(user).copied().unwrap_or_default();
        if of_user >= MOST_OF_A_USER || followed.values().sum::<usize>() >= MOST {
            return None;
        }
        followed.insert(user.to_owned(), of_user + 1);
        Some(Place { streams: Arc::clone(self), user: user.to_owned() })
    }
}

impl Place {
    /// Released then, or earlier when the returned value is dropped: a browser that has stopped reading is not
    /// polled for.
    fn until(self, ends: Instant) -> Held {
        Held(tokio::spawn(async move {
            tokio::time::sleep_until(ends).await;
            drop(self);
        }))
    }
}

struct Held(JoinHandle<()>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut followed = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_user) = followed.get_mut(&self.user) {
            *of_user -= 1;
            if *of_user == 0 {
                followed.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_takes_the_pages_from_nobody() {
        let streams = Arc::new(Streams::default());
        let held: Vec<_> = (0..100).filter_map(|_| streams.place("ben")).collect();
        assert_eq!(held.len(), MOST_OF_A_USER);
        assert!(streams.place("anna").is_some());
        drop(held);
        assert!(streams.place("ben").is_some());
        assert!(streams.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
    }
}
