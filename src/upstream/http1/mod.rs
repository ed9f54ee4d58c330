//! HTTP/1.1 to providers over connections that have no task of their own.
//!
//! A connection is driven by whoever waits for its answer or reads it: bytes that arrive wake the
//! client's own task, which parses, translates and writes them on in one go. With a task for each
//! connection, as hyper-util's client has it, every piece of an answer crosses two of them. What
//! speaks HTTP is hyper's connection all the same; this is only who polls it, and where it rests.

mod body;
mod client;
mod connect;
mod link;
mod quiet;

pub(super) use body::Body;
pub(super) use client::{Client, Fault};
pub(super) use connect::trusted;
