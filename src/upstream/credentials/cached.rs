//! A credential that ends: one task renews it before that, and everybody reads what it last got.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Renewed so long before its end, or a quarter of its life if that is less.
const MARGIN: Duration = Duration::from_mins(5);
/// One attempt to renew.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a failure, doubled with each up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_mins(1);
/// A credential this young is not renewed again because a provider refused it.
const YOUNG: Duration = Duration::from_secs(10);
/// A request waits so long for the first credential.
const WAIT: Duration = Duration::from_secs(35);

/// Where a credential comes from.
#[async_trait]
pub(super) trait Source<T>: Send + Sync {
    /// Gets a new one. The error is for operators and holds no secret.
    async fn fetch(&self) -> Result<Fresh<T>, String>;
}

/// A credential and how long it is good.
#[derive(Clone, Debug)]
pub(super) struct Fresh<T> {
    pub(super) value: T,
    /// `None` is for ever.
    pub(super) lasts: Option<Duration>,
}

/// A credential as requests see it.
pub(super) struct Held<T> {
    pub(super) value: T,
    ends: Option<Instant>,
    since: Instant,
}

struct State<T> {
    held: Option<Arc<Held<T>>>,
    failure: Option<(Arc<str>, Instant)>,
}

/// A credential that is kept fresh for as long as this lives.
pub(super) struct Cached<T> {
    state: Arc<watch::Sender<State<T>>>,
    renew: Arc<Notify>,
    _task: DropGuard,
}

impl<T: Send + Sync + 'static> Cached<T> {
    /// Begins to keep a credential. `what` names it in the log.
    pub(super) fn start(what: String, source: impl Source<T> + 'static, tasks: &TaskTracker) -> Self {
        let state = Arc::new(watch::Sender::new(State { held: None, failure: None }));
        let (renew, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        tasks.spawn(keep(what, source, Arc::clone(&state), Arc::clone(&renew), stop.clone()));
        Self { state, renew, _task: stop.drop_guard() }
    }

    /// The credential. Waits only while there is none; errors say why there is none.
    pub(super) async fn get(&self) -> Result<Arc<Held<T>>, Arc<str>> {
        let mut changes = self.state.subscribe();
        {
            let state = changes.borrow_and_update();
            if let Some(held) = &state.held
                && held.ends.is_none_or(|ends| ends > Instant::now())
            {
                return Ok(Arc::clone(held));
            }
            if let Some((why, at)) = &state.failure
                && at.elapsed() < FIRST_PAUSE
            {
                return Err(Arc::clone(why));
            }
            if state.failure.is_some() {
                self.renew.notify_one();
            }
        }
        if !matches!(timeout(WAIT, changes.changed()).await, Ok(Ok(()))) {
            return Err(Arc::from(format!("none came within {} s", WAIT.as_secs())));
        }
        let state = changes.borrow();
        match (&state.held, &state.failure) {
            (Some(held), None) => Ok(Arc::clone(held)),
            (_, Some((why, _))) => Err(Arc::clone(why)),
            (None, None) => Err(Arc::from("there is none")),
        }
    }

    /// A provider refused the credential: a new one is fetched, unless this one is new.
    pub(super) fn refused(&self) {
        let old = self.state.borrow().held.as_ref().is_some_and(|held| held.since.elapsed() >= YOUNG);
        if old {
            self.renew.notify_one();
        }
    }
}

async fn keep<T: Send + Sync>(
    what: String,
    source: impl Source<T>,
    state: Arc<watch::Sender<State<T>>>,
    renew: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let fetched = tokio::select! {
            fetched = timeout(PATIENCE, source.fetch()) => fetched,
            () = stop.cancelled() => return,
        };
        let fetched = fetched.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())));
        let next = match fetched {
            Ok(Fresh { value, lasts }) => {
                pause = FIRST_PAUSE;
                let now = Instant::now();
                let held = Held { value, ends: lasts.map(|lasts| now + lasts), since: now };
                state.send_modify(|state| *state = State { held: Some(Arc::new(held)), failure: None });
                lasts.map(|lasts| lasts.saturating_sub(MARGIN.min(lasts / 4)).max(FIRST_PAUSE))
            }
            Err(why) => {
                tracing::warn!(credential = %what, error = %why, "cannot renew");
                // What is held stays good until it ends.
                state.send_modify(|state| state.failure = Some((Arc::from(why), Instant::now())));
                let now = pause;
                pause = (pause * 2).min(LAST_PAUSE);
                Some(now)
            }
        };
        tokio::select! {
            () = sleep(next.unwrap_or(Duration::MAX)) => {}
            () = renew.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Counts fetches; each takes a second, and those of `fails` fail.
    struct Counting {
        count: Arc<AtomicU32>,
        lasts: Duration,
        fails: fn(u32) -> bool,
    }

    #[async_trait]
    impl Source<u32> for Counting {
        async fn fetch(&self) -> Result<Fresh<u32>, String> {
            sleep(Duration::from_secs(1)).await;
            let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
            if (self.fails)(number) {
                return Err(format!("attempt {number} failed"));
            }
            Ok(Fresh { value: number, lasts: Some(self.lasts) })
        }
    }

    fn start(lasts: u64, fails: fn(u32) -> bool) -> (Cached<u32>, Arc<AtomicU32>) {
        let count = Arc::new(AtomicU32::new(0));
        let source = Counting { count: Arc::clone(&count), lasts: Duration::from_secs(lasts), fails };
        (Cached::start("test".to_owned(), source, &TaskTracker::new()), count)
    }

    #[tokio::test(start_paused = true)]
    async fn one_fetch_serves_all_who_wait_and_it_is_renewed_before_its_end() {
        let (cached, count) = start(3600, |_| false);
        let waiting = futures_util::future::join_all((0..50).map(|_| cached.get()));
        assert!(waiting.await.into_iter().all(|held| held.unwrap().value == 1));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        sleep(Duration::from_secs(3290)).await;
        assert_eq!(cached.get().await.unwrap().value, 1);
        sleep(Duration::from_secs(20)).await;
        assert_eq!(cached.get().await.unwrap().value, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn while_renewal_fails_the_old_one_is_used_to_its_end() {
        let (cached, _) = start(100, |number| (2..20).contains(&number));
        assert_eq!(cached.get().await.unwrap().value, 1);
        sleep(Duration::from_secs(95)).await;
        assert_eq!(cached.get().await.unwrap().value, 1);
        sleep(Duration::from_secs(10)).await;
        let error = cached.get().await.err().unwrap();
        assert!(error.contains("failed"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_at_once_and_tried_again() {
        let (cached, count) = start(100, |number| number == 1);
        assert_eq!(&*cached.get().await.err().unwrap(), "attempt 1 failed");
        assert_eq!(&*cached.get().await.err().unwrap(), "attempt 1 failed");
        assert_eq!(count.load(Ordering::Relaxed), 1);
        sleep(Duration::from_millis(2100)).await;
        assert_eq!(cached.get().await.unwrap().value, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_credential_is_renewed_unless_it_is_new() {
        let (cached, count) = start(3600, |_| false);
        cached.get().await.unwrap();
        cached.refused();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(count.load(Ordering::Relaxed), 1);
        sleep(Duration::from_secs(10)).await;
        cached.refused();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(cached.get().await.unwrap().value, 2);
    }
}
