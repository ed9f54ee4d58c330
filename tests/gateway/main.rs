//! Black-box tests: a real gateway over real sockets in front of the mock provider. They run twice: through the HTTP
//! door, and with `SLUICE_DOOR=envoy` through a real Envoy. Tests in a module `front` are about the HTTP door itself and
//! are left out of the second run; those in `behind_envoy`, `steer` and `protocol` are about the `ext_proc` door in any case.

#[cfg(test)]
mod bare;
#[cfg(test)]
mod behind_envoy;
#[cfg(test)]
mod binary;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod cache_rules;
#[cfg(test)]
mod cache_verify;
#[cfg(test)]
mod client_gone;
#[cfg(test)]
mod coalesce;
#[cfg(test)]
mod common;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod embeddings;
#[cfg(test)]
mod envoy;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod large;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod quota;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod shared_cache;
#[cfg(test)]
mod speech;
#[cfg(test)]
mod steer;
#[cfg(test)]
mod tokens_doc;
#[cfg(test)]
mod told;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod translated;
