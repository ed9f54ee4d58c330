//! What a lookup costs on this machine, and how many bytes an entry holds.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use sluice_semantic::{DEFAULT_FALSE_HITS, Index, LEAST_SIMILARITY, Partition, Semantic, eligible};

const LOOKUPS: usize = 2000;

pub(crate) fn measure(
    semantic: &Semantic,
    entries: usize,
    out: &mut impl Write,
) -> Result<(), Box<dyn std::error::Error>> {
    let texts: Vec<String> = (0..entries).map(prompt).collect();
    let (mut partition, mut index) = (Partition::default(), Index::default());
    for (id, text) in (0..).zip(&texts) {
        partition.insert(id, text, &semantic.card(text))?;
        index.insert(id, &semantic.vector(text))?;
    }
    let exact: HashMap<[u8; 32], usize> = texts.iter().map(|t| digest(t)).zip(0..).collect();
    // Half of what is looked up is stored in other words, half is not there at all.
    let asked: Vec<String> =
        (0..LOOKUPS).map(|n| if n % 2 == 0 { reworded(n * 7 % entries.max(1)) } else { prompt(entries + n) }).collect();
    let vectors: Vec<_> = asked.iter().map(|text| semantic.vector(text)).collect();
    let prompts: Vec<_> = asked.iter().map(|text| semantic.prompt(text)).collect();
    let stored = semantic.prompt(texts.first().map_or("", String::as_str));
    let threshold = semantic.threshold(DEFAULT_FALSE_HITS);
    let look_up = |text: &str| {
        let prompt = semantic.prompt(text);
        partition.lookup(&prompt, (&prompt.card(), LEAST_SIMILARITY), threshold, semantic)
    };
    writeln!(out, "| step | CPU, mean | p50 | p99 |\n|---|---|---|---|")?;
    row("exact: hash of a 600-byte request, one look-up", &texts, |text| exact.get(&digest(text)).copied(), out)?;
    row("semantic: eligible", &asked, |text| eligible(text), out)?;
    row("semantic: embed", &asked, |text| semantic.vector(text), out)?;
    row("semantic: take a prompt apart", &asked, |text| semantic.prompt(text), out)?;
    let name = format!("semantic: nearest 5 of {entries}");
    row(&name, &vectors, |query| index.nearest(query, 5, LEAST_SIMILARITY), out)?;
    row("semantic: judge a pair", &prompts, |prompt| semantic.judge(prompt, &stored), out)?;
    row(&format!("semantic: whole look-up among {entries}"), &asked, |text| look_up(text), out)?;
    let hits = asked.iter().filter(|text| look_up(text).is_some()).count();
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

/// Measures `f` on [`LOOKUPS`] of these.
fn row<I, T>(name: &str, of: &[I], mut f: impl FnMut(&I) -> T, out: &mut impl Write) -> std::io::Result<()> {
    of.iter().take(LOOKUPS / 10).for_each(|input| drop(black_box(f(input))));
    let mut taken: Vec<Duration> = Vec::with_capacity(LOOKUPS);
    for input in of.iter().cycle().take(LOOKUPS) {
        let began = Instant::now();
        black_box(f(black_box(input)));
        taken.push(began.elapsed());
    }
    taken.sort_unstable();
    let at = |percent: usize| taken.get(taken.len() * percent / 100).copied().unwrap_or_default();
    let micros = |d: Duration| d.as_secs_f64() * 1e6;
    let cpu = cpu_of(|| of.iter().for_each(|input| drop(black_box(f(black_box(input))))), of.len());
    let cpu = cpu.map_or("?".to_owned(), |d| format!("{:.1} us", micros(d)));
    writeln!(out, "| {name} | {cpu} | {:.1} us | {:.1} us |", micros(at(50)), micros(at(99)))
}

/// CPU time of one of the `count` things that `f` does. Nothing where the system does not tell it.
fn cpu_of(mut f: impl FnMut(), count: usize) -> Option<Duration> {
    // The kernel tells it to a few milliseconds.
    const AT_LEAST: Duration = Duration::from_millis(400);
    let (began, mut rounds) = (cpu()?, 0);
    while cpu()?.saturating_sub(began) < AT_LEAST {
        f();
        rounds += 1;
    }
    let all = u32::try_from(count.checked_mul(rounds)?).ok()?;
    cpu()?.saturating_sub(began).checked_div(all)
}

/// CPU time of this thread, by Linux.
fn cpu() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    told.split_ascii_whitespace().next()?.parse().ok().map(Duration::from_nanos)
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
