//! Static keys that take turns; one that a provider refuses rests.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use sluice_providers::retry_after;
use tokio::time::Instant;

/// A key that is refused as wrong rests so long: somebody has to change something.
const WRONG: Duration = Duration::from_mins(5);
/// A key that has spent its limit rests as long as the provider says, else this.
const SPENT: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_mins(5);

/// Keys of one provider.
pub(super) struct Keyring {
    keys: Vec<Key>,
    next: AtomicUsize,
    began: Instant,
}

struct Key {
    value: HeaderValue,
    /// Milliseconds after `began`.
    rests_until: AtomicU64,
}

impl Keyring {
    /// `value` makes a header's value of a key. Keys that cannot be one are left out: the config
    /// has refused them.
    pub(super) fn new(keys: &[SecretString], value: impl Fn(&str) -> String) -> Self {
        let keys = keys.iter().filter_map(|key| {
            let mut value = HeaderValue::try_from(value(key.expose_secret())).ok()?;
            value.set_sensitive(true);
            Some(Key { value, rests_until: AtomicU64::new(0) })
        });
        Self { keys: keys.collect(), next: AtomicUsize::new(0), began: Instant::now() }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }

    /// The next key that does not rest, else the one that rests the shortest.
    pub(super) fn pick(&self) -> Option<(usize, &HeaderValue)> {
        let (count, now) = (self.keys.len().max(1), self.now());
        let first = self.next.fetch_add(1, Ordering::Relaxed) % count;
        let turn = (0..self.keys.len()).map(|step| (first + step) % count);
        let wait = |index: usize| {
            let until = self.keys.get(index).map_or(0, |key| key.rests_until.load(Ordering::Relaxed));
            until.saturating_sub(now)
        };
        let index = turn.min_by_key(|index| wait(*index))?;
        Some((index, &self.keys.get(index)?.value))
    }

    /// Takes note of what a provider said to a key: how long it rests, if it does.
    pub(super) fn judge(&self, index: usize, status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
        let rest = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => WRONG,
            StatusCode::TOO_MANY_REQUESTS => retry_after(headers).unwrap_or(SPENT).min(LONGEST),
            _ => return None,
        };
        let key = self.keys.get(index)?;
        key.rests_until.store(self.now() + millis(rest), Ordering::Relaxed);
        Some(rest)
    }

    /// Whether some key does not rest.
    pub(super) fn rested(&self) -> bool {
        let now = self.now();
        self.keys.iter().any(|key| key.rests_until.load(Ordering::Relaxed) <= now)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    fn ring(count: usize) -> Keyring {
        let keys: Vec<SecretString> = (0..count).map(|index| SecretString::from(format!("k{index}"))).collect();
        Keyring::new(&keys, |key| format!("Bearer {key}"))
    }

    fn picks(ring: &Keyring, count: usize) -> Vec<usize> {
        (0..count).map(|_| ring.pick().unwrap().0).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn keys_take_turns_and_rest_when_refused() {
        let ring = ring(3);
        assert_eq!(picks(&ring, 4), [0, 1, 2, 0]);
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2.5"));
        assert_eq!(ring.judge(1, StatusCode::TOO_MANY_REQUESTS, &headers), Some(Duration::from_millis(2500)));
        assert_eq!(ring.judge(0, StatusCode::UNAUTHORIZED, &headers), Some(WRONG));
        assert_eq!(ring.judge(2, StatusCode::BAD_REQUEST, &headers), None);
        assert_eq!(picks(&ring, 5), [2; 5]);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(picks(&ring, 6).contains(&1) && !picks(&ring, 6).contains(&0));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_rest_the_first_to_wake_is_tried() {
        let ring = ring(2);
        assert!(ring.rested());
        ring.judge(0, StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new());
        ring.judge(1, StatusCode::FORBIDDEN, &HeaderMap::new());
        assert!(!ring.rested());
        assert_eq!(picks(&ring, 3), [0; 3]);
        assert!(format!("{:?}", ring.pick().unwrap().1).contains("Sensitive"));
    }
}
