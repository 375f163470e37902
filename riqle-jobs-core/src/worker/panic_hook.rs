//! Where a panic happened, and what it said.

use std::{
    any::Any,
    cell::RefCell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::Once,
};

thread_local! {
    static LAST_PANIC_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static INSTALLED: Once = Once::new();

/// Chains a hook, once, that notes where a panic happened, then does what was done before.
pub(super) fn install() {
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string);
            // A panic while the thread's locals are torn down has nowhere to note it.
            let _ = LAST_PANIC_PLACE.try_with(|last| *last.borrow_mut() = place);
            before(info);
        }));
    });
}

/// Message and place of a panic that was just caught on this thread. The payload is the application's, so it may panic
/// when it is dropped, and so may that panic's: such a one is leaked.
pub(crate) fn describe(payload: Box<dyn Any + Send>) -> String {
    let text = text_of(&*payload);
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    text
}

/// Drops what is the application's; returns the panic that it ends in.
pub(super) fn drop_caught<T>(value: T) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| drop(value))).map_err(describe)
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    match LAST_PANIC_PLACE.take() {
        Some(place) => format!("panicked at {place}: {message}"),
        None => format!("panicked: {message}"),
    }
}
