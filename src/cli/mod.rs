//! The command line: one file per command. Exit codes: 0 clean, 1 a finding, 2 cannot run.

pub mod bench;
pub mod book;
pub mod capture;
pub mod check_config;
pub mod decode;
pub mod demo;
pub mod error;
pub mod journal;
pub mod live_view;
pub mod picture;
pub mod replay;
pub mod report;
pub mod run;
pub mod screen;
pub mod sim;

pub use error::CliError;

use clap::{Parser, Subcommand};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Low-latency engine for arbitrage of perpetual futures between venues.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulated venues and the engine, with paper money (the default command).
    Demo(demo::DemoArgs),
    /// Only the simulated venues, for any client.
    Sim(sim::SimArgs),
    /// Decode captured venue traffic to normalised messages (NDJSON).
    Decode(decode::DecodeArgs),
    /// Rebuild order books from captured venue traffic.
    Book(book::BookArgs),
    /// Verify or dump a journal.
    Journal(journal::JournalArgs),
    /// Measure this machine and this program on it.
    Bench(bench::BenchArgs),
    /// Run against real venues: real market data, orders on paper unless live.
    Run(run::RunArgs),
    /// Check a configuration and say what it means.
    CheckConfig(check_config::CheckConfigArgs),
    /// Replay a journal through the engine.
    Replay(replay::ReplayArgs),
}

/// What went wrong with a command, as a sentence.
pub type Failure = Box<dyn std::error::Error>;

/// Runs one command and returns its exit code.
pub fn run(cli: Cli) -> Result<u8, Failure> {
    match cli.command.unwrap_or_else(|| Command::Demo(demo::DemoArgs::default())) {
        Command::Demo(args) => demo::run(&args),
        Command::Decode(args) => decode::main(&args).map_err(Into::into),
        Command::Book(args) => book::main(&args).map_err(Into::into),
        Command::Journal(args) => journal::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Sim(args) => sim::run(&args, interruption()?.as_ref()).map_err(Into::into),
        Command::Run(args) => run::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Replay(args) => replay::run(&args),
    }
}

/// A flag that Ctrl-C and SIGTERM raise, for an end in order.
pub fn interruption() -> Result<Arc<AtomicBool>, Failure> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// Parses `500ms`, `20s`, `5m` or `2h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a time such as 20s or 5m"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3600)),
        _ => Err(format!("`{unit}` is not a unit of time: use ms, s, m or h")),
    }
}
