//! Puts a provider's credentials on a request, and learns from what the provider says to them.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::task::TaskTracker;

use super::aws::{self, Signer};
use super::cached::Cached;
use super::entra::Entra;
use super::environment::Environment;
use super::fetch::Fetcher;
use super::google::Google;
use super::keyring::Keyring;
use crate::config::{Identified, KeyPlace};

/// The live credentials of a provider.
pub(in crate::upstream) struct Auth(Live);

enum Live {
    /// None are needed.
    Nobody,
    /// A key in a header.
    Keys {
        /// The header.
        header: HeaderName,
        /// The keys.
        ring: Keyring,
    },
    /// A bearer token that is renewed.
    Token(Cached<SecretString>),
    /// A signature.
    Aws(Signer),
}

/// What was put on a request: needed to judge the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) struct Used(usize);

/// What an answer says about the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Verdict {
    /// The answer is the request's.
    Keep,
    /// This key was refused and another is rested: the request may be sent again with that.
    TryAnother,
}

impl Auth {
    pub(super) fn new(
        provider: &str,
        identity: &Identified,
        environment: &Environment,
        tasks: &TaskTracker,
    ) -> Result<Self, String> {
        let what = |kind: &str| format!("{kind} of provider {provider}");
        Ok(Self(match identity {
            Identified::Nobody => Live::Nobody,
            Identified::Keys { place: KeyPlace::Bearer, keys } => {
                Live::Keys { header: header::AUTHORIZATION, ring: Keyring::new(keys, |key| format!("Bearer {key}")) }
            }
            Identified::Keys { place: KeyPlace::Header(name), keys } => {
                Live::Keys { header: name.clone(), ring: Keyring::new(keys, str::to_owned) }
            }
            Identified::Aws(identity) => {
                let source = aws::Chain::new(identity.clone(), environment.clone(), Fetcher::new()?);
                let keys = Cached::start(what("AWS credentials"), source, tasks);
                Live::Aws(Signer::new(keys, identity.service, &identity.region))
            }
            Identified::Google(identity) => {
                let source = Google::new(identity.clone(), environment.clone(), Fetcher::new()?);
                Live::Token(Cached::start(what("Google token"), source, tasks))
            }
            Identified::Entra(identity) => {
                let source = Entra::new(identity.clone(), Fetcher::new()?);
                Live::Token(Cached::start(what("Entra token"), source, tasks))
            }
        }))
    }

    /// How often a request may be sent.
    pub(in crate::upstream) fn tries(&self) -> usize {
        if let Live::Keys { ring, .. } = &self.0 { ring.len().max(1) } else { 1 }
    }

    /// Whether the credentials are made of the body: then it must be in one slice.
    pub(in crate::upstream) fn signs(&self) -> bool {
        matches!(self.0, Live::Aws(_))
    }

    /// Puts the credentials on a request, whose other headers and body must be final. Waits only
    /// for a first token. The error is for operators and holds no secret.
    pub(in crate::upstream) async fn apply(&self, request: &mut reqwest::Request) -> Result<Used, String> {
        if let Live::Aws(signer) = &self.0 {
            signer.sign(request, SystemTime::now()).await?;
            return Ok(Used(0));
        }
        Ok(self.in_headers(request.headers_mut()).await?.unwrap_or(Used(0)))
    }

    /// The same for credentials that only need the headers; `None` if they are a signature of all
    /// of the request.
    pub(in crate::upstream) async fn in_headers(&self, headers: &mut HeaderMap) -> Result<Option<Used>, String> {
        match &self.0 {
            Live::Nobody => {}
            Live::Keys { header, ring } => {
                let (index, value) = ring.pick().ok_or("there is no usable key")?;
                headers.insert(header.clone(), value.clone());
                return Ok(Some(Used(index)));
            }
            Live::Token(token) => {
                let held = token.get().await.map_err(|why| why.to_string())?;
                let mut value = HeaderValue::try_from(format!("Bearer {}", held.value.expose_secret()))
                    .map_err(|_| "the token holds characters that no HTTP header can carry")?;
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
            }
            Live::Aws(_) => return Ok(None),
        }
        Ok(Some(Used(0)))
    }

    /// Takes note of what the provider said.
    pub(in crate::upstream) fn judge(
        &self,
        provider: &str,
        used: Used,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Verdict {
        let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        match &self.0 {
            Live::Token(token) if refused => token.refused(),
            Live::Aws(signer) if refused => signer.refused(),
            Live::Nobody | Live::Token(_) | Live::Aws(_) => {}
            Live::Keys { ring, .. } => {
                let Some(rest) = ring.judge(used.0, status, headers) else { return Verdict::Keep };
                if ring.len() > 1 {
                    let (key, of, seconds) = (used.0 + 1, ring.len(), rest.as_secs());
                    tracing::warn!(provider, key, of, status = status.as_u16(), seconds, "a key rests");
                }
                if ring.rested() {
                    return Verdict::TryAnother;
                }
            }
        }
        Verdict::Keep
    }
}
