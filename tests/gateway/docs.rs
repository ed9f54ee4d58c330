//! docs/config.md is generated from the config's types: `UPDATE_DOCS=1 cargo test docs` writes it.

use std::fmt::Write;

use serde_json::Value;
use sluice::config;
use sluice_policies::PolicySet;

const HEAD: &str = "# Configuration reference\n\n\
    Generated from the config types; `sluice check --schema` and `sluice check --schema policy` print the JSON Schemas. \
    Unknown keys are errors. Secrets: `${VAR}`, `${VAR:-default}` or `file:/path`; errors never show a value.\n\n\
    The config is reloaded when one of its files changes and on SIGHUP. A file that is wrong is refused: the error is in \
    the log and under `last_error` at `/config` of the admin listener, `sluice_config_reloads_total{result=\"failed\"}` \
    counts it, and the last good config stays live. Requests under way keep the config they began with.\n";

/// The schema behind a `$ref`, or the schema itself.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let named = |schema: &'a Value| schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
    let inner = schema["anyOf"].as_array().and_then(|any| any.iter().find(|one| named(one).is_some()));
    let schema = inner.unwrap_or(schema);
    named(schema).map_or(schema, |name| &root["$defs"][name])
}

fn rows(root: &Value, schema: &Value, path: &str, out: &mut String) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let target = resolve(root, property);
        let text = [&property["description"], &target["description"]].into_iter().find_map(Value::as_str).unwrap_or("");
        let needed = if required.contains(&Value::from(name.as_str())) { " **Required.**" } else { "" };
        writeln!(out, "| `{path}` | {}{needed} |", text.replace('\n', " ").replace('|', "\\|")).unwrap();
        rows(root, target, &path, out);
        for (values, mark) in [("additionalProperties", ".<name>"), ("items", "[]")] {
            let inner = resolve(root, &target[values]);
            rows(root, inner, &format!("{path}{mark}"), out);
            let variants = inner["anyOf"].as_array().into_iter().flatten();
            variants.for_each(|variant| rows(root, resolve(root, variant), &format!("{path}{mark}"), out));
        }
    }
}

fn table(schema: &Value) -> String {
    let mut out = "\n| key | meaning |\n|---|---|\n".to_owned();
    rows(schema, schema, "", &mut out);
    out
}

#[test]
fn the_reference_is_what_the_types_say() {
    let config = config::schema().to_value();
    let policy = PolicySet::schema().to_value();
    let expected = format!("{HEAD}\n## The config file\n{}\n## A policy file\n{}", table(&config), table(&policy));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == expected, "docs/config.md is not what the types say; run UPDATE_DOCS=1 cargo test docs");
}

#[test]
fn the_configs_of_the_readme_are_right() {
    let readme = include_str!("../../README.md");
    let mut blocks = readme.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let (config, policy) = (blocks.next().unwrap(), blocks.next().unwrap());
    assert!(config.lines().count() + policy.lines().count() <= 20);
    let config = config.replace("${OPENAI_API_KEY}", "sk-x");
    let policy = sluice_policies::PolicyFile {
        name: "policy.yaml".to_owned(),
        text: policy.replace("sha256:…", &format!("sha256:{}", "1".repeat(64))),
    };
    let compiled = config::from_str("sluice.yaml", &config, std::path::Path::new("."), &[policy], 1);
    compiled.unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn the_deployed_configs_are_what_the_generator_prints() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/envoy");
    let text = std::fs::read_to_string(format!("{dir}/sluice.yaml")).unwrap().replace("${OPENAI_API_KEY}", "sk-x");
    let policy = sluice_policies::PolicyFile { name: "policy.yaml".to_owned(), text: crate::common::policy(&[]) };
    let parsed = config::from_str("sluice.yaml", &text, std::path::Path::new(dir), &[policy], 1);
    let parsed = parsed.unwrap_or_else(|errors| panic!("{errors}"));
    let site = sluice::extproc::envoy::Site {
        listen: ([0, 0, 0, 0], 10000).into(),
        admin: ([127, 0, 0, 1], 9901).into(),
        attempts: false,
        gateways: Vec::new(),
    };
    for name in ["serve", "steer"] {
        let mode = config::ExtProcMode::named(name).unwrap();
        let printed = sluice::extproc::envoy::config(&parsed, mode, &site).unwrap();
        let path = format!("{dir}/{name}.yaml");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &printed).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == printed,
            "deploy/envoy/{name}.yaml is not what is printed; run UPDATE_DOCS=1 cargo test deployed"
        );
    }
}
