//! A whole answer as a message.

use serde_json::{Value, json};

use crate::adapter::{Exchange, Usage};
use crate::dialect::cite;
use crate::hub::{Block, Choice, Completion, Finish, seal};

/// The body of `/v1/messages`.
pub(crate) fn whole(answer: &Completion, exchange: &Exchange<'_>) -> Value {
    let none = Choice::default();
    let choice = answer.choices.first().unwrap_or(&none);
    let mut content = Vec::with_capacity(choice.blocks.len());
    choice.blocks.iter().for_each(|block| add(block, &mut content));
    json!({
        "id": id(answer.id.as_deref().unwrap_or(&exchange.call.stamp.id)),
        "type": "message",
        "role": "assistant",
        "model": answer.model.as_deref().unwrap_or(&exchange.target.model),
        "content": content,
        "stop_reason": choice.finish.map(stop_reason),
        "stop_sequence": choice.sequence,
        "usage": usage(&answer.usage.unwrap_or(Usage { input: exchange.prompt, ..Usage::default() })),
    })
}

/// An id that looks like Anthropic's.
pub(super) fn id(id: &str) -> String {
    if id.starts_with("msg_") { id.to_owned() } else { format!("msg_{id}") }
}

fn add(block: &Block, content: &mut Vec<Value>) {
    if let Block::Tool { signature: Some(signature), .. } = block {
        let seal = seal::of_call(signature);
        match content.last_mut() {
            // Reasoning before the call carries its seal.
            Some(thinking) if thinking["type"] == "thinking" && thinking["signature"] == "" => {
                thinking["signature"] = seal.into();
            }
            _ => content.push(redacted(&seal)),
        }
    }
    content.push(self::block(block));
}

/// Reasoning that clients send back unread.
pub(super) fn redacted(data: &str) -> Value {
    json!({"type": "redacted_thinking", "data": data})
}

fn block(block: &Block) -> Value {
    match block {
        Block::Refusal(text) => json!({"type": "text", "text": text}),
        Block::Text { text, citations } => {
            let mut cited: Vec<Value> = Vec::new();
            for citation in citations.iter().filter_map(cite::of_block) {
                // Other APIs cite a source for each passage; here the block is one.
                if !cited.contains(&citation) {
                    cited.push(citation);
                }
            }
            let mut block = json!({"type": "text", "text": text});
            if !cited.is_empty() {
                block["citations"] = cited.into();
            }
            block
        }
        Block::Reasoning { text, signature } => {
            json!({"type": "thinking", "thinking": text, "signature": signature.as_deref().unwrap_or("")})
        }
        Block::Redacted(data) => redacted(data),
        Block::Seal(seal) => redacted(&seal::of_text(seal)),
        Block::Tool { id, name, arguments, .. } => {
            json!({"type": "tool_use", "id": id, "name": name, "input": input(arguments)})
        }
    }
}

/// Arguments as the object that `input` must be. What a model wrote wrongly is kept, under one name.
fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    let read = serde_json::from_str::<Value>(arguments).ok().filter(Value::is_object);
    read.unwrap_or_else(|| json!({"arguments": arguments}))
}

/// Anthropic's `stop_reason`.
pub(super) fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::StopSequence => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter | Finish::Refusal => "refusal",
        Finish::Pause => "pause_turn",
    }
}

/// `usage`, where `input_tokens` leaves out what was read from or written to a cache.
pub(super) fn usage(usage: &Usage) -> Value {
    let beside = usage.cached_input.saturating_add(usage.cache_write);
    json!({
        "input_tokens": usage.input.saturating_sub(beside),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached_input,
        "output_tokens": usage.output,
    })
}
