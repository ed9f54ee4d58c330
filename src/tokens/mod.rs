//! Counts prompts before they are spent: text by the model's own vocabulary, chats with the
//! overhead of their format, tools, images, and a memo so that a conversation costs its new turn.

mod counter;
mod digest;
mod image;
mod items;
mod message;
mod prompt;
mod tools;
mod vocabulary;

pub use counter::{Counted, Counter, Method};
