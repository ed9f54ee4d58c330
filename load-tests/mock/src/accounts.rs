//! Who may use the mock: API keys that are refused, AWS identities, and tokens it has issued.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::request::Parts;
use parking_lot::Mutex;

use crate::behaviour::Reason;
use crate::format::query;
use crate::refusal::{Dialect, Refusal};
use crate::sigv4::{AwsKey, verify};

/// The access key id of the AWS identity that the mock knows.
pub const AWS_ACCESS_KEY: &str = "AKIAMOCKMOCKMOCKMOCK";
/// Its secret.
pub const AWS_SECRET_KEY: &str = "mock/secret+access/key";
/// The access key id of its temporary credentials, which need a session token.
pub const AWS_SESSION_ACCESS_KEY: &str = "ASIAMOCKMOCKMOCKMOCK";
/// The session token; the secret is the same.
pub const AWS_SESSION_TOKEN: &str = "mock//session+token==";

/// What begins every bearer token that the mock issues.
pub(crate) const ISSUED: &str = "mock-token-";

/// Keys and tokens.
#[derive(Debug)]
pub(crate) struct Accounts(Mutex<State>);

#[derive(Debug)]
struct State {
    /// API keys, and the status each is answered with.
    refused: HashMap<String, u16>,
    aws: Vec<AwsKey>,
    /// Bearer tokens issued, and when they end.
    tokens: HashMap<String, u64>,
}

impl Default for Accounts {
    fn default() -> Self {
        let key = |id: &str, token: Option<&str>| AwsKey {
            id: id.to_owned(),
            secret: AWS_SECRET_KEY.to_owned(),
            token: token.map(str::to_owned),
            expires: None,
        };
        let aws = vec![key(AWS_ACCESS_KEY, None), key(AWS_SESSION_ACCESS_KEY, Some(AWS_SESSION_TOKEN))];
        Self(Mutex::new(State { refused: HashMap::new(), aws, tokens: HashMap::new() }))
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Accounts {
    /// From now on the key is answered with this status; 200 takes that back.
    pub(crate) fn refuse(&self, key: &str, status: u16) {
        let mut state = self.0.lock();
        if status == 200 {
            state.refused.remove(key);
        } else {
            state.refused.insert(key.to_owned(), status);
        }
    }

    /// Issues temporary AWS credentials for so many seconds.
    pub(crate) fn issue_aws(&self, seconds: u64) -> AwsKey {
        let mut state = self.0.lock();
        let number = state.aws.len();
        let key = AwsKey {
            id: format!("ASIAISSUED{number:010}"),
            secret: format!("issued/secret/{number}"),
            token: Some(format!("issued//token/{number}==")),
            expires: Some(now() + seconds),
        };
        state.aws.push(key.clone());
        key
    }

    /// Issues a bearer token for so many seconds.
    pub(crate) fn issue_token(&self, seconds: u64) -> String {
        let mut state = self.0.lock();
        let token = format!("{ISSUED}{}", state.tokens.len() + 1);
        state.tokens.insert(token.clone(), now() + seconds);
        token
    }

    /// Whether the request is from somebody who may do this.
    pub(crate) fn check(&self, dialect: Dialect, parts: &Parts, body: &Bytes) -> Result<(), Refusal> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let no = |status: u16, message: &str| {
            let mut refusal = Refusal::new(Reason::Auth, message);
            refusal.status = status;
            Err(refusal)
        };
        let key = match dialect {
            Dialect::Bedrock if bearer.is_none() => return self.signed(parts, body, "bedrock"),
            // Many servers of this format need no key.
            Dialect::OpenAi | Dialect::Cohere => bearer.or(Some("none")),
            Dialect::Bedrock | Dialect::Vertex => bearer,
            Dialect::Anthropic => header("x-api-key").or(bearer),
            Dialect::Gemini => header("x-goog-api-key").or_else(|| query(parts, "key")).or(bearer),
            Dialect::Azure => header("api-key").or(bearer),
        };
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            return match dialect {
                Dialect::Anthropic => no(401, "x-api-key header is required"),
                Dialect::Gemini => {
                    let text = "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.";
                    Err(Refusal::new(Reason::Permission, text))
                }
                Dialect::Azure => no(
                    401,
                    "Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API.",
                ),
                _ => no(401, UNAUTHENTICATED),
            };
        };
        let state = self.0.lock();
        let stale = key.starts_with(ISSUED) && state.tokens.get(key).is_none_or(|expires| *expires <= now());
        match state.refused.get(key).copied().or(stale.then_some(401)) {
            None => Ok(()),
            Some(401) => match dialect {
                Dialect::Anthropic => no(401, "invalid x-api-key"),
                Dialect::Gemini => no(400, "API key not valid. Please pass a valid API key."),
                Dialect::Azure => no(
                    401,
                    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource.",
                ),
                Dialect::Vertex => no(401, UNAUTHENTICATED),
                Dialect::Bedrock => Err(Refusal::new(
                    Reason::Permission,
                    "Authentication failed: Please make sure your API Key is valid.",
                )),
                Dialect::OpenAi | Dialect::Cohere => no(
                    401,
                    "Incorrect API key provided: mock. You can find your API key at https://platform.openai.com/account/api-keys.",
                ),
            },
            Some(status) => Err(Refusal::with_status(status)),
        }
    }

    /// Whether the request is signed for this service of AWS.
    pub(crate) fn signed(&self, parts: &Parts, body: &Bytes, service: &str) -> Result<(), Refusal> {
        let keys = self.0.lock().aws.clone();
        verify(parts, body, service, &keys).map_err(|message| {
            let mut refusal = Refusal::new(Reason::Auth, message);
            refusal.status = 401;
            refusal
        })
    }
}

const UNAUTHENTICATED: &str = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.";
