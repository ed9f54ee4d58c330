//! Asks the embeddings models of the config for the cache, and counts what that takes.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use sluice_providers::Usage;
use tokio::time::timeout;

use super::open::Gateway;
use super::settle;
use crate::cache::{Embed, Vector};
use crate::config::{Embedder, Opinion};
use crate::upstream::{self, NoVectors, Texts, Vectors};

/// The cache's way to embeddings models.
pub(super) struct Embeddings<'a>(pub(super) &'a Arc<Gateway>);

#[async_trait]
impl Embed for Embeddings<'_> {
    async fn embed(&self, embedder: &Embedder, texts: &[&str]) -> Option<Vec<Vector>> {
        let (gateway, own) = (Arc::clone(self.0), embedder.clone());
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        // A task of its own: a connection that takes longer than a request waits is there for the next one.
        let call = self.0.tasks.spawn(async move { call(&gateway, &own, &texts).await });
        let vectors = timeout(embedder.timeout, call).await.ok()?.ok()?;
        Some(vectors.ok()?.units)
    }

    fn said(&self, opinion: &Opinion, agree: Option<bool>) {
        let result = match agree {
            Some(true) => "agreed",
            Some(false) => "disagreed",
            None => "none",
        };
        self.0.sinks.metrics().cache().embeddings().opinion(&opinion.embedder.label, result);
    }
}

async fn call(gateway: &Gateway, embedder: &Embedder, texts: &[String]) -> Result<Vectors, NoVectors> {
    let (begun, metrics) = (Instant::now(), gateway.sinks.metrics().cache().embeddings());
    let model = gateway.targets.model(&embedder.route);
    let wanted = Texts { texts, dimensions: embedder.dimensions, patience: embedder.timeout };
    let answer = upstream::embed(&gateway.upstreams, &model, wanted).await;
    let result = match &answer {
        Ok(vectors) if vectors.late => NoVectors::Late.name(),
        Ok(_) => "ok",
        Err(why) => why.name(),
    };
    metrics.called(&embedder.label, result, begun.elapsed());
    match &answer {
        Ok(vectors) => {
            let target = embedder.route.targets.first();
            let counted = || {
                let tokens = |text: &String| target.map_or(0, |t| gateway.counter.text(t.model.tokenizer, text));
                Usage { input: texts.iter().map(tokens).sum(), ..Usage::default() }
            };
            let usage = vectors.usage.unwrap_or_else(counted);
            metrics.spent(&embedder.label, usage.input, settle::cost(target, &usage));
        }
        Err(why) => tracing::debug!(model = %embedder.label, %why, "no embedding"),
    }
    answer
}
