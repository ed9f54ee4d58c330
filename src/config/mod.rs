//! The config: `raw` as it is written, `compile` to what the gateway runs on, `live` to swap it
//! under load, `watch` to reload it. Its doc comments are the reference (docs/config.md).

mod cache;
mod catalog;
mod compile;
mod credentials;
mod embedders;
mod ext_proc;
mod health;
mod live;
mod load;
mod model;
mod models;
mod raw;
mod raw_cache;
mod raw_credentials;
mod raw_embedders;
mod raw_health;
mod raw_models;
mod redis;
mod routing;
mod shared_cache;
mod targets;
mod values;
mod watch;

pub use cache::{CachePolicy, CacheRules, CacheScope};
pub use credentials::{AwsIdentity, AwsRole, Credentials, EntraIdentity, GoogleIdentity, Identified, KeyPlace};
pub use embedders::{Embedder, Opinion};
pub use live::{Live, Status};
pub use load::{ConfigErrors, from_str, load, schema};
pub use model::{
    Config, ExtProc, ExtProcMode, Identity, Limits, ModelRoute, Provider, Redis, RedisMode, ServerTls, TargetRoute,
    Telemetry, Timeouts,
};
pub use routing::{Balance, Check, Circuit, Fallback, Faults, HealthRules, HedgeAfter, Mirror, RetryRules, Routing};
pub use values::percent;
pub use watch::watch;
