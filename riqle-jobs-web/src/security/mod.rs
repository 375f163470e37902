//! Who may look and act. Closed by default.

mod access;
mod cookie;
mod link;
mod local;
mod secret;
mod way;

pub use access::{Access, Authenticate, Role, User};
pub(crate) use access::{Operator, Viewer};
pub(crate) use cookie::{cookies, is_https};
pub use link::Link;
pub(crate) use link::random;
pub(crate) use local::{is_from_this_machine, is_local_origin, is_of_another_site};
pub(crate) use secret::Secret;
pub(crate) use way::{Way, quoted};
