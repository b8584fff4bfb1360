//! A debugger for recorded runs: goes to a place, steps, runs until an expression holds, and shows the state there.
//!
//! Passes recorded inputs through the stages and looks; changes neither the journal nor the stages. Knows no terminal:
//! commands come as text ([`command`]), answers are data ([`Answer`]). Expressions: [`syntax`] → [`expression`] over
//! the [`quantity`] table.

pub mod command;
pub mod complete;
pub mod expression;
pub mod filter;
pub mod last;
pub mod quantity;
pub mod show;
pub mod syntax;
pub mod table;
pub mod words;

use super::cursor::Cursor;
use super::place::{Place, WallClock};
use super::source::ReplayError;
use crate::domain::calendar;
use crate::domain::event::Seq;
use crate::domain::input::Input;
use crate::domain::instrument::VenueId;
use crate::domain::number::Num;
use crate::domain::time::Nanos;
use crate::stage::decode::ConnInfo;
use command::{COMMANDS, Command};
use expression::{Predicate, Scope, Watch, values};
use filter::{Book, NoSuchName};
use last::Last;
use quantity::{Moment, QUANTITIES};
use serde::Serialize;
use show::{Show, made};
use std::fmt;
use std::path::{Path, PathBuf};
use syntax::ExpressionError;
use table::Table;

/// Inputs between two tellings of progress.
const TELL_EVERY: u64 = 1 << 14;

/// Why a command could not be done. The place is as it was, or where the journal ends.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The journal.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// An expression.
    #[error("{error}\n  {text}\n  {:>width$}", "^", width = error.column)]
    Expression {
        /// As it was written.
        text: String,
        /// What is wrong with it.
        error: ExpressionError,
    },
    /// A name.
    #[error(transparent)]
    Name(#[from] NoSuchName),
    /// A number that nothing has, and the like.
    #[error("{0}")]
    Other(String),
}

/// Who drives the debugger: is told of progress, and may want to stop.
pub trait Driver {
    /// So many inputs have passed; the last one was this.
    fn progress(&mut self, seq: u64);
    /// A long run shall stop where it is.
    fn wants_stop(&mut self) -> bool;
}

/// Waits for whatever comes, and says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patient;

impl Driver for Patient {
    fn progress(&mut self, _seq: u64) {}
    fn wants_stop(&mut self) -> bool {
        false
    }
}

/// Why a run stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// There.
    Reached,
    /// The end of what is recorded (so far).
    End,
    /// What lies behind cannot be read, or is missing.
    Damaged,
    /// The place lies before the first input that is kept: it is there.
    Beginning,
    /// The operator's wish.
    Interrupted,
}

/// Where we are: the last input, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Here {
    /// Number of the input; 0 = before the first one.
    pub seq: u64,
    /// When it was received.
    pub time: String,
    /// The same, ns since the epoch.
    pub wall_ns: Nanos,
    /// Seconds since the first input.
    pub since_s: String,
    /// Its kind.
    pub input: &'static str,
    /// The venue that it came from, where it came from one.
    pub venue: Option<String>,
    /// Events that it made, by kind.
    pub events: Vec<(&'static str, u64)>,
    /// Outputs that it made, by kind.
    pub outputs: Vec<(&'static str, u64)>,
}

/// What a command answers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Answer {
    /// Why a run stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// Where we are, when the command moved or asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<Here>,
    /// What was asked for, and what is watched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
    /// Sentences beside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, made: &[(&str, u64)]) -> fmt::Result {
    let total: u64 = made.iter().map(|(_, count)| count).sum();
    write!(f, " · {total} {what}{}", if total == 1 { "" } else { "s" })?;
    for (at, (kind, count)) in made.iter().enumerate() {
        write!(f, "{}{kind}", if at == 0 { ": " } else { ", " })?;
        if *count > 1 {
            write!(f, " ×{count}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Here {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seq == 0 {
            return f.write_str("before the first input");
        }
        write!(f, "input {} · {} (+{} s) · {}", self.seq, self.time, self.since_s, self.input)?;
        if let Some(venue) = &self.venue {
            write!(f, " of {venue}")?;
        }
        list(f, "event", &self.events)?;
        list(f, "output", &self.outputs)
    }
}

impl Answer {
    /// A run ended without reaching what it was for.
    pub fn misses(&self) -> bool {
        matches!(self.stop, Some(stop) if stop != Stop::Reached)
    }

    /// As text, fitted to a terminal of so many columns; `None` = as wide as it is.
    pub fn text(&self, width: Option<usize>) -> String {
        let mut lines: Vec<String> = match self.stop {
            Some(Stop::End) => vec!["the end of what is recorded".to_owned()],
            Some(Stop::Interrupted) => vec!["stopped".to_owned()],
            Some(Stop::Reached | Stop::Damaged | Stop::Beginning) | None => Vec::new(),
        };
        lines.extend(self.here.as_ref().map(Here::to_string));
        lines.extend(self.notes.iter().cloned());
        let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        text.extend(self.tables.iter().map(|table| table.text(width)));
        text
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(None))
    }
}

/// The venue that an input came from.
pub fn input_venue(conns: &[ConnInfo], input: &Input) -> Option<VenueId> {
    let owner = |conn: crate::domain::input::ConnId| conns.get(conn.index()).map(|info| info.venue);
    match input {
        Input::Frame(meta) => owner(meta.conn),
        Input::ConnUp { conn, .. } | Input::ConnDown { conn, .. } => owner(*conn),
        Input::HttpReply { venue, .. } => Some(*venue),
        Input::Outcome(outcome) | Input::AmendOutcome(outcome) | Input::ReplaceOutcome { outcome, .. } => {
            outcome.order.as_ref().map(|order| order.venue)
        }
        _ => None,
    }
}

/// The debugger at its place.
pub struct Debugger {
    dir: PathBuf,
    cursor: Cursor,
    last: Last,
    book: Book,
    start: Nanos,
    wall: WallClock,
    watches: Vec<Watch>,
    /// Why a run stopped where nothing more can be passed.
    damage: Option<String>,
}

impl Debugger {
    /// Opens a journal: of a run that ended, that crashed, or that still writes. Stands before its first input.
    ///
    /// # Errors
    /// The journal's.
    pub fn open(dir: &Path) -> Result<Self, ReplayError> {
        let mut cursor = Cursor::open(dir)?;
        let book = Book::new(&cursor.config().params);
        // The first input tells when the run began.
        let mut last = Last::default();
        cursor.step(&mut last)?;
        let start = last.at.mono;
        let (dir, wall) = (dir.to_owned(), WallClock::of(dir)?);
        let mut debugger = Self { dir, cursor, last, book, start, wall, watches: Vec::new(), damage: None };
        debugger.begin()?;
        Ok(debugger)
    }

    /// Before the first input.
    fn begin(&mut self) -> Result<(), ReplayError> {
        self.cursor = Cursor::open(&self.dir)?;
        self.last = Last::default();
        Ok(())
    }

    /// The last input, and the stages after it.
    pub fn moment(&self) -> Moment<'_> {
        Moment { parts: self.cursor.parts(), last: &self.last, book: &self.book }
    }

    fn scope(&self) -> Scope<'_> {
        Scope { book: &self.book, start: self.start, epoch: self.cursor.config().params.boot_epoch }
    }

    /// Names of venues and instruments, for whoever completes what is typed.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Does a command; [`Command::Quit`] does nothing here.
    ///
    /// # Errors
    /// [`StepError`].
    pub fn run(&mut self, command: &Command, driver: &mut dyn Driver) -> Result<Answer, StepError> {
        match command {
            Command::Where => Ok(self.stopped(None)),
            Command::Goto(place) => self.goto(*place, driver),
            Command::Step(count) => {
                let to = self.cursor.seq().0.saturating_add(*count);
                self.goto(Some(Place::Seq(Seq(to))), driver)
            }
            Command::Back(count) => {
                let to = self.cursor.seq().0.saturating_sub(*count);
                self.goto(Some(Place::Seq(Seq(to))), driver)
            }
            Command::Until(text) => self.until(text, driver),
            Command::Print(what, names) => {
                let filter = self.book.filter(names)?;
                Ok(Answer { tables: vec![self.show().table(*what, &filter)], ..Answer::default() })
            }
            Command::Show(text) => {
                let watch = self.watch(text)?;
                Ok(Answer { tables: vec![self.watched(&watch)], ..Answer::default() })
            }
            Command::Watch(text) => {
                let watch = self.watch(text)?;
                let tables = vec![self.watched(&watch)];
                self.watches.push(watch);
                Ok(Answer {
                    tables,
                    notes: vec![format!("watch {}", self.watches.len())],
                    ..Answer::default()
                })
            }
            Command::Unwatch(None) => {
                self.watches.clear();
                Ok(Answer::default())
            }
            Command::Unwatch(Some(number)) => {
                match number.checked_sub(1).filter(|at| *at < self.watches.len()) {
                    Some(at) => {
                        self.watches.remove(at);
                        Ok(Answer::default())
                    }
                    None => Err(StepError::Other(format!(
                        "there is no watch {number}; there are {}",
                        self.watches.len()
                    ))),
                }
            }
            Command::Help(about) => Ok(help(about)),
            Command::Quit => Ok(Answer::default()),
        }
    }

    fn show(&self) -> Show<'_> {
        Show { moment: self.moment(), limits: &self.cursor.config().params.risk }
    }

    fn watch(&self, text: &str) -> Result<Watch, StepError> {
        Watch::parse(text, &self.scope())
            .map_err(|error| StepError::Expression { text: text.to_owned(), error })
    }

    fn watched(&self, watch: &Watch) -> Table {
        let show = self.show();
        match watch {
            Watch::Quantity { text, quantity, filter } => {
                show.values(text, &values(quantity, filter, &show.moment))
            }
            Watch::Predicate(predicate) => {
                let mut table = Table::new("values", &["watch", "of", "value"]);
                let holds =
                    predicate.holds(&show.moment).map_or("unknown".to_owned(), |holds| holds.to_string());
                table.rows.push(vec![predicate.text().into(), serde_json::Value::Null, holds.into()]);
                table
            }
        }
    }

    /// Where we are, and what is watched there.
    fn stopped(&self, stop: Option<Stop>) -> Answer {
        let mut notes = Vec::new();
        match stop {
            Some(Stop::Damaged) => notes.extend(self.damage.clone()),
            Some(Stop::Beginning) => {
                let first = self.cursor.begins_after().0 + 1;
                notes.push(format!("what lies before is not kept: the record begins at input {first}"));
            }
            _ => {}
        }
        let tables = self.watches.iter().map(|watch| self.watched(watch)).collect();
        Answer { stop, here: Some(self.here()), tables, notes }
    }

    fn here(&self) -> Here {
        let last = &self.last;
        let [events, outputs] = made(last);
        let input = last.input.as_ref().map(|(input, _)| input);
        let venue = input.and_then(|input| input_venue(&self.cursor.parts().conns, input));
        let at = self.wall.at(last.at);
        Here {
            seq: last.seq.0,
            time: calendar::shown(at.wall),
            wall_ns: at.wall,
            since_s: Num::new(last.at.mono.saturating_sub(self.start), 9).to_string(),
            input: input.map_or("nothing", words::input),
            venue: venue.map(|venue| self.book.names.venue(venue).to_owned()),
            events,
            outputs,
        }
    }

    /// `None` = the end, where a place behind it leads, too.
    fn goto(&mut self, place: Option<Place>, driver: &mut dyn Driver) -> Result<Answer, StepError> {
        let to = match place {
            Some(Place::Seq(seq)) => Some(seq),
            Some(place) => match place.first(&mut self.cursor) {
                Err(ReplayError::Journal(_) | ReplayError::Record { .. }) => None, // told when it is met
                found => found?,
            },
            None => None,
        };
        let begins = self.cursor.begins_after();
        let stop = match to {
            Some(to) if to == Seq(0) || to == begins => {
                self.begin()?;
                Stop::Reached
            }
            // Input 1 is the beginning of whatever is there.
            Some(to) if to < begins && to != Seq(1) => {
                self.goto_seq(begins.0 + 1, driver)?;
                Stop::Beginning
            }
            Some(to) => self.goto_seq(to.0, driver)?,
            None => self.pass_until(driver, &mut |_| false)?,
        };
        Ok(self.stopped(Some(stop)))
    }

    /// To the place after input `to`, which is seen; or to the end if that is earlier.
    fn goto_seq(&mut self, to: u64, driver: &mut dyn Driver) -> Result<Stop, StepError> {
        if to <= self.cursor.seq().0 || to - self.cursor.seq().0 > TELL_EVERY {
            let sought = self.cursor.seek(Seq(to - 1), &mut (), &mut |seq| driver.progress(seq.0));
            if let Err(why) = sought {
                return self.broken(why, driver);
            }
        }
        self.pass_until(driver, &mut |debugger| debugger.last.seq.0 >= to)
    }

    /// Stands on the last input that was passed, and has seen it.
    fn see_last(&mut self, driver: &mut dyn Driver) -> Result<(), ReplayError> {
        let end = self.cursor.seq();
        if end != self.last.seq && end > self.cursor.begins_after() {
            // It was passed unseen on the way.
            self.cursor.seek(Seq(end.0 - 1), &mut (), &mut |seq| driver.progress(seq.0))?;
            self.cursor.step(&mut self.last)?;
        }
        Ok(())
    }

    /// The record cannot be read on: stops at the last input that could be.
    fn broken(&mut self, why: ReplayError, driver: &mut dyn Driver) -> Result<Stop, StepError> {
        let is_damage = matches!(why, ReplayError::Journal(_) | ReplayError::Record { .. });
        if !is_damage || self.cursor.seq() == self.cursor.begins_after() {
            return Err(why.into());
        }
        self.damage =
            Some(format!("the record cannot be read on behind input {}: {why}", self.cursor.seq().0));
        self.see_last(driver)?;
        Ok(Stop::Damaged)
    }

    /// Passes inputs, one at least, until `reached`.
    fn pass_until(
        &mut self,
        driver: &mut dyn Driver,
        reached: &mut dyn FnMut(&Self) -> bool,
    ) -> Result<Stop, StepError> {
        loop {
            match self.cursor.step(&mut self.last) {
                Ok(true) => {}
                Ok(false) => {
                    let missing = |(expected, found)| {
                        format!("input {expected} is missing; {found} follows, and is not passed")
                    };
                    self.damage = self.cursor.hole().map(missing);
                    self.see_last(driver)?;
                    return Ok(if self.damage.is_some() { Stop::Damaged } else { Stop::End });
                }
                Err(why) => return self.broken(why, driver),
            }
            if reached(self) {
                return Ok(Stop::Reached);
            }
            if driver.wants_stop() {
                return Ok(Stop::Interrupted);
            }
            if self.last.seq.0.is_multiple_of(TELL_EVERY) {
                driver.progress(self.last.seq.0);
            }
        }
    }

    fn until(&mut self, text: &str, driver: &mut dyn Driver) -> Result<Answer, StepError> {
        let wrong = |error| StepError::Expression { text: text.to_owned(), error };
        let predicate = Predicate::parse(text, &self.scope()).map_err(wrong)?;
        let stop =
            self.pass_until(driver, &mut |debugger| predicate.holds(&debugger.moment()) == Some(true))?;
        let mut answer = self.stopped(Some(stop));
        if stop == Stop::Reached {
            let show = self.show();
            answer.tables.push(show.found(&predicate.found(&show.moment)));
        }
        Ok(answer)
    }
}

fn help(about: &str) -> Answer {
    if !about.is_empty() && "quantities".starts_with(about) {
        let mut table = Table::new("quantities", &["quantity", "of", "what"]);
        for quantity in QUANTITIES {
            table.rows.push(vec![quantity.name.into(), quantity.subject.name().into(), quantity.what.into()]);
        }
        let rules = "Compare with ==, !=, <, <=, >, >=; join with and, or, not and parentheses; choose with [names], as in \
                     position[okx] != 0 or edge_bps[BTC okx>binance] > 8. An expression holds when it does for some listing, \
                     direction, event, … that it speaks of.";
        return Answer { tables: vec![table], notes: vec![rules.to_owned()], ..Answer::default() };
    }
    let mut table = Table::new("commands", &["command", "example", "what"]);
    for (usage, what, example) in COMMANDS {
        table.rows.push(vec![(*usage).into(), (*example).into(), (*what).into()]);
    }
    Answer { tables: vec![table], ..Answer::default() }
}
