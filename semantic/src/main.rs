//! Measures the semantic cache: on files of pairs, and what a lookup costs.

mod cost;
mod judge;
mod pairs;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sluice_semantic::{DEFAULT_FALSE_HITS, Semantic};

#[derive(Parser)]
#[command(about = "Measures the semantic cache")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// How well pairs that ask the same are told from pairs that do not.
    CacheEval {
        /// Tab-separated: set, category, label (1 = the answer may be reused), one prompt, the other; a header line.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The part of false hits that the threshold is for, in percent.
        #[arg(long, default_value_t = DEFAULT_FALSE_HITS * 100.0)]
        budget: f64,
        /// A line for each category.
        #[arg(long)]
        categories: bool,
        /// The pairs decided wrongly at the threshold, at most so many of each category.
        #[arg(long, default_value_t = 0)]
        errors: usize,
    },
    /// What a lookup costs, and what an entry holds.
    CacheBench {
        /// Entries in the partition.
        #[arg(long, default_value_t = 10_000)]
        entries: usize,
    },
}

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    match run(&Arguments::parse().command, &mut out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let told = writeln!(io::stderr(), "error: {e}");
            if told.is_ok() { ExitCode::FAILURE } else { ExitCode::from(2) }
        }
    }
}

fn run(command: &Command, out: &mut impl Write) -> Result<(), Box<dyn std::error::Error>> {
    let semantic = Semantic::built_in()?;
    match command {
        Command::CacheEval { files, budget, categories, errors } => {
            let threshold = semantic.threshold(budget / 100.0);
            writeln!(out, "threshold {threshold:.2} for at most {budget} % of false hits\n")?;
            judge::header(out)?;
            let mut all = Vec::with_capacity(files.len());
            for file in files {
                let judged = judge::judge(&pairs::read(file)?, &semantic);
                judge::summary(file, &judged, threshold, out)?;
                all.extend(judged);
            }
            if *categories {
                judge::categories(&all, threshold, out)?;
            }
            judge::errors(&all, threshold, *errors, out)?;
        }
        Command::CacheBench { entries } => cost::measure(&semantic, *entries, out)?,
    }
    Ok(())
}
