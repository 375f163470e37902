//! Rules that every store keeps, each written once.

mod fence;
mod operate;
mod pages;
mod remote_hints;

pub use fence::Fence;
pub use operate::{CANCELLED, Operation, Standing, Todo};
pub use pages::Pages;
pub use remote_hints::{HintChannel, HintListener, RemoteHints};
