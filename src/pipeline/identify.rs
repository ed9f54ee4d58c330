//! Phase `identify`: whose key is this, and who stands behind it.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};
use sha2::{Digest, Sha256};
use sluice_policies::{Class, Key, Subject};
use sluice_providers::Call;
use subtle::ConstantTimeEq;

use crate::cache::Owner;
use crate::config::Config;
use crate::error::Error;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const PRIORITY: HeaderName = HeaderName::from_static("x-sluice-priority");

/// Who a request is accounted to.
#[derive(Debug)]
pub struct Identity {
    /// The virtual key.
    pub key: Arc<Key>,
    /// The end user the client named, if it did.
    pub user: Option<String>,
    /// The priority class, never better than the key's.
    pub class: Arc<Class>,
}

impl Identity {
    /// The identity as the cache keeps it apart from others.
    pub(super) fn owner(&self) -> Owner {
        Owner { tenant: Arc::clone(&self.key.tenant), key: Arc::clone(&self.key.name), user: self.user.clone() }
    }

    /// The identity as policies match it, for one model.
    pub fn subject<'a>(&'a self, model: &'a str) -> Subject<'a> {
        Subject {
            tenant: &self.key.tenant,
            key: &self.key.name,
            user: self.user.as_deref(),
            class: &self.class.name,
            model,
        }
    }
}

/// Finds the key of `authorization: Bearer` or `x-api-key`. Only digests are compared, and they
/// are compared in constant time: neither the secret nor how much of it was right can leak.
pub fn key<'a>(headers: &HeaderMap, config: &'a Config) -> Result<&'a Arc<Key>, Error> {
    let missing = "no API key: send `Authorization: Bearer <key>` or `x-api-key: <key>`";
    let secret = match (headers.get(header::AUTHORIZATION), headers.get(&API_KEY)) {
        (Some(value), _) => bearer(value.as_bytes()),
        (None, Some(value)) => Some(value.as_bytes()),
        (None, None) => None,
    };
    let secret = secret.filter(|secret| !secret.is_empty()).ok_or_else(|| Error::unauthenticated(missing))?;
    let digest: [u8; 32] = Sha256::digest(secret).into();
    config
        .policies
        .key(&digest)
        .filter(|key| bool::from(key.digest.ct_eq(&digest)))
        .ok_or_else(|| Error::unauthenticated("incorrect API key; no policy file lists its hash"))
}

/// The credentials of a bearer header; the scheme is case-insensitive (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
}

pub(super) fn run(key: Arc<Key>, headers: &HeaderMap, call: &Call, config: &Config) -> Result<Identity, Error> {
    let asked = match headers.get(&PRIORITY) {
        None => None,
        Some(value) => {
            let text = value.to_str().map_err(|_| bad_priority("it is not plain text"))?;
            Some(text)
        }
    };
    let class = config.policies.class_for(&key, asked).map_err(|unknown| bad_priority(&unknown.to_string()))?;
    let named = config.identity.user_header.as_ref().and_then(|name| headers.get(name));
    let user = match named {
        Some(value) => value.to_str().ok().map(str::to_owned),
        None => call.user.clone(),
    };
    Ok(Identity { class: Arc::clone(class), user: user.filter(|user| !user.is_empty()), key })
}

fn bad_priority(why: &str) -> Error {
    let mut error = Error::invalid("invalid_priority", format!("header x-sluice-priority: {why}"));
    error.param = Some("x-sluice-priority".to_owned());
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_takes_any_case_and_trims() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bEARER  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bear"), None);
    }
}
