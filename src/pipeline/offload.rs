//! Moves long CPU work (a megabyte to parse and tokenise) off the I/O threads, a few at a time.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::error::Error;

/// Runs closures on the blocking pool, at most one per core at once. Cheap to clone.
#[derive(Clone)]
pub struct Offload {
    room: Arc<Semaphore>,
}

impl Offload {
    /// Room for `at_once` closures.
    pub fn new(at_once: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(at_once.max(1))) }
    }

    /// Runs `work` off the I/O threads. A dropped future leaves work that has begun running to
    /// its end; its result is discarded.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let permit = Arc::clone(&self.room).acquire_owned().await;
        let job = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        job.await.map_err(|_| Error::internal("a worker of the gateway failed on this request"))
    }
}
