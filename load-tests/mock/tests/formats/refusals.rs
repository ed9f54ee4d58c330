//! What each format refuses, and in which words.

use serde_json::{Value, json};

use crate::common::{Lab, Speak, json_of};

/// Bodies made from a good one, and a part of the message each must get.
async fn table(lab: &Lab, speak: Speak, path: &str, good: Value, rows: Vec<(Value, &str)>) {
    let (status, body) = json_of(lab.send(speak, path, &good).await).await;
    assert_eq!(status, 200, "{body}");
    for (change, expected) in rows {
        let mut bad = good.clone();
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                bad.as_object_mut().unwrap().remove(name);
            } else {
                bad[name] = value.clone();
            }
        }
        let (status, body) = json_of(lab.send(speak, path, &bad).await).await;
        let message = body["error"]["message"].as_str().or(body["message"].as_str()).unwrap_or("");
        assert_eq!(status, 400, "{change}: {body}");
        assert!(message.contains(expected), "{change}: {message}");
    }
}

#[tokio::test]
async fn anthropic() {
    let lab = Lab::start().await;
    let user = |text: &str| json!({"role": "user", "content": text});
    let call =
        json!({"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "w", "input": {}}]});
    let result =
        |id: &str| json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "x"}]});
    let tools = json!([{"name": "w", "input_schema": {"type": "object"}}]);
    let thinking = json!({"type": "enabled", "budget_tokens": 1024});
    let good = json!({"model": "claude-sonnet-4", "max_tokens": 2000, "messages": [user("hi"), call, result("toolu_1")], "tools": tools});
    let rows = vec![
        (json!({"max_tokens": null}), "max_tokens: Field required"),
        (json!({"n": 2}), "n: Extra inputs are not permitted"),
        (json!({"model": null}), "model: Field required"),
        (json!({"messages": []}), "at least one message is required"),
        (json!({"messages": [{"role": "system", "content": "x"}]}), "Unexpected role \"system\""),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), "messages.0.role: Input should be"),
        (json!({"messages": [{"role": "assistant", "content": "x"}]}), "first message must use the \"user\" role"),
        (json!({"messages": [user("")]}), "text content blocks must be non-empty"),
        (
            json!({"messages": [user("hi"), result("toolu_1")]}),
            "unexpected `tool_use_id` found in `tool_result` blocks: toolu_1",
        ),
        (
            json!({"messages": [user("hi"), call, user("and?")]}),
            "`tool_use` ids were found without `tool_result` blocks immediately after: toolu_1",
        ),
        (json!({"messages": [user("hi"), call, user("no"), result("toolu_1")]}), ""),
        (json!({"messages": [user("hi"), {"role": "assistant", "content": "so "}]}), "trailing whitespace"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}),
            "Input tag 'image_url'",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://x"}}]}]}),
            "Only HTTPS URLs",
        ),
        (
            json!({"messages": [user("hi"), {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "forged"}]}]}),
            "Invalid `signature`",
        ),
        (json!({"temperature": 1.5}), "temperature: range: 0..1"),
        (json!({"stop_sequences": [" "]}), "must contain non-whitespace"),
        (json!({"tools": [{"name": "has space", "input_schema": {"type": "object"}}]}), "String should match pattern"),
        (json!({"tools": [{"name": "w"}]}), "tools.0.custom.input_schema: Field required"),
        (
            json!({"tools": [{"type": "function", "function": {}}], "messages": [user("hi")], "tool_choice": {"type": "tool", "name": "w"}}),
            "not found in provided tools",
        ),
        (json!({"tool_choice": "auto"}), "tool_choice: Input tag"),
        (json!({"thinking": {"type": "enabled", "budget_tokens": 10}}), "greater than or equal to 1024"),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 2000}}),
            "must be greater than `thinking.budget_tokens`",
        ),
        (json!({"thinking": thinking, "tool_choice": {"type": "any"}}), "Thinking may not be enabled"),
        (json!({"thinking": thinking}), "Expected `thinking` or `redacted_thinking`, but found `tool_use`"),
        (json!({"metadata": {"user": "x"}}), "metadata.user: Extra inputs"),
    ];
    table(&lab, Speak::Anthropic, "/v1/messages", good, rows).await;
}

#[tokio::test]
async fn claude_on_clouds_has_its_model_in_the_path() {
    let lab = Lab::start().await;
    for (speak, version) in [(Speak::VertexClaude, "vertex-2023-10-16"), (Speak::BedrockClaude, "bedrock-2023-05-31")] {
        let good =
            json!({"anthropic_version": version, "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]});
        let rows = vec![
            (json!({"model": "claude"}), "model: Extra inputs are not permitted"),
            (json!({"anthropic_version": null}), "anthropic_version: Field required"),
            (json!({"anthropic_version": "2023-06-01"}), "anthropic_version: Input should be"),
        ];
        table(&lab, speak, speak.path(false), good, rows).await;
    }
}

#[tokio::test]
async fn gemini() {
    let lab = Lab::start().await;
    let user = json!({"role": "user", "parts": [{"text": "hi"}]});
    let call = json!({"role": "model", "parts": [{"functionCall": {"name": "w", "args": {}}}]});
    let result = json!({"role": "user", "parts": [{"functionResponse": {"name": "w", "response": {"r": 1}}}]});
    let tools = |parameters: Value| json!([{"functionDeclarations": [{"name": "w", "parameters": parameters}]}]);
    let good = json!({"contents": [user, call, result], "tools": tools(json!({"type": "OBJECT"}))});
    let rows = vec![
        (json!({"messages": []}), "Unknown name \"messages\": Cannot find field."),
        (json!({"contents": []}), "contents is not specified"),
        (json!({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}), "valid role: user, model"),
        (json!({"contents": [{"role": "user", "parts": []}]}), "must not be empty"),
        (json!({"contents": [{"role": "user", "content": "x"}]}), "Unknown name \"content\" at 'contents[0]'"),
        (json!({"contents": [{"role": "user", "parts": [{"type": "text", "text": "x"}]}]}), "Unknown name \"type\""),
        (json!({"contents": [user, call, user]}), "number of function response parts is equal"),
        (json!({"contents": [user, result]}), "number of function response parts is equal"),
        (json!({"contents": [call]}), "function call turn comes immediately after a user turn"),
        (json!({"generationConfig": {"max_tokens": 5}}), "Unknown name \"maxTokens\" at 'generation_config'"),
        (json!({"generationConfig": {"temperature": 3}}), "temperature must be in the range"),
        (
            json!({"generationConfig": {"stopSequences": ["1", "2", "3", "4", "5", "6"]}}),
            "maximum number of stop sequences",
        ),
        (
            json!({"generationConfig": {"responseMimeType": "application/json"}}),
            "Function calling with a response mime type",
        ),
        (
            json!({"tools": tools(json!({"type": "OBJECT", "additionalProperties": false}))}),
            "Unknown name \"additionalProperties\" at 'tools[0].function_declarations[0].parameters'",
        ),
        (
            json!({"toolConfig": {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["w"]}}}),
            "only when function calling mode is ANY",
        ),
        (
            json!({"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "w", "response": "text"}}]}]}),
            "function_response.response",
        ),
    ];
    table(&lab, Speak::Gemini, Speak::Gemini.path(false), good.clone(), rows).await;
    // Vertex takes labels and more of JSON Schema; Gemini 3 wants its signatures back.
    let vertex = json!({"labels": {"a": "b"}, "contents": [user], "tools": tools(json!({"type": "OBJECT", "additionalProperties": false}))});
    assert_eq!(lab.ask(Speak::Vertex, false, &vertex).await.status(), 200);
    let (status, body) =
        json_of(lab.send(Speak::Gemini, "/v1beta/models/gemini-3-pro:generateContent", &good).await).await;
    assert_eq!((status, body["error"]["message"].as_str().unwrap().contains("thought_signature")), (400, true));
}

#[tokio::test]
async fn converse() {
    let lab = Lab::start().await;
    let user = json!({"role": "user", "content": [{"text": "hi"}]});
    let call = json!({"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "w", "input": {}}}]});
    let result =
        |id: &str| json!({"role": "user", "content": [{"toolResult": {"toolUseId": id, "content": [{"text": "x"}]}}]});
    let config = json!({"tools": [{"toolSpec": {"name": "w", "inputSchema": {"json": {"type": "object"}}}}]});
    let good = json!({"messages": [user, call, result("t1")], "toolConfig": config});
    let rows = vec![
        (json!({"max_tokens": 5}), "extraneous key [max_tokens] is not permitted"),
        (json!({"messages": []}), "at least one message"),
        (json!({"messages": [user, user]}), "must alternate between user and assistant roles"),
        (json!({"messages": [call]}), "must start with a user message"),
        (json!({"messages": [{"role": "system", "content": [{"text": "x"}]}]}), "enum value set: [user, assistant]"),
        (json!({"messages": [{"role": "user", "content": [{"text": " "}]}]}), "is blank"),
        (json!({"messages": [{"role": "user", "content": []}]}), "is empty"),
        (json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}), "extraneous key [type]"),
        (json!({"messages": [user, call, result("t2")]}), "exceeds the number of toolUse blocks"),
        (
            json!({"messages": [user, call, user]}),
            "Expected toolResult blocks at messages.2.content for the following Ids: t1",
        ),
        (json!({"toolConfig": null}), "toolConfig field must be defined"),
        (json!({"toolConfig": {"tools": []}}), "length greater than or equal to 1"),
        (
            json!({"toolConfig": {"tools": [{"toolSpec": {"name": "w", "inputSchema": {"type": "object"}}}]}}),
            "inputSchema.json.type",
        ),
        (json!({"inferenceConfig": {"temperature": 2}}), "'inferenceConfig.temperature' failed to satisfy constraint"),
        (json!({"inferenceConfig": {"max_tokens": 2}}), "extraneous key [max_tokens]"),
        (
            json!({"messages": [{"role": "user", "content": [{"image": {"format": "tiff", "source": {"bytes": "eA=="}}}]}]}),
            "enum value set: [png, jpeg, gif, webp]",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"document": {"format": "pdf", "name": "a.pdf", "source": {"bytes": "eA=="}}}]}]}),
            "document file name",
        ),
    ];
    table(&lab, Speak::Converse, Speak::Converse.path(false), good, rows).await;
}

#[tokio::test]
async fn openai() {
    let lab = Lab::start().await;
    let call = json!({"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{}"}}]});
    let tool = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "x"});
    let user = json!({"role": "user", "content": "hi"});
    let good = json!({"model": "o3-mini", "messages": [user, call, tool("c1")]});
    let rows = vec![
        (json!({"messages": null}), "Missing required parameter: 'messages'"),
        (json!({"messages": [{"role": "robot", "content": "x"}]}), "Invalid value: 'robot'"),
        (json!({"messages": [user, tool("c1")]}), "must be a response to a preceeding message with 'tool_calls'"),
        (json!({"messages": [user, call, user]}), "did not have response messages: c1"),
        (json!({"max_tokens": 10}), "Use 'max_completion_tokens' instead"),
        (json!({"max_completion_tokens": 0}), "integer below minimum value"),
        (json!({"temperature": 3}), "Invalid 'temperature'"),
        (json!({"tool_choice": "required"}), "only allowed when 'tools' are specified"),
    ];
    table(&lab, Speak::OpenAi, "/v1/chat/completions", good, rows).await;
    let output = json!({"type": "function_call_output", "call_id": "c1", "output": "x"});
    let good = json!({"model": "gpt-4o", "input": [{"type": "function_call", "call_id": "c1", "name": "w", "arguments": "{}"}, output]});
    let rows = vec![
        (json!({"messages": []}), "Unknown parameter: 'messages'"),
        (json!({"model": null}), "Missing required parameter: 'model'"),
        (json!({"input": [output]}), "No tool call found for function call output with call_id c1"),
    ];
    table(&lab, Speak::Responses, "/v1/responses", good, rows).await;
    let lost = json!({"model": "gpt-4o", "input": "x", "previous_response_id": "resp_other"});
    assert_eq!(lab.ask(Speak::Responses, false, &lost).await.status(), 404);
}

#[tokio::test]
async fn credentials() {
    let lab = Lab::start().await;
    let post = |path: &str, headers: &[(&str, &str)], speak: Speak| {
        let mut request = lab.client.post(lab.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(speak.body(false, &json!({})).to_string()).send();
        async { json_of(request.await.unwrap()).await }
    };
    let gemini = Speak::Gemini.path(false);
    let (status, body) = post("/v1/messages", &[("anthropic-version", "2023-06-01")], Speak::Anthropic).await;
    assert_eq!((status, &body["error"]["type"]), (401, &json!("authentication_error")));
    let (status, body) = post("/v1/messages", &[("x-api-key", "k")], Speak::Anthropic).await;
    assert_eq!((status, &body["error"]["message"]), (400, &json!("anthropic-version: header is required")));
    let (status, body) = post(gemini, &[], Speak::Gemini).await;
    assert_eq!((status, &body["error"]["status"]), (403, &json!("PERMISSION_DENIED")));
    let (status, body) = post(Speak::Vertex.path(false), &[("x-goog-api-key", "k")], Speak::Vertex).await;
    assert_eq!((status, &body["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    let (status, body) = post(Speak::VertexClaude.path(false), &[], Speak::VertexClaude).await;
    assert_eq!((status, &body["error"]["status"]), (401, &json!("UNAUTHENTICATED")));
    let (status, body) = post(Speak::Azure.path(false), &[], Speak::Azure).await;
    assert_eq!((status, &body["error"]["code"]), (401, &json!("401")));
    let bare = "/openai/deployments/gpt-4o/chat/completions";
    let (status, body) = post(bare, &[("api-key", "k")], Speak::Azure).await;
    assert_eq!((status, &body["error"]["message"]), (404, &json!("Resource not found")));
    let (status, body) = post(Speak::Converse.path(false), &[], Speak::Converse).await;
    assert_eq!((status, &body["message"]), (403, &json!("Missing Authentication Token")));
    // A signature of another body.
    let path = Speak::Converse.path(false);
    let signature = lab.signature(path, "{}", "bedrock");
    let headers: Vec<(&str, &str)> = signature.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (status, body) = post(path, &headers, Speak::Converse).await;
    assert_eq!((status, body["message"].as_str().unwrap().contains("does not match")), (403, true));
    // An ARN whose slash is not escaped is another path.
    let response =
        lab.send(Speak::Converse, "/model/arn%3Aaws%3Ab/x/converse", &Speak::Converse.body(false, &json!({}))).await;
    assert_eq!(response.status(), 404);
}

#[tokio::test]
async fn keys_are_refused_on_demand() {
    let lab = Lab::start().await;
    lab.mock.refuse_key("k", 429);
    for speak in [Speak::OpenAi, Speak::Anthropic, Speak::Gemini, Speak::Azure, Speak::Vertex] {
        assert_eq!(lab.ask(speak, false, &speak.body(false, &json!({}))).await.status(), 429, "{speak:?}");
    }
    lab.mock.refuse_key("k", 401);
    let (status, body) = json_of(lab.ask(Speak::Gemini, false, &Speak::Gemini.body(false, &json!({}))).await).await;
    assert_eq!((status, &body["error"]["details"][0]["reason"]), (400, &json!("API_KEY_INVALID")));
    assert_eq!(lab.ask(Speak::OpenAi, false, &Speak::OpenAi.body(false, &json!({}))).await.status(), 401);
    lab.mock.refuse_key("k", 200);
    assert_eq!(lab.ask(Speak::OpenAi, false, &Speak::OpenAi.body(false, &json!({}))).await.status(), 200);
}
