//! What a failed attempt means: whether another target may do better, and whose fault it was.

use std::time::Duration;

use sluice_providers::{ErrorKind, UpstreamError};

use crate::error::{Error, Retry};
use crate::upstream::Blame;

/// A target that failed before anything was sent to the client.
pub(super) struct Failed {
    pub(super) error: Error,
    /// Another target may do better.
    pub(super) retryable: bool,
    pub(super) blame: Blame,
    /// What the provider said it was, if it said so.
    pub(super) kind: Option<ErrorKind>,
    /// The status it said it with.
    status: Option<u16>,
}

impl Failed {
    /// A fault of the target's own: it could not be reached, broke off, was late or unreadable.
    pub(super) fn target(error: Error) -> Self {
        // No other target can be in time for the client's own deadline.
        let own = error.code.as_deref() == Some("request_deadline");
        let internal = error.code.as_deref() == Some("internal_error");
        let blame = if own || internal { Blame::Nobody } else { Blame::Target };
        Self { error, retryable: !own, blame, kind: None, status: None }
    }

    /// An error that no target is to blame for.
    pub(super) fn nobody(error: Error, retryable: bool) -> Self {
        Self { error, retryable, blame: Blame::Nobody, kind: None, status: None }
    }

    /// An answer with this status that can be read and is an error.
    pub(super) fn status(upstream: UpstreamError, status: u16) -> Self {
        Self { status: Some(status), ..Self::refused(upstream) }
    }

    /// An error that the provider put into its stream.
    pub(super) fn refused(upstream: UpstreamError) -> Self {
        let (kind, retryable) = (upstream.kind, upstream.retryable);
        let blame = Blame::of(&upstream);
        Self { error: upstream.into(), retryable, blame, kind: Some(kind), status: None }
    }

    /// When the target said to come back.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self.error.retry {
            Retry::After(time) => Some(time),
            Retry::Unsaid | Retry::Never => None,
        }
    }

    /// The code for metrics, the log and `x-sluice-tried`. Codes of providers are their own
    /// business: those of a status are named by it.
    pub(super) fn code(&self) -> String {
        match self.status {
            Some(status) => format!("status_{status}"),
            None if self.kind.is_some() => "stream_error".to_owned(),
            None => self.error.code.as_deref().unwrap_or("error").to_owned(),
        }
    }
}
