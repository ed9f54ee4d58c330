//! The count of a whole call, with a memo of messages counted before.

use moka::sync::Cache;
use serde_json::value::RawValue;
use sluice_providers::catalog::{ImageRule, Model, Tokenizer};
use sluice_providers::{BadRequest, Call, Endpoint, Field, elements};

use super::digest::{Digest, Digester};
use super::items;
use super::message::{self, Tally};
use super::{prompt, tools, vocabulary};

/// Shorter JSON is counted faster than it is looked up.
const MEMO_FROM: usize = 200;

/// How a prompt was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// By the model's own vocabulary and chat format.
    Exact,
    /// By the model's own vocabulary, with a bound for what its chat template adds.
    Template,
    /// By another vocabulary times the catalog's factor.
    Ratio,
    /// With parts (remote images, audio, files) whose size had to be guessed.
    Estimate,
}

impl Method {
    /// For logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Template => "template",
            Self::Ratio => "ratio",
            Self::Estimate => "estimate",
        }
    }
}

/// A counted prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Prompt tokens.
    pub input: u64,
    /// Prompts in the call: each is answered on its own.
    pub prompts: u64,
    /// How they were counted.
    pub method: Method,
}

/// Counts calls. Shared by all requests; its memo is bounded.
pub struct Counter {
    memo: Cache<Digest, Tally>,
    digester: Digester,
}

impl Counter {
    /// A counter that remembers up to `memo_entries` messages (about 100 bytes each).
    pub fn new(memo_entries: u64) -> Self {
        Self { memo: Cache::new(memo_entries), digester: Digester::new() }
    }

    /// Loads OpenAI's vocabularies and those of `more`, so that the first request need not. Takes
    /// about a hundred milliseconds of CPU for each, once.
    pub fn warm(&self, more: impl IntoIterator<Item = Tokenizer>) {
        for tokenizer in [Tokenizer::O200k, Tokenizer::Cl100k].into_iter().chain(more) {
            vocabulary::count(tokenizer, "warm");
        }
    }

    /// Tokens of plain text, with the model's ratio.
    pub fn text(&self, tokenizer: Tokenizer, text: &str) -> u64 {
        ratio(tokenizer, vocabulary::count(tokenizer, text))
    }

    /// The tokens of plain text, in order, by the vocabulary nearest to the model's.
    pub fn tokens(&self, tokenizer: Tokenizer, text: &str) -> Vec<u32> {
        vocabulary::encode(tokenizer, text)
    }

    /// Counts a call's prompt. CPU work, linear in the body: large bodies belong off the I/O
    /// threads. Errors name the message that is not one.
    pub fn call(&self, call: &Call, model: &Model) -> Result<Counted, BadRequest> {
        call.utf8()?;
        let (tally, prompts) = match call.endpoint {
            Endpoint::ChatCompletions => (self.chat(call, model)?, 1),
            Endpoint::Messages | Endpoint::CountTokens => (self.items(call, model, Field::Messages, "messages")?, 1),
            Endpoint::Responses => (self.items(call, model, Field::Input, "input")?, 1),
            Endpoint::Completions | Endpoint::Images => plain(call, model, Field::Prompt, "prompt")?,
            Endpoint::Embeddings | Endpoint::Speech => plain(call, model, Field::Input, "input")?,
            // Parts may be pictures, and documents objects: what text there is.
            Endpoint::Moderations => (self.item(call, model, Field::Input)?, 1),
            Endpoint::Rerank => (self.texts(call, model)?, 1),
            // How long the sound is, its provider says.
            Endpoint::Transcriptions => (Tally { tokens: 0, estimated: true }, 1),
        };
        let method = match model.tokenizer {
            _ if tally.estimated => Method::Estimate,
            Tokenizer::Ratio { .. } => Method::Ratio,
            Tokenizer::O200k | Tokenizer::Cl100k => Method::Exact,
            // Embeddings and legacy completions have no template.
            _ if call.endpoint != Endpoint::ChatCompletions => Method::Exact,
            _ => Method::Template,
        };
        Ok(Counted { input: ratio(model.tokenizer, tally.tokens), prompts: prompts.max(1), method })
    }

    fn chat(&self, call: &Call, model: &Model) -> Result<Tally, BadRequest> {
        let raw = call.raw(Field::Messages).unwrap_or("[]");
        let mut total = Tally { tokens: message::overhead(model.tokenizer).reply, estimated: false };
        for (index, raw) in list(raw, "messages")?.into_iter().enumerate() {
            let count = || message::tokens(model, raw, index);
            total.add(self.remembered(model, b'm', raw, count)?);
        }
        for field in [Field::Tools, Field::Functions] {
            let Some(raw) = call.raw(field) else { continue };
            let count = || Ok(Tally { tokens: tools::tokens(model.tokenizer, raw), estimated: false });
            total.add(self.remembered(model, b't', raw, count)?);
        }
        if let Some(schema) = call.raw(Field::ResponseFormat).filter(|raw| raw.contains("json_schema")) {
            total.tokens += vocabulary::count(model.tokenizer, schema);
        }
        Ok(total)
    }

    /// A conversation of content blocks or items, with what stands beside it.
    fn items(&self, call: &Call, model: &Model, field: Field, param: &'static str) -> Result<Tally, BadRequest> {
        let mut total = Tally { tokens: message::overhead(model.tokenizer).reply, estimated: false };
        let raw = call.raw(field).unwrap_or("[]");
        if raw.starts_with('"') {
            total.add(self.item(call, model, field)?);
        } else {
            for (index, raw) in list(raw, param)?.into_iter().enumerate() {
                let wrong = |error| BadRequest::field(param, format!("`{param}[{index}]` is not JSON: {error}"));
                total.add(self.remembered(model, b'i', raw, || items::checked(model, raw).map_err(wrong))?);
            }
        }
        total.add(self.item(call, model, Field::System)?);
        if let Some(raw) = call.raw(Field::Tools) {
            let count = || Ok(Tally { tokens: tools::tokens(model.tokenizer, raw), estimated: false });
            total.add(self.remembered(model, b't', raw, count)?);
        }
        if let Some(schema) = call.raw(Field::ResponseFormat).filter(|raw| raw.contains("json_schema")) {
            total.tokens += vocabulary::count(model.tokenizer, schema);
        }
        Ok(total)
    }

    /// One field of text or content blocks.
    fn item(&self, call: &Call, model: &Model, field: Field) -> Result<Tally, BadRequest> {
        let Some(raw) = call.raw(field) else { return Ok(Tally::default()) };
        self.remembered(model, b'i', raw, || Ok(items::tokens(model, raw)))
    }

    /// All texts of a rerank: the query is read with each document.
    fn texts(&self, call: &Call, model: &Model) -> Result<Tally, BadRequest> {
        let raw = std::str::from_utf8(&call.body).unwrap_or_default();
        self.remembered(model, b'r', raw, || Ok(items::rerank(model, raw)))
    }

    /// The count of this JSON, from the memo if it is there. Errors are not remembered.
    fn remembered(
        &self,
        model: &Model,
        kind: u8,
        raw: &str,
        count: impl FnOnce() -> Result<Tally, BadRequest>,
    ) -> Result<Tally, BadRequest> {
        if raw.len() < MEMO_FROM {
            return count();
        }
        let Some(key) = self.digester.of(context(model, kind), raw) else { return count() };
        if let Some(tally) = self.memo.get(&key) {
            return Ok(tally);
        }
        let tally = count()?;
        self.memo.insert(key, tally);
        Ok(tally)
    }
}

/// The elements of an array. Those that were counted before are known to be JSON, and are not parsed again.
fn list<'a>(raw: &'a str, param: &str) -> Result<Vec<&'a str>, BadRequest> {
    if let Some(found) = elements(raw) {
        return Ok(found);
    }
    let list: Vec<&RawValue> = serde_json::from_str(raw)
        .map_err(|error| BadRequest::field(param, format!("`{param}` must be an array: {error}")))?;
    Ok(list.into_iter().map(RawValue::get).collect())
}

/// Everything but the text that a count depends on.
fn context(model: &Model, kind: u8) -> [u8; 11] {
    let tokenizer: u8 = match model.tokenizer {
        Tokenizer::Cl100k => 1,
        Tokenizer::O200k | Tokenizer::Ratio { .. } => 2,
        Tokenizer::Llama3 => 3,
        Tokenizer::DeepSeek => 4,
        Tokenizer::Qwen => 5,
        Tokenizer::Mistral => 6,
        Tokenizer::Kimi => 7,
        Tokenizer::Glm => 8,
        Tokenizer::MiniMax => 9,
    };
    let (rule, a, b) = match model.images {
        ImageRule::Tile { base, per_tile } => (1u8, base, per_tile),
        ImageRule::Patch { percent } => (2, percent, 0),
        ImageRule::Area { pixels, most } => (3, pixels, most),
        ImageRule::Flat { tokens } => (4, tokens, 0),
        ImageRule::None => (0, 0, 0),
    };
    let bytes = [kind, tokenizer, rule].into_iter().chain(a.to_le_bytes()).chain(b.to_le_bytes());
    let mut context = [0; 11];
    context.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    context
}

fn plain(call: &Call, model: &Model, field: Field, param: &'static str) -> Result<(Tally, u64), BadRequest> {
    let (tokens, prompts) = prompt::tokens(model.tokenizer, call.raw(field).unwrap_or("\"\""), param)?;
    Ok((Tally { tokens, estimated: false }, prompts))
}

fn ratio(tokenizer: Tokenizer, tokens: u64) -> u64 {
    match tokenizer {
        Tokenizer::Ratio { percent } => tokens.saturating_mul(u64::from(percent)).div_ceil(100),
        _ => tokens,
    }
}

#[cfg(test)]
mod tests;
