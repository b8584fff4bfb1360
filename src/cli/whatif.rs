//! `perpring whatif`: what another configuration would have made of a recorded run.

use super::progress::ProgressBar;
use super::source::Source;
use super::{CliError, Failure, parse_duration};
use crate::config::Config;
use crate::domain::calendar;
use crate::domain::event::Seq;
use crate::domain::time::Nanos;
use crate::journal::{Stream, read_mark};
use crate::replay::cursor::Cursor;
use crate::replay::place::Place;
use crate::replay::source::read_config;
use crate::replay::whatif::params::transplant;
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
    pub config: PathBuf,
    /// From the egress gate to the imagined matching engine, such as 500us, 1ms; without it latency_ms of the paper table.
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
    let nanos = match text.strip_suffix("us").map(str::parse::<i64>) {
        Some(Ok(micros)) => micros.checked_mul(1_000),
        Some(Err(_)) => return Err(format!("`{text}` is not a latency such as 500us or 5ms")),
        None if text.trim_end_matches(char::is_alphabetic) == "0" => Some(0),
        None => i64::try_from(parse_duration(text)?.as_nanos()).ok(),
    };
    let allowed = nanos.filter(|nanos| (0..=LATENCY_MAX_NS).contains(nanos));
    allowed.ok_or_else(|| format!("`{text}` is no latency that is modelled: give one of 0 to 10s"))
}

/// Runs the command.
pub fn run(args: &WhatIfArgs) -> Result<u8, Failure> {
    let source = Source::open(&args.dir)?;
    let dir = source.dir();
    let (manifest, _, recorded) = read_config(dir)?;
    let settings = Config::load(&args.config)?.for_replay(false).settings(false).map_err(|findings| {
        CliError::Argument(format!("{}: {}", args.config.display(), findings.join("; ")))
    })?;
    let params = transplant(&recorded.params, &settings.params)
        .map_err(|why| CliError::Argument(format!("{}: {why}", args.config.display())))?;
    let mut paper = settings.params.paper.unwrap_or_default();
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
        for (text, nanos) in
            [("0", 0), ("0ms", 0), ("500us", 500_000), ("1ms", 1_000_000), ("10s", LATENCY_MAX_NS)]
        {
            assert_eq!(latency(text), Ok(nanos), "{text}");
        }
        for bad in ["", "us", "11s", "-1us", "1h", "1.5ms"] {
            assert!(latency(bad).is_err(), "{bad}");
        }
    }
}
