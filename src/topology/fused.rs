//! The engine on one thread: river and keeper composed, with loopbacks drained in place.

use super::keeper::Keeper;
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, Seq};
use crate::domain::input::{Input, InputClass, RawInput, SendFate, SendOutcome};
use crate::domain::intent::{Denial, Intent};
use crate::domain::output::{OutputKey, Stage};
use crate::domain::time::{Nanos, Stamp};
use crate::stage::river::{River, Tap};
use std::collections::VecDeque;

/// Loopbacks that can wait while one input is processed: more than route's credit.
const LOOPBACK_CAPACITY: usize = 2048;

/// Takes messages out of the engine: the socket gateway or the simulated transport.
pub trait Egress {
    /// Sends, schedules or refuses the message. `None` when its fate shows otherwise (an HTTP reply, a
    /// connection that comes up): only socket messages have an outcome.
    fn send(&mut self, message: &OutMsg, mono: Nanos) -> Option<SendFate>;

    /// The stage that works from now on; `None` = none. For latency accounting, never for decisions.
    fn enter(&mut self, stage: Option<Stage>) {
        let _ = stage;
    }
}

/// The engine on one thread.
pub struct Fused {
    river: River,
    keeper: Keeper,
    loopback: VecDeque<Input>,
}

impl Fused {
    /// Composes an engine.
    pub fn new(river: River, keeper: Keeper) -> Self {
        Self { river, keeper, loopback: VecDeque::with_capacity(LOOPBACK_CAPACITY) }
    }

    /// Passes one input, and every loopback that it causes, through the river.
    pub fn input(&mut self, raw: &RawInput<'_>, egress: &mut impl Egress) {
        self.pass(raw, egress);
        while let Some(input) = self.loopback.pop_front() {
            self.pass(&RawInput { mono: raw.mono, input, bytes: &[] }, egress);
        }
    }

    fn pass(&mut self, raw: &RawInput<'_>, egress: &mut impl Egress) {
        let Self { river, keeper, loopback } = self;
        let mut tap = FusedTap { keeper, loopback, egress, mono: raw.mono };
        river.input(raw, &mut tap);
        egress.enter(None);
    }

    /// The stages.
    pub fn river(&self) -> &River {
        &self.river
    }

    /// Recorder, counts and trades.
    pub fn keeper(&mut self) -> &mut Keeper {
        &mut self.keeper
    }

    /// Ends the engine and hands out what outlives it.
    pub fn into_parts(self) -> (River, Keeper) {
        (self.river, self.keeper)
    }
}

struct FusedTap<'a, E> {
    keeper: &'a mut Keeper,
    loopback: &'a mut VecDeque<Input>,
    egress: &'a mut E,
    mono: Nanos,
}

impl<E: Egress> Tap for FusedTap<'_, E> {
    fn input(&mut self, seq: Seq, at: Stamp, class: InputClass, raw: &RawInput<'_>) {
        self.mono = at.mono;
        self.keeper.input(seq, at, class, raw);
    }

    fn event(&mut self, event: &Event) {
        self.keeper.event(event);
    }

    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        self.keeper.intent(key, intent);
    }

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.keeper.approved(key, intent);
    }

    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        self.keeper.denied(key, denial);
        self.loopback.push_back(Input::Denied(*denial));
    }

    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        // Recorded first: what left is always in the journal.
        self.keeper.message(key, message);
        let fate = self.egress.send(message, self.mono);
        if let Some(fate) = fate {
            let outcome = SendOutcome { message: message.meta.message, fate, order: message.meta.order };
            self.loopback.push_back(Input::Outcome(outcome));
        }
        debug_assert!(self.loopback.len() < LOOPBACK_CAPACITY, "route's credit bounds the loopbacks");
    }

    fn state(&mut self, key: OutputKey, hash: u64) {
        self.keeper.state(key, hash);
    }

    fn end(&mut self, seq: Seq) {
        self.keeper.end(seq);
    }

    fn enter(&mut self, stage: Stage) {
        self.egress.enter(Some(stage));
    }
}
