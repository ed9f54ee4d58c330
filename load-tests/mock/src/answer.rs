//! What a request asks for and what the model says, before either has a format: the same behaviour
//! is the same text, calls and numbers in every one.

use std::borrow::Cow;
use std::iter::Peekable;

use serde_json::Value;

use crate::behaviour::{Behaviour, Finish, Source};
use crate::schema;

/// Single tokens of OpenAI's vocabularies.
const WORDS: [&str; 12] =
    [" the", " river", " runs", " under", " stone", " and", " light", " over", " water", " to", " open", " sea"];
/// Said by a model that is asked to think and not told what.
const THOUGHT: &str = "The user asks, so I answer.";
/// The argument fragments of the call that `reply_tool` asks for.
const ARGUMENTS: [&str; 3] = ["{\"city\":", "\"Paris\"", "}"];
/// A script's arguments and a schema's answer are cut into pieces of about so many bytes.
const FRAGMENT: usize = 8;

/// A tool as a request offers it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) schema: Value,
}

/// Which tool the model has to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    #[default]
    Auto,
    None,
    Any,
    Named(String),
}

/// How the answer must be shaped.
#[derive(Clone, Debug, Default)]
pub(crate) enum Shape {
    #[default]
    Text,
    /// Any JSON object.
    Object,
    /// What this JSON Schema allows.
    Schema(Value),
}

/// One request as the mock reads it.
#[expect(clippy::struct_excessive_bools, reason = "independent facts of a request")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) body: Value,
    pub(crate) behaviour: Behaviour,
    pub(crate) model: String,
    pub(crate) streams: bool,
    /// Answers wanted, at least 1.
    pub(crate) choices: usize,
    /// The bound of the answer, tokens.
    pub(crate) bound: Option<u64>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) choice: Choice,
    /// At most one tool may be called.
    pub(crate) single: bool,
    pub(crate) shape: Shape,
    /// The model is asked to think before it answers.
    pub(crate) thinks: bool,
    /// The last turn brings the results of tools.
    pub(crate) answers_tools: bool,
    /// Words of the prompt.
    pub(crate) words: u64,
}

/// Tokens: `input` is the whole prompt, `output` includes `reasoning`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) written: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
}

impl Numbers {
    /// The prompt without what a cache had to do with.
    pub(crate) fn fresh(&self) -> u64 {
        self.input - self.cached - self.written
    }
}

/// The smallest part of an answer: one content chunk of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    Reasoning(Cow<'static, str>),
    Text(Cow<'static, str>),
    Call { index: usize, id: String, name: String },
    Arguments { index: usize, text: Cow<'static, str> },
}

impl Piece {
    /// Pieces of one block have one key.
    fn block(&self) -> (u8, usize) {
        match self {
            Self::Reasoning(_) => (0, 0),
            Self::Text(_) => (1, 0),
            Self::Call { index, .. } | Self::Arguments { index, .. } => (2, *index),
        }
    }
}

/// A piece and where it stands in its block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) piece: Piece,
    /// The block's place among all blocks of the answer.
    pub(crate) block: usize,
    pub(crate) opens: bool,
    pub(crate) closes: bool,
}

/// A block of a whole answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Block {
    Reasoning(String),
    Text(String),
    Call { id: String, name: String, arguments: String },
}

type Pieces = Box<dyn Iterator<Item = Piece> + Send>;

impl Asked {
    /// The answer in order; made as it is needed, however long it is. `prefix` begins the ids of
    /// calls.
    pub(crate) fn steps(&self, prefix: &'static str) -> Steps {
        let pieces = self.reasoning().chain(self.text()).chain(self.calls(prefix));
        let pieces: Pieces = Box::new(pieces);
        Steps { pieces: pieces.peekable(), block: 0, opens: true }
    }

    /// The answer in whole blocks.
    pub(crate) fn blocks(&self, prefix: &'static str) -> Vec<Block> {
        let mut blocks = Vec::new();
        for step in self.steps(prefix) {
            match (step.piece, blocks.last_mut().filter(|_| !step.opens)) {
                (Piece::Reasoning(word), Some(Block::Reasoning(text)))
                | (Piece::Text(word), Some(Block::Text(text))) => text.push_str(&word),
                (Piece::Arguments { text, .. }, Some(Block::Call { arguments, .. })) => arguments.push_str(&text),
                (Piece::Reasoning(word), _) => blocks.push(Block::Reasoning(word.into_owned())),
                (Piece::Text(word), _) => blocks.push(Block::Text(word.into_owned())),
                (Piece::Call { id, name, .. }, _) => blocks.push(Block::Call { id, name, arguments: String::new() }),
                (Piece::Arguments { .. }, _) => {}
            }
        }
        blocks
    }

    /// The text of the answer.
    pub(crate) fn said(&self) -> String {
        let text = |step: Step| if let Piece::Text(word) = step.piece { Some(word) } else { None };
        self.steps("").filter_map(text).collect()
    }

    /// What a step is the last word of cites: text, where the behaviour says so.
    pub(crate) fn cited(&self, step: &Step) -> &[Source] {
        if step.closes && matches!(step.piece, Piece::Text(_)) { &self.behaviour.sources } else { &[] }
    }

    /// Why the answer ends.
    pub(crate) fn finish(&self) -> Finish {
        let natural = if self.plan().is_empty() { Finish::Stop } else { Finish::ToolCalls };
        self.behaviour.finish.unwrap_or(natural)
    }

    /// What the answer costs. Every choice is generated, the prompt is read once.
    pub(crate) fn numbers(&self) -> Numbers {
        let reasoning = self.reasoning().count() as u64;
        let said = self.length() as u64 + self.calls("").count() as u64;
        let output = (reasoning + said) * self.choices.max(1) as u64;
        let input = self.behaviour.prompt_tokens.unwrap_or(self.words + 8);
        let cached = self.behaviour.cached_tokens.min(input);
        Numbers {
            input,
            cached,
            written: self.behaviour.cache_write_tokens.min(input - cached),
            output: self.behaviour.completion_tokens.unwrap_or(output),
            reasoning,
        }
    }

    fn reasoning(&self) -> Pieces {
        let default = self.thinks.then(|| THOUGHT.to_owned());
        let Some(thought) = self.behaviour.reasoning.clone().or(default) else {
            return Box::new(std::iter::empty());
        };
        let words: Vec<_> = thought.split_inclusive(' ').map(|word| Piece::Reasoning(word.to_owned().into())).collect();
        Box::new(words.into_iter())
    }

    /// The text that is not made up word by word.
    fn fixed(&self) -> Option<Vec<String>> {
        if let Some(text) = &self.behaviour.text {
            return Some(text.split_inclusive(' ').map(str::to_owned).collect());
        }
        match &self.shape {
            _ if !self.plan().is_empty() => Some(Vec::new()),
            Shape::Schema(schema) => Some(fragments(&schema::instance(schema).to_string())),
            Shape::Object => Some(fragments("{\"answer\":\"the river runs\"}")),
            Shape::Text => None,
        }
    }

    fn text(&self) -> Pieces {
        if let Some(mut words) = self.fixed() {
            if let Some(first) = words.first_mut().filter(|_| self.behaviour.pad_event > 0) {
                first.push_str(&"x".repeat(self.behaviour.pad_event));
            }
            return Box::new(words.into_iter().map(|word| Piece::Text(word.into())));
        }
        let words = WORDS.into_iter().cycle().map(Cow::Borrowed).take(self.length());
        let pad = self.behaviour.pad_event;
        Box::new(words.enumerate().map(move |(index, word)| match (index, pad) {
            (0, 1..) => Piece::Text(format!("{word}{}", "x".repeat(pad)).into()),
            _ => Piece::Text(word),
        }))
    }

    /// How many tokens of text the answer has.
    fn length(&self) -> usize {
        if let Some(words) = self.fixed() {
            return words.len();
        }
        let count = self.behaviour.tokens.unwrap_or_else(|| self.bound.unwrap_or(10).min(10));
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// The calls to make: what the behaviour says, else what the request forces.
    fn plan(&self) -> Vec<(String, Vec<Cow<'static, str>>)> {
        if self.tools.is_empty() || self.choice == Choice::None {
            return Vec::new();
        }
        if !self.behaviour.calls.is_empty() {
            let scripted = |call: &crate::behaviour::ToolCall| {
                let arguments = if call.arguments.is_null() { "{}".to_owned() } else { call.arguments.to_string() };
                (call.name.clone(), fragments(&arguments).into_iter().map(Cow::Owned).collect())
            };
            let most = if self.answers_tools {
                0
            } else if self.single {
                1
            } else {
                usize::MAX
            };
            return self.behaviour.calls.iter().take(most).map(scripted).collect();
        }
        let forced = match &self.choice {
            Choice::Named(name) => self.tools.iter().find(|tool| tool.name == *name),
            _ => self.tools.first(),
        };
        let Some(tool) = forced else { return Vec::new() };
        if self.behaviour.reply_tool && !self.answers_tools {
            return vec![(tool.name.clone(), ARGUMENTS.map(Cow::Borrowed).to_vec())];
        }
        if matches!(self.choice, Choice::Auto) {
            return Vec::new();
        }
        let arguments = schema::instance(&tool.schema).to_string();
        vec![(tool.name.clone(), fragments(&arguments).into_iter().map(Cow::Owned).collect())]
    }

    fn calls(&self, prefix: &'static str) -> Pieces {
        let calls = self.plan().into_iter().enumerate().flat_map(move |(index, (name, parts))| {
            let call = Piece::Call { index, id: format!("{prefix}mock_{}", index + 1), name };
            std::iter::once(call).chain(parts.into_iter().map(move |text| Piece::Arguments { index, text }))
        });
        Box::new(calls)
    }
}

/// The pieces of an answer, each knowing whether its block begins or ends with it.
pub(crate) struct Steps {
    pieces: Peekable<Pieces>,
    block: usize,
    opens: bool,
}

impl Iterator for Steps {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let piece = self.pieces.next()?;
        let closes = self.pieces.peek().is_none_or(|next| next.block() != piece.block());
        let step = Step { piece, block: self.block, opens: self.opens, closes };
        self.opens = closes;
        self.block += usize::from(closes);
        Some(step)
    }
}

/// The text in pieces that a tokenizer might have made of it.
fn fragments(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for c in text.chars() {
        match parts.last_mut().filter(|part| part.len() < FRAGMENT) {
            Some(part) => part.push(c),
            None => parts.push(c.to_string()),
        }
    }
    parts
}

/// Words of all strings below a value.
pub(crate) fn words_in(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.split_whitespace().count() as u64,
        Value::Array(items) => items.iter().map(words_in).sum(),
        Value::Object(fields) => fields.values().map(words_in).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::behaviour::ToolCall;

    fn asked(behaviour: Behaviour) -> Asked {
        let tools = ["one", "two"].map(|name| Tool { name: name.to_owned(), schema: json!({"type": "object"}) });
        Asked { behaviour, tools: tools.to_vec(), choices: 1, ..Asked::default() }
    }

    #[test]
    fn blocks_open_and_close_once() {
        let calls =
            ["one", "two"].map(|name| ToolCall { name: name.to_owned(), arguments: json!({"a": "b".repeat(20)}) });
        let behaviour = Behaviour {
            reasoning: Some("let me think".to_owned()),
            text: Some("I call both.".to_owned()),
            calls: calls.to_vec(),
            ..Behaviour::default()
        };
        let asked = asked(behaviour);
        let steps: Vec<Step> = asked.steps("call_").collect();
        assert_eq!(steps.iter().filter(|step| step.opens).count(), 4);
        assert_eq!(steps.iter().filter(|step| step.closes).count(), 4);
        assert_eq!(steps.last().unwrap().block, 3);
        let blocks = asked.blocks("call_");
        assert_eq!(blocks[0], Block::Reasoning("let me think".to_owned()));
        assert_eq!(blocks[1], Block::Text("I call both.".to_owned()));
        let Block::Call { id, name, arguments } = &blocks[3] else { panic!("{blocks:?}") };
        assert_eq!((id.as_str(), name.as_str()), ("call_mock_2", "two"));
        assert_eq!(*arguments, json!({"a": "b".repeat(20)}).to_string());
        assert_eq!(asked.finish(), Finish::ToolCalls);
        let numbers = asked.numbers();
        assert_eq!((numbers.output, numbers.reasoning), (steps.len() as u64, 3));
    }

    #[test]
    fn forced_tools_and_schemas_are_obeyed() {
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
        let tools = vec![Tool { name: "one".to_owned(), schema: schema.clone() }];
        let forced = Asked { tools, choice: Choice::Any, ..asked(Behaviour::default()) };
        assert!(matches!(&forced.blocks("")[..], [Block::Call { arguments, .. }] if arguments == "{\"n\":1}"));
        let shaped = Asked { shape: Shape::Schema(schema), ..Asked::default() };
        assert_eq!(shaped.blocks(""), [Block::Text("{\"n\":1}".to_owned())]);
        let none = Asked { choice: Choice::None, ..asked(Behaviour { reply_tool: true, ..Behaviour::default() }) };
        assert!(matches!(&none.blocks("")[..], [Block::Text(_)]));
    }

    #[test]
    fn results_of_tools_are_answered_with_text() {
        let behaviour = Behaviour { reply_tool: true, ..Behaviour::default() };
        assert_eq!(asked(behaviour.clone()).finish(), Finish::ToolCalls);
        let second = Asked { answers_tools: true, ..asked(behaviour) };
        assert_eq!(second.finish(), Finish::Stop);
        assert!(matches!(&second.blocks("")[..], [Block::Text(_)]));
    }
}
