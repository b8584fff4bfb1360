//! Record: writes inputs and outputs to the journal, in the form that `domain::codec` defines.
//!
//! Decides nothing. A failed journal is remembered and stops opening orders at the egress gate; what
//! was recorded before stays readable.

use crate::domain::codec::{HEADER_MAX, encode_input, encode_output, input_kind, output_kind};
use crate::domain::effect::{MessageId, OutMsg};
use crate::domain::event::{Event, EventBody, Seq};
use crate::domain::input::{InputClass, RawInput};
use crate::domain::output::{EventsDigest, Output, OutputKey, Stage};
use crate::domain::time::{Nanos, Stamp};
use crate::journal::{
    Floor, Housekeeper, JournalError, JournalOptions, KeepWatch, Manifest, Record, Space, Stream, SyncPolicy,
    Token, Watermark, Writer,
};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far the record of a run has come, for the egress gate on another thread.
#[derive(Debug, Default)]
pub struct Progress {
    inputs: Arc<Watermark>,
    /// Last message that is in the journal; those before it are too.
    written: AtomicU64,
    /// Last message that is on the disk.
    synced: AtomicU64,
}

impl Progress {
    /// Last input and last message in the journal.
    #[inline]
    pub fn written(&self) -> (Seq, MessageId) {
        (Seq(self.inputs.written_seq()), MessageId(self.written.load(Ordering::Acquire)))
    }

    /// Last input and last message on the disk.
    #[inline]
    pub fn synced(&self) -> (Seq, MessageId) {
        (Seq(self.inputs.synced_seq()), MessageId(self.synced.load(Ordering::Acquire)))
    }
}

/// Opening orders that can await the disk at the same time; more than route has credit for.
const PENDING_MAX: usize = 1024;

/// Writes both streams of a run.
pub struct Recorder {
    progress: Arc<Progress>,
    /// Opening orders that are not known to be on the disk, with the end of their record. Only under the
    /// `Sync` policy.
    pending: VecDeque<(MessageId, Token)>,
    by_us: bool,
    inputs: Writer,
    outputs: Writer,
    keeper: Option<Housekeeper>,
    digest: EventsDigest,
    only_ticks: bool,
    scratch: Box<[u8; HEADER_MAX]>,
    failed: Option<JournalError>,
    records: u64,
    bytes: u64,
}

impl Recorder {
    /// Creates the journal of a new run in `dir`. Of its inputs none is ever removed.
    pub fn create(dir: &Path, manifest: &Manifest, options: &JournalOptions) -> Result<Self, JournalError> {
        Self::create_on(dir, manifest, options, None)
    }

    /// The same; with a `floor` retention removes inputs, too.
    pub fn create_on(
        dir: &Path,
        manifest: &Manifest,
        options: &JournalOptions,
        floor: Option<Box<dyn Floor>>,
    ) -> Result<Self, JournalError> {
        let inputs = Writer::create(dir, Stream::Inputs, manifest, options)?;
        let outputs = Writer::create(dir, Stream::Outputs, manifest, options)?;
        let by_us = options.sync == SyncPolicy::Sync;
        let watermarks = [inputs.watermark(), outputs.watermark()];
        let start = |keep| Housekeeper::start(dir, watermarks, options.segment_bytes as u64, keep, floor);
        let keeper = options.keep.as_ref().map(start).transpose()?;
        Ok(Self {
            progress: Arc::new(Progress { inputs: inputs.watermark(), ..Progress::default() }),
            pending: VecDeque::with_capacity(if by_us { PENDING_MAX } else { 0 }),
            by_us,
            inputs,
            outputs,
            keeper,
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
        self.output(key, mono, &Output::of_message(message), &message.payload.bytes[..len]);
        if self.failed.is_some() {
            return;
        }
        let id = message.meta.message;
        self.progress.written.store(id.0, Ordering::Release);
        if self.by_us && message.meta.is_opening() {
            if self.pending.len() == PENDING_MAX {
                // Waits for more than it must, never for less.
                self.pending.pop_back();
            }
            self.pending.push_back((id, self.outputs.written()));
        }
    }

    /// Under the `Sync` policy: carries the record to the disk when an opening order waits for that. Blocks
    /// for as long as the disk takes.
    pub fn sync_pending(&mut self) {
        if self.pending.is_empty() || self.failed.is_some() {
            return;
        }
        match self.inputs.sync().and_then(|_| self.outputs.sync()) {
            Ok(synced) => {
                while let Some((id, _)) = self.pending.pop_front_if(|(_, end)| *end <= synced) {
                    self.progress.synced.store(id.0, Ordering::Release);
                }
            }
            Err(failure) => self.failed = Some(failure),
        }
    }

    /// How far the record has come.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Segments that had to be waited for because the next one was not prepared yet.
    pub fn roll_waits(&self) -> u64 {
        self.inputs.stats().roll_waits + self.outputs.stats().roll_waits
    }

    /// The room that is left for the journal; enough where nobody looks.
    #[inline]
    pub fn space(&self) -> Space {
        self.keeper.as_ref().map_or(Space::Enough, Housekeeper::space)
    }

    /// A view of the housekeeping, where there is one.
    pub fn housekeeping(&self) -> Option<KeepWatch> {
        self.keeper.as_ref().map(Housekeeper::watch)
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
        if let Some(keeper) = self.keeper {
            keeper.finish();
        }
        Ok(())
    }
}
