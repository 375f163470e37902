//! The mailer that a URL names.

use std::sync::Arc;

use riqle_jobs_core::{Error, ErrorKind, Mailer};

use crate::{FileMailer, dkim_query::DkimQuery};

const FORMS: &str =
    "write file:DIR, smtp://user:password@host:port, smtps://user:password@host:port or resend:";

/// Opens the mailer that a URL names, without connecting to anything.
///
/// | URL | mailer |
/// |---|---|
/// | `file:DIR` | [`FileMailer`]: one `.eml` file per message in the folder |
/// | `smtp://user:password@host:port` | SMTP, STARTTLS required (default port 587) |
/// | `smtps://user:password@host:port` | SMTP with implicit TLS (default port 465) |
///
/// SMTP takes `?connections=N` (at most N at once; default 4), `?ca=FILE` (one more trusted root, PEM) and
/// `?tls=none` (`smtp:` only: no encryption, for servers on the same machine; default port 25). User and
/// password are percent-encoded; without them no AUTH is done.
///
/// SMTP and `file:` take `?dkim=SELECTOR._domainkey.DOMAIN&dkim_key=FILE`, with the feature `dkim`: messages are signed with
/// the key of that file, RSA as PKCS#1 or Ed25519 as PKCS#8, both PEM.
///
/// `resend:` is refused: its API key is never in a URL. The facade's `mailer` reads it from the environment.
///
/// ```
/// # use riqle_jobs_email::mailer_from_url;
/// assert_eq!(mailer_from_url("file:target/mail")?.provider(), "file");
/// # Ok::<(), riqle_jobs_core::Error>(())
/// ```
///
/// # Errors
/// `Misconfigured`: an unknown scheme, a scheme whose feature is not compiled in, not a URL. The line says what
/// to write instead, and contains nothing of the URL that could be secret.
pub fn mailer_from_url(url: &str) -> Result<Arc<dyn Mailer>, Error> {
    let (scheme, rest) =
        url.split_once(':').ok_or_else(|| misconfigured(&format!("the mail URL has no scheme; {FORMS}")))?;
    match scheme.to_ascii_lowercase().as_str() {
        "file" => {
            // file:///dir and file:/dir name the same folder.
            let folder = rest.strip_prefix("//").unwrap_or(rest);
            let (folder, dkim) = DkimQuery::split(folder)?;
            if folder.is_empty() {
                return Err(misconfigured("the mail URL file: names no folder; write file:DIR"));
            }
            Ok(Arc::new(FileMailer::signing(folder, dkim)))
        }
        "smtp" | "smtps" => smtp(url),
        "resend" => Err(misconfigured(
            "resend: has no API key, and this call does not look for one; use riqle_jobs::mailer, which reads \
             RESEND_API_KEY, or ResendMailer::new, or write file:DIR",
        )),
        _ => Err(misconfigured(&format!("the mail URL has an unknown scheme; {FORMS}"))),
    }
}

#[cfg(feature = "smtp")]
fn smtp(url: &str) -> Result<Arc<dyn Mailer>, Error> {
    Ok(Arc::new(crate::SmtpMailer::from_url(url)?))
}

#[cfg(not(feature = "smtp"))]
fn smtp(_: &str) -> Result<Arc<dyn Mailer>, Error> {
    Err(misconfigured("SMTP is not compiled in; build with the feature `smtp`, or write file:DIR"))
}

fn misconfigured(message: &str) -> Error {
    Error::new(ErrorKind::Misconfigured, "mailer", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_names_no_mailer_is_one_line_with_the_way_out_and_no_secret() {
        let urls = ["", "mail", "file:", "resend:", "s3cret:s3cret@host", "postgres://user:s3cret@host"];
        for url in urls {
            let error = mailer_from_url(url).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}");
            let line = format!("{error} {error:?}");
            assert!(line.contains("file:DIR") && !line.contains("s3cret") && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_folder_may_be_named_in_each_form_of_a_file_url() {
        for url in ["file:mail", "file:/tmp/mail", "file:///tmp/mail", "FILE:mail"] {
            assert_eq!(mailer_from_url(url).unwrap().provider(), "file", "{url}");
        }
    }

    #[cfg(feature = "smtp")]
    #[test]
    fn a_server_may_be_named_in_each_form_of_an_smtp_url() {
        for url in
            ["smtp://u:p@host", "smtp://127.0.0.1:2525?tls=none", "smtps://u:p@host:465", "SMTP://host"]
        {
            assert_eq!(mailer_from_url(url).unwrap().provider(), "smtp", "{url}");
        }
    }

    #[cfg(not(feature = "smtp"))]
    #[test]
    fn smtp_without_its_feature_says_so() {
        let error = mailer_from_url("smtp://user:s3cret@host").err().unwrap();
        assert!(error.message().contains("feature `smtp`") && !error.to_string().contains("s3cret"));
    }
}
