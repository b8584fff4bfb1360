//! Replays a part of a run and tells whether what is expected of it holds.
//!
//! Looked at is what *this* program makes of the recorded inputs. Where its outputs part from the recorded ones, the inputs
//! behind answer to what was sent then: statements go on being looked at, the checker's rules do not count there any more.

use super::expect::{Counted, Expect, Spot, Statement, What, Window};
use super::file::Bundle;
use super::{BundleError, member, records};
use crate::domain::calendar;
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, EventBody, Seq};
use crate::domain::input::{InputClass, RawInput};
use crate::domain::intent::{BasketKind, Denial, Intent, NearMiss};
use crate::domain::order::ClientId;
use crate::domain::output::OutputKey;
use crate::domain::time::Stamp;
use crate::replay::check::{CheckLimits, Checker, Violation};
use crate::replay::cursor::{Build, Cursor};
use crate::replay::divergence::Divergence;
use crate::replay::source::{Inputs, ReplayError};
use crate::replay::step::expression::Scope;
use crate::replay::step::filter::Book;
use crate::replay::step::last::Last;
use crate::replay::step::quantity::Moment;
use crate::replay::verify::{Comparer, Logic, Report, comparer_behind};
use crate::stage::river::{Parts, Tap};
use serde::Serialize;
use std::path::Path;

/// What became of one expectation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// What it says.
    pub says: String,
    /// It holds.
    pub met: bool,
    /// Where it was broken, or what was found.
    pub found: String,
}

/// What a replay of a bundle came to.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Inputs replayed.
    pub inputs: u64,
    /// Every expectation.
    pub outcomes: Vec<Outcome>,
    /// Where outputs first differ from the recorded ones.
    pub divergence: Option<Divergence>,
    /// Rules that the checker found broken up to there.
    pub violations: Vec<Violation>,
    /// Whose rules recorded and whose replayed it.
    pub logic: Logic,
    /// Whether trades left something over at the end.
    pub is_hedged: bool,
}

impl Verdict {
    /// Everything holds.
    pub fn is_met(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.met)
    }
}

/// Replays `bundle` and looks whether what it expects holds.
///
/// # Errors
/// It cannot be read.
pub fn judge(bundle: &Bundle) -> Result<Verdict, BundleError> {
    judge_built(bundle, Box::new(|config| Parts::new(&config.params, config.trading)))
}

/// The same with stages that `build` makes (tests plant faults this way).
pub fn judge_built(bundle: &Bundle, build: Build) -> Result<Verdict, BundleError> {
    let unpacked = bundle.unpack()?;
    let checker = checker(bundle)?;
    let text = bundle.text(member::EXPECT);
    Judge::open(unpacked.dir(), &text, checker, build)
        .map_err(|why| match why {
            Wrong::Replay(why) => why.into(),
            Wrong::Expect(why) => BundleError::Expect { path: bundle.path.clone(), why },
        })?
        .run()
        .map_err(Into::into)
}

/// The independent checker as it was before the first input.
fn checker(bundle: &Bundle) -> Result<Option<Checker>, BundleError> {
    let Some(packed) = bundle.get(member::CHECKER) else { return Ok(None) };
    let read = records::grow(packed).map_err(|why| why.to_string());
    let read = read.and_then(|text| serde_json::from_slice(&text).map_err(|why| why.to_string()));
    read.map(Some).map_err(|why| BundleError::Unfit {
        path: bundle.path.clone(),
        why: format!("its member {} cannot be read by this version: {why}", member::CHECKER),
    })
}

enum Wrong {
    Replay(ReplayError),
    Expect(String),
}

impl From<ReplayError> for Wrong {
    fn from(failure: ReplayError) -> Self {
        Self::Replay(failure)
    }
}

/// A statement on its way.
struct Watched {
    statement: Statement,
    /// Numbers of the first and the last input at which it is looked at.
    window: (u64, u64),
    held: bool,
    /// Where it was broken.
    broken: Option<String>,
}

struct Judge {
    cursor: Cursor,
    book: Book,
    seen: Seen,
    watched: Vec<Watched>,
    expect: Expect,
}

impl Judge {
    fn open(dir: &Path, text: &str, checker: Option<Checker>, build: Build) -> Result<Self, Wrong> {
        let mut cursor = Cursor::open_built(dir, None, build)?;
        cursor.snapshots().set_spacing(0);
        let (mut start, mut last, mut inputs) = (None, 0, Inputs::open(dir)?);
        while let Some((seq, raw)) = inputs.next()? {
            start.get_or_insert(raw.mono);
            last = seq.0;
        }
        let params = &cursor.config().params;
        let book = Book::new(params);
        let limits = CheckLimits::of(params);
        let checker = match checker {
            Some(checker) => checker.under(limits),
            None => Checker::new(limits),
        };
        let scope = Scope { book: &book, start: start.unwrap_or(0), epoch: params.boot_epoch };
        let expect = Expect::parse(text).map_err(Wrong::Expect)?;
        let statements = expect.statements(text, &scope).map_err(Wrong::Expect)?;
        let mut watched = Vec::new();
        for statement in statements {
            let window = resolve(statement.window, &mut cursor, last)?;
            watched.push(Watched { statement, window, held: false, broken: None });
        }
        let comparer = match comparer_behind(&cursor)? {
            Ok(comparer) => comparer,
            Err(report) => {
                let why = report.divergence.map_or(String::new(), |divergence| divergence.to_string());
                return Err(Wrong::Replay(ReplayError::Part { dir: dir.to_owned(), why }));
            }
        };
        let seen = Seen { last: Last::default(), comparer, checker, counts: [0; Counted::ALL.len()] };
        Ok(Self { cursor, book, seen, watched, expect })
    }

    fn run(mut self) -> Result<Verdict, ReplayError> {
        let mut counting = true;
        let mut violations = Vec::new();
        while self.cursor.step(&mut self.seen)? {
            if counting {
                let found = &self.seen.checker.so_far().first;
                violations.extend(found.iter().skip(violations.len()).cloned());
                counting = !self.seen.comparer.is_over();
            }
            let moment = Moment { parts: self.cursor.parts(), last: &self.seen.last, book: &self.book };
            let seq = self.seen.last.seq.0;
            for watched in &mut self.watched {
                if (watched.window.0..=watched.window.1).contains(&seq) {
                    watched.look(&moment);
                }
            }
        }
        let moment = Moment { parts: self.cursor.parts(), last: &self.seen.last, book: &self.book };
        let is_hedged = moment.parts.scan.scanner().residuals().next().is_none();
        let hole = self.cursor.hole();
        let Seen { comparer, counts, .. } = self.seen;
        let report = comparer.into_report(hole)?;
        let mut outcomes = general(&self.expect, &violations, report.divergence.as_ref());
        outcomes.extend(self.watched.into_iter().map(|watched| watched.outcome(&counts)));
        let Report { inputs, divergence, logic, .. } = report;
        Ok(Verdict { inputs, outcomes, divergence, violations, logic, is_hedged })
    }
}

/// The numbers of the inputs between which a statement is looked at.
fn resolve(window: Window, cursor: &mut Cursor, last: u64) -> Result<(u64, u64), ReplayError> {
    let mut number = |spot: Option<Spot>, none: u64| -> Result<u64, ReplayError> {
        match spot {
            None => Ok(none),
            Some(Spot::End) => Ok(last),
            // A place behind the end is the end.
            Some(Spot::Place(place)) => Ok(place.first(cursor)?.map_or(last, |seq| seq.0.min(last))),
        }
    };
    Ok((number(window.from, 0)?, number(window.until, u64::MAX)?))
}

/// What is expected beside the statements.
fn general(expect: &Expect, violations: &[Violation], divergence: Option<&Divergence>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    if let Some(wanted) = expect.violations {
        let first = violations.first().map_or(String::new(), |first| format!("; the first: {first}"));
        outcomes.push(Outcome {
            name: "limits and orders (independent checker)".to_owned(),
            says: format!("violations = {wanted}"),
            met: violations.len() as u64 == wanted,
            found: format!("{} violations{first}", violations.len()),
        });
    }
    if let Some(wanted) = expect.identical {
        outcomes.push(Outcome {
            name: "outputs as recorded".to_owned(),
            says: format!("identical = {wanted}"),
            met: divergence.is_none() == wanted,
            found: divergence.map_or("identical".to_owned(), ToString::to_string),
        });
    }
    outcomes
}

impl Watched {
    fn look(&mut self, moment: &Moment<'_>) {
        let (predicate, breaks) = match &self.statement.what {
            What::Always(predicate) => (predicate, Some(false)),
            What::Never(predicate) => (predicate, Some(true)),
            What::Eventually(predicate) => (predicate, None),
            What::Count(..) => return,
        };
        let holds = predicate.holds(moment);
        self.held |= holds == Some(true);
        if self.broken.is_none() && breaks.is_some() && holds == breaks {
            let last = moment.last;
            self.broken = Some(format!("input {}, {}", last.seq.0, calendar::shown(last.at.wall)));
        }
    }

    fn outcome(self, counts: &[u64; Counted::ALL.len()]) -> Outcome {
        let (met, found) = match (&self.statement.what, self.broken) {
            (What::Count(counted, comparison, wanted), _) => {
                let count = counts[*counted as usize];
                (comparison.holds(count, *wanted), format!("{count} counted"))
            }
            (_, Some(place)) => (false, format!("broken at {place}")),
            (What::Never(_), None) => (true, "never".to_owned()),
            (_, None) if self.held => (true, "holds".to_owned()),
            (_, None) => (false, "it was never known to hold".to_owned()),
        };
        Outcome { name: self.statement.name, says: self.statement.text, met, found }
    }
}

/// Sees what passes: for statements, counts, the comparison and the checker.
struct Seen {
    last: Last,
    comparer: Comparer,
    checker: Checker,
    counts: [u64; Counted::ALL.len()],
}

impl Seen {
    fn count(&mut self, what: Counted) {
        self.counts[what as usize] += 1;
    }
}

impl Tap for Seen {
    fn input(&mut self, seq: Seq, at: Stamp, class: InputClass, raw: &RawInput<'_>) {
        self.count(Counted::Inputs);
        self.last.input(seq, at, class, raw);
        self.comparer.input(seq, at, class, raw);
        self.checker.input(seq, at, class, raw);
    }

    fn event(&mut self, event: &Event) {
        if let EventBody::Order(update) = &event.body
            && update.fill_qty.0 > 0
        {
            self.count(if update.client_id == ClientId::NONE { Counted::Foreign } else { Counted::Fills });
        }
        self.last.event(event);
        self.comparer.event(event);
        self.checker.event(event);
    }

    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        self.count(Counted::Intents);
        self.last.intent(key, intent);
        self.comparer.intent(key, intent);
        self.checker.intent(key, intent);
    }

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.count(Counted::Approved);
        if matches!(intent, Intent::Basket(basket) if basket.kind == BasketKind::Entry) {
            self.count(Counted::Entries);
        }
        self.last.approved(key, intent);
        self.comparer.approved(key, intent);
        self.checker.approved(key, intent);
    }

    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        self.count(Counted::Denials);
        self.last.denied(key, denial);
        self.comparer.denied(key, denial);
        self.checker.denied(key, denial);
    }

    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        self.count(Counted::Messages);
        if message.meta.order.is_some() && !message.meta.amends {
            self.count(Counted::Orders);
        }
        self.last.message(key, message);
        self.comparer.message(key, message);
        self.checker.message(key, message);
    }

    fn near_miss(&mut self, key: OutputKey, near: &NearMiss) {
        self.last.near_miss(key, near);
        self.comparer.near_miss(key, near);
    }

    fn state(&mut self, key: OutputKey, hash: u64) {
        self.last.state(key, hash);
        self.comparer.state(key, hash);
    }

    fn end(&mut self, seq: Seq) {
        self.last.end(seq);
        self.comparer.end(seq);
    }
}
