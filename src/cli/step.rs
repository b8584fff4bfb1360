//! `perpring step`: the debugger for recorded runs, at a prompt, from a pipe, or with commands as arguments.

mod prompt;

use super::progress::ProgressBar;
use super::source::Source;
use super::{CliError, Failure};
use crate::replay::step::command::{Command, parse};
use crate::replay::step::{Answer, Debugger, Driver, StepError, Stop};
use clap::Args;
use prompt::Prompt;
use serde_json::json;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Arguments of `step`.
#[derive(Args, Debug)]
pub struct StepArgs {
    /// Directory of the journal (or the file of a bundle): of a run that ended, that crashed, or that still writes. Nothing in it is changed.
    pub dir: PathBuf,
    /// Do this and no prompt; may stand several times. `help` lists the commands.
    #[arg(short, long = "command", value_name = "COMMAND")]
    pub commands: Vec<String>,
    /// Answer each command with one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Progress on standard error, and Ctrl-C.
struct Hands {
    dir: PathBuf,
    bar: Option<ProgressBar>,
    stop: Arc<AtomicBool>,
    verb: &'static str,
}

impl Driver for Hands {
    fn progress(&mut self, seq: u64) {
        let bar = self.bar.get_or_insert_with(|| ProgressBar::over(&self.dir));
        bar.input(seq, &format!("Ctrl-C stops here; {}", self.verb));
    }

    fn wants_stop(&mut self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Runs the command: 0 all was done, 1 a run ended without reaching what it was for, 2 a command made no sense.
/// At a prompt nothing of that ends it.
pub fn run(args: &StepArgs) -> Result<u8, Failure> {
    let source = Source::open(&args.dir)?;
    let mut debugger = Debugger::open(source.dir())?;
    let stop = Arc::new(AtomicBool::new(false));
    // A second Ctrl-C before the next command ends the program, whatever it is doing.
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, 130, Arc::clone(&stop))?;
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&stop))?;
    let mut session = Session {
        dir: source.dir().to_owned(),
        debugger: &mut debugger,
        stop,
        json: args.json,
        missed: false,
    };
    if !args.commands.is_empty() {
        for line in &args.commands {
            if !session.line(line)? {
                break;
            }
        }
        return Ok(session.code());
    }
    let mut prompt = match io::stdin().is_terminal() {
        true => Some(Prompt::open(session.debugger.book().clone())?),
        false => None,
    };
    if prompt.is_some() {
        session.line("where")?;
    }
    while let Some(line) = prompt.as_mut().map_or_else(piped, Prompt::line)? {
        match session.line(&line) {
            Ok(true) => {}
            Ok(false) => break,
            // Who sits before it types another one.
            Err(failure) if prompt.is_some() && failure.downcast_ref::<CliError>().is_none() => {
                tell!("{failure}");
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(if prompt.is_some() { 0 } else { session.code() })
}

/// The next line of what is piped in.
fn piped() -> Result<Option<String>, CliError> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    let got = read.map_err(|source| CliError::Read { path: "standard input".into(), source })?;
    Ok((got > 0).then_some(line))
}

struct Session<'a> {
    dir: PathBuf,
    debugger: &'a mut Debugger,
    stop: Arc<AtomicBool>,
    json: bool,
    /// A run ended without reaching what it was for.
    missed: bool,
}

impl Session<'_> {
    /// Does what a line says; false = it was to quit.
    fn line(&mut self, line: &str) -> Result<bool, Failure> {
        let Some(command) = parse(line)? else { return Ok(true) };
        if command == Command::Quit {
            return Ok(false);
        }
        self.stop.store(false, Ordering::Relaxed);
        let verb = if matches!(command, Command::Until(_)) { "running" } else { "passing" };
        let mut hands = Hands { dir: self.dir.clone(), bar: None, stop: Arc::clone(&self.stop), verb };
        let answer = self.debugger.run(&command, &mut hands).map_err(sentence)?;
        drop(hands);
        let goes_for = matches!(command, Command::Until(_) | Command::Goto(_) | Command::Step(_));
        let is_there = command == Command::Goto(None) && answer.stop == Some(Stop::End);
        self.missed |= goes_for && answer.misses() && !is_there;
        self.tell(line.trim(), &answer)?;
        Ok(true)
    }

    fn tell(&self, line: &str, answer: &Answer) -> Result<(), CliError> {
        if self.json {
            let mut object = json!({ "command": line });
            if let (Some(to), Ok(serde_json::Value::Object(from))) =
                (object.as_object_mut(), serde_json::to_value(answer))
            {
                to.extend(from);
            }
            return say!("{object}");
        }
        let width = io::stdout().is_terminal().then(ratatui::crossterm::terminal::size).and_then(Result::ok);
        let text = answer.text(width.map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0));
        let text = text.trim_end();
        if text.is_empty() { Ok(()) } else { say!("{text}") }
    }

    fn code(&self) -> u8 {
        u8::from(self.missed)
    }
}

fn sentence(failure: StepError) -> Failure {
    failure.into()
}
