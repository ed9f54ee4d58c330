//! Black-box tests: a real gateway over real sockets in front of the mock provider.

#[cfg(test)]
mod client_gone;
#[cfg(test)]
mod common;
mod credentials;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod queue;
#[cfg(test)]
mod quota;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod traces;
