//! What the tests of pages rely on: a real Chromium sees a page as people do. Needs the feature `real-servers`, Chromium and
//! its chromedriver.
#![allow(clippy::panic, clippy::unwrap_used)]

mod support;

use std::convert::Infallible;

use axum::{
    Router,
    extract::Request,
    http::{StatusCode, header},
    middleware::{Next, from_fn},
    response::{
        Html, IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

use self::support::{
    browser::{
        Window,
        look::{Look, Scheme},
    },
    serve,
};

/// Without an icon of its own each page would ask for `/favicon.ico`.
const HEAD: &str =
    r#"<!doctype html><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">"#;

fn page(body: &str) -> Html<String> {
    Html(format!("{HEAD}{body}"))
}

async fn serve_page(body: &'static str) -> String {
    let address = serve(|_| Router::new().route("/", get(move || async move { page(body) }))).await;
    format!("http://{address}/")
}

#[tokio::test]
async fn a_script_that_the_policy_blocks_is_an_error_on_the_console() {
    const BODY: &str = r#"<p>quiet</p><script>document.querySelector("p").textContent = "loud"</script>"#;
    let strict = || async { ([(header::CONTENT_SECURITY_POLICY, "script-src 'self'")], page(BODY)) };
    let router = Router::new().route("/strict", get(strict)).route("/lax", get(|| async { page(BODY) }));
    let address = serve(|_| router).await;
    let window = Window::open(Look::DESKTOP).await;

    window.goto(format!("http://{address}/lax")).await;
    window.until_text("p", "loud").await;
    window.assert_no_errors().await;

    window.goto(format!("http://{address}/strict")).await;
    let errors = window.until_error("violates the following Content Security Policy directive").await;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(window.text("p").await, "quiet");
    window.assert_no_errors().await;
}

#[tokio::test]
async fn errors_of_scripts_and_of_requests_are_on_the_console() {
    let url =
        serve_page("<script>fetch('/nowhere').then(() => { throw new Error('all is lost') })</script>").await;
    let window = Window::open(Look::DESKTOP).await;
    window.goto(url).await;
    let errors = window.until_error("all is lost").await;
    assert!(errors.iter().any(|error| error.contains("/nowhere") && error.contains("404")), "{errors:?}");
}

#[tokio::test]
async fn an_event_from_the_server_changes_the_page_without_a_reload() {
    const BODY: &str = "<p>before</p><script>
        window.isTheSame = true
        new EventSource('/events').onmessage = event => document.querySelector('p').textContent = event.data
    </script>";
    let (tell, told) = watch::channel("before");
    let events = move || {
        let events = stream::unfold(told.clone(), |mut told| async {
            told.changed().await.ok()?;
            let event = Event::default().data(*told.borrow());
            Some((Ok::<_, Infallible>(event), told))
        });
        async { Sse::new(events.boxed()).keep_alive(KeepAlive::default()) }
    };
    let router = Router::new().route("/", get(|| async { page(BODY) })).route("/events", get(events));
    let address = serve(|_| router).await;
    let window = Window::open(Look::DESKTOP).await;
    window.goto(format!("http://{address}/")).await;
    window.until_text("p", "before").await;
    tell.send("after").unwrap();
    window.until_text("p", "after").await;
    window.until("window.isTheSame").await;
    window.assert_no_errors().await;
}

#[tokio::test]
async fn the_scheme_and_the_size_are_what_the_window_is_told() {
    let url = serve_page(
        "<style>
            p::after { content: 'light' }
            @media (prefers-color-scheme: dark) { p::after { content: 'dark' } }
        </style><p></p>",
    )
    .await;
    let scheme = "return getComputedStyle(document.querySelector('p'), '::after').content";
    let size = "return [innerWidth, innerHeight]";
    let mut window = Window::open(Look { scheme: Scheme::Light, ..Look::DESKTOP }).await;
    window.goto(&url).await;
    assert_eq!(window.run(scheme).await, r#""light""#);
    assert_eq!(window.run(size).await, serde_json::json!([1280, 800]));
    window.look(Look::PHONE.dark()).await;
    window.until("innerWidth == 390 && matchMedia('(prefers-color-scheme: dark)').matches").await;
    assert_eq!(window.run(scheme).await, r#""dark""#);
    assert_eq!(window.run(size).await, serde_json::json!([390, 844]));
    window.screenshot("scheme").await;
}

#[tokio::test]
async fn what_changes_under_the_hand_is_found_again() {
    let url = serve_page(
        "<input value='old'><button disabled>Go</button><output></output><script>
            const [input, button, output] = document.body.children
            const ready = '<button onclick=\"output.textContent = input.value\">Go</button>'
            input.addEventListener('input', () => setTimeout(() => button.outerHTML = ready, 200), { once: true })
        </script>",
    )
    .await;
    let window = Window::open(Look::DESKTOP).await;
    window.goto(url).await;
    window.fill("input", "new").await;
    window.click("button:enabled").await;
    window.until_text("output", "new").await;
    window.assert_no_errors().await;
}

#[tokio::test]
async fn windows_share_no_profile_and_speak_english_in_utc() {
    let url = serve_page("").await;
    let (one, other) = tokio::join!(Window::open(Look::DESKTOP), Window::open(Look::DESKTOP));
    one.goto(&url).await;
    one.run("localStorage.setItem('kept', 'here'); document.cookie = 'kept=here; max-age=600'").await;
    other.goto(&url).await;
    let kept = "return [localStorage.getItem('kept'), document.cookie]";
    assert_eq!(one.run(kept).await, serde_json::json!(["here", "kept=here"]));
    assert_eq!(other.run(kept).await, serde_json::json!([null, ""]));
    let place = "return [Intl.DateTimeFormat().resolvedOptions().timeZone, navigator.language, new Date(0).toLocaleTimeString()]";
    assert_eq!(one.run(place).await, serde_json::json!(["UTC", "en-US", "12:00:00 AM"]));
}

#[tokio::test]
async fn nothing_is_loaded_from_other_machines() {
    let url = serve_page("<script src='http://example.com/script.js'></script>").await;
    let window = Window::open(Look::DESKTOP).await;
    window.goto(url).await;
    window.until_error("net::ERR_NAME_NOT_RESOLVED").await;
}

#[tokio::test]
async fn a_password_in_the_address_goes_with_each_later_request() {
    const BODY: &str = "<p></p><q></q><script>
        fetch(location.origin + '/fetched').then(answer => answer.text()).then(text => document.querySelector('p').textContent = text)
        new EventSource('/events').onmessage = event => document.querySelector('q').textContent = event.data
    </script>";
    let guard = from_fn(|request: Request, next: Next| async move {
        // operator:a secret
        let expected = "Basic b3BlcmF0b3I6YSBzZWNyZXQ=";
        match request.headers().get(header::AUTHORIZATION) {
            Some(given) if given == expected => next.run(request).await,
            _ => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"riqle\"")])
                .into_response(),
        }
    });
    let events = || async {
        let event = stream::iter([Ok::<_, Infallible>(Event::default().data("told"))]);
        Sse::new(event.chain(stream::pending()))
    };
    let router = Router::new()
        .route("/", get(|| async { page(BODY) }))
        .route("/fetched", get(|| async { "fetched" }))
        .route("/events", get(events))
        .layer(guard);
    let address = serve(|_| router).await;
    let window = Window::open(Look::DESKTOP).await;
    window.goto(format!("http://operator:a%20secret@{address}/")).await;
    window.until_text("p", "fetched").await;
    window.until_text("q", "told").await;
    window.assert_no_errors().await;

    // The page's base address holds the password, and Chromium fetches nothing from one that does.
    let fetched = "return fetch('/fetched').then(answer => answer.text(), error => error.name)";
    assert_eq!(window.run(fetched).await, "TypeError");
    window.goto(format!("http://{address}/")).await;
    window.until_text("q", "told").await;
    assert_eq!(window.run(fetched).await, "fetched");
    window.assert_no_errors().await;
}
