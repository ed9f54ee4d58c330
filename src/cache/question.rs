//! A look-up while it lasts: what is asked, and its words taken apart once, however many places are searched.

use std::sync::OnceLock;

use sluice_semantic::{Card, LEAST_SIMILARITY, Prompt, Semantic};

use super::ask::Ask;
use super::control::Control;
use super::embed::Outside;
use crate::config::CacheRules;

/// A look-up.
pub(super) struct Asked<'a> {
    pub(super) ask: &'a Ask,
    pub(super) control: &'a Control,
    pub(super) rules: &'a CacheRules,
    pub(super) outside: &'a Outside<'a>,
    /// `None` if other words will not do.
    pub(super) question: Option<&'a Question<'a>>,
}

impl Asked<'_> {
    /// The part of false hits accepted.
    pub(super) fn budget(&self) -> f64 {
        self.control.budget(self.rules.max_false_hits)
    }
}

/// The last user turn of a request that other words may answer.
pub(super) struct Question<'a> {
    text: &'a str,
    pub(super) semantic: &'a Semantic,
    prompt: OnceLock<Box<Prompt>>,
    card: OnceLock<Box<Card>>,
}

impl<'a> Question<'a> {
    pub(super) fn new(text: &'a str, semantic: &'a Semantic) -> Self {
        Self { text, semantic, prompt: OnceLock::new(), card: OnceLock::new() }
    }

    pub(super) fn prompt(&self) -> &Prompt {
        self.prompt.get_or_init(|| Box::new(self.semantic.prompt(self.text)))
    }

    pub(super) fn card(&self) -> &Card {
        self.card.get_or_init(|| Box::new(self.prompt().card()))
    }

    /// What there is of its card, for whoever keeps the answer.
    pub(super) fn into_card(self) -> Option<Box<Card>> {
        self.card.into_inner()
    }

    /// Score and similarity of a stored prompt that asks the same.
    pub(super) fn same(&self, stored: &str, false_hits: f64) -> Option<(f64, f32)> {
        let threshold = self.semantic.threshold(false_hits);
        let judged = self.semantic.judge_text(self.prompt(), stored, threshold)?;
        let sure = judged.score > threshold && judged.similarity >= LEAST_SIMILARITY;
        sure.then_some((judged.score, judged.similarity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_vetoes_is_the_verifiers_to_refuse() {
        let semantic = Semantic::built_in().unwrap();
        let question = Question::new("How do I get a refund for my train ticket?", &semantic);
        let same = |stored: &str| question.same(stored, sluice_semantic::DEFAULT_FALSE_HITS);
        assert!(same("How can I get my train ticket refunded?").is_some_and(|(_, similarity)| similarity > 0.6));
        let other = "How do I get a seat for my train ticket?";
        assert!(semantic.judge_text(question.prompt(), other, 0.0).is_some_and(|judged| judged.similarity > 0.6));
        assert_eq!(same(other), None);
    }
}
