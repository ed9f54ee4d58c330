//! Phase `settle`: what was really used, from the provider's usage or from what was relayed.

use std::sync::Arc;

use sluice_policies::Demand;
use sluice_providers::{Usage, catalog::Tokenizer};

use crate::config::TargetRoute;
use crate::tokens::Counter;

/// Generated text is tokenised in blocks of this size, so that a stream never holds more of it.
const BLOCK: usize = 16 * 1024;

/// Counts the tokens of an answer while it is relayed, for the case that usage never comes.
pub(super) struct Output {
    counter: Arc<Counter>,
    tokenizer: Option<Tokenizer>,
    pending: String,
    counted: u64,
}

impl Output {
    pub(super) fn new(counter: Arc<Counter>, tokenizer: Option<Tokenizer>) -> Self {
        Self { counter, tokenizer, pending: String::new(), counted: 0 }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.pending.push_str(text);
        if self.pending.len() >= BLOCK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let Some(tokenizer) = self.tokenizer.filter(|_| !self.pending.is_empty()) {
            self.counted += self.counter.text(tokenizer, &self.pending);
        }
        self.pending.clear();
    }

    /// What has been counted, and four bytes a token for the rest.
    pub(super) fn so_far(&self) -> u64 {
        self.counted + (self.pending.len() as u64).div_ceil(4)
    }

    pub(super) fn total(&mut self) -> u64 {
        self.flush();
        self.counted
    }
}

/// The price of `usage` at the target that served it, micro-dollars; 0 where no price is known.
pub(super) fn cost(target: Option<&TargetRoute>, usage: &Usage) -> u64 {
    target.and_then(|target| target.model.prices.as_ref()).map_or(0, |prices| prices.cost_micros(usage))
}

/// Usage as limits count it.
pub(super) fn demand(usage: &Usage, cost_micros: u64) -> Demand {
    Demand { input: usage.input, output: usage.output, cost_micros }
}
