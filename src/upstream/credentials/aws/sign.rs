//! Signature Version 4 of a request.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};

use crate::upstream::credentials::cached::{Cached, Fresh};

/// Keys that sign.
#[derive(Clone, Debug)]
pub(in crate::upstream::credentials) struct Keys {
    pub(super) id: String,
    pub(super) secret: SecretString,
    pub(super) token: Option<SecretString>,
}

impl Keys {
    /// These keys, for ever.
    pub(super) fn lasting(self) -> Fresh<Self> {
        Fresh { value: self, lasts: None }
    }
}

/// Signs requests to one service in one region.
pub(in crate::upstream::credentials) struct Signer {
    keys: Cached<Keys>,
    service: &'static str,
    region: String,
}

impl Signer {
    pub(in crate::upstream::credentials) fn new(keys: Cached<Keys>, service: &'static str, region: &str) -> Self {
        Self { keys, service, region: region.to_owned() }
    }

    /// Signs the request as it stands: its method, URL, content type and body must be final.
    pub(in crate::upstream::credentials) async fn sign(
        &self,
        request: &mut reqwest::Request,
        at: SystemTime,
    ) -> Result<(), String> {
        let held = self.keys.get().await.map_err(|why| why.to_string())?;
        for (name, value) in headers(&held.value, request, self.service, &self.region, at)? {
            request.headers_mut().insert(name, value);
        }
        Ok(())
    }

    pub(in crate::upstream::credentials) fn refused(&self) {
        self.keys.refused();
    }
}

/// The headers that make a request a signed one.
pub(super) fn headers(
    keys: &Keys,
    request: &reqwest::Request,
    service: &str,
    region: &str,
    at: SystemTime,
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let failed = |what: &dyn std::fmt::Display| format!("the request cannot be signed: {what}");
    let token = keys.token.as_ref().map(|token| token.expose_secret().to_owned());
    let identity = Credentials::new(&keys.id, keys.secret.expose_secret(), token, None, "sluice").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(&error))?;
    let body = match request.body() {
        // What is empty or not there has the hash of nothing; what is in slices has none here.
        Some(body) => body.as_bytes().ok_or_else(|| failed(&"its body is in pieces"))?,
        None => &[],
    };
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let signed = kind.map(|kind| (header::CONTENT_TYPE.as_str(), kind));
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.url().as_str(),
        signed.into_iter(),
        SignableBody::Bytes(body),
    )
    .map_err(|error| failed(&error))?;
    let (instructions, _) = sign(signable, &params.into()).map_err(|error| failed(&error))?.into_parts();
    let made = instructions.headers().map(|(name, value)| {
        let name = HeaderName::try_from(name).map_err(|error| failed(&error))?;
        let mut value = HeaderValue::try_from(value).map_err(|error| failed(&error))?;
        value.set_sensitive(true);
        Ok((name, value))
    });
    made.collect()
}
