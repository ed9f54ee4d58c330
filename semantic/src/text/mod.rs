//! A prompt, read: words, numbers, names, code and what is asked for.

mod document;
mod measure;
mod names;
mod normal;
mod phrases;
mod quoted;
mod read;
mod relations;
mod scan;
mod stem;

pub(crate) use document::{Asks, Document, kind_of};
pub(crate) use phrases::Phrases;
pub(crate) use stem::{base, suffixless};
