//! A waker that is not heard while the one it wakes is looking anyway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

/// Wakes the task that uses a connection. hyper's connection and the body it fills wake each other
/// at every piece; both are polled by one task here, which would wake itself.
#[derive(Default)]
pub(super) struct Quiet {
    task: AtomicWaker,
    muted: AtomicBool,
    missed: AtomicBool,
}

impl Quiet {
    /// Wakes this task from now on.
    pub(super) fn wakes(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Wakes nobody from now on.
    pub(super) fn rests(&self) {
        drop(self.task.take());
    }

    /// Looks, and hears no wake-up meanwhile. The second of the answer says whether there was one:
    /// whoever is about to wait must then look again, for it may have come from the network.
    pub(super) fn muted<T>(&self, look: impl FnOnce() -> T) -> (T, bool) {
        self.muted.store(true, Ordering::SeqCst);
        let seen = look();
        self.muted.store(false, Ordering::SeqCst);
        (seen, self.missed.swap(false, Ordering::SeqCst))
    }
}

impl Wake for Quiet {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.muted.load(Ordering::SeqCst) {
            self.missed.store(true, Ordering::SeqCst);
            // Unmuted in between: nobody may look for what was missed.
            if self.muted.load(Ordering::SeqCst) {
                return;
            }
        }
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_wake_up_while_muted_is_told_and_not_passed_on() {
        let (quiet, count) = (Arc::new(Quiet::default()), Arc::new(Count::default()));
        let (waker, task) = (Waker::from(Arc::clone(&quiet)), Waker::from(Arc::clone(&count)));
        quiet.wakes(&task);
        assert_eq!(quiet.muted(|| waker.wake_by_ref()), ((), true));
        assert_eq!(quiet.muted(|| 1), (1, false));
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        quiet.rests();
        waker.wake_by_ref();
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "nobody is there");
    }
}
