//! The calls under way that others may join.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Call, Coming, Log, Reader};
use crate::cache::{Digest, Stamp};
use crate::pipeline::waiting::Waiting;

/// What two requests must have in common to get one answer: what they ask and whose it is, and how it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JoinKey {
    /// The key of the cache, with the partition in it.
    pub ask: Digest,
    /// What was purged before it asked: nobody gets an answer that was begun before a purge.
    pub stamp: Stamp,
    /// Whether the answer streams.
    pub stream: bool,
    /// Whether the stream has usage.
    pub usage: bool,
}

/// Calls by what they ask. Cheap to clone. A call is in it as long as somebody reads it.
#[derive(Clone, Default)]
pub struct Joins(Arc<Mutex<HashMap<JoinKey, Weak<Call>>>>);

/// What entering came to, for a request `A`.
pub(in crate::pipeline) enum Entered<A, R> {
    /// Nobody asks the same: the request's own call.
    First(Reader),
    /// Somebody else's call, and the request.
    Joined(A, Reader),
    /// There is no need for a call.
    Needless(R),
}

impl Joins {
    /// Joins the call with this key, or begins one. `begin` runs under the lock of the table and must not take long; it
    /// makes the call and what is kept of it, or finds that there is no need for one after all.
    pub(in crate::pipeline) fn enter<A, R>(
        &self,
        key: JoinKey,
        waiting: &Waiting,
        asking: A,
        begin: impl FnOnce(A) -> Result<(Coming, Log), R>,
    ) -> Entered<A, R> {
        let mut closed: Option<Arc<Call>> = None;
        loop {
            let mut calls = self.0.lock();
            let found = calls.get(&key).and_then(Weak::upgrade);
            let Some(found) = found.filter(|found| !closed.as_ref().is_some_and(|closed| Arc::ptr_eq(closed, found)))
            else {
                let (coming, log) = match begin(asking) {
                    Ok(begun) => begun,
                    Err(found) => {
                        drop(calls);
                        return Entered::Needless(found);
                    }
                };
                let call = Arc::new(Call::new(coming, log, waiting.clone(), (self.clone(), key)));
                calls.insert(key, Arc::downgrade(&call));
                drop(calls);
                return Entered::First(Reader::first(call));
            };
            // A call may be busy for a while: the table is not to wait for it.
            drop(calls);
            if let Some(reader) = Reader::join(&found) {
                return Entered::Joined(asking, reader);
            }
            closed = Some(found);
        }
    }

    /// Takes a call that nobody reads any more out, unless another has its place.
    pub(super) fn remove(&self, key: &JoinKey, call: *const Call) {
        let mut calls = self.0.lock();
        if calls.get(key).is_some_and(|found| std::ptr::eq(found.as_ptr(), call)) {
            calls.remove(key);
        }
    }

    /// Calls that are read now.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
