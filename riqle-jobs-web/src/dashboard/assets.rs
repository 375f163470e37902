use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// What the pages load, in the binary: name, type, text.
const ASSETS: [(&str, &str, &str); 5] = [
    ("app.css", "text/css; charset=utf-8", include_str!("../../assets/app.css")),
    ("app.js", "text/javascript; charset=utf-8", include_str!("../../assets/app.js")),
    ("htmx.js", "text/javascript; charset=utf-8", include_str!("../../assets/htmx.min.js")),
    ("hx-sse.js", "text/javascript; charset=utf-8", include_str!("../../assets/hx-sse.min.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
];

/// Of this version of the crate; a page names it in the address, so that browsers may keep a file for ever.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Open to all: the files are the same everywhere and tell nothing.
pub(super) async fn asset(Path(file): Path<String>) -> Response {
    let Some((_, kind, text)) = ASSETS.iter().find(|(name, _, _)| *name == file) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600")),
    ];
    (headers, *text).into_response()
}
