//! A request as it goes out to a provider: its address, its headers, its credentials.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, header};
use sluice_providers::UpstreamRequest;

use super::credentials::{Auth, Used};
use crate::config::Provider;

/// A request as it goes out.
pub(super) struct Outgoing {
    method: Method,
    url: String,
    pub(super) headers: HeaderMap,
    body: reqwest::Body,
}

impl Outgoing {
    /// A request with the provider's own headers, and without credentials. A body of which only
    /// the sender knows the length says so in `length`.
    pub(super) fn new(
        provider: &Provider,
        request: UpstreamRequest,
        body: reqwest::Body,
        length: Option<usize>,
    ) -> Self {
        let UpstreamRequest { method, path, mut headers, .. } = request;
        headers.extend(length.map(|length| (header::CONTENT_LENGTH, length.into())));
        if !provider.headers.is_empty() {
            headers.extend(provider.headers.clone());
        }
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Self { method, url: format!("{}/{path}", provider.base_url), headers, body }
    }

    /// A request without a body.
    pub(super) fn get(url: String, headers: HeaderMap) -> Self {
        Self { method: Method::GET, url, headers, body: reqwest::Body::default() }
    }

    /// Puts the credentials on it. The error is for operators and holds no secret.
    pub(super) async fn sign(&mut self, auth: &Auth) -> Result<Used, String> {
        if let Some(used) = auth.in_headers(&mut self.headers).await? {
            return Ok(used);
        }
        let mut whole = self.take()?;
        let used = auth.apply(&mut whole).await;
        whole.url().as_str().clone_into(&mut self.url);
        self.headers = std::mem::take(whole.headers_mut());
        self.body = whole.body_mut().take().unwrap_or_default();
        used
    }

    /// As reqwest sends it.
    pub(super) fn take(&mut self) -> Result<reqwest::Request, String> {
        let url = self.url.parse().map_err(|error| format!("{}: {error}", self.url))?;
        let mut whole = reqwest::Request::new(self.method.clone(), url);
        *whole.headers_mut() = std::mem::take(&mut self.headers);
        *whole.body_mut() = Some(std::mem::take(&mut self.body));
        Ok(whole)
    }

    /// As it stands in an HTTP/1.1 request: method and path, headers, body.
    pub(super) fn into_parts(self) -> Result<((Method, PathAndQuery), HeaderMap, reqwest::Body), String> {
        let path = self.path()?;
        Ok(((self.method, path), self.headers, self.body))
    }

    /// Path and query.
    pub(super) fn path(&self) -> Result<PathAndQuery, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", self.url);
        let path = self.url.get(root(&self.url).len()..).filter(|path| is_plain(path));
        if let Some(path) = path {
            return path.parse().map_err(|error| wrong(&error));
        }
        let url: reqwest::Url = self.url.parse().map_err(|error| wrong(&error))?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", url.path()).try_into().map_err(|error| wrong(&error))
    }
}

/// Whether a path stands in a request as it is: it needs no escapes (RFC 3986, section 3.3) and has
/// no segments of dots.
fn is_plain(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~%!$&'()*+,;=:@?".contains(&byte);
    path.starts_with('/') && path.bytes().all(plain) && !path.contains("/.") && !path.contains("%2")
}

/// Scheme and authority of a URL.
pub(super) fn root(url: &str) -> &str {
    let from = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(from..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| from + at);
    url.get(..end).unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_an_address_has_no_path() {
        for (url, expected) in
            [("http://a:1/v1", "http://a:1"), ("https://b", "https://b"), ("http://c/x/y", "http://c")]
        {
            assert_eq!(root(url), expected);
        }
    }

    #[test]
    fn paths_are_what_a_url_parser_makes_of_them() {
        for path in [
            "/v1/chat/completions",
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            "/openai/deployments/my model/chat?api-version=2024-10-21",
            "/model/arn%3Aaws%3Abedrock/invoke",
            "/a/../b",
            "/a/%2e%2e/b",
            "/ü?q=ü&r=\"",
            "/",
        ] {
            let outgoing = Outgoing::get(format!("http://host{path}"), HeaderMap::new());
            let url: reqwest::Url = outgoing.url.parse().unwrap();
            let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
            assert_eq!(outgoing.path().unwrap().as_str(), format!("{}{query}", url.path()), "{path}");
        }
    }
}
