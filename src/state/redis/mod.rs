//! The engine that replicas share: Redis or Valkey, one Lua script per operation.
//!
//! `lua/` decides; `wire` is what crosses; `link` is the connection with its breaker; `connect`
//! knows single nodes, clusters and sentinels; `engine` speaks the store's operations; `upkeep` is
//! the work behind the requests. What happens while the store is gone is not here but in
//! `state/shared`.

mod connect;
mod engine;
mod known;
mod link;
mod push;
mod scripts;
mod upkeep;
mod wire;

pub(super) use engine::Engine;
pub(super) use upkeep::Outage;
