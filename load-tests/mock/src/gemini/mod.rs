//! Gemini's generateContent, from AI Studio and from Vertex.

mod check;
mod embed;
mod render;
mod schema;

pub(crate) use check::count_tokens;
pub(crate) use embed::{embed, predict};
pub(crate) use render::Gemini;
