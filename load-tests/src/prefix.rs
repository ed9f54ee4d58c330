//! How much of the prompts of long conversations is found in the engines' KV caches, by the way
//! their targets are picked.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Failure;
use crate::client::Client;
use crate::fetch::Page;
use crate::measure::float;
use crate::policy::MODEL;
use crate::report::{Bounds, Table, progress};
use crate::rig::Rig;

const ENGINES: usize = 4;
/// Words of a block of the simulated cache.
const BLOCK: u64 = 16;
/// Words of the system prompts, of which there are so many, and of a question.
const SYSTEM_WORDS: u32 = 600;
const SYSTEMS: u32 = 4;
const QUESTION_WORDS: u32 = 80;
/// Words of an answer.
const ANSWER: u64 = 40;
/// Of a perfect router's hits.
const LEAST_HITS: f64 = 0.9;
/// The engine with the most prompt tokens, over the mean.
const MOST_UNEVEN: f64 = 1.25;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway to measure
    #[arg(long, default_value = "target/release/sluice")]
    sluice: PathBuf,
    /// Conversations
    #[arg(long, default_value_t = 240)]
    conversations: u32,
    /// Turns of each
    #[arg(long, default_value_t = 6)]
    turns: u32,
    /// Conversations at once
    #[arg(long, default_value_t = 48)]
    at_once: usize,
}

struct Outcome {
    balance: &'static str,
    hit: u64,
    prompt: u64,
    /// Prompt tokens of the busiest engine over the mean.
    uneven: f64,
}

/// Runs the same conversations over each balance, and prints the table.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let mut outcomes = Vec::new();
    for balance in ["prefix", "affinity", "p2c", "round_robin"] {
        progress(&format!("{balance}: {} conversations of {} turns", options.conversations, options.turns));
        outcomes.push(trial(options, balance).await?);
    }
    let perfect = perfect(options);
    let mut table = Table::new(
        ["balance", "prompt tokens", "from the cache", "of a perfect router's", "busiest engine / mean"]
            .map(str::to_owned)
            .to_vec(),
    );
    table.row(vec![
        "perfect".to_owned(),
        outcomes.first().map_or(0, |one| one.prompt).to_string(),
        perfect.to_string(),
        "1.00".to_owned(),
        "1.00".to_owned(),
    ]);
    for one in &outcomes {
        let ratio = format!("{:.2}", float(one.hit) / float(perfect));
        table.row(vec![
            one.balance.to_owned(),
            one.prompt.to_string(),
            one.hit.to_string(),
            ratio,
            format!("{:.2}", one.uneven),
        ]);
    }
    table.print()?;
    let mut bounds = Bounds::default();
    for one in outcomes.iter().filter(|one| one.balance == "prefix") {
        let ratio = float(one.hit) / float(perfect);
        bounds.check(ratio >= LEAST_HITS, || format!("prefix: {ratio:.2} of a perfect router's hits"));
        bounds.check(one.uneven <= MOST_UNEVEN, || {
            format!("prefix: the busiest engine has {:.2} of the mean", one.uneven)
        });
    }
    for one in outcomes.iter().filter(|one| ["p2c", "round_robin"].contains(&one.balance)) {
        let ratio = float(one.hit) / float(perfect);
        bounds.check(ratio < LEAST_HITS, || {
            format!("{}: it hits as well: the caches are too large to tell", one.balance)
        });
    }
    bounds.result()
}

/// Room for half as much again as an engine's share of all conversations: enough for a router that
/// knows where they are, too little for one that spreads each over all engines.
fn capacity(options: &Options) -> u64 {
    let turns = u64::from(options.turns) * (u64::from(QUESTION_WORDS) + ANSWER + 2);
    let at_once = u64::try_from(options.at_once).unwrap_or(u64::MAX);
    let all = u64::from(SYSTEMS * SYSTEM_WORDS) * ENGINES as u64 + at_once * turns;
    all * 3 / 2 / ENGINES as u64
}

async fn trial(options: &Options, balance: &'static str) -> Result<Outcome, Failure> {
    let engine = json!({"tokens": ANSWER, "first_token_ms": 20, "kv_cache": capacity(options)});
    let rig = Rig::start(&options.sluice, ENGINES, &engine, &format!("balance: {balance}")).await?;
    let (client, places) = (rig.client()?, Arc::new(Semaphore::new(options.at_once)));
    let mut running = JoinSet::new();
    for number in 0..options.conversations {
        let (client, places, turns) = (client.clone(), Arc::clone(&places), options.turns);
        running.spawn(async move {
            let _place = places.acquire().await?;
            converse(&client, number, turns).await
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    let mut engines = Vec::new();
    for engine in &rig.engines {
        let read = Page::new(engine.addr, "/kv")?.json().await?;
        let number = |name: &str| read[name].as_u64().unwrap_or(0);
        engines.push((number("hit_tokens"), number("prompt_tokens")));
    }
    let (hit, prompt) = engines.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let busiest = engines.iter().map(|one| one.1).max().unwrap_or(0);
    Ok(Outcome { balance, hit, prompt, uneven: float(busiest) * float(ENGINES as u64) / float(prompt.max(1)) })
}

fn words(kind: &str, number: u32, count: u32) -> String {
    (0..count).map(|word| format!("{kind}{number}w{word} ")).collect()
}

/// One conversation: each turn brings all that was said before.
async fn converse(client: &Client, number: u32, turns: u32) -> Result<(), Failure> {
    let system = words("s", number % SYSTEMS, SYSTEM_WORDS);
    let mut messages = vec![json!({"role": "system", "content": system})];
    for turn in 0..turns {
        messages.push(json!({"role": "user", "content": words("q", number * 1000 + turn, QUESTION_WORDS)}));
        let body = json!({"model": MODEL, "messages": messages, "max_tokens": ANSWER, "user": format!("u{number}")});
        let traced = client.traced(Bytes::from(body.to_string())).await?;
        let answer: Value = serde_json::from_slice(&traced.body)?;
        let said = answer["choices"][0]["message"]["content"].as_str().ok_or("an answer without content")?;
        messages.push(json!({"role": "assistant", "content": said}));
    }
    Ok(())
}

/// Tokens that a router finds who sends every turn to where the one before was, and every system
/// prompt to where it was first: none finds more.
fn perfect(options: &Options) -> u64 {
    let system = u64::from(SYSTEM_WORDS) + 1;
    let turn = u64::from(QUESTION_WORDS) + 1 + ANSWER + 1;
    let whole = |words: u64| words / BLOCK * BLOCK;
    let later: u64 = (1..u64::from(options.turns)).map(|number| whole(system + number * turn)).sum();
    let conversations = u64::from(options.conversations);
    let first = conversations.saturating_sub(u64::from(SYSTEMS)) * whole(system);
    conversations * later + first
}
