//! A mock LLM provider that speaks true wire formats, with faults on demand: OpenAI (chat, legacy
//! completions, Responses and the rest), Azure, Anthropic, Gemini, Vertex and Bedrock.
//!
//! What it does is set at its start ([`Behaviour`]), at `POST /mock/behaviour`, by a header
//! `x-mock`, by a field `mock` in a request's body, or by `[[mock {...}]]` in any text of it, which
//! survives translation. The same behaviour is the same answer in every format. Requests are checked
//! as the real provider checks them, signatures included, and refused in its words. It also issues
//! credentials, as the token endpoints of the clouds do. `GET /inflight` tells how many requests it
//! is answering.

mod accounts;
mod answer;
mod anthropic;
mod bedrock;
mod behaviour;
mod clock;
mod dispatch;
mod embeddings;
mod format;
mod gemini;
mod inflight;
mod kvcache;
mod media;
mod multipart;
mod openai;
mod refusal;
mod respond;
mod route;
mod schema;
mod server;
mod sigv4;
mod stream;
mod tokens;
mod wire;

pub use accounts::{AWS_ACCESS_KEY, AWS_SECRET_KEY, AWS_SESSION_ACCESS_KEY, AWS_SESSION_TOKEN};
pub use behaviour::{Behaviour, Finish, Reason, Reset, Source, ToolCall};
pub use server::{Mock, MockHandle, Received};
