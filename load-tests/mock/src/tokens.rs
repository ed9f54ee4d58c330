//! The endpoints at which clouds issue credentials: AWS (STS, instance and container metadata),
//! Google (token endpoint and metadata server) and Microsoft Entra.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::accounts::now;
use crate::clock;
use crate::respond;
use crate::server::Shared;
use crate::sigv4::AwsKey;
use crate::stream::Paced;

/// The role of the mock's instance.
const ROLE: &str = "mock-role";
const METADATA_TOKEN: &str = "mock-metadata-token";

/// The answer, if the path is one of a token endpoint.
pub(crate) fn answer(shared: &Shared, parts: &Parts, body: &Bytes) -> Option<Response<Paced>> {
    let seconds = shared.defaults.lock().token_seconds;
    let path = parts.uri.path();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let response = match (&parts.method, path) {
        (&Method::POST, "/" | "/sts") => sts(shared, parts, body, seconds),
        (&Method::PUT, "/latest/api/token") => match header("x-aws-ec2-metadata-token-ttl-seconds") {
            Some(_) => text(StatusCode::OK, METADATA_TOKEN),
            None => text(StatusCode::BAD_REQUEST, ""),
        },
        (&Method::GET, path) if path.starts_with("/latest/meta-data/") => {
            if header("x-aws-ec2-metadata-token") != Some(METADATA_TOKEN) {
                return Some(text(StatusCode::UNAUTHORIZED, ""));
            }
            match path.strip_prefix("/latest/meta-data/iam/security-credentials/") {
                Some("") => text(StatusCode::OK, ROLE),
                Some(ROLE) => respond::json(StatusCode::OK, &aws(&shared.accounts.issue_aws(seconds))),
                _ => text(StatusCode::NOT_FOUND, ""),
            }
        }
        (&Method::GET, "/ecs/credentials") => match header("authorization") {
            Some("mock-container-token") | None => {
                respond::json(StatusCode::OK, &aws(&shared.accounts.issue_aws(seconds)))
            }
            Some(_) => {
                respond::json(StatusCode::UNAUTHORIZED, &json!({"code": "NotAuthorized", "message": "bad token"}))
            }
        },
        (&Method::POST, "/token") => google(shared, body, seconds),
        (&Method::GET, "/computeMetadata/v1/instance/service-accounts/default/token") => {
            if header("metadata-flavor") != Some("Google") {
                return Some(text(StatusCode::FORBIDDEN, "Missing Metadata-Flavor:Google header."));
            }
            bearer(&shared.accounts.issue_token(seconds), seconds)
        }
        (&Method::POST, path) if path.ends_with("/oauth2/v2.0/token") => entra(shared, path, body, seconds),
        _ => return None,
    };
    Some(response)
}

fn text(status: StatusCode, body: &str) -> Response<Paced> {
    respond::bytes(status, "text/plain", Bytes::from(body.to_owned()))
}

fn bearer(token: &str, seconds: u64) -> Response<Paced> {
    respond::json(StatusCode::OK, &json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"}))
}

/// Credentials as both metadata services of AWS write them.
fn aws(key: &AwsKey) -> Value {
    json!({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": key.id, "SecretAccessKey": key.secret,
        "Token": key.token, "Expiration": clock::iso(key.expires.unwrap_or(0))})
}

fn form(body: &Bytes) -> HashMap<String, String> {
    let text = String::from_utf8_lossy(body).replace('+', " ");
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

fn sts(shared: &Shared, parts: &Parts, body: &Bytes, seconds: u64) -> Response<Paced> {
    let form = form(body);
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let error = |status: StatusCode, code: &str, message: &str| {
        let xml = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>mock</RequestId></ErrorResponse>"
        );
        respond::bytes(status, "text/xml", Bytes::from(xml))
    };
    let action = field("Action");
    if field("RoleArn").contains("denied") {
        return error(StatusCode::FORBIDDEN, "AccessDenied", "User is not authorized to perform: sts:AssumeRole");
    }
    match action {
        "AssumeRole" => {
            if let Err(refusal) = shared.accounts.signed(parts, body, "sts") {
                return error(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", &refusal.message);
            }
        }
        "AssumeRoleWithWebIdentity" if field("WebIdentityToken").is_empty() => {
            return error(StatusCode::BAD_REQUEST, "InvalidIdentityToken", "No token");
        }
        "AssumeRoleWithWebIdentity" => {}
        _ => return error(StatusCode::BAD_REQUEST, "InvalidAction", "Could not find operation"),
    }
    if field("RoleSessionName").is_empty() || !field("RoleArn").starts_with("arn:") || field("Version") != "2011-06-15"
    {
        return error(StatusCode::BAD_REQUEST, "ValidationError", "RoleArn, RoleSessionName and Version are required");
    }
    let key = shared.accounts.issue_aws(seconds);
    let xml = format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials></{action}Result><ResponseMetadata><RequestId>mock</RequestId></ResponseMetadata></{action}Response>",
        key.id,
        key.secret,
        key.token.as_deref().unwrap_or(""),
        clock::iso(key.expires.unwrap_or(0))
    );
    respond::bytes(StatusCode::OK, "text/xml", Bytes::from(xml))
}

/// Checks the claims; the signature is for those to check who hold the public key.
fn google(shared: &Shared, body: &Bytes, seconds: u64) -> Response<Paced> {
    let form = form(body);
    let refuse = |error: &str, text: &str| {
        respond::json(StatusCode::BAD_REQUEST, &json!({"error": error, "error_description": text}))
    };
    match form.get("grant_type").map(String::as_str) {
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {}
        Some("refresh_token") if form.contains_key("refresh_token") => {
            return bearer(&shared.accounts.issue_token(seconds), seconds);
        }
        _ => return refuse("unsupported_grant_type", "Invalid grant_type"),
    }
    let parts: Vec<&str> = form.get("assertion").map_or("", String::as_str).split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { return refuse("invalid_grant", "Invalid JWT") };
    let decode = |part: &str| -> Value {
        let bytes = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    };
    let (header, claims) = (decode(header), decode(claims));
    let fresh = claims["exp"].as_u64().is_some_and(|end| end > now() && end <= now() + 3660);
    if header["alg"] != "RS256" || signature.len() < 300 {
        return refuse("invalid_grant", "Invalid JWT Signature.");
    }
    if !fresh
        || claims["iss"].as_str().is_none_or(str::is_empty)
        || claims["scope"].as_str().is_none_or(str::is_empty)
        || !claims["aud"].as_str().is_some_and(|aud| aud.ends_with("/token"))
    {
        return refuse("invalid_grant", "Invalid JWT: iss, scope, aud and a near exp are required");
    }
    bearer(&shared.accounts.issue_token(seconds), seconds)
}

fn entra(shared: &Shared, path: &str, body: &Bytes, seconds: u64) -> Response<Paced> {
    let form = form(body);
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let refuse = |status: StatusCode, error: &str, text: &str| {
        respond::json(
            status,
            &json!({"error": error, "error_description": text, "error_codes": [7_000_215], "trace_id": "mock"}),
        )
    };
    if path.trim_start_matches('/').split('/').next().is_none_or(|tenant| tenant == "oauth2") {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request", "AADSTS90002: Tenant not found.");
    }
    if field("grant_type") != "client_credentials" || !field("scope").ends_with("/.default") {
        return refuse(
            StatusCode::BAD_REQUEST,
            "invalid_scope",
            "AADSTS1002012: The provided value for scope is not valid.",
        );
    }
    if field("client_id").is_empty() || field("client_secret") == "wrong" || field("client_secret").is_empty() {
        return refuse(StatusCode::UNAUTHORIZED, "invalid_client", "AADSTS7000215: Invalid client secret provided.");
    }
    let mut response = bearer(&shared.accounts.issue_token(seconds), seconds);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
