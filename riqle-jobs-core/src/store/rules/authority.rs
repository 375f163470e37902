//! Where a URL says who connects to which server.

use crate::{Error, ErrorKind};

/// Checks that no `@` stands behind the authority of a URL (RFC 3986, section 3.2). It most likely ends a password with a `/`,
/// `?` or `#` in it, of which one half would be taken for a server and the other be shown in errors.
///
/// # Errors
/// `Misconfigured`, without the URL.
pub fn check_authority(url: &str) -> Result<(), Error> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let behind = rest.find(['/', '?', '#']).map_or("", |end| &rest[end..]);
    if behind.contains('@') {
        let message = "the URL has an @ behind a /, ? or #: in a password, write these as %2F, %3F and %23; elsewhere, write an \
                       @ as %40";
        return Err(Error::new(ErrorKind::Misconfigured, "connect", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_at_behind_the_server_is_half_of_a_password() {
        for url in
            ["postgres://user:p%2Fw@host:5432/db?schema=x", "redis://host", "redis-cluster://u:p@w@h1,h2/"]
        {
            assert!(check_authority(url).is_ok(), "{url}");
        }
        for url in [
            "postgres://user:?s3cret@host/db",
            "postgres://user:12/s3cret@host/db",
            "redis://user:12#s3cret@host",
            "redis://user:pass@host/0?prefix=s3cret@x",
        ] {
            let error = check_authority(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured);
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
        }
    }
}
