//! Answers that replicas share: values under their keys, and what was purged, over a connection and
//! a breaker of their own. A fault here never touches the limits, nor one there the answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, Script, ServerErrorKind};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::connect::{Connection, Connector};
use super::link::explain;
use super::wire::{Digest, hex, millis};
use crate::config::{Redis, RedisMode};
use crate::telemetry::SharedCacheMetrics;

/// Part of every key: what keys hold of another version is not read.
const VERSION: u32 = 1;
/// Work behind the requests may take longer than a look-up.
const BEHIND: Duration = Duration::from_secs(1);
const CONNECT: Duration = Duration::from_secs(5);
/// As in `link`: so many missed deadlines in a row, and nothing heard for so long, open the breaker.
const STRIKES: u32 = 3;
const SILENCE: Duration = Duration::from_millis(250);
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);
/// Purges that are remembered; more begin a new epoch, in which nothing older is found.
const MOST_PURGES: usize = 4096;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store is not connected.
    Down,
    /// It did not answer in time.
    Late,
    /// It answered with an error, or the connection broke.
    Failed,
}

/// How prompts in other words are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerIndex {
    /// Vector sets of Redis 8.
    VectorSets,
    /// An index of `FT.SEARCH`.
    Search,
    /// A stream of all prompts, which each replica indexes for itself.
    Stream,
}

impl AnswerIndex {
    /// For logs and `/cache`.
    pub fn name(self) -> &'static str {
        match self {
            Self::VectorSets => "vector_sets",
            Self::Search => "search",
            Self::Stream => "stream",
        }
    }
}

/// How far purges are known: of which epoch, and the number of the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PurgeMark {
    /// Another one begins when the store has lost its memory. 0 is none.
    pub epoch: u64,
    /// The last purge.
    pub seq: u64,
}

pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) index: AnswerIndex,
}

/// The store of answers. Not connected before [`connect`](Self::connect).
pub struct Answers {
    connector: Connector,
    pub(super) cluster: bool,
    /// First part of every key.
    pub(super) prefix: String,
    deadline: Duration,
    /// What makes the vectors of prompts, and how long they are: vectors of another are no use.
    pub(super) embedding: (String, usize),
    current: ArcSwapOption<Session>,
    strikes: AtomicU32,
    /// When it last answered in time, milliseconds since `begun`.
    heard: AtomicU64,
    begun: Instant,
    lost: Notify,
    /// Why it is not used: one log line per change.
    down: Mutex<Option<String>>,
    /// When a call that was refused was logged last.
    complained: Mutex<Option<Instant>>,
    metrics: SharedCacheMetrics,
}

impl Answers {
    /// For the vectors of an embedding of this name and so many dimensions. The error is for who wrote the config.
    pub fn new(config: &Redis, embedding: (&str, usize), metrics: SharedCacheMetrics) -> Result<Self, String> {
        Ok(Self {
            connector: Connector::new(config)?,
            cluster: config.mode == RedisMode::Cluster,
            prefix: format!("{}:cache:{VERSION}:", config.prefix),
            deadline: config.timeout,
            embedding: (format!("{}-{}", embedding.0, embedding.1), embedding.1),
            current: ArcSwapOption::empty(),
            strikes: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            begun: Instant::now(),
            lost: Notify::new(),
            down: Mutex::new(None),
            complained: Mutex::new(None),
            metrics,
        })
    }

    /// How long a look-up may take in all.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// How prompts are found, while the store answers.
    pub fn index(&self) -> Option<AnswerIndex> {
        self.current.load().as_ref().map(|session| session.index)
    }

    /// Why the store is not used, if it is not.
    pub fn reason(&self) -> Option<String> {
        let reason = || self.down.lock().clone().unwrap_or_else(|| "connecting".to_owned());
        self.current.load().is_none().then(reason)
    }

    /// Connects anew and finds out what the server can do. The error says what is wrong.
    pub async fn connect(&self) -> Result<AnswerIndex, String> {
        let connected =
            timeout(CONNECT, self.connector.connect()).await.map_err(|_| "it does not accept".to_owned())?;
        let connection = connected.map_err(|error| explain(&error))?;
        self.probe(&connection).await?;
        let index = timeout(CONNECT, self.detect(&connection)).await.map_err(|_| "no answer".to_owned())?;
        self.hear();
        self.current.store(Some(Arc::new(Session { connection, index })));
        Ok(index)
    }

    /// All that a look-up needs works, within its deadline.
    async fn probe(&self, connection: &Connection) -> Result<(), String> {
        let key = format!("{}probe", self.prefix);
        for _ in 0..3 {
            let mut pipe = redis::pipe();
            pipe.cmd("SET").arg(&key).arg("1").arg("PX").arg(1000).ignore();
            pipe.cmd("GET").arg(&key).ignore().cmd("PTTL").arg(&key).ignore();
            let mut connection = connection.clone();
            match timeout(self.deadline, pipe.query_async::<()>(&mut connection)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(explain(&error)),
                Err(_) => return Err(format!("it does not answer within {} ms", self.deadline.as_millis())),
            }
        }
        Ok(())
    }

    /// Notes why the store is not used; a line if it is news.
    pub fn note_down(&self, why: &str) {
        self.metrics.up(false);
        let mut down = self.down.lock();
        if down.as_deref() != Some(why) {
            *down = Some(why.to_owned());
            tracing::warn!(why, "the shared cache cannot be used: this replica has only its own answers");
        }
    }

    /// Notes that it is used now.
    pub fn note_up(&self) {
        self.metrics.up(true);
        let lost = self.down.lock().take();
        if let Some(index) = self.index() {
            tracing::info!(index = index.name(), again = lost.is_some(), "answers are shared through redis");
        }
    }

    /// Waits until the connection is lost.
    pub async fn lost(&self) {
        while self.current.load().is_some() {
            self.lost.notified().await;
        }
    }

    /// Gives the connection up: what the store knows is not what it knew.
    pub fn give_up(&self, why: &str) {
        if self.current.swap(None).is_some() {
            self.note_down(why);
            self.lost.notify_one();
        }
    }

    pub(super) fn session(&self) -> Result<Arc<Session>, Fault> {
        self.current.load_full().ok_or(Fault::Down)
    }

    /// Runs a call under a deadline; what goes wrong is counted, and may open the breaker.
    pub(super) async fn timed<T>(
        &self,
        op: &'static str,
        until: Instant,
        session: &Arc<Session>,
        call: impl Future<Output = RedisResult<T>> + Send,
    ) -> Result<T, Fault> {
        let begun = Instant::now();
        let (result, outcome) = match timeout_at(until, call).await {
            Ok(Ok(value)) => {
                self.hear();
                ("ok", Ok(value))
            }
            Ok(Err(error)) => {
                self.failed(op, session, &error);
                ("error", Err(Fault::Failed))
            }
            Err(_) => {
                let strikes = self.strikes.fetch_add(1, Ordering::Relaxed) + 1;
                let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
                let silent = self.begun.elapsed().saturating_sub(heard);
                if strikes >= STRIKES && silent >= SILENCE.max(self.deadline * STRIKES) {
                    self.lose(session, "it has stopped answering in time");
                }
                ("timeout", Err(Fault::Late))
            }
        };
        self.metrics.called(op, result, begun.elapsed());
        outcome
    }

    fn failed(&self, op: &'static str, session: &Arc<Session>, error: &RedisError) {
        let moved = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        // The index of `FT.SEARCH` goes with a flush.
        let server = matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension);
        if !server || moved || op == "nearest" {
            self.lose(session, &explain(error));
        } else {
            self.complain(op, &explain(error));
        }
    }

    /// A server that is full or does not allow a command says so to every call: one line a minute.
    fn complain(&self, op: &'static str, why: &str) {
        let mut last = self.complained.lock();
        if last.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            *last = Some(Instant::now());
            tracing::warn!(op, why, "the shared cache refuses calls");
        }
    }

    fn hear(&self) {
        self.strikes.store(0, Ordering::Relaxed);
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(since, Ordering::Relaxed);
    }

    fn lose(&self, session: &Arc<Session>, why: &str) {
        let before = self.current.compare_and_swap(session, None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, session)) {
            self.note_down(why);
            self.lost.notify_one();
        }
    }

    /// The value of a key, and how long it has left.
    pub async fn get(&self, key: &Digest, until: Instant) -> Result<Option<(Vec<u8>, Duration)>, Fault> {
        let session = self.session()?;
        let mut connection = session.connection.clone();
        let key = self.entry_key(key);
        let mut pipe = redis::pipe();
        pipe.cmd("GET").arg(&key).cmd("PTTL").arg(&key);
        let call = async move { pipe.query_async::<(Option<Vec<u8>>, i64)>(&mut connection).await };
        let (value, left) = self.timed("get", until, &session, call).await?;
        // One without an end is none of ours.
        let left = u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_millis);
        Ok(value.zip(left))
    }

    /// Keeps a value for so long.
    pub async fn set(&self, key: &Digest, value: &[u8], ttl: Duration) -> Result<(), Fault> {
        let session = self.session()?;
        let mut connection = session.connection.clone();
        let mut cmd = redis::cmd("SET");
        cmd.arg(self.entry_key(key)).arg(value).arg("PX").arg(lifetime(ttl));
        let call = async move { cmd.query_async::<()>(&mut connection).await };
        self.timed("set", Instant::now() + BEHIND, &session, call).await
    }

    /// Forgets a value.
    pub async fn unlink(&self, key: &Digest) -> Result<(), Fault> {
        let session = self.session()?;
        let mut connection = session.connection.clone();
        let mut cmd = redis::cmd("UNLINK");
        cmd.arg(self.entry_key(key));
        let call = async move { cmd.query_async::<()>(&mut connection).await };
        self.timed("unlink", Instant::now() + BEHIND, &session, call).await
    }

    /// Agrees with the other replicas on an epoch, given how far this one knew; and notes a purge, if there is one.
    pub async fn purge(&self, known: PurgeMark, purge: Option<&str>) -> Result<PurgeMark, Fault> {
        static SCRIPT: std::sync::LazyLock<Script> =
            std::sync::LazyLock::new(|| Script::new(include_str!("lua/cache_purge.lua")));
        let (fresh, _) = Uuid::new_v4().as_u64_pair();
        let epoch = if known.epoch == 0 { String::new() } else { known.epoch.to_string() };
        let args = [
            fresh.max(1).to_string(),
            epoch,
            known.seq.to_string(),
            MOST_PURGES.to_string(),
            purge.unwrap_or("").to_owned(),
        ];
        let keys = [self.purges_key()];
        let reply: (String, u64) =
            self.script("purge", &SCRIPT, include_str!("lua/cache_purge.lua"), &keys, &args).await?;
        Ok(PurgeMark { epoch: reply.0.parse().unwrap_or(0), seq: reply.1 })
    }

    /// How far purges have come; nothing if the store does not know.
    pub async fn mark(&self) -> Result<Option<PurgeMark>, Fault> {
        let session = self.session()?;
        let mut connection = session.connection.clone();
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(self.purges_key()).arg("epoch").arg("seq");
        let call = async move { cmd.query_async::<(Option<u64>, Option<u64>)>(&mut connection).await };
        let (epoch, seq) = self.timed("mark", Instant::now() + BEHIND, &session, call).await?;
        Ok(epoch.zip(seq).map(|(epoch, seq)| PurgeMark { epoch, seq }))
    }

    /// All purges that are remembered, with their numbers.
    pub async fn purges(&self) -> Result<Vec<(String, u64)>, Fault> {
        let session = self.session()?;
        let mut connection = session.connection.clone();
        let mut cmd = redis::cmd("HGETALL");
        cmd.arg(self.purges_key());
        let call = async move { cmd.query_async::<Vec<(String, String)>>(&mut connection).await };
        let fields = self.timed("purges", Instant::now() + BEHIND, &session, call).await?;
        let purge = |(name, seq): (String, String)| Some((name.strip_prefix("p:")?.to_owned(), seq.parse().ok()?));
        Ok(fields.into_iter().filter_map(purge).collect())
    }

    pub(super) async fn script<T: FromRedisValue + Send>(
        &self,
        op: &'static str,
        script: &Script,
        code: &str,
        keys: &[String],
        args: &[impl redis::ToRedisArgs + Sync],
    ) -> Result<T, Fault> {
        let session = self.session()?;
        let mut connection = session.connection.clone();
        let command = |name: &str, what: &str| {
            let mut cmd = redis::cmd(name);
            cmd.arg(what).arg(keys.len()).arg(keys).arg(args);
            cmd
        };
        let (known, whole) = (command("EVALSHA", script.get_hash()), command("EVAL", code));
        let call = async move {
            match known.query_async(&mut connection).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    whole.query_async(&mut connection).await
                }
                result => result,
            }
        };
        self.timed(op, Instant::now() + BEHIND, &session, call).await
    }

    pub(super) fn entry_key(&self, key: &Digest) -> String {
        format!("{}e:{}", self.prefix, hex(key))
    }

    fn purges_key(&self) -> String {
        format!("{}purges", self.prefix)
    }
}

/// A time to live, milliseconds: none is not one, and the server adds it to its clock.
pub(super) fn lifetime(time: Duration) -> u64 {
    const TEN_YEARS: u64 = 10 * 365 * 24 * 3600 * 1000;
    millis(time).clamp(1, TEN_YEARS)
}
