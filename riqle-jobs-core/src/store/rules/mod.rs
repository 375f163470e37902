//! Rules that every store keeps, as pure functions.

mod operate;

pub use operate::{Operation, Standing, Todo};
