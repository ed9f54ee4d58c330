//! All kinds and models, and how one is found.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::files::FILES;
use super::kind::Kind;
use super::litellm::LiteLlm;
use super::model::{ImageRule, Modalities, Modality, Model, Tokenizer};
use super::names::{family, first, shorter};
use super::raw::{ModelFacts, RawKind, RawUnknown};

/// Kinds of providers and their models.
#[derive(Debug)]
pub struct Catalog {
    kinds: Vec<Listed>,
    /// What a config says of models, by `provider/model` or `kind/model`.
    own: HashMap<String, Arc<Model>>,
    litellm: Option<LiteLlm>,
}

#[derive(Debug)]
struct Listed {
    kind: Kind,
    inherits: Vec<String>,
    models: BTreeMap<Arc<str>, Arc<Model>>,
    unknown: RawUnknown,
}

/// The table that is built in is not one that parses. Only a broken build can meet it.
#[derive(Debug, thiserror::Error)]
#[error("the built-in catalog {file} is broken: {message}")]
pub struct CatalogError {
    file: &'static str,
    message: String,
}

impl Catalog {
    /// The catalog this build carries.
    pub fn builtin() -> Result<Self, CatalogError> {
        let mut catalog = Self { kinds: Vec::new(), own: HashMap::new(), litellm: None };
        for (file, text) in FILES {
            let broken = |message: String| CatalogError { file, message };
            let raw: RawKind = serde_saphyr::from_str(text).map_err(|error| broken(error.to_string()))?;
            let listed = catalog.list(&raw).map_err(broken)?;
            catalog.kinds.push(listed);
        }
        Ok(catalog)
    }

    fn list(&self, raw: &RawKind) -> Result<Listed, String> {
        let kind = Kind {
            name: Arc::clone(&raw.kind),
            title: Arc::clone(&raw.title),
            base_url: raw.base_url.clone(),
            auth: raw.auth.compile()?,
            version: Arc::clone(&raw.version),
            priced: raw.priced,
        };
        if let Some(strange) = raw.inherits.iter().find(|name| self.kind(name).is_none()) {
            return Err(format!("it inherits {strange}, which is not listed before it"));
        }
        let mut models = BTreeMap::new();
        for (name, facts) in &raw.models {
            let model = self.compile(name, facts, &guess(name, raw.unknown), &raw.version);
            models.insert(Arc::clone(name), Arc::new(model.map_err(|message| format!("{name}: {message}"))?));
        }
        Ok(Listed { kind, inherits: raw.inherits.clone(), models, unknown: raw.unknown })
    }

    fn compile(&self, name: &Arc<str>, facts: &ModelFacts, base: &Model, version: &Arc<str>) -> Result<Model, String> {
        let Some(like) = &facts.like else { return facts.over(name, version, base) };
        let (kind, other) = like.split_once('/').ok_or("like: write kind/model")?;
        let found = self.kind(kind).and_then(|_| self.listed(kind, other));
        facts.over(name, version, &*found.ok_or_else(|| format!("like: there is no model {like}"))?)
    }

    /// Adds what a config says of a model, by `provider/model` or `kind/model`. `kind` is the
    /// provider's. The error says what is wrong.
    pub fn add(&mut self, label: &str, kind: &str, facts: &ModelFacts) -> Result<(), String> {
        let (_, name) = label.split_once('/').ok_or("write provider/model")?;
        let base = self.model(kind, name);
        let version: Arc<str> = Arc::from("config");
        let model = self.compile(&Arc::from(name), facts, &base, &version)?;
        self.own.insert(label.to_owned(), Arc::new(model));
        Ok(())
    }

    /// Takes windows and prices from LiteLLM's table where it has them.
    pub fn set_litellm(&mut self, table: LiteLlm) {
        self.litellm = Some(table);
    }

    /// A kind by its name in configs.
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.entry(name).map(|listed| &listed.kind)
    }

    /// All kinds, in the order of the docs.
    pub fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.kinds.iter().map(|listed| &listed.kind)
    }

    /// The models a kind lists itself, by name.
    pub fn models(&self, kind: &str) -> impl Iterator<Item = &Arc<Model>> {
        self.entry(kind).into_iter().flat_map(|listed| listed.models.values())
    }

    fn entry(&self, name: &str) -> Option<&Listed> {
        self.kinds.iter().find(|listed| &*listed.kind.name == name)
    }

    /// The model of a provider: what the config says of `provider/model` or `kind/model`, else
    /// what [`model`](Self::model) finds.
    pub fn target(&self, provider: &str, kind: &str, name: &str) -> Arc<Model> {
        let own = |owner: &str| self.own.get(&format!("{owner}/{name}")).cloned();
        own(provider).or_else(|| own(kind)).unwrap_or_else(|| self.model(kind, name))
    }

    /// The model of a provider kind by the name the provider knows it under: as it stands, else
    /// without a date or a tag behind it (`gpt-4o-2024-08-06`), else a cautious guess.
    pub fn model(&self, kind: &str, name: &str) -> Arc<Model> {
        let found = self.listed(kind, name).unwrap_or_else(|| {
            let unknown = self.entry(kind).map_or(UNKNOWN, |listed| listed.unknown);
            Arc::new(guess(&Arc::from(name), unknown))
        });
        let table = self.litellm.as_ref().and_then(|table| table.model(kind, name, &found));
        table.map_or(found, Arc::new)
    }

    fn listed(&self, kind: &str, name: &str) -> Option<Arc<Model>> {
        let listed = self.entry(kind)?;
        let mut candidate = Some(first(kind, name));
        while let Some(tried) = candidate {
            if let Some(found) = listed.models.get(tried) {
                return Some(Arc::clone(found));
            }
            let mut inherited = listed.inherits.iter().filter_map(|other| self.entry(other));
            if let Some(found) = inherited.find_map(|other| other.models.get(tried)) {
                return Some(Arc::clone(found));
            }
            candidate = shorter(tried);
        }
        None
    }

    /// How many models are listed.
    pub fn len(&self) -> usize {
        self.kinds.iter().map(|listed| listed.models.len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Of a kind that is not listed.
const UNKNOWN: RawUnknown = RawUnknown { context: 131_072, output: 16_384, ratio: 125 };

fn guess(name: &Arc<str>, unknown: RawUnknown) -> Model {
    let text: Arc<[Modality]> = Arc::from([Modality::Text]);
    Model {
        name: Arc::clone(name),
        known: false,
        context_window: unknown.context,
        max_output: unknown.output,
        tokenizer: family(name).unwrap_or(Tokenizer::Ratio { percent: unknown.ratio }),
        modalities: Modalities { input: Arc::clone(&text), output: text },
        prices: None,
        images: ImageRule::None,
    }
}
