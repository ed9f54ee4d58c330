//! Tokens of Microsoft Entra by client secret (OAuth 2.0 client credentials, RFC 6749 section 4.4).

use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::cached::{Fresh, Source};
use super::fetch::{Ask, Fetcher};
use super::google::bearer;
use crate::config::EntraIdentity;

/// An application.
pub(super) struct Entra {
    identity: EntraIdentity,
    http: Fetcher,
}

impl Entra {
    pub(super) fn new(identity: EntraIdentity, http: Fetcher) -> Self {
        Self { identity, http }
    }
}

#[async_trait]
impl Source<SecretString> for Entra {
    async fn fetch(&self) -> Result<Fresh<SecretString>, String> {
        let EntraIdentity { endpoint, client_id, secret, scope } = &self.identity;
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", client_id.as_str()),
            ("client_secret", secret.expose_secret()),
            ("scope", scope.as_str()),
        ];
        let text = self.http.text(Ask::form("Microsoft Entra", endpoint, &fields)).await?;
        bearer("Microsoft Entra", &text, Duration::from_hours(1))
    }
}
