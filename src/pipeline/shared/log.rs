//! What a shared call has said, as far as it is kept.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::budget::Held;

/// The budget of all requests is asked for so many bytes at once.
const STEP: usize = 16 * 1024;
/// A reader may lag behind by so much even when the budget is used up.
const SMALLEST: usize = 64 * 1024;
/// The place of a reader that has left.
const GONE: usize = usize::MAX;

/// The pieces of an answer, and how far each reader has come.
///
/// All of it is kept as long as it fits, so that others can join. Of an answer that does not fit, only what somebody
/// has still to read is kept, and no more than fits.
pub(in crate::pipeline) struct Log {
    pieces: VecDeque<Bytes>,
    /// The number of the first piece.
    base: usize,
    bytes: usize,
    most: usize,
    held: Held,
    ceiling: usize,
    /// It begins with the beginning.
    whole: bool,
    readers: Vec<usize>,
}

/// What a reader finds.
pub(super) enum Found {
    Piece(Bytes),
    /// It has read all there is.
    Nothing,
    /// What it has not read is gone.
    Behind,
}

impl Log {
    /// Room for so many bytes, which are taken from what all requests may hold together.
    pub(in crate::pipeline) fn new(most: usize, held: Held, ceiling: usize) -> Self {
        let (pieces, readers) = (VecDeque::new(), Vec::new());
        Self { pieces, base: 0, bytes: 0, most, held, ceiling, whole: true, readers }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    /// Bytes after which a reader that has read none of them is left behind.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// A reader from the beginning.
    pub(super) fn add_reader(&mut self) -> usize {
        if let Some(free) = self.readers.iter().position(|at| *at == GONE) {
            if let Some(at) = self.readers.get_mut(free) {
                *at = 0;
            }
            return free;
        }
        self.readers.push(0);
        self.readers.len() - 1
    }

    pub(super) fn remove_reader(&mut self, reader: usize) {
        if let Some(at) = self.readers.get_mut(reader) {
            *at = GONE;
        }
        self.trim();
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.pieces.push_back(piece);
        if self.whole && !self.fits() {
            self.whole = false;
        }
        self.trim();
    }

    fn fits(&mut self) -> bool {
        if self.bytes > self.most {
            return false;
        }
        let granted = self.held.grow_to(self.bytes.next_multiple_of(STEP), self.ceiling);
        if !granted {
            self.most = self.bytes.max(SMALLEST);
        }
        granted
    }

    pub(super) fn next(&mut self, reader: usize) -> Found {
        let Some(at) = self.readers.get_mut(reader) else { return Found::Behind };
        let number = *at;
        let Some(index) = number.checked_sub(self.base) else { return Found::Behind };
        let Some(piece) = self.pieces.get(index).cloned() else { return Found::Nothing };
        *at += 1;
        if index == 0 {
            self.trim();
        }
        Found::Piece(piece)
    }

    /// Lets go of what all have read, and of the oldest of what does not fit; never of the last piece before somebody
    /// could read it.
    fn trim(&mut self) {
        if self.whole {
            return;
        }
        let slowest = self.readers.iter().copied().min().unwrap_or(GONE);
        while self.base < slowest || (self.bytes > self.most && self.pieces.len() > 1) {
            let Some(piece) = self.pieces.pop_front() else { return };
            self.bytes -= piece.len();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    fn log(most: usize) -> Log {
        Log::new(most, Budget::default().hold(), usize::MAX)
    }

    fn read(log: &mut Log, reader: usize) -> Option<Bytes> {
        match log.next(reader) {
            Found::Piece(piece) => Some(piece),
            Found::Nothing => None,
            Found::Behind => Some(Bytes::from_static(b"behind")),
        }
    }

    #[test]
    fn who_joins_late_reads_from_the_beginning() {
        let mut log = log(10);
        let first = log.add_reader();
        log.push(Bytes::from_static(b"one"));
        assert_eq!(read(&mut log, first).unwrap(), "one");
        let late = log.add_reader();
        log.push(Bytes::from_static(b"two"));
        let all: Vec<_> = std::iter::from_fn(|| read(&mut log, late)).collect();
        assert_eq!(all, ["one", "two"]);
        assert_eq!((read(&mut log, first).unwrap(), read(&mut log, first)), (Bytes::from_static(b"two"), None));
        assert!(log.is_whole());
    }

    #[test]
    fn what_does_not_fit_is_kept_for_those_who_lag_up_to_the_bound() {
        let mut log = log(6);
        let (fast, slow) = (log.add_reader(), log.add_reader());
        for piece in ["aaa", "bbb"] {
            log.push(Bytes::from(piece));
            assert_eq!(read(&mut log, fast).unwrap(), piece);
        }
        assert!(log.is_whole());
        log.push(Bytes::from_static(b"ccc"));
        assert!(!log.is_whole() && log.bytes <= 6);
        assert_eq!(read(&mut log, slow).unwrap(), "behind", "more than six bytes behind");
        log.remove_reader(slow);
        assert_eq!(read(&mut log, fast).unwrap(), "ccc");
        assert_eq!(log.bytes, 0, "nobody has anything left to read");
        log.push(Bytes::from_static(b"larger than all the room"));
        assert_eq!(read(&mut log, fast).unwrap(), "larger than all the room");
    }

    #[test]
    fn the_budget_of_all_requests_bounds_what_is_kept() {
        let budget = Budget::default();
        let mut log = Log::new(usize::MAX, budget.hold(), 100_000);
        let reader = log.add_reader();
        for _ in 0..200 {
            log.push(Bytes::from(vec![0; 1000]));
            assert!(read(&mut log, reader).is_some_and(|piece| piece.len() == 1000));
        }
        assert!(!log.is_whole() && budget.used() <= 100_000);
        assert_eq!(log.bytes, 0);
        drop(log);
        assert_eq!(budget.used(), 0);
    }
}
