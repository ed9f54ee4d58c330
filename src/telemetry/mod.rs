//! What happened: one [`Record`] per request becomes metrics, an access-log line and a span.
//!
//! Nothing here holds a secret or the text of a message, and no label grows with traffic: models,
//! targets and limits come from the config, keys and users are in the log only.

mod access_log;
mod cache_metrics;
mod embedding_metrics;
mod line;
pub mod logging;
mod metrics;
mod record;
mod request_metrics;
mod route_metrics;
mod runtime_metrics;
mod shared_cache_metrics;
mod store_metrics;
mod trace;
mod verify_metrics;

pub use access_log::AccessLog;
pub use cache_metrics::CacheMetrics;
pub use embedding_metrics::EmbeddingMetrics;
pub use metrics::Metrics;
pub use record::{Outcome, Record, Tried};
pub use route_metrics::{Attempts, RouteMetrics};
pub use shared_cache_metrics::SharedCacheMetrics;
pub use store_metrics::{StoreMetrics, WaitEnd};
pub use trace::{RequestTrace, Tracing};
pub use verify_metrics::VerifyMetrics;
