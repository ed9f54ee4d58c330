//! `sluice key new`: a fresh virtual key, shown once.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use sha2::{Digest, Sha256};

use crate::app::StartError;

/// Prints the secret and the line for the policy file. The secret is kept nowhere.
pub(super) fn new(name: &str) -> Result<(), StartError> {
    let (secret, line) = make(name)?;
    let mut out = io::stdout().lock();
    writeln!(out, "The key, shown this once (give it to the client):\n\n  {secret}\n")?;
    writeln!(out, "The line for `keys:` of a policy file:\n\n  {line}")?;
    Ok(())
}

fn make(name: &str) -> Result<(String, String), StartError> {
    let mut bytes = [0u8; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes)?;
    let secret = format!("sk-sluice-{}", URL_SAFE_NO_PAD.encode(bytes));
    let digest: String = Sha256::digest(&secret).iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("- {{ name: {}, key: \"sha256:{digest}\" }}", serde_json::to_string(name)?);
    Ok((secret, line))
}

#[cfg(test)]
mod tests {
    use sluice_policies::{PolicyFile, PolicySet};

    use super::*;

    #[test]
    fn the_printed_line_admits_the_printed_key() {
        let (secret, line) = make("web: \"1\"").unwrap();
        let text = format!("tenant: t\nkeys:\n  {line}\n");
        let set = PolicySet::compile(&[PolicyFile { name: "p".to_owned(), text }]).unwrap();
        let digest: [u8; 32] = Sha256::digest(&secret).into();
        assert_eq!(&*set.key(&digest).unwrap().name, "web: \"1\"");
        assert_ne!(make("a").unwrap().0, make("a").unwrap().0);
    }
}
