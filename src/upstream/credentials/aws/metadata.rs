//! Keys from the metadata services of instances (`IMDSv2`) and containers (ECS, EKS Pod Identity).

use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::sign::Keys;
use crate::upstream::credentials::cached::Fresh;
use crate::upstream::credentials::environment::Environment;
use crate::upstream::credentials::fetch::{Ask, Fetcher};

const INSTANCE: &str = "http://169.254.169.254";
const CONTAINER: &str = "http://169.254.170.2";
/// Where plain HTTP may carry a container's credentials, beside loopback (ECS, EKS).
const CONTAINER_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
/// Seconds that a session with the instance's service lasts.
const SESSION: &str = "21600";

/// What both services answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: SecretString,
    token: Option<SecretString>,
    expiration: Option<String>,
}

/// From the instance.
pub(super) async fn instance(environment: &Environment, http: &Fetcher) -> Result<Fresh<Keys>, String> {
    let base = environment.var("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| INSTANCE.to_owned());
    let base = base.trim_end_matches('/');
    let whom = "EC2 instance metadata";
    let url = format!("{base}/latest/api/token");
    let ask = Ask { method: reqwest::Method::PUT, ..Ask::get(whom, &url) };
    let session = http.text(ask.header("x-aws-ec2-metadata-token-ttl-seconds", SESSION)).await?;
    let folder = format!("{base}/latest/meta-data/iam/security-credentials/");
    let get = async |url: &str| http.text(Ask::get(whom, url).header("x-aws-ec2-metadata-token", &*session)).await;
    let roles = get(&folder).await?;
    let role = roles.lines().next().filter(|role| !role.is_empty()).ok_or("the instance has no role")?;
    read(whom, &get(&format!("{folder}{role}")).await?)
}

/// From the container, if its environment names the service.
pub(super) async fn container(environment: &Environment, http: &Fetcher) -> Option<Result<Fresh<Keys>, String>> {
    let url = match environment.var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        Some(path) => format!("{CONTAINER}{path}"),
        None => environment.var("AWS_CONTAINER_CREDENTIALS_FULL_URI")?,
    };
    Some(from_container(environment, http, &url).await)
}

async fn from_container(environment: &Environment, http: &Fetcher, url: &str) -> Result<Fresh<Keys>, String> {
    let whom = "container credentials";
    let parsed: reqwest::Url = url.parse().map_err(|_| format!("{whom}: {url} is not a URL"))?;
    let host = parsed.host_str().unwrap_or("");
    let loopback =
        host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if parsed.scheme() != "https" && !loopback && !CONTAINER_HOSTS.contains(&host) {
        return Err(format!("{whom}: {host} may not be asked over plain HTTP"));
    }
    let token = match environment.var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => Some(environment.must_read(&path).await?.trim().to_owned()),
        None => environment.var("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    let mut ask = Ask::get(whom, url);
    if let Some(token) = token {
        ask = ask.header("authorization", token);
    }
    read(whom, &http.text(ask).await?)
}

fn read(whom: &str, text: &str) -> Result<Fresh<Keys>, String> {
    let answer: Answer = serde_json::from_str(text).map_err(|_| format!("{whom}: the answer holds no keys"))?;
    let lasts = answer.expiration.as_deref().map(remaining).transpose().map_err(|error| format!("{whom}: {error}"))?;
    let keys = Keys { id: answer.access_key_id, secret: answer.secret_access_key, token: answer.token };
    Ok(Fresh { value: keys, lasts })
}

/// From now to a moment such as `2026-01-02T03:04:05Z`.
pub(super) fn remaining(moment: &str) -> Result<Duration, String> {
    let at = OffsetDateTime::parse(moment, &Rfc3339).map_err(|_| format!("`{moment}` is not a time"))?;
    Ok(SystemTime::from(at).duration_since(SystemTime::now()).unwrap_or_default())
}
