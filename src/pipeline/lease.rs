//! A reservation, or the place in the queue before it, that ends exactly once.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use sluice_policies::Demand;
use tokio_util::task::TaskTracker;

use super::open::Gateway;
use crate::state::{LeaseId, Store};

/// Settled exactly once: by [`Lease::settle`], or on drop with nothing used, which also gives up a
/// place in the queue.
#[must_use = "a lease holds quota until it is settled"]
pub(super) struct Lease {
    id: LeaseId,
    store: Arc<dyn Store>,
    tasks: TaskTracker,
    settled: bool,
}

impl Lease {
    /// A lease that may come to hold something: it exists before the store is asked, so that a
    /// future dropped in the middle of the question gives back whatever was granted.
    pub(super) fn new(gateway: &Gateway, id: LeaseId) -> Self {
        Self { id, store: Arc::clone(&gateway.store), tasks: gateway.tasks.clone(), settled: false }
    }

    /// Ends the reservation with what was used. Does not wait: an engine that answers at once is
    /// done when this returns, a remote one is awaited by a task that shutdown waits for.
    pub(super) fn settle(mut self, used: Demand) {
        self.end(used);
    }

    /// Ends a lease for which the store has reserved nothing.
    pub(super) fn forget(mut self) {
        self.settled = true;
    }

    fn end(&mut self, used: Demand) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let (store, id) = (Arc::clone(&self.store), self.id);
        let mut work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            if let Err(error) = store.settle(id, used).await {
                tracing::error!(lease = %id, %error, "a lease could not be settled");
            }
        });
        let polled = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if polled == Poll::Pending {
            self.tasks.spawn(work);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(Demand { input: 0, output: 0, cost_micros: 0 });
    }
}
