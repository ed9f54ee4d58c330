//! Policy and config texts of the measured gateways, and the keys of their clients.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The model that every measured server knows.
pub(crate) const MODEL: &str = "gpt-4o-mini";

/// The client of measurements that need only one.
pub(crate) const LOAD: &str = "load";

/// Limits that are counted and never reached.
pub(crate) const ROOMY: &[&str] = &["5B tokens/min per key", "1B requests/min per key", "100k concurrent per key"];

/// One tenant: who may call, in which order, and how much.
#[derive(Default)]
pub(crate) struct Policy<'a> {
    /// Names of keys, each with its class.
    pub(crate) keys: &'a [(&'a str, &'a str)],
    /// Lines `name: { ... }`.
    pub(crate) classes: &'a [&'a str],
    /// Sentences.
    pub(crate) limits: &'a [&'a str],
}

impl Policy<'_> {
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = "tenant: load\nkeys:\n".to_owned();
        for (name, class) in self.keys {
            writeln!(text, "  - {{ name: {name}, class: {class}, key: \"sha256:{}\" }}", digest(&secret(name)))?;
        }
        if !self.classes.is_empty() {
            writeln!(text, "classes:\n  {}", self.classes.join("\n  "))?;
        }
        if !self.limits.is_empty() {
            writeln!(text, "limits:\n  - {}", self.limits.join("\n  - "))?;
        }
        Ok(text)
    }
}

/// What the client of this name sends.
pub(crate) fn secret(name: &str) -> String {
    format!("sk-sluice-{name}")
}

fn digest(secret: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(secret).into();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The `models` of a config, with so many slots or without a bound.
pub(crate) fn models(slots: Option<u64>) -> String {
    match slots {
        None => format!("models:\n  {MODEL}: [mock/{MODEL}]\n"),
        Some(slots) => format!("models:\n  {MODEL}: {{ targets: [mock/{MODEL}], concurrent: {slots} }}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_lists_keys_by_their_hash() {
        let policy = Policy {
            keys: &[(LOAD, "batch")],
            classes: &["batch: { rank: 2 }", "standard: { rank: 1 }"],
            limits: &["8 concurrent per key"],
        };
        let hash = "a4762eccc00e32ae10e9e68e9a172b9ec602e39ada7e00ca46f4257f5b53ac70";
        let expected = format!(
            "tenant: load\nkeys:\n  - {{ name: load, class: batch, key: \"sha256:{hash}\" }}\n\
             classes:\n  batch: {{ rank: 2 }}\n  standard: {{ rank: 1 }}\nlimits:\n  - 8 concurrent per key\n"
        );
        assert_eq!(policy.text().unwrap(), expected);
    }
}
