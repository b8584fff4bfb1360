//! The command line: one file per command. Exit codes: 0 clean, 1 a finding, 2 cannot run.
//!
//! Whatever is printed may meet a closed pipe or a full disk: nothing here panics on that. A reader that has
//! gone away (`| head`) ends a command quietly with 0; output that cannot be written ends it with 2.

/// Prints a line on standard output, as [`say`] does.
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::say(format_args!($($words)*)) };
}

/// Prints a line on standard error, as [`tell`] does.
macro_rules! tell {
    ($($words:tt)*) => { $crate::cli::tell(format_args!($($words)*)) };
}

mod alter;
pub mod audit;
pub mod backup;
pub mod bench;
pub mod book;
pub mod bundle;
pub mod capture;
pub mod check_config;
pub mod decode;
pub mod demo;
pub mod diff;
pub mod error;
pub mod export;
pub mod import;
pub mod instruments;
pub mod journal;
pub mod live_view;
pub mod picture;
pub mod progress;
pub mod replay;
pub mod report;
pub mod run;
pub mod screen;
pub mod sim;
mod source;
pub mod step;
mod stop;
pub mod top;
pub mod whatif;
pub mod why;

pub use error::CliError;

use crate::domain::input::Scope;
use crate::topology::launch::Running;
use clap::{Parser, Subcommand};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Turn recorded feeds into a journal, with a paper run of the engine over them.
    Import(import::ImportArgs),
    /// Verify or dump a journal.
    Journal(journal::JournalArgs),
    /// Measure this machine and this program on it.
    Bench(bench::BenchArgs),
    /// Run against real venues: real market data, orders on paper unless live.
    Run(run::RunArgs),
    /// Check a configuration and say what it means.
    CheckConfig(check_config::CheckConfigArgs),
    /// Watch a run from outside, while it runs or after a crash.
    Top(top::TopArgs),
    /// List instruments as the venues' public metadata states them: scales, limits, funding, status.
    Instruments(instruments::InstrumentsArgs),
    /// Cut an incident out of a journal into one file that can be replayed anywhere.
    Bundle(bundle::BundleArgs),
    /// Replay a journal, or a bundle, through the engine.
    Replay(replay::ReplayArgs),
    /// What another configuration would have made of a recorded run.
    Whatif(whatif::WhatIfArgs),
    /// Explain an order from a journal: trigger, books, edge, checks, bytes, fills, nanoseconds.
    Why(why::WhyArgs),
    /// Explain what kept a pair from trading at a moment.
    WhyNot(why::WhyNotArgs),
    /// Step through a journal: go to a place, run until an expression holds, look at books, orders, limits.
    Step(step::StepArgs),
    /// Tell what differs between two journals, or a journal and a replay with another configuration or program.
    Diff(diff::DiffArgs),
    /// Prove from a journal that limits held, trades were hedged and the money adds up.
    Audit(audit::AuditArgs),
    /// Back up journals to a directory or a bucket.
    Backup(backup::BackupArgs),
    /// Bring a backup back.
    Restore(backup::RestoreArgs),
    /// Write a journal as Parquet, CSV, NDJSON or hftbacktest's npz.
    Export(export::ExportArgs),
}

/// What went wrong with a command, as a sentence.
pub type Failure = Box<dyn std::error::Error>;

/// Prints a line on standard output.
///
/// # Errors
/// [`CliError::Write`].
pub fn say(words: std::fmt::Arguments<'_>) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{words}")?;
    Ok(out.flush()?)
}

/// Prints a line on standard error. A run must go on, and end in order, when nobody listens any more.
pub fn tell(words: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{words}");
}

/// Runs one command and returns its exit code; when the reader of its output has gone away, that is 0.
///
/// # Errors
/// Why the command could not run (exit code 2).
pub fn run(cli: Cli) -> Result<u8, Failure> {
    match dispatch(cli) {
        Err(failure) if is_broken_pipe(failure.as_ref()) => Ok(error::EXIT_CLEAN),
        outcome => outcome,
    }
}

/// The reader of the output has gone away. Only errors of writing output count, not those of sockets.
fn is_broken_pipe(failure: &(dyn std::error::Error + 'static)) -> bool {
    let cause = match (failure.downcast_ref(), failure.downcast_ref()) {
        (Some(CliError::Write(cause)), _) | (_, Some(sim::SimError::Output(cause))) => cause,
        _ => return false,
    };
    cause.kind() == std::io::ErrorKind::BrokenPipe
}

fn dispatch(cli: Cli) -> Result<u8, Failure> {
    match cli.command.unwrap_or_else(|| Command::Demo(demo::DemoArgs::default())) {
        Command::Demo(args) => demo::run(&args),
        Command::Decode(args) => decode::main(&args).map_err(Into::into),
        Command::Book(args) => book::main(&args).map_err(Into::into),
        Command::Import(args) => import::main(&args),
        Command::Journal(args) => journal::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Sim(args) => sim::run(&args, &Signals::listen()?.stop).map_err(Into::into),
        Command::Run(args) => run::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Instruments(args) => instruments::run(&args),
        Command::Bundle(args) => bundle::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Whatif(args) => whatif::run(&args),
        Command::Why(args) => why::run(&args),
        Command::WhyNot(args) => why::run_not(&args),
        Command::Step(args) => step::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Backup(args) => backup::back_up(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Export(args) => export::run(&args),
    }
}

/// What the operator says by signals.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Ctrl-C or SIGTERM: end in order. Once more while trades are being closed: kill, and wait no longer.
    pub stop: Arc<AtomicBool>,
    /// SIGUSR1: kill. Nothing leaves any more but cancels and orders that reduce.
    pub kill: Arc<AtomicBool>,
}

impl Signals {
    /// Listens to the signals of this process.
    ///
    /// # Errors
    /// The system's, when it refuses a handler.
    pub fn listen() -> std::io::Result<Self> {
        let signals = Self::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&signals.stop))?;
        }
        signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&signals.kill))?;
        Ok(signals)
    }

    /// Kills the run if that was asked for since the last look.
    pub fn heed_kill(&self, running: &Running) {
        if self.kill.swap(false, Ordering::AcqRel) {
            kill(running);
        }
    }
}

/// Kills a run: the gate closes at once, everything that rests is cancelled. The run itself goes on, so that
/// what is open can be reduced.
pub fn kill(running: &Running) {
    running.command(crate::domain::input::Command::Kill(Scope::Global));
    tell!("killed: nothing leaves any more but cancels and orders that reduce");
}

/// Parses `500ms`, `1.5s`, `5m` or `2h`; a number without a unit could mean any of them.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    match crate::replay::place::duration(text) {
        None => Err(format!("`{text}` is no time: write it with its unit, as 20s, 1.5m or 250ms")),
        Some(0) => Err("a run of no time does nothing: give a time such as 20s or 5m".to_owned()),
        Some(nanos) => Ok(Duration::from_nanos(nanos.unsigned_abs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn times_have_units_and_no_time_is_refused() {
        for (text, millis) in
            [("60s", 60_000), ("500ms", 500), ("2h", 7_200_000), ("1.5s", 1_500), ("3m", 180_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
        }
        for bad in ["", "s", "5", "-1s", "1d", "0s", "0", "99999999999999999999s", "9999999999999999999h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_a_reader_of_the_output_that_has_gone_is_no_failure() {
        let pipe = || Error::from(ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&CliError::Write(pipe())));
        assert!(is_broken_pipe(&sim::SimError::Output(pipe())));
        assert!(!is_broken_pipe(&CliError::Write(Error::from(ErrorKind::StorageFull))));
        assert!(!is_broken_pipe(&pipe()), "a socket's");
    }
}
