//! Kinds of providers: where they are, and how they take credentials.

use std::sync::Arc;

/// How a kind of provider takes credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthStyle {
    /// `authorization: Bearer KEY`. Servers that need no key ignore it.
    Bearer,
    /// The key in a header of this name.
    Header(Arc<str>),
    /// AWS Signature Version 4 for this service; or a key as bearer.
    SigV4 {
        /// The service's name in signatures.
        service: &'static str,
    },
    /// A token of Google Cloud as bearer.
    Google,
    /// The key in a header of this name, or a token of Microsoft Entra as bearer.
    Entra {
        /// The header.
        header: Arc<str>,
    },
}

/// A kind of provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name in configs.
    pub name: Arc<str>,
    /// Its name for people.
    pub title: Arc<str>,
    /// Where it is, without a trailing slash; may hold `{region}`, `{host}`, `{project}` and
    /// `{location}`. `None`: every customer has an address of their own.
    pub base_url: Option<Arc<str>>,
    /// How it takes credentials.
    pub auth: AuthStyle,
    /// The version of its prices, a year and month.
    pub version: Arc<str>,
    /// Whether it charges for tokens by a public list.
    pub priced: bool,
}
