//! The engine that replicas share: Redis or Valkey, one Lua script per operation.
//!
//! `lua/` decides; `wire` is what crosses; `link` is the connection with its breaker; `connect`
//! knows single nodes, clusters and sentinels; `engine` speaks the store's operations; `upkeep` is
//! the work behind the requests. `answers` is the cache's, apart from all of that, with the `prompts`
//! beside them. What happens while the store is gone is not here but in
//! `state/shared`.

mod answers;
mod connect;
mod engine;
mod known;
mod link;
mod prompts;
mod push;
mod scripts;
mod upkeep;
mod wire;

pub use answers::{AnswerIndex, Answers, Fault, PurgeMark};
pub(super) use engine::Engine;
pub use prompts::{PromptPage, SharedPrompt, Streamed};
pub(super) use upkeep::Outage;
