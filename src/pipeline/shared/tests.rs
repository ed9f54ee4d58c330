//! Many readers of one call: everybody gets all of it, whoever leaves, is slow, or comes late.

use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Wake;

use proptest::prelude::*;
use tokio::sync::mpsc;

use super::*;
use crate::budget::Budget;
use crate::cache::Stamp;
use crate::pipeline::Tally;

/// A call that a test speaks for, and a mark that it has been dropped.
struct Script {
    events: mpsc::UnboundedReceiver<Bytes>,
    gone: Arc<AtomicBool>,
}

impl Events for Script {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self.events.poll_recv(cx) {
            Poll::Ready(Some(bytes)) if bytes == "panic" => panic!("on purpose"),
            other => other,
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Release);
    }
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Of the one question in these tests.
fn key() -> JoinKey {
    JoinKey { ask: [7; 32], stamp: Stamp::default(), stream: true, usage: false }
}

fn head() -> Head {
    Head { status: StatusCode::OK, headers: HeaderMap::new() }
}

struct Speaker {
    say: Option<mpsc::UnboundedSender<Bytes>>,
    gone: Arc<AtomicBool>,
}

impl Speaker {
    fn says(&self, text: &str) {
        self.say.as_ref().unwrap().send(Bytes::from(text.to_owned())).ok();
    }
}

fn log(most: usize) -> Log {
    Log::new(most, Budget::default().hold(), usize::MAX)
}

/// Begins a call with room for so many bytes, or joins the one there is.
fn enter(joins: &Joins, waiting: &Waiting, most: usize) -> (Reader, Option<Speaker>) {
    let mut speaker = None;
    let entered = joins.enter(key(), waiting, (), |()| {
        let (say, events) = mpsc::unbounded_channel();
        let gone = Arc::new(AtomicBool::new(false));
        let script = Script { events, gone: Arc::clone(&gone) };
        speaker = Some(Speaker { say: Some(say), gone });
        let coming: Coming = Box::pin(async move { Ok((head(), Rest::Events(Box::new(script) as Box<dyn Events>))) });
        Ok::<_, ()>((coming, log(most)))
    });
    match entered {
        Entered::First(reader) | Entered::Joined((), reader) => (reader, speaker),
        Entered::Needless(()) => unreachable!(),
    }
}

fn poll_next(reader: &mut Reader, waker: &Waker) -> Poll<Goes> {
    reader.poll_next(&mut Context::from_waker(waker))
}

/// Whether a stream has come to its end, and how.
enum Ended {
    Not,
    Well,
    With(Box<Error>),
}

/// All that a reader can have now, and whether that was the end.
fn drain(reader: &mut Reader) -> (String, Ended) {
    let mut text = String::new();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(reader.poll_head(&mut cx), Poll::Ready(Begins::Head(..))));
    loop {
        match poll_next(reader, Waker::noop()) {
            Poll::Pending => return (text, Ended::Not),
            Poll::Ready(Goes::Piece(bytes)) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
            Poll::Ready(Goes::End(None)) => return (text, Ended::Well),
            Poll::Ready(Goes::End(Some(error)) | Goes::Cut(error)) => return (text, Ended::With(Box::new(error))),
        }
    }
}

#[test]
fn a_late_joiner_gets_all_and_the_first_may_leave() {
    let (joins, waiting) = (Joins::default(), Waiting::default());
    let (mut first, speaker) = enter(&joins, &waiting, 1000);
    let mut speaker = speaker.unwrap();
    speaker.says("one ");
    assert_eq!(drain(&mut first).0, "one ");
    let (mut late, none) = enter(&joins, &Waiting::default(), 1000);
    assert!(none.is_none() && !late.is_first() && first.is_first());
    drop(first);
    assert!(waiting.left().is_some_and(Option::is_none), "its record will say that it left");
    speaker.says("two");
    speaker.say = None;
    let (text, end) = drain(&mut late);
    assert_eq!(text, "one two");
    assert!(matches!(end, Ended::Well));
    assert_eq!(joins.len(), 1, "who reads may still be joined");
    drop(late);
    assert!(joins.is_empty());
}

#[test]
fn the_last_reader_that_leaves_ends_the_call() {
    let (joins, waiting) = (Joins::default(), Waiting::default());
    let (first, speaker) = enter(&joins, &waiting, 1000);
    let speaker = speaker.unwrap();
    let (mut second, _) = enter(&joins, &waiting, 1000);
    drain(&mut second);
    drop(first);
    assert!(!speaker.gone.load(Ordering::Acquire));
    drop(second);
    assert!(speaker.gone.load(Ordering::Acquire) && joins.is_empty());
    let (next, again) = enter(&joins, &waiting, 1000);
    assert!(next.is_first() && again.is_some());
}

#[test]
fn whoever_waits_is_woken_by_whatever_happens() {
    let (joins, waiting) = (Joins::default(), Waiting::default());
    let (mut first, speaker) = enter(&joins, &waiting, 1000);
    let (mut second, _) = enter(&joins, &waiting, 1000);
    let counts: [Arc<Count>; 2] = Default::default();
    let wakers = counts.clone().map(Waker::from);
    let woken = || counts.each_ref().map(|count| count.0.swap(0, Ordering::AcqRel));
    drain(&mut first);
    drain(&mut second);
    assert!(poll_next(&mut first, &wakers[0]).is_pending() && poll_next(&mut second, &wakers[1]).is_pending());
    let speaker = speaker.unwrap();
    speaker.says("x");
    assert_eq!(woken(), [1, 1], "a new piece");
    speaker.says("y");
    assert_eq!(woken(), [0, 0], "who has been woken is not woken again");
    drop(first);
    assert!(matches!(poll_next(&mut second, &wakers[1]), Poll::Ready(Goes::Piece(_))));
    assert!(matches!(poll_next(&mut second, &wakers[1]), Poll::Ready(Goes::Piece(_))));
    waiting.let_in();
    assert!(poll_next(&mut second, &wakers[1]).is_pending(), "no piece, but news");
    drop(speaker);
    assert_eq!(woken(), [0, 1], "the end");
}

#[test]
fn a_call_that_panics_fails_everybody_and_can_be_begun_again() {
    let (joins, waiting) = (Joins::default(), Waiting::default());
    let (mut first, speaker) = enter(&joins, &waiting, 1000);
    let (mut second, _) = enter(&joins, &waiting, 1000);
    let count = Arc::new(Count::default());
    drain(&mut second);
    assert!(poll_next(&mut second, &Waker::from(Arc::clone(&count))).is_pending());
    speaker.unwrap().says("panic");
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drain(&mut first).0));
    assert!(polled.is_err());
    assert!(count.0.load(Ordering::Acquire) > 0);
    let Poll::Ready(Goes::Cut(error)) = poll_next(&mut second, Waker::noop()) else { panic!("not told") };
    assert_eq!(error.code.as_deref(), Some("internal_error"));
    let (next, again) = enter(&joins, &waiting, 1000);
    assert!(next.is_first() && again.is_some());
    drop(second);
    assert_eq!(joins.len(), 1, "the new call stays");
}

#[test]
fn a_failure_of_the_first_requests_own_sends_the_others_on() {
    for own in [true, false] {
        let (joins, waiting) = (Joins::default(), Waiting::default());
        let fail = |()| {
            let coming: Coming = Box::pin(async move { Err(Failed { error: Error::internal("x"), own }) });
            Ok::<_, ()>((coming, log(10)))
        };
        let Entered::First(mut first) = joins.enter(key(), &waiting, (), fail) else { panic!() };
        let Entered::Joined((), mut second) = joins.enter(key(), &waiting, (), fail) else { panic!() };
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(first.poll_head(&mut cx), Poll::Ready(Begins::Failed(_))));
        let second = second.poll_head(&mut cx);
        assert!(matches!(
            (own, second),
            (true, Poll::Ready(Begins::Released)) | (false, Poll::Ready(Begins::Failed(_)))
        ));
        assert!(matches!(joins.enter(key(), &waiting, (), fail), Entered::First(_)), "one of them begins anew");
    }
}

#[test]
fn an_answer_in_one_piece_is_everybodys() {
    let (joins, waiting) = (Joins::default(), Waiting::default());
    let begin = |()| {
        let coming: Coming = Box::pin(async move { Ok((head(), Rest::Whole(Bytes::from_static(b"{}")))) });
        Ok::<_, ()>((coming, log(1)))
    };
    let Entered::First(mut first) = joins.enter(key(), &waiting, (), begin) else { panic!() };
    let Entered::Joined((), mut second) = joins.enter(key(), &waiting, (), begin) else { panic!() };
    for reader in [&mut second, &mut first] {
        let Poll::Ready(Begins::Head(_, Some(bytes))) = reader.poll_head(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("no answer")
        };
        assert_eq!(bytes, "{}");
    }
}

#[test]
fn a_slow_reader_slows_nobody_and_is_cut_loudly() {
    let (joins, waiting) = (Joins::default(), Waiting::default());
    let (mut fast, speaker) = enter(&joins, &waiting, 50);
    let (mut slow, _) = enter(&joins, &waiting, 50);
    let mut speaker = speaker.unwrap();
    let mut all = String::new();
    for number in 0..20 {
        speaker.says(&format!("piece {number:02} "));
        all.push_str(&drain(&mut fast).0);
    }
    assert_eq!(all.len(), 180);
    let (text, end) = drain(&mut slow);
    let Ended::With(error) = end else { panic!("not told") };
    assert_eq!((text.as_str(), error.code.as_deref()), ("", Some("client_too_slow")));
    let (new, begun) = enter(&joins, &waiting, 50);
    assert!(new.is_first() && begun.is_some(), "its beginning is gone: nobody joins");
    speaker.say = None;
    assert!(matches!(drain(&mut fast), (text, Ended::Well) if text.is_empty()));
}

#[test]
fn the_bill_and_the_error_of_the_call_are_known_at_its_end() {
    let waiting = Waiting::default();
    let (mut reader, speaker) = enter(&Joins::default(), &waiting, 50);
    waiting.settled(Tally { output: 3, ..Tally::default() });
    waiting.failed(&Error::upstream("upstream_reset", "x"));
    drop(speaker);
    let (_, end) = drain(&mut reader);
    assert!(matches!(end, Ended::With(error) if error.code.as_deref() == Some("upstream_reset")));
    assert_eq!(reader.waiting().bill().unwrap().output, 3);
}

proptest! {
    /// Readers on threads, in any order of joining, reading and leaving: who stays has it all.
    #[test]
    fn everybody_who_stays_gets_everything(leaves in prop::collection::vec(0_usize..40, 8), first_leaves: bool) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let (joins, waiting) = (Joins::default(), Waiting::default());
        let (first, speaker) = enter(&joins, &waiting, usize::MAX);
        let speaker = speaker.unwrap();
        let whole: String = (0..30).map(|number| format!("{number} ")).collect();
        let got = Arc::new(StdMutex::new(Vec::new()));
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            let readers = std::iter::once(first).chain((1..8).map(|_| enter(&joins, &waiting, 0).0));
            for (index, mut reader) in readers.enumerate() {
                let leaves = if index == 0 && first_leaves { 1 } else { leaves[index] };
                let got = Arc::clone(&got);
                tasks.spawn(async move {
                    let mut text = String::new();
                    for _ in 0..leaves {
                        match std::future::poll_fn(|cx| {
                            std::task::ready!(reader.poll_head(cx));
                            reader.poll_next(cx)
                        })
                        .await
                        {
                            Goes::Piece(bytes) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
                            Goes::End(None) => return got.lock().unwrap().push(text),
                            Goes::End(_) | Goes::Cut(_) => panic!("an error"),
                        }
                    }
                });
            }
            for number in 0..30 {
                speaker.says(&format!("{number} "));
                tokio::task::yield_now().await;
            }
            drop(speaker);
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
        });
        prop_assert!(got.lock().unwrap().iter().all(|text| *text == whole));
        let stay = leaves.iter().enumerate().filter(|(index, leaves)| {
            **leaves > 30 && !(*index == 0 && first_leaves)
        });
        prop_assert_eq!(got.lock().unwrap().len(), stay.count());
        prop_assert!(joins.is_empty());
    }
}
