//! A future that a model runs bit by bit: whenever it was woken, until it waits for something.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

pub(super) struct Polled {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Polled {
    pub(super) fn new(future: impl Future<Output = ()> + 'static) -> Self {
        Self { future: Some(Box::pin(future)), woken: Arc::new(Woken(AtomicBool::new(true))) }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.future.is_none()
    }

    pub(super) fn is_woken(&self) -> bool {
        !self.has_ended() && self.woken.0.load(Ordering::Relaxed)
    }

    /// What it waits for has come.
    pub(super) fn wakes(&mut self) {
        self.woken.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn runs(&mut self) {
        self.woken.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut context = Context::from_waker(&waker);
        if let Some(future) = &mut self.future
            && let Poll::Ready(()) = future.as_mut().poll(&mut context)
        {
            self.future = None;
        }
    }
}
