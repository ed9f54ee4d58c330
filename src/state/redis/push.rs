//! Wake-ups: the store says which waiters of this replica have been let in.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use rand::RngExt;
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use crate::state::LeaseId;

const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

impl Engine {
    /// Listens until `stop`. Whoever may have missed its wake-up is woken after each connect.
    pub(super) async fn listen(&self, stop: &CancellationToken) {
        let mut retry = FIRST_RETRY;
        loop {
            let heard = tokio::select! {
                heard = self.follow() => heard,
                () = stop.cancelled() => return,
            };
            self.listening.store(false, Ordering::Relaxed);
            match heard {
                Ok(()) => retry = FIRST_RETRY,
                Err(error) => tracing::debug!(%error, "not listening for wake-ups; waiters are polled"),
            }
            let jitter = rand::rng().random_range(0.5..1.5);
            tokio::select! {
                () = tokio::time::sleep(retry.mul_f64(jitter)) => {}
                () = stop.cancelled() => return,
            }
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    async fn follow(&self) -> Result<(), redis::RedisError> {
        let mut messages = self.connector.subscribe().await?;
        messages.subscribe(format!("{}wake:{}", self.link.prefix, self.replica)).await?;
        self.listening.store(true, Ordering::Relaxed);
        self.wake_all();
        let mut stream = messages.into_on_message();
        while let Some(message) = stream.next().await {
            let text = String::from_utf8_lossy(message.get_payload_bytes()).into_owned();
            text.split(' ').filter_map(LeaseId::parse).for_each(|lease| self.wake(lease));
        }
        Ok(())
    }
}
