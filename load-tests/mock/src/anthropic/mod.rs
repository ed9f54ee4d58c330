//! Anthropic's Messages, also as Vertex and Bedrock serve them.

mod blocks;
mod check;
mod render;

pub(crate) use check::count_tokens;
pub(crate) use render::Anthropic;
