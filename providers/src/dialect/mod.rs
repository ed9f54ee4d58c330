//! What a client's API looks like from the hub: one encoder per API, each a stream and a whole
//! answer. A provider that speaks the client's API is not translated at all.

mod chat;
mod chat_stream;
mod cite;
mod kind;
pub(crate) mod messages;
pub(crate) mod responses;
mod seam;

pub use kind::Dialect;
pub use seam::Encoder;
pub(crate) use seam::{encoder, reply, stream};
