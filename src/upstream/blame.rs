//! Whose fault a failure is, and what a target's health is told of it.

use std::time::{Duration, Instant};

use sluice_providers::{ErrorKind, UpstreamError};

use super::target::Serving;

/// A target that says 429 without saying for how long is left alone for this time.
const SHORT_REST: Duration = Duration::from_secs(1);
/// An account without money or with refused credentials does not heal by itself.
const LONG_REST: Duration = Duration::from_secs(30);
/// No provider is left alone for longer, whatever it says.
const LONGEST_REST: Duration = Duration::from_mins(10);

/// Whose fault a failed attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The client's, the gateway's, or a fault made on purpose.
    Nobody,
    /// The target's own.
    Target,
    /// Nobody's, but the target asked to be left alone for so long.
    Rest(Duration),
    /// The provider refused the credentials: none of its targets for so long.
    Credential(Duration),
}

impl Blame {
    /// For an error that the provider answered with.
    pub fn of(error: &UpstreamError) -> Self {
        let rest = error.retry_after.map(|time| time.min(LONGEST_REST));
        match error.kind {
            ErrorKind::Auth | ErrorKind::Permission => Self::Credential(LONG_REST),
            ErrorKind::Quota if error.retryable => Self::Rest(rest.unwrap_or(LONG_REST)),
            ErrorKind::RateLimit => Self::Rest(rest.unwrap_or(SHORT_REST)),
            ErrorKind::Overloaded | ErrorKind::Server | ErrorKind::Timeout | ErrorKind::Malformed => {
                rest.map_or(Self::Target, Self::Rest)
            }
            _ if error.retryable => Self::Target,
            _ => Self::Nobody,
        }
    }
}

impl Serving {
    /// Tells the target's health what went wrong.
    pub fn blame(self, now: Instant, blame: Blame, kind: &str) {
        match blame {
            Blame::Nobody => drop(self),
            Blame::Target => self.fault(now, kind),
            Blame::Rest(time) => self.rest(now, time),
            Blame::Credential(time) => self.rest_credential(now, time),
        }
    }
}
