//! Judges pairs as a lookup would, and says how often that was right.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use sluice_semantic::{LEAST_SIMILARITY, Semantic, eligible};

use crate::pairs::Pair;

const RATES: [f64; 4] = [0.001, 0.005, 0.01, 0.05];
/// Taken off the score of a pair that can be no hit, so that it ranks below all that can.
const NO_HIT: f64 = 1000.0;

/// A pair with what a lookup would make of it.
pub(crate) struct Judged {
    category: String,
    same: bool,
    a: String,
    b: String,
    /// Why it can be no hit.
    refused: Option<&'static str>,
    score: f64,
    similarity: f32,
}

impl Judged {
    fn hit(&self, threshold: f64) -> bool {
        self.refused.is_none() && self.score > threshold
    }
}

pub(crate) fn judge(pairs: &[Pair], semantic: &Semantic) -> Vec<Judged> {
    let judged = |pair: &Pair| {
        let judgement = semantic.judge(&semantic.prompt(&pair.a), &semantic.prompt(&pair.b));
        let ineligible = eligible(&pair.a).and(eligible(&pair.b)).err();
        let far = (judgement.similarity < LEAST_SIMILARITY).then_some("far");
        let refused = ineligible.map(sluice_semantic::Ineligible::name).or(judgement.veto).or(far);
        Judged {
            category: pair.category.clone(),
            same: pair.same,
            a: pair.a.clone(),
            b: pair.b.clone(),
            score: judgement.score - if refused.is_some() { NO_HIT } else { 0.0 },
            refused,
            similarity: judgement.similarity,
        }
    };
    pairs.iter().map(judged).collect()
}

pub(crate) fn header(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| pairs | same | differ | ROC-AUC | recall at 0.1 % false hits | 0.5 % | 1 % | 5 % | \
         at the threshold: recall | false hits | of cosine alone at 0.5 % |\n\
         |---|---|---|---|---|---|---|---|---|---|---|"
    )
}

pub(crate) fn summary(file: &Path, judged: &[Judged], threshold: f64, out: &mut impl Write) -> io::Result<()> {
    let (same, differ): (Vec<&Judged>, Vec<&Judged>) = judged.iter().partition(|j| j.same);
    let score = |j: &&Judged| j.score;
    let (yes, no) = (sorted(&same, score), sorted(&differ, score));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    write!(out, "| {name} | {} | {} | {:.4} |", same.len(), differ.len(), auc(&yes, &no))?;
    for rate in RATES {
        write!(out, " {:.1} % |", percent(recall(&yes, &no, rate, -NO_HIT / 2.0), yes.len()))?;
    }
    let hits = |of: &[&Judged]| of.iter().filter(|j| j.hit(threshold)).count();
    let (found, wrong) = (hits(&same), hits(&differ));
    let cosine = |j: &&Judged| f64::from(j.similarity);
    let by_cosine = recall(&sorted(&same, cosine), &sorted(&differ, cosine), 0.005, -2.0);
    writeln!(
        out,
        " {:.1} % | {wrong} ({:.2} %) | {:.1} % |",
        percent(found, same.len()),
        percent(wrong, differ.len()),
        percent(by_cosine, same.len())
    )
}

pub(crate) fn categories(judged: &[Judged], threshold: f64, out: &mut impl Write) -> io::Result<()> {
    let mut by: BTreeMap<&str, (usize, usize, usize, usize)> = BTreeMap::new();
    for j in judged {
        let (found, same, wrong, differ) = by.entry(&j.category).or_default();
        let (hits, all) = if j.same { (found, same) } else { (wrong, differ) };
        *hits += usize::from(j.hit(threshold));
        *all += 1;
    }
    writeln!(out, "\n| category | same found | differ, but hit |\n|---|---|---|")?;
    for (category, (found, same, wrong, differ)) in by {
        writeln!(out, "| {category} | {found} of {same} | {wrong} of {differ} |")?;
    }
    Ok(())
}

pub(crate) fn errors(judged: &[Judged], threshold: f64, most: usize, out: &mut impl Write) -> io::Result<()> {
    let mut shown: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for j in judged.iter().filter(|j| j.hit(threshold) != j.same) {
        let count = shown.entry((&j.category, j.same)).or_default();
        *count += 1;
        if *count <= most {
            let what = if j.same { "missed" } else { "false hit" };
            let why = j.refused.map_or_else(|| format!("score {:.2}", j.score), |w| format!("refused: {w}"));
            writeln!(out, "{what}, {}, {why}: {:?} | {:?}", j.category, j.a, j.b)?;
        }
    }
    Ok(())
}

/// The values, the highest first.
fn sorted(of: &[&Judged], value: impl Fn(&&Judged) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = of.iter().map(value).collect();
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    values
}

/// How many of `yes` are above all but a part of `no`, and above `least`.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
fn recall(yes: &[f64], no: &[f64], rate: f64, least: f64) -> usize {
    let allowed = (no.len() as f64 * rate + 1e-9).floor() as usize;
    let threshold = no.get(allowed).copied().unwrap_or(f64::NEG_INFINITY).max(least);
    yes.iter().filter(|score| **score > threshold).count()
}

/// The chance that one of `yes` is above one of `no`; equals count half. Both are sorted, the highest first.
#[expect(clippy::cast_precision_loss, reason = "counts of pairs")]
fn auc(yes: &[f64], no: &[f64]) -> f64 {
    let mut above = 0.0;
    for y in yes {
        let higher = no.partition_point(|n| n > y);
        let lower = no.len() - no.partition_point(|n| n >= y);
        above += lower as f64 + (no.len() - higher - lower) as f64 / 2.0;
    }
    above / (yes.len() as f64 * no.len() as f64).max(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts of pairs")]
fn percent(part: usize, of: usize) -> f64 {
    100.0 * part as f64 / (of as f64).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_and_area_of_a_known_ranking() {
        let (yes, no) = ([5.0, 4.0, 2.0, 1.0], [3.0, 2.0, 0.0, -1.0]);
        assert_eq!(recall(&yes, &no, 0.0, -9.0), 2);
        assert_eq!(recall(&yes, &no, 0.25, -9.0), 2);
        assert_eq!(recall(&yes, &no, 0.5, -9.0), 4);
        assert_eq!(recall(&yes, &no, 0.5, 1.5), 3);
        // 4 + 4 + 2.5 + 2 of 16 pairs.
        assert!((auc(&yes, &no) - 12.5 / 16.0).abs() < 1e-9);
    }
}
