//! What a lookup costs on this machine, and how many bytes an entry holds.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use sluice_semantic::{DEFAULT_FALSE_HITS, Index, Partition, Semantic};

const LOOKUPS: usize = 2000;

pub(crate) fn measure(
    semantic: &Semantic,
    entries: usize,
    out: &mut impl Write,
) -> Result<(), Box<dyn std::error::Error>> {
    let texts: Vec<String> = (0..entries).map(prompt).collect();
    let mut partition = Partition::default();
    for (id, text) in (0..).zip(&texts) {
        partition.insert(id, text, semantic)?;
    }
    let exact: HashMap<[u8; 32], usize> = texts.iter().map(|t| digest(t)).zip(0..).collect();
    // Half of what is looked up is stored in other words, half is not there at all.
    let asked: Vec<String> =
        (0..LOOKUPS).map(|n| if n % 2 == 0 { reworded(n * 7 % entries.max(1)) } else { prompt(entries + n) }).collect();
    let threshold = semantic.threshold(DEFAULT_FALSE_HITS);
    writeln!(out, "| step | p50 | p99 |\n|---|---|---|")?;
    let exactly = times(&texts, |text| exact.get(&digest(text)).copied());
    row("exact: hash of a 600-byte request, one look-up", &exactly, out)?;
    row("semantic: eligible", &times(&asked, |text| semantic.eligible(text)), out)?;
    row("semantic: embed", &times(&asked, |text| semantic.vector(text)), out)?;
    row("semantic: take a prompt apart", &times(&asked, |text| semantic.prompt(text)), out)?;
    let mut index = Index::default();
    for (id, text) in (0..).zip(&texts) {
        index.insert(id, &semantic.vector(text))?;
    }
    let query = semantic.vector(asked.first().map_or("", String::as_str));
    row(&format!("semantic: nearest 5 of {entries}"), &times(&asked, |_| index.nearest(&query, 5, 0.0)), out)?;
    let stored = semantic.prompt(texts.first().map_or("", String::as_str));
    let prompts: Vec<_> = asked.iter().map(|text| semantic.prompt(text)).collect();
    let mut next = prompts.iter().cycle();
    row("semantic: judge a pair", &times(&asked, |_| next.next().map(|p| semantic.judge(p, &stored))), out)?;
    let whole = times(&asked, |text| partition.lookup(&semantic.prompt(text), threshold, semantic));
    row(&format!("semantic: whole look-up among {entries}"), &whole, out)?;
    let hits = asked.iter().filter(|t| partition.lookup(&semantic.prompt(t), threshold, semantic).is_some()).count();
    let text: usize = texts.iter().map(String::len).sum();
    writeln!(
        out,
        "\n{hits} of {LOOKUPS} were hits. An entry of the index holds {} bytes: 256 of vector, {} of text, the rest ids.",
        partition.memory() / entries.max(1),
        text / entries.max(1),
    )?;
    Ok(())
}

/// What a gateway hashes: the prompt with the fields around it.
fn digest(text: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([7; 540]);
    hash.update(text);
    hash.finalize().into()
}

fn times<T>(of: &[String], mut f: impl FnMut(&str) -> T) -> Vec<Duration> {
    of.iter().take(LOOKUPS / 10).for_each(|text| drop(black_box(f(text))));
    let mut taken: Vec<Duration> = Vec::with_capacity(LOOKUPS);
    for text in of.iter().cycle().take(LOOKUPS) {
        let began = Instant::now();
        black_box(f(black_box(text)));
        taken.push(began.elapsed());
    }
    taken.sort_unstable();
    taken
}

fn row(name: &str, taken: &[Duration], out: &mut impl Write) -> std::io::Result<()> {
    let at = |percent: usize| taken.get(taken.len() * percent / 100).copied().unwrap_or_default();
    let micros = |d: Duration| d.as_secs_f64() * 1e6;
    writeln!(out, "| {name} | {:.1} us | {:.1} us |", micros(at(50)), micros(at(99)))
}

const THINGS: [&str; 20] = [
    "battery",
    "invoice",
    "garden hose",
    "passport",
    "router",
    "bicycle chain",
    "oven",
    "database index",
    "tax form",
    "winter jacket",
    "violin",
    "savings account",
    "dishwasher",
    "spreadsheet",
    "visa",
    "tent",
    "coffee grinder",
    "lawn",
    "thermostat",
    "contract",
];
const DEEDS: [&str; 16] = [
    "repair", "replace", "clean", "choose", "compare", "store", "measure", "sell", "insure", "print", "test", "label",
    "order", "share", "protect", "recycle",
];
const PLACES: [&str; 35] = [
    "Oslo", "Lima", "Kyoto", "Accra", "Quito", "Riga", "Perth", "Cairo", "Dublin", "Hanoi", "Bergen", "Tunis", "Malmo",
    "Zagreb", "Bogota", "Austin", "Leeds", "Nice", "Turin", "Ghent", "Basel", "Graz", "Porto", "Seville", "Split",
    "Tallinn", "Vilnius", "Warsaw", "Prague", "Berlin", "Munich", "Paris", "Lyon", "Rome", "Milan",
];

fn parts(n: usize) -> (&'static str, &'static str, &'static str) {
    let of = |list: &[&'static str], n: usize| list.get(n % list.len()).copied().unwrap_or_default();
    (of(&DEEDS, n), of(&THINGS, n / DEEDS.len()), of(&PLACES, n / (DEEDS.len() * THINGS.len())))
}

fn prompt(n: usize) -> String {
    let (deed, thing, place) = parts(n);
    format!("How do I {deed} a {thing} in {place} without spending more than {} euros on it?", 10 + n % 9)
}

fn reworded(n: usize) -> String {
    let (deed, thing, place) = parts(n);
    format!("How can I {deed} a {thing} in {place} without spending more than {} euros on it", 10 + n % 9)
}
