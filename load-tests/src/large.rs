//! What a conversation of a megabyte costs, known to the gateway or new to it, beside a plain proxy.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use serde_json::json;

use crate::Failure;
use crate::client::Client;
use crate::measure::{each, float};
use crate::policy::{LOAD, Policy, ROOMY};
use crate::process::{self, Server, Setup};
use crate::report::{Table, brief, progress};

/// A model that reads so much.
const MODEL: &str = "gpt-4.1-mini";
/// Bytes of a conversation, about.
const SIZE: usize = 1 << 20;
const PROSE: &str = "The quick brown fox jumps over the lazy dog, and does so again and again, in the naïve belief that \
    somebody looks. Nobody does.\n\n\"Why,\" asks the dog, who is lazy but not asleep, \"would one do that?\" The fox \
    has no answer to this; it is what foxes do when they are used to show all the letters of an alphabet.\n";
const CODE: &str = "fn main() {\n    let name = std::env::args().nth(1).unwrap_or_else(|| \"world\".to_owned());\n    \
    println!(\"Hello, {name}!\");\n}\n";

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// The gateway to measure
    #[arg(long, default_value = "target/release/sluice")]
    sluice: PathBuf,
    /// Requests of each kind, one after the other
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
}

/// A conversation; with another number no message of it is the same.
fn conversation(text: &str, number: u32) -> Bytes {
    let mut messages = Vec::new();
    let mut size = 0;
    while size < SIZE {
        let role = if messages.len() % 2 == 0 { "user" } else { "assistant" };
        let content = format!("{number}.{} {}", messages.len(), text.repeat(8));
        size += content.len();
        messages.push(json!({"role": role, "content": content}));
    }
    json!({"model": MODEL, "messages": messages, "mock": {"tokens": 1}}).to_string().into()
}

/// CPU of a request, in microseconds.
async fn cost(server: &Server, bodies: &[Bytes], requests: u32) -> Result<Option<f64>, Failure> {
    let client = Client::new(server.addr, LOAD)?;
    let before = server.cpu()?;
    for body in bodies.iter().cycle().take(requests as usize) {
        client.whole(body.clone()).await?;
    }
    Ok(each(server.cpu()?.saturating_sub(before), u64::from(requests)))
}

/// Measures and prints the table.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let mock = process::mock(folder.path())?;
    let policy = Policy { keys: &[(LOAD, "standard")], limits: ROOMY, ..Policy::default() }.text()?;
    let config = format!("models:\n  {MODEL}: [mock/{MODEL}]\n");
    let setup = Setup { name: "sluice", config: &config, policy: &policy };
    let sluice = process::sluice(&options.sluice, mock.addr, folder.path(), &setup).await?.server;
    let nginx = process::nginx(mock.addr, folder.path()).await?;
    let mut table = Table::new(["CPU, µs/request", "nginx", "sluice", "sluice/nginx"].map(str::to_owned).to_vec());
    for (kind, text) in [("prose", PROSE), ("code", CODE)] {
        let known = [conversation(text, 0)];
        let few = options.requests.div_ceil(20);
        let new: Vec<Bytes> = (1..=few).map(|number| conversation(text, number)).collect();
        cost(&sluice, &known, 5).await?;
        for (name, bodies, requests) in [("known", &known[..], options.requests), ("new", &new, few)] {
            progress(&format!("{name} conversations of {kind}"));
            let ours = cost(&sluice, bodies, requests).await?;
            let theirs = match &nginx {
                Some(nginx) => cost(nginx, bodies, requests).await?,
                None => None,
            };
            let size = bodies.first().map_or(0, Bytes::len) as u64;
            let name = format!("{:.2} MB of {kind}, {name}", float(size) / 1e6);
            let text = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), brief);
            table.row(vec![name, text(theirs), text(ours), text(ours.zip(theirs).map(|(ours, theirs)| ours / theirs))]);
        }
    }
    table.print()
}
