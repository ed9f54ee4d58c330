//! Why a request does not pass, and when it would: the same answer from every engine.

use std::sync::Arc;
use std::time::Duration;

use sluice_policies::{Kind, Mode};

use super::{Ask, Cause, Charge, Refusal, Seen};

/// Nobody knows when a slot frees.
const SLOT_HINT: Duration = Duration::from_secs(1);

/// How a request's charges and its pool stand.
pub(super) struct Standing {
    /// The levels of all charges.
    pub(super) seen: Vec<Seen>,
    /// How long the pool's provider wants to be left alone.
    pub(super) held: Duration,
    /// Whether the pool has a slot.
    pub(super) slot: bool,
}

/// A refusal, and how long it takes at least until the request fits: what frees by others' doing
/// counts as nothing. `None` is never.
pub(super) struct Verdict {
    pub(super) refusal: Refusal,
    pub(super) least: Option<Duration>,
}

/// Judges an ask; `check` says whether a charge fits, or when.
pub(super) fn judge(
    ask: &Arc<Ask>,
    standing: Standing,
    mut check: impl FnMut(&Charge) -> Result<(), Option<Duration>>,
) -> Verdict {
    let Standing { seen, held, slot } = standing;
    let (mut cause, mut worst, mut least) = (Cause::Busy, Some(Duration::ZERO), Some(held));
    let mut named = false;
    if let Some(Err(after)) = ask.pool_rate.as_ref().map(&mut check) {
        worst = after;
        least = longest(least, after);
    }
    for charge in ask.charges.iter().filter(|charge| charge.limit.mode == Mode::Enforce) {
        let Err(after) = check(charge) else { continue };
        if charge.limit.kind != Kind::Concurrent {
            least = longest(least, after);
        }
        if !named || longest(after, worst) != worst {
            cause = Cause::Limit { limit: Arc::clone(&charge.limit), asked: charge.amount };
            named = true;
        }
        worst = longest(worst, after);
    }
    if held > worst.unwrap_or(Duration::MAX) {
        cause = Cause::Held;
    }
    let slot = if slot { Duration::ZERO } else { SLOT_HINT };
    let retry_after = worst.map(|worst| worst.max(held).max(slot));
    Verdict { refusal: Refusal { cause, retry_after, seen }, least }
}

/// The longer wait; `None` is forever.
fn longest(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    Some(a?.max(b?))
}
