//! One chat message: its text, tool calls, images and other parts, and the overhead of the format.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sluice_providers::BadRequest;
use sluice_providers::catalog::{Model, Tokenizer};

use super::image;
use super::vocabulary::count;

/// A `name` costs this beside its text.
const NAME: u64 = 1;
/// Bytes of compressed audio a second, and tokens a second, where only the bytes are known.
const AUDIO_BYTES: u64 = 16_000;
const AUDIO_TOKENS: u64 = 10;
/// Bytes of a document per token, where only the bytes are known.
pub(super) const FILE_BYTES: u64 = 50;

/// What a chat format adds to the text of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overhead {
    /// Every message, and every call in one.
    pub(super) message: u64,
    /// The beginning of the prompt and of the reply, once.
    pub(super) reply: u64,
}

/// OpenAI's format is known. The templates of open models differ: of those in use the dearest
/// (Llama 3) spends five tokens on a message and its end, and six around all of them.
pub(super) fn overhead(tokenizer: Tokenizer) -> Overhead {
    match tokenizer {
        Tokenizer::O200k | Tokenizer::Cl100k | Tokenizer::Ratio { .. } => Overhead { message: 3, reply: 3 },
        _ => Overhead { message: 5, reply: 8 },
    }
}

/// Tokens, and whether any of them had to be estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) tokens: u64,
    pub(super) estimated: bool,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.estimated |= other.estimated;
    }

    fn exact(tokens: u64) -> Self {
        Self { tokens, estimated: false }
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    name: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<ToolCall>>,
    function_call: Option<Function>,
}

#[derive(Deserialize)]
struct ToolCall {
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    text: Option<String>,
    refusal: Option<String>,
    #[serde(borrow)]
    image_url: Option<ImageUrl<'a>>,
    #[serde(borrow)]
    input_audio: Option<Data<'a>>,
    #[serde(borrow)]
    file: Option<Data<'a>>,
}

#[derive(Deserialize)]
struct ImageUrl<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, alias = "file_data")]
    data: Option<&'a RawValue>,
}

/// Tokens of the message with this JSON; `index` is for errors.
pub(super) fn tokens(model: &Model, raw: &str, index: usize) -> Result<Tally, BadRequest> {
    let wrong = |what: &str| BadRequest::field(format!("messages[{index}]{what}"), String::new());
    let message: Message<'_> = serde_json::from_str(raw).map_err(|error| {
        let message = format!("`messages[{index}]` is not a message: {error}");
        BadRequest { message, ..wrong("") }
    })?;
    let text = |text: &str| count(model.tokenizer, text);
    let added = overhead(model.tokenizer).message;
    let mut tally = Tally::exact(added + text(&message.role));
    if let Some(name) = &message.name {
        tally.tokens += NAME + text(name);
    }
    tally.tokens += message.refusal.as_deref().map_or(0, text);
    let calls = message.tool_calls.iter().flatten().filter_map(|call| call.function.as_ref());
    for function in calls.chain(message.function_call.as_ref()) {
        // Each call is rendered with its name, its arguments and a separator.
        tally.tokens +=
            added + function.name.as_deref().map_or(0, text) + function.arguments.as_deref().map_or(0, text);
    }
    let Some(content) = message.content.map(RawValue::get) else { return Ok(tally) };
    let bad = |error: String| BadRequest { message: error, ..wrong(".content") };
    if content.starts_with('"') {
        let content: Content<'_> = serde_json::from_str(content).map_err(|error| bad(error.to_string()))?;
        tally.tokens += text(&content.0);
    } else if content.starts_with('[') {
        let parts: Vec<Part<'_>> = serde_json::from_str(content)
            .map_err(|error| bad(format!("`messages[{index}].content` has a part that is not understood: {error}")))?;
        for part in &parts {
            tally.add(part_tokens(model, part));
        }
    } else {
        return Err(bad(format!("`messages[{index}].content` must be a string or an array of parts")));
    }
    Ok(tally)
}

/// A string that borrows if it has no escapes.
#[derive(Deserialize)]
struct Content<'a>(#[serde(borrow)] Cow<'a, str>);

fn part_tokens(model: &Model, part: &Part<'_>) -> Tally {
    let text = |text: &Option<String>| text.as_deref().map_or(0, |text| count(model.tokenizer, text));
    let bytes = |data: &Option<Data<'_>>| {
        let base64 = data.as_ref().and_then(|data| data.data).map_or(0, |raw| raw.get().len() as u64);
        base64 / 4 * 3
    };
    match &*part.kind {
        "image_url" => {
            let Some(image) = &part.image_url else { return Tally { tokens: 0, estimated: true } };
            let (tokens, known) = image::tokens(model.images, &image.url, image.detail.as_deref());
            Tally { tokens, estimated: !known }
        }
        "input_audio" => {
            let tokens = bytes(&part.input_audio).div_ceil(AUDIO_BYTES).saturating_mul(AUDIO_TOKENS);
            Tally { tokens, estimated: true }
        }
        "file" => Tally { tokens: bytes(&part.file).div_ceil(FILE_BYTES), estimated: true },
        "text" | "refusal" => Tally::exact(text(&part.text) + text(&part.refusal)),
        // A part that is newer than this gateway: what text it has, and no promise.
        _ => Tally { tokens: text(&part.text), estimated: true },
    }
}
