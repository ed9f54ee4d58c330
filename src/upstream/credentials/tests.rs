//! Credentials from a mock cloud on 127.0.0.1, used on the mock's providers, which check them.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use sluice_mock::{
    AWS_ACCESS_KEY, AWS_SECRET_KEY, AWS_SESSION_ACCESS_KEY, AWS_SESSION_TOKEN, Behaviour, Mock, MockHandle,
};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::auth::{Auth, Verdict};
use super::environment::Environment;
use crate::config::{AwsIdentity, AwsRole, EntraIdentity, GoogleIdentity, Identified, KeyPlace};

/// A mock cloud, and variables and files that point at it.
struct Cloud {
    mock: MockHandle,
    folder: TempDir,
    variables: HashMap<String, String>,
}

const CONVERSE: &str = "model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Aapplication-inference-profile%2Fabc/converse";
const VERTEX: &str = "v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent";
const AZURE: &str = "openai/deployments/d/chat/completions?api-version=2024-10-21";

impl Cloud {
    async fn start() -> Self {
        crate::app::install_crypto();
        let mock = Mock::new().start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display().to_string();
        let url = format!("http://{}", mock.addr());
        let variables =
            [("HOME", home), ("AWS_ENDPOINT_URL_STS", url.clone()), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
        Self { mock, folder, variables }
    }

    fn set(&mut self, pairs: &[(&str, &str)]) {
        self.variables.extend(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }

    fn write(&self, path: &str, text: &str) -> String {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.mock.addr())
    }

    fn auth(&self, identity: &Identified) -> Auth {
        let environment = Environment::Given(Arc::new(self.variables.clone()));
        Auth::new("test", identity, &environment, &TaskTracker::new()).unwrap()
    }

    /// What the mock's provider says to a request with these credentials.
    async fn ask(&self, auth: &Auth, path: &str) -> Result<(u16, Value), String> {
        let body = match path {
            CONVERSE => json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}),
            AZURE => json!({"messages": [{"role": "user", "content": "hi"}]}),
            _ => json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}),
        };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(self.url(path)).header("content-type", "application/json").body(body.to_string());
        let mut request = request.build().unwrap();
        auth.apply(&mut request).await?;
        let response = client.execute(request).await.unwrap();
        let status = response.status().as_u16();
        Ok((status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()))
    }

    async fn accepts(&self, identity: &Identified, path: &str) {
        let (status, body) = self.ask(&self.auth(identity), path).await.unwrap();
        assert_eq!(status, 200, "{body}");
    }

    async fn fails(&self, identity: &Identified, path: &str) -> String {
        let why = self.ask(&self.auth(identity), path).await.unwrap_err();
        assert!(!why.contains(AWS_SECRET_KEY) && !why.contains("hidden"), "{why}");
        why
    }
}

fn aws() -> AwsIdentity {
    let region = "eu-west-1".to_owned();
    AwsIdentity { service: "bedrock", region, fixed: None, profile: None, role: None, sts_endpoint: None }
}

fn role(arn: &str) -> AwsRole {
    AwsRole { arn: arn.to_owned(), session: "s".to_owned(), external_id: Some("x y".to_owned()) }
}

#[tokio::test]
async fn keys_of_the_config_and_of_the_environment_sign() {
    let mut cloud = Cloud::start().await;
    let fixed = |id: &str, token: Option<&str>| {
        let fixed = (id.to_owned(), AWS_SECRET_KEY.to_owned().into(), token.map(|token| token.to_owned().into()));
        Identified::Aws(AwsIdentity { fixed: Some(fixed), ..aws() })
    };
    cloud.accepts(&fixed(AWS_ACCESS_KEY, None), CONVERSE).await;
    cloud.accepts(&fixed(AWS_SESSION_ACCESS_KEY, Some(AWS_SESSION_TOKEN)), CONVERSE).await;
    let (status, _) = cloud.ask(&cloud.auth(&fixed(AWS_SESSION_ACCESS_KEY, None)), CONVERSE).await.unwrap();
    assert_eq!(status, 403);
    cloud.set(&[("AWS_ACCESS_KEY_ID", AWS_ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", AWS_SECRET_KEY)]);
    cloud.accepts(&Identified::Aws(aws()), CONVERSE).await;
    cloud.accepts(&Identified::Aws(AwsIdentity { role: Some(role("arn:aws:iam::1:role/r")), ..aws() }), CONVERSE).await;
    let denied = Identified::Aws(AwsIdentity { role: Some(role("arn:aws:iam::1:role/denied")), ..aws() });
    let why = cloud.fails(&denied, CONVERSE).await;
    assert!(why.contains("403: AccessDenied: User is not authorized"), "{why}");
}

#[tokio::test]
async fn profiles_name_keys_roles_and_each_other() {
    let cloud = Cloud::start().await;
    cloud.write(
        ".aws/credentials",
        &format!("[default]\naws_access_key_id = {AWS_ACCESS_KEY}\naws_secret_access_key = {AWS_SECRET_KEY}\n"),
    );
    let token = cloud.write("token", "a-jwt\n");
    cloud.write(
        ".aws/config",
        &format!(
            "[profile work]\nrole_arn = arn:aws:iam::1:role/work\nsource_profile = default\n\
             [profile deep]\nrole_arn = arn:aws:iam::1:role/deep\nsource_profile = work\n\
             [profile web]\nrole_arn = arn:aws:iam::1:role/web\nweb_identity_token_file = {token}\n\
             [profile circle]\nrole_arn = arn:aws:iam::1:role/c\nsource_profile = circle2\n\
             [profile circle2]\nrole_arn = arn:aws:iam::1:role/c\nsource_profile = circle\n\
             [profile sso]\nsso_session = corp\n"
        ),
    );
    cloud.accepts(&Identified::Aws(aws()), CONVERSE).await;
    let profile = |name: &str| Identified::Aws(AwsIdentity { profile: Some(name.to_owned()), ..aws() });
    for name in ["default", "work", "deep", "web"] {
        cloud.accepts(&profile(name), CONVERSE).await;
    }
    for (name, why) in [
        ("nobody", "neither ~/.aws/config"),
        ("circle", "leans on itself"),
        ("sso", "sso_session, which is not supported"),
    ] {
        let said = cloud.fails(&profile(name), CONVERSE).await;
        assert!(said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn machines_lend_their_roles() {
    let mut cloud = Cloud::start().await;
    cloud.accepts(&Identified::Aws(aws()), CONVERSE).await;
    let asked: Vec<String> = cloud.mock.requests().iter().map(|request| request.path.clone()).collect();
    assert!(asked.contains(&"/latest/meta-data/iam/security-credentials/mock-role".to_owned()), "{asked:?}");
    let file = cloud.write("container-token", "mock-container-token\n");
    let full = cloud.url("ecs/credentials");
    cloud.set(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &full), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &file)]);
    cloud.accepts(&Identified::Aws(aws()), CONVERSE).await;
    assert!(cloud.mock.requests().iter().any(|request| request.path == "/ecs/credentials"));
    cloud.set(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://credentials.example.com/x")]);
    let why = cloud.fails(&Identified::Aws(aws()), CONVERSE).await;
    assert!(why.contains("may not be asked over plain HTTP"), "{why}");
    // A pod's identity comes before its node's.
    let token = cloud.write("web-token", "a-jwt");
    cloud.set(&[("AWS_WEB_IDENTITY_TOKEN_FILE", &token), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod")]);
    cloud.accepts(&Identified::Aws(aws()), CONVERSE).await;
}

#[tokio::test]
async fn without_any_aws_credentials_the_error_lists_where_they_were_sought() {
    let mut cloud = Cloud::start().await;
    cloud.set(&[("AWS_EC2_METADATA_DISABLED", "true")]);
    let why = cloud.fails(&Identified::Aws(aws()), CONVERSE).await;
    assert!(why.contains("aws.access_key_id") && why.contains("instance metadata is disabled"), "{why}");
}

/// A fresh RSA key: PEM of the private one, DER of the public one (PKCS #1).
fn rsa() -> (String, Vec<u8>) {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use base64::Engine;
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|at| text.get(at..text.len().min(at + 64)).unwrap()).collect();
    let label = "PRIVATE KEY";
    let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
    (pem, pair.public_key().as_ref().to_vec())
}

fn google(key: Option<String>) -> Identified {
    Identified::Google(GoogleIdentity { key: key.map(Into::into) })
}

#[tokio::test]
async fn a_service_account_signs_for_its_tokens() {
    let mut cloud = Cloud::start().await;
    let (pem, public) = rsa();
    let key = json!({"type": "service_account", "client_email": "robot@p.iam.gserviceaccount.com", "private_key": pem,
        "private_key_id": "k1", "token_uri": cloud.url("token")});
    cloud.accepts(&google(Some(key.to_string())), VERTEX).await;
    let sent = cloud.mock.requests().into_iter().find(|request| request.path == "/token").unwrap();
    let assertion = sent.body.split("assertion=").nth(1).unwrap().to_owned();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_audience(&[cloud.url("token")]);
    let verifier = jsonwebtoken::DecodingKey::from_rsa_der(&public);
    let token = jsonwebtoken::decode::<Value>(&assertion, &verifier, &validation).unwrap();
    assert_eq!(
        (&token.claims["iss"], token.header.kid.as_deref()),
        (&json!("robot@p.iam.gserviceaccount.com"), Some("k1"))
    );
    // The same from a file that the environment names.
    let path = cloud.write("key.json", &key.to_string());
    cloud.set(&[("GOOGLE_APPLICATION_CREDENTIALS", &path)]);
    cloud.accepts(&google(None), VERTEX).await;
}

#[tokio::test]
async fn other_google_credentials() {
    let mut cloud = Cloud::start().await;
    let user = json!({"type": "authorized_user", "client_id": "c", "client_secret": "hidden", "refresh_token": "hidden", "token_uri": cloud.url("token")});
    cloud.accepts(&google(Some(user.to_string())), VERTEX).await;
    let host = cloud.mock.addr().to_string();
    cloud.set(&[("GCE_METADATA_HOST", &host)]);
    cloud.accepts(&google(None), VERTEX).await;
    for (key, why) in [
        (json!({"type": "external_account"}), "only keys of type"),
        (
            json!({"type": "service_account", "private_key": "hidden"}),
            "gcp.credentials is not the JSON of a Google key",
        ),
        (
            json!({"type": "service_account", "client_email": "e", "private_key": "hidden"}),
            "the private key cannot sign",
        ),
    ] {
        let said = cloud.fails(&google(Some(key.to_string())), VERTEX).await;
        assert!(said.contains(why), "{said}");
    }
    cloud.set(&[("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")]);
    let said = cloud.fails(&google(None), VERTEX).await;
    assert!(said.contains("/nowhere/key.json does not exist"), "{said}");
}

#[tokio::test]
async fn an_application_of_entra_asks_for_its_token() {
    let cloud = Cloud::start().await;
    let identity = |secret: &str| {
        let endpoint = cloud.url("tenant/oauth2/v2.0/token");
        let scope = "https://cognitiveservices.azure.com/.default".to_owned();
        Identified::Entra(EntraIdentity {
            endpoint,
            client_id: "c".to_owned(),
            secret: secret.to_owned().into(),
            scope,
        })
    };
    cloud.accepts(&identity("right"), AZURE).await;
    let why = cloud.fails(&identity("wrong"), AZURE).await;
    assert!(why.contains("127.0.0.1 answered 401: invalid_client: AADSTS7000215"), "{why}");
}

#[tokio::test]
async fn a_token_that_has_ended_is_not_used() {
    let cloud = Cloud::start().await;
    cloud.mock.behave(Behaviour { token_seconds: 0, ..Behaviour::default() });
    let endpoint = cloud.url("tenant/oauth2/v2.0/token");
    let identity = EntraIdentity {
        endpoint,
        client_id: "c".to_owned(),
        secret: "s".to_owned().into(),
        scope: "x/.default".to_owned(),
    };
    let auth = cloud.auth(&Identified::Entra(identity));
    let first = cloud.ask(&auth, AZURE).await.unwrap();
    assert_eq!(first.0, 401);
    cloud.mock.behave(Behaviour::default());
    // The next one is fetched when the task gets to it, and waited for.
    let second = cloud.ask(&auth, AZURE).await.unwrap();
    assert_eq!(second.0, 200, "{}", second.1);
}

#[tokio::test]
async fn keys_go_where_they_belong_and_are_judged() {
    let cloud = Cloud::start().await;
    let keys = vec!["a".to_owned().into(), "b".to_owned().into()];
    let place = KeyPlace::Header(http::HeaderName::from_static("x-api-key"));
    let auth = cloud.auth(&Identified::Keys { place, keys });
    assert_eq!(auth.tries(), 2);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut request = client.get(cloud.url("x")).build().unwrap();
    let used = auth.apply(&mut request).await.unwrap();
    assert_eq!(request.headers()["x-api-key"], "a");
    assert!(request.headers()["x-api-key"].is_sensitive());
    let headers = http::HeaderMap::new();
    assert_eq!(auth.judge("test", used, StatusCode::OK, &headers), Verdict::Keep);
    assert_eq!(auth.judge("test", used, StatusCode::TOO_MANY_REQUESTS, &headers), Verdict::TryAnother);
    let used = auth.apply(&mut request).await.unwrap();
    assert_eq!(request.headers()["x-api-key"], "b");
    assert_eq!(auth.judge("test", used, StatusCode::UNAUTHORIZED, &headers), Verdict::Keep);
}
