//! Clients in the background, each with its next request when the last one is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::task::JoinSet;

use crate::Failure;
use crate::client::{Client, Question};

/// Clients that all ask the same; they stop when this is dropped.
pub(crate) struct Crowd {
    served: Arc<Served>,
    /// Each runs until a request fails.
    tasks: JoinSet<Failure>,
}

#[derive(Default)]
struct Served {
    requests: AtomicU64,
    tokens: AtomicU64,
}

impl Crowd {
    /// Spreads `count` clients over `gateways`; each starts `apart` after the one before.
    pub(crate) fn gather(gateways: &[Client], count: u32, question: &Question, apart: Duration) -> Self {
        let (served, body) = (Arc::new(Served::default()), question.body());
        let mut tasks = JoinSet::new();
        for (number, gateway) in (0..count).zip(gateways.iter().cycle()) {
            let (served, body, gateway) = (Arc::clone(&served), body.clone(), gateway.clone());
            tasks.spawn(async move {
                tokio::time::sleep(apart * number).await;
                loop {
                    match gateway.reply(body.clone()).await {
                        Ok(reply) if reply.status == StatusCode::OK => {
                            served.requests.fetch_add(1, Ordering::Relaxed);
                            served.tokens.fetch_add(reply.tokens, Ordering::Relaxed);
                        }
                        Ok(reply) => return format!("status {}", reply.status).into(),
                        Err(error) => return error,
                    }
                }
            });
        }
        Self { served, tasks }
    }

    /// Requests answered so far.
    pub(crate) fn requests(&self) -> u64 {
        self.served.requests.load(Ordering::Relaxed)
    }

    /// Prompt and answer tokens so far.
    pub(crate) fn tokens(&self) -> u64 {
        self.served.tokens.load(Ordering::Relaxed)
    }

    /// Fails if any request has.
    pub(crate) fn check(&mut self) -> Result<(), Failure> {
        match self.tasks.try_join_next() {
            None => Ok(()),
            Some(ended) => Err(ended?),
        }
    }
}
