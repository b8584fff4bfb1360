//! Where two states part: the first input after which a stage's states hash otherwise, and the values that this input
//! made differ.
//!
//! A journal holds hashes of states, one every few thousand inputs. Behind the last equal one both sides are passed
//! again, input by input, until they part. Another program is asked for its state ([`super::search`]).

use super::report::{Field, Parting};
use crate::domain::calendar;
use crate::domain::event::Seq;
use crate::domain::output::Stage;
use crate::domain::state::State as _;
use crate::replay::cursor::Cursor;
use crate::replay::outputs::parts;
use crate::replay::source::{Inputs, ReplayError, RunConfig};
use crate::replay::step::last::Last;
use crate::stage::river::{Parts, River};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Values that are listed.
const FIELDS_MAX: usize = 20;
/// Inputs between two tellings of progress.
const TELL_EVERY: u64 = 1 << 14;

/// A hash that differs: of which stage, the input at which it was equal last (0 = never asked), and the one at which it
/// differs, with that of the journal. A hash is of the state before its input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unequal {
    pub stage: Stage,
    pub equal: Seq,
    pub at: Seq,
    pub recorded: u64,
}

/// One side, passed again.
pub(super) struct Course<'a> {
    dir: &'a Path,
    config: &'a RunConfig,
    inputs: Inputs,
    river: River,
    pub last: Last,
}

impl<'a> Course<'a> {
    /// Before the first input.
    pub fn open(dir: &'a Path, config: &'a RunConfig) -> Result<Self, ReplayError> {
        let river = River::new(parts(dir, config)?);
        Ok(Self { dir, config, inputs: Inputs::open(dir)?, river, last: Last::default() })
    }

    /// Behind input `seq`, as it was recorded.
    pub fn behind(
        dir: &'a Path,
        config: &'a RunConfig,
        seq: Seq,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, ReplayError> {
        let mut cursor = Cursor::open(dir)?;
        cursor.seek(seq, &mut (), &mut |seq| progress(seq.0))?;
        let inputs = Inputs::open_after(dir, seq)?;
        Ok(Self { dir, config, inputs, river: cursor.into_river(), last: Last::default() })
    }

    /// At the place of `kept` once more.
    pub fn again(&self, kept: &Kept) -> Result<Self, ReplayError> {
        let mut fresh = Self::open(self.dir, self.config)?;
        fresh.river.load(&kept.state).map_err(|why| unsaved(self.dir, &why))?;
        fresh.inputs = Inputs::open_after(self.dir, kept.seq)?;
        Ok(fresh)
    }

    /// Passes inputs up to `to`; false where there are fewer.
    pub fn pass(&mut self, to: Seq, progress: &mut dyn FnMut(u64)) -> Result<bool, ReplayError> {
        while self.river.now().0 < to {
            let Some((seq, raw)) = self.inputs.next()? else { return Ok(false) };
            self.river.input(&raw, &mut self.last);
            if seq.0.is_multiple_of(TELL_EVERY) {
                progress(seq.0);
            }
        }
        Ok(true)
    }

    pub fn keep(&self) -> Result<Kept, ReplayError> {
        let state = self.river.save().map_err(|why| unsaved(self.dir, &why))?;
        Ok(Kept { seq: self.river.now().0, state })
    }

    pub fn parts(&self) -> &Parts {
        self.river.parts()
    }

    /// See [`hash`].
    pub fn hash(&self, stage: Stage) -> Option<u64> {
        hash(self.parts(), stage)
    }

    /// When the last input was received.
    pub fn time(&self) -> String {
        calendar::shown(self.river.now().1.wall)
    }
}

/// The hash of a stage's state as a journal has it; decode and route record none.
pub(super) fn hash(parts: &Parts, stage: Stage) -> Option<u64> {
    match stage {
        Stage::Scan => Some(parts.scan.scanner().digest()),
        Stage::Risk => Some(parts.risk.rules().digest()),
        Stage::Decode | Stage::Route => None,
    }
}

/// A place to return to.
pub(super) struct Kept {
    pub seq: Seq,
    pub state: String,
}

fn unsaved(dir: &Path, why: &impl std::fmt::Display) -> ReplayError {
    ReplayError::Part { dir: dir.to_owned(), why: why.to_string() }
}

/// The first input after which the hashes of both sides differ, with the values that it made differ; both stand behind it
/// then. `None`: they do not part before the recorded hashes do.
pub(super) fn part<'a>(
    unequal: Unequal,
    mut sides: [Course<'a>; 2],
    progress: &mut dyn FnMut(u64),
) -> Result<Option<(Parting, [Course<'a>; 2])>, ReplayError> {
    let Unequal { stage, equal, at, .. } = unequal;
    let from = Seq(equal.0.saturating_sub(1));
    let [a, b] = &mut sides;
    if !(a.pass(from, progress)? && b.pass(from, progress)?) {
        return Ok(None);
    }
    let kept = [a.keep()?, b.keep()?];
    let mut seq = from;
    while a.hash(stage) == b.hash(stage) {
        seq = Seq(seq.0 + 1);
        if seq >= at || !(a.pass(seq, progress)? && b.pass(seq, progress)?) {
            return Ok(None);
        }
    }
    // Once more, for what differed before that input: the configuration, and what no hash covers.
    let [mut a, mut b] = [sides[0].again(&kept[0])?, sides[1].again(&kept[1])?];
    let mut known = BTreeSet::new();
    if seq > from {
        a.pass(Seq(seq.0 - 1), progress)?;
        b.pass(Seq(seq.0 - 1), progress)?;
        known.extend(differing(stage, &a.keep()?.state, &b.keep()?.state));
    }
    a.pass(seq, progress)?;
    b.pass(seq, progress)?;
    let mut found = differing(stage, &a.keep()?.state, &b.keep()?.state);
    found.retain(|one| !known.contains(one));
    Ok(Some((parting(seq, a.time(), found), [a, b])))
}

/// The place at which states part, with the first values.
pub(super) fn parting(seq: Seq, time: String, found: Vec<Difference>) -> Parting {
    let more = found.len().saturating_sub(FIELDS_MAX) as u64;
    let fields =
        found.into_iter().take(FIELDS_MAX).map(|Difference { path, a, b }| Field { field: path, a, b });
    Parting { seq: seq.0, time, fields: fields.collect(), more }
}

/// A value of a state that differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Difference {
    path: String,
    a: String,
    b: String,
}

/// What differs in a stage, of two states of all stages.
pub(super) fn differing(stage: Stage, a: &str, b: &str) -> Vec<Difference> {
    let mut found = Vec::new();
    differences(name(stage), of_stage(stage, a), of_stage(stage, b), &mut found);
    found
}

fn name(stage: Stage) -> String {
    format!("{stage:?}").to_lowercase()
}

/// The state of one of all stages.
pub(super) fn of_stage(stage: Stage, state: &str) -> &str {
    let mut fields: BTreeMap<&str, &str> = object(state).unwrap_or_default();
    fields.remove(name(stage).as_str()).unwrap_or(ABSENT)
}

const ABSENT: &str = "absent";

/// Every value that differs, in the order of the text; numbers as they are written, to the last digit.
fn differences(path: String, a: &str, b: &str, to: &mut Vec<Difference>) {
    if a == b {
        return;
    }
    if let (Some(a), Some(b)) = (object(a), object(b)) {
        return rows(&a, &b, to, |key| format!("{path}.{key}"));
    }
    if let (Some(a), Some(b)) = (array(a), array(b)) {
        if let (Some(a), Some(b)) = (keyed(&a), keyed(&b)) {
            return rows(&a, &b, to, |key| format!("{path}{{{key}}}"));
        }
        let [a, b] = [a, b].map(|items| items.into_iter().enumerate().collect::<BTreeMap<usize, &str>>());
        return rows(&a, &b, to, |at| format!("{path}[{at}]"));
    }
    to.push(Difference { path, a: a.to_owned(), b: b.to_owned() });
}

fn rows<K: Ord>(
    a: &BTreeMap<K, &str>,
    b: &BTreeMap<K, &str>,
    to: &mut Vec<Difference>,
    path: impl Fn(&K) -> String,
) {
    let keys: BTreeSet<&K> = a.keys().chain(b.keys()).collect();
    for key in keys {
        let [a, b] = [a, b].map(|side| side.get(key).copied().unwrap_or(ABSENT));
        differences(path(key), a, b, to);
    }
}

fn object(text: &str) -> Option<BTreeMap<&str, &str>> {
    text.starts_with('{').then_some(())?;
    let fields: BTreeMap<&str, &RawValue> = serde_json::from_str(text).ok()?;
    Some(fields.into_iter().map(|(key, value)| (key, value.get())).collect())
}

fn array(text: &str) -> Option<Vec<&str>> {
    text.starts_with('[').then_some(())?;
    let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

/// A map that is written as pairs of key and value, or a table with the places of its rows: an entry more must not make
/// all that follow differ.
fn keyed<'a>(items: &[&'a str]) -> Option<BTreeMap<&'a str, &'a str>> {
    let mut found = BTreeMap::new();
    for item in items {
        let pair = array(item)?;
        let [key, value] = pair.as_slice() else { return None };
        if key.starts_with(['{', '[']) || found.insert(*key, *value).is_some() {
            return None;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(a: &str, b: &str) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        differences("s".to_owned(), a, b, &mut found);
        found.into_iter().map(|one| (one.path, one.a, one.b)).collect()
    }

    fn row(path: &str, a: &str, b: &str) -> (String, String, String) {
        (path.to_owned(), a.to_owned(), b.to_owned())
    }

    #[test]
    fn values_are_named_by_their_paths_to_the_last_digit() {
        assert_eq!(found(r#"{"x":[1,{"y":2}]}"#, r#"{"x":[1,{"y":2}]}"#), []);
        assert_eq!(found(r#"{"x":[1,{"y":2}]}"#, r#"{"x":[1,{"y":3}]}"#), [row("s.x[1].y", "2", "3")]);
        // Beyond what a float tells apart.
        let (a, b) = ("170141183460469231731687303715884105727", "170141183460469231731687303715884105726");
        assert_eq!(found(&format!("{{\"m\":{a}}}"), &format!("{{\"m\":{b}}}")), [row("s.m", a, b)]);
        assert_eq!(found(r#"{"x":null}"#, r#"{"x":[1]}"#), [row("s.x", "null", "[1]")]);
        assert_eq!(found(r#"{"x":1}"#, r#"{"y":1}"#), [row("s.x", "1", "absent"), row("s.y", "absent", "1")]);
    }

    #[test]
    fn an_entry_more_is_one_difference() {
        assert_eq!(found("[[1,5],[3,7]]", "[[1,5],[2,6],[3,7]]"), [row("s{2}", "absent", "6")]);
        assert_eq!(found("[9,[[4,{\"q\":1}]]]", "[9,[[4,{\"q\":2}]]]"), [row("s[1]{4}.q", "1", "2")]);
        assert_eq!(found("[1,2]", "[1,2,3]"), [row("s[2]", "absent", "3")]);
        // Rows of which two begin alike are no map.
        assert_eq!(found("[[1,5],[1,7],[2]]", "[[1,5],[1,8],[2]]"), [row("s[1][1]", "7", "8")]);
    }
}
