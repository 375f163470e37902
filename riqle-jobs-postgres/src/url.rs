//! The URL of a store. It may contain a password, so no error quotes it.

use riqle_jobs_core::{Error, ErrorKind, store::rules::check_authority};
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use url::Url;

use crate::error::translate;

/// The URL parameters that are ours.
const OF_STORE: [&str; 3] = ["schema", "listen", "keep_succeeded"];
/// Those that sqlx knows, by libpq's names and its own.
const OF_DRIVER: [&str; 19] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "options[NAME]",
    "statement-cache-capacity",
];

/// Our part of a URL.
#[derive(Default)]
pub(crate) struct OfUrl {
    pub(crate) schema: Option<String>,
    pub(crate) listens: Option<bool>,
    pub(crate) keeps_succeeded: Option<bool>,
}

pub(crate) fn parse(url: &str) -> Result<(PgConnectOptions, OfUrl), Error> {
    check_authority(url)?;
    let form = "not of the form postgres://user:password@host:port/database";
    let mut url: Url = url.parse().map_err(|_| misconfigured(format!("the URL is {form}")))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(misconfigured(format!("a URL with the scheme {:?} is {form}", url.scheme())));
    }
    // Else all of it would be the name of a database, its password too.
    if !url.has_authority() {
        return Err(misconfigured(format!("the URL is {form}")));
    }
    let mut ours = OfUrl::default();
    let mut of_driver = Vec::new();
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "schema" => ours.schema = Some(value.into_owned()),
            "listen" => {
                ours.listens = Some(match value.as_ref() {
                    "on" => true,
                    "off" => false,
                    other => return Err(misconfigured(format!("listen must be on or off, not {other:?}"))),
                });
            }
            "keep_succeeded" => {
                ours.keeps_succeeded = Some(match value.as_ref() {
                    "1" => true,
                    "0" => false,
                    other => {
                        return Err(misconfigured(format!("keep_succeeded must be 0 or 1, not {other:?}")));
                    }
                });
            }
            known
                if OF_DRIVER.contains(&known) || (known.starts_with("options[") && known.ends_with(']')) =>
            {
                of_driver.push((name.into_owned(), value.into_owned()));
            }
            // The driver would only warn, with the value, which can be a password under a misspelt name.
            unknown => {
                let known = [&OF_STORE[..], &OF_DRIVER[..]].concat().join(", ");
                let message = format!("unknown URL parameter {unknown:?}; known are {known}");
                return Err(misconfigured(message));
            }
        }
    }
    url.query_pairs_mut().clear().extend_pairs(of_driver);
    let options = PgConnectOptions::from_url(&url).map_err(|error| translate("connect", error))?;
    // The brackets are the URL's; the driver would look for a host of that name.
    let bare = url.host_str().and_then(|host| host.strip_prefix('[')?.strip_suffix(']'));
    let options = match bare {
        Some(ip) if options.get_host() == format!("[{ip}]") => options.host(ip),
        _ => options,
    };
    let options = match options.get_application_name() {
        None => options.application_name("riqle-jobs"),
        Some(_) => options,
    };
    Ok((options, ours))
}

pub(crate) fn misconfigured(message: String) -> Error {
    Error::new(ErrorKind::Misconfigured, "connect", message)
}
