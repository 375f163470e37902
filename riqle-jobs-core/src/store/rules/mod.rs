//! Rules that every store keeps, each written once.

mod admission;
mod authority;
mod fence;
mod group_commit;
mod migration;
mod operate;
mod pages;
mod remote_hints;

pub use admission::{Admission, Admitted, HeldKey};
pub use authority::check_authority;
pub use fence::Fence;
pub use group_commit::{GroupCommit, Stored};
pub use migration::{Migration, Migrations, Schema};
pub use operate::{CANCELLED, Operation, Standing, Todo};
pub use pages::Pages;
pub use remote_hints::{HintChannel, HintListener, RemoteHints};
