//! Who is to be woken when a shared call goes on.

use std::sync::Arc;
use std::task::{Wake, Waker};

use parking_lot::Mutex;

/// A waker that wakes every reader that waits. It has a lock of its own, so that it may be called while the call is
/// being polled.
#[derive(Default)]
pub(super) struct Wakers(Mutex<Vec<Option<Slot>>>);

struct Slot {
    waker: Waker,
    waits: bool,
}

impl Wakers {
    /// A reader waits from now on.
    pub(super) fn wait(&self, reader: usize, waker: &Waker) {
        let mut slots = self.0.lock();
        if slots.len() <= reader {
            slots.resize_with(reader + 1, || None);
        }
        let Some(slot) = slots.get_mut(reader) else { return };
        match slot {
            Some(slot) if slot.waker.will_wake(waker) => slot.waits = true,
            slot => {
                let old = slot.replace(Slot { waker: waker.clone(), waits: true });
                // What a waker's end sets off must not meet the lock.
                drop(slots);
                drop(old);
            }
        }
    }

    /// Wakes all that wait but this one, whose turn it is.
    pub(super) fn wake_others(&self, reader: usize) {
        self.wake_but(Some(reader));
    }

    /// A reader has left.
    pub(super) fn forget(&self, reader: usize) {
        let mut slots = self.0.lock();
        let old = slots.get_mut(reader).and_then(Option::take);
        drop(slots);
        drop(old);
    }

    fn wake_but(&self, reader: Option<usize>) {
        for (index, slot) in self.0.lock().iter_mut().enumerate() {
            if let Some(slot) = slot.as_mut().filter(|slot| slot.waits && Some(index) != reader) {
                slot.waits = false;
                slot.waker.wake_by_ref();
            }
        }
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_but(None);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_but(None);
    }
}

/// Wakes everybody if it is dropped before it is told that all is well: a call that panics must not leave its
/// readers asleep.
pub(super) struct Alarm<'a>(Option<&'a Wakers>);

impl<'a> Alarm<'a> {
    pub(super) fn set(wakers: &'a Wakers) -> Self {
        Self(Some(wakers))
    }

    pub(super) fn off(mut self) {
        self.0 = None;
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if let Some(wakers) = self.0 {
            wakers.wake_but(None);
        }
    }
}
