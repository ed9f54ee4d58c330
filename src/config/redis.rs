//! The section `redis`: the store that replicas share.

use std::time::Duration;

use http::Uri;
use secrecy::SecretString;
use serde_saphyr::Spanned;

use super::compile::{Compiler, positive_duration};
use super::model::{Redis, RedisMode};
use super::raw::{RawPaths, RawRedis};
use super::values;

const TIMEOUT: Duration = Duration::from_millis(20);
const LEASE: Duration = Duration::from_secs(30);
/// Renewals come three times per lease and must not be missed for a hiccup.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);
/// What a dead replica held is away for as long. lua/tick.lua knows it too.
const LONGEST_LEASE: Duration = Duration::from_mins(10);
const SLICE_PERCENT: u8 = 25;

impl Compiler {
    /// `section` is where it is written: `redis` or `cache.redis`.
    pub(super) fn redis(&mut self, raw: &RawRedis, section: &str) -> Option<Redis> {
        let at = |name: &str| format!("{section}.{name}");
        let before = self.errors.len();
        let urls = self.redis_urls(&raw.url, &at("url"));
        let mode = self.redis_mode(raw, urls.len(), section);
        let password = raw.password.as_ref().and_then(|raw| self.resolved(raw, &at("password")));
        let ca = raw.ca.as_ref().and_then(|raw| {
            let path = self.dir.join(&raw.value);
            let read = std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()));
            read.map_err(|message| self.error(Some(&raw.referenced), &at("ca"), message)).ok()
        });
        let prefix = self.field(raw.prefix.as_ref(), &at("prefix"), "sluice".to_owned(), prefix);
        let timeout = self.field(raw.timeout.as_ref(), &at("timeout"), TIMEOUT, positive_duration);
        let lease = self.field(raw.lease.as_ref(), &at("lease"), LEASE, |text| {
            let lease = values::duration(text)?;
            let fits = (SHORTEST_LEASE..=LONGEST_LEASE).contains(&lease);
            if fits { Ok(lease) } else { Err("it must be 3s to 10m".to_owned()) }
        });
        let slice = raw.slice_percent.as_ref();
        if let Some(percent) = slice.filter(|percent| percent.value > 100) {
            self.error(Some(&percent.referenced), &at("slice_percent"), "it is 0 to 100".to_owned());
        }
        (self.errors.len() == before).then(|| Redis {
            urls,
            mode,
            username: raw.username.clone(),
            password: password.map(SecretString::from),
            ca,
            prefix,
            timeout,
            lease,
            slice_percent: slice.map_or(SLICE_PERCENT, |percent| percent.value),
        })
    }

    fn redis_urls(&mut self, raw: &Spanned<RawPaths>, path: &str) -> Vec<SecretString> {
        let texts = match &raw.value {
            RawPaths::One(text) => std::slice::from_ref(text),
            RawPaths::Many(texts) => texts.as_slice(),
        };
        if texts.is_empty() {
            self.error(Some(&raw.referenced), path, "there must be at least one".to_owned());
        }
        let mut urls = Vec::new();
        for text in texts {
            match values::resolve(text, &self.dir).and_then(|url| redis_url(&url).map(|()| url)) {
                Ok(url) => {
                    self.fingerprint(&url);
                    urls.push(SecretString::from(url));
                }
                Err(message) => self.error(Some(&raw.referenced), path, message),
            }
        }
        urls
    }

    fn redis_mode(&mut self, raw: &RawRedis, nodes: usize, section: &str) -> RedisMode {
        let path = |name: &str| format!("{section}.{name}");
        let at = raw.mode.as_ref().map(|mode| &mode.referenced);
        match (raw.mode.as_ref().map(|mode| mode.value.as_str()), &raw.master) {
            (None | Some("single"), _) => {
                if nodes > 1 {
                    let message = "several URLs need `mode: cluster` or `mode: sentinel`".to_owned();
                    self.error(Some(&raw.url.referenced), &path("url"), message);
                }
                RedisMode::Single
            }
            (Some("cluster"), _) => RedisMode::Cluster,
            (Some("sentinel"), Some(master)) => RedisMode::Sentinel(master.clone()),
            (Some("sentinel"), None) => {
                self.error(at, &path("master"), "`mode: sentinel` needs the master's name".to_owned());
                RedisMode::Single
            }
            (Some(other), _) => {
                let message = format!("unknown mode `{other}`; it is one of single, cluster, sentinel");
                self.error(at, &path("mode"), message);
                RedisMode::Single
            }
        }
    }
}

/// The URL may hold a password: the error does not show it.
fn redis_url(text: &str) -> Result<(), String> {
    let uri: Option<Uri> = text.parse().ok();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("redis" | "rediss")));
    match uri.and_then(|uri| uri.host().map(|host| !host.is_empty())) {
        Some(true) => Ok(()),
        _ => Err("it must be a URL such as redis://host:6379/0 or rediss://host:6379/0".to_owned()),
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if plain && !text.is_empty() && text.len() <= 64 {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is not a prefix; use 1 to 64 letters, digits, - _ ."))
}
