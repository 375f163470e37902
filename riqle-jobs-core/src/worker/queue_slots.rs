//! How many attempts of a queue run at once, where fewer may than the worker has slots.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

/// The queues that have slots of their own. Of such a queue no more runs are held than it has slots, so none of them waits in
/// this worker while another one could run it.
pub(super) struct QueueSlots {
    queues: BTreeMap<String, Arc<Slots>>,
    /// Told when a slot of a queue is free again.
    room: Arc<Notify>,
}

struct Slots {
    most: usize,
    held: AtomicUsize,
}

/// A slot that a held run has; free again once this is dropped.
pub(super) struct QueueSlot {
    slots: Arc<Slots>,
    room: Arc<Notify>,
}

impl QueueSlots {
    pub(super) fn new(most: &BTreeMap<String, usize>, room: Arc<Notify>) -> Self {
        let slots = |most: &usize| Arc::new(Slots { most: *most, held: AtomicUsize::new(0) });
        Self { queues: most.iter().map(|(queue, most)| (queue.clone(), slots(most))).collect(), room }
    }

    /// How many runs of a queue may be claimed; any number if it has no slots of its own.
    pub(super) fn free(&self, queue: &str) -> usize {
        let slots = self.queues.get(queue);
        slots.map_or(usize::MAX, |slots| slots.most.saturating_sub(slots.held.load(Ordering::SeqCst)))
    }

    /// A slot for a claimed run; `None` if its queue has none of its own.
    pub(super) fn take(&self, queue: &str) -> Option<QueueSlot> {
        let slots = self.queues.get(queue)?;
        slots.held.fetch_add(1, Ordering::SeqCst);
        Some(QueueSlot { slots: Arc::clone(slots), room: Arc::clone(&self.room) })
    }
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        self.slots.held.fetch_sub(1, Ordering::SeqCst);
        self.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_dropped_is_free_and_tells_that_there_is_room() {
        let room = Arc::new(Notify::new());
        let slots = QueueSlots::new(&[("images".to_owned(), 2)].into(), Arc::clone(&room));
        let held = [slots.take("images"), slots.take("images")];
        assert_eq!((slots.free("images"), slots.free("default")), (0, usize::MAX));
        assert!(slots.take("default").is_none());
        drop(held);
        assert_eq!(slots.free("images"), 2);
        assert!(futures_util::FutureExt::now_or_never(room.notified()).is_some());
    }
}
