//! Verifies AWS Signature Version 4, written from its documentation ("Create a signed AWS API
//! request", AWS IAM User Guide) and not from the crate that signs, so that the two check each other.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use sha2::{Digest, Sha256};

use crate::clock;

/// A request is refused this many seconds before or after its time.
const SKEW: u64 = 300;

/// An AWS identity that requests may be signed by.
#[derive(Clone, Debug)]
pub(crate) struct AwsKey {
    pub(crate) id: String,
    pub(crate) secret: String,
    /// Of temporary credentials.
    pub(crate) token: Option<String>,
    /// Seconds since the Unix epoch.
    pub(crate) expires: Option<u64>,
}

/// The parts of an `authorization` header.
struct Claim<'a> {
    id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    headers: Vec<&'a str>,
    signature: &'a str,
}

/// Says why the request is not signed for `service` by one of `keys`, in AWS's words.
pub(crate) fn verify(parts: &Parts, body: &Bytes, service: &str, keys: &[AwsKey]) -> Result<(), String> {
    let header = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
    let header = header.ok_or("Missing Authentication Token")?;
    let claim = parse(header).ok_or("Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters: the signature is incomplete.")?;
    let key =
        keys.iter().find(|key| key.id == claim.id).ok_or("The security token included in the request is invalid.")?;
    if claim.service != service {
        return Err(format!(
            "Credential should be scoped to correct service: '{service}', the signature is for '{}'.",
            claim.service
        ));
    }
    let sent = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if sent("x-amz-security-token") != key.token.as_deref() {
        return Err("The security token included in the request is invalid.".to_owned());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if key.expires.is_some_and(|expires| expires <= now) {
        return Err("The security token included in the request is expired".to_owned());
    }
    let must = ["host", "x-amz-date"].into_iter().chain(key.token.as_ref().map(|_| "x-amz-security-token"));
    if let Some(missing) = must.into_iter().find(|name| !claim.headers.contains(name)) {
        return Err(format!("The signature must cover the header '{missing}'."));
    }
    let stamp = sent("x-amz-date")
        .ok_or("AWS authentication requires a valid Date or x-amz-date header: the signature has none.")?;
    let at = clock::parse_basic(stamp).ok_or("Date must be in ISO-8601 'basic format': the signature has another.")?;
    if at.abs_diff(now) > SKEW || !stamp.starts_with(claim.date) {
        return Err(format!(
            "Signature expired: {stamp} is not within 5 min. of {now}; the signature is too old or too new."
        ));
    }
    let request =
        canonical(parts, body, &claim.headers).ok_or("A signed header is missing: the signature cannot be checked.")?;
    let scope = format!("{}/{}/{}/aws4_request", claim.date, claim.region, claim.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", hex(&Sha256::digest(&request)));
    let mut secret = format!("AWS4{}", key.secret).into_bytes();
    for part in [claim.date, claim.region, claim.service, "aws4_request"] {
        secret = hmac(&secret, part);
    }
    if hex(&hmac(&secret, &to_sign)) == claim.signature {
        return Ok(());
    }
    Err("The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.".to_owned())
}

fn parse(header: &str) -> Option<Claim<'_>> {
    let rest = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let field = |name: &str| rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let mut scope = field("Credential")?.split('/');
    let (id, date, region, service) = (scope.next()?, scope.next()?, scope.next()?, scope.next()?);
    if scope.next()? != "aws4_request" {
        return None;
    }
    let headers = field("SignedHeaders")?.split(';').collect();
    Some(Claim { id, date, region, service, headers, signature: field("Signature")? })
}

/// The canonical request.
fn canonical(parts: &Parts, body: &Bytes, signed: &[&str]) -> Option<String> {
    // Every service but S3 encodes the path once more.
    let path = encode(parts.uri.path(), true);
    let mut query: Vec<(String, String)> = parts
        .uri
        .query()
        .unwrap_or("")
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    query.sort();
    let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut headers = String::new();
    for name in signed {
        let values: Vec<String> = parts
            .headers
            .get_all(*name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let value = match (values.is_empty(), *name) {
            // HTTP/2 has the host in its pseudo-header.
            (true, "host") => parts.uri.authority()?.to_string(),
            (true, _) => return None,
            (false, _) => values.join(","),
        };
        headers.extend([name, ":", &value, "\n"]);
    }
    let (method, query, signed, digest) =
        (&parts.method, query.join("&"), signed.join(";"), hex(&Sha256::digest(body)));
    Some(format!("{method}\n{path}\n{query}\n{headers}\n{signed}\n{digest}"))
}

/// Percent-encodes all but unreserved characters, and slashes where they separate.
fn encode(text: &str, slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if slashes => out.push('/'),
            _ => out.extend(["%", &format!("{byte:02X}")]),
        }
    }
    out
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4;
    use http::Request;

    use super::*;

    const PATH: &str = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse";

    fn key(token: Option<&str>) -> AwsKey {
        AwsKey { id: "AKIA1".to_owned(), secret: "secret".to_owned(), token: token.map(str::to_owned), expires: None }
    }

    /// A request signed by AWS's own crate.
    fn signed(key: &AwsKey, at: SystemTime, body: &str) -> Parts {
        let identity = Credentials::new(&key.id, &key.secret, key.token.clone(), None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("bedrock")
            .time(at)
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let url = format!("http://127.0.0.1:9{PATH}?b=2&a=1");
        let headers = [("host", "127.0.0.1:9"), ("content-type", "application/json")];
        let request =
            SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes())).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let mut request = Request::post(&url)
            .header("host", "127.0.0.1:9")
            .header("content-type", "application/json")
            .body(())
            .unwrap();
        instructions.apply_to_request_http1x(&mut request);
        request.into_parts().0
    }

    #[test]
    fn what_the_crate_of_aws_signs_is_verified() {
        for token in [None, Some("session")] {
            let key = key(token);
            let body = Bytes::from_static(b"{\"a\":1}");
            let parts = signed(&key, SystemTime::now(), "{\"a\":1}");
            assert_eq!(verify(&parts, &body, "bedrock", std::slice::from_ref(&key)), Ok(()));
            let wrong = |keys: &[AwsKey], service: &str, body: &'static [u8]| {
                verify(&parts, &Bytes::from_static(body), service, keys).unwrap_err()
            };
            let mut other = key.clone();
            other.secret.push('!');
            assert!(wrong(&[other], "bedrock", b"{\"a\":1}").contains("does not match"));
            assert!(wrong(&[], "bedrock", b"{\"a\":1}").contains("token included in the request is invalid"));
            assert!(wrong(std::slice::from_ref(&key), "sts", b"{\"a\":1}").contains("correct service"));
            assert!(wrong(std::slice::from_ref(&key), "bedrock", b"{\"a\":2}").contains("does not match"));
            let other = AwsKey { token: Some("other".to_owned()), ..key.clone() };
            assert!(wrong(&[other], "bedrock", b"{\"a\":1}").contains("is invalid"));
            let over = AwsKey { expires: Some(1), ..key.clone() };
            assert!(wrong(&[over], "bedrock", b"{\"a\":1}").contains("expired"));
        }
    }

    #[test]
    fn old_signatures_are_refused() {
        let key = key(None);
        let parts = signed(&key, SystemTime::now() - Duration::from_mins(10), "");
        assert!(verify(&parts, &Bytes::new(), "bedrock", &[key]).unwrap_err().starts_with("Signature expired"));
    }
}
