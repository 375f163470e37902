//! Rules that every store keeps, each written once.

mod fence;
mod operate;
mod remote_hints;

pub use fence::Fence;
pub use operate::{Operation, Standing, Todo};
pub use remote_hints::{HintChannel, HintListener, RemoteHints};
