//! A whole answer as a chat completion.

use serde_json::{Map, Value, json};

use super::cite;
use crate::adapter::{Exchange, Usage};
use crate::hub::{Block, Choice, Citation, Completion, Finish};

/// The body of `/v1/chat/completions`.
pub(super) fn whole(answer: &Completion, exchange: &Exchange<'_>) -> Value {
    let choices: Vec<Value> = answer.choices.iter().enumerate().map(|(index, choice)| one(choice, index)).collect();
    let mut body = json!({
        "id": answer.id.as_deref().unwrap_or(&exchange.call.stamp.id),
        "object": "chat.completion",
        "created": exchange.call.stamp.created,
        "model": answer.model.as_deref().unwrap_or(&exchange.target.model),
        "choices": choices,
    });
    if let Some(usage) = &answer.usage {
        body["usage"] = self::usage(usage);
    }
    body
}

fn one(choice: &Choice, index: usize) -> Value {
    let mut said = Said::default();
    choice.blocks.iter().for_each(|block| said.take(block));
    let mut message = Map::new();
    message.insert("role".to_owned(), "assistant".into());
    message.insert("content".to_owned(), said.content.map_or(Value::Null, Value::from));
    message.insert("refusal".to_owned(), said.refusal.map_or(Value::Null, Value::from));
    let mut extend = |name: &str, values: Vec<Value>| {
        if !values.is_empty() {
            message.insert(name.to_owned(), values.into());
        }
    };
    extend("tool_calls", said.tools);
    extend("thinking_blocks", said.thinking);
    extend("annotations", said.annotations);
    extend("citations", said.citations);
    if let Some(reasoning) = said.reasoning {
        message.insert("reasoning_content".to_owned(), reasoning.into());
    }
    if let Some(signature) = said.seal {
        message.insert("extra_content".to_owned(), json!({"google": {"thought_signature": signature}}));
    }
    let finish = choice.finish.map(Finish::openai);
    json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish})
}

/// The parts of a message, by the fields they become.
#[derive(Default)]
struct Said {
    content: Option<String>,
    refusal: Option<String>,
    reasoning: Option<String>,
    tools: Vec<Value>,
    thinking: Vec<Value>,
    annotations: Vec<Value>,
    citations: Vec<Value>,
    seal: Option<String>,
}

impl Said {
    fn cite(&mut self, citation: &Citation) {
        match cite::chat_annotation(citation, citation.span_in(0)) {
            Some(annotation) => self.annotations.push(annotation),
            None => self.citations.extend(cite::raw(citation)),
        }
    }

    fn take(&mut self, block: &Block) {
        let add = |to: &mut Option<String>, text: &str| to.get_or_insert_default().push_str(text);
        match block {
            Block::Text { text, citations } => {
                add(&mut self.content, text);
                for citation in citations {
                    self.cite(citation);
                }
            }
            Block::Seal(seal) => self.seal = Some(seal.clone()),
            Block::Refusal(text) => add(&mut self.refusal, text),
            Block::Reasoning { text, signature } => {
                if !text.is_empty() {
                    add(&mut self.reasoning, text);
                }
                if let Some(signature) = signature {
                    self.thinking.push(json!({"type": "thinking", "thinking": text, "signature": signature}));
                }
            }
            Block::Redacted(data) => self.thinking.push(json!({"type": "redacted_thinking", "data": data})),
            Block::Tool { id, name, arguments, signature } => {
                let function = json!({"name": name, "arguments": arguments});
                let mut call = json!({"id": id, "type": "function", "function": function});
                if let Some(signature) = signature {
                    call["extra_content"] = json!({"google": {"thought_signature": signature}});
                }
                self.tools.push(call);
            }
        }
    }
}

/// `usage`, cache-inclusive as `OpenAI`'s is.
pub(crate) fn usage(usage: &Usage) -> Value {
    let mut prompt = json!({"cached_tokens": usage.cached_input});
    if usage.cache_write > 0 {
        prompt["cache_write_tokens"] = usage.cache_write.into();
    }
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input.saturating_add(usage.output),
        "prompt_tokens_details": prompt,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    })
}
