//! Google's `generateContent`, as AI Studio (`gemini`) and Vertex (`vertex`) serve it; and Claude
//! on Vertex. `usageMetadata.promptTokenCount` includes cached tokens, `candidatesTokenCount` does
//! not include thoughts.

mod adapter;
mod cite;
mod claude;
mod contents;
mod decode;
mod embed;
mod errors;
mod generation;
mod request;
mod vertex;
mod wire;

pub(crate) use adapter::GEMINI;
pub(crate) use vertex::VERTEX;
