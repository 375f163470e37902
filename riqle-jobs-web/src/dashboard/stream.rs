use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    http::StatusCode,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use tokio::time::{Instant, sleep, timeout};

use super::{ANSWERS_WITHIN, HEADERS, failure::Failure, page::Page, visit::Visit};

const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// Where a page takes long to make, it is made less often.
const REST_FOR_EACH_LOOK: u32 = 10;
/// Then the browser asks again, and whether it may look is asked again, too.
const LASTS: Duration = Duration::from_secs(60);

/// Sends a page's body again each time that it has changed.
pub(super) fn follow<P: Page, F>(visit: Visit, load: impl Fn() -> F + Send + Sync + 'static) -> Response
where
    F: Future<Output = Result<P, Failure>> + Send,
{
    let Ok(place) = Arc::clone(&visit.web.streams).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, HEADERS, "too many pages are followed").into_response();
    };
    let shutdown = visit.web.shutdown.clone();
    let ends = Instant::now() + LASTS;
    let state = (String::new(), LOOKS_EVERY, place, visit, load);
    let events = stream::unfold(state, move |(mut last, mut rest, place, visit, load)| {
        let shutdown = shutdown.clone();
        async move {
            loop {
                let look = async {
                    sleep(rest).await;
                    let begun = Instant::now();
                    let body = timeout(ANSWERS_WITHIN, load()).await.ok()?.ok()?.html(&visit).ok();
                    Some((body?, begun.elapsed()))
                };
                let looked = tokio::select! {
                    looked = look => looked,
                    () = shutdown.stopping() => return None,
                    () = tokio::time::sleep_until(ends) => return None,
                };
                // What can't be had now may be had next time.
                let Some((body, took)) = looked else { continue };
                rest = LOOKS_EVERY.max(took * REST_FOR_EACH_LOOK);
                if body != last {
                    last = body;
                    // A line break of another kind has no place in an event.
                    let event = Event::default().data(last.replace('\r', ""));
                    return Some((Ok::<_, Infallible>(event), (last, rest, place, visit, load)));
                }
            }
        }
    });
    (HEADERS, Sse::new(events).keep_alive(KeepAlive::default())).into_response()
}
