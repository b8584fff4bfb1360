//! The command line: one file per command. Exit codes: 0 clean, 1 a finding, 2 cannot run.

pub mod book;
pub mod capture;
pub mod decode;
pub mod demo;
pub mod journal;
pub mod replay;
pub mod sim;

use clap::{Parser, Subcommand};

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
    /// Captured payloads to normalised events.
    Decode(decode::DecodeArgs),
    /// Rebuild order books from captured payloads.
    Book(book::BookArgs),
    /// Verify or dump a journal.
    Journal(journal::JournalArgs),
    /// Replay a journal through the engine.
    Replay(replay::ReplayArgs),
}

/// What went wrong with a command, as a sentence.
pub type Failure = Box<dyn std::error::Error>;

/// Runs one command and returns its exit code.
pub fn run(cli: Cli) -> Result<u8, Failure> {
    match cli.command.unwrap_or_else(|| Command::Demo(demo::DemoArgs::default())) {
        Command::Demo(args) => demo::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Book(args) => book::run(&args),
        Command::Journal(args) => journal::run(&args),
        Command::Replay(args) => replay::run(&args),
    }
}
