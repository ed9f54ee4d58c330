//! The token endpoints, and that what they issue is what the formats ask for.

use serde_json::{Value, json};
use sluice_mock::Behaviour;

use crate::common::{Lab, Speak, json_of};

#[tokio::test]
async fn metadata_of_an_instance_needs_its_token() {
    let lab = Lab::start().await;
    let path = "/latest/meta-data/iam/security-credentials/mock-role";
    assert_eq!(lab.client.get(lab.url(path)).send().await.unwrap().status(), 401);
    let token = lab.client.put(lab.url("/latest/api/token")).header("x-aws-ec2-metadata-token-ttl-seconds", "60");
    let token = token.send().await.unwrap().text().await.unwrap();
    let get = lab.client.get(lab.url(path)).header("x-aws-ec2-metadata-token", token);
    let (status, body) = json_of(get.send().await.unwrap()).await;
    assert_eq!((status, body["AccessKeyId"].as_str().unwrap().starts_with("ASIA")), (200, true));
}

#[tokio::test]
async fn roles_are_assumed_by_who_signs() {
    let lab = Lab::start().await;
    let form = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=s";
    let unsigned = lab.client.post(lab.url("/")).body(form).send().await.unwrap();
    assert_eq!(unsigned.status(), 403);
    let mut request = lab.client.post(lab.url("/")).body(form);
    for (name, value) in lab.signature("/", form, "sts") {
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("<SessionToken>issued//token/"));
}

#[tokio::test]
async fn tokens_end() {
    let lab = Lab::start().await;
    let path = "/computeMetadata/v1/instance/service-accounts/default/token";
    assert_eq!(lab.client.get(lab.url(path)).send().await.unwrap().status(), 403);
    let issue = async || -> Value {
        let request = lab.client.get(lab.url(path)).header("metadata-flavor", "Google");
        json_of(request.send().await.unwrap()).await.1
    };
    let good = issue().await;
    lab.mock.behave(Behaviour { token_seconds: 0, ..Behaviour::default() });
    let over = issue().await;
    let ask = async |token: &Value| {
        let request = lab.client.post(lab.url(Speak::Vertex.path(false))).bearer_auth(token.as_str().unwrap());
        request.body(Speak::Vertex.body(false, &json!({})).to_string()).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(&good["access_token"]).await, 200);
    assert_eq!(ask(&over["access_token"]).await, 401);
    assert_eq!(ask(&json!("mock-token-999")).await, 401);
}

#[tokio::test]
async fn entra_knows_a_wrong_secret() {
    let lab = Lab::start().await;
    let post = async |secret: &str| {
        let scope = "https%3A%2F%2Fcognitiveservices.azure.com%2F.default";
        let form = format!("grant_type=client_credentials&client_id=c&client_secret={secret}&scope={scope}");
        json_of(lab.client.post(lab.url("/tenant/oauth2/v2.0/token")).body(form).send().await.unwrap()).await
    };
    assert_eq!(post("right").await.0, 200);
    let (status, body) = post("wrong").await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_client")));
}
