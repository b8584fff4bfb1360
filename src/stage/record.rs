//! Record: writes inputs and outputs to the journal, in the form that `domain::codec` defines.
//!
//! Decides nothing. A failed journal is remembered and stops opening orders at the egress gate; what
//! was recorded before stays readable.

use crate::domain::codec::{HEADER_MAX, encode_input, encode_output, input_kind, output_kind};
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, EventBody, Seq};
use crate::domain::input::{InputClass, RawInput};
use crate::domain::output::{EventsDigest, MessageShape, Output, OutputKey, Stage};
use crate::domain::time::{Nanos, Stamp};
use crate::journal::{JournalError, JournalOptions, Manifest, Record, Stream, Writer};
use std::path::Path;

/// Writes both streams of a run.
pub struct Recorder {
    inputs: Writer,
    outputs: Writer,
    digest: EventsDigest,
    only_ticks: bool,
    scratch: Box<[u8; HEADER_MAX]>,
    failed: Option<JournalError>,
    records: u64,
    bytes: u64,
}

impl Recorder {
    /// Creates the journal of a new run in `dir`.
    pub fn create(dir: &Path, manifest: &Manifest, options: &JournalOptions) -> Result<Self, JournalError> {
        Ok(Self {
            inputs: Writer::create(dir, Stream::Inputs, manifest, options)?,
            outputs: Writer::create(dir, Stream::Outputs, manifest, options)?,
            digest: EventsDigest::default(),
            only_ticks: true,
            scratch: Box::new([0; HEADER_MAX]),
            failed: None,
            records: 0,
            bytes: 0,
        })
    }

    /// Records an input. Must come before its outputs.
    pub fn input(&mut self, seq: Seq, at: Stamp, class: InputClass, raw: &RawInput<'_>) {
        let header = encode_input(&raw.input, &mut self.scratch);
        let record = Record {
            kind: input_kind(&raw.input),
            class: class as u8,
            seq: seq.0,
            time_ns: at.mono,
            parts: &[header, raw.bytes],
        };
        if self.failed.is_none() {
            self.records += 1;
            self.bytes += (header.len() + raw.bytes.len()) as u64;
            self.failed = self.inputs.append(&record).err();
        }
    }

    /// Adds an event of the present input to its digest.
    #[inline]
    pub fn event(&mut self, event: &Event) {
        self.only_ticks &= matches!(event.body, EventBody::Tick);
        self.digest.add(event);
    }

    /// Writes the digest of the input's events; nothing for an input that made none or a mere tick.
    pub fn end(&mut self, seq: Seq, mono: Nanos) {
        if self.digest.count > 0 && !self.only_ticks {
            let key = OutputKey { cause: seq, stage: Stage::Decode, ordinal: 0 };
            self.output(key, mono, &Output::Events(self.digest), &[]);
        }
        self.digest = EventsDigest::default();
        self.only_ticks = true;
    }

    /// Records an output of a stage.
    pub fn output(&mut self, key: OutputKey, mono: Nanos, output: &Output, raw: &[u8]) {
        let header = encode_output(key, output, &mut self.scratch);
        let record = Record {
            kind: output_kind(output),
            class: key.stage as u8,
            seq: key.cause.0,
            time_ns: mono,
            parts: &[header, raw],
        };
        if self.failed.is_none() {
            self.records += 1;
            self.bytes += (header.len() + raw.len()) as u64;
            self.failed = self.outputs.append(&record).err();
        }
    }

    /// Records a message of route, before signing and without its secrets.
    pub fn message(&mut self, key: OutputKey, mono: Nanos, message: &OutMsg) {
        let len = usize::from(message.payload.text_len + message.payload.sign_len);
        self.output(key, mono, &Output::Message(MessageShape::of(message)), &message.payload.bytes[..len]);
    }

    /// The first failure, after which nothing more was written.
    pub fn failure(&self) -> Option<&JournalError> {
        self.failed.as_ref()
    }

    /// Records and body bytes so far.
    pub fn totals(&self) -> (u64, u64) {
        (self.records, self.bytes)
    }

    /// Ends both streams cleanly.
    pub fn close(self) -> Result<(), JournalError> {
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        self.inputs.close()?;
        self.outputs.close()?;
        Ok(())
    }
}
