//! How often an embeddings model is asked, and for what.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use parking_lot::Mutex;
use sluice_policies::PolicyFile;

use super::*;
use crate::config::{CachePolicy, CacheRules, from_str};

/// Rules with what this says of embeddings models; `p/e` is one.
pub(in crate::cache) fn rules(section: &str) -> CacheRules {
    let policy = format!("tenant: t\nkeys: [{{ name: web, key: \"sha256:{}\" }}]\n", "1".repeat(64));
    let policy = PolicyFile { name: "p.yaml".to_owned(), text: policy };
    let text = format!(
        "providers: {{ p: {{ kind: openai, api_key: x }} }}\nmodels: {{ m: [p/gpt-4o] }}\ncache: {{ mode: semantic, \
         max_false_hits: 5%, {section} }}\n"
    );
    let config = from_str("s.yaml", &text, Path::new("."), &[policy], 1).unwrap_or_else(|errors| panic!("{errors}"));
    config.cache.iter().flat_map(CachePolicy::all).next().map(|rules| CacheRules::clone(rules)).unwrap()
}

/// A model whose vectors are the words of a text, in a hundred places. Remembers what it was asked.
#[derive(Default)]
pub(in crate::cache) struct Words {
    pub(in crate::cache) asked: Mutex<Vec<Vec<String>>>,
    pub(in crate::cache) said: Mutex<Vec<Option<bool>>>,
    pub(in crate::cache) down: AtomicBool,
}

impl Words {
    /// What it was asked since the last time.
    pub(in crate::cache) fn asked(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut self.asked.lock())
    }
}

#[async_trait]
impl Embed for Words {
    async fn embed(&self, _: &Embedder, texts: &[&str]) -> Option<Vec<Vector>> {
        self.asked.lock().push(texts.iter().map(|text| (*text).to_owned()).collect());
        tokio::task::yield_now().await;
        if self.down.load(Ordering::Relaxed) {
            return None;
        }
        let vector = |text: &&str| {
            let mut vector = [0.0_f32; 100];
            for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                let place = word.bytes().fold(7_usize, |hash, byte| (hash * 31 + usize::from(byte)) % 100);
                vector[place] += 1.0;
            }
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            Vector::from(vector.map(|x| x / length))
        };
        Some(texts.iter().map(vector).collect())
    }

    fn said(&self, _: &Opinion, agree: Option<bool>) {
        self.said.lock().push(agree);
    }
}

#[tokio::test]
async fn requests_at_once_ask_once_and_partitions_share_nothing() {
    let (vectors, words) = (Vectors::default(), Words::default());
    let embedder = rules("embeddings: { model: p/e }").embeddings.unwrap();
    let all = join_all((0..20).map(|_| vectors.of("one two", &[1; 32], &embedder, &words))).await;
    assert!(all.iter().all(|vector| vector == &all[0] && vector.is_some()));
    assert_eq!(words.asked(), [["one two"]]);
    vectors.of("one two", &[2; 32], &embedder, &words).await.unwrap();
    assert_eq!(words.asked().len(), 1, "another partition");
    vectors.forget();
    vectors.of("one two", &[1; 32], &embedder, &words).await.unwrap();
    assert_eq!(words.asked().len(), 1, "all was forgotten");
}

#[tokio::test]
async fn both_prompts_of_an_opinion_go_into_one_call_and_what_is_known_into_none() {
    let (vectors, words) = (Vectors::default(), Words::default());
    let opinion = rules("second_opinion: { model: p/e, min_similarity: 0.7 }").second_opinion.unwrap();
    let agree = |texts| vectors.agree(texts, &[1; 32], &opinion, &words);
    assert_eq!(agree(["a b c d", "a b c e"]).await, Some(true));
    assert_eq!(words.asked(), [["a b c d", "a b c e"]]);
    assert_eq!(agree(["a f g h", "a b c e"]).await, Some(false));
    assert_eq!(words.asked(), [["a f g h"]]);
    assert_eq!(agree(["a b c d", "a f g h"]).await, Some(false));
    assert_eq!(words.asked(), Vec::<Vec<String>>::new());
}

#[tokio::test]
async fn a_failure_is_no_opinion_and_is_not_remembered() {
    let (vectors, words) = (Vectors::default(), Words::default());
    let opinion = rules("second_opinion: { model: p/e, min_similarity: 0.7 }").second_opinion.unwrap();
    words.down.store(true, Ordering::Relaxed);
    assert_eq!(vectors.agree(["a b", "a b"], &[1; 32], &opinion, &words).await, None);
    words.down.store(false, Ordering::Relaxed);
    assert_eq!(vectors.agree(["a b", "a b"], &[1; 32], &opinion, &words).await, Some(true));
    assert_eq!(cosine(&[1.0], &[1.0, 0.0]), None, "vectors of different models");
}
