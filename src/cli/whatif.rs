//! `perpring whatif`: what another configuration would have made of a recorded run.

use super::alter::{set, settings_of};
use super::progress::ProgressBar;
use super::source::Source;
use super::{CliError, Failure, parse_duration};
use crate::config::{Config, written};
use crate::domain::calendar;
use crate::domain::event::Seq;
use crate::domain::params::{EngineParams, PaperParams};
use crate::domain::time::Nanos;
use crate::journal::{Stream, read_mark};
use crate::replay::cursor::Cursor;
use crate::replay::place::Place;
use crate::replay::source::{RunConfig, read_config};
use crate::replay::whatif::params::{ConfigChange, arranged, changes, transplant};
use crate::replay::whatif::{Question, whatif};
use clap::Args;
use std::path::{Path, PathBuf};

/// Longest latency on paper, as in `[paper]`.
const LATENCY_MAX_NS: Nanos = 10_000_000_000;

/// Arguments of `whatif`.
#[derive(Args, Debug)]
pub struct WhatIfArgs {
    /// Directory of the journal, or the file of a bundle.
    pub dir: PathBuf,
    /// The other configuration, as for `run`: its rules, limits and fees count, for the venues and instruments of the run.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// This parameter changed, such as scan.threshold_ppb=300000, in FILE or else in the recorded configuration; may stand
    /// several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Nothing but this: the recorded configuration as a file for --config.
    #[arg(long, conflicts_with_all = ["config", "set", "latency", "from", "to", "json"])]
    pub print_config: bool,
    /// From the egress gate to the imagined matching engine, such as 500us, 0.5ms; without it latency_ms of the paper table.
    #[arg(long, value_name = "TIME", value_parser = latency)]
    pub latency: Option<Nanos>,
    /// From where the new configuration holds and trades count: the number of an input, a time (2026-11-27T13:40:00Z, 13:40:00.5), or +12.5s.
    #[arg(long, value_name = "PLACE")]
    pub from: Option<Place>,
    /// Up to where, said in the same way.
    #[arg(long, value_name = "PLACE")]
    pub to: Option<Place>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Parses `0`, `500us`, or what other times look like.
fn latency(text: &str) -> Result<Nanos, String> {
    let nanos = match text.trim_end_matches(char::is_alphabetic) {
        "0" => Some(0),
        _ => i64::try_from(parse_duration(text)?.as_nanos()).ok(),
    };
    let allowed = nanos.filter(|nanos| (0..=LATENCY_MAX_NS).contains(nanos));
    allowed.ok_or_else(|| format!("`{text}` is no latency that is modelled: give one of 0 to 10s"))
}

/// Runs the command.
pub fn run(args: &WhatIfArgs) -> Result<u8, Failure> {
    let source = Source::open(&args.dir)?;
    let dir = source.dir();
    let (manifest, _, recorded) = read_config(dir)?;
    if args.print_config {
        print_config(&manifest.run_id.to_string(), &recorded)?;
        return Ok(0);
    }
    let (params, mut paper) = asked(args, &recorded)?;
    paper.latency_ns = args.latency.unwrap_or(paper.latency_ns);
    let (from, to) = places(args, dir)?;
    let mark = read_mark(dir, Stream::Inputs, manifest.run_id.0);
    let whole = to.0.min(mark.filter(|mark| mark.closed).map_or(0, |mark| mark.seq));
    let bar = ProgressBar::new();
    let question = Question { params, paper, from, to };
    let report = whatif(dir, &question, &mut |seq, at| {
        bar.show(seq.0, whole, &format!("{}  input {}", calendar::shown(at.wall), seq.0));
    })?;
    drop(bar);
    match args.json {
        true => say!("{}", serde_json::to_string_pretty(&report)?)?,
        false => say!("{}", report.to_string().trim_end())?,
    }
    Ok(0)
}

/// The parameters that are asked about, and how orders are executed on paper.
fn asked(args: &WhatIfArgs, recorded: &RunConfig) -> Result<(EngineParams, PaperParams), Failure> {
    let mut config = recorded.clone();
    if let Some(file) = &args.config {
        let of_file = settings_of(file, false)?.params;
        let params = transplant(&recorded.params, &of_file)
            .map_err(|why| CliError::Argument(format!("{}: {why}", file.display())))?;
        config.params = EngineParams { paper: of_file.paper, ..params };
    }
    for change in &args.set {
        config = set(&config, change)?;
        let refuse = |why: String| CliError::Argument(format!("--set {change}: {why}"));
        let kept = transplant(&recorded.params, &config.params).map_err(refuse)?;
        if let Some(ConfigChange { key, old, .. }) = changes(&kept, &config.params).first() {
            let why = format!(
                "{key} shapes what was heard, and that stays as it was recorded ({old}); scan.*, risk.*, fees, margin, \
                 order budgets and deadlines, allowances and how often legs miss can be changed"
            );
            return Err(refuse(why).into());
        }
        config.params = EngineParams { paper: config.params.paper, ..kept };
    }
    let paper = config.params.paper.unwrap_or_default();
    // Whether the record was on paper is no question.
    Ok((EngineParams { paper: recorded.params.paper, ..config.params }, paper))
}

/// Prints the recorded configuration as a file; what no file can say is named in it.
fn print_config(run: &str, recorded: &RunConfig) -> Result<(), Failure> {
    let text = written(&recorded.params);
    let read = Config::parse("the recorded configuration", &text)?;
    let read = read.for_replay(false).settings(false).map_err(|findings| {
        let why = findings.join("\n  ");
        CliError::Argument(format!("the recorded configuration is none that a file could say:\n  {why}"))
    })?;
    say!("# The configuration of run {run}, for --config of whatif and diff. What a journal does not hold")?;
    say!("# (addresses, credentials, threads, where to record), `run` needs besides.")?;
    let read = arranged(&recorded.params, EngineParams { paper: recorded.params.paper, ..read.params });
    for ConfigChange { key, old, new } in changes(&recorded.params, &read) {
        say!("# Recorded otherwise than a file can say: {key} was {old}, and this file makes it {new}.")?;
    }
    say!("{}", text.trim_end())?;
    Ok(())
}

/// The inputs from which and up to which trades count.
fn places(args: &WhatIfArgs, dir: &Path) -> Result<(Seq, Seq), Failure> {
    let cursor = || Cursor::open(dir);
    let from = match args.from {
        None => Seq(1),
        Some(place) => place.first(&mut cursor()?)?.ok_or_else(|| beyond(&args.dir))?,
    };
    let to = match args.to {
        None => Seq(u64::MAX),
        // A time after the end: all there is.
        Some(place) => place.last(&mut cursor()?)?.unwrap_or(Seq(u64::MAX)),
    };
    if from > to {
        return Err(CliError::Argument("--from lies after --to: no trade could count".to_owned()).into());
    }
    Ok((from, to))
}

fn beyond(dir: &Path) -> CliError {
    CliError::Argument(format!("--from lies after the end of {}: no trade could count", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_units_and_bounds() {
        for (text, nanos) in [
            ("0", 0),
            ("0ms", 0),
            ("500us", 500_000),
            ("0.5ms", 500_000),
            ("1ms", 1_000_000),
            ("10s", LATENCY_MAX_NS),
        ] {
            assert_eq!(latency(text), Ok(nanos), "{text}");
        }
        for bad in ["", "us", "11s", "-1us", "1h", "5"] {
            assert!(latency(bad).is_err(), "{bad}");
        }
    }
}
