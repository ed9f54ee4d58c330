//! The connection with its deadline and its breaker: a store that is gone costs nothing but a
//! look at a flag.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use std::sync::Arc;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::connect::Connection;
use super::scripts::Op;
use crate::telemetry::StoreMetrics;

/// Calls under way at once. A burst waits here, where it costs nothing: in the server's queue it
/// would miss its deadline and be taken for a fault. What makes room does not wait behind what
/// needs it, and has the larger part, so that it never falls behind at a server that is full.
const ASKING: usize = 16;
const TELLING: usize = 24;
/// So many calls in a row that miss their deadline open the breaker, if nothing was heard for as
/// many deadlines and for this long: a server that is only busy is better than none, and TCP takes
/// 200 ms (RFC 6298, as Linux has it) to send again what was lost on the way.
const STRIKES: u32 = 3;
const SILENCE: Duration = Duration::from_millis(250);

/// Calls go through if a connection is there; who calls does not wait for one.
pub(super) struct Link {
    current: ArcSwapOption<Connection>,
    strikes: AtomicU32,
    /// When it last answered in time, milliseconds since `begun`.
    heard: AtomicU64,
    begun: Instant,
    /// Wakes the keeper when the connection is lost.
    pub(super) lost: Notify,
    /// Why it was lost last, and when: one log line per change.
    down: Mutex<Option<(String, Instant)>>,
    asking: Semaphore,
    telling: Semaphore,
    deadline: Duration,
    /// The hash-tagged first part of every key.
    pub(super) prefix: String,
    metrics: StoreMetrics,
}

impl Link {
    pub(super) fn new(deadline: Duration, prefix: String, metrics: StoreMetrics) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            strikes: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            begun: Instant::now(),
            lost: Notify::new(),
            down: Mutex::new(Some(("not connected yet".to_owned(), Instant::now()))),
            asking: Semaphore::new(ASKING),
            telling: Semaphore::new(TELLING),
            deadline,
            prefix,
            metrics,
        }
    }

    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) fn is_up(&self) -> bool {
        self.current.load().is_some()
    }

    /// Runs a script under the deadline, which begins when it is sent; `args` are made then. The error
    /// says why it could not be, or that the outcome is not known; whether it ran is for the caller to
    /// make sure of.
    pub(super) async fn call(&self, op: &Op, args: impl FnOnce() -> Vec<String>) -> Result<Value, String> {
        let line = if op.asks { &self.asking } else { &self.telling };
        if !self.is_up() {
            return Err(self.reason());
        }
        let _turn = line.acquire().await.map_err(|error| error.to_string())?;
        // It may have been lost meanwhile.
        let Some(connection) = self.current.load_full() else { return Err(self.reason()) };
        let begun = Instant::now();
        let answered = timeout(self.deadline, self.run(Connection::clone(&connection), op, &args())).await;
        let (result, outcome) = match answered {
            Ok(Ok(value)) => {
                self.hear();
                ("ok", Ok(value))
            }
            Ok(Err(error)) => {
                let error = explain(&error);
                self.lose(&connection, &error);
                ("error", Err(error))
            }
            Err(_) => {
                let error = format!("no answer within {} ms", self.deadline.as_millis());
                let strikes = self.strikes.fetch_add(1, Ordering::Relaxed) + 1;
                let silent =
                    self.begun.elapsed().saturating_sub(Duration::from_millis(self.heard.load(Ordering::Relaxed)));
                if strikes >= STRIKES && silent >= SILENCE.max(self.deadline * STRIKES) {
                    self.lose(&connection, &error);
                }
                ("timeout", Err(error))
            }
        };
        self.metrics.store_call(op.name, result, begun.elapsed());
        outcome
    }

    /// Runs a script on a connection that need not be in use yet, without a deadline.
    pub(super) async fn run(&self, mut connection: Connection, op: &Op, args: &[String]) -> Result<Value, RedisError> {
        let command = |name: &str, code: &str| {
            let mut cmd = redis::cmd(name);
            cmd.arg(code).arg(1).arg(&self.prefix);
            for arg in args {
                cmd.arg(arg);
            }
            cmd
        };
        let cmd: Cmd = command("EVALSHA", op.sha());
        match cmd.query_async(&mut connection).await {
            // Flushed, restarted or failed over: EVAL also loads it.
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                command("EVAL", op.code).query_async(&mut connection).await
            }
            result => result,
        }
    }

    /// A plain command under the deadline, for looking; its failure is not held against the store.
    pub(super) async fn ask<T: redis::FromRedisValue>(&self, cmd: &Cmd) -> Option<T> {
        let connection = self.current.load_full()?;
        let mut connection = Connection::clone(&connection);
        timeout(self.deadline, cmd.query_async(&mut connection)).await.ok()?.ok()
    }

    /// The connection in use.
    pub(super) fn connection(&self) -> Option<Connection> {
        self.current.load().as_deref().cloned()
    }

    /// Puts a connection to use.
    pub(super) fn up(&self, connection: Connection) {
        self.hear();
        self.current.store(Some(Arc::new(connection)));
        self.metrics.store_up(true);
        if let Some((_, since)) = self.down.lock().take() {
            tracing::info!(after_ms = since.elapsed().as_millis(), "the shared store answers");
        }
    }

    fn hear(&self) {
        self.strikes.store(0, Ordering::Relaxed);
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(since, Ordering::Relaxed);
    }

    /// Notes why a new connection was not put to use; a line if it is news.
    pub(super) fn still_down(&self, why: &str) {
        self.note(why);
    }

    /// Why the store is not used.
    pub(super) fn reason(&self) -> String {
        self.down.lock().as_ref().map_or_else(|| "connecting".to_owned(), |(why, _)| why.clone())
    }

    fn lose(&self, connection: &Arc<Connection>, why: &str) {
        let before = self.current.compare_and_swap(connection, None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, connection)) {
            self.metrics.store_up(false);
            self.note(why);
            self.lost.notify_one();
        }
    }

    fn note(&self, why: &str) {
        let mut down = self.down.lock();
        let since = match &*down {
            Some((before, _)) if before == why => return,
            Some((_, since)) => *since,
            None => Instant::now(),
        };
        *down = Some((why.to_owned(), since));
        tracing::warn!(why, "the shared store cannot be used: limits act as their on_store_down says");
    }
}

/// What is wrong, and for the usual mistakes what to do about it.
pub(super) fn explain(error: &RedisError) -> String {
    let hint = match error.kind() {
        ErrorKind::AuthenticationFailed => ": check redis.username and redis.password",
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            ": the user needs +eval +evalsha and what docs/redis.md lists beside them"
        }
        ErrorKind::Server(ServerErrorKind::ReadOnly) => ": this is a replica; name the master, or use mode sentinel",
        ErrorKind::Server(ServerErrorKind::BusyLoading) => ": it is still loading its data",
        _ => "",
    };
    format!("{error}{hint}")
}
