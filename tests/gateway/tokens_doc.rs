//! docs/tokens.md says how far each way to count is off; its tables are measured here:
//! `UPDATE_DOCS=1 cargo test docs` writes them.

use std::fmt::Write;

use bytes::Bytes;
use serde_json::{Value, json};
use sluice::tokens::Counter;
use sluice_providers::catalog::{Catalog, Tokenizer};
use sluice_providers::{Call, Endpoint};

const CORPORA: [(&str, &str); 6] = [
    ("English", include_str!("../data/tokens/english.txt")),
    ("code", include_str!("../data/tokens/code.txt")),
    ("JSON", include_str!("../data/tokens/json.txt")),
    ("Markdown", include_str!("../data/tokens/markdown.txt")),
    ("European", include_str!("../data/tokens/european.txt")),
    ("CJK", include_str!("../data/tokens/cjk.txt")),
];

const FAMILIES: [(&str, Tokenizer); 8] = [
    ("`cl100k` (GPT-4, GPT-3.5)", Tokenizer::Cl100k),
    ("Llama 3", Tokenizer::Llama3),
    ("DeepSeek V3", Tokenizer::DeepSeek),
    ("Qwen 2", Tokenizer::Qwen),
    ("Mistral v3", Tokenizer::Mistral),
    ("Kimi K2", Tokenizer::Kimi),
    ("GLM 4", Tokenizer::Glm),
    ("MiniMax M2", Tokenizer::MiniMax),
];

/// Thousandths of what `o200k` counts.
fn factor(counter: &Counter, tokenizer: Tokenizer, text: &str) -> u64 {
    counter.text(tokenizer, text) * 1000 / counter.text(Tokenizer::O200k, text)
}

fn families(counter: &Counter) -> String {
    let mut table = "| vocabulary |".to_owned();
    for (name, _) in CORPORA {
        write!(table, " {name} |").unwrap();
    }
    table.push_str("\n|---|---|---|---|---|---|---|\n");
    for (name, tokenizer) in FAMILIES {
        write!(table, "| {name} |").unwrap();
        for (_, text) in CORPORA {
            let factor = factor(counter, tokenizer, text) + 5;
            write!(table, " {}.{:02} |", factor / 1000, factor % 1000 / 10).unwrap();
        }
        table.push('\n');
    }
    table
}

/// Recorded requests, what the provider reported, and what is counted.
fn recorded(counter: &Counter) -> Vec<(String, bool, u64, u64)> {
    let catalog = Catalog::builtin().unwrap();
    let cases: Vec<Value> = serde_json::from_str(include_str!("../data/recorded.json")).unwrap();
    let count = |case: &Value| {
        let model = case["model"].as_str().unwrap();
        let mut body = case["request"].clone();
        body["model"] = json!(model);
        let call = Call::parse(Endpoint::ChatCompletions, Bytes::from(body.to_string())).unwrap();
        let counted = counter.call(&call, &catalog.model("openai", model)).unwrap().input;
        (model.to_owned(), body["tools"].is_array(), case["prompt_tokens"].as_u64().unwrap(), counted)
    };
    cases.iter().map(count).collect()
}

fn openai(counter: &Counter) -> String {
    let mut table = "| model | request | reported | counted | error |\n|---|---|---|---|---|\n".to_owned();
    for (model, tools, reported, counted) in recorded(counter) {
        let what = if tools { "messages and tools" } else { "messages" };
        let (sign, off) = if counted < reported { ("-", reported - counted) } else { ("+", counted - reported) };
        let (sign, per_mille) = if off == 0 { ("", 0) } else { (sign, off * 1000 / reported) };
        let error = format!("{sign}{}.{} %", per_mille / 10, per_mille % 10);
        writeln!(table, "| {model} | {what} | {reported} | {counted} | {error} |").unwrap();
    }
    table
}

/// Puts a table between its marks.
fn put(doc: &str, mark: &str, table: &str) -> String {
    let (open, close) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->"));
    let (before, rest) = doc.split_once(&open).unwrap_or_else(|| panic!("docs/tokens.md has no mark {mark}"));
    let (_, after) = rest.split_once(&close).unwrap_or_else(|| panic!("docs/tokens.md does not end {mark}"));
    format!("{before}{open}\n{table}\n{close}{after}")
}

#[test]
fn the_docs_of_tokens_say_what_is_measured() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tokens.md");
    let written = std::fs::read_to_string(path).unwrap();
    let counter = Counter::new(10);
    let expected = put(&put(&written, "families", &families(&counter)), "recorded", &openai(&counter));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
        return;
    }
    assert!(written == expected, "docs/tokens.md is not what is measured; run UPDATE_DOCS=1 cargo test docs");
}

#[test]
fn recorded_usage_is_met() {
    for (model, tools, reported, counted) in recorded(&Counter::new(10)) {
        let allowed = if tools { reported / 50 } else { 0 };
        assert!(counted.abs_diff(reported) <= allowed, "{model}: {counted} against {reported}");
    }
}

/// A ratio is what is reserved by: where vocabularies are known it must not be too small for any.
#[test]
fn the_ratio_of_unknown_models_is_on_the_upper_side() {
    let (counter, catalog) = (Counter::new(10), Catalog::builtin().unwrap());
    let Tokenizer::Ratio { percent } = catalog.model("vllm", "a-model-nobody-knows").tokenizer else {
        panic!("no ratio")
    };
    // The smallest vocabulary, of 32 thousand tokens, is an exception on other scripts.
    let modern =
        FAMILIES.iter().filter(|(_, tokenizer)| *tokenizer != Tokenizer::Mistral && *tokenizer != Tokenizer::Cl100k);
    for (name, tokenizer) in modern {
        let (mut own, mut common) = (0, 0);
        for (_, text) in CORPORA {
            own += counter.text(*tokenizer, text);
            common += counter.text(Tokenizer::O200k, text);
        }
        assert!(own * 100 <= common * u64::from(percent), "{name}: {own} against {common}");
    }
}
