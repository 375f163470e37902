//! Whether a request comes from this machine, or from a page of another site.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, Uri, header};
use url::{Host, Url};

/// What a reverse proxy leaves, if it leaves anything.
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

/// Whether a request to a loopback address names this machine as its host, so that it is not of a page whose name was
/// pointed here (DNS rebinding), and shows no proxy. A proxy on this machine may leave no trace: this can't tell.
pub(crate) fn is_from_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let named = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let mut named = named.chain(uri.authority().map(|authority| authority.as_str())).peekable();
    let is_here = named.peek().is_some() && named.all(is_local);
    is_here && !FORWARDED.iter().any(|name| headers.contains_key(*name))
}

/// Whether a browser says that a page of another site sends this. A form and `fetch` with `no-cors` reach every address of
/// this machine.
pub(crate) fn is_of_another_site(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-site").iter().any(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"))
        || headers.get_all(header::ORIGIN).iter().any(|origin| !is_local_origin(origin))
}

/// `http://localhost:3000`, not `null`.
pub(crate) fn is_local_origin(origin: &HeaderValue) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
    origin.is_some_and(|origin| match origin.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    })
}

/// The port that the browser sees.
pub(super) fn port(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    name_and_port(host)?.1
}

/// `localhost:8288`, `127.0.0.1`, `[::1]:80`.
fn is_local(host: &str) -> bool {
    let Some((name, _)) = name_and_port(host) else { return false };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The two parts of a `Host`; `None` if what follows the name is not a port.
fn name_and_port(host: &str) -> Option<(&str, Option<&str>)> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    if rest.is_empty() {
        return Some((name, None));
    }
    let port = rest.strip_prefix(':')?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    is_port.then_some((name, Some(port)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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
            "localhost:evil",
            "localhost:",
            "localhost:+80",
            "localhost:65536",
            "localhost:80:80",
            "localhost:80@evil.example",
            "evil.example@localhost",
            "10.0.0.1:80",
            "[fe80::1]",
            "[::1",
            "[::1]evil.example",
            "[::1]:evil",
            "::1",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn each_name_that_a_request_gives_its_host_must_be_local() {
        let is = |uri: &'static str, hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, host.parse().unwrap());
            }
            is_from_this_machine(&Uri::from_static(uri), &headers)
        };
        assert!(is("/", &["localhost:8288"]) && is("http://127.0.0.1/", &[]));
        assert!(!is("/", &[]) && !is("http://evil.example/", &["localhost"]));
        assert!(!is("/", &["localhost", "evil.example"]));
    }

    #[test]
    fn a_page_of_another_site_is_told_by_what_its_browser_says() {
        let is = |lines: &[(&'static str, &'static str)]| {
            let lines = lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            is_of_another_site(&lines.collect::<HeaderMap>())
        };
        for site in ["same-origin", "same-site", "none"] {
            assert!(!is(&[("sec-fetch-site", site)]), "{site}");
        }
        assert!(is(&[("sec-fetch-site", "cross-site")]) && is(&[("sec-fetch-site", "Cross-Site")]));
        for origin in ["http://localhost:3000", "https://LOCALHOST", "http://127.1.2.3", "http://[::1]:5173"]
        {
            assert!(!is(&[("origin", origin)]), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "http://10.0.0.1",
            "http://[fe80::1]",
            "file://",
            "chrome-extension://abc",
        ] {
            assert!(is(&[("origin", origin)]), "{origin}");
        }
        assert!(!is(&[]));
    }
}
