//! The house rules that no compiler and no linter checks: file sizes, first lines, who may import whom.
#![expect(clippy::unwrap_used, clippy::string_slice, reason = "a test that cannot read the tree must fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use read::{Source, dependencies, names, paths_of, root, sources};

mod read;

/// Lines of a file before its tests begin.
const MAX_CODE_LINES: usize = 400;
/// Lines of a file, tests and all.
const MAX_LINES: usize = 500;
const MAX_MAIN_LINES: usize = 80;

/// The modules of `src/`, top floor first: a module uses only its own floor and those below.
const FLOORS: &[&[&str]] = &[
    &["main"],
    &["commands"],
    &["app"],
    &["frontend", "extproc"],
    &["door"],
    &["drive"],
    &["pipeline", "admin"],
    &["tokens", "cache", "upstream", "config", "state"],
    &["telemetry", "error", "budget"],
];

/// A library and the only places of `src/` that may name it.
const OWNERS: &[(&str, &[&str])] = &[
    ("hyper::server", &["frontend", "admin"]),
    ("hyper_util::server", &["frontend", "admin"]),
    ("hyper::client", &["admin", "upstream"]),
    ("hyper_rustls", &["upstream"]),
    ("reqwest", &["upstream"]),
    ("redis", &["state/redis"]),
    ("tonic", &["extproc"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("prometheus_client", &["telemetry"]),
    ("tiktoken", &["tokens"]),
    ("tiktoken_rs", &["tokens"]),
    ("serde_saphyr", &["config"]),
];

/// What the pure crates must not depend on, tests included.
const IMPURE: &[&str] = &[
    "async-trait",
    "axum",
    "futures",
    "hyper",
    "hyper-util",
    "redis",
    "reqwest",
    "sluice",
    "tokio",
    "tokio-util",
    "tonic",
];

/// The files of a pure crate's binary that measure.
const MEASURES: &[&str] = &["semantic/src/cost.rs"];

/// Fails with every broken rule at once, one a line.
fn report(broken: &[String]) {
    assert!(broken.is_empty(), "{} house rules are broken:\n{}", broken.len(), broken.join("\n"));
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Which top modules each top module uses, and one file that shows it.
fn uses(sources: &[Source]) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut graph: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for source in sources.iter().filter(|s| !s.is_test()) {
        let Some(module) = source.module() else {
            continue;
        };
        let code = source.code();
        let used = paths_of(&code, "crate").into_iter().chain(paths_of(&code, "sluice"));
        for other in used.filter(|other| other != module && floor(other).is_some()) {
            graph.entry(module.to_owned()).or_default().insert(other, source.path.clone());
        }
    }
    graph
}

/// Whether `to` can be reached from `from`.
fn reaches(graph: &BTreeMap<String, BTreeMap<String, String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            open.extend(graph.get(module).into_iter().flat_map(BTreeMap::keys).map(String::as_str));
        }
    }
    false
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if !source.text.starts_with("//! ") {
            broken.push(format!("{}: does not open with a `//!` sentence", source.path));
        }
        if source.code_lines() > MAX_CODE_LINES || lines > MAX_LINES {
            broken.push(format!(
                "{}: {} lines before its tests (at most {MAX_CODE_LINES}), {lines} in all (at most {MAX_LINES})",
                source.path,
                source.code_lines()
            ));
        }
        if source.path == "src/main.rs" && lines > MAX_MAIN_LINES {
            broken.push(format!("{}: {lines} lines, at most {MAX_MAIN_LINES}", source.path));
        }
    }
    report(&broken);
}

#[test]
fn nothing_is_put_off() {
    // Put together here, or this file would break its own rule.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:"), concat!("#[", "ignore")];
    let mut broken = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            for word in words.iter().filter(|word| line.contains(**word)) {
                broken.push(format!("{}:{}: {word}", source.path, number + 1));
            }
        }
    }
    report(&broken);
}

#[test]
fn a_mod_file_holds_docs_and_re_exports_only() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|s| s.path.ends_with("/mod.rs") && !s.is_test()) {
        let code = source.code();
        let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
        for word in words.filter(|word| ["fn", "impl", "struct", "enum", "trait"].contains(word)) {
            broken.push(format!("{}: holds a {word}: give it a file of its own", source.path));
        }
    }
    report(&broken);
}

#[test]
fn imports_run_downwards_and_in_no_circle() {
    let sources = sources();
    let mut broken = Vec::new();
    for source in &sources {
        if let Some(module) = source.module().filter(|module| floor(module).is_none()) {
            broken.push(format!("{}: module {module} has no floor in tests/tidy/main.rs", source.path));
        }
    }
    let graph = uses(&sources);
    for (module, used) in &graph {
        for (other, example) in used {
            if floor(other) < floor(module) {
                broken.push(format!("{example}: {module} uses {other}, which is above it"));
            } else if reaches(&graph, other, module) {
                broken.push(format!("{example}: {module} and {other} use each other"));
            }
        }
    }
    report(&broken);
}

#[test]
fn each_library_is_known_in_one_place() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|s| !s.is_test()) {
        let Some(inside) = source.inside_src() else {
            continue;
        };
        let code = source.code();
        for (library, places) in OWNERS {
            if !places.iter().any(|place| inside.starts_with(place)) && names(&code, library) {
                broken.push(format!("{}: names {library}, only src/{} may", source.path, places.join(" and src/")));
            }
        }
        if inside.starts_with("pipeline") && (names(&code, "hyper") || names(&code, "hyper_util")) {
            broken.push(format!("{}: the pipeline does not know hyper", source.path));
        }
    }
    report(&broken);
}

#[test]
fn providers_and_policies_are_pure_and_strangers() {
    let mut broken = Vec::new();
    for (folder, stranger) in
        [("providers", "sluice-policies"), ("policies", "sluice-providers"), ("semantic", "sluice-providers")]
    {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        for name in dependencies(&manifest) {
            if IMPURE.contains(&name.as_str()) || name == stranger {
                broken.push(format!("{folder}/Cargo.toml: depends on {name}"));
            }
        }
        for source in sources().iter().filter(|s| s.path.starts_with(&format!("{folder}/src/")) && !s.is_test()) {
            let code = source.code();
            for impure in ["SystemTime::now", "Instant::now", "std::fs::", "std::net::", "async fn "] {
                if code.contains(impure) && !MEASURES.contains(&source.path.as_str()) {
                    broken.push(format!("{}: {impure} in a pure crate", source.path));
                }
            }
        }
    }
    report(&broken);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let mut broken = Vec::new();
    for folder in [".", "proto", "providers", "policies", "semantic", "load-tests", "load-tests/mock"] {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        if !manifest.contains("[lints]\nworkspace = true") {
            broken.push(format!("{folder}/Cargo.toml: no `[lints] workspace = true`"));
        }
    }
    report(&broken);
}
