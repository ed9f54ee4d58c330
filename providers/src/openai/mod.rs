//! `OpenAI`, and every provider that speaks its API. The client's bytes go through as they are,
//! but for what must change; `usage.prompt_tokens` includes cached tokens.

mod adapter;
mod azure;
mod cite;
mod decode;
pub(crate) mod errors;
mod form;
pub(crate) mod kinds;
mod passing;
pub(crate) mod request;
mod sound;
mod stream;
mod turns;
mod wire;
mod write;

pub(crate) use adapter::OpenAi;
pub(crate) use azure::AZURE;
