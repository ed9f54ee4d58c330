//! Embedders in whole configs: what they become, and every kind of mistake with its place.

use std::path::Path;

use sluice_policies::PolicyFile;

use crate::config::{Config, ConfigErrors, from_str};

const PROVIDERS: &str = "providers:\n  openai: { kind: openai, base_url: http://a/v1 }\n  claude: { kind: anthropic, \
                         base_url: http://b }\n  aws: { kind: bedrock, base_url: http://c, api_key: x, aws: { region: r } }\nmodels:\n  m: \
                         [openai/gpt-4o-mini]\npolicies: policy.yaml\n";

fn compile(cache: &str) -> Result<Config, ConfigErrors> {
    let key = "1".repeat(64);
    let text = format!("tenant: t\nkeys:\n  - {{ name: k, key: \"sha256:{key}\" }}\n");
    let policy = PolicyFile { name: "policy.yaml".to_owned(), text };
    from_str("sluice.yaml", &format!("{PROVIDERS}cache:\n{cache}"), Path::new("."), &[policy], 1)
}

#[test]
fn an_embedder_is_a_target_that_no_client_can_name() {
    let small = "openai/text-embedding-3-small";
    let config = compile(&format!(
        "  mode: semantic\n  embeddings: {{ model: {small}, dimensions: 256, timeout: 50ms }}\n  second_opinion: {{ \
         model: {small}, min_similarity: 0.8 }}\n"
    ));
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    let rules = config.cache.as_ref().unwrap().all().next().unwrap();
    let (first, second) = (rules.embeddings.as_ref().unwrap(), rules.second_opinion.as_ref().unwrap());
    assert_eq!(
        (first.dimensions, first.timeout.as_millis(), second.embedder.timeout.as_millis()),
        (Some(256), 50, 300)
    );
    assert!(second.min_similarity > 0.79 && first.id() != second.embedder.id());
    assert_eq!(&*first.route.targets[0].label, format!("{small} (cache)"));
    assert_eq!(config.models.len(), 1);
    assert_eq!(config.routes().count(), 3);
    assert!(std::sync::Arc::ptr_eq(&first.route, &second.embedder.route), "one health of one model");
}

#[test]
fn mistakes_are_reported_where_they_stand() {
    let mode = "  mode: semantic\n";
    for (cache, line, path, word) in [
        ("  embeddings: { model: openai/text-embedding-3-small }\n", 9, "cache.embeddings", "mode: semantic"),
        (
            &format!("{mode}  embeddings: {{ model: other/x }}\n"),
            10,
            "cache.embeddings.model",
            "unknown provider `other`",
        ),
        (&format!("{mode}  embeddings: {{ model: x }}\n"), 10, "cache.embeddings.model", "provider/model"),
        (
            &format!("{mode}  embeddings: {{ model: openai/gpt-4o }}\n"),
            10,
            "cache.embeddings.model",
            "no embeddings model",
        ),
        (&format!("{mode}  embeddings: {{ model: claude/x }}\n"), 10, "cache.embeddings.model", "no embeddings"),
        (&format!("{mode}  embeddings: {{ model: aws/meta.llama }}\n"), 10, "cache.embeddings.model", "Titan"),
        (
            &format!("{mode}  embeddings:\n    model: openai/own\n    dimensions: 0\n"),
            12,
            "cache.embeddings.dimensions",
            "1 to 8192",
        ),
        (
            &format!("{mode}  second_opinion:\n    model: openai/own\n    min_similarity: 1.5\n"),
            12,
            "cache.second_opinion.min_similarity",
            "at most 1",
        ),
        (
            &format!("{mode}  second_opinion:\n    model: openai/own\n    timeout: 1m\n"),
            12,
            "cache.second_opinion.timeout",
            "at most 10s",
        ),
    ] {
        let errors = compile(cache).unwrap_err();
        let shown = errors.to_string();
        assert_eq!(errors.0.len(), 1, "{shown}");
        assert!(shown.starts_with(&format!("sluice.yaml:{line}:")) && shown.contains(path), "{shown}");
        assert!(shown.contains(word), "{shown}");
    }
}
