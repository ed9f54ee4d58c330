//! Small HTTP exchanges with token endpoints: deadlines, a cap, and errors that say what the
//! endpoint said but never what it was sent.

use std::time::Duration;

use bytes::BytesMut;
use reqwest::{Method, Url};

/// All of an exchange.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
/// Longer answers are refused.
const CAP: usize = 256 * 1024;
/// So much of an error is quoted.
const QUOTED: usize = 300;

/// An HTTP client for token endpoints. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Fetcher(reqwest::Client);

/// One exchange.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
    /// Who is asked, for errors.
    pub(super) whom: &'a str,
}

impl<'a> Ask<'a> {
    pub(super) fn get(whom: &'a str, url: &'a str) -> Self {
        Self { method: Method::GET, url, headers: Vec::new(), body: String::new(), whom }
    }

    /// A form that is posted.
    pub(super) fn form(whom: &'a str, url: &'a str, fields: &[(&str, &str)]) -> Self {
        let body = form(fields);
        let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        Self { method: Method::POST, url, headers, body, whom }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Fetcher {
    pub(super) fn new() -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .pool_max_idle_per_host(1)
            .build();
        client.map(Self).map_err(|error| format!("no HTTP client: {error}"))
    }

    /// The body of a good answer. Dropping the future cancels the exchange.
    pub(super) async fn text(&self, ask: Ask<'_>) -> Result<String, String> {
        let whom = ask.whom;
        let url: Url = ask.url.parse().map_err(|_| format!("{whom}: {} is not a URL", ask.url))?;
        let shown = format!("{whom} at {}", url.host_str().unwrap_or(""));
        let mut builder = self.0.request(ask.method, url).body(ask.body);
        for (name, value) in ask.headers {
            builder = builder.header(name, value);
        }
        let mut response = builder.send().await.map_err(|error| format!("{shown}: {}", cause(&error)))?;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| format!("{shown}: {}", cause(&error)))? {
            if body.len() + chunk.len() > CAP {
                return Err(format!("{shown}: the answer is larger than {CAP} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        let text = String::from_utf8_lossy(&body).into_owned();
        if response.status().is_success() {
            return Ok(text);
        }
        Err(format!("{shown} answered {}{}", response.status().as_u16(), said(&text)))
    }
}

/// The deepest cause; reqwest's own text would show the URL with its query.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// What an error body says: OAuth's description, or AWS's code and message.
fn said(text: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let field = |name: &str| value[name].as_str().map(str::to_owned);
    let xml = |name: &str| between(text, name).map(str::to_owned);
    let (code, message) =
        (field("error").or_else(|| xml("Code")), field("error_description").or_else(|| xml("Message")));
    let parts: Vec<String> = code.into_iter().chain(message.or_else(|| field("message"))).collect();
    if parts.is_empty() {
        return String::new();
    }
    format!(": {}", parts.join(": ").lines().next().unwrap_or_default().chars().take(QUOTED).collect::<String>())
}

/// The text of an XML element that has no children.
pub(super) fn between<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// `application/x-www-form-urlencoded`.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let encode = |text| utf8_percent_encode(text, ESCAPED).to_string();
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}
