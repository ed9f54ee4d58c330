//! The deadlines of one attempt, and which of them was missed.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Timeouts;
use crate::error::Error;

/// How long the head of an answer that does not stream is waited for without a total deadline.
const LONGEST_HEAD: Duration = Duration::from_mins(10);

/// What it means that the client's own deadline has passed.
pub(super) fn past_its_own() -> Error {
    let message = "the deadline that the request set itself has passed (x-sluice-deadline-ms)";
    Error::deadline("request_deadline", message)
}

/// When an attempt must have come how far.
#[derive(Clone, Debug)]
pub(super) struct Deadlines {
    begun: Instant,
    timeouts: Timeouts,
    /// The client's own.
    own: Option<Instant>,
}

impl Deadlines {
    /// Those of an attempt that begins now.
    pub(super) fn begin(timeouts: &Timeouts, own: Option<Instant>) -> Self {
        Self { begun: Instant::now(), timeouts: timeouts.clone(), own }
    }

    /// When the head must be there.
    pub(super) fn head(&self, streams: bool) -> Instant {
        let longest = if streams { self.timeouts.first_token } else { LONGEST_HEAD };
        self.sooner(self.begun + longest)
    }

    /// When a stream must have spoken.
    pub(super) fn first_token(&self) -> Instant {
        self.sooner(self.begun + self.timeouts.first_token)
    }

    /// When more must come after the last bytes.
    pub(super) fn idle(&self, last: Instant) -> Instant {
        self.sooner(last + self.timeouts.idle)
    }

    /// `due`, or the end of everything if that is sooner.
    pub(super) fn sooner(&self, due: Instant) -> Instant {
        let total = self.timeouts.total.map(|total| self.begun + total);
        [total, self.own].into_iter().flatten().fold(due, Instant::min)
    }

    /// The deadline that ends everything and has passed, if one has.
    fn over(&self, now: Instant) -> Option<Error> {
        if self.own.is_some_and(|own| own <= now) {
            return Some(past_its_own());
        }
        let total = self.timeouts.total.filter(|total| self.begun + *total <= now)?;
        let message = format!("the answer took longer than {} s (timeouts.total)", total.as_secs_f32());
        Some(Error::deadline("total_timeout", message))
    }

    /// What it means that the head has not come.
    pub(super) fn no_head(&self, streams: bool) -> Error {
        self.over(Instant::now()).unwrap_or_else(|| {
            if streams {
                return self.mute();
            }
            let after = LONGEST_HEAD.as_secs();
            Error::deadline("total_timeout", format!("the provider did not answer within {after} s"))
        })
    }

    /// What it means that a stream has not spoken.
    pub(super) fn silent(&self) -> Error {
        self.over(Instant::now()).unwrap_or_else(|| self.mute())
    }

    fn mute(&self) -> Error {
        let after = self.timeouts.first_token.as_secs_f32();
        let message = format!("the provider sent no token within {after} s (timeouts.first_token)");
        Error::deadline("first_token_timeout", message)
    }

    /// What it means that nothing more came.
    pub(super) fn stalled(&self) -> Error {
        self.over(Instant::now()).unwrap_or_else(|| {
            let after = self.timeouts.idle.as_secs_f32();
            Error::deadline("idle_timeout", format!("the provider fell silent for {after} s (timeouts.idle)"))
        })
    }
}
