//! A state that a model reaches anew from its beginning each time, since futures can't be copied.

use std::hash::{Hash, Hasher};

/// What is seen of a state, and how it was reached, which does not tell states apart.
#[derive(Clone, Debug)]
pub(super) struct Repeated<S, E> {
    pub(super) seen: S,
    pub(super) way: Vec<E>,
}

impl<S: PartialEq, E> PartialEq for Repeated<S, E> {
    fn eq(&self, other: &Self) -> bool {
        self.seen == other.seen
    }
}

impl<S: Eq, E> Eq for Repeated<S, E> {}

impl<S: Hash, E> Hash for Repeated<S, E> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.seen.hash(hasher);
    }
}
