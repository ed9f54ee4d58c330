//! A prompt, read: words, numbers, names, code and what is asked for.

mod document;
mod names;
mod normal;
mod scan;
mod stem;

pub(crate) use document::Document;
pub(crate) use stem::base;
