//! The store of limits and queues: what every engine must do, on memory, a single Redis and a
//! Redis Cluster; the engines compared over random operations; what happens when Redis fails, and
//! when its clock jumps; and the store of answers.
//!
//! The Redis tests start real `redis-server` processes, and with `STORE_ON=valkey` real Valkey ones;
//! `scripts/test` installs both, and runs them on both.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod caches;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod deployments;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod random;
#[cfg(test)]
mod restore;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod world;
