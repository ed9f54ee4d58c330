//! Who the gateway is to its providers: keys that take turns, tokens and signatures that are
//! renewed in the background before they end.

mod auth;
mod aws;
mod cached;
mod entra;
mod environment;
mod fetch;
mod google;
mod keychain;
mod keyring;

pub(super) use auth::{Auth, Used, Verdict};
pub(super) use keychain::Keychain;

#[cfg(test)]
mod tests;
