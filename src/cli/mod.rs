//! The command line: one file per command. Exit codes: 0 clean, 1 a finding, 2 cannot run.

pub mod book;
pub mod capture;
pub mod decode;
pub mod error;
pub mod replay;

pub use error::CliError;

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
    /// Decode captured venue traffic to normalised messages (NDJSON).
    Decode(decode::DecodeArgs),
    /// Rebuild order books from captured venue traffic.
    Book(book::BookArgs),
    /// Replay a journal through the engine.
    Replay(replay::ReplayArgs),
}

/// What went wrong with a command, as a sentence.
pub type Failure = Box<dyn std::error::Error>;

/// Runs one command and returns its exit code.
pub fn run(cli: Cli) -> Result<u8, Failure> {
    match cli.command {
        Some(Command::Decode(args)) => decode::main(&args).map_err(Into::into),
        Some(Command::Book(args)) => book::main(&args).map_err(Into::into),
        Some(Command::Replay(args)) => replay::run(&args),
        None => Ok(2),
    }
}
