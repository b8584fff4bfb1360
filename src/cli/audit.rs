//! `perpring audit`: proves from a journal, and from the venues' own books, that limits held and that the money adds up.

use super::progress::ProgressBar;
use super::source::Source;
use super::{CliError, Failure};
use crate::replay::audit::{AuditOptions, Instead, Progress, audit};
use clap::Args;
use std::path::{Path, PathBuf};

/// Arguments of `audit`.
#[derive(Args, Debug)]
pub struct AuditArgs {
    /// Directory of the journal (or the file of a bundle): of a run that ended, that crashed, or that still writes; where it does not begin with its run, from there on. Nothing in it is changed.
    pub dir: PathBuf,
    /// The venues' own books, one folder per venue, as `demo --ledger` and `sim --ledger` write them.
    #[arg(long, value_name = "LEDGER_DIR")]
    pub ledger: Option<PathBuf>,
    /// Limits in place of the run's own (TOML; see docs/AUDIT.md).
    #[arg(long, value_name = "FILE")]
    pub limits: Option<PathBuf>,
    /// Journal of the run before, which this one took over from; without it the one that lies beside this one.
    #[arg(long, value_name = "DIR")]
    pub follow: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command: 0 clean, 1 something was found.
pub fn run(args: &AuditArgs) -> Result<u8, Failure> {
    let limits = args.limits.as_deref().map_or(Ok(Instead::default()), read_limits)?;
    if let Some(dir) = args.ledger.as_ref().filter(|dir| !dir.is_dir()) {
        return Err(CliError::Argument(format!("--ledger {} is no directory", dir.display())).into());
    }
    if let Some(dir) = args.follow.as_ref().filter(|dir| !dir.is_dir()) {
        return Err(CliError::Argument(format!("--follow {} is no directory", dir.display())).into());
    }
    let options = AuditOptions { limits, ledger: args.ledger.as_deref(), follows: args.follow.as_deref() };
    let source = Source::open(&args.dir)?;
    let bar = ProgressBar::new();
    let report = audit(source.dir(), &options, &mut |Progress { inputs, position, bytes }| {
        bar.show(position, bytes, &format!("{inputs} inputs audited"));
    })?;
    drop(bar);
    match args.json {
        true => say!("{}", serde_json::to_string_pretty(&report)?)?,
        false => say!("{report}")?,
    }
    Ok(u8::from(!report.is_clean()))
}

fn read_limits(path: &Path) -> Result<Instead, Failure> {
    let text =
        std::fs::read_to_string(path).map_err(|source| CliError::Read { path: path.to_owned(), source })?;
    let wrong = |why| CliError::Argument(format!("{}: {why}", path.display()));
    Ok(Instead::parse(&text).map_err(wrong)?)
}
