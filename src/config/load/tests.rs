//! Whole configs: the one of the README, every kind of mistake, secrets.

use serde_json::json;

use super::*;

const KEY: &str = "tenant: acme\nkeys:\n  - { name: web, key: \"sha256:1111111111111111111111111111111111111111111111111111111111111111\" }\nlimits:\n  - 100k tokens/min per key\n";

fn policy() -> Vec<PolicyFile> {
    vec![PolicyFile { name: "policy.yaml".to_owned(), text: KEY.to_owned() }]
}

fn compile(text: &str) -> Result<Config, ConfigErrors> {
    from_str("sluice.yaml", text, Path::new("."), &policy(), 1)
}

const GOOD: &str = "providers:\n  openai: { kind: openai, base_url: https://api.openai.com/v1/, api_key: \"${CARGO_PKG_NAME}\" }\n  own: { kind: openai, base_url: http://10.0.0.5:8000/v1 }\nmodels:\n  fast: [openai/gpt-4o-mini, own/some/model]\npolicies: policy.yaml\n";

#[test]
fn two_providers_one_model_and_a_limit_take_twenty_lines() {
    let config = compile(GOOD).unwrap();
    assert!(GOOD.lines().count() + KEY.lines().count() <= 20);
    let route = &config.models["fast"];
    assert_eq!(route.targets[1].target.model, "some/model");
    assert!(route.targets[0].model.known && !route.targets[1].model.known);
    assert_eq!(config.providers["openai"].base_url, "https://api.openai.com/v1");
    assert_eq!(config.limits.max_body, 20 << 20);
    let shown = config.redacted.to_string();
    assert!(shown.contains("\"keys\":1") && !shown.contains("\"sluice\""), "{shown}");
}

#[test]
fn every_error_is_reported_with_file_line_and_path() {
    let text = "listen: nowhere\nproviders:\n  a: { kind: opnai, base_url: https://x/v1 }\n  b:\n    kind: openai\n    base_url: \
                \"x\"\n    api_key: \"${SLUICE_NO_SUCH}\"\n    timeouts: { idle: 5 weeks }\nmodels:\n  m: [c/gpt, b, a/gpt]\n  n: []\nlimits: { max_body: 0 }\n";
    let errors = compile(text).unwrap_err();
    let shown = errors.to_string();
    let expected = [
        ("sluice.yaml:1:", "listen", "nowhere"),
        ("sluice.yaml:12:", "limits.max_body", "more than 0"),
        ("sluice.yaml:3:", "providers.a.kind", "openai"),
        ("sluice.yaml:7:", "providers.b.api_key", "SLUICE_NO_SUCH is not set"),
        ("sluice.yaml:6:", "providers.b.base_url", "URL"),
        ("sluice.yaml:8:", "providers.b.timeouts.idle", "5 weeks"),
        ("sluice.yaml:10:", "models.m[0]", "unknown provider `c`"),
        ("sluice.yaml:10:", "models.m[1]", "provider/model"),
        ("sluice.yaml:11:", "models.n", "no targets"),
    ];
    assert_eq!(shown.lines().count(), expected.len(), "{shown}");
    for (line, (place, path, word)) in shown.lines().zip(expected) {
        assert!(line.starts_with(place) && line.contains(path) && line.contains(word), "{line}");
    }
}

#[test]
fn unknown_and_double_keys_are_errors_with_a_line() {
    let unknown = compile(&GOOD.replace("policies:", "polices: x\npolicies:")).unwrap_err();
    assert!(unknown.0[0].line == 6 && unknown.to_string().contains("polices"), "{unknown}");
    let double = compile(&format!("{GOOD}models:\n  x: [own/y]\n")).unwrap_err();
    assert!(double.0[0].line == 7, "{double}");
}

#[test]
fn a_config_without_keys_says_how_to_make_one() {
    let none = PolicyFile { name: "policy.yaml".to_owned(), text: "tenant: t\n".to_owned() };
    let error = from_str("sluice.yaml", GOOD, Path::new("."), &[none], 1).unwrap_err();
    assert!(error.to_string().contains("sluice key new"), "{error}");
}

#[test]
fn policies_come_from_a_folder_and_their_errors_name_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("policies");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.yaml"), KEY).unwrap();
    std::fs::write(folder.join("b.yaml"), "tenant: other\nlimits:\n  - 5 bananas/min\n").unwrap();
    let path = dir.path().join("sluice.yaml");
    std::fs::write(&path, GOOD.replace("policy.yaml", "policies")).unwrap();
    let error = load(&path, 1).unwrap_err();
    assert!(error.to_string().starts_with("b.yaml:3:"), "{error}");
    std::fs::write(folder.join("b.yaml"), "tenant: other\n").unwrap();
    let config = load(&path, 7).unwrap();
    assert_eq!((config.generation, config.sources.len()), (7, 2));
    assert!(load(&dir.path().join("none.yaml"), 1).unwrap_err().to_string().contains("cannot read"));
}

/// A config with this provider, and what is wrong with it.
fn provider(text: &str) -> Result<Config, String> {
    let file = format!("providers:\n  p: {text}\nmodels:\n  m: [p/x]\npolicies: policy.yaml\n");
    compile(&file).map_err(|errors| errors.to_string())
}

#[test]
fn addresses_and_headers_are_those_of_the_kind() {
    let config = provider("{ kind: openai, api_keys: [a, b] }").unwrap();
    assert_eq!(config.providers["p"].base_url, "https://api.openai.com/v1");
    assert_eq!(config.providers["p"].credentials.redacted(), json!({"keys": 2, "header": "authorization"}));
    for (text, path, wrong) in [
        ("{ kind: openai, api_keys: [a, a] }", "p.api_keys[1]", "twice"),
        ("{ kind: openai, api_key: \"\" }", "p.api_key", "empty"),
        ("{ kind: openai, key_header: \"a b\", api_key: x }", "p.key_header", "not a header name"),
        ("{ kind: openai, aws: { region: x } }", "p.aws", "do not take `aws`"),
        ("{ kind: openai, base_url: \"https://{region}/v1\" }", "p.base_url", "needs region"),
        ("{ kind: openai, aws: {}, gcp: {} }", "p", "one kind of credentials"),
    ] {
        let errors = provider(text).unwrap_err();
        assert!(errors.contains(path) && errors.contains(wrong), "{text}: {errors}");
    }
}

#[test]
fn equal_credentials_have_equal_fingerprints_and_others_do_not() {
    let print = |text: &str| provider(text).unwrap().providers["p"].credentials.fingerprint;
    assert_eq!(print("{ kind: openai, api_key: a }"), print("{ kind: openai, api_keys: [a] }"));
    assert_ne!(print("{ kind: openai, api_key: a }"), print("{ kind: openai, api_key: b }"));
    assert_ne!(print("{ kind: openai, api_keys: [ab, c] }"), print("{ kind: openai, api_keys: [a, bc] }"));
    assert_ne!(print("{ kind: openai, api_key: a }"), print("{ kind: openai, api_key: a, key_header: x-key }"));
}

#[test]
fn models_may_be_described_and_prices_read_from_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let table =
        r#"{"gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}}"#;
    std::fs::write(dir.path().join("prices.json"), table).unwrap();
    let text = |catalog: &str| {
        format!(
            "providers:\n  p: {{ kind: openai }}\nmodels:\n  m: [p/gpt-4o, p/mine]\npolicies: policy.yaml\ncatalog:\n{catalog}\n"
        )
    };
    let load = |catalog: &str| from_str("sluice.yaml", &text(catalog), dir.path(), &policy(), 1);
    let config = load(
        "  litellm: prices.json\n  models:\n    p/mine: { context: 8000, tokenizer: qwen, input: 1, generated: 2 }",
    )
    .unwrap();
    let targets = &config.models["m"].targets;
    assert_eq!(targets[0].model.prices.as_ref().unwrap().input, 1_000_000);
    assert_eq!((targets[1].model.context_window, targets[1].model.known), (8000, true));
    for (catalog, place, wrong) in [
        ("  litellm: none.json", "sluice.yaml:7:12: catalog.litellm", "none.json"),
        ("  models:\n    q/mine: { context: 8000 }", "sluice.yaml:8:", "neither a provider of this file nor a kind"),
        ("  models:\n    p/mine: { input: 3 }", "catalog.models.p/mine", "both input and generated"),
        ("  models:\n    p/mine: { price: 3 }", "sluice.yaml:8:", "price"),
    ] {
        let errors = load(catalog).unwrap_err().to_string();
        assert!(errors.contains(place) && errors.contains(wrong), "{errors}");
    }
}

#[test]
fn answers_are_shared_where_there_is_a_redis_for_it() {
    let of = |sections: &str| compile(&format!("{GOOD}{sections}"));
    let prefix = |sections: &str| of(sections).unwrap().shared_cache.as_ref().map(|redis| redis.prefix.clone());
    let redis = "redis: { url: \"redis://a:1\" }\n";
    assert_eq!(prefix("cache: {}\n"), None);
    assert_eq!(prefix(redis), None, "no cache, nothing to share");
    assert_eq!(prefix(&format!("{redis}cache: {{}}\n")).unwrap(), "sluice");
    assert_eq!(prefix(&format!("{redis}cache: {{ shared: false }}\n")), None);
    let own = "cache: { redis: { url: \"redis://b:1\", prefix: answers } }\n";
    assert_eq!(prefix(&format!("{redis}{own}")).unwrap(), "answers");
    for (wrong, path, word) in [
        ("cache: { shared: true }\n", "cache.shared", "`cache.redis`"),
        ("cache: { shared: false, redis: { url: \"redis://b:1\" } }\n", "cache.shared", "leave one out"),
        ("cache: { redis: { url: \"http://b\" } }\n", "cache.redis.url", "redis://"),
        ("cache: { redis: { url: \"redis://b:1\", lease: 5s } }\n", "cache.redis.lease", "limits"),
    ] {
        let error = of(wrong).unwrap_err().to_string();
        assert!(error.lines().count() == 1 && error.contains(path) && error.contains(word), "{error}");
    }
}
