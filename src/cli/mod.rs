//! The command line: one file per command. Exit codes: 0 clean, 1 a finding, 2 cannot run.

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
    /// Replay a journal through the engine.
    Replay(replay::ReplayArgs),
}

/// What went wrong with a command, as a sentence.
pub type Failure = Box<dyn std::error::Error>;

/// Runs one command and returns its exit code.
pub fn run(cli: Cli) -> Result<u8, Failure> {
    match cli.command {
        Some(Command::Replay(args)) => replay::run(&args),
        None => Ok(2),
    }
//! One file per command. Commands are library functions over writers, so that tests run them as `main` does.
pub mod book;
pub mod capture;
pub mod decode;
use std::path::PathBuf;
/// Exit code: nothing to complain about.
pub const EXIT_CLEAN: u8 = 0;
/// Exit code: something was found (errors, gaps).
pub const EXIT_FINDING: u8 = 1;
/// Exit code: could not run.
pub const EXIT_CANNOT: u8 = 2;
/// Why a command could not run (exit code 2).
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// A file could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Output could not be written.
    #[error("cannot write the output: {0}")]
    Write(#[from] std::io::Error),
    /// No such dialect.
    #[error("unknown venue `{name}`; known are: {known}")]
    Venue {
        /// As given.
        name: String,
        /// What there is.
        known: String,
    },
    /// Nothing to read.
    #[error("no input: name one or more files, or `-` for standard input")]
    NoInput,
    /// An argument does not make sense.
    #[error("{0}")]
    Argument(String),
/// The dialect of that name, or an error that lists what there is.
///
/// # Errors
/// [`CliError::Venue`].
pub fn dialect(name: &str) -> Result<&'static dyn crate::venue::Dialect, CliError> {
    crate::venue::dialect(name).ok_or_else(|| CliError::Venue {
        name: name.to_owned(),
        known: crate::venue::DIALECTS.iter().map(|dialect| dialect.name()).collect::<Vec<_>>().join(", "),
    })
}
