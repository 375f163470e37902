//! How a request was let in, and what curl needs to be let in the same way.

use axum::http::{header, request::Parts};

use super::{Access, access::Scheme, link::has_entered};

/// How a request was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By a name and a password.
    Basic {
        /// The name.
        name: String,
    },
    /// By a token.
    Bearer,
    /// By the cookie of a link.
    Link,
    /// By the application, which may have looked at this header.
    Own(&'static str),
    /// No credentials were needed.
    Open,
}

impl Access {
    /// How a request that it admits is let in.
    pub(crate) fn way(&self, request: &Parts) -> Way {
        if self.link.as_ref().is_some_and(|link| has_entered(link, &request.headers)) {
            return Way::Link;
        }
        match self.fitting(request) {
            Some(fitting) if fitting.scheme == Scheme::Basic => {
                Way::Basic { name: fitting.user.name.clone() }
            }
            Some(_) => Way::Bearer,
            None if self.own.is_none() => Way::Open,
            None if request.headers.contains_key(header::AUTHORIZATION) => Way::Own("Authorization"),
            None if request.headers.contains_key(header::COOKIE) => Way::Own("Cookie"),
            None => Way::Open,
        }
    }
}

const BEARER: &str = r#"-H "Authorization: Bearer $RIQLE_TOKEN""#;

impl Way {
    /// What curl adds to be let in the same way, with a variable for each secret; and what the variable must
    /// hold.
    pub(crate) fn curl(&self) -> Option<(String, String)> {
        let (option, hint) = match self {
            Self::Basic { name } => (format!("-u {}", quoted(name)), "curl asks for the password".to_owned()),
            Self::Bearer => (BEARER.to_owned(), "RIQLE_TOKEN is your token".to_owned()),
            Self::Link => {
                let hint = "RIQLE_TOKEN is the token of the link that the application printed";
                (BEARER.to_owned(), hint.to_owned())
            }
            Self::Own(name) => {
                let variable = format!("RIQLE_{}", name.to_uppercase());
                (format!(r#"-H "{name}: ${variable}""#), format!("{variable} is this header of your session"))
            }
            Self::Open => return None,
        };
        Some((option, hint))
    }
}

/// One word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
