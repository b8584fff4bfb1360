//! `perpring run`: the engine against real venues, on paper unless both the command line and the
//! configuration say live.

mod restart;

use super::demo::{close, plan};
use super::error::CliError;
use super::report::line;
use super::{Failure, Signals};
use crate::config::{Config, Settings, secrets};
use crate::domain::input::Command;
use crate::journal::{JournalOptions, RunLock, take_epoch};
use crate::net::tls::Trust;
use crate::ops::drift::sentence;
use crate::ops::view::{Board, View};
use crate::replay::source::RunConfig;
use crate::stage::egress::Credentials;
use crate::stage::gateway::{Addresses, Orders};
use crate::topology::launch::{Finished, Launch, Running, launch};
use clap::Args;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The configuration (see docs/config.example.toml).
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Send real orders; the configuration must say so too. Without it: real market data, orders on paper.
    #[arg(long)]
    pub live: bool,
    /// Lift what halted the run before: a kill, a record that failed, failures in a row, a drawdown. Not the loss of the
    /// day, which ends with the day.
    #[arg(long)]
    pub resume: bool,
    /// Start without the run before, where its journal cannot be read or shall not count: halted, unless --resume is
    /// given too. Look at the accounts first; what is open there is not taken over.
    #[arg(long)]
    pub forget_previous_run: bool,
    /// How long to run, such as `20s`, `5m`; without it until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = super::parse_duration)]
    pub duration: Option<Duration>,
}

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<u8, Failure> {
    let report = trade(args, &Signals::listen()?)?;
    say!("{}", report.text)?;
    Ok(u8::from(report.failed))
}

/// What remains of a run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// For people.
    pub text: String,
    /// The engine failed, or something is left open.
    pub failed: bool,
}

/// The whole run, up to its report.
///
/// # Errors
/// Everything that keeps the engine from starting, with what to do.
#[allow(clippy::disallowed_methods)] // the operator's side: names the run and tells how long it took
pub fn trade(args: &RunArgs, signals: &Signals) -> Result<RunReport, Failure> {
    let config = Config::load(&args.config)?;
    let (settings, credentials) = prepare(&config, args.live, &|name| std::env::var(name).ok())?;
    let plan = plan(config.engine.pinning.as_deref(), config.engine.idle)?;
    let mut trust = Trust::system();
    if let Some(file) = &config.engine.ca_file {
        trust.add_pem_file(file)?;
    }
    let mut params = settings.params;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if let Some(dir) = &config.engine.journal_dir {
        std::fs::create_dir_all(dir)
            .map_err(|failure| format!("[engine] journal_dir: cannot create {}: {failure}", dir.display()))?;
    }
    let mode = if args.live { "live" } else { "paper" };
    // Until the end: the next run must not take this one for one that crashed.
    let mut lock = None;
    let mut carry = None;
    if let Some(root) = &config.engine.journal_dir {
        lock = Some(RunLock::take(root, &format!("{mode}.lock"))?);
        let taken = restart::taken_over(args, root, &params)?;
        restart::sentences(&taken, args.resume).iter().for_each(|sentence| tell!("{sentence}"));
        carry = Some(taken);
    }
    // On the disk before the first connect.
    params.boot_epoch = match &config.engine.journal_dir {
        Some(dir) => take_epoch(dir, wall)?,
        None => wall,
    };
    let mut addresses = Addresses::default();
    for venue in &settings.venues {
        addresses.sockets.extend(venue.sockets.iter().cloned());
        addresses.http.push(venue.http.clone());
    }
    for venue in &config.venues {
        addresses.proxies.push(secrets::proxy(venue, &|name| std::env::var(name).ok())?);
    }
    let journal =
        config.engine.journal_dir.as_ref().map(|dir| dir.join(format!("run-{wall}-{}", std::process::id())));
    let board = Board::default();
    // Before anything can trade: a taken port keeps the run from starting.
    let monitor =
        config.engine.metrics_bind.map(|bind| crate::ops::metrics::serve(bind, &board)).transpose()?;
    let options = JournalOptions { keep: Some(config.journal.housekeeping()), ..JournalOptions::default() };
    let started = Instant::now();
    let running = launch(
        Launch {
            config: RunConfig { trading: args.live, params },
            carry,
            addresses,
            credentials,
            trust,
            plan: plan.clone(),
            journal: journal.clone().map(|dir| (dir, options.clone())),
            notes: BTreeMap::from([
                ("command".to_owned(), "run".to_owned()),
                ("mode".to_owned(), mode.to_owned()),
                ("profile".to_owned(), plan.to_string()),
            ]),
            orders: if args.live { Orders::Live } else { Orders::Paper },
            rehearse: true,
            write_ahead: config.engine.write_ahead,
        },
        &board,
    )?;
    if args.resume {
        running.command(Command::Resume);
    }
    tell!("{mode} run on {plan}; Ctrl-C ends it in order");
    watch(args, &running, signals, started);
    close(&running, signals);
    let finished = running.end();
    drop((monitor, lock));
    let view = board.read().clone();
    Ok(report(mode, started.elapsed().as_secs_f64(), journal.as_deref(), finished, &view))
}

/// Settings and credentials, or why not.
///
/// # Errors
/// Every finding, a line each.
pub fn prepare(
    config: &Config,
    live: bool,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<(Settings, Vec<Option<Credentials>>), CliError> {
    let mut findings = Vec::new();
    let mut credentials = Vec::new();
    for venue in &config.venues {
        // On paper no secret is even read.
        credentials.push(match live.then(|| secrets::load(venue, lookup)) {
            Some(Ok(found)) => Some(found),
            Some(Err(missing)) => {
                findings.push(missing);
                None
            }
            None => None,
        });
    }
    match config.settings(live) {
        Ok(settings) if findings.is_empty() => Ok((settings, credentials)),
        outcome => {
            let mut all = outcome.err().unwrap_or_default();
            all.append(&mut findings);
            let what = if live { "the live run is refused" } else { "the configuration cannot be used" };
            Err(CliError::Argument(format!("{what}:\n  {}", all.join("\n  "))))
        }
    }
}

/// A line a second, and new notes, until the time is over, Ctrl-C, or a failure.
#[allow(clippy::disallowed_methods)] // the main thread has nothing to do between two lines
fn watch(args: &RunArgs, running: &Running, signals: &Signals, started: Instant) {
    let mut next_line = 1;
    let mut shown: Vec<String> = Vec::new();
    loop {
        let elapsed = started.elapsed();
        let over = args.duration.is_some_and(|limit| elapsed >= limit);
        signals.heed_kill(running);
        if over || signals.stop.load(Ordering::Acquire) || running.failure().is_some() {
            return;
        }
        if elapsed.as_secs() >= next_line {
            next_line = elapsed.as_secs() + 1;
            let view = running.board().read();
            let text = line(elapsed.as_secs(), &view);
            let mut notes: Vec<String> = view.findings.iter().map(ToString::to_string).collect();
            notes.extend(view.drift.iter().map(|finding| sentence(finding, &view.names)));
            notes.extend_from_slice(&view.notes);
            drop(view);
            for note in notes.iter().filter(|note| !shown.contains(note)) {
                tell!("note: {note}");
            }
            shown = notes;
            tell!("{text}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn report(
    mode: &str,
    seconds: f64,
    journal: Option<&std::path::Path>,
    finished: Finished,
    view: &View,
) -> RunReport {
    let mut failure = finished.failure;
    let mut text = String::new();
    let mut counts = view.counts;
    let mut recorded = "nothing was recorded".to_owned();
    match finished.keeper {
        Some(mut keeper) => {
            counts = *keeper.watch().counts();
            if let Some(recorder) = keeper.into_parts().0 {
                let (records, bytes) = recorder.totals();
                let dir = journal.map_or_else(String::new, |dir| dir.display().to_string());
                recorded = format!("journal {dir}: {records} records, {bytes} bytes");
                if let Err(broken) = recorder.close() {
                    failure.get_or_insert(broken.to_string());
                }
            }
        }
        None => {
            failure.get_or_insert("the recording thread has died".to_owned());
        }
    }
    let totals = view.totals;
    let open = view.trades_open > 0 || view.open_orders > 0;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n{mode} run of {seconds:.1} s");
    let _ = writeln!(
        text,
        "frames {}, intents {}, orders {}, fills {}, misses {}",
        counts.frames, counts.intents, counts.orders_sent, counts.fills, counts.misses
    );
    let _ = writeln!(
        text,
        "trades opened {}, closed {}; denied {}, refused {}, rejected {}, unknown {}",
        counts.trades_opened,
        counts.trades_closed,
        counts.denials,
        counts.refused,
        counts.rejects,
        counts.unknown
    );
    let _ = writeln!(
        text,
        "profit and loss: realised {}, unrealised {}, fees {}, funding {}, net {}",
        totals.realised,
        totals.unrealised,
        totals.fees,
        totals.funding,
        totals.net()
    );
    let _ = writeln!(text, "{recorded}");
    for finding in &view.findings {
        let _ = writeln!(text, "finding: {finding}");
    }
    for finding in &view.drift {
        let _ = writeln!(text, "{} ({} times)", sentence(finding, &view.names), finding.count);
    }
    for note in &view.notes {
        let _ = writeln!(text, "note: {note}");
    }
    if open {
        let _ = writeln!(
            text,
            "STILL OPEN: {} trade(s), {} order(s): check the accounts at the venues",
            view.trades_open, view.open_orders
        );
    }
    if let Some(failure) = &failure {
        let _ = writeln!(text, "FAILED: {failure}");
    }
    RunReport { text, failed: failure.is_some() || open }
}

#[cfg(test)]
mod tests;
