//! Whether the words of two prompts come in the same order.

use crate::features::overlap::jaccard_sorted;
use crate::features::{count, ratio};
use crate::lexicon::{Classes, Lexicon, Text};
use crate::text::Document;

#[derive(Debug)]
pub(crate) struct Order {
    /// Longest common subsequence of the content, as a part of the shorter one.
    pub(crate) common_subsequence: f64,
    /// Part of the pairs of common words that stand the other way round.
    pub(crate) inversions: f64,
    /// Jaccard of the pairs of neighbouring words.
    pub(crate) bigrams: f64,
}

/// With more common words than this, inversions are not counted.
const MOST_COMMON: usize = 60;

pub(crate) fn order(a: &Document, b: &Document) -> Order {
    let stems_a: Vec<&str> = a.content_stems().collect();
    let stems_b: Vec<&str> = b.content_stems().collect();
    let (pairs_a, pairs_b) = (neighbours(a), neighbours(b));
    Order {
        common_subsequence: count(subsequence(&stems_a, &stems_b)) / count(stems_a.len().min(stems_b.len()).max(1)),
        inversions: inversions(&stems_a, &stems_b),
        bigrams: jaccard_sorted(&pairs_a, &pairs_b),
    }
}

/// Stems that stand side by side, sorted, each pair once.
fn neighbours(of: &Document) -> Vec<[&str; 2]> {
    let mut pairs: Vec<[&str; 2]> = of.stems.array_windows().map(|[p, q]| [p.as_ref(), q.as_ref()]).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

fn subsequence(a: &[&str], b: &[&str]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let (mut diagonal, mut left) = (0, 0);
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            *cell = if x == y { diagonal + 1 } else { above.max(left) };
            (diagonal, left) = (above, *cell);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Words that stand once in each list, with both places, in the order of the first.
fn common_once<'a>(a: &[&'a str], b: &[&str]) -> Vec<(&'a str, usize, usize)> {
    let once = |of: &[&str], word: &str| {
        let at = of.iter().position(|w| *w == word)?;
        let again = of.iter().skip(at + 1).any(|w| *w == word);
        (!again).then_some(at)
    };
    let both = |(at, word): (usize, &&'a str)| {
        let other = once(b, word)?;
        once(a, word).map(|_| (*word, at, other))
    };
    a.iter().enumerate().filter_map(both).collect()
}

fn inversions(a: &[&str], b: &[&str]) -> f64 {
    let places: Vec<usize> = common_once(a, b).into_iter().map(|(_, _, at)| at).collect();
    if places.len() >= MOST_COMMON {
        return 0.0;
    }
    let turned: usize =
        places.iter().enumerate().map(|(n, p)| places.iter().skip(n + 1).filter(|q| p > *q).count()).sum();
    let all = places.len() * places.len().saturating_sub(1) / 2;
    ratio(count(turned), count(all), 0.0)
}

/// Pairs of words that stand the other way round, where their order means something: "from A to B" and
/// "from B to A", "JSON to CSV" and "CSV to JSON", "5 - 6" and "6 - 5".
pub(crate) fn swapped(a: &Document, b: &Document, lexicon: &Lexicon) -> usize {
    if a.symmetric || b.symmetric {
        return 0;
    }
    let x: Vec<&str> = a.stems.iter().map(AsRef::as_ref).collect();
    let y: Vec<&str> = b.stems.iter().map(AsRef::as_ref).collect();
    let class = |at: usize, other: usize| -> Classes { a.classes(at) | b.classes(other) };
    let digits = |s: &str| s.starts_with(|c: char| c.is_ascii_digit());
    let common = common_once(&x, &y);
    let mut found = 0;
    for (n, (p, p_in_a, p_in_b)) in common.iter().enumerate() {
        for (q, q_in_a, q_in_b) in common.iter().skip(n + 1) {
            let (of_p, of_q) = (class(*p_in_a, *p_in_b), class(*q_in_a, *q_in_b));
            if of_p & lexicon.units() != 0 && of_q & lexicon.units() != 0 {
                continue;
            }
            let (sense_a, sense_b) = (sense(a, p, q), sense(b, p, q));
            if sense_a != 0 && sense_b != 0 {
                found += usize::from((sense_a != sense_b) != (a.passive != b.passive));
                continue;
            }
            let directed = sense_a != 0 || sense_b != 0;
            if directed || of_p & of_q != 0 || digits(p) && digits(q) {
                let turned = p_in_b > q_in_b;
                found += usize::from(turned != (directed && a.passive != b.passive));
            }
        }
    }
    found
}

/// 1 if `p` goes to `q`, -1 if `q` goes to `p`, 0 if the text does not say or says both.
fn sense(of: &Document, p: &str, q: &str) -> i8 {
    let has = |of: &[Text], stem: &str| of.iter().any(|s| s == stem);
    let (source, target) = (&of.ends.source, &of.ends.target);
    i8::from(has(source, p) && has(target, q)) - i8::from(has(source, q) && has(target, p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journey_told_from_its_end_is_the_same_journey() {
        let lexicon = Lexicon::built_in().unwrap();
        let swapped = |a: &str, b: &str| swapped(&Document::new(a, lexicon), &Document::new(b, lexicon), lexicon);
        assert_eq!(swapped("fly from London to Sydney", "fly to Sydney from London"), 0);
        assert_eq!(swapped("fly from London to Sydney", "fly to London from Sydney"), 1);
        assert_eq!(swapped("convert JSON to CSV", "convert CSV to JSON"), 1);
        assert_eq!(swapped("compare JSON and CSV", "compare CSV and JSON"), 0);
    }
}
