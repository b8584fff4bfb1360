//! `perpring bench`: measurements whose floor is in the same run. One file per bench.

pub mod hop;

use super::Failure;
use clap::{Args, Subcommand};

/// Arguments of `bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    #[command(subcommand)]
    which: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// One way between two threads: our hop against a bare atomic, crossbeam and std.
    Hop(hop::HopArgs),
}

/// Runs the command.
///
/// # Errors
/// What kept the bench from running, as a sentence.
pub fn run(args: &BenchArgs) -> Result<u8, Failure> {
    match &args.which {
        Which::Hop(args) => hop::run(args),
    }
}
