//! The engine on one thread: river, recorder and watch composed, with loopbacks drained in place.

use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, Seq};
use crate::domain::input::{Input, InputClass, RawInput, SendFate, SendOutcome};
use crate::domain::intent::{Denial, Intent};
use crate::domain::output::{Output, OutputKey};
use crate::domain::time::{Nanos, Stamp};
use crate::ops::watch::Watch;
use crate::stage::record::Recorder;
use crate::stage::river::{River, Tap};
use std::collections::VecDeque;

/// Loopbacks that can wait while one input is processed: more than route's credit.
const LOOPBACK_CAPACITY: usize = 2048;

/// Takes messages out of the engine: the socket gateway or the simulated transport.
pub trait Egress {
    /// Sends, schedules or refuses the message. `None` when its fate shows otherwise (an HTTP reply, a
    /// connection that comes up): only socket messages have an outcome.
    fn send(&mut self, message: &OutMsg, mono: Nanos) -> Option<SendFate>;
}

/// The engine on one thread.
pub struct Fused {
    river: River,
    recorder: Option<Recorder>,
    watch: Watch,
    loopback: VecDeque<Input>,
}

impl Fused {
    /// Composes an engine; without a recorder nothing is journaled.
    pub fn new(river: River, recorder: Option<Recorder>) -> Self {
        Self { river, recorder, watch: Watch::new(), loopback: VecDeque::with_capacity(LOOPBACK_CAPACITY) }
    }

    /// Passes one input, and every loopback that it causes, through the river.
    pub fn input(&mut self, raw: &RawInput<'_>, egress: &mut impl Egress) {
        self.pass(raw, egress);
        while let Some(input) = self.loopback.pop_front() {
            self.pass(&RawInput { mono: raw.mono, input, bytes: &[] }, egress);
        }
    }

    fn pass(&mut self, raw: &RawInput<'_>, egress: &mut impl Egress) {
        let Self { river, recorder, watch, loopback } = self;
        let mut tap = FusedTap { recorder: recorder.as_mut(), watch, loopback, egress, mono: raw.mono };
        river.input(raw, &mut tap);
    }

    /// The stages.
    pub fn river(&self) -> &River {
        &self.river
    }

    /// Counts and trades.
    pub fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    /// The recorder, when recording.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// Ends the engine and hands out what outlives it.
    pub fn into_parts(self) -> (River, Option<Recorder>, Watch) {
        (self.river, self.recorder, self.watch)
    }
}

struct FusedTap<'a, E> {
    recorder: Option<&'a mut Recorder>,
    watch: &'a mut Watch,
    loopback: &'a mut VecDeque<Input>,
    egress: &'a mut E,
    mono: Nanos,
}

impl<E: Egress> FusedTap<'_, E> {
    fn output(&mut self, key: OutputKey, output: &Output) {
        if let Some(recorder) = &mut self.recorder {
            recorder.output(key, self.mono, output, &[]);
        }
    }
}

impl<E: Egress> Tap for FusedTap<'_, E> {
    fn input(&mut self, seq: Seq, at: Stamp, class: InputClass, raw: &RawInput<'_>) {
        self.mono = at.mono;
        if matches!(raw.input, Input::Frame(_)) {
            self.watch.frame();
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.input(seq, at, class, raw);
        }
    }

    fn event(&mut self, event: &Event) {
        self.watch.event(event);
        if let Some(recorder) = &mut self.recorder {
            recorder.event(event);
        }
    }

    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        self.watch.intent(intent);
        self.output(key, &Output::Intent(*intent));
    }

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.watch.approved(intent);
        self.output(key, &Output::Approved(*intent));
    }

    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        self.watch.denied();
        self.output(key, &Output::Denied(*denial));
        self.loopback.push_back(Input::Denied(*denial));
    }

    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        // Recorded first: what left is always in the journal.
        if let Some(recorder) = &mut self.recorder {
            recorder.message(key, self.mono, message);
        }
        if let Some(fate) = self.egress.send(message, self.mono) {
            self.watch.fate(message, fate);
            let outcome = SendOutcome { message: message.meta.message, fate, order: message.meta.order };
            self.loopback.push_back(Input::Outcome(outcome));
        }
        debug_assert!(self.loopback.len() < LOOPBACK_CAPACITY, "route's credit bounds the loopbacks");
    }

    fn state(&mut self, key: OutputKey, hash: u64) {
        self.output(key, &Output::State(hash));
    }

    fn end(&mut self, seq: Seq) {
        if let Some(recorder) = &mut self.recorder {
            recorder.end(seq, self.mono);
        }
    }
}
