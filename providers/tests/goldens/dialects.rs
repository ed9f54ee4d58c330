//! Every provider's answers as clients of Anthropic's Messages and OpenAI's Responses see them: what is streamed adds
//! up to the whole answer wherever it is cut, and costs the same.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sluice_providers::{Endpoint, StreamOut, TranslateError};

use crate::answers::Answer;
use crate::files::{Golden, check, goldens};

const APIS: [Endpoint; 2] = [Endpoint::Messages, Endpoint::Responses];

/// Whether the answers of this provider go through as they came: then their form is the provider's.
fn passes(golden: &Golden, endpoint: Endpoint) -> bool {
    let said = |name: &str| golden.input.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    match (endpoint, said("kind: ")) {
        (Endpoint::Messages, "vertex") => said("model: ").starts_with("claude"),
        (Endpoint::Messages, kind) => kind == "anthropic",
        (_, kind) => matches!(kind, "openai" | "xai"),
    }
}

fn translated(endpoint: Endpoint) -> impl Iterator<Item = Golden> {
    goldens("answers").into_iter().filter(move |golden| !passes(golden, endpoint))
}

/// The data of every event; each has the name that its type says.
fn events(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    let blocks = text.split("\n\n").filter(|block| !block.is_empty());
    blocks
        .map(|block| {
            let (name, data) = block.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        })
        .collect()
}

/// Puts a stream of messages together as Anthropic's SDKs do.
fn message(events: &[Value]) -> Value {
    let mut whole = events[0]["message"].clone();
    let mut open = None;
    let mut blocks: Vec<Map<String, Value>> = Vec::new();
    for event in &events[1..] {
        let index = event["index"].as_u64().map(|index| usize::try_from(index).unwrap());
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!((index, open), (Some(blocks.len()), None), "blocks open one after the other");
                open = index;
                blocks.push(event["content_block"].as_object().unwrap().clone());
            }
            "content_block_delta" => {
                let block = &mut blocks[index.unwrap()];
                if let Some(citation) = event["delta"].get("citation") {
                    let cited = block.entry("citations").or_insert(json!([]));
                    cited.as_array_mut().unwrap().push(citation.clone());
                    continue;
                }
                for (name, more) in event["delta"].as_object().unwrap().iter().filter(|(name, _)| *name != "type") {
                    let said = block.get(name).and_then(Value::as_str).unwrap_or_default();
                    let said = format!("{said}{}", more.as_str().unwrap());
                    block.insert(name.clone(), said.into());
                }
            }
            "content_block_stop" => {
                assert_eq!(open, index, "the block that is open closes");
                open = None;
            }
            "message_delta" => {
                whole["stop_reason"] = event["delta"]["stop_reason"].clone();
                whole["stop_sequence"] = event["delta"]["stop_sequence"].clone();
                whole["usage"] = event["usage"].clone();
            }
            "ping" | "message_stop" => {}
            other => panic!("{other}"),
        }
    }
    for block in &mut blocks {
        if let Some(json) = block.remove("partial_json") {
            block.insert("input".to_owned(), serde_json::from_str(json.as_str().unwrap()).unwrap());
        }
    }
    whole["content"] = json!(blocks);
    whole
}

/// The response at the end of a stream, once all deltas have been found to add up to it.
fn response(events: &[Value]) -> Value {
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    let last = events.last().unwrap()["response"].clone();
    for (index, item) in last["output"].as_array().unwrap().iter().enumerate() {
        let own: Vec<&Value> = events.iter().filter(|event| event["output_index"] == index).collect();
        let of = |kind: &str| own.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
        assert_eq!(of("response.output_item.done")[0]["item"], *item);
        assert!(own.iter().all(|event| event["item_id"].is_null() || event["item_id"] == item["id"]));
        let deltas: String = own.iter().filter_map(|event| event["delta"].as_str()).collect();
        let annotations: Vec<&Value> =
            of("response.output_text.annotation.added").iter().map(|event| &event["annotation"]).collect();
        let parts = item["content"].as_array().into_iter().flatten();
        assert_eq!(
            annotations,
            parts.flat_map(|part| part["annotations"].as_array().into_iter().flatten()).collect::<Vec<_>>()
        );
        let texts = |parts: &Value, name: &str| -> String {
            parts.as_array().into_iter().flatten().filter_map(|part| part[name].as_str()).collect()
        };
        let said = match item["type"].as_str().unwrap() {
            "message" => texts(&item["content"], "text") + &texts(&item["content"], "refusal"),
            "reasoning" => texts(&item["summary"], "text"),
            _ => item["arguments"].as_str().unwrap().to_owned(),
        };
        assert_eq!(deltas, said);
    }
    last
}

/// Providers lay out the JSON of whole answers otherwise.
fn tidy(mut answer: Value) -> Value {
    for item in answer["output"].as_array_mut().into_iter().flatten() {
        if let Some(Ok(arguments)) = item["arguments"].as_str().map(serde_json::from_str::<Value>) {
            item["arguments"] = arguments;
        }
    }
    answer
}

#[test]
fn streamed_deltas_add_up_to_the_whole_answer() {
    for endpoint in APIS {
        let mut pairs = 0;
        let cases: Vec<Golden> = translated(endpoint).collect();
        for streamed in cases.iter().filter(|golden| golden.name().ends_with("_stream")) {
            let name = streamed.name();
            let named = |golden: &&Golden| name.strip_suffix("_stream") == Some(&golden.name());
            let Some(twin) = cases.iter().filter(|golden| golden.folder() == streamed.folder()).find(named) else {
                continue;
            };
            pairs += 1;
            let at = format!("{} of {}/{name}", endpoint.path(), streamed.folder());
            let whole = Answer::to_client_of(&twin.input, endpoint).reply().unwrap();
            let (result, out) = Answer::to_client_of(&streamed.input, endpoint).streamed(&[]);
            result.unwrap();
            assert_eq!(out.usage, whole.usage, "{at}");
            let events = events(&out.frames.concat());
            let merged = if endpoint == Endpoint::Messages { message(&events) } else { response(&events) };
            let whole: Value = serde_json::from_slice(&whole.body).unwrap();
            assert_eq!(tidy(merged), tidy(whole), "{at}");
        }
        assert!(pairs >= 30, "{pairs} pairs");
    }
}

/// All that a client or the gateway can see of a stream.
fn seen((result, out): (Result<(), TranslateError>, StreamOut)) -> impl PartialEq + std::fmt::Debug {
    (result, out.frames.concat(), out.text, out.usage, out.done, out.content, out.error)
}

fn streams() -> Vec<(String, Answer)> {
    let both = APIS.into_iter().flat_map(|endpoint| translated(endpoint).map(move |golden| (golden, endpoint)));
    let read = both.map(|(golden, endpoint)| {
        let at = format!("{} of {}/{}", endpoint.path(), golden.folder(), golden.name());
        (at, Answer::to_client_of(&golden.input, endpoint))
    });
    read.filter(|(_, answer)| answer.stream).collect()
}

#[test]
fn one_byte_at_a_time_is_the_same() {
    for (name, answer) in streams() {
        let cuts: Vec<usize> = (0..answer.body.len()).collect();
        assert_eq!(seen(answer.streamed(&cuts)), seen(answer.streamed(&[])), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn splits_do_not_matter(mut cuts in proptest::collection::vec(0..4000_usize, 0..12)) {
        cuts.sort_unstable();
        for (name, answer) in streams() {
            prop_assert_eq!(seen(answer.streamed(&cuts)), seen(answer.streamed(&[])), "{}", name);
        }
    }
}

/// The first line of the input names the endpoint, the second the answer of a provider.
#[test]
fn answers_have_the_form_they_had_before() {
    let cases = goldens("dialects");
    assert!(cases.len() >= 12, "{} cases", cases.len());
    let output = |golden: &Golden| {
        let (path, answer) = golden.input.trim().split_once('\n').unwrap();
        let path_of = |name: &Golden| format!("{}/{}", name.folder(), name.name());
        let found = goldens("answers").into_iter().find(|golden| path_of(golden) == answer).unwrap();
        Answer::to_client_of(&found.input, Endpoint::from_path(path).unwrap()).output()
    };
    check(cases.into_iter().map(|golden| (output(&golden), golden)).map(|(output, golden)| (golden, output)).collect());
}
