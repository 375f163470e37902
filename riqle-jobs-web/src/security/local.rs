use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};

/// What a reverse proxy leaves.
const FORWARDED: [&str; 8] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
    "via",
];

/// Whether a request to a loopback address was made there: not through a proxy, and not by a page whose name was
/// pointed at this machine (DNS rebinding), which shows in `Host`.
pub(crate) fn is_from_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.authority().map(|authority| authority.as_str())).unwrap_or_default();
    !FORWARDED.iter().any(|name| headers.contains_key(*name)) && is_local(host)
}

/// `localhost:8288`, `127.0.0.1`, `[::1]:80`.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine_are_told_from_others() {
        for host in ["localhost", "LOCALHOST:8288", "127.0.0.1:1", "127.8.8.8", "[::1]:8288", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1:80",
            "[fe80::1]",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
