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
use futures_util::stream;
use tokio::time::{Instant, sleep, timeout};

use super::{
    ANSWERS_WITHIN, HEADERS,
    failure::Failure,
    page::{Page, failed},
    visit::Visit,
};

const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// Pages that are followed at the same time.
const MOST: usize = 256;
const MOST_OF_A_USER: usize = 24;
/// Where a page takes long to make, it is made less often.
const REST_FOR_EACH_LOOK: u32 = 10;
/// Then the browser asks again, and whether it may look is asked again, too.
const LASTS: Duration = Duration::from_secs(60);

/// Sends a page's body again each time that it has changed. Whoever follows too many is told to come back later.
pub(super) fn follow<P: Page, F>(visit: Visit, load: impl Fn() -> F + Send + Sync + 'static) -> Response
where
    F: Future<Output = Result<P, Failure>> + Send,
{
    let Some(place) = visit.web.streams.place(&visit.user.name) else {
        let later = Event::default().retry(LASTS);
        return (HEADERS, Sse::new(stream::iter([Ok::<_, Infallible>(later)]))).into_response();
    };
    let shutdown = visit.web.shutdown.clone();
    let ends = Instant::now() + LASTS;
    let state = Some((String::new(), LOOKS_EVERY, place, visit, load));
    let events = stream::unfold(state, move |state| {
        let shutdown = shutdown.clone();
        async move {
            let (mut last, mut rest, place, visit, load) = state?;
            loop {
                let look = async {
                    sleep(rest).await;
                    let begun = Instant::now();
                    let loaded = timeout(ANSWERS_WITHIN, load()).await.ok()?;
                    let body = match loaded {
                        Ok(page) => page.html(&visit).ok()?,
                        // It is gone: that is the last that is to be said.
                        Err(failure) if failure.status == StatusCode::NOT_FOUND => {
                            return Some((failed(&failure), None));
                        }
                        Err(_) => return None,
                    };
                    Some((body, Some(begun.elapsed())))
                };
                let looked = tokio::select! {
                    looked = look => looked,
                    () = shutdown.stopping() => return None,
                    () = tokio::time::sleep_until(ends) => return None,
                };
                // What can't be had now may be had next time.
                let Some((body, took)) = looked else { continue };
                let is_new = body != last;
                last = body;
                // A line break of another kind has no place in an event.
                let event = Event::default().data(last.replace('\r', ""));
                let Some(took) = took else { return Some((Ok(event), None)) };
                rest = LOOKS_EVERY.max(took * REST_FOR_EACH_LOOK);
                if is_new {
                    return Some((Ok::<_, Infallible>(event), Some((last, rest, place, visit, load))));
                }
            }
        }
    });
    (HEADERS, Sse::new(events).keep_alive(KeepAlive::default())).into_response()
}

/// Who follows how many pages.
#[derive(Default)]
pub(super) struct Streams(Mutex<HashMap<String, usize>>);

/// Let go of when it is dropped.
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
