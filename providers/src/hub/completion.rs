//! A whole answer: the events of one, collected.

use crate::adapter::Usage;
use crate::hub::citation::Citation;
use crate::hub::event::{Event, Finish, Sink};

/// No provider makes more; a number beyond it is a provider's mistake.
const MOST_CHOICES: usize = 128;

/// A part of an answer, in the order it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// Text.
    Text {
        /// What is said.
        text: String,
        /// What it rests on; each has a span.
        citations: Vec<Citation>,
    },
    /// Why the model refuses.
    Refusal(String),
    /// Reasoning, and the provider's seal on it.
    Reasoning {
        /// What the provider shows of it.
        text: String,
        /// Opaque.
        signature: Option<String>,
    },
    /// Reasoning that only the provider can read.
    Redacted(String),
    /// The provider's seal on the text before.
    Seal(String),
    /// A call of a tool.
    Tool {
        /// The id that the result must name.
        id: String,
        /// The tool.
        name: String,
        /// JSON text.
        arguments: String,
        /// The provider's seal on the call.
        signature: Option<String>,
    },
}

/// One alternative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// What was said.
    pub blocks: Vec<Block>,
    /// Why it ended; `None` if it did not.
    pub finish: Option<Finish>,
    /// The stop sequence that was said.
    pub sequence: Option<String>,
    /// Characters of text so far.
    said: usize,
    /// The next text begins a block of its own.
    cut: bool,
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// The provider's id of it.
    pub id: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// The alternatives.
    pub choices: Vec<Choice>,
    /// What it used.
    pub usage: Option<Usage>,
    /// The provider said that it is all.
    pub ended: bool,
}

impl Completion {
    fn choice(&mut self, index: u32) -> &mut Choice {
        let index = (index as usize).min(MOST_CHOICES - 1);
        if self.choices.len() <= index {
            self.choices.resize_with(index + 1, Choice::default);
        }
        &mut self.choices[index]
    }

    /// All that was generated, to be counted where usage is missing.
    pub fn text(&self) -> String {
        let mut all = String::new();
        for block in self.choices.iter().flat_map(|choice| &choice.blocks) {
            match block {
                Block::Text { text, .. } | Block::Refusal(text) | Block::Reasoning { text, .. } => all.push_str(text),
                Block::Redacted(_) | Block::Seal(_) => {}
                Block::Tool { name, arguments, .. } => {
                    all.push_str(name);
                    all.push_str(arguments);
                }
            }
        }
        all
    }
}

impl Choice {
    fn say(&mut self, more: &str) {
        self.said += more.chars().count();
        match self.blocks.last_mut() {
            Some(Block::Text { text, .. }) if !self.cut => text.push_str(more),
            _ => self.blocks.push(Block::Text { text: more.to_owned(), citations: Vec::new() }),
        }
        self.cut = false;
    }

    fn cite(&mut self, citation: &Citation) {
        let cited = Citation { span: Some(citation.span_in(self.said)), ..citation.clone() };
        match self.blocks.last_mut() {
            Some(Block::Text { citations, .. }) if !self.cut => citations.push(cited),
            _ => self.blocks.push(Block::Text { text: String::new(), citations: vec![cited] }),
        }
        self.cut = false;
    }

    fn refuse(&mut self, text: &str) {
        match self.blocks.last_mut() {
            Some(Block::Refusal(said)) => said.push_str(text),
            _ => self.blocks.push(Block::Refusal(text.to_owned())),
        }
    }

    fn reason(&mut self, text: &str) {
        match self.blocks.last_mut() {
            Some(Block::Reasoning { text: said, signature: None }) => said.push_str(text),
            _ => self.blocks.push(Block::Reasoning { text: text.to_owned(), signature: None }),
        }
    }

    fn sign(&mut self, seal: &str) {
        match self.blocks.last_mut() {
            Some(Block::Reasoning { signature: Some(signature), .. }) => signature.push_str(seal),
            Some(Block::Reasoning { signature, .. }) => *signature = Some(seal.to_owned()),
            _ => self.blocks.push(Block::Reasoning { text: String::new(), signature: Some(seal.to_owned()) }),
        }
    }

    fn argue(&mut self, index: u32, json: &str) {
        let tools = self.blocks.iter_mut().filter_map(|block| match block {
            Block::Tool { arguments, .. } => Some(arguments),
            _ => None,
        });
        if let Some(arguments) = tools.into_iter().nth(index as usize) {
            arguments.push_str(json);
        }
    }
}

impl Sink for Completion {
    fn emit(&mut self, event: Event<'_>) {
        match event {
            Event::Start { id, model, .. } => {
                self.id = id.map(str::to_owned);
                self.model = model.map(str::to_owned);
            }
            Event::Text { choice, text } => self.choice(choice).say(text),
            Event::Refusal { choice, text } => self.choice(choice).refuse(text),
            Event::Reasoning { choice, text } => self.choice(choice).reason(text),
            Event::Signature { choice, signature } => self.choice(choice).sign(signature),
            Event::Redacted { choice, data } => self.choice(choice).blocks.push(Block::Redacted(data.to_owned())),
            Event::TextSignature { choice, signature } => {
                self.choice(choice).blocks.push(Block::Seal(signature.to_owned()));
            }
            Event::Passage { choice } => self.choice(choice).cut = true,
            Event::Tool { choice, id, name, signature, .. } => self.choice(choice).blocks.push(Block::Tool {
                id: id.to_owned(),
                name: name.to_owned(),
                arguments: String::new(),
                signature: signature.map(str::to_owned),
            }),
            Event::Arguments { choice, index, json } => self.choice(choice).argue(index, json),
            Event::Citation { choice, citation } => self.choice(choice).cite(citation),
            Event::Finish { choice, reason, sequence } => {
                let choice = self.choice(choice);
                choice.finish = Some(reason);
                choice.sequence = sequence.map(str::to_owned);
            }
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Error(_) => {}
            Event::End => self.ended = true,
        }
    }
}
