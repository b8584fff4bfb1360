//! The command line: one file per command. Exit codes: 0 clean, 1 a finding, 2 cannot run.

pub mod bench;
pub mod replay;

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
    /// Measure this machine and this program on it.
    Bench(bench::BenchArgs),
    /// Replay a journal through the engine.
    Replay(replay::ReplayArgs),
}

/// What went wrong with a command, as a sentence.
pub type Failure = Box<dyn std::error::Error>;

/// Runs one command and returns its exit code.
pub fn run(cli: Cli) -> Result<u8, Failure> {
    match cli.command {
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Replay(args)) => replay::run(&args),
        None => Ok(2),
    }
}
