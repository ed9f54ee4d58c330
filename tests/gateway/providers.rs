//! Every kind of provider with credentials of its own, through a running gateway, against a mock
//! that checks them; and that docs, catalog and adapters say the same.

use std::path::Path;

use serde_json::json;
use sluice::config;
use sluice_mock::{AWS_ACCESS_KEY, AWS_SECRET_KEY, AWS_SESSION_ACCESS_KEY, AWS_SESSION_TOKEN, Behaviour};
use sluice_policies::PolicyFile;
use sluice_providers::ADAPTERS;
use sluice_providers::catalog::Catalog;

use crate::common::{Gate, KEY, ask, events, policy, value};

/// A gateway whose model `m` goes to this provider and model; `@@` stands for the mock's URL.
async fn gate(provider: &str, model: &str) -> Gate {
    let edit = |text: String| {
        let url = text.split("base_url: \"").nth(1).and_then(|rest| rest.split("/v1\"").next()).unwrap().to_owned();
        let listen = "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\npolicies: policy.yaml\n";
        format!("{listen}providers:\n  mock: {}\nmodels:\n  m: [\"mock/{model}\"]\n", provider.replace("@@", &url))
    };
    Gate::with(&[], Behaviour { text: Some("all good".to_owned()), ..Behaviour::default() }, edit).await
}

async fn answers(provider: &str, model: &str) {
    let gate = gate(provider, model).await;
    let mut plain = ask(false, json!({}));
    plain.as_object_mut().unwrap().remove("mock");
    let answer = gate.chat(plain.clone()).await;
    let status = answer.status();
    let body = value(answer).await;
    assert_eq!(
        (status.as_u16(), &body["choices"][0]["message"]["content"]),
        (200, &json!("all good")),
        "{provider}: {body}"
    );
    plain["stream"] = json!(true);
    let text = gate.chat(plain).await.text().await.unwrap();
    let said: String =
        events(&text).iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, "all good", "{provider}");
    let shown = gate.admin("/config").await;
    for secret in [AWS_SECRET_KEY, AWS_SESSION_TOKEN, "upstream-secret", "hidden", KEY] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn every_kind_is_reached_with_its_own_credentials() {
    let arn = "arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc";
    let signed = format!(
        "aws: {{ region: eu-west-1, access_key_id: {AWS_ACCESS_KEY}, secret_access_key: \"{AWS_SECRET_KEY}\" }}"
    );
    let session = format!(
        "aws: {{ region: eu-west-1, access_key_id: {AWS_SESSION_ACCESS_KEY}, secret_access_key: \"{AWS_SECRET_KEY}\", session_token: \"{AWS_SESSION_TOKEN}\" }}"
    );
    let role = signed.replace(" }", ", role_arn: \"arn:aws:iam::1:role/r\", sts_endpoint: \"@@\" }");
    let user = "{\\\"type\\\":\\\"authorized_user\\\",\\\"client_id\\\":\\\"c\\\",\\\"client_secret\\\":\\\"hidden\\\",\\\"refresh_token\\\":\\\"hidden\\\",\\\"token_uri\\\":\\\"@@/token\\\"}";
    for (provider, model) in [
        ("{ kind: openai, base_url: \"@@/v1\", api_key: upstream-secret }".to_owned(), "gpt-4o"),
        ("{ kind: anthropic, base_url: \"@@/v1\", api_key: upstream-secret }".to_owned(), "claude-sonnet-4"),
        ("{ kind: gemini, base_url: \"@@/v1beta\", api_key: upstream-secret }".to_owned(), "gemini-2.5-flash"),
        ("{ kind: azure, base_url: \"@@\", api_key: upstream-secret }".to_owned(), "gpt-4o"),
        ("{ kind: azure, base_url: \"@@\", entra: { tenant: t, client_id: c, client_secret: hidden, authority: \"@@\" } }".to_owned(), "gpt-4o"),
        (format!("{{ kind: vertex, base_url: \"@@/v1/projects/p/locations/l\", gcp: {{ credentials: \"{user}\" }} }}"), "gemini-2.5-flash"),
        (format!("{{ kind: vertex, base_url: \"@@/v1/projects/p/locations/l\", gcp: {{ credentials: \"{user}\" }} }}"), "claude-sonnet-4@20250514"),
        (format!("{{ kind: bedrock, base_url: \"@@\", {signed} }}"), "amazon.nova-lite-v1:0"),
        (format!("{{ kind: bedrock, base_url: \"@@\", {session} }}"), arn),
        (format!("{{ kind: bedrock, base_url: \"@@\", {role} }}"), "anthropic.claude-sonnet-4-20250514-v1:0"),
        ("{ kind: bedrock, base_url: \"@@\", api_key: upstream-secret, aws: { region: x } }".to_owned(), "amazon.nova-lite-v1:0"),
        ("{ kind: vllm, base_url: \"@@/v1\" }".to_owned(), "llama-3"),
    ] {
        answers(&provider, model).await;
    }
}

#[tokio::test]
async fn cohere_reranks_beside_its_compatible_api_at_a_price_per_search() {
    let provider = "{ kind: cohere, base_url: \"@@/compatibility/v1\", api_key: upstream-secret }";
    let gate = gate(provider, "rerank-v3.5").await;
    for (count, cost) in [(3, "0.002000"), (101, "0.004000")] {
        let documents: Vec<String> = (0..count).map(|number| format!("river {number}")).collect();
        let answer = gate.post("/v1/rerank", json!({"model": "m", "query": "river", "documents": documents})).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        // Where Envoy calls the provider, the head has left before the cost is known.
        if std::env::var("SLUICE_DOOR").as_deref() != Ok("steer") {
            assert_eq!(answer.headers()["x-sluice-cost"], cost);
        }
        assert_eq!(value(answer).await["results"].as_array().unwrap().len(), count);
        assert_eq!(gate.mock.requests().last().unwrap().path, "/v2/rerank");
    }
    gate.settled().await;
}

#[tokio::test]
async fn a_wrong_secret_is_the_gateways_trouble_and_stays_secret() {
    let wrong = format!(
        "{{ kind: bedrock, base_url: \"@@\", aws: {{ region: r, access_key_id: {AWS_ACCESS_KEY}, secret_access_key: hidden }} }}"
    );
    let refused =
        "{ kind: azure, base_url: \"@@\", entra: { tenant: t, client_id: c, client_secret: wrong, authority: \"@@\" } }"
            .to_owned();
    for (provider, code) in [(wrong, "upstream_auth"), (refused, "no_credentials")] {
        let gate = gate(&provider, "x").await;
        let mut plain = ask(false, json!({}));
        plain.as_object_mut().unwrap().remove("mock");
        let answer = gate.chat(plain).await;
        assert_eq!(answer.status(), 502);
        let body = value(answer).await;
        assert_eq!(body["error"]["code"], code, "{body}");
        assert!(!body.to_string().contains("hidden"), "{body}");
    }
}

/// The blocks of docs/providers-setup.md, with something in the place of every secret.
#[test]
fn the_blocks_of_the_docs_are_right() {
    let text = include_str!("../../docs/providers-setup.md");
    let blocks: Vec<&str> = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let mut kinds = Vec::new();
    let dir = tempfile::tempdir().unwrap();
    let table =
        r#"{"gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}}"#;
    std::fs::write(dir.path().join("model_prices_and_context_window.json"), table).unwrap();
    for block in &blocks {
        let mut config = String::new();
        for (index, part) in block.split("${").enumerate() {
            let part =
                if index == 0 { part.to_owned() } else { format!("s{index}{}", part.split_once('}').unwrap().1) };
            config.push_str(&part);
        }
        let config = config.replace("\"file:/run/secrets/gcp.json\"", "\"{}\"");
        let name = config.split("\n  ").find_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned());
        let provider = config
            .split("providers:\n  ")
            .nth(1)
            .and_then(|rest| rest.split(':').next())
            .or(name.as_deref())
            .unwrap()
            .to_owned();
        let full = format!("{config}models:\n  m: [{provider}/x]\npolicies: p\n");
        let given = PolicyFile { name: "p".to_owned(), text: policy(&[]) };
        let compiled = config::from_str("block", &full, dir.path(), &[given], 1)
            .unwrap_or_else(|errors| panic!("{errors}\n{full}"));
        kinds.extend(compiled.providers.values().map(|provider| provider.kind.clone()));
    }
    for adapter in ADAPTERS {
        assert!(
            kinds.iter().any(|kind| kind == adapter.name()),
            "docs/providers-setup.md does not show {}",
            adapter.name()
        );
    }
}

/// Each kind that can be translated for can be reached, and the other way round.
#[test]
fn catalog_and_adapters_agree() {
    let catalog = Catalog::builtin().unwrap();
    let listed: Vec<&str> = catalog.kinds().map(|kind| &*kind.name).collect();
    assert!(listed.iter().all(|name| ADAPTERS.iter().any(|adapter| adapter.name() == *name)));
    for adapter in ADAPTERS {
        assert!(catalog.kind(adapter.name()).is_some(), "{} is not in the catalog", adapter.name());
    }
}

#[test]
fn a_missing_region_or_project_is_said_at_the_start() {
    let given = PolicyFile { name: "p".to_owned(), text: policy(&[]) };
    let full = "providers:\n  v: { kind: vertex }\nmodels:\n  m: [v/x]\npolicies: p\n";
    if std::env::var_os("GOOGLE_CLOUD_PROJECT").is_none() {
        let errors =
            config::from_str("f", full, Path::new("."), std::slice::from_ref(&given), 1).unwrap_err().to_string();
        assert!(errors.contains("providers.v.base_url") && errors.contains("needs project"), "{errors}");
    }
    let full = full.replace("vertex", "azure");
    let errors = config::from_str("f", &full, Path::new("."), &[given], 1).unwrap_err().to_string();
    assert!(errors.contains("providers of kind azure need one"), "{errors}");
}
