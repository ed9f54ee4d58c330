//! One behaviour, every format, whole and streamed: the same text, thoughts, calls and numbers.

use serde_json::{Value, json};

use crate::common::{ALL, Lab, Speak, json_of};
use crate::read::{self, Said};

/// Asks in every format, both ways, and returns what was said in each; both ways must agree.
async fn everywhere(lab: &Lab, behaviour: Value) -> Vec<(Speak, Said)> {
    let mut all = Vec::new();
    for speak in ALL {
        let response = lab.ask(speak, false, &speak.body(false, &behaviour)).await;
        let (status, body) = json_of(response).await;
        assert_eq!(status, 200, "{speak:?}: {body}");
        let whole = read::whole(speak, &body);
        let response = lab.ask(speak, true, &speak.body(true, &behaviour)).await;
        assert_eq!(response.status(), 200, "{speak:?}");
        let streamed = read::stream(speak, &response.bytes().await.unwrap());
        assert_eq!(whole, streamed, "{speak:?}");
        all.push((speak, whole));
    }
    all
}

#[tokio::test]
async fn text_thoughts_and_parallel_calls_are_the_same_in_every_format() {
    let lab = Lab::start().await;
    let behaviour = json!({"text": "I look. Ünï💧 done.", "reasoning": "let me see", "prompt_tokens": 500, "cached_tokens": 100,
        "cache_write_tokens": 20, "calls": [{"name": "weather", "arguments": {"city": "São Paulo"}},
        {"name": "weather", "arguments": {"city": "Oslo", "days": [1, 2]}}]});
    let all = everywhere(&lab, behaviour).await;
    for (speak, said) in &all {
        assert_eq!(said.text, "I look. Ünï💧 done.", "{speak:?}");
        assert_eq!(said.thought, "let me see", "{speak:?}");
        let calls = [json!({"city": "São Paulo"}), json!({"city": "Oslo", "days": [1, 2]})]
            .map(|input| ("weather".to_owned(), input));
        assert_eq!(said.calls, calls, "{speak:?}");
        assert_eq!(said.usage, all[0].1.usage, "{speak:?}");
        assert_eq!((said.usage.0, said.usage.1), (500, 100), "{speak:?}");
        let finish = match speak {
            Speak::OpenAi | Speak::Azure => "tool_calls",
            Speak::Responses => "completed",
            Speak::Gemini | Speak::Vertex => "STOP",
            _ => "tool_use",
        };
        assert_eq!(said.finish, finish, "{speak:?}");
    }
}

#[tokio::test]
async fn sources_are_the_same_in_every_format() {
    let lab = Lab::start().await;
    let pages = [("https://example.com/r", "River"), ("https://example.com/z", "Zürich")];
    let sources = pages.map(|(url, title)| json!({"url": url, "title": title, "quote": "It runs."}));
    for (speak, said) in everywhere(&lab, json!({"text": "The river runs.", "sources": sources})).await {
        let expected = pages.map(|(url, title)| (url.to_owned(), title.to_owned()));
        assert_eq!((said.text.as_str(), &said.sources[..]), ("The river runs.", &expected[..]), "{speak:?}");
    }
}

#[tokio::test]
async fn plain_answers_are_the_same_in_every_format() {
    let lab = Lab::start().await;
    for (behaviour, finish) in [(json!({"tokens": 25}), "stop"), (json!({"text": "cut", "finish": "length"}), "length")]
    {
        let all = everywhere(&lab, behaviour).await;
        for (speak, said) in &all {
            assert_eq!((&said.text, said.usage.2), (&all[0].1.text, all[0].1.usage.2), "{speak:?}");
            let own = match (speak, finish) {
                (Speak::OpenAi | Speak::Azure, finish) => finish,
                (Speak::Responses, "stop") => "completed",
                (Speak::Responses, _) => "incomplete",
                (Speak::Gemini | Speak::Vertex, "stop") => "STOP",
                (Speak::Gemini | Speak::Vertex, _) => "MAX_TOKENS",
                (_, "stop") => "end_turn",
                _ => "max_tokens",
            };
            assert_eq!(said.finish, own, "{speak:?}");
        }
    }
}

#[tokio::test]
async fn a_behaviour_may_come_from_anywhere() {
    let lab = Lab::start().await;
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}]});
    let mut with_field = body.clone();
    with_field["mock"] = json!({"text": "field"});
    let (_, answer) = json_of(lab.ask(Speak::OpenAi, false, &with_field).await).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "field");
    let request = lab.client.post(lab.url("/v1/chat/completions")).header("x-mock", "{\"text\":\"header\"}");
    let (_, answer) = json_of(request.body(body.to_string()).send().await.unwrap()).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "header");
    let set = lab.client.post(lab.url("/mock/behaviour")).body("{\"text\":\"default\"}").send().await.unwrap();
    assert_eq!(set.status(), 200);
    let (_, answer) = json_of(lab.ask(Speak::OpenAi, false, &body).await).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "default");
    let unknown = lab.client.post(lab.url("/mock/behaviour")).body("{\"texd\":1}").send().await.unwrap();
    assert_eq!(unknown.status(), 400);
}

#[tokio::test]
async fn shapes_are_kept_to_in_every_format() {
    let lab = Lab::start().await;
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let none = json!({});
    let text = |speak: Speak| {
        let mut body = speak.body(false, &none);
        for name in ["tools", "toolConfig"] {
            body.as_object_mut().unwrap().remove(name);
        }
        body
    };
    let shaped = |speak: Speak| -> Value {
        let mut body = text(speak);
        let (name, value) = match speak {
            Speak::OpenAi | Speak::Azure => {
                ("response_format", json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}))
            }
            Speak::Responses => ("text", json!({"format": {"type": "json_schema", "name": "x", "schema": schema}})),
            Speak::Gemini | Speak::Vertex => {
                ("generationConfig", json!({"responseMimeType": "application/json", "responseJsonSchema": schema}))
            }
            Speak::Converse => (
                "outputConfig",
                json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": schema.to_string()}}}}),
            ),
            _ => ("output_config", json!({"format": {"type": "json_schema", "schema": schema}})),
        };
        body[name] = value;
        body
    };
    for speak in ALL {
        let (status, body) = json_of(lab.ask(speak, false, &shaped(speak)).await).await;
        assert_eq!(status, 200, "{speak:?}: {body}");
        assert_eq!(read::whole(speak, &body).text, "{\"n\":1}", "{speak:?}");
    }
}
