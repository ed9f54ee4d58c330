//! Endpoints that do not chat: moderations, images, speech, transcriptions, rerank.

use bytes::Bytes;
use http::request::Parts;
use serde_json::{Map, Value, json};

use crate::answer::words_in;
use crate::behaviour::Behaviour;
use crate::format::{Heard, items};
use crate::multipart;
use crate::refusal::Refusal;
use crate::wire::{self, Events};

const CREATED: u64 = 1_700_000_000;
/// A PNG of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
/// Said to have been heard.
const HEARD: &str = "the river runs under stone";

fn required<'a>(body: &'a Value, name: &str) -> Result<&'a str, Refusal> {
    let missing = || Refusal::invalid(format!("Missing required parameter: '{name}'.")).param(name);
    body[name].as_str().ok_or_else(missing)
}

/// `POST /v1/moderations`: text with `kill` in it is flagged.
pub(crate) fn moderations(heard: &Heard<'_>) -> Result<Value, Refusal> {
    let input = &heard.body["input"];
    if input.is_null() {
        return Err(Refusal::invalid("Missing required parameter: 'input'.").param("input"));
    }
    let inputs = if input.is_array() { items(input).to_vec() } else { vec![input.clone()] };
    let names = ["harassment", "hate", "self-harm", "sexual", "violence"];
    let results: Vec<Value> = inputs
        .iter()
        .map(|input| {
            let flagged = input.to_string().contains("kill");
            let with = |value: &dyn Fn(bool) -> Value| -> Value {
                let fields = names.map(|name| (name.to_owned(), value(flagged && name == "violence")));
                Value::Object(Map::from_iter(fields))
            };
            json!({"flagged": flagged, "categories": with(&|hit| hit.into()),
                "category_scores": with(&|hit| if hit { json!(0.98) } else { json!(0.001) })})
        })
        .collect();
    let model = heard.body["model"].as_str().unwrap_or("omni-moderation-latest");
    Ok(json!({"id": "modr-mock", "model": model, "results": results}))
}

/// `POST /v1/images/generations`.
pub(crate) fn images(heard: &Heard<'_>) -> Result<Value, Refusal> {
    let body = &heard.body;
    let prompt = required(body, "prompt")?;
    let count = body["n"].as_u64().unwrap_or(1);
    if !(1..=10).contains(&count) {
        return Err(Refusal::invalid("Invalid 'n': expected a value between 1 and 10.").param("n"));
    }
    let newer = body["model"].as_str().is_some_and(|model| model.starts_with("gpt-image"));
    if newer && !body["response_format"].is_null() {
        return Err(Refusal::invalid("Unknown parameter: 'response_format'.").param("response_format"));
    }
    let image = if newer || body["response_format"] == "b64_json" {
        json!({"b64_json": PIXEL})
    } else {
        json!({"url": "https://images.example.com/mock.png", "revised_prompt": prompt})
    };
    let data: Vec<Value> = (0..count).map(|_| image.clone()).collect();
    let mut answer = json!({"created": CREATED, "data": data});
    if newer {
        let input = heard.behaviour.prompt_tokens.unwrap_or(words_in(&body["prompt"]) + 8);
        let output = heard.behaviour.completion_tokens.unwrap_or(272 * count);
        answer["usage"] = json!({"input_tokens": input, "output_tokens": output, "total_tokens": input + output,
            "input_tokens_details": {"text_tokens": input, "image_tokens": 0}});
    }
    Ok(answer)
}

/// `POST /v1/audio/speech`: bytes, in as many chunks as the text has words.
pub(crate) fn speech(heard: &Heard<'_>) -> Result<(Events, &'static str), Refusal> {
    let body = &heard.body;
    required(body, "model")?;
    required(body, "voice")?;
    let input = required(body, "input")?;
    if input.chars().count() > 4096 {
        let text = "Invalid 'input': string too long. Expected a string with maximum length 4096.";
        return Err(Refusal::invalid(text).param("input"));
    }
    let kind = match body["response_format"].as_str().unwrap_or("mp3") {
        "mp3" => "audio/mpeg",
        "opus" => "audio/opus",
        "aac" => "audio/aac",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        "pcm" => "audio/pcm",
        other => return Err(Refusal::invalid(format!("Invalid value: '{other}'.")).param("response_format")),
    };
    let chunks: Vec<Bytes> = input
        .split_whitespace()
        .map(|word| Bytes::from(vec![u8::try_from(word.len()).unwrap_or(0) | 0x80; 1000]))
        .collect();
    let none = Bytes::new();
    let events = Events {
        prelude: Vec::new(),
        content: Box::new(chunks.into_iter()),
        end: Vec::new(),
        error: none.clone(),
        malformed: none,
    };
    Ok((events, kind))
}

/// What a transcription is answered with.
pub(crate) enum Transcript {
    Json(Value),
    Text(String),
    Stream(Events),
}

/// `POST /v1/audio/transcriptions`.
pub(crate) fn transcribe(parts: &Parts, body: &Bytes, behaviour: &Behaviour) -> Result<Transcript, Refusal> {
    let form = multipart::read(&parts.headers, body).map_err(Refusal::invalid)?;
    let field = |name: &str| form.iter().find(|part| part.name == name);
    let missing = |name: &str| Refusal::invalid(format!("Missing required parameter: '{name}'.")).param(name);
    let file =
        field("file").filter(|part| part.file.is_some() && !part.data.is_empty()).ok_or_else(|| missing("file"))?;
    let model = field("model").ok_or_else(|| missing("model"))?.text();
    let text = behaviour.text.clone().unwrap_or_else(|| HEARD.to_owned());
    let streams = field("stream").is_some_and(|part| part.text() == "true") && model != "whisper-1";
    let words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
    // Ten tokens a second and one byte a millisecond, for want of a decoder.
    let input = behaviour.prompt_tokens.unwrap_or(file.data.len() as u64 / 100 + 1);
    let output = behaviour.completion_tokens.unwrap_or(words.len() as u64);
    let usage = json!({"type": "tokens", "input_tokens": input, "output_tokens": output, "total_tokens": input + output,
        "input_token_details": {"text_tokens": 0, "audio_tokens": input}});
    if streams {
        let done = json!({"type": "transcript.text.done", "text": text, "usage": usage});
        let deltas = words.into_iter().map(|word| wire::data(&json!({"type": "transcript.text.delta", "delta": word})));
        return Ok(Transcript::Stream(Events {
            prelude: Vec::new(),
            content: Box::new(deltas),
            end: vec![wire::data(&done)],
            error: wire::data(&json!({"error": {"message": "mock stream error", "type": "server_error"}})),
            malformed: Bytes::from_static(b"data: {\"type\":\n\n"),
        }));
    }
    let seconds = file.data.len() / 1000 + 1;
    let usage = if model == "whisper-1" { json!({"type": "duration", "seconds": seconds}) } else { usage };
    Ok(match field("response_format").map(multipart::Part::text).as_deref() {
        Some("text") => Transcript::Text(format!("{text}\n")),
        Some("srt") => Transcript::Text(format!("1\n00:00:00,000 --> 00:00:01,000\n{text}\n")),
        Some("vtt") => Transcript::Text(format!("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{text}\n")),
        Some("verbose_json") => Transcript::Json(json!({"task": "transcribe", "language": "english",
            "duration": seconds, "text": text, "segments": [], "usage": usage})),
        _ => Transcript::Json(json!({"text": text, "usage": usage})),
    })
}

/// `POST /v1/rerank` and Cohere's `/v2/rerank`: the more words of the query, the better.
pub(crate) fn rerank(heard: &Heard<'_>) -> Result<Value, Refusal> {
    let body = &heard.body;
    required(body, "model")?;
    let query = required(body, "query")?.to_lowercase();
    let documents = items(&body["documents"]);
    if documents.is_empty() {
        return Err(Refusal::invalid("invalid request: at least one document must be specified."));
    }
    let text = |document: &Value| document["text"].as_str().or(document.as_str()).unwrap_or("").to_lowercase();
    let terms: Vec<&str> = query.split_whitespace().collect();
    let mut scored: Vec<(usize, usize)> = documents
        .iter()
        .enumerate()
        .map(|(index, document)| (terms.iter().filter(|term| text(document).contains(**term)).count(), index))
        .collect();
    scored.sort_by_key(|(hits, index)| (std::cmp::Reverse(*hits), *index));
    let most = body["top_n"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let results: Vec<Value> = scored
        .into_iter()
        .take(most)
        .map(|(hits, index)| {
            let mut result = json!({"index": index, "relevance_score": score(hits, terms.len())});
            if body["return_documents"] == true {
                result["document"] = documents[index].clone();
            }
            result
        })
        .collect();
    Ok(json!({"id": "00000000-0000-4000-8000-000000000000", "results": results,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": documents.len().div_ceil(100)}}}))
}

/// The share of the query's words, in hundredths.
fn score(hits: usize, terms: usize) -> f64 {
    let percent = 100 * hits / terms.max(1);
    f64::from(u8::try_from(percent).unwrap_or(100)) / 100.0
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn the_picture_is_a_png() {
        assert!(STANDARD.decode(PIXEL).unwrap().starts_with(b"\x89PNG"));
    }
}
