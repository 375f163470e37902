//! The styles, scripts and icon of the pages, served from the binary.

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

/// Of this version of the crate; a page names it in the address, so that browsers don't use the old file.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Open to all: the files are the same everywhere and reveal nothing.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    /// The colours of a palette by name.
    fn palette(css: &str) -> BTreeMap<&str, [f64; 3]> {
        let variables = css.split(';').filter_map(|one| one.rsplit_once("--")?.1.split_once(": #"));
        variables.map(|(name, colour)| (name, channels(colour))).collect()
    }

    /// `fff` or `3451c7`, each channel from 0 to 1.
    fn channels(colour: &str) -> [f64; 3] {
        let digits: Vec<_> = colour.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
        let channel = |place: usize| match digits.len() {
            3 => f64::from(digits[place] * 17) / 255.0,
            _ => f64::from(digits[place * 2] * 16 + digits[place * 2 + 1]) / 255.0,
        };
        [channel(0), channel(1), channel(2)]
    }

    /// The contrast ratio of WCAG 2.2.
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let luminance = |colour: [f64; 3]| {
            let linear =
                colour.map(|c| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) });
            0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_text_stands_out_from_its_ground() {
        let css = include_str!("../../assets/app.css");
        let (light, dark) = css.split_once("@media (prefers-color-scheme: dark)").unwrap();
        let dark = dark.split_once("\n}").unwrap().0;
        for colours in [palette(light.split_once('}').unwrap().0), palette(dark)] {
            for (text, grounds) in [
                ("ink", &["page", "card", "neutral-soft", "running-soft"][..]),
                ("quiet", &["page", "card", "neutral-soft"]),
                ("accent", &["page", "card"]),
                ("on-accent", &["accent"]),
                ("good", &["card", "good-soft"]),
                ("bad", &["card", "page", "bad-soft"]),
                ("warning", &["card", "warning-soft"]),
                ("running", &["running-soft"]),
            ] {
                for ground in grounds {
                    let ratio = contrast(colours[text], colours[ground]);
                    assert!(ratio >= 4.5, "{text} on {ground}: {ratio:.2}");
                }
            }
        }
    }
}
