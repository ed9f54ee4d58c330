//! Embeddings models that the cache asks: targets that no client can name.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_saphyr::Spanned;
use sluice_policies::Pool;
use sluice_providers::catalog::Modality;
use sluice_providers::{Call, Endpoint};

use super::cache::{CachePolicy, CacheRules};
use super::compile::{Compiler, positive_duration};
use super::model::{Config, ModelRoute, TargetRoute};
use super::models::Known;
use super::raw_embedders::{RawEmbedder, RawOpinion};
use super::routing::Routing;
use super::targets::target_of;

/// Calls to one embeddings model at once; a look-up that finds no room is a miss.
const AT_ONCE: u32 = 128;
/// How long a request waits, unless it is said.
const TIMEOUT: Duration = Duration::from_millis(300);
/// Nobody waits longer for an answer that may be none.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);
const SIMILARITY: f32 = 0.9;

/// An embeddings model as the cache uses it.
#[derive(Clone, Debug)]
pub struct Embedder {
    /// Its one target. Health, load and connections are as those of any other.
    pub route: Arc<ModelRoute>,
    /// `provider/model`.
    pub label: Arc<str>,
    /// Length of the vectors, if the model is told one.
    pub dimensions: Option<u32>,
    /// How long a request waits for it.
    pub timeout: Duration,
}

/// An embeddings model that is asked whether two prompts are alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Opinion {
    /// Who is asked.
    pub embedder: Embedder,
    /// The least cosine that is agreement.
    pub min_similarity: f32,
}

impl Embedder {
    /// Equal for embedders whose vectors may be compared.
    pub fn id(&self) -> String {
        let base = self.route.targets.first().map_or("", |target| &target.provider.base_url);
        format!("{} {} {base}", self.label, self.dimensions.unwrap_or(0))
    }
}

impl Config {
    /// Every model with its targets, those that only the cache asks included.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<ModelRoute>> {
        let own = self.cache.iter().flat_map(CachePolicy::embedders);
        self.models.values().chain(own.map(|embedder| &embedder.route))
    }
}

impl CachePolicy {
    /// The embeddings models that are asked; they are the same for all rules.
    pub fn embedders(&self) -> impl Iterator<Item = &Embedder> {
        self.all().take(1).flat_map(|rules| {
            let opinion = rules.second_opinion.as_ref().map(|opinion| &opinion.embedder);
            rules.embeddings.iter().chain(opinion)
        })
    }
}

impl PartialEq for Embedder {
    fn eq(&self, other: &Self) -> bool {
        self.timeout == other.timeout && self.id() == other.id()
    }
}

/// What is written of an embedder, and where.
struct Written<'a> {
    path: &'static str,
    model: &'a Spanned<String>,
    dimensions: Option<&'a Spanned<u32>>,
    timeout: Option<&'a Spanned<String>>,
}

impl Compiler {
    /// The section `cache` with the models it names.
    pub(super) fn cache_with(&mut self, known: &Known<'_>) -> Option<CachePolicy> {
        let raw = known.raw.cache.as_ref()?;
        let embeddings = raw.embeddings.as_ref().and_then(|raw| self.embeddings(known, raw));
        let mut second_opinion = raw.second_opinion.as_ref().and_then(|raw| self.opinion(known, raw));
        if let (Some(first), Some(second)) = (&embeddings, &mut second_opinion)
            && first.label == second.embedder.label
        {
            // One model is one target, whatever it is asked for.
            second.embedder.route = Arc::clone(&first.route);
        }
        let policy = self.cache(raw, CacheRules { embeddings, second_opinion, ..CacheRules::default() });
        let (first, second) = (raw.embeddings.as_ref(), raw.second_opinion.as_ref());
        for (model, path) in
            [(first.map(|raw| &raw.model), "cache.embeddings"), (second.map(|raw| &raw.model), "cache.second_opinion")]
        {
            if let Some(model) = model.filter(|_| !policy.all().any(|rules| rules.semantic)) {
                self.error(Some(&model.referenced), path, "it needs `mode: semantic`".to_owned());
            }
        }
        Some(policy)
    }

    fn embeddings(&mut self, known: &Known<'_>, raw: &RawEmbedder) -> Option<Embedder> {
        let (dimensions, timeout) = (raw.dimensions.as_ref(), raw.timeout.as_ref());
        self.embedder(known, &Written { path: "cache.embeddings", model: &raw.model, dimensions, timeout })
    }

    fn opinion(&mut self, known: &Known<'_>, raw: &RawOpinion) -> Option<Opinion> {
        let (dimensions, timeout) = (raw.dimensions.as_ref(), raw.timeout.as_ref());
        let path = "cache.second_opinion";
        let embedder = self.embedder(known, &Written { path, model: &raw.model, dimensions, timeout });
        let mut min_similarity = SIMILARITY;
        if let Some(raw) = &raw.min_similarity {
            if !(raw.value > 0.0 && raw.value <= 1.0) {
                let message = format!("{} is no similarity; it is above 0 and at most 1", raw.value);
                self.error(Some(&raw.referenced), &format!("{path}.min_similarity"), message);
            }
            #[expect(clippy::cast_possible_truncation, reason = "from 0 to 1")]
            let value = raw.value as f32;
            min_similarity = value;
        }
        Some(Opinion { embedder: embedder?, min_similarity })
    }

    fn embedder(&mut self, known: &Known<'_>, written: &Written<'_>) -> Option<Embedder> {
        let (path, at) = (written.path, &written.model.referenced);
        let dimensions =
            written.dimensions.map(|raw| self.number(Some(raw), &format!("{path}.dimensions"), 1, 1..=8192));
        let timeout = self.field(written.timeout, &format!("{path}.timeout"), TIMEOUT, |text| {
            let time = positive_duration(text)?;
            if time > LONGEST_TIMEOUT { Err("it is at most 10s".to_owned()) } else { Ok(time) }
        });
        let found = target_of(known, &written.model.value);
        let found = found.and_then(|target| target.map(|target| able(target, dimensions)).transpose());
        match found {
            Ok(target) => target.map(|target| of_target(target, dimensions, timeout)),
            Err(message) => {
                self.error(Some(at), &format!("{path}.model"), message);
                None
            }
        }
    }
}

/// The target, if it makes embeddings.
fn able(target: TargetRoute, dimensions: Option<u32>) -> Result<TargetRoute, String> {
    let label = &target.label;
    if target.model.known && !target.model.modalities.output.contains(&Modality::Embedding) {
        return Err(format!("`{label}` is no embeddings model by the catalog (`gives`)"));
    }
    let mut trial = serde_json::json!({"model": "m", "input": ["text"]});
    if let (Some(dimensions), Some(fields)) = (dimensions, trial.as_object_mut()) {
        fields.insert("dimensions".to_owned(), dimensions.into());
    }
    let call = Call::parse(Endpoint::Embeddings, Bytes::from(trial.to_string())).map_err(|error| error.message)?;
    let adapter = target.provider.adapter;
    let says_no = |why: String| format!("`{label}` makes no embeddings: {why}");
    adapter.supports(&call, &target.target).map_err(|error| says_no(error.message))?;
    adapter.request(&call, &target.target).map_err(|error| says_no(error.to_string()))?;
    Ok(target)
}

/// A model of one target. It has a name and so a state of its own: the cache has less patience than clients have, and
/// what is late for it must not count against a public model's target.
fn of_target(mut target: TargetRoute, dimensions: Option<u32>, timeout: Duration) -> Embedder {
    let label = Arc::clone(&target.label);
    let name = format!("{label} (cache)");
    target.label = Arc::from(name.as_str());
    // It is alone, and nothing is lost while it is ejected.
    target.health.max_ejected_percent = 100;
    target.circuit.in_flight = target.circuit.in_flight.min(AT_ONCE);
    let pool = Arc::new(Pool::new(&name, None, None, Vec::new()));
    let routing = Routing::default();
    let route = ModelRoute { name: Arc::clone(&pool.name), pool, targets: vec![target], routing };
    Embedder { route: Arc::new(route), label, dimensions, timeout }
}

#[cfg(test)]
mod tests;
