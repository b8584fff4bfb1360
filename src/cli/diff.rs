//! `perpring diff`: what differs between two journals, or between a journal and a replay of its inputs.

use super::alter::{set, settings_of};
use super::progress::ProgressBar;
use super::source::Source;
use super::{CliError, Failure};
use crate::domain::event::Seq;
use crate::replay::diff::{Against, diff};
use crate::replay::source::{RunConfig, read_config};
use crate::replay::whatif::params::arranged;
use clap::Args;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Arguments of `diff`.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// Directory of a journal, or the file of a bundle; nothing in it is changed.
    pub a: PathBuf,
    /// Another one. Without it, and without any of the options: a replay by this program.
    #[arg(conflicts_with_all = ["config", "set", "binary"])]
    pub b: Option<PathBuf>,
    /// A replay with this configuration (as for `run`; venues, instruments and connections must be the recorded ones).
    #[arg(long, value_name = "FILE", conflicts_with = "binary")]
    pub config: Option<PathBuf>,
    /// A replay with this parameter changed, such as scan.threshold_ppb=300000; may stand several times.
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "binary")]
    pub set: Vec<String>,
    /// A replay by another perpring program: by its `replay DIR --outputs OUT`.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command: 0 identical, 1 different.
pub fn run(args: &DiffArgs) -> Result<u8, Failure> {
    let a = Source::open(&args.a)?;
    let b = args.b.as_deref().map(Source::open).transpose()?;
    let (_, _, recorded) = read_config(a.dir())?;
    // Kept until the end: it removes the outputs of the other program.
    let mut scratch = None;
    let against = match (&b, &args.binary) {
        (Some(of), _) => Against::Journal(of.dir().to_owned()),
        (None, Some(program)) => {
            let dir = scratch.insert(Scratch::new());
            outputs_of(program, a.dir(), &dir.0)?;
            let (program, name) = (program.clone(), format!("a replay by {}", program.display()));
            let (journal, file) = (a.dir().to_owned(), dir.0.join("state.json"));
            let ask = move |seq| state_of(&program, &journal, seq, &file);
            Against::Outputs(dir.0.clone(), name, Some(Box::new(ask)))
        }
        (None, None) => replay_with(args, &recorded)?,
    };
    let bar = ProgressBar::over(a.dir());
    let report = diff(a.dir(), &against, &mut |seq| bar.input(seq, "compared"))?;
    drop(bar);
    match args.json {
        true => say!("{}", serde_json::to_string_pretty(&report)?)?,
        false => say!("{report}")?,
    }
    Ok(u8::from(!report.identical))
}

/// The outputs of another program, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("perpring-diff-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is in the directory for such things: what cannot be removed is not lost.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Lets another program write what it makes of the recorded inputs.
fn outputs_of(program: &Path, journal: &Path, out: &Path) -> Result<(), Failure> {
    tell!("{} replays {}", program.display(), journal.display());
    ask(program, journal, &[OsStr::new("--outputs"), out.as_os_str()])
        .map_err(|why| CliError::Argument(why).into())
}

/// Lets another program write its state after an input.
fn state_of(program: &Path, journal: &Path, seq: Seq, file: &Path) -> Result<String, String> {
    let seq = seq.0.to_string();
    tell!("{} is asked for its state after input {seq}", program.display());
    let place = ["--from", &seq, "--to", &seq, "--state"].map(OsStr::new);
    ask(program, journal, &[&place[..], &[file.as_os_str()]].concat())?;
    // It writes a new file each time.
    let told = std::fs::read_to_string(file).and_then(|told| std::fs::remove_file(file).map(|()| told));
    told.map_err(|why| format!("{}: {why}", file.display()))
}

/// Runs `program replay JOURNAL` with these options.
fn ask(program: &Path, journal: &Path, options: &[&OsStr]) -> Result<(), String> {
    let output = Command::new(program)
        .arg("replay")
        .arg(journal)
        .args(options)
        .stdin(Stdio::null())
        .output()
        .map_err(|why| format!("cannot run {}: {why}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // clap says what is wrong in its first line, and how to get help in its last.
    let said = said.lines().find(|line| line.starts_with("error: ")).or(said.lines().last());
    Err(format!(
        "{} could not replay {} ({}): {}",
        program.display(),
        journal.display(),
        output.status,
        said.unwrap_or("it said nothing")
    ))
}

fn replay_with(args: &DiffArgs, recorded: &RunConfig) -> Result<Against, Failure> {
    if args.config.is_none() && args.set.is_empty() {
        return Ok(Against::Replay(None, "a replay by this program".to_owned()));
    }
    let mut config = recorded.clone();
    if let Some(file) = &args.config {
        let live = recorded.params.paper.is_none();
        config.params = arranged(&recorded.params, settings_of(file, live)?.params);
        // The ids of the recorded orders.
        config.params.boot_epoch = recorded.params.boot_epoch;
    }
    for change in &args.set {
        config = set(&config, change)?;
    }
    let name = args.config.as_ref().map_or_else(String::new, |file| format!(" {}", file.display()));
    let name = format!("a replay with{name} {}", args.set.join(" "));
    Ok(Against::Replay(Some(Box::new(config)), name.trim_end().to_owned()))
}
