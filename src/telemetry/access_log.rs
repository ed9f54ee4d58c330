//! One JSON line per request, written by a thread of its own so that a slow pipe slows nobody.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::line;
use super::metrics::Metrics;
use super::record::Record;

/// Bytes that may wait for the writer; lines beyond are dropped and counted.
const WAITING: usize = 4 * 1024 * 1024;
/// The writer lets lines gather this long: one wake-up and one write for all of them.
const GATHER: Duration = Duration::from_millis(50);

/// The access log. Dropping it, or [`close`](Self::close), writes what is waiting.
pub struct AccessLog {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    metrics: Metrics,
    room: usize,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    closed: bool,
}

impl AccessLog {
    /// A log to stdout. Errors if the system gives no thread.
    pub fn stdout(metrics: Metrics) -> io::Result<Self> {
        Self::to(Box::new(io::stdout()), metrics, WAITING)
    }

    /// A log to any writer, with room for `room` bytes that wait.
    pub fn to(out: Box<dyn Write + Send>, metrics: Metrics, room: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let writer = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write(out, &theirs))?;
        Ok(Self { shared, writer: Mutex::new(Some(writer)), metrics, room })
    }

    /// Logs one request; never waits for the writer.
    pub fn log(&self, record: &Record) {
        let mut waiting = self.shared.waiting.lock();
        let before = waiting.lines.len();
        if before >= self.room || waiting.closed {
            drop(waiting);
            self.metrics.log_dropped();
            return;
        }
        line::write(&mut waiting.lines, record);
        drop(waiting);
        if before == 0 {
            self.shared.changed.notify_one();
        }
    }

    /// Writes what is waiting and ends the log; later lines are lost. Blocks for the writer.
    pub fn close(&self) {
        self.shared.waiting.lock().closed = true;
        self.shared.changed.notify_all();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer
            && writer.join().is_err()
        {
            tracing::error!("the access log's writer failed");
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

fn write(mut out: Box<dyn Write + Send>, shared: &Shared) {
    let mut batch = Vec::new();
    loop {
        let mut waiting = shared.waiting.lock();
        while waiting.lines.is_empty() && !waiting.closed {
            shared.changed.wait(&mut waiting);
        }
        if !waiting.closed {
            // Woken by the first line (or by closing, which cuts the gathering short).
            shared.changed.wait_for(&mut waiting, GATHER);
        }
        std::mem::swap(&mut batch, &mut waiting.lines);
        let closed = waiting.closed;
        drop(waiting);
        if let Err(error) = out.write_all(&batch).and_then(|()| out.flush()) {
            tracing::error!(%error, "the access log cannot be written; it ends here");
            shared.waiting.lock().closed = true;
            return;
        }
        batch.clear();
        if closed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver};

    use super::*;

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Blocks its first write until told to go on.
    struct Slow(Receiver<()>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().ok();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_json_and_written_on_close() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = AccessLog::to(Box::new(Shared(seen.clone())), Metrics::new(), 10_000).unwrap();
        let mut record = Record::start(Arc::from("req_1"), "/v1/embeddings");
        record.user = Some("a\"b\n".to_owned());
        log.log(&record);
        log.log(&record);
        log.close();
        let text = String::from_utf8(seen.lock().clone()).unwrap();
        assert_eq!(text.lines().count(), 2);
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((line["request_id"].as_str(), line["user"].as_str()), (Some("req_1"), Some("a\"b\n")));
        assert_eq!(line["outcome"], "client_gone");
    }

    #[test]
    fn a_full_log_drops_counts_and_does_not_block() {
        let (go, wait) = mpsc::channel();
        let metrics = Metrics::new();
        let log = AccessLog::to(Box::new(Slow(wait)), metrics.clone(), 1000).unwrap();
        let record = Record::start(Arc::from("r"), "other");
        // A line has some 500 bytes: two or three wait, and as many are with the writer.
        for _ in 0..20 {
            log.log(&record);
        }
        assert!(metrics.logs_dropped() >= 14, "{}", metrics.logs_dropped());
        drop(go);
        log.close();
    }
}
