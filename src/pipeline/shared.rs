//! One call to a provider that several requests read, each at its own pace.
//!
//! There is no task and no channel: whoever has read all there is polls the call itself, and what it says is kept for
//! the others. So the fastest reader sets the pace, a slow one slows nobody, and the call is dropped, which is the
//! client leaving, with its last reader.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;

use super::waiting::Waiting;
use crate::error::Error;
use wakers::{Alarm, Wakers};

mod joins;
mod log;
#[cfg(test)]
mod tests;
mod wakers;

pub(super) use joins::Entered;
pub use joins::{JoinKey, Joins};
pub(super) use log::Log;

/// Server-sent events as they come. Dropping it before its end is the client leaving.
pub trait Events: Send {
    /// The next bytes for the client: one or more whole events. `None` is the end; errors come as a last event.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;
}

/// A call until its answer begins. Dropping it is the client leaving.
pub type Coming = Pin<Box<dyn Future<Output = Result<(Head, Rest), Failed>> + Send>>;

/// An answer after its head.
pub enum Rest {
    /// All of it.
    Whole(Bytes),
    /// A stream.
    Events(Box<dyn Events>),
}

/// A call without an answer.
pub struct Failed {
    /// Why.
    pub error: Error,
    /// It is the affair of the request that began the call: its limits, its place in the queue.
    pub own: bool,
}

/// The beginning of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers for the request that began the call.
    pub headers: HeaderMap,
}

/// How an answer begins for one reader.
pub enum Begins {
    /// With this head; and all of it, if it does not stream.
    Head(Head, Option<Bytes>),
    /// There is none.
    Failed(Error),
    /// The call is another's own affair: this reader has to ask itself.
    Released,
}

/// What comes next for one reader.
pub enum Goes {
    /// A piece.
    Piece(Bytes),
    /// All has been read. An error has been told in the last piece.
    End(Option<Error>),
    /// The stream ends here for this reader, with an error that it has not heard of.
    Cut(Error),
}

/// One call, its answer so far, and who reads it.
struct Call {
    state: Mutex<State>,
    wakers: Arc<Wakers>,
    /// Wakes every reader that waits.
    waker: Waker,
    waiting: Waiting,
    place: (Joins, JoinKey),
}

struct State {
    source: Source,
    /// What of `Waiting` the readers have heard of.
    stage: u8,
    head: Option<Head>,
    /// An answer that does not stream.
    whole: Option<Bytes>,
    log: Log,
    end: Option<End>,
}

enum Source {
    Comes(Coming),
    Speaks(Box<dyn Events>),
    /// It panicked.
    Lost,
    Over,
}

enum End {
    /// An error has been told in the last piece.
    Over(Option<Error>),
    Failed(Failed),
}

impl Call {
    fn new(coming: Coming, log: Log, waiting: Waiting, place: (Joins, JoinKey)) -> Self {
        let wakers = Arc::new(Wakers::default());
        let waker = Waker::from(Arc::clone(&wakers));
        let source = Source::Comes(coming);
        let state = State { source, stage: 0, head: None, whole: None, log, end: None };
        Self { state: Mutex::new(state), wakers, waker, waiting, place }
    }

    /// Lets the call go on; pending if it has nothing to say yet. `reader` is whose turn it is.
    fn advance(&self, state: &mut State, reader: usize) -> Poll<()> {
        let alarm = Alarm::set(&self.wakers);
        let news = self.poll(state);
        alarm.off();
        let stage = self.waiting.stage();
        let moved = std::mem::replace(&mut state.stage, stage) != stage;
        if moved || news.is_ready() {
            self.wakers.wake_others(reader);
        }
        news
    }

    fn poll(&self, state: &mut State) -> Poll<()> {
        let cx = &mut Context::from_waker(&self.waker);
        match std::mem::replace(&mut state.source, Source::Lost) {
            Source::Comes(mut coming) => match coming.as_mut().poll(cx) {
                Poll::Pending => {
                    state.source = Source::Comes(coming);
                    return Poll::Pending;
                }
                Poll::Ready(outcome) => state.came(outcome),
            },
            Source::Speaks(mut events) => match events.poll_next(cx) {
                Poll::Pending => {
                    state.source = Source::Speaks(events);
                    return Poll::Pending;
                }
                Poll::Ready(Some(piece)) => {
                    state.log.push(piece);
                    state.source = Source::Speaks(events);
                }
                Poll::Ready(None) => {
                    state.end = Some(End::Over(self.waiting.failure().cloned()));
                    state.source = Source::Over;
                }
            },
            // There is nothing to wait for.
            ended => state.source = ended,
        }
        Poll::Ready(())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.place.0.remove(&self.place.1, self);
    }
}

impl State {
    fn came(&mut self, outcome: Result<(Head, Rest), Failed>) {
        self.source = match outcome {
            Ok((head, Rest::Events(events))) => {
                self.head = Some(head);
                Source::Speaks(events)
            }
            Ok((head, Rest::Whole(bytes))) => {
                (self.head, self.whole, self.end) = (Some(head), Some(bytes), Some(End::Over(None)));
                Source::Over
            }
            Err(failed) => {
                self.end = Some(End::Failed(failed));
                Source::Over
            }
        };
    }

    fn parted(&self) -> bool {
        self.stage & Waiting::PARTED != 0
    }

    fn joinable(&self) -> bool {
        let ends_well = matches!(self.end, None | Some(End::Over(None)));
        ends_well && self.log.is_whole() && !self.parted() && !matches!(self.source, Source::Lost)
    }

    fn begins(&self, first: bool) -> Option<Begins> {
        if let Some(head) = &self.head {
            return Some(Begins::Head(head.clone(), self.whole.clone()));
        }
        match &self.end {
            Some(End::Failed(failed)) if failed.own && !first => Some(Begins::Released),
            Some(End::Failed(failed)) => Some(Begins::Failed(failed.error.clone())),
            Some(End::Over(_)) => Some(Begins::Failed(lost())),
            None if self.parted() && !first => Some(Begins::Released),
            None => matches!(self.source, Source::Lost).then(|| Begins::Failed(lost())),
        }
    }

    fn goes(&mut self, reader: usize) -> Option<Goes> {
        match self.log.next(reader) {
            log::Found::Piece(piece) => return Some(Goes::Piece(piece)),
            log::Found::Behind => return Some(Goes::Cut(behind(self.log.most()))),
            log::Found::Nothing => {}
        }
        match &self.end {
            Some(End::Over(error)) => Some(Goes::End(error.clone())),
            Some(End::Failed(failed)) => Some(Goes::Cut(failed.error.clone())),
            None => matches!(self.source, Source::Lost).then(|| Goes::Cut(lost())),
        }
    }
}

/// One request's view of a call. Dropping it is its client leaving.
pub struct Reader {
    call: Arc<Call>,
    id: usize,
    /// It began the call.
    first: bool,
    /// Its end has been told.
    over: bool,
}

impl Reader {
    fn first(call: Arc<Call>) -> Self {
        let id = call.state.lock().log.add_reader();
        Self { call, id, first: true, over: false }
    }

    /// A reader from the beginning, if that is still there.
    fn join(call: &Arc<Call>) -> Option<Self> {
        let mut state = call.state.lock();
        let id = state.joinable().then(|| state.log.add_reader())?;
        Some(Self { call: Arc::clone(call), id, first: false, over: false })
    }

    /// Whether it began the call.
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// The wait of the call.
    pub fn waiting(&self) -> &Waiting {
        &self.call.waiting
    }

    /// How the answer begins.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Begins> {
        let first = self.first;
        let begins = self.poll(cx, |state| state.begins(first));
        self.over = !matches!(begins, Poll::Pending | Poll::Ready(Begins::Head(_, None)));
        begins
    }

    /// How it goes on.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Goes> {
        let id = self.id;
        let goes = self.poll(cx, |state| state.goes(id));
        match &goes {
            Poll::Pending | Poll::Ready(Goes::Piece(_)) => {}
            Poll::Ready(Goes::End(_)) => self.over = true,
            Poll::Ready(Goes::Cut(error)) => self.leave(Some(error.clone())),
        }
        goes
    }

    /// Stops reading; if an error says why, the client has been told.
    pub fn leave(&mut self, told: Option<Error>) {
        if !std::mem::replace(&mut self.over, true) && self.first {
            self.call.waiting.leave(told);
        }
    }

    fn poll<T>(&self, cx: &mut Context<'_>, mut look: impl FnMut(&mut State) -> Option<T>) -> Poll<T> {
        let mut state = self.call.state.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return Poll::Ready(found);
            }
            // Before the call is polled, or its waker might be called for nobody.
            self.call.wakers.wait(self.id, cx.waker());
            if self.call.advance(&mut state, self.id).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.leave(None);
        // In this order: once its place is free another reader may have it.
        self.call.wakers.forget(self.id);
        self.call.state.lock().log.remove_reader(self.id);
    }
}

/// 500: whoever polled the call panicked.
fn lost() -> Error {
    Error::internal("the call that this request had joined has failed inside the gateway")
}

/// The end of a stream that was read too slowly.
fn behind(most: usize) -> Error {
    let message = format!(
        "this client read too slowly: it was more than {most} bytes behind others that get the same answer \
         (cache.max_entry)"
    );
    Error::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "client_too_slow", message)
}
