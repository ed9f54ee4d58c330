//! The default chain: environment, shared files, web identity, container, instance; and the role
//! that is assumed with what it finds.

use std::collections::HashMap;

use async_trait::async_trait;

use super::metadata;
use super::profile::{self, Profiles};
use super::sign::Keys;
use super::sts::Sts;
use crate::config::{AwsIdentity, AwsRole};
use crate::upstream::credentials::cached::{Fresh, Source};
use crate::upstream::credentials::environment::Environment;
use crate::upstream::credentials::fetch::Fetcher;

/// Profiles may lean on profiles this often.
const DEEPEST: usize = 5;

/// Finds AWS keys.
pub(in crate::upstream::credentials) struct Chain {
    identity: AwsIdentity,
    environment: Environment,
    http: Fetcher,
}

impl Chain {
    pub(in crate::upstream::credentials) fn new(
        identity: AwsIdentity,
        environment: Environment,
        http: Fetcher,
    ) -> Self {
        Self { identity, environment, http }
    }

    fn sts(&self) -> Sts<'_> {
        let AwsIdentity { region, sts_endpoint, .. } = &self.identity;
        Sts::new(&self.http, &self.environment, region, sts_endpoint.as_deref())
    }

    /// Keys without the configured role.
    async fn base(&self) -> Result<Fresh<Keys>, String> {
        if let Some((id, secret, token)) = &self.identity.fixed {
            return Ok(Keys { id: id.clone(), secret: secret.clone(), token: token.clone() }.lasting());
        }
        if let Some(name) = &self.identity.profile {
            let profiles = profile::load(&self.environment).await?;
            return self.profile(&profiles, name, 0).await;
        }
        if let Some(keys) = self.variables() {
            return Ok(keys.lasting());
        }
        let profiles = profile::load(&self.environment).await?;
        let named = self.environment.var("AWS_PROFILE");
        let name = named.as_deref().unwrap_or("default");
        // A default profile may hold nothing but a region.
        if named.is_some() || profiles.get(name).is_some_and(identifies) {
            return self.profile(&profiles, name, 0).await;
        }
        if let (Some(file), Some(arn)) =
            (self.environment.var("AWS_WEB_IDENTITY_TOKEN_FILE"), self.environment.var("AWS_ROLE_ARN"))
        {
            let session = self.environment.var("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "sluice".to_owned());
            let token = self.environment.must_read(&file).await?;
            return self.sts().web_identity(&arn, &session, &token).await;
        }
        if let Some(found) = metadata::container(&self.environment, &self.http).await {
            return found;
        }
        let disabled =
            self.environment.var("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let nothing =
            "no AWS credentials: not in aws.access_key_id, the environment, ~/.aws, web identity or container metadata";
        if disabled {
            return Err(format!("{nothing}, and instance metadata is disabled"));
        }
        metadata::instance(&self.environment, &self.http).await.map_err(|error| format!("{nothing}, and {error}"))
    }

    fn variables(&self) -> Option<Keys> {
        let var = |name: &str| self.environment.var(name);
        let (id, secret) = (var("AWS_ACCESS_KEY_ID")?, var("AWS_SECRET_ACCESS_KEY")?);
        Some(Keys { id, secret: secret.into(), token: var("AWS_SESSION_TOKEN").map(Into::into) })
    }

    async fn profile(&self, profiles: &Profiles, name: &str, depth: usize) -> Result<Fresh<Keys>, String> {
        let Some(profile) = profiles.get(name) else {
            return Err(format!("the AWS profile {name} is in neither ~/.aws/config nor ~/.aws/credentials"));
        };
        let get = |key: &str| profile.get(key).filter(|value| !value.is_empty());
        if depth >= DEEPEST {
            return Err(format!("the AWS profile {name} leans on itself through source_profile"));
        }
        if let Some(arn) = get("role_arn") {
            let session = get("role_session_name").map_or("sluice", String::as_str);
            if let Some(file) = get("web_identity_token_file") {
                let token = self.environment.must_read(file).await?;
                return self.sts().web_identity(arn, session, &token).await;
            }
            let base = match (get("source_profile"), get("credential_source").map(String::as_str)) {
                (Some(source), _) if source == name => own(profile),
                (Some(source), _) => {
                    Box::pin(self.profile(profiles, source, depth + 1)).await.map(Some)?.map(|fresh| fresh.value)
                }
                (None, Some("Environment")) => self.variables(),
                (None, Some("EcsContainer")) => match metadata::container(&self.environment, &self.http).await {
                    Some(found) => Some(found?.value),
                    None => None,
                },
                (None, Some("Ec2InstanceMetadata")) => {
                    Some(metadata::instance(&self.environment, &self.http).await?.value)
                }
                _ => None,
            };
            let base =
                base.ok_or_else(|| format!("the AWS profile {name} has a role_arn but no keys to assume it with"))?;
            let role =
                AwsRole { arn: arn.clone(), session: session.to_owned(), external_id: get("external_id").cloned() };
            return self.sts().assume(&base, &role).await;
        }
        if let Some(keys) = own(profile) {
            return Ok(keys.lasting());
        }
        let unsupported =
            ["sso_session", "sso_start_url", "credential_process"].into_iter().find(|key| profile.contains_key(*key));
        Err(match unsupported {
            Some(key) => format!("the AWS profile {name} uses {key}, which is not supported: give keys or a role"),
            None => format!("the AWS profile {name} holds neither keys nor a role"),
        })
    }
}

/// Whether a profile says who somebody is.
fn identifies(profile: &HashMap<String, String>) -> bool {
    ["aws_access_key_id", "role_arn", "sso_session", "sso_start_url", "credential_process"]
        .iter()
        .any(|key| profile.contains_key(*key))
}

/// The keys in a profile itself.
fn own(profile: &HashMap<String, String>) -> Option<Keys> {
    let get = |key: &str| profile.get(key).filter(|value| !value.is_empty()).cloned();
    let (id, secret) = (get("aws_access_key_id")?, get("aws_secret_access_key")?);
    Some(Keys { id, secret: secret.into(), token: get("aws_session_token").map(Into::into) })
}

#[async_trait]
impl Source<Keys> for Chain {
    async fn fetch(&self) -> Result<Fresh<Keys>, String> {
        let base = self.base().await?;
        match &self.identity.role {
            Some(role) => self.sts().assume(&base.value, role).await,
            None => Ok(base),
        }
    }
}
