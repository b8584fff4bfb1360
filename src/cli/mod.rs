//! The command line: one file per command. Exit codes: 0 clean, 1 a finding, 2 cannot run.

pub mod book;
pub mod capture;
pub mod decode;
pub mod demo;
pub mod error;
pub mod journal;
pub mod live_view;
pub mod bench;
pub mod replay;
pub mod report;

pub use error::CliError;

pub use error::CliError;
pub mod sim;

use clap::{Parser, Subcommand};
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
    /// Decode captured venue traffic to normalised messages (NDJSON).
    Decode(decode::DecodeArgs),
    /// Rebuild order books from captured venue traffic.
    Book(book::BookArgs),
    /// Verify or dump a journal.
    Journal(journal::JournalArgs),
    /// Measure this machine and this program on it.
    Bench(bench::BenchArgs),
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
        Command::Replay(args) => replay::run(&args),
    match cli.command {
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Replay(args)) => replay::run(&args),
        None => Ok(2),
    }
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
    match cli.command {
        Some(Command::Decode(args)) => decode::main(&args).map_err(Into::into),
        Some(Command::Book(args)) => book::main(&args).map_err(Into::into),
        Some(Command::Replay(args)) => replay::run(&args),
        None => Ok(2),
}
