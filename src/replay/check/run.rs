//! The checker over a journal: inputs and outputs as recorded; events by decoding the recorded frames again.

use super::{CheckLimits, CheckReport, Checker, Fact, Violation};
use crate::domain::codec::decode_output;
use crate::domain::effect::{OutMeta, OutMsg};
use crate::domain::event::{Event, Seq};
use crate::domain::input::{InputClass, RawInput};
use crate::domain::intent::{Denial, Intent, NearMiss};
use crate::domain::output::{Output, OutputKey, STAGES};
use crate::domain::params::EngineParams;
use crate::domain::time::{Nanos, Stamp};
use crate::journal::{Reader, Stream};
use crate::replay::cursor::Cursor;
use crate::replay::part;
use crate::replay::source::{Inputs, RecordedOutput, ReplayError};
use crate::stage::river::Tap;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Checks the journal in `dir` against the limits of its own configuration, or against `limits`.
pub fn check_journal(dir: &Path, limits: Option<&CheckLimits>) -> Result<CheckReport, ReplayError> {
    let cursor = Cursor::open(dir)?;
    let (begins_after, own) = (cursor.begins_after(), CheckLimits::of(&cursor.config().params));
    let mut feed = Feed {
        checker: part::checker(dir, begins_after, limits.unwrap_or(&own).clone())?,
        recorded: Recorded::open(dir, begins_after)?,
        seq: Seq(0),
        mono: 0,
        parted: None,
        failed: None,
    };
    let (mut river, mut inputs) = (cursor.into_river(), Inputs::open(dir)?);
    while let Some((seq, raw)) = inputs.next()? {
        feed.seq = seq;
        river.input(&raw, &mut feed);
        if feed.failed.is_some() || feed.parted.is_some() {
            break;
        }
    }
    if let Some(failure) = feed.failed {
        return Err(failure);
    }
    let mut report = feed.checker.finish();
    if let Some(violation) = feed.parted {
        report.violations += 1;
        report.first.push(violation);
    }
    if let Some((expected, next)) = inputs.hole().get().copied() {
        report.violations += 1;
        let detail = format!("input {next} follows input {}", expected - 1);
        report.first.push(Violation { seq: next, rule: "input_hole", detail });
    }
    Ok(report)
}

/// Checks the journal in `dir` against `params`: a sentence per violation.
pub fn check_dir(dir: &Path, params: &EngineParams) -> Result<Vec<String>, ReplayError> {
    let report = check_journal(dir, Some(&CheckLimits::of(params)))?;
    let mut sentences: Vec<String> = report.first.iter().map(ToString::to_string).collect();
    let more = report.violations.saturating_sub(sentences.len() as u64);
    if more > 0 {
        sentences.push(format!("{more} further violations"));
    }
    Ok(sentences)
}

/// Recorded outputs that the checker wants, a queue per stage.
struct Recorded {
    dir: PathBuf,
    reader: Reader,
    queues: [VecDeque<RecordedOutput>; STAGES.len()],
    /// Outputs of inputs up to here are no part of it.
    after: Seq,
}

impl Recorded {
    fn open(dir: &Path, after: Seq) -> Result<Self, ReplayError> {
        Ok(Self {
            dir: dir.to_owned(),
            reader: Reader::open(dir, Stream::Outputs)?,
            queues: Default::default(),
            after,
        })
    }

    /// The next output of the stage of `key`; `None` at the end of the record.
    fn next(&mut self, key: OutputKey) -> Result<Option<RecordedOutput>, ReplayError> {
        loop {
            if let Some(found) = self.queues[key.stage as usize].pop_front() {
                return Ok(Some(found));
            }
            let Some(record) = self.reader.next()? else { return Ok(None) };
            let seq = record.seq;
            if seq <= self.after.0 {
                continue;
            }
            let decoded = decode_output(Seq(seq), record.body).map_err(|why| ReplayError::Record {
                dir: self.dir.clone(),
                stream: "output",
                seq,
                why: why.to_string(),
            });
            let (found, output, raw) = decoded?;
            if !matches!(output, Output::Events(_) | Output::State(_) | Output::NearMiss(_)) {
                self.queues[found.stage as usize].push_back((found, output, raw.to_vec()));
            }
        }
    }
}

/// Feeds the checker: what the stages make again tells only *when* the recorded output's turn is.
struct Feed {
    checker: Checker,
    recorded: Recorded,
    seq: Seq,
    mono: Nanos,
    /// The record and the replay part ways: from here on nothing can be told.
    parted: Option<Violation>,
    failed: Option<ReplayError>,
}

impl Feed {
    fn turn(&mut self, key: OutputKey) {
        if self.parted.is_some() || self.failed.is_some() {
            return;
        }
        let (found, output, raw) = match self.recorded.next(key) {
            Ok(Some(found)) => found,
            Ok(None) => return, // the torn tail of a crashed run
            Err(failure) => {
                self.failed = Some(failure);
                return;
            }
        };
        if (found.cause, found.stage) != (key.cause, key.stage) {
            let detail = format!(
                "recorded {:?} of input {}, made again {:?} of input {}",
                found.stage, found.cause.0, key.stage, key.cause.0
            );
            self.parted = Some(Violation { seq: key.cause.0, rule: "replay_parts", detail });
            return;
        }
        let amending;
        let fact = match &output {
            Output::Intent(intent) => Fact::Wish(intent),
            Output::Approved(intent) => Fact::Approved(intent),
            Output::Denied(denial) => Fact::Denied(denial),
            Output::Message(shape) => {
                Fact::Message(&shape.meta, &raw[..usize::from(shape.text_len).min(raw.len())])
            }
            Output::Amendment(shape) => {
                amending = OutMeta { amends: true, ..shape.meta };
                Fact::Message(&amending, &raw[..usize::from(shape.text_len).min(raw.len())])
            }
            Output::Events(_) | Output::State(_) | Output::NearMiss(_) => return,
        };
        self.checker.fact(self.seq, self.mono, fact);
    }
}

impl Tap for Feed {
    fn input(&mut self, _seq: Seq, at: Stamp, _class: InputClass, raw: &RawInput<'_>) {
        // The recorded number, not the one that the replay gives: holes must show.
        self.mono = at.mono;
        self.checker.fact(self.seq, at.mono, Fact::Input(&raw.input));
    }

    fn event(&mut self, event: &Event) {
        self.checker.fact(self.seq, self.mono, Fact::Event(&event.body));
    }

    fn intent(&mut self, key: OutputKey, _intent: &Intent) {
        self.turn(key);
    }

    fn approved(&mut self, key: OutputKey, _intent: &Intent) {
        self.turn(key);
    }

    fn denied(&mut self, key: OutputKey, _denial: &Denial) {
        self.turn(key);
    }

    fn message(&mut self, key: OutputKey, _message: &OutMsg) {
        self.turn(key);
    }

    fn near_miss(&mut self, _key: OutputKey, _near: &NearMiss) {}
    fn state(&mut self, _key: OutputKey, _hash: u64) {}

    fn end(&mut self, _seq: Seq) {}
}
