//! The store of limits and queues: what every engine must do, on memory, a single Redis and a
//! Redis Cluster; the engines compared over random operations; and what happens when Redis fails.
//!
//! The Redis tests start real `redis-server` processes; `scripts/test` installs it.

#[cfg(test)]
mod conformance;
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
