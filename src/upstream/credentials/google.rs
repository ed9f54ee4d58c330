//! Tokens of Google Cloud: by a service account's key (RFC 7523), by a user's refresh token, or
//! from the metadata server.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::cached::{Fresh, Source};
use super::environment::Environment;
use super::fetch::{Ask, Fetcher};
use crate::config::GoogleIdentity;

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// Below the home directory.
const GCLOUD: &str = ".config/gcloud/application_default_credentials.json";
const METADATA: &str = "metadata.google.internal";
/// A JWT is good for so long; Google takes no more.
const JWT_LIFE: u64 = 3600;

/// Whoever asks Google for tokens.
pub(super) struct Google {
    identity: GoogleIdentity,
    environment: Environment,
    http: Fetcher,
}

/// A key as Google writes it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Key {
    ServiceAccount {
        client_email: String,
        private_key: SecretString,
        private_key_id: Option<String>,
        token_uri: Option<String>,
    },
    AuthorizedUser {
        client_id: String,
        client_secret: SecretString,
        refresh_token: SecretString,
        token_uri: Option<String>,
    },
    #[serde(other)]
    Other,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

impl Google {
    pub(super) fn new(identity: GoogleIdentity, environment: Environment, http: Fetcher) -> Self {
        Self { identity, environment, http }
    }

    /// The key that is configured or found, and where.
    async fn key(&self) -> Result<Option<(SecretString, String)>, String> {
        if let Some(key) = &self.identity.key {
            return Ok(Some((key.clone(), "gcp.credentials".to_owned())));
        }
        if let Some(path) = self.environment.var("GOOGLE_APPLICATION_CREDENTIALS") {
            let text = self.environment.must_read(&path).await?;
            return Ok(Some((text.into(), path)));
        }
        let path = match self.environment.var("CLOUDSDK_CONFIG") {
            Some(folder) => Some(PathBuf::from(folder).join("application_default_credentials.json")),
            None => self.environment.home(GCLOUD),
        };
        let Some(path) = path else { return Ok(None) };
        let shown = path.display().to_string();
        Ok(self.environment.read(path).await?.map(|text| (text.into(), shown)))
    }

    async fn by_key(&self, text: &SecretString, from: &str) -> Result<Fresh<SecretString>, String> {
        // An error of the parser could quote the key.
        let key: Key = serde_json::from_str(text.expose_secret())
            .map_err(|_| format!("{from} is not the JSON of a Google key (type, client_email, private_key)"))?;
        match key {
            Key::ServiceAccount { client_email, private_key, private_key_id, token_uri } => {
                let endpoint = token_uri.unwrap_or_else(|| TOKEN_URI.to_owned());
                let jwt = assertion(&client_email, &private_key, private_key_id, &endpoint)
                    .map_err(|error| format!("{from}: the private key cannot sign: {error}"))?;
                let fields =
                    [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", jwt.as_str())];
                self.token(&endpoint, &fields).await
            }
            Key::AuthorizedUser { client_id, client_secret, refresh_token, token_uri } => {
                let fields = [
                    ("grant_type", "refresh_token"),
                    ("client_id", client_id.as_str()),
                    ("client_secret", client_secret.expose_secret()),
                    ("refresh_token", refresh_token.expose_secret()),
                ];
                self.token(token_uri.as_deref().unwrap_or(TOKEN_URI), &fields).await
            }
            Key::Other => Err(format!("{from}: only keys of type service_account and authorized_user can be used")),
        }
    }

    async fn token(&self, endpoint: &str, fields: &[(&str, &str)]) -> Result<Fresh<SecretString>, String> {
        let text = self.http.text(Ask::form("Google's token endpoint", endpoint, fields)).await?;
        bearer("Google's token endpoint", &text, Duration::from_secs(JWT_LIFE))
    }

    async fn metadata(&self) -> Result<Fresh<SecretString>, String> {
        let host = self.environment.var("GCE_METADATA_HOST").unwrap_or_else(|| METADATA.to_owned());
        let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
        let whom = "Google's metadata server";
        let text = self.http.text(Ask::get(whom, &url).header("metadata-flavor", "Google")).await.map_err(|error| {
            format!("no key is configured (gcp.credentials, GOOGLE_APPLICATION_CREDENTIALS, gcloud) and {error}")
        })?;
        bearer(whom, &text, Duration::from_secs(JWT_LIFE))
    }
}

#[async_trait]
impl Source<SecretString> for Google {
    async fn fetch(&self) -> Result<Fresh<SecretString>, String> {
        match self.key().await? {
            Some((key, from)) => self.by_key(&key, &from).await,
            None => self.metadata().await,
        }
    }
}

fn assertion(
    email: &str,
    key: &SecretString,
    key_id: Option<String>,
    audience: &str,
) -> Result<String, jsonwebtoken::errors::Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let claims = Claims { iss: email, scope: SCOPE, aud: audience, iat: now, exp: now + JWT_LIFE };
    let header = Header { kid: key_id, ..Header::new(Algorithm::RS256) };
    let key = EncodingKey::from_rsa_pem(key.expose_secret().as_bytes())?;
    jsonwebtoken::encode(&header, &claims, &key)
}

/// The token of an OAuth answer (RFC 6749 section 5.1).
pub(super) fn bearer(whom: &str, text: &str, default: Duration) -> Result<Fresh<SecretString>, String> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: SecretString,
        expires_in: Option<u64>,
    }
    let answer: Answer = serde_json::from_str(text).map_err(|_| format!("{whom} answered without an access_token"))?;
    let lasts = answer.expires_in.map_or(default, Duration::from_secs);
    Ok(Fresh { value: answer.access_token, lasts: Some(lasts) })
}
