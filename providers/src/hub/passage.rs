//! Text that comes in blocks, each with sources of its own: what the decoders of such providers share.

use super::citation::Citation;
use super::event::{Event, Sink};

/// The text so far, and what the block that is open cites.
#[derive(Debug, Default)]
pub(crate) struct Passages {
    /// Characters of all blocks.
    said: usize,
    /// Characters before the block.
    from: usize,
    /// The block has said nothing.
    fresh: bool,
    cited: Vec<Citation>,
}

impl Passages {
    /// Says more in the block.
    pub(crate) fn text(&mut self, text: &str, sink: &mut dyn Sink) {
        if text.is_empty() {
            return;
        }
        if std::mem::take(&mut self.fresh) && self.said > 0 {
            sink.emit(Event::Passage { choice: 0 });
        }
        self.said += text.chars().count();
        sink.emit(Event::Text { choice: 0, text });
    }

    /// A source of the block, wherever in it the provider tells of it.
    pub(crate) fn cite(&mut self, citation: Citation) {
        self.cited.push(citation);
    }

    /// Ends the block: its sources rest on all of it.
    pub(crate) fn close(&mut self, sink: &mut dyn Sink) {
        for mut citation in self.cited.drain(..) {
            citation.span = Some((self.from, self.said));
            sink.emit(Event::Citation { choice: 0, citation: &citation });
        }
        (self.from, self.fresh) = (self.said, true);
    }
}
