//! A conversation, typed: who said what, in parts.

use std::borrow::Cow;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The operator: `system` and `developer`.
    System,
    /// The user, and the results of tools.
    User,
    /// The model.
    Assistant,
}

/// A mark up to which the provider should cache the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheMark {
    /// How long: `5m` or `1h`.
    pub ttl: Option<String>,
}

/// Where the bytes of an image or a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Media<'a> {
    /// The provider must fetch it; the gateway never does.
    Url(Cow<'a, str>),
    /// Here.
    Data(Blob<'a>),
    /// Uploaded to the provider before, by its id.
    Id(Cow<'a, str>),
    /// Here, as plain text.
    Text(Cow<'a, str>),
}

/// Bytes with a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob<'a> {
    /// Such as `image/png`.
    pub media_type: Cow<'a, str>,
    /// Base64.
    pub data: Cow<'a, str>,
}

/// Sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audio<'a> {
    /// `wav` or `mp3`.
    pub format: Cow<'a, str>,
    /// Base64.
    pub data: Cow<'a, str>,
}

/// What a tool returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult<'a> {
    /// The call it answers.
    pub id: Cow<'a, str>,
    /// The tool that was called.
    pub name: Cow<'a, str>,
    /// Text and images.
    pub parts: Vec<Part<'a>>,
    /// The tool failed.
    pub failed: bool,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// An image, and how closely to look at it.
    Image {
        /// Where it is.
        media: Media<'a>,
        /// `low`, `high` or `auto`.
        detail: Option<Cow<'a, str>>,
    },
    /// A file, most often a PDF.
    File {
        /// Where it is.
        media: Media<'a>,
        /// Its name.
        name: Option<Cow<'a, str>>,
        /// The answer must cite what it takes from it.
        cited: bool,
    },
    /// Sound.
    Audio(Audio<'a>),
    /// Reasoning of an earlier turn, with the provider's seal.
    Thinking {
        /// What the provider showed.
        text: Cow<'a, str>,
        /// Opaque.
        signature: Cow<'a, str>,
    },
    /// Reasoning that only the provider can read.
    Redacted(Cow<'a, str>),
    /// A call of a tool.
    ToolCall {
        /// Its id.
        id: Cow<'a, str>,
        /// The tool.
        name: Cow<'a, str>,
        /// JSON text.
        arguments: Cow<'a, str>,
        /// The provider's seal on the call.
        signature: Option<Cow<'a, str>>,
    },
    /// What a tool returned.
    ToolResult(ToolResult<'a>),
    /// The part before should be cached.
    Cache(CacheMark),
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// The name of the participant.
    pub name: Option<Cow<'a, str>>,
    /// What is said.
    pub parts: Vec<Part<'a>>,
    /// The provider's seal on the text.
    pub text_signature: Option<Cow<'a, str>>,
    /// Where it stands in the client's request, for error messages.
    pub index: usize,
}
