//! Everything that is told of one request, filled in on its way.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How a request ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered.
    Ok,
    /// The request was wrong.
    ClientError,
    /// A limit refused it.
    Denied,
    /// The provider failed.
    UpstreamError,
    /// The client left before the end.
    #[default]
    ClientGone,
    /// A deadline of the provider's passed.
    Deadline,
    /// The gateway was full.
    Overloaded,
    /// The gateway failed.
    Internal,
}

impl Outcome {
    /// For logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::Denied => "denied",
            Self::UpstreamError => "upstream_error",
            Self::ClientGone => "client_gone",
            Self::Deadline => "deadline",
            Self::Overloaded => "overloaded",
            Self::Internal => "internal",
        }
    }
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// `provider/model`.
    pub target: String,
    /// The code of what went wrong.
    pub why: String,
}

impl Tried {
    /// For a header, a log line or a span: `a/m=connect_failed, b/m=first_token_timeout`.
    pub fn line(all: &[Self]) -> String {
        all.iter().map(|one| format!("{}={}", one.target, one.why)).collect::<Vec<_>>().join(", ")
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Record {
    /// The id the client sees.
    pub request_id: Arc<str>,
    /// When it began, by the wall clock.
    pub at: SystemTime,
    /// When it began, for durations.
    pub started: Instant,
    /// The endpoint's path, or `other`.
    pub endpoint: &'static str,
    /// The key's name and tenant, once known.
    pub key: Option<Arc<str>>,
    /// The key's tenant, once known.
    pub tenant: Option<Arc<str>>,
    /// The end user, if the client named one.
    pub user: Option<String>,
    /// The priority class.
    pub class: Option<Arc<str>>,
    /// The public model, once it is known to exist.
    pub model: Option<Arc<str>>,
    /// The target that was tried last.
    pub target: Option<Arc<str>>,
    /// The provider of that target.
    pub provider: Option<Arc<str>>,
    /// Targets tried.
    pub attempts: u32,
    /// Those of them that failed, in order.
    pub tried: Vec<Tried>,
    /// Why another model stepped in.
    pub fallback: Option<&'static str>,
    /// What the cache made of it: `hit-exact`, `hit-semantic`, `joined`, `miss` or `bypass(why)`.
    pub cache: Option<Cow<'static, str>>,
    /// How often the stream broke off and went on with another target.
    pub continued: u32,
    /// Whether the answer streams.
    pub stream: bool,
    /// How the prompt was counted.
    pub count_method: Option<&'static str>,
    /// Prompt tokens counted.
    pub counted_input: u64,
    /// Output tokens reserved.
    pub output_bound: u64,
    /// Prompt tokens, cached, written to cache; generated, reasoning.
    pub tokens: [u64; 5],
    /// Whether the provider reported them; else they were counted here.
    pub usage_reported: bool,
    /// Micro-dollars.
    pub cost_micros: u64,
    /// Waiting for a lease.
    pub admit: Duration,
    /// Waiting in the queue, of that; `None` if it did not have to.
    pub queued: Option<Duration>,
    /// From the start to the first dial, `admit` included.
    pub overhead: Option<Duration>,
    /// From the first dial to the first content.
    pub first_token: Option<Duration>,
    /// All of it.
    pub duration: Duration,
    /// Bytes of the answer.
    pub bytes_out: u64,
    /// HTTP status.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// The `code` of the error.
    pub error: Option<String>,
    /// The limit that refused.
    pub limit: Option<Arc<str>>,
}

/// Names of [`Record::tokens`], in order.
pub(super) const TOKEN_KINDS: [&str; 5] = ["input", "cached_input", "cache_write", "output", "reasoning"];

impl Record {
    /// A request that begins now.
    pub fn start(request_id: Arc<str>, endpoint: &'static str) -> Self {
        Self {
            request_id,
            at: SystemTime::now(),
            started: Instant::now(),
            endpoint,
            key: None,
            tenant: None,
            user: None,
            class: None,
            model: None,
            target: None,
            provider: None,
            attempts: 0,
            tried: Vec::new(),
            fallback: None,
            cache: None,
            continued: 0,
            stream: false,
            count_method: None,
            counted_input: 0,
            output_bound: 0,
            tokens: [0; 5],
            usage_reported: false,
            cost_micros: 0,
            admit: Duration::ZERO,
            queued: None,
            overhead: None,
            first_token: None,
            duration: Duration::ZERO,
            bytes_out: 0,
            status: 0,
            outcome: Outcome::default(),
            error: None,
            limit: None,
        }
    }

    /// Time per generated token after the first, if the answer streamed more than one.
    pub fn time_per_output_token(&self) -> Option<Duration> {
        let (first, output) = (self.first_token?, self.tokens[3]);
        let before = self.overhead.unwrap_or_default() + first;
        let more = u32::try_from(output.checked_sub(1)?).ok().filter(|more| *more > 0)?;
        self.stream.then(|| self.duration.saturating_sub(before) / more)
    }
}
