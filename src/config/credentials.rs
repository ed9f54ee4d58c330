//! How the gateway proves to providers who it is, and the compilation of that.

use std::collections::HashMap;

use http::{HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use serde_saphyr::Spanned;
use sha2::{Digest, Sha256};
use sluice_providers::catalog::{AuthStyle, Kind};

use super::compile::{Compiler, base_url};
use super::raw::RawProvider;
use super::raw_credentials::{RawAws, RawEntra, RawGcp};

/// What a provider is shown. Secrets stay secret: none of this is in `/config`, logs or errors.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Of what kind.
    pub identity: Identified,
    /// Equal for equal credentials: what is kept of them (tokens, resting keys) outlives a reload.
    pub fingerprint: [u8; 32],
}

/// Kinds of credentials.
#[derive(Clone, Debug)]
pub enum Identified {
    /// Nothing is sent.
    Nobody,
    /// One of these keys, in turn.
    Keys {
        /// Where a key is put.
        place: KeyPlace,
        /// At least one.
        keys: Vec<SecretString>,
    },
    /// Requests are signed.
    Aws(AwsIdentity),
    /// A bearer token of Google Cloud.
    Google(GoogleIdentity),
    /// A bearer token of Microsoft Entra.
    Entra(EntraIdentity),
}

/// Where a key is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// `authorization: Bearer KEY`.
    Bearer,
    /// A header of its own.
    Header(HeaderName),
}

/// Who signs requests to AWS.
#[derive(Clone, Debug)]
pub struct AwsIdentity {
    /// The service's name in signatures.
    pub service: &'static str,
    /// The service's region.
    pub region: String,
    /// Access key id, secret and session token; without them the default chain.
    pub fixed: Option<(String, SecretString, Option<SecretString>)>,
    /// Profile of the shared files.
    pub profile: Option<String>,
    /// A role to assume with these.
    pub role: Option<AwsRole>,
    /// Where roles are assumed, if not at the region's endpoint.
    pub sts_endpoint: Option<String>,
}

/// A role to assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsRole {
    /// Its ARN.
    pub arn: String,
    /// The session's name.
    pub session: String,
    /// What its trust policy asks for.
    pub external_id: Option<String>,
}

/// Who asks Google for tokens.
#[derive(Clone, Debug)]
pub struct GoogleIdentity {
    /// JSON of a key; without it the default credentials.
    pub key: Option<SecretString>,
}

/// Who asks Entra for tokens.
#[derive(Clone, Debug)]
pub struct EntraIdentity {
    /// Token endpoint.
    pub endpoint: String,
    /// Application id.
    pub client_id: String,
    /// Its secret.
    pub secret: SecretString,
    /// What tokens are for.
    pub scope: String,
}

impl Credentials {
    /// What `/config` shows.
    pub(super) fn redacted(&self) -> Value {
        match &self.identity {
            Identified::Nobody => Value::Null,
            Identified::Keys { place, keys } => {
                let header = match place {
                    KeyPlace::Bearer => header::AUTHORIZATION.as_str(),
                    KeyPlace::Header(name) => name.as_str(),
                };
                json!({"keys": keys.len(), "header": header})
            }
            Identified::Aws(aws) => json!({"aws": {"region": aws.region, "profile": aws.profile,
                "static_key": aws.fixed.is_some(), "role_arn": aws.role.as_ref().map(|role| &role.arn)}}),
            Identified::Google(google) => json!({"gcp": {"key": google.key.is_some()}}),
            Identified::Entra(entra) => json!({"entra": {"endpoint": entra.endpoint, "client_id": entra.client_id}}),
        }
    }
}

/// Credentials, and what of them a base URL may name: `{region}`, `{project}`, `{location}`.
pub(super) type Compiled = (Credentials, HashMap<&'static str, String>);

impl Compiler {
    /// Reports what is wrong, each error where it stands.
    pub(super) fn credentials(&mut self, raw: &RawProvider, kind: &Kind, path: &str) -> Option<Compiled> {
        let before = self.errors.len();
        let mut names = HashMap::new();
        let keys = self.keys(raw, path);
        let place = self.place(raw, kind, path);
        let cloud = [raw.aws.is_some(), raw.gcp.is_some(), raw.entra.is_some()];
        let given = usize::from(!keys.is_empty() || raw.entra.is_some());
        if cloud.iter().filter(|given| **given).count() > 1 || given > 0 && !keys.is_empty() && raw.entra.is_some() {
            self.error(
                Some(&raw.kind.referenced),
                path,
                "give one kind of credentials: api_key(s), aws, gcp or entra".to_owned(),
            );
        }
        let mut hash = Sha256::new();
        let aws = match (&kind.auth, &raw.aws) {
            (AuthStyle::SigV4 { service }, aws) => {
                self.aws(aws.as_ref().unwrap_or(&RawAws::default()), service, &mut names, path)
            }
            (_, Some(_)) => self.refused(raw, "aws", kind, path),
            (_, None) => None,
        };
        let google = match (&kind.auth, &raw.gcp) {
            (AuthStyle::Google, gcp) => Some(self.gcp(gcp.as_ref().unwrap_or(&RawGcp::default()), &mut names, path)),
            (_, Some(_)) => self.refused(raw, "gcp", kind, path),
            (_, None) => None,
        };
        let entra = match (&kind.auth, &raw.entra) {
            (AuthStyle::Entra { .. }, Some(entra)) => self.entra(entra, path),
            (_, Some(_)) => self.refused(raw, "entra", kind, path),
            (_, None) => None,
        };
        let identity = match (keys.is_empty(), aws, google, entra) {
            (false, ..) => Identified::Keys { place, keys: keys.iter().cloned().map(SecretString::from).collect() },
            (true, Some(aws), ..) => Identified::Aws(aws),
            (true, None, Some(google), _) => Identified::Google(google),
            (true, None, None, Some(entra)) => Identified::Entra(entra),
            (true, None, None, None) => Identified::Nobody,
        };
        // Debug output hides secrets, so they are added.
        hash.update(format!("{identity:?}"));
        secrets(&identity).for_each(|secret| {
            hash.update(secret.len().to_le_bytes());
            hash.update(secret);
        });
        let fingerprint = hash.finalize().into();
        (self.errors.len() == before).then_some((Credentials { identity, fingerprint }, names))
    }

    fn refused<T>(&mut self, raw: &RawProvider, field: &str, kind: &Kind, path: &str) -> Option<T> {
        let message = format!("providers of kind {} do not take `{field}` credentials", kind.name);
        self.error(Some(&raw.kind.referenced), &format!("{path}.{field}"), message);
        None
    }

    /// `api_key` and `api_keys`, in order.
    fn keys(&mut self, raw: &RawProvider, path: &str) -> Vec<String> {
        let one = raw.api_key.iter().map(|key| (format!("{path}.api_key"), key));
        let many = raw.api_keys.iter().enumerate().map(|(index, key)| (format!("{path}.api_keys[{index}]"), key));
        let mut keys = Vec::new();
        for (at, raw) in one.chain(many) {
            let Some(key) = self.resolved(raw, &at) else { continue };
            if HeaderValue::from_str(&key).is_err() || key.is_empty() {
                let message = "the key is empty or holds characters that no HTTP header can carry";
                self.error(Some(&raw.referenced), &at, message.to_owned());
            } else if keys.contains(&key) {
                self.error(Some(&raw.referenced), &at, "the same key stands twice".to_owned());
            } else {
                keys.push(key);
            }
        }
        keys
    }

    fn place(&mut self, raw: &RawProvider, kind: &Kind, path: &str) -> KeyPlace {
        let own = match &kind.auth {
            AuthStyle::Header(name) | AuthStyle::Entra { header: name } => {
                HeaderName::try_from(&**name).map_or(KeyPlace::Bearer, KeyPlace::Header)
            }
            _ => KeyPlace::Bearer,
        };
        self.field(raw.key_header.as_ref(), &format!("{path}.key_header"), own, |text| {
            match HeaderName::try_from(text) {
                Ok(header::AUTHORIZATION) => Ok(KeyPlace::Bearer),
                Ok(name) => Ok(KeyPlace::Header(name)),
                Err(_) => Err(format!("`{text}` is not a header name")),
            }
        })
    }

    fn aws(
        &mut self,
        raw: &RawAws,
        service: &'static str,
        names: &mut HashMap<&'static str, String>,
        path: &str,
    ) -> Option<AwsIdentity> {
        let path = format!("{path}.aws");
        let mut get = |raw: &Option<Spanned<String>>, name: &str| {
            raw.as_ref().and_then(|raw| self.resolved(raw, &format!("{path}.{name}")))
        };
        let region = get(&raw.region, "region").or_else(|| first_var(&["AWS_REGION", "AWS_DEFAULT_REGION"]));
        let (id, secret) = (get(&raw.access_key_id, "access_key_id"), get(&raw.secret_access_key, "secret_access_key"));
        let token = get(&raw.session_token, "session_token");
        let (arn, external_id) = (get(&raw.role_arn, "role_arn"), get(&raw.external_id, "external_id"));
        let session = get(&raw.session_name, "session_name").unwrap_or_else(|| "sluice".to_owned());
        let (profile, sts) = (get(&raw.profile, "profile"), get(&raw.sts_endpoint, "sts_endpoint"));
        let Some(region) = region else {
            self.error(None, &format!("{path}.region"), "write a region, or set AWS_REGION".to_owned());
            return None;
        };
        if id.is_some() != secret.is_some() {
            let message = "access_key_id and secret_access_key need each other".to_owned();
            self.error(None, &path, message);
        }
        if arn.as_ref().is_some_and(|arn| !arn.starts_with("arn:")) {
            self.error(None, &format!("{path}.role_arn"), "it must begin with arn:".to_owned());
        }
        if !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            self.error(None, &format!("{path}.region"), "it is not the name of a region".to_owned());
        }
        names.insert("region", region.clone());
        let fixed = id.zip(secret).map(|(id, secret)| (id, secret.into(), token.map(SecretString::from)));
        let role = arn.map(|arn| AwsRole { arn, session, external_id });
        Some(AwsIdentity { service, region, fixed, profile, role, sts_endpoint: sts })
    }

    fn gcp(&mut self, raw: &RawGcp, names: &mut HashMap<&'static str, String>, path: &str) -> GoogleIdentity {
        let path = format!("{path}.gcp");
        let mut get = |raw: &Option<Spanned<String>>, name: &str| {
            raw.as_ref().and_then(|raw| self.resolved(raw, &format!("{path}.{name}")))
        };
        let project = get(&raw.project, "project").or_else(|| first_var(&["GOOGLE_CLOUD_PROJECT"]));
        let location = get(&raw.location, "location").unwrap_or_else(|| "global".to_owned());
        let key = get(&raw.credentials, "credentials");
        if key.as_ref().is_some_and(|key| serde_json::from_str::<serde_json::Map<String, Value>>(key).is_err()) {
            let message = "it is not the JSON of a key; write file:/path/to/key.json or ${VAR} that holds the JSON";
            self.error(
                raw.credentials.as_ref().map(|raw| &raw.referenced),
                &format!("{path}.credentials"),
                message.to_owned(),
            );
        }
        let host = match location.as_str() {
            "global" => "aiplatform.googleapis.com".to_owned(),
            location => format!("{location}-aiplatform.googleapis.com"),
        };
        names.insert("host", host);
        names.insert("location", location);
        if let Some(project) = project {
            names.insert("project", project);
        }
        GoogleIdentity { key: key.map(SecretString::from) }
    }

    fn entra(&mut self, raw: &RawEntra, path: &str) -> Option<EntraIdentity> {
        let path = format!("{path}.entra");
        let tenant = self.resolved(&raw.tenant, &format!("{path}.tenant"))?;
        let client_id = self.resolved(&raw.client_id, &format!("{path}.client_id"))?;
        let secret = self.resolved(&raw.client_secret, &format!("{path}.client_secret"))?;
        let scope = raw.scope.as_ref().and_then(|scope| self.resolved(scope, &format!("{path}.scope")));
        let authority = raw.authority.as_ref().and_then(|raw| self.resolved(raw, &format!("{path}.authority")));
        let authority = authority.or_else(|| first_var(&["AZURE_AUTHORITY_HOST"]));
        let authority = authority.unwrap_or_else(|| "https://login.microsoftonline.com".to_owned());
        let authority = match base_url(&authority) {
            Ok(authority) => authority,
            Err(message) => {
                self.error(raw.authority.as_ref().map(|raw| &raw.referenced), &format!("{path}.authority"), message);
                return None;
            }
        };
        if tenant.is_empty() || tenant.contains('/') || client_id.is_empty() || secret.is_empty() {
            self.error(
                Some(&raw.tenant.referenced),
                &path,
                "tenant, client_id and client_secret must not be empty".to_owned(),
            );
            return None;
        }
        let scope = scope.unwrap_or_else(|| "https://cognitiveservices.azure.com/.default".to_owned());
        let endpoint = format!("{authority}/{tenant}/oauth2/v2.0/token");
        Some(EntraIdentity { endpoint, client_id, secret: secret.into(), scope })
    }
}

/// Everything that must not be shown.
fn secrets(identity: &Identified) -> impl Iterator<Item = &str> {
    let all: Vec<&SecretString> = match identity {
        Identified::Nobody => Vec::new(),
        Identified::Keys { keys, .. } => keys.iter().collect(),
        Identified::Aws(aws) => {
            aws.fixed.iter().flat_map(|(_, secret, token)| std::iter::once(secret).chain(token)).collect()
        }
        Identified::Google(google) => google.key.iter().collect(),
        Identified::Entra(entra) => vec![&entra.secret],
    };
    all.into_iter().map(ExposeSecret::expose_secret)
}

fn first_var(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

/// The URL with `{names}` replaced; the error says which name is not known.
pub(super) fn fill(template: &str, names: &HashMap<&'static str, String>) -> Result<String, String> {
    let mut url = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').ok_or("a `{` without `}`")?;
        let value = names
            .get(name)
            .ok_or_else(|| format!("the base URL needs {name}: write it into the provider's credentials"))?;
        url.push_str(before);
        url.push_str(value);
        rest = tail;
    }
    url.push_str(rest);
    Ok(url)
}
