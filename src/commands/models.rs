//! `sluice models`: what is configured, and what the catalog knows of it.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};
use sluice_providers::catalog::{Modality, Model, Prices, Tokenizer};

use crate::app::StartError;
use crate::config::{self, Config};

/// Columns of the table.
const COLUMNS: [&str; 11] =
    ["MODEL", "TARGET", "CONTEXT", "OUTPUT", "TOKENS", "TAKES", "INPUT", "CACHED", "WRITE", "GENERATED", "PRICES OF"];

/// Prints the models of a config with windows and prices; dollars per million tokens.
pub(super) fn run(path: &Path, as_json: bool) -> Result<(), StartError> {
    let config = config::load(path, 1)?;
    let mut out = io::stdout().lock();
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&as_value(&config))?)?;
    } else {
        out.write_all(table(&config).as_bytes())?;
    }
    Ok(())
}

fn table(config: &Config) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    for route in config.models.values() {
        for target in &route.targets {
            let Model { context_window, max_output, tokenizer, prices, known, .. } = &*target.model;
            let price = |of: fn(&Prices) -> u64| prices.as_ref().map_or_else(|| "-".to_owned(), |all| dollars(of(all)));
            rows.push([
                route.name.to_string(),
                target.label.to_string(),
                if *known { context_window.to_string() } else { format!("{context_window}?") },
                max_output.to_string(),
                tokens(*tokenizer),
                target.model.modalities.input.iter().map(|modality| name(*modality)).collect::<Vec<_>>().join("+"),
                price(|prices| prices.input),
                price(|prices| prices.cached_input),
                price(|prices| prices.cache_write),
                price(|prices| prices.output),
                prices.as_ref().map_or_else(|| "-".to_owned(), |prices| prices.version.to_string()),
            ]);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row.get(column).map_or(0, String::len)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let line = |row: &[String; 11]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect::<String>()
        + "\nPrices are US dollars per million tokens; `?` is a guess, the model is not in the catalog.\n"
}

fn as_value(config: &Config) -> Value {
    let target = |target: &config::TargetRoute| {
        let Model { context_window, max_output, tokenizer, modalities, prices, known, .. } = &*target.model;
        let list = |all: &[Modality]| all.iter().map(|modality| name(*modality)).collect::<Vec<_>>();
        let prices = prices.as_ref().map(|prices| {
            json!({"input": number(prices.input), "cached": number(prices.cached_input), "cache_write": number(prices.cache_write),
                "generated": number(prices.output), "reasoning": number(prices.reasoning), "version": prices.version})
        });
        json!({"target": target.label, "known": known, "context": context_window, "output": max_output,
            "tokenizer": tokens(*tokenizer), "takes": list(&modalities.input), "gives": list(&modalities.output), "prices": prices})
    };
    let routes = config.models.values();
    routes
        .map(|route| json!({"model": route.name, "targets": route.targets.iter().map(target).collect::<Vec<_>>()}))
        .collect()
}

fn name(modality: Modality) -> &'static str {
    match modality {
        Modality::Text => "text",
        Modality::Image => "image",
        Modality::Audio => "audio",
        Modality::Video => "video",
        Modality::Pdf => "pdf",
        Modality::Embedding => "embedding",
    }
}

fn tokens(tokenizer: Tokenizer) -> String {
    match tokenizer {
        Tokenizer::Ratio { percent } => format!("o200k x {}.{:02}", percent / 100, percent % 100),
        named => format!("{named:?}").to_lowercase(),
    }
}

/// Micro-dollars as dollars, as short as they are exact.
fn dollars(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn number(micros: u64) -> Value {
    dollars(micros).parse::<f64>().map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = "providers:\n  openai: { kind: openai }\n  own: { kind: vllm }\nmodels:\n  fast: [openai/gpt-4o-mini, own/llama-3-8b]\npolicies: x\n";
        let key = "1".repeat(64);
        let policy = format!("tenant: a\nkeys:\n  - {{ name: k, key: \"sha256:{key}\" }}\n");
        let policy = sluice_policies::PolicyFile { name: "p".to_owned(), text: policy };
        config::from_str("sluice.yaml", text, Path::new("."), &[policy], 1).unwrap()
    }

    #[test]
    fn the_table_shows_prices_and_guesses() {
        let table = table(&config());
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            lines[1],
            [
                "fast",
                "openai/gpt-4o-mini",
                "128000",
                "16384",
                "o200k",
                "text+image",
                "0.15",
                "0.075",
                "0.15",
                "0.6",
                "2026-11"
            ]
        );
        assert_eq!(lines[2], ["fast", "own/llama-3-8b", "131072?", "32768", "llama3", "text", "-", "-", "-", "-", "-"]);
    }

    #[test]
    fn as_json_it_is_the_same() {
        let value = as_value(&config());
        let target = &value[0]["targets"][0];
        assert_eq!((&target["prices"]["cached"], &target["context"]), (&json!(0.075), &json!(128_000)));
        assert_eq!(value[0]["targets"][1]["prices"], Value::Null);
    }
}
