//! A connection that closes itself when no request is under way for too long, or when a request
//! head dribbles in; hyper's own timer cannot tell the two apart.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// Requests begun and under way on one connection. While one is under way no timer runs out.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// Marks one request as under way until dropped.
#[derive(Debug)]
pub(super) struct Active(Arc<Counts>);

impl Activity {
    pub(super) fn begin(&self) -> Active {
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        Active(Arc::clone(&self.0))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// How long a peer may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first byte of a request head to its end (HTTP/1.1).
    pub(super) header: Duration,
    /// Between requests.
    pub(super) idle: Duration,
}

/// A TCP stream with a header timeout and an idle timeout.
pub(super) struct IdleStream {
    io: TcpStream,
    activity: Activity,
    patience: Patience,
    /// `begun` when it was last looked at: a change means a head was completed since.
    seen: usize,
    /// Bytes came since the last head was complete: another head is on its way.
    in_head: bool,
    /// A request was under way when it was last looked at.
    was_busy: bool,
    /// HTTP/2 peers ping while idle: their bytes are not heads.
    is_http2: bool,
    deadline: Pin<Box<Sleep>>,
}

impl IdleStream {
    /// The first head is waited for as long as an idle connection is.
    pub(super) fn new(io: TcpStream, activity: Activity, patience: Patience, is_http2: bool) -> Self {
        let deadline = Box::pin(sleep_until(Instant::now() + patience.idle));
        Self { io, activity, patience, seen: 0, in_head: false, was_busy: false, is_http2, deadline }
    }

    fn rearm(&mut self, after: Duration) {
        self.deadline.as_mut().reset(Instant::now() + after);
    }

    /// Takes note of what the service did since the last poll.
    fn sync(&mut self) {
        let begun = self.activity.0.begun.load(Ordering::Acquire);
        let busy = begun != self.activity.0.ended.load(Ordering::Acquire);
        if begun != self.seen {
            self.seen = begun;
            self.in_head = false;
            self.was_busy = true;
        }
        if self.was_busy && !busy {
            self.rearm(self.patience.idle);
        }
        self.was_busy = busy;
    }

    fn on_bytes(&mut self) {
        if !self.is_http2 && !self.in_head && !self.was_busy {
            self.in_head = true;
            self.rearm(self.patience.header);
        }
    }

    /// Called when a read is pending: is the peer late?
    fn late(&mut self, cx: &mut Context<'_>) -> bool {
        // Polled while busy too: the timer is what looks again once the request has ended.
        while self.deadline.as_mut().poll(cx).is_ready() {
            if !self.was_busy {
                return true;
            }
            self.rearm(self.patience.idle);
        }
        false
    }
}

impl AsyncRead for IdleStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.sync();
        if let Poll::Ready(result) = Pin::new(&mut this.io).poll_read(cx, buf) {
            this.on_bytes();
            return Poll::Ready(result);
        }
        if this.late(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for IdleStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
