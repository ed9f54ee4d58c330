//! A whole answer as a message.

use serde_json::{Value, json};

use crate::adapter::{Exchange, Usage};
use crate::hub::{Block, Choice, Completion, Finish};

/// The body of `/v1/messages`.
pub(crate) fn whole(answer: &Completion, exchange: &Exchange<'_>) -> Value {
    let none = Choice::default();
    let choice = answer.choices.first().unwrap_or(&none);
    let content: Vec<Value> = choice.blocks.iter().map(block).collect();
    json!({
        "id": id(answer.id.as_deref().unwrap_or(&exchange.call.stamp.id)),
        "type": "message",
        "role": "assistant",
        "model": answer.model.as_deref().unwrap_or(&exchange.target.model),
        "content": content,
        "stop_reason": choice.finish.map(stop_reason),
        "stop_sequence": choice.sequence,
        "usage": usage(&answer.usage.unwrap_or_default()),
    })
}

/// An id that looks like Anthropic's.
pub(super) fn id(id: &str) -> String {
    if id.starts_with("msg_") { id.to_owned() } else { format!("msg_{id}") }
}

fn block(block: &Block) -> Value {
    match block {
        Block::Text(text) | Block::Refusal(text) => json!({"type": "text", "text": text}),
        Block::Reasoning { text, signature } => {
            json!({"type": "thinking", "thinking": text, "signature": signature.as_deref().unwrap_or("")})
        }
        Block::Redacted(data) => json!({"type": "redacted_thinking", "data": data}),
        Block::Tool { id, name, arguments, signature } => {
            let mut call = json!({"type": "tool_use", "id": id, "name": name, "input": input(arguments)});
            if let Some(signature) = signature {
                call["extra_content"] = json!({"google": {"thought_signature": signature}});
            }
            call
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
