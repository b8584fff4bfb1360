//! `perpring bundle`: cuts a stretch out of a run, to be replayed anywhere. `perpring replay FILE` takes it from there.

use super::progress::ProgressBar;
use super::source::Source;
use super::{CliError, Failure};
use crate::domain::time::{Nanos, SECOND};
use crate::replay::bundle::expect::Expect;
use crate::replay::bundle::file::Bundle;
use crate::replay::bundle::judge::{Verdict, judge_told};
use crate::replay::bundle::write::{Around, Request, write};
use crate::replay::bundle::{BundleError, member};
use crate::replay::place::duration;
use crate::replay::why::{Reach, WhyError, reach};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `bundle`.
#[derive(Args, Debug)]
pub struct BundleArgs {
    /// Directory of the journal, or the file of a bundle.
    pub dir: PathBuf,
    /// An order or a trade as `why` takes it (32 hex digits, `2a`, `trade:7`, `okx:3125`), or a place: the number of an input, a time, +12.5s.
    #[arg(long, value_name = "ORDER|TRADE|PLACE")]
    pub around: String,
    /// Length of the stretch: half of it before, half after.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub window: Nanos,
    /// Time before, in place of half the window.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub before: Option<Nanos>,
    /// Time after, in place of half the window.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub after: Option<Nanos>,
    /// The file to write; must not exist.
    #[arg(short, long, value_name = "FILE.ppz")]
    pub out: PathBuf,
    /// What must hold when it is replayed (TOML); without it, limits and hedges.
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,
    /// What somebody should know who opens it (Markdown).
    #[arg(long, value_name = "FILE")]
    pub notes: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

fn time(text: &str) -> Result<Nanos, String> {
    duration(text).ok_or_else(|| format!("{text} is no time: write it as 30s, 250ms or 2m"))
}

/// A place, or an order or a trade that the run knows.
fn around(dir: &Path, said: &str) -> Result<Around, Failure> {
    let no_place = match said.parse() {
        Ok(around) => return Ok(around),
        Err(why) => why,
    };
    let bar = ProgressBar::over(dir);
    let found = reach(dir, said, &mut |seq| bar.input(seq, "looked for it"));
    match found {
        Ok(Reach::Order(id)) => Ok(Around::Order(id)),
        Ok(Reach::Inputs(ends)) => Ok(Around::Inputs(ends)),
        Err(why @ (WhyError::Unknown { .. } | WhyError::Venue { .. })) => {
            Err(CliError::Argument(format!("{no_place}. {why}")).into())
        }
        Err(why) => Err(why.into()),
    }
}

/// Runs the command: 0 the bundle gives the recorded outputs again, 1 it does not (and is written), 2 it cannot be written.
pub fn run(args: &BundleArgs) -> Result<u8, Failure> {
    let read = |path: &PathBuf| {
        fs::read_to_string(path).map_err(|source| CliError::Read { path: path.clone(), source })
    };
    let expect = args.expect.as_ref().map(read).transpose()?;
    if let (Some(text), Some(path)) = (&expect, &args.expect) {
        Expect::parse(text).map_err(|why| CliError::Argument(format!("{}: {why}", path.display())))?;
    }
    let usual = || format!("# {}\n\nWhat happened, what was expected, what was found out.\n", args.around);
    let notes = args.notes.as_ref().map(read).transpose()?.unwrap_or_else(usual);
    let source = Source::open(&args.dir)?;
    let around = around(source.dir(), &args.around)?;
    let request = Request {
        dir: source.dir(),
        around,
        said: &args.around,
        before: args.before.unwrap_or(args.window / 2),
        after: args.after.unwrap_or(args.window / 2),
        out: &args.out,
        expect,
        notes,
    };
    let bar = ProgressBar::over(source.dir());
    let written = write(&request, &mut |seq| bar.input(seq, "gone there"))?;
    drop(bar);
    let about = &written.about;
    if args.json {
        say!("{}", json!({ "bundle": about, "bytes": written.bytes, "replay": written.verdict }))?;
    } else {
        say!(
            "{}: inputs {} to {}, {} to {}, {:.1} s, {} bytes",
            args.out.display(),
            about.first,
            about.last,
            about.from,
            about.to,
            (request.before + request.after) as f64 / SECOND as f64,
            written.bytes
        )?;
        for (name, count) in by_name(&about.blanked) {
            say!("blanked, as it looks like a secret: {name}, {count} times (bundle.toml names the inputs)")?;
        }
        match &written.verdict.divergence {
            None => say!("replayed from its own bytes: identical")?,
            Some(divergence) => say!("replayed from its own bytes: {divergence}")?,
        }
    }
    Ok(u8::from(written.verdict.divergence.is_some()))
}

/// How often a value of each name was blanked.
fn by_name(blanked: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for name in blanked.iter().filter_map(|one| Some(one.split_once(": ")?.1)) {
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// `perpring replay FILE --expect`: 0 all expectations are met, 1 not.
pub fn expect(path: &Path, json: bool) -> Result<u8, Failure> {
    let bundle = Bundle::open(path)?;
    let text = bundle.text(member::EXPECT);
    let nothing = Expect::parse(&text).is_ok_and(|expect| expect.is_empty());
    if nothing {
        let why = "it says nothing: write down what must hold".to_owned();
        return Err(BundleError::Expect { path: path.to_owned(), why }.into());
    }
    let bar = ProgressBar::new();
    let verdict =
        judge_told(&bundle, &mut |done, whole| bar.show(done, whole, &format!("replayed {done} inputs")))?;
    drop(bar);
    if json {
        say!("{}", serde_json::to_string_pretty(&verdict)?)?;
    } else {
        tell_verdict(&verdict)?;
    }
    Ok(u8::from(!verdict.is_met()))
}

fn tell_verdict(verdict: &Verdict) -> Result<(), CliError> {
    if let Some(warning) = verdict.logic.warning() {
        say!("warning: {warning}")?;
    }
    say!("inputs replayed: {}", verdict.inputs)?;
    for outcome in &verdict.outcomes {
        let word = if outcome.met { "met" } else { "NOT MET" };
        say!("{word}: {} ({}): {}", outcome.name, outcome.says, outcome.found)?;
    }
    if let Some(divergence) = &verdict.divergence {
        say!("outputs part from the recorded ones: {divergence}")?;
    }
    Ok(())
}
