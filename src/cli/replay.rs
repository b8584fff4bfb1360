//! `perpring replay`: passes a journal through the engine again and compares every output.

use super::Failure;
use super::progress::ProgressBar;
use crate::replay::outputs::record_outputs;
use crate::runtime::idle::IdleMode;
use crate::topology::replayed::verify_on;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// Directory of the journal.
    pub dir: PathBuf,
    /// Compare every output with the recorded one (exit 1 at the first divergence).
    #[arg(long)]
    pub verify: bool,
    /// Run the stages on the threads of this profile (fused, split, dedicated) or file.
    #[arg(long, value_name = "NAME|FILE", default_value = "fused")]
    pub pinning: String,
    /// How idle threads wait: spin, yield or park.
    #[arg(long, default_value = "yield")]
    pub idle: IdleMode,
    /// Compare nothing; write what this program makes of the recorded inputs to this new directory, as a journal of
    /// outputs alone (what `diff --binary` asks another program for).
    #[arg(long, value_name = "OUT", conflicts_with_all = ["verify", "pinning", "json"])]
    pub outputs: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &ReplayArgs) -> Result<u8, Failure> {
    let bar = ProgressBar::new();
    if let Some(out) = &args.outputs {
        let inputs = record_outputs(&args.dir, out, &mut |inputs| {
            bar.show(0, 0, &format!("replayed {inputs} inputs"));
        })?;
        drop(bar);
        say!("inputs replayed: {inputs}; outputs written to {}", out.display())?;
        return Ok(0);
    }
    let plan = super::demo::plan(Some(&args.pinning), Some(args.idle))?;
    let report = verify_on(&args.dir, &plan, &mut |inputs| {
        bar.show(0, 0, &format!("replayed {inputs} inputs"));
    })?;
    drop(bar);
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        if let Some(warning) = report.logic.warning() {
            say!("warning: {warning}")?;
        }
        say!("inputs replayed: {}", report.inputs)?;
        for (kind, count) in &report.compared {
            say!("compared {kind:>10}: {count}")?;
        }
        if report.unrecorded > 0 {
            say!("outputs beyond the end of the journal (unclean end): {}", report.unrecorded)?;
        }
        if let Some(verdict) = report.verdict() {
            say!("{verdict}")?;
        }
    }
    if !args.verify {
        return Ok(0);
    }
    if report.divergence.is_some() {
        return Ok(1);
    }
    if report.total() == 0 {
        return Err(format!("nothing to compare: {} holds no outputs", args.dir.display()).into());
    }
    Ok(0)
}
