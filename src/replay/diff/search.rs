//! Where the state of another program parts from the one that this program makes of the same inputs: bisected between two
//! recorded hashes by asking for its state (`replay --state`).
//!
//! Equal is what hashes alike: what it tells is read into stages of this program, so that values that no hash covers (a
//! configuration, a field of another version) count for nothing. A difference that came and went between two places that
//! were asked for is not seen; the input that is found is one that did make them differ.

use super::AskState;
use super::report::Parting;
use super::state::{Course, Kept, Unequal, differing, hash, of_stage, parting};
use crate::domain::event::Seq;
use crate::domain::output::Stage;
use crate::domain::state::State as _;
use crate::replay::outputs::parts;
use crate::replay::part::begins_after;
use crate::replay::source::{ReplayError, RunConfig};
use crate::stage::river::Parts;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::path::Path;

/// Why its state cannot be held against this program's.
const NOT_READ: &str = "this program cannot read the state of the other one";

/// What asking came to.
pub(super) enum Answer<'a> {
    /// The states part at an input; this program stands behind it.
    Found(Parting, Box<Course<'a>>),
    /// They differ in these values before the hash does, and why no more is known.
    Differ(Parting, &'static str),
    /// This program makes what the other one makes, and not what was recorded.
    Alike,
}

/// Why there is no answer.
pub(super) enum Stop {
    /// The journal.
    Replay(ReplayError),
    /// The other program does not tell its state.
    Silent(String),
}

impl From<ReplayError> for Stop {
    fn from(failure: ReplayError) -> Self {
        Self::Replay(failure)
    }
}

/// What this program makes between two hashes.
struct Own<'a> {
    begin: Course<'a>,
    /// The state at the lower end, to return to.
    low: Kept,
    /// The hashes after the lower end and after every input behind it.
    hashes: Vec<Option<u64>>,
}

impl<'a> Own<'a> {
    fn pass(
        mut begin: Course<'a>,
        stage: Stage,
        high: Seq,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, ReplayError> {
        let low = begin.keep()?;
        let mut hashes = vec![begin.hash(stage)];
        for seq in low.seq.0 + 1..=high.0 {
            begin.pass(Seq(seq), progress)?;
            hashes.push(begin.hash(stage));
        }
        Ok(Self { begin, low, hashes })
    }

    fn hash_at(&self, seq: Seq) -> Option<u64> {
        self.hashes.get(usize::try_from(seq.0 - self.low.seq.0).ok()?).copied().flatten()
    }

    /// The state before input `seq`, and the place behind it.
    fn states(&self, seq: Seq, progress: &mut dyn FnMut(u64)) -> Result<(Kept, Course<'a>), ReplayError> {
        let mut course = self.begin.again(&self.low)?;
        course.pass(Seq(seq.0 - 1), progress)?;
        let before = course.keep()?;
        course.pass(seq, progress)?;
        Ok((before, course))
    }
}

/// The other program.
struct Theirs<'a> {
    ask: &'a AskState,
    stage: Stage,
    /// What it tells is read into these.
    parts: Parts,
}

impl Theirs<'_> {
    /// Its stages after an input, as text.
    fn state(&self, seq: Seq) -> Result<String, Stop> {
        let told = (self.ask)(seq).map_err(Stop::Silent)?;
        let fields: BTreeMap<&str, &RawValue> = serde_json::from_str(&told)
            .map_err(|why| Stop::Silent(format!("what it wrote is none: {why}")))?;
        let river = fields.get("river").map(|river| river.get().to_owned());
        river.ok_or_else(|| Stop::Silent("what it wrote is none: it has no `river`".to_owned()))
    }

    /// The hash of the stage in its state; `None` where this program cannot read it.
    fn hash(&mut self, river: &str) -> Option<u64> {
        let text = of_stage(self.stage, river);
        match self.stage {
            Stage::Scan => self.parts.scan.load(text).ok()?,
            Stage::Risk => self.parts.risk.load(text).ok()?,
            Stage::Decode | Stage::Route => return None,
        }
        hash(&self.parts, self.stage)
    }
}

/// Searches between the hashes of `unequal`: some thirteen questions, where a hash was recorded every 4096 inputs.
///
/// # Errors
/// [`Stop`].
pub(super) fn search<'a>(
    dir: &'a Path,
    config: &'a RunConfig,
    unequal: Unequal,
    ask: &AskState,
    progress: &mut dyn FnMut(u64),
) -> Result<Answer<'a>, Stop> {
    let Unequal { stage, equal, at, recorded } = unequal;
    // A hash is of the state before its input.
    let (begin, high) = (begins_after(dir), Seq(at.0.saturating_sub(1)));
    let low = Seq(equal.0.saturating_sub(1)).max(begin);
    if high <= low {
        return Err(Stop::Silent("there is no input before".to_owned()));
    }
    let own = Own::pass(Course::behind(dir, config, low, progress)?, stage, high, progress)?;
    let mut theirs = Theirs { ask, stage, parts: parts(dir, config)? };
    let after = theirs.state(high)?;
    let there = theirs.hash(&after);
    if there.is_some() && there == own.hash_at(high) {
        return Ok(Answer::Alike);
    }
    if there.is_none() || own.hash_at(high) != Some(recorded) {
        let (_, place) = own.states(high, progress)?;
        let found = differing(stage, &place.keep()?.state, &after);
        return Ok(Answer::Differ(
            parting(high, place.time(), found),
            if there.is_none() { NOT_READ } else { super::NOT_MADE_AGAIN },
        ));
    }
    let Bounds { equal, before, at, after } =
        bisect(&own, &mut theirs, Bounds { equal: low, before: None, at: high, after })?;
    let before = match before {
        None if equal > begin => Some(theirs.state(equal)?),
        before => before,
    };
    let (kept, place) = own.states(at, progress)?;
    let mut found = differing(stage, &place.keep()?.state, &after);
    if let Some(before) = before {
        // The configuration, and what no hash covers.
        let known = differing(stage, &kept.state, &before);
        found.retain(|one| !known.contains(one));
    }
    Ok(Answer::Found(parting(at, place.time(), found), Box::new(place)))
}

/// A place at which the states are equal and a later one at which they differ, with the other program's states there.
struct Bounds {
    equal: Seq,
    before: Option<String>,
    at: Seq,
    after: String,
}

/// Until both stand side by side.
fn bisect(own: &Own<'_>, theirs: &mut Theirs<'_>, mut bounds: Bounds) -> Result<Bounds, Stop> {
    while bounds.at.0 - bounds.equal.0 > 1 {
        let middle = Seq(bounds.equal.0.midpoint(bounds.at.0));
        let state = theirs.state(middle)?;
        if theirs.hash(&state) == own.hash_at(middle) {
            (bounds.equal, bounds.before) = (middle, Some(state));
        } else {
            (bounds.at, bounds.after) = (middle, state);
        }
    }
    Ok(bounds)
}
