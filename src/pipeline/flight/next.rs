//! Which target is next, and what is noted of those that failed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue};
use sluice_providers::{ErrorKind, TranslateError, UpstreamRequest};

use super::super::attempt::Attempt;
use super::super::open::Gateway;
use super::super::route;
use super::{Flight, Rest};
use crate::config::TargetRoute;
use crate::error::Error;
use crate::telemetry::Tried;
use crate::upstream::{Picked, TargetState, bit};

const DEADLINE: HeaderName = HeaderName::from_static("x-sluice-deadline-ms");
/// The first pause before the same target is tried again; each that follows is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What is to be done next.
pub enum Next {
    /// Try this target with this request.
    Try(Box<Attempt>, UpstreamRequest),
    /// Every target is full: wait for room, among at most so many.
    Wait(Arc<TargetState>, u32),
    /// Give up, with this error if there was none yet.
    Over(Option<Error>),
}

impl Flight {
    /// The next target by priority, balance and health, as long as attempts and the retry budget
    /// last. Its request is built from the client's own: nothing of an earlier attempt is in it.
    pub fn next(&mut self, gateway: &Gateway) -> Next {
        let now = Instant::now();
        let rules = &self.plan.route().routing.retry;
        if self.attempts >= rules.attempts {
            return Next::Over(None);
        }
        let picked = self.plan.state().pick(self.plan.asked(), self.tried, now);
        match picked {
            Picked::Full(target, pending) => Next::Wait(target, pending),
            Picked::Nothing => Next::Over(Some(self.nothing())),
            Picked::Go(serving, why) => {
                if self.attempts > 0 && !self.may_retry(gateway, now) {
                    return Next::Over(None);
                }
                let Some(call) = self.call.clone() else { return Next::Over(None) };
                let Ok(tail) = self.tail.take() else { return Next::Over(None) };
                self.tried |= bit(serving.index());
                self.attempts += 1;
                self.dialled = Some(serving.index());
                let route = Arc::clone(self.plan.route());
                let counter = Arc::clone(&gateway.counter);
                let mut attempt = Attempt::new(route, call, serving, why, counter, self.counted.input);
                attempt.give_tail(tail);
                if self.continuable() {
                    attempt.keep_text();
                }
                self.start(attempt)
            }
        }
    }

    pub(super) fn start(&mut self, mut attempt: Attempt) -> Next {
        if let Some(keep) = &self.keep {
            attempt.keep_answer(keep.room());
        }
        let mut request = match attempt.request() {
            Ok(request) => request,
            Err(TranslateError::Request(unsupported)) => return Next::Over(Some(unsupported.into())),
            Err(error) => {
                let message = format!("the request could not be translated: {error}");
                return Next::Over(Some(Error::internal(message)));
            }
        };
        if let Some(target) = attempt.target() {
            self.recorder.attempt(target);
        }
        self.recorder.inject(&mut request.headers);
        if let Some(deadline) = self.patience.deadline {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            request.headers.insert(DEADLINE, HeaderValue::from(millis));
        }
        Next::Try(Box::new(attempt), request)
    }

    fn may_retry(&self, gateway: &Gateway, now: Instant) -> bool {
        let allowed = self.plan.state().may_retry(now);
        gateway.sinks.metrics().routes().retry(self.plan.model(), allowed);
        if !allowed {
            tracing::debug!(model = %self.plan.model(), "the retry budget is used up");
        }
        allowed
    }

    fn nothing(&self) -> Error {
        let message = format!("every target of model `{}` is switched off", self.plan.model());
        Error::new(http::StatusCode::SERVICE_UNAVAILABLE, "server_error", "no_target", message)
    }

    /// The request as another target takes it: a copy.
    pub fn copy_for(&self, target: &TargetRoute) -> Option<UpstreamRequest> {
        if !matches!(self.tail, Rest::None) {
            return None;
        }
        target.provider.adapter.request(self.call.as_ref()?, &target.target).ok()
    }

    /// How long to wait before the targets that were tried are tried again, if the model is to do
    /// so and attempts are left.
    pub fn again(&mut self, asked_for: Option<Duration>) -> Option<Duration> {
        let rules = &self.plan.route().routing.retry;
        let others = self.plan.asked().able & !self.tried;
        let sent = matches!(self.tail, Rest::Gone);
        if sent || !rules.same_target || self.attempts >= rules.attempts || others != 0 {
            return None;
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(16));
        let pause = match asked_for {
            Some(time) if time > rules.longest_pause => return None,
            Some(time) => time,
            // Full jitter: clients that failed together do not come back together.
            None => doubled.min(rules.longest_pause).mul_f64(rand::random_range(0.5..1.0)),
        };
        self.tried = 0;
        Some(pause)
    }

    /// Notes an attempt that failed before anything was sent to the client: it cost nothing.
    pub fn attempt_failed(&mut self, attempt: &Attempt, kind: &str) {
        self.dialled = None;
        let tried = Tried { target: attempt.label().to_owned(), why: kind.to_owned() };
        self.recorder.attempt_failed(tried, attempt.left_at());
    }

    /// Changes to the model that steps in for this cause, if the config names one, and takes a
    /// lease for it; the one for the first model is given back. False leaves all as it was.
    pub async fn fall_back(&mut self, gateway: &Arc<Gateway>, kind: ErrorKind) -> bool {
        let Some(call) = self.call.clone().filter(|_| !matches!(self.tail, Rest::Gone)) else { return false };
        let Some((plan, cause)) = route::fallback(gateway, &self.config, &self.who, &call, &self.plan, kind) else {
            return false;
        };
        let terms = super::super::admit::Terms {
            config: &self.config,
            patience: &self.patience,
            waiting: &self.waiting,
            streams: self.streams,
            endpoint: self.endpoint,
        };
        let admitted = gateway.admitted(&terms, &call, plan, &self.who, &mut self.recorder).await;
        let (plan, counted, admitted) = match admitted {
            Ok(all) => all,
            Err(error) => {
                tracing::info!(cause, %error.message, "the fallback could not be admitted");
                return false;
            }
        };
        self.recorder.fell_back(cause, plan.model());
        if let Some(first) = self.admitted.replace(admitted) {
            drop(first.lease);
        }
        (self.plan, self.counted) = (plan, counted);
        (self.tried, self.attempts) = (0, 0);
        true
    }
}
