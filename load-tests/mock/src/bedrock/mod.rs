//! Bedrock's Converse, and the embedding models behind its `InvokeModel`.

mod check;
mod invoke;
mod render;

pub(crate) use invoke::embed;
pub(crate) use render::Converse;
