//! A running mock, and requests to it in every format.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::{Value, json};
use sluice_mock::{AWS_ACCESS_KEY, AWS_SECRET_KEY, Behaviour, Mock, MockHandle};

/// A mock and a client.
pub(crate) struct Lab {
    pub(crate) mock: MockHandle,
    pub(crate) client: reqwest::Client,
}

/// A way to say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speak {
    OpenAi,
    Azure,
    Responses,
    Anthropic,
    VertexClaude,
    BedrockClaude,
    Gemini,
    Vertex,
    Converse,
}

pub(crate) const ALL: [Speak; 9] = [
    Speak::OpenAi,
    Speak::Azure,
    Speak::Responses,
    Speak::Anthropic,
    Speak::VertexClaude,
    Speak::BedrockClaude,
    Speak::Gemini,
    Speak::Vertex,
    Speak::Converse,
];

/// The parameters of the one tool that requests offer.
fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}

impl Speak {
    pub(crate) fn path(self, stream: bool) -> &'static str {
        match (self, stream) {
            (Self::OpenAi, _) => "/v1/chat/completions",
            (Self::Azure, _) => "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
            (Self::Responses, _) => "/v1/responses",
            (Self::Anthropic, _) => "/v1/messages",
            (Self::VertexClaude, false) => {
                "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4:rawPredict"
            }
            (Self::VertexClaude, true) => {
                "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4:streamRawPredict"
            }
            (Self::BedrockClaude, false) => "/model/anthropic.claude-sonnet-4-v1%3A0/invoke",
            (Self::BedrockClaude, true) => "/model/anthropic.claude-sonnet-4-v1%3A0/invoke-with-response-stream",
            (Self::Gemini, false) => "/v1beta/models/gemini-2.5-flash:generateContent",
            (Self::Gemini, true) => "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            (Self::Vertex, false) => {
                "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent"
            }
            (Self::Vertex, true) => {
                "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
            }
            (Self::Converse, false) => "/model/amazon.nova-lite-v1%3A0/converse",
            (Self::Converse, true) => "/model/amazon.nova-lite-v1%3A0/converse-stream",
        }
    }

    /// A question with the mock's behaviour in its text, and a tool.
    pub(crate) fn body(self, stream: bool, behaviour: &Value) -> Value {
        let text = format!("What is the weather? [[mock {behaviour}]]");
        let schema = schema();
        let claude = json!({"max_tokens": 1000, "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}],
            "tools": [{"name": "weather", "description": "d", "input_schema": schema}]});
        let google = json!({"contents": [{"role": "user", "parts": [{"text": text}]}], "tools": [{"functionDeclarations": [
            {"name": "weather", "description": "d", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}]}]});
        let with = |mut body: Value, fields: &[(&str, Value)]| {
            for (name, value) in fields {
                body[*name] = value.clone();
            }
            body
        };
        match self {
            Self::OpenAi | Self::Azure => {
                json!({"model": "gpt-4o", "stream": stream, "stream_options": {"include_usage": true},
                "messages": [{"role": "user", "content": text}],
                "tools": [{"type": "function", "function": {"name": "weather", "parameters": schema}}]})
            }
            Self::Responses => json!({"model": "gpt-4o", "stream": stream, "input": text,
                "tools": [{"type": "function", "name": "weather", "parameters": schema}]}),
            Self::Anthropic => with(claude, &[("model", json!("claude-sonnet-4")), ("stream", json!(stream))]),
            Self::VertexClaude => {
                with(claude, &[("anthropic_version", json!("vertex-2023-10-16")), ("stream", json!(stream))])
            }
            Self::BedrockClaude => with(claude, &[("anthropic_version", json!("bedrock-2023-05-31"))]),
            Self::Gemini | Self::Vertex => google,
            Self::Converse => {
                json!({"messages": [{"role": "user", "content": [{"text": text}]}], "inferenceConfig": {"maxTokens": 1000},
                "toolConfig": {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": schema}}}]}})
            }
        }
    }

    fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::OpenAi | Self::Responses | Self::VertexClaude | Self::Vertex => &[("authorization", "Bearer k")],
            Self::Azure => &[("api-key", "k")],
            Self::Anthropic => &[("x-api-key", "k"), ("anthropic-version", "2023-06-01")],
            Self::Gemini => &[("x-goog-api-key", "k")],
            Self::BedrockClaude | Self::Converse => &[],
        }
    }

    fn signs(self) -> bool {
        matches!(self, Self::BedrockClaude | Self::Converse)
    }
}

impl Lab {
    pub(crate) async fn start() -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mock = Mock::with_defaults(Behaviour::default()).start(addr).await.unwrap();
        Self { mock, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.mock.addr())
    }

    /// Asks with everything in order.
    pub(crate) async fn ask(&self, speak: Speak, stream: bool, body: &Value) -> reqwest::Response {
        self.send(speak, speak.path(stream), body).await
    }

    /// Sends to a path of the format.
    pub(crate) async fn send(&self, speak: Speak, path: &str, body: &Value) -> reqwest::Response {
        let text = body.to_string();
        let mut request = self.client.post(self.url(path)).header("content-type", "application/json");
        for (name, value) in speak.headers() {
            request = request.header(*name, *value);
        }
        if speak.signs() {
            for (name, value) in self.signature(path, &text, "bedrock") {
                request = request.header(name, value);
            }
        }
        request.body(text).send().await.unwrap()
    }

    /// Headers that AWS's crate signs the request with.
    pub(crate) fn signature(&self, path: &str, body: &str, service: &str) -> Vec<(String, String)> {
        let identity = Credentials::new(AWS_ACCESS_KEY, AWS_SECRET_KEY, None, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name(service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let (url, host) = (self.url(path), self.mock.addr().to_string());
        let headers = [("host", host.as_str())];
        let request =
            SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes())).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// Status and JSON of an answer.
pub(crate) async fn json_of(response: reqwest::Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&bytes)));
    (status, value)
}
