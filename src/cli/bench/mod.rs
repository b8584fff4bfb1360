//! `perpring bench`: measurements whose floor is in the same run. One file per bench.

pub mod hop;
pub mod journal;
pub mod pipeline;
pub mod replay;
pub mod wire;

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
    /// What recording costs: hand-off, throughput, scan, compression, write-ahead.
    Journal(journal::JournalBenchArgs),
    /// From a frame in memory to the bytes of an order, and best prices a second on one core.
    Pipeline(pipeline::PipelineArgs),
    /// A recorded run again: events a second, memory, snapshots, seeks.
    Replay(replay::ReplayBenchArgs),
    /// From a price to the orders at the venues, over sockets, against a floor without an engine.
    Wire(wire::WireArgs),
}

/// Runs the command. A missed target is said, in text and JSON, but the exit code stays 0: a bench is run on any
/// host, and most cannot judge.
///
/// # Errors
/// What kept the bench from running, as a sentence.
pub fn run(args: &BenchArgs) -> Result<u8, Failure> {
    match &args.which {
        Which::Hop(args) => hop::run(args),
        Which::Journal(args) => journal::run(args),
        Which::Pipeline(args) => pipeline::run(args),
        Which::Replay(args) => replay::run(args),
        Which::Wire(args) => wire::run(args),
    }
}
