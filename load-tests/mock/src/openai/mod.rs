//! OpenAI's formats: chat and legacy completions, also as Azure serves them, and Responses.

mod chat;
mod read;
mod responses;

pub(crate) use chat::OpenAi;
pub(crate) use responses::Responses;
