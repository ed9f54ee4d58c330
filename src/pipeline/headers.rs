//! The response headers that tell a client where it stands: `x-ratelimit-*` and `x-sluice-*`.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use sluice_policies::{Mode, Unit};

use crate::state::Seen;

/// One row of `x-ratelimit-{limit,remaining,reset}-<what>`.
struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

const REQUESTS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-requests"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-requests"),
    reset: HeaderName::from_static("x-ratelimit-reset-requests"),
};
const TOKENS: Names = Names {
    limit: HeaderName::from_static("x-ratelimit-limit-tokens"),
    remaining: HeaderName::from_static("x-ratelimit-remaining-tokens"),
    reset: HeaderName::from_static("x-ratelimit-reset-tokens"),
};

/// The most constrained request limit and the most constrained token limit.
pub(super) fn rate_limits(seen: &[Seen]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    tightest(seen, &REQUESTS, |unit| unit == Unit::Requests, &mut headers);
    let tokens = |unit| matches!(unit, Unit::TotalTokens | Unit::InputTokens | Unit::OutputTokens);
    tightest(seen, &TOKENS, tokens, &mut headers);
    headers
}

fn tightest(seen: &[Seen], names: &Names, of: impl Fn(Unit) -> bool, headers: &mut HeaderMap) {
    let refuses = seen.iter().filter(|seen| seen.limit.mode == Mode::Enforce && of(seen.limit.unit));
    let Some(seen) = refuses.min_by_key(|seen| seen.view.remaining) else { return };
    headers.insert(names.limit.clone(), HeaderValue::from(seen.view.amount));
    headers.insert(names.remaining.clone(), HeaderValue::from(seen.view.remaining.max(0)));
    if let Ok(value) = HeaderValue::from_str(&go_duration(seen.view.reset)) {
        headers.insert(names.reset.clone(), value);
    }
}

/// Durations as OpenAI writes them: `6m0s`, `1.5s`, `12ms`.
fn go_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
    let (seconds, rest) = (millis / 1000 % 60, millis % 1000);
    let mut text = String::new();
    if hours > 0 {
        put(&mut text, format_args!("{hours}h"));
    }
    if hours > 0 || minutes > 0 {
        put(&mut text, format_args!("{minutes}m"));
    }
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:03}").trim_end_matches('0').to_owned() };
    put(&mut text, format_args!("{seconds}{fraction}s"));
    text
}

fn put(text: &mut String, args: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    text.write_fmt(args).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_openais() {
        let shown = |millis| go_duration(Duration::from_millis(millis));
        assert_eq!(shown(12), "12ms");
        assert_eq!(shown(1500), "1.5s");
        assert_eq!(shown(360_000), "6m0s");
        assert_eq!(shown(3_600_000), "1h0m0s");
    }
}
