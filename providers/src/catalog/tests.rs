//! Tests of the catalog: that its files are complete, and that models are found in it.

use super::*;
use crate::Usage;

fn catalog() -> Catalog {
    Catalog::builtin().unwrap()
}

#[test]
fn every_kind_and_model_is_complete() {
    let catalog = catalog();
    let kinds: Vec<&Kind> = catalog.kinds().collect();
    assert_eq!(kinds.len(), 22);
    for kind in kinds {
        let name = &kind.name;
        let own_address = &**name == "azure";
        assert_eq!(kind.base_url.is_none(), own_address, "{name}");
        assert!(kind.base_url.as_ref().is_none_or(|url| url.starts_with("http") && !url.ends_with('/')), "{name}");
        let version: Vec<&str> = kind.version.split('-').collect();
        assert!(matches!(version.as_slice(), [year, month] if year.len() == 4 && month.len() == 2), "{name}");
        for model in catalog.models(name) {
            let at = format!("{name}/{}", model.name);
            assert!(model.context_window >= 512 && model.context_window <= 10_000_000, "{at}");
            assert!(model.max_output <= model.context_window, "{at}");
            let embeds = model.modalities.output.contains(&Modality::Embedding);
            let writes = model.modalities.output.contains(&Modality::Text);
            assert_eq!(model.max_output == 0, !writes, "{at}: only what writes has a bound of tokens");
            assert!(!model.modalities.input.is_empty(), "{at}");
            let images = model.modalities.input.contains(&Modality::Image);
            assert!(images || model.images == ImageRule::None, "{at}: an image rule, but no images");
            assert_eq!(model.prices.is_some(), kind.priced, "{at}");
            let Some(prices) = &model.prices else { continue };
            if prices.unit > 0 && prices.input == 0 {
                continue;
            }
            assert!(prices.input > 0 && prices.cached_input <= prices.input, "{at}");
            assert!(prices.cache_write >= prices.input && prices.cache_write <= 2 * prices.input, "{at}");
            assert!(embeds || prices.output >= prices.input, "{at}");
            assert!(prices.input <= 200_000_000 && prices.output <= 800_000_000, "{at}");
        }
    }
}

#[test]
fn names_are_found_with_versions_and_places_around_them() {
    let catalog = catalog();
    for (kind, asked, found) in [
        ("openai", "gpt-4o-2024-08-06", "gpt-4o"),
        ("openai", "gpt-4o-mini", "gpt-4o-mini"),
        ("openai", "gpt-3.5-turbo-0613", "gpt-3.5-turbo"),
        ("openai", "gpt-4-0125-preview", "gpt-4"),
        ("azure", "gpt-4o", "gpt-4o"),
        ("anthropic", "claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("anthropic", "claude-opus-4-1-20250805", "claude-opus-4-1"),
        ("vertex", "claude-sonnet-4@20250514", "claude-sonnet-4"),
        ("vertex", "gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini", "gemini-2.5-flash-preview", "gemini-2.5-flash"),
        ("bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0", "anthropic.claude-sonnet-4"),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/eu.amazon.nova-lite-v1:0", "amazon.nova-lite"),
        ("bedrock", "amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v2"),
        ("openrouter", "anthropic/claude-sonnet-4.5:beta", "anthropic/claude-sonnet-4.5"),
    ] {
        let model = catalog.model(kind, asked);
        assert_eq!((&*model.name, model.known), (found, true), "{kind}/{asked}");
    }
    let other = catalog.model("openai", "gpt-4o-audio");
    assert!(!other.known && other.prices.is_none());
    // A version that is not listed is not the one before it.
    assert!(!catalog.model("anthropic", "claude-opus-4-9").known);
}

#[test]
fn families_are_told_by_name() {
    let catalog = catalog();
    let tokenizer = |name| catalog.model("vllm", name).tokenizer;
    assert_eq!(tokenizer("meta-llama/Llama-3.1-8B-Instruct"), Tokenizer::Llama3);
    assert_eq!(tokenizer("deepseek-ai/DeepSeek-R1-Distill-Qwen-32B"), Tokenizer::Qwen);
    assert_eq!(tokenizer("deepseek-ai/DeepSeek-R1"), Tokenizer::DeepSeek);
    assert_eq!(tokenizer("qwen3:8b"), Tokenizer::Qwen);
    assert_eq!(tokenizer("openai/gpt-oss-20b"), Tokenizer::O200k);
    assert!(matches!(tokenizer("my-own-model"), Tokenizer::Ratio { percent } if percent > 100));
}

#[test]
fn every_token_is_charged_once() {
    let catalog = catalog();
    let prices = catalog.model("openai", "gpt-4o").prices.clone().unwrap();
    let usage = Usage { input: 1000, cached_input: 400, output: 100, ..Usage::default() };
    // 600 at $2.50, 400 at $1.25 and 100 at $10 a million.
    assert_eq!(prices.cost_micros(&usage), 1500 + 500 + 1000);
    assert_eq!(prices.cost_micros(&Usage { output: 1, ..Usage::default() }), 10);
    let speech = catalog.model("openai", "tts-1").prices.clone().unwrap();
    assert_eq!(speech.cost_micros(&Usage { input: 250, units: 1000, ..Usage::default() }), 15_000);
    let huge = Usage { input: u64::MAX, output: u64::MAX, ..Usage::default() };
    assert_eq!(prices.cost_micros(&huge), u64::MAX);
    let claude = catalog.model("anthropic", "claude-sonnet-4-5").prices.clone().unwrap();
    let usage = Usage { input: 1000, cached_input: 500, cache_write: 200, output: 10, ..Usage::default() };
    // 300 at $3, 500 at $0.30, 200 at $3.75 and 10 at $15.
    assert_eq!(claude.cost_micros(&usage), 900 + 150 + 750 + 150);
    let research = catalog.model("perplexity", "sonar-deep-research").prices.clone().unwrap();
    let usage = Usage { output: 1000, reasoning: 600, ..Usage::default() };
    assert_eq!(research.cost_micros(&usage), 400 * 8 + 600 * 3);
}

#[test]
fn long_prompts_have_their_own_prices() {
    let prices = catalog().model("gemini", "gemini-2.5-pro").prices.clone().unwrap();
    let cost = |input| prices.cost_micros(&Usage { input, output: 100, ..Usage::default() });
    assert_eq!(cost(200_000), 250_000 + 1000);
    assert_eq!(cost(200_001), 500_003 + 1500);
}

#[test]
fn a_config_overrides_and_adds_models() {
    let mut catalog = catalog();
    let facts = |text: &str| serde_saphyr::from_str::<ModelFacts>(text).unwrap();
    catalog.add("prod/gpt-4o", "openai", &facts("{ input: 2, generated: 8, context: 64000 }")).unwrap();
    catalog.add("azure/my-deployment", "azure", &facts("{ like: openai/gpt-4o-mini }")).unwrap();
    let ours = catalog.target("prod", "openai", "gpt-4o");
    assert_eq!((ours.context_window, ours.max_output), (64_000, 16_384));
    let prices = ours.prices.as_ref().unwrap();
    assert_eq!((prices.input, prices.output, &*prices.version), (2_000_000, 8_000_000, "config"));
    assert_eq!(catalog.target("other", "openai", "gpt-4o").context_window, 128_000);
    let deployment = catalog.target("east", "azure", "my-deployment");
    assert_eq!(deployment.prices.as_ref().unwrap().input, 150_000);
    for (text, wrong) in [
        ("{ input: 2 }", "need both"),
        ("{ input: -1, generated: 2 }", "0 or more"),
        ("{ tokenizer: qwen, ratio: 120 }", "not both"),
        ("{ like: openai/none }", "no model openai/none"),
        ("{ like: gpt-4o }", "kind/model"),
    ] {
        let error = catalog.add("a/b", "openai", &facts(text)).unwrap_err();
        assert!(error.contains(wrong), "{text}: {error}");
    }
}

#[test]
fn litellms_table_is_read() {
    let table = r#"{"sample_spec": {"max_tokens": "a sentence", "input_cost_per_token": 0.0},
        "gpt-4o": {"litellm_provider": "openai", "max_input_tokens": 128000, "max_output_tokens": 16384,
          "input_cost_per_token": 2e-06, "output_cost_per_token": 9e-06, "cache_read_input_token_cost": 1e-06},
        "groq/new-model": {"litellm_provider": "groq", "max_tokens": 8192.0, "input_cost_per_token": 5e-08, "output_cost_per_token": 8e-08},
        "anthropic.claude-sonnet-4-20250514-v1:0": {"litellm_provider": "bedrock_converse", "input_cost_per_token": 4e-06,
          "output_cost_per_token": 1.6e-05, "input_cost_per_token_above_200k_tokens": 6e-06, "supports_vision": true}}"#;
    let table = LiteLlm::parse(table, "litellm").unwrap();
    assert_eq!(table.len(), 3);
    let mut catalog = catalog();
    catalog.set_litellm(table);
    let price = |kind, name| catalog.model(kind, name).prices.clone().unwrap();
    assert_eq!(price("openai", "gpt-4o-2024-08-06").input, 2_000_000);
    assert_eq!(price("groq", "new-model").output, 80_000);
    assert_eq!(catalog.model("groq", "new-model").max_output, 8192);
    let bedrock = price("bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0");
    assert_eq!((bedrock.input, bedrock.long.unwrap().input), (4_000_000, 6_000_000));
    // What the table does not have stays ours, and another provider's entry is not taken.
    assert_eq!(price("openai", "gpt-4o-mini").input, 150_000);
    assert!(!catalog.model("openai", "new-model").known);
    assert!(LiteLlm::parse("[]", "x").is_err() && LiteLlm::parse("{}", "x").is_err());
}
