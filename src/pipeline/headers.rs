//! The response headers that tell a client where it stands: `x-ratelimit-*` and `x-sluice-*`.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sluice_policies::{Mode, Unit};
use sluice_providers::Endpoint;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::state::Seen;

/// What an event stream says to those between it and its client: nothing is to be kept or held back.
pub fn stream_on(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx and its kin buffer event streams unless told not to.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

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

const ANTHROPIC_REQUESTS: Names = Names {
    limit: HeaderName::from_static("anthropic-ratelimit-requests-limit"),
    remaining: HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    reset: HeaderName::from_static("anthropic-ratelimit-requests-reset"),
};
const ANTHROPIC_TOKENS: Names = Names {
    limit: HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
    remaining: HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
    reset: HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
};
const ANTHROPIC_INPUT: Names = Names {
    limit: HeaderName::from_static("anthropic-ratelimit-input-tokens-limit"),
    remaining: HeaderName::from_static("anthropic-ratelimit-input-tokens-remaining"),
    reset: HeaderName::from_static("anthropic-ratelimit-input-tokens-reset"),
};
const ANTHROPIC_OUTPUT: Names = Names {
    limit: HeaderName::from_static("anthropic-ratelimit-output-tokens-limit"),
    remaining: HeaderName::from_static("anthropic-ratelimit-output-tokens-remaining"),
    reset: HeaderName::from_static("anthropic-ratelimit-output-tokens-reset"),
};

/// What Anthropic's clients call the id of a request.
const ANTHROPIC_ID: HeaderName = HeaderName::from_static("request-id");
/// An answer's headers, so many at most in most cases: a map that grows is filled twice.
const ROOM: usize = 24;

/// Says the id of a request under the name that clients of the API look for; `x-request-id` goes with every answer.
pub(super) fn name_request(headers: &mut HeaderMap, endpoint: Endpoint, id: &str) {
    if endpoint.is_anthropic()
        && let Ok(id) = HeaderValue::from_str(id)
    {
        headers.insert(ANTHROPIC_ID, id);
    }
}

/// The most constrained request limit and the most constrained token limits, in the words of the
/// API that the client speaks.
pub(super) fn rate_limits(seen: &[Seen], endpoint: Endpoint) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(ROOM);
    let requests = |unit| unit == Unit::Requests;
    let tokens = |unit| matches!(unit, Unit::TotalTokens | Unit::InputTokens | Unit::OutputTokens);
    if endpoint.is_anthropic() {
        tightest(seen, &ANTHROPIC_REQUESTS, requests, moment, &mut headers);
        tightest(seen, &ANTHROPIC_TOKENS, tokens, moment, &mut headers);
        tightest(seen, &ANTHROPIC_INPUT, |unit| unit == Unit::InputTokens, moment, &mut headers);
        tightest(seen, &ANTHROPIC_OUTPUT, |unit| unit == Unit::OutputTokens, moment, &mut headers);
    } else {
        tightest(seen, &REQUESTS, requests, go_duration, &mut headers);
        tightest(seen, &TOKENS, tokens, go_duration, &mut headers);
    }
    headers
}

fn tightest(
    seen: &[Seen],
    names: &Names,
    of: impl Fn(Unit) -> bool,
    when: impl Fn(Duration) -> String,
    headers: &mut HeaderMap,
) {
    let refuses = seen.iter().filter(|seen| seen.limit.mode == Mode::Enforce && of(seen.limit.unit));
    let Some(seen) = refuses.min_by_key(|seen| seen.view.remaining) else { return };
    headers.insert(names.limit.clone(), HeaderValue::from(seen.view.amount));
    headers.insert(names.remaining.clone(), HeaderValue::from(seen.view.remaining.max(0)));
    if let Ok(value) = HeaderValue::from_str(&when(seen.view.reset)) {
        headers.insert(names.reset.clone(), value);
    }
}

/// The moment so long from now as Anthropic writes it (RFC 3339, section 5.6), whole seconds.
fn moment(from_now: Duration) -> String {
    rfc3339(OffsetDateTime::now_utc() + from_now)
}

fn rfc3339(at: OffsetDateTime) -> String {
    let whole = at.replace_nanosecond(0).unwrap_or(at);
    whole.format(&Rfc3339).unwrap_or_default()
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
    fn moments_read_like_anthropics() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_123_000_000).unwrap();
        assert_eq!(rfc3339(at), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn durations_read_like_openais() {
        let shown = |millis| go_duration(Duration::from_millis(millis));
        assert_eq!(shown(12), "12ms");
        assert_eq!(shown(1500), "1.5s");
        assert_eq!(shown(360_000), "6m0s");
        assert_eq!(shown(3_600_000), "1h0m0s");
    }
}
