//! Asks DNS for TXT records.

use std::time::Duration;

use hickory_resolver::{TokioResolver, lookup::Lookup, proto::rr::RData};
use riqle_jobs_core::{Error, ErrorKind, async_trait};

/// Asks DNS. Tests answer from a table.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The TXT records of a name, each with its parts joined; none if the name or the records do not exist.
    ///
    /// # Errors
    /// `Unavailable` if the DNS lookup failed, or does not answer.
    async fn txt(&self, name: &str) -> Result<Vec<String>, Error>;
}

/// Asks the name servers that the machine is set up with.
pub struct SystemResolver {
    resolver: TokioResolver,
}

/// For all tries of a query.
const LONGEST_WAIT: Duration = Duration::from_secs(15);

impl SystemResolver {
    /// Reads the machine's settings.
    ///
    /// # Errors
    /// `Misconfigured` if they can't be read.
    pub fn new() -> Result<Self, Error> {
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        let resolver = resolver.map_err(|error| {
            Error::new(ErrorKind::Misconfigured, "DNS", "the machine's DNS settings can't be read")
                .caused_by(error)
        })?;
        Ok(Self { resolver })
    }
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn txt(&self, name: &str) -> Result<Vec<String>, Error> {
        let unavailable = |line: &str| Error::new(ErrorKind::Unavailable, "DNS", format!("{name}: {line}"));
        // With a dot at its end no search domain is put behind it.
        let lookup = self.resolver.txt_lookup(format!("{}.", name.trim_end_matches('.')));
        let answer = tokio::time::timeout(LONGEST_WAIT, lookup).await;
        match answer.map_err(|_| unavailable("no answer"))? {
            Ok(lookup) => Ok(texts(&lookup)),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(unavailable("no usable answer").caused_by(error)),
        }
    }
}

fn texts(lookup: &Lookup) -> Vec<String> {
    let records = lookup.answers().iter().filter_map(|record| match &record.data {
        RData::TXT(text) => Some(text.txt_data.concat()),
        _ => None,
    });
    records.map(|text| String::from_utf8_lossy(&text).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, UdpSocket};

    use hickory_resolver::{
        config::{ConnectionConfig, NameServerConfig, ResolverConfig},
        net::runtime::TokioRuntimeProvider,
    };

    use super::*;

    /// The bit of a message that makes it an answer, and the code for a name that does not exist (RFC 1035, section 4.1.1).
    const ANSWER: u8 = 0x80;
    const NO_SUCH_NAME: u8 = 3;
    const REFUSED: u8 = 5;

    /// A name server on a thread of its own: `two.` has a TXT record of two parts, `refused.` is refused, all else does not
    /// exist.
    fn name_server() -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let question = &buffer[12..length];
                let end = question.iter().position(|byte| *byte == 0).unwrap() + 5;
                let mut answer = buffer[..12 + end].to_vec();
                answer[2] |= ANSWER;
                answer[10..12].fill(0);
                match question[1..=3].to_ascii_lowercase().as_slice() {
                    b"two" => {
                        answer[7] = 1;
                        answer.extend(b"\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x0a\x03v=s\x05pf1 a");
                    }
                    b"ref" => answer[3] |= REFUSED,
                    _ => answer[3] |= NO_SUCH_NAME,
                }
                socket.send_to(&answer, client).unwrap();
            }
        });
        port
    }

    #[tokio::test]
    async fn a_name_server_is_asked() {
        let mut connection = ConnectionConfig::udp();
        connection.port = name_server();
        let mut server = NameServerConfig::udp(IpAddr::V4(Ipv4Addr::LOCALHOST));
        server.connections = vec![connection];
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = SystemResolver { resolver: builder.build().unwrap() };

        assert_eq!(resolver.txt("two").await.unwrap(), ["v=spf1 a"]);
        assert_eq!(resolver.txt("none.example").await.unwrap(), [""; 0]);
        assert_eq!(resolver.txt("refused").await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
