//! Replaying a whole run: comparing, when every recorded output must be made again, identically, or only passing through.

use super::cursor::Cursor;
use super::denials::Denials;
use super::divergence::{Divergence, compare};
use super::part;
use super::source::{Inputs, Outputs, RecordedOutput, ReplayError, RunConfig, read_config};
use crate::domain::codec::{kind_name, output_kind};
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, EventBody, Seq};
use crate::domain::input::{Input, InputClass, RawInput};
use crate::domain::intent::{Denial, Intent, NearMiss};
use crate::domain::output::{EventsDigest, Output, OutputKey, STAGES, Stage};
use crate::domain::state::State as _;
use crate::domain::time::Stamp;
use crate::journal::{Hash256, Manifest, Stream, read_mark};
use crate::stage::LOGIC_VERSION;
use crate::stage::river::{Parts, River, Tap};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What a replay does with the outputs that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Holds each against the recorded one.
    Outputs,
    /// Nothing: recorded outputs are not read and nothing is digested. What remains are checks that cost nothing: of
    /// every record's checksum, of the inputs' numbers, and that a recorded denial was made.
    Nothing,
}

/// Result of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Inputs replayed.
    pub inputs: u64,
    /// Events replayed: the typed ones that decode made of them, and one for every input that made none.
    pub events: u64,
    /// Outputs compared, by kind.
    pub compared: BTreeMap<&'static str, u64>,
    /// Outputs of the journal's torn tail that could not be compared (an unclean end).
    pub unrecorded: u64,
    /// The first difference, when there is one.
    pub divergence: Option<Divergence>,
    /// Whose rules wrote the journal, and whose replayed it.
    pub logic: Logic,
    /// SHA-256 of the state of all stages after the last input; absent where they were on several threads.
    pub state: Option<Hash256>,
}

/// Versions of the rules on both sides of a replay. Identity is promised within one version only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Logic {
    /// The version that wrote the journal.
    pub recorded: u32,
    /// This program's.
    pub replayed: u32,
    /// They are the same: a difference is a defect, not a change of the rules.
    pub same: bool,
}

impl Logic {
    /// For a journal of that version.
    pub const fn of(recorded: u32) -> Self {
        Self { recorded, replayed: LOGIC_VERSION, same: recorded == LOGIC_VERSION }
    }

    /// What a reader must know before he reads anything else, when the versions differ.
    pub fn warning(&self) -> Option<String> {
        let Self { recorded, replayed, same } = self;
        (!same).then(|| {
            format!(
                "the journal was written by version {recorded} of the rules and replayed by version {replayed}: \
                 outputs may differ for that reason alone"
            )
        })
    }
}

impl Default for Logic {
    fn default() -> Self {
        Self::of(LOGIC_VERSION)
    }
}

impl Report {
    /// With the state of `river` after the last input.
    fn of(mut self, river: &River) -> Self {
        // What cannot be saved has no hash; a snapshot says why.
        self.state = river.save().ok().map(|state| Hash256::of(state.as_bytes()));
        self
    }

    /// All compared outputs.
    pub fn total(&self) -> u64 {
        self.compared.values().sum()
    }

    /// The verdict as a sentence, once something was compared or found.
    pub fn verdict(&self) -> Option<String> {
        let Logic { recorded, replayed, same } = self.logic;
        match &self.divergence {
            Some(divergence) if !same => Some(format!(
                "difference between versions {recorded} and {replayed} of the rules: {divergence}"
            )),
            Some(divergence) => Some(divergence.to_string()),
            None if self.total() > 0 => Some("identical".to_owned()),
            None => None,
        }
    }
}

/// Replays the journal in `dir` and compares every output. `progress` gets the number of replayed inputs
/// now and then.
pub fn verify(dir: &Path, progress: &mut dyn FnMut(u64)) -> Result<Report, ReplayError> {
    replay(dir, Compare::Outputs, progress)
}

/// Replays the journal in `dir`. `progress` gets the number of replayed inputs now and then.
pub fn replay(dir: &Path, compare: Compare, progress: &mut dyn FnMut(u64)) -> Result<Report, ReplayError> {
    if part::begins_after(dir) > Seq(0) {
        let mut cursor = Cursor::open(dir)?;
        return replay_behind(&mut cursor, Seq(u64::MAX), compare, &mut |seq, _| {
            if seq.0.is_multiple_of(1 << 16) {
                progress(seq.0);
            }
        });
    }
    let build = |config: &RunConfig| Parts::new(&config.params, config.trading);
    replay_with(dir, compare, None, build, progress)
}

/// Like [`verify`], with another configuration or other parts (tests plant faults this way).
pub fn verify_with(
    dir: &Path,
    replacement: Option<&RunConfig>,
    build: impl FnOnce(&RunConfig) -> Result<Parts, crate::stage::decode::UnknownDialect>,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, ReplayError> {
    replay_with(dir, Compare::Outputs, replacement, build, progress)
}

fn replay_with(
    dir: &Path,
    compare: Compare,
    replacement: Option<&RunConfig>,
    build: impl FnOnce(&RunConfig) -> Result<Parts, crate::stage::decode::UnknownDialect>,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, ReplayError> {
    let prepared = match prepare(dir, compare)? {
        Ok(prepared) => prepared,
        Err(report) => return Ok(*report),
    };
    let config = replacement.unwrap_or(&prepared.config);
    let parts = build(config).map_err(|source| ReplayError::Dialect { dir: dir.to_owned(), source })?;
    let (mut river, mut inputs, mut tap) = (River::new(parts), prepared.inputs, prepared.comparer);
    while let Some((seq, raw)) = inputs.next()? {
        river.input(&raw, &mut tap);
        if tap.is_over() {
            break;
        }
        if seq.0.is_multiple_of(1 << 16) {
            progress(seq.0);
        }
    }
    tap.into_report(inputs.hole().get().copied()).map(|report| report.of(&river))
}

/// A journal opened for a replay.
struct Prepared {
    /// The recorded configuration.
    config: RunConfig,
    /// The recorded inputs.
    inputs: Inputs,
    /// What holds the outputs against the recorded ones, or only counts.
    comparer: Comparer,
}

/// Opens the whole run in `dir`; a configuration that is not the one the manifest names is a divergence.
fn prepare(dir: &Path, compare: Compare) -> Result<Result<Prepared, Box<Report>>, ReplayError> {
    if let Seq(after @ 1..) = part::begins_after(dir) {
        let why = format!("it begins at input {}: stages of another make begin with the run", after + 1);
        return Err(ReplayError::Part { dir: dir.to_owned(), why });
    }
    let (config, logic) = match checked_config(dir)? {
        Ok(checked) => checked,
        Err(report) => return Ok(Err(report)),
    };
    let outputs = match compare {
        Compare::Outputs => Some(Outputs::open(dir)?),
        Compare::Nothing => None,
    };
    let comparer = Comparer::new(outputs, Denials::default(), is_closed(dir)?, logic);
    Ok(Ok(Prepared { config, inputs: Inputs::open(dir)?, comparer }))
}

/// A journal at its beginning: the stages before its first input, the inputs, and what holds the outputs against the
/// recorded ones, or only counts.
pub struct Begun {
    /// The stages.
    pub parts: Parts,
    /// The recorded inputs.
    pub inputs: Inputs,
    /// What compares.
    pub comparer: Comparer,
}

/// Opens the journal in `dir`, whether or not it begins with its run; a configuration that is not the one the manifest
/// names is a divergence.
pub fn begin(dir: &Path, compare: Compare) -> Result<Result<Begun, Box<Report>>, ReplayError> {
    let cursor = Cursor::open(dir)?;
    let comparer = match comparer_behind(&cursor, compare)? {
        Ok(comparer) => comparer,
        Err(report) => return Ok(Err(report)),
    };
    // Between two inputs no stage has outputs to number on: the keys of the river are left behind.
    let parts = cursor.into_river().into_parts();
    Ok(Ok(Begun { parts, inputs: Inputs::open(dir)?, comparer }))
}

/// The recorded configuration, if it is the one that the manifest names.
fn checked_config(dir: &Path) -> Result<Result<(RunConfig, Logic), Box<Report>>, ReplayError> {
    let (manifest, bytes, config) = read_config(dir)?;
    let logic = Logic::of(manifest.logic_version);
    let hash = Hash256::of(&bytes).to_string();
    if hash != manifest.configuration_hash {
        let divergence = journal_divergence(1, "configuration hash", &manifest.configuration_hash, &hash);
        return Ok(Err(Box::new(Report { divergence: Some(divergence), logic, ..Report::default() })));
    }
    Ok(Ok((config, logic)))
}

/// Like [`verify`], but compares the outputs of the inputs behind the place of `cursor` up to input `to` only. `each`
/// gets the number and the instant of every input behind it.
pub fn verify_behind(
    cursor: &mut Cursor,
    to: Seq,
    each: &mut dyn FnMut(Seq, Stamp),
) -> Result<Report, ReplayError> {
    replay_behind(cursor, to, Compare::Outputs, each)
}

/// Like [`replay`], but behind the place of `cursor` and up to input `to` only.
pub fn replay_behind(
    cursor: &mut Cursor,
    to: Seq,
    compare: Compare,
    each: &mut dyn FnMut(Seq, Stamp),
) -> Result<Report, ReplayError> {
    let mut tap = match comparer_behind(cursor, compare)? {
        Ok(tap) => tap,
        Err(report) => return Ok(*report),
    };
    while cursor.seq() < to && !tap.is_over() && cursor.step(&mut tap)? {
        each(cursor.seq(), cursor.now());
    }
    tap.into_report(cursor.hole()).map(|report| report.of(cursor.river()))
}

/// Holds the outputs of the inputs behind the place of `cursor` against the recorded ones.
pub(super) fn comparer_behind(
    cursor: &Cursor,
    compare: Compare,
) -> Result<Result<Comparer, Box<Report>>, ReplayError> {
    let dir = cursor.dir();
    let (_, logic) = match checked_config(dir)? {
        Ok(checked) => checked,
        Err(report) => return Ok(Err(report)),
    };
    let outputs = match compare {
        Compare::Outputs => Some(Outputs::open_from(dir, Seq(cursor.seq().0 + 1))?),
        Compare::Nothing => None,
    };
    let mut tap = Comparer::new(outputs, cursor.denials().clone(), is_closed(dir)?, logic);
    tap.note_mismatch();
    Ok(Ok(tap))
}

/// Whether the outputs of the journal in `dir` ended in order: then none may be missing. Those of the last inputs may,
/// where a crash ended them and recovery only found out where. Damage is met on the way, as an
/// error: the journal is not read twice for it.
pub(super) fn is_closed(dir: &Path) -> Result<bool, ReplayError> {
    let mark = read_mark(dir, Stream::Outputs, Manifest::read(dir)?.run_id.0);
    Ok(mark.is_some_and(|mark| mark.closed && !mark.recovered))
}

fn journal_divergence(seq: u64, field: &str, recorded: &str, replayed: &str) -> Divergence {
    Divergence {
        seq,
        stage: "journal".into(),
        ordinal: 0,
        field: field.into(),
        recorded: recorded.into(),
        replayed: replayed.into(),
    }
}

/// Holds what the stages make against what was recorded.
pub struct Comparer {
    /// The outputs ended in order: none may be missing.
    closed: bool,
    logic: Logic,
    inputs: u64,
    /// Number of the last input.
    last: Seq,
    /// `None`: nothing is compared.
    outputs: Option<Outputs>,
    events: u64,
    events_before: u64,
    digest: EventsDigest,
    only_ticks: bool,
    denials: Denials,
    compared: BTreeMap<&'static str, u64>,
    unrecorded: u64,
    found: Option<Divergence>,
    failed: Option<ReplayError>,
}

impl Comparer {
    /// Begins with the outputs of the input that `outputs` were opened at; `denials` are those on their way then.
    fn new(outputs: Option<Outputs>, denials: Denials, closed: bool, logic: Logic) -> Self {
        Self {
            closed,
            logic,
            inputs: 0,
            last: Seq(0),
            outputs,
            events: 0,
            events_before: 0,
            digest: EventsDigest::default(),
            only_ticks: true,
            denials,
            compared: BTreeMap::new(),
            unrecorded: 0,
            found: None,
            failed: None,
        }
    }

    /// A recorded denial must be one that the stages made themselves, in their order.
    fn note_mismatch(&mut self) {
        if let (None, Some(mismatch)) = (&self.found, self.denials.mismatch()) {
            let (recorded, made) = (format!("{:?}", mismatch.recorded), format!("{:?}", mismatch.made));
            self.found = Some(journal_divergence(mismatch.seq.0, "denied input", &recorded, &made));
        }
    }

    fn check(&mut self, key: OutputKey, output: &Output, raw: &[u8]) {
        let Some(outputs) = &mut self.outputs else { return };
        if self.found.is_some() || self.failed.is_some() {
            return;
        }
        let recorded = match outputs.next(key.stage, key.cause) {
            Ok(Some(recorded)) => recorded,
            // In order, or the record goes on far behind: then the end is no excuse.
            Ok(None) if self.closed || !outputs.is_at_end() => {
                self.found = Some(Divergence {
                    seq: key.cause.0,
                    stage: format!("{:?}", key.stage).to_lowercase(),
                    ordinal: key.ordinal,
                    field: "output".into(),
                    recorded: "nothing".into(),
                    replayed: format!("{output:?}"),
                });
                return;
            }
            Ok(None) => {
                self.unrecorded += 1;
                return;
            }
            Err(failure) => {
                self.failed = Some(failure);
                return;
            }
        };
        if recorded.0 != key {
            self.found = Some(misplaced(&recorded, key, output));
            return;
        }
        self.found = compare(key, (&recorded.1, &recorded.2), (output, raw));
        if self.found.is_none() {
            *self.compared.entry(kind_name(output_kind(output))).or_default() += 1;
        }
    }

    /// Something was found: there is no point in going on.
    pub fn is_over(&self) -> bool {
        self.found.is_some() || self.failed.is_some()
    }

    /// Ends the comparison; `hole` is where the inputs broke off, if they did.
    pub fn into_report(mut self, hole: Option<(u64, u64)>) -> Result<Report, ReplayError> {
        if let (None, Some((expected, next))) = (&self.found, hole) {
            let recorded = format!("the next recorded input is {next}");
            self.found =
                Some(journal_divergence(expected, "input sequence", &recorded, &format!("input {expected}")));
        }
        self.finish()?;
        Ok(Report {
            inputs: self.inputs,
            events: self.events,
            compared: self.compared,
            unrecorded: self.unrecorded,
            divergence: self.found,
            logic: self.logic,
            state: None,
        })
    }

    /// Whatever was recorded and not made again is a divergence.
    fn finish(&mut self) -> Result<(), ReplayError> {
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        if self.found.is_some() {
            return Ok(());
        }
        if let Some((seq, denial)) = self.denials.unmade() {
            let recorded = format!("{denial:?}");
            self.found = Some(journal_divergence(seq.0, "denied input", &recorded, "no such denial"));
            return Ok(());
        }
        let Some(outputs) = &mut self.outputs else { return Ok(()) };
        let mut left: Vec<RecordedOutput> = Vec::new();
        for stage in STAGES {
            left.extend(outputs.next(stage, self.last)?);
        }
        // On threads, outputs of the very last inputs may have been recorded before a crash cut the inputs off.
        left.retain(|output| output.0.cause <= self.last);
        if let Some(first) = left.iter().min_by_key(|output| output.0) {
            self.found = Some(Divergence {
                seq: first.0.cause.0,
                stage: format!("{:?}", first.0.stage).to_lowercase(),
                ordinal: first.0.ordinal,
                field: "output".into(),
                recorded: format!("{:?}", first.1),
                replayed: "nothing".into(),
            });
        }
        Ok(())
    }
}

fn misplaced(recorded: &RecordedOutput, key: OutputKey, output: &Output) -> Divergence {
    let recorded_first = recorded.0 < key;
    let at = if recorded_first { recorded.0 } else { key };
    Divergence {
        seq: at.cause.0,
        stage: format!("{:?}", at.stage).to_lowercase(),
        ordinal: at.ordinal,
        field: "output".into(),
        recorded: if recorded_first { format!("{:?}", recorded.1) } else { "nothing".into() },
        replayed: if recorded_first { "nothing".into() } else { format!("{output:?}") },
    }
}

impl Tap for Comparer {
    fn input(&mut self, seq: Seq, _at: Stamp, _class: InputClass, raw: &RawInput<'_>) {
        self.inputs += 1;
        self.last = seq;
        if let Input::Denied(denial) = raw.input {
            self.denials.on_recorded(seq, &denial);
            self.note_mismatch();
        }
    }

    #[inline]
    fn event(&mut self, event: &Event) {
        self.events += 1;
        if self.outputs.is_none() {
            return;
        }
        self.only_ticks &= matches!(event.body, EventBody::Tick);
        self.digest.add(event);
    }

    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        self.check(key, &Output::Intent(*intent), &[]);
    }

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.check(key, &Output::Approved(*intent), &[]);
    }

    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        self.check(key, &Output::Denied(*denial), &[]);
        self.denials.on_made(key.stage, denial);
        self.note_mismatch();
    }

    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        let len = usize::from(message.payload.text_len + message.payload.sign_len);
        self.check(key, &Output::of_message(message), &message.payload.bytes[..len]);
    }

    fn near_miss(&mut self, key: OutputKey, near: &NearMiss) {
        self.check(key, &Output::NearMiss(*near), &[]);
    }

    fn state(&mut self, key: OutputKey, hash: u64) {
        self.check(key, &Output::State(hash), &[]);
    }

    #[inline]
    fn end(&mut self, seq: Seq) {
        self.events += u64::from(self.events == self.events_before);
        self.events_before = self.events;
        if self.digest.count > 0 && !self.only_ticks {
            let key = OutputKey { cause: seq, stage: Stage::Decode, ordinal: 0 };
            self.check(key, &Output::Events(self.digest), &[]);
        }
        self.digest = EventsDigest::default();
        self.only_ticks = true;
    }
}
