//! Roles assumed at the Security Token Service.

use std::time::SystemTime;

use super::metadata::remaining;
use super::sign::{Keys, headers};
use crate::config::AwsRole;
use crate::upstream::credentials::cached::Fresh;
use crate::upstream::credentials::environment::Environment;
use crate::upstream::credentials::fetch::{Ask, Fetcher, between, form};

const VERSION: &str = "2011-06-15";

/// Where the service is.
pub(super) struct Sts<'a> {
    pub(super) http: &'a Fetcher,
    pub(super) region: &'a str,
    /// Instead of the region's.
    pub(super) endpoint: Option<String>,
}

impl<'a> Sts<'a> {
    pub(super) fn new(http: &'a Fetcher, environment: &Environment, region: &'a str, endpoint: Option<&str>) -> Self {
        let endpoint = endpoint.map(str::to_owned).or_else(|| environment.var("AWS_ENDPOINT_URL_STS"));
        Self { http, region, endpoint }
    }

    fn url(&self) -> String {
        let domain = if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let own = || format!("https://sts.{}.{domain}", self.region);
        format!("{}/", self.endpoint.clone().unwrap_or_else(own).trim_end_matches('/'))
    }

    /// Assumes a role with keys.
    pub(super) async fn assume(&self, keys: &Keys, role: &AwsRole) -> Result<Fresh<Keys>, String> {
        let mut fields = vec![
            ("Action", "AssumeRole"),
            ("Version", VERSION),
            ("RoleArn", &*role.arn),
            ("RoleSessionName", &*role.session),
        ];
        fields.extend(role.external_id.as_deref().map(|id| ("ExternalId", id)));
        let (whom, url) = (format!("AWS STS, to assume {},", role.arn), self.url());
        let mut ask = Ask::form(&whom, &url, &fields);
        let parsed: reqwest::Url = url.parse().map_err(|_| format!("{url} is not a URL"))?;
        let mut request = reqwest::Request::new(reqwest::Method::POST, parsed);
        *request.body_mut() = Some(form(&fields).into());
        for (name, value) in &ask.headers {
            let value = http::HeaderValue::try_from(value.as_str()).map_err(|error| error.to_string())?;
            request.headers_mut().insert(*name, value);
        }
        for (name, value) in headers(keys, &request, "sts", self.region, SystemTime::now())? {
            let value = value.to_str().map_err(|error| error.to_string())?.to_owned();
            // The names are those of SigV4, of which there are these.
            let name = match name.as_str() {
                "authorization" => "authorization",
                "x-amz-date" => "x-amz-date",
                "x-amz-security-token" => "x-amz-security-token",
                _ => continue,
            };
            ask = ask.header(name, value);
        }
        read(&self.http.text(ask).await?)
    }

    /// Assumes a role with a token of an identity provider that AWS trusts (EKS, GitHub).
    pub(super) async fn web_identity(&self, arn: &str, session: &str, token: &str) -> Result<Fresh<Keys>, String> {
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", VERSION),
            ("RoleArn", arn),
            ("RoleSessionName", session),
            ("WebIdentityToken", token.trim()),
        ];
        let whom = format!("AWS STS, to assume {arn} by web identity,");
        read(&self.http.text(Ask::form(&whom, &self.url(), &fields)).await?)
    }
}

fn read(xml: &str) -> Result<Fresh<Keys>, String> {
    let field =
        |name: &str| between(xml, name).map(str::to_owned).ok_or_else(|| format!("AWS STS answered without {name}"));
    let keys = Keys {
        id: field("AccessKeyId")?,
        secret: field("SecretAccessKey")?.into(),
        token: Some(field("SessionToken")?.into()),
    };
    Ok(Fresh { value: keys, lasts: Some(remaining(&field("Expiration")?)?) })
}
