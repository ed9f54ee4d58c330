//! docs/providers.md is generated from what the adapters declare: `UPDATE_DOCS=1` writes it.

use std::collections::BTreeSet;
use std::fmt::Write;

use sluice_providers::dialect::Dialect;
use sluice_providers::{ADAPTERS, Declaration, Endpoint, Feature, Support};

const HEAD: &str = "# Providers\n\n\
    Generated from what the adapters declare (`UPDATE_DOCS=1 cargo test -p sluice-providers docs`); requests are refused \
    by the same declarations.\n\n\
    A client that speaks a provider's own API gets its bytes through as they are, with the model's name and, in streams, \
    the question for usage put in. All else is translated. Words in the tables: **yes**, the provider's own way; \
    **by ...**, another way to the same end; **as is**, handed on unread, and the model decides; **ignored**, a hint \
    without effect; **refused**, 400 with the field's name before anything is spent.\n\n\
    Whatever the provider, clients see OpenAI's form: tool calls with ids and indexes, `finish_reason`, errors by class, \
    and `usage` whose `prompt_tokens` include cached tokens. Beyond OpenAI's own fields there are\n\n\
    - `reasoning_content`, the reasoning a provider shows, and `thinking_blocks`, the same with the provider's seal: send \
    the message back as it came and the model goes on from its thoughts;\n\
    - `extra_content.google.thought_signature` on messages and tool calls, Google's seals, likewise;\n\
    - `citations`, the provider's own objects, for sources that are not pages of the web; those are OpenAI's \
    `annotations`, with the words of the source in `content` where the provider tells them;\n\
    - `thinking`, `top_k`, `cache_control` and, on a `file` part, `citations` in requests, as Anthropic defines them;\n\
    - `usage.prompt_tokens_details.cache_write_tokens`.\n\n\
    Clients of Messages find sources in the `citations` of text blocks, and of Responses in the `annotations` of the \
    text. Where a provider does not say which words rest on a source, all the text before it does. Places in OpenAI's \
    forms count characters (Unicode code points) of the text.\n\n\
    Seals come to clients of these APIs as reasoning that is to be sent back unread: a `thinking` or \
    `redacted_thinking` block, an item with `encrypted_content`. One that begins with `text:` or `call:` seals the text \
    before or the call after it. A conversation with seals of one provider goes on with another by translation; \
    where the client's own API is relayed, its provider decides what to make of them.\n\n\
    A search of the web that the provider does itself is asked for with `web_search_options`, Anthropic's tool \
    `web_search_*` or the tool `web_search` of Responses, and is translated between them. What Anthropic and \
    Google charge for searches beside tokens is the catalog's `unit`. Some providers say what a prompt costs before they answer; else \
    `message_start` has the gateway's count, and the end of the stream what was billed.\n\n\
    Images and files by URL are never fetched by the gateway; where a provider cannot fetch them either they are refused.\n";

fn declarations() -> Vec<&'static Declaration> {
    ADAPTERS.iter().flat_map(|adapter| adapter.variants()).collect()
}

fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAiChat => "OpenAI chat",
        Dialect::OpenAiResponses => "OpenAI responses",
        Dialect::AnthropicMessages => "Anthropic messages",
    }
}

fn endpoints(out: &mut String) {
    out.push_str("\n## Endpoints\n\n| kind | provider | speaks itself |");
    for endpoint in Endpoint::ALL {
        write!(out, " `{}` |", endpoint.path()).unwrap();
    }
    write!(out, "\n|---|---|---|{}\n", "---|".repeat(Endpoint::ALL.len())).unwrap();
    for declared in declarations() {
        let speaks: Vec<&str> = declared.speaks.iter().copied().map(name).collect();
        write!(out, "| `{}` | {} | {} |", declared.kind, declared.title, speaks.join(", ")).unwrap();
        for endpoint in Endpoint::ALL {
            write!(out, " {} |", declared.endpoint(endpoint).label()).unwrap();
        }
        out.push('\n');
    }
}

/// Providers with the same features share a column.
fn features(out: &mut String) {
    let mut columns: Vec<(Vec<&str>, Vec<Support>)> = Vec::new();
    for declared in declarations() {
        let column: Vec<Support> = Feature::ALL.iter().map(|feature| declared.feature(*feature)).collect();
        match columns.iter_mut().find(|(_, other)| *other == column) {
            Some((titles, _)) => titles.push(declared.title),
            None => columns.push((vec![declared.title], column)),
        }
    }
    out.push_str("\n## Features of chat requests\n\n| |");
    for (titles, _) in &columns {
        write!(out, " {} |", titles.join(", ")).unwrap();
    }
    write!(out, "\n|---|{}\n", "---|".repeat(columns.len())).unwrap();
    for (row, feature) in Feature::ALL.iter().enumerate() {
        write!(out, "| {} |", feature.label()).unwrap();
        for (_, column) in &columns {
            write!(out, " {} |", column[row].label()).unwrap();
        }
        out.push('\n');
    }
}

#[test]
fn the_docs_are_what_the_adapters_declare() {
    let mut expected = HEAD.to_owned();
    endpoints(&mut expected);
    features(&mut expected);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/providers.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == expected, "docs/providers.md is not what the adapters declare; run with UPDATE_DOCS=1");
}

#[test]
fn every_adapter_declares_every_feature_once() {
    for declared in declarations() {
        let listed: BTreeSet<String> = declared.features.iter().map(|(feature, _)| format!("{feature:?}")).collect();
        assert_eq!(listed.len(), declared.features.len(), "{}: a feature is listed twice", declared.title);
        assert_eq!(listed.len(), Feature::ALL.len(), "{}: a feature is missing", declared.title);
    }
    let kinds: BTreeSet<&str> = ADAPTERS.iter().map(|adapter| adapter.name()).collect();
    assert_eq!(kinds.len(), ADAPTERS.len(), "a kind is there twice");
}
