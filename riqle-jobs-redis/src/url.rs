//! The URL of a store. It may contain a password, so no error quotes it.

use std::{fmt, fs};

use redis::{Client, ClientTlsConfig, TlsCertificates, cluster::ClusterClientBuilder};
use riqle_jobs_core::{Error, ErrorKind, store::rules::check_authority};
use url::Url;

use crate::{
    keys::Keys,
    server::{NODE_ANSWERED_WITHIN, NODE_CONNECTED_WITHIN, Place},
};

/// A text that may contain a password.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What a URL says.
pub(crate) struct OfUrl {
    pub(crate) place: Place,
    pub(crate) addresses: String,
    pub(crate) keys: Keys,
    pub(crate) replicas: u32,
    pub(crate) allows_eviction: bool,
}

const FORM: &str =
    "redis://user:password@host:port/database, rediss://… (TLS) or redis-cluster://host:port,host:port";
const PARAMETERS: &str = "prefix, wait, allow_eviction, ca";

pub(crate) fn parse(url: &str) -> Result<OfUrl, Error> {
    let malformed = || wrong(format!("the URL is not of the form {FORM}"));
    let (scheme, rest) = url.split_once("://").ok_or_else(malformed)?;
    check_authority(url)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parameters = Parameters::read(query)?;
    let scheme = scheme.to_ascii_lowercase();
    let place = match scheme.as_str() {
        "redis" | "rediss" => {
            let client = client(&scheme, rest, parameters.root.as_deref())?;
            Place::Server(Box::new(client))
        }
        "redis-cluster" | "rediss-cluster" => cluster(&scheme, rest, &parameters)?,
        // Behind a colon or before an at sign may be a password.
        other if other.contains([':', '@']) => return Err(malformed()),
        other => return Err(wrong(format!("a URL with the scheme {other:?} is not of the form {FORM}"))),
    };
    let addresses: Vec<_> =
        place.nodes().iter().map(|node| node.get_connection_info().addr().to_string()).collect();
    Ok(OfUrl {
        place,
        addresses: addresses.join(", "),
        keys: parameters.keys,
        replicas: parameters.replicas,
        allows_eviction: parameters.allows_eviction,
    })
}

struct Parameters {
    keys: Keys,
    replicas: u32,
    allows_eviction: bool,
    root: Option<Vec<u8>>,
}

impl Parameters {
    fn read(query: &str) -> Result<Self, Error> {
        let mut read = Self { keys: Keys::new("riqle")?, replicas: 0, allows_eviction: false, root: None };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "prefix" => read.keys = Keys::new(&value)?,
                "wait" => {
                    let number = value.parse();
                    read.replicas = number
                        .map_err(|_| wrong(format!("wait must be a number of replicas, not {value:?}")))?;
                }
                "allow_eviction" => {
                    read.allows_eviction = match value.as_ref() {
                        "true" => true,
                        "false" => false,
                        other => {
                            return Err(wrong(format!(
                                "allow_eviction must be true or false, not {other:?}"
                            )));
                        }
                    };
                }
                "ca" => {
                    let root = fs::read(value.as_ref());
                    read.root = Some(root.map_err(|cause| {
                        wrong(format!("the root certificate {value:?} can't be read")).caused_by(cause)
                    })?);
                }
                other => {
                    return Err(wrong(format!("unknown URL parameter {other:?}; known are {PARAMETERS}")));
                }
            }
        }
        Ok(read)
    }
}

fn client(scheme: &str, rest: &str, root: Option<&[u8]>) -> Result<Client, Error> {
    let not_of_the_form = || wrong(format!("the URL is not of the form {FORM}"));
    let url: Url = format!("{scheme}://{rest}").parse().map_err(|_| not_of_the_form())?;
    if scheme == "rediss" {
        know_a_provider();
    }
    let client = match root {
        Some(root) => {
            let root_cert = Some(root.to_vec());
            Client::build_with_tls(url, TlsCertificates { client_tls: None::<ClientTlsConfig>, root_cert })
        }
        None => Client::open(url),
    };
    // Its cause would quote the URL.
    client.map_err(|_| not_of_the_form())
}

fn cluster(scheme: &str, rest: &str, parameters: &Parameters) -> Result<Place, Error> {
    let scheme = scheme.trim_end_matches("-cluster");
    let (user, hosts) = match rest.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), rest),
    };
    let hosts = hosts.trim_end_matches('/');
    if hosts.contains('/') {
        return Err(wrong("a cluster has only one database: name none in the URL".to_owned()));
    }
    let root = parameters.root.as_deref();
    let nodes = hosts.split(',').map(|host| client(scheme, &format!("{user}{host}"), root));
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    let infos = nodes.iter().map(|node| node.get_connection_info().clone());
    // What is sent again is decided here, by what the operation is.
    let mut builder = ClusterClientBuilder::new(infos)
        .retries(0)
        .connection_timeout(NODE_CONNECTED_WITHIN)
        .response_timeout(NODE_ANSWERED_WITHIN);
    if let Some(root) = root {
        builder = builder.certs(TlsCertificates { client_tls: None, root_cert: Some(root.to_vec()) });
    }
    let client = builder.build().map_err(|_| wrong(format!("the URL is not of the form {FORM}")))?;
    Ok(Place::Cluster(Box::new(client), nodes))
}

/// TLS is rustls with ring, unless the application has chosen another provider.
fn know_a_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Misconfigured, "connect", message)
}
