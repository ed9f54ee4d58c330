//! Sound that goes through as it comes: whoever waits for all of it hears nothing meanwhile.

use bytes::Bytes;

use crate::adapter::{StreamOut, StreamTranslator, TranslateError};

/// Nothing is read of it: what it costs is known from the request.
pub(super) struct Sound;

impl StreamTranslator for Sound {
    fn push(&mut self, input: Bytes, out: &mut StreamOut) -> Result<(), TranslateError> {
        if !input.is_empty() {
            out.content = true;
            out.frames.push(input);
        }
        Ok(())
    }

    /// Nothing in it says that it is complete: its connection does.
    fn finish(&mut self, out: &mut StreamOut) -> Result<(), TranslateError> {
        out.done = true;
        Ok(())
    }
}
