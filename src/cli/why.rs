//! `perpring why` and `perpring why-not`: the causal chain of an order, and what kept a pair from trading.

mod page;
mod timeline;

use super::progress::ProgressBar;
use super::source::Source;
use super::{CliError, Failure};
use crate::replay::why::{why, why_not};
use clap::Args;
use std::fmt::Display;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// Arguments of `why`.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// Our client id or its last hex digits within the run (`2a`, `order:42`), the venue's order id (`VENUE:ID` where two venues have it), or a trade's number (`trade:7`).
    #[arg(value_name = "ORDER_ID")]
    order: String,
    /// Directory of the journal (or the file of a bundle): of a run that ended, that crashed, or that still writes. Nothing in it is changed.
    dir: PathBuf,
    #[command(flatten)]
    form: Form,
}

/// Arguments of `why-not`.
#[derive(Args, Debug)]
pub struct WhyNotArgs {
    /// The pair, as in `"BTC-USDT binance-usdm/okx"`; venues may be shortened.
    pair: String,
    /// Directory of the journal, or the file of a bundle.
    dir: PathBuf,
    /// The place: a sequence, `+12.5s` since the start, an RFC 3339 time or nanoseconds since 1970.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    at: String,
    #[command(flatten)]
    form: Form,
}

/// How an explanation is shown.
#[derive(Args, Debug)]
struct Form {
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Write a page with a timeline as well, to a file that does not exist; it needs no other file and no script.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Form {
    /// Before the long work: a page is not written over another file.
    fn refuse(&self) -> Result<(), CliError> {
        match &self.html {
            Some(path) if path.symlink_metadata().is_ok() => Err(exists(path)),
            _ => Ok(()),
        }
    }
}

fn exists(path: &Path) -> CliError {
    CliError::Argument(format!("{} exists: name a new file for the page", path.display()))
}

/// Runs `why`.
///
/// # Errors
/// Why there is no explanation.
pub fn run(args: &WhyArgs) -> Result<u8, Failure> {
    args.form.refuse()?;
    let source = Source::open(&args.dir)?;
    let bar = ProgressBar::over(source.dir());
    let told = why(source.dir(), &args.order, &mut |seq| bar.input(seq, "read"))?;
    drop(bar);
    show(&told, &args.form, || page::of_why(&told))
}

/// Runs `why-not`.
///
/// # Errors
/// Why there is no explanation.
pub fn run_not(args: &WhyNotArgs) -> Result<u8, Failure> {
    args.form.refuse()?;
    let source = Source::open(&args.dir)?;
    let bar = ProgressBar::over(source.dir());
    let told = why_not(source.dir(), &args.pair, &args.at, &mut |seq| bar.input(seq, "read"))?;
    drop(bar);
    show(&told, &args.form, || page::of_why_not(&told))
}

fn show(
    told: &(impl Display + serde::Serialize),
    form: &Form,
    page: impl FnOnce() -> String,
) -> Result<u8, Failure> {
    if let Some(path) = &form.html {
        write(path, &page())?;
    }
    match form.json {
        true => say!("{}", serde_json::to_string_pretty(told)?)?,
        false => say!("{told}")?,
    }
    Ok(0)
}

fn write(path: &Path, page: &str) -> Result<(), CliError> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(page.as_bytes()));
    written.map_err(|why| match why.kind() {
        ErrorKind::AlreadyExists => exists(path),
        _ => CliError::Argument(format!("cannot write the page {}: {why}", path.display())),
    })
}
