//! Who may look and act. Closed by default.

mod access;
mod local;
mod secret;

pub use access::{Access, Authenticate, Role, User};
pub(crate) use access::{Operator, Viewer};
pub(crate) use local::is_from_this_machine;
pub(crate) use secret::Secret;
