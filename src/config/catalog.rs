//! What a config says of models beside the built-in catalog.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde_saphyr::Spanned;
use sluice_providers::catalog::{Catalog, LiteLlm};

use super::compile::Compiler;
use super::raw::{RawCatalog, RawProvider};

/// Files larger than this are not a table of prices.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

impl Compiler {
    pub(super) fn catalog(
        &mut self,
        raw: &RawCatalog,
        providers: &IndexMap<String, Spanned<RawProvider>>,
        catalog: &mut Catalog,
    ) {
        if let Some(spanned) = &raw.litellm
            && let Some(path) = self.resolved(spanned, "catalog.litellm")
        {
            match self.litellm(&path) {
                Ok(table) => catalog.set_litellm(table),
                Err(message) => self.error(Some(&spanned.referenced), "catalog.litellm", message),
            }
        }
        for (label, facts) in &raw.models {
            let path = format!("catalog.models.{label}");
            let owner = label.split_once('/').map_or("", |(owner, _)| owner);
            let kind = match providers.get(owner) {
                Some(provider) => &provider.value.kind.value,
                None if catalog.kind(owner).is_some() => owner,
                None => {
                    let message =
                        format!("`{owner}` is neither a provider of this file nor a kind; write provider/model");
                    self.error(Some(&facts.referenced), &path, message);
                    continue;
                }
            };
            if let Err(message) = catalog.add(label, kind, &facts.value) {
                self.error(Some(&facts.referenced), &path, message);
            }
        }
    }

    fn litellm(&mut self, path: &str) -> Result<LiteLlm, String> {
        let path = self.dir.join(PathBuf::from(path));
        let shown = path.display().to_string();
        let fail = |error: &dyn std::fmt::Display| format!("cannot read {shown}: {error}");
        let length = std::fs::metadata(&path).map_err(|error| fail(&error))?.len();
        if length > MOST_BYTES {
            return Err(format!("{shown} is larger than {MOST_BYTES} bytes"));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| fail(&error))?;
        self.fingerprint(&text);
        LiteLlm::parse(&text, "litellm").map_err(|error| format!("{shown}: {error}"))
    }
}
