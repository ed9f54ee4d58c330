//! Whether this machine can tell the providers of a config from others, found out before a request fails.

use crate::config::Config;
use crate::upstream::http1;

/// Which providers no request can reach, and why: they are reached over TLS, and there is no certificate to trust. Reads
/// the system's certificates the first time that a provider needs them.
pub fn untrusted(config: &Config) -> Option<String> {
    let secure = config.providers.iter().filter(|(_, provider)| provider.base_url.starts_with("https:"));
    let names: Vec<&str> = secure.map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let error = http1::trusted().err()?;
    Some(format!("providers {}: {error}", names.join(", ")))
}
