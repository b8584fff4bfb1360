//! The engine on one thread: river and keeper composed, with loopbacks drained in place.

use super::keeper::Keeper;
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, Seq};
use crate::domain::input::{Input, InputClass, RawInput, SendFate, SendOutcome};
use crate::domain::intent::{Basket, Denial, Intent};
use crate::domain::output::{Output, OutputKey, Stage};
use crate::domain::time::{Nanos, Stamp};
use crate::stage::river::{Rehearsal, River, Tap};
use std::collections::VecDeque;

/// Loopbacks that can wait while one input is processed: more than route's credit.
const LOOPBACK_CAPACITY: usize = 2048;

/// Takes messages out of the engine: the socket gateway or the simulated transport.
pub trait Egress {
    /// Sends, schedules or refuses the message. `None` when its fate shows otherwise (an HTTP reply, a
    /// connection that comes up): only socket messages have an outcome.
    fn send(&mut self, message: &OutMsg, mono: Nanos) -> Option<SendFate>;

    /// Does with an imagined message all that [`Egress::send`] does short of letting it leave.
    fn rehearse(&mut self, message: &OutMsg) {
        let _ = message;
    }

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
    held: Held,
    rehearsal: Rehearsal,
}

/// What the present input made, held back until everything has left: recording must not stand between a
/// price and its order. It is written before the next input is taken.
struct Held {
    outputs: Vec<(OutputKey, Output)>,
    /// Messages, with the number of `outputs` that came before each.
    messages: Vec<(usize, OutputKey, OutMsg)>,
}

/// Held outputs and messages beyond these are written at once: a halt cancels many orders.
const HELD_MAX: usize = 16;

impl Held {
    fn new() -> Self {
        Self { outputs: Vec::with_capacity(HELD_MAX), messages: Vec::with_capacity(HELD_MAX) }
    }

    fn is_full(&self) -> bool {
        self.outputs.len() == HELD_MAX || self.messages.len() == HELD_MAX
    }

    /// Warms the places of the first two outputs; does nothing while something is held.
    fn touch(&mut self, basket: &Basket) {
        if self.outputs.is_empty() {
            let key = OutputKey { cause: Seq(0), stage: Stage::Scan, ordinal: 0 };
            self.outputs.push((key, Output::Intent(Intent::Basket(*basket))));
            self.outputs.push((key, Output::Approved(Intent::Basket(*basket))));
            std::hint::black_box(&mut self.outputs).clear();
        }
    }

    /// Writes everything in the order in which it was made.
    fn write(&mut self, keeper: &mut Keeper) {
        let mut messages = self.messages.drain(..).peekable();
        for (index, (key, output)) in self.outputs.drain(..).enumerate() {
            while let Some((_, key, message)) = messages.next_if(|(before, ..)| *before <= index) {
                keeper.message(key, &message);
            }
            match output {
                Output::Intent(intent) => keeper.intent(key, &intent),
                Output::Approved(intent) => keeper.approved(key, &intent),
                Output::Denied(denial) => keeper.denied(key, &denial),
                Output::State(hash) => keeper.state(key, hash),
                Output::Events(_) | Output::Message(_) => {}
            }
        }
        for (_, key, message) in messages {
            keeper.message(key, &message);
        }
    }
}

impl Fused {
    /// Composes an engine.
    pub fn new(river: River, keeper: Keeper) -> Self {
        Self {
            river,
            keeper,
            loopback: VecDeque::with_capacity(LOOPBACK_CAPACITY),
            held: Held::new(),
            rehearsal: Rehearsal::default(),
        }
    }

    /// Passes one input, and every loopback that it causes, through the river.
    pub fn input(&mut self, raw: &RawInput<'_>, egress: &mut impl Egress) {
        self.pass(raw, egress);
        while let Some(input) = self.loopback.pop_front() {
            self.pass(&RawInput { mono: raw.mono, input, bytes: &[] }, egress);
        }
    }

    /// One step of a rehearsal, between two inputs; true when a round has ended. See [`River::rehearse`].
    pub fn rehearse(&mut self, egress: &mut impl Egress) -> bool {
        let Self { river, rehearsal, held, .. } = self;
        river.rehearse(rehearsal, &mut |message| egress.rehearse(message));
        // Between inputs nothing is held: the places where an intent will wait are touched and left empty.
        held.touch(rehearsal.basket());
        rehearsal.is_at_start()
    }

    fn pass(&mut self, raw: &RawInput<'_>, egress: &mut impl Egress) {
        let Self { river, keeper, loopback, held, .. } = self;
        let mut tap = FusedTap { keeper, loopback, held, egress, mono: raw.mono, numbered: None };
        river.input(raw, &mut tap);
        if let Some((seq, at, class)) = tap.numbered {
            keeper.input(seq, at, class, raw);
            held.write(keeper);
            keeper.end(seq);
        }
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
    held: &'a mut Held,
    egress: &'a mut E,
    mono: Nanos,
    numbered: Option<(Seq, Stamp, InputClass)>,
}

impl<E: Egress> FusedTap<'_, E> {
    fn hold(&mut self, key: OutputKey, output: Output) {
        if self.held.is_full() {
            self.held.write(self.keeper);
        }
        self.held.outputs.push((key, output));
    }
}

impl<E: Egress> Tap for FusedTap<'_, E> {
    fn input(&mut self, seq: Seq, at: Stamp, class: InputClass, _raw: &RawInput<'_>) {
        self.mono = at.mono;
        self.numbered = Some((seq, at, class));
    }

    fn event(&mut self, event: &Event) {
        self.keeper.event(event);
    }

    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        self.hold(key, Output::Intent(*intent));
    }

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.hold(key, Output::Approved(*intent));
    }

    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        self.hold(key, Output::Denied(*denial));
        self.loopback.push_back(Input::Denied(*denial));
    }

    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        if let Some(fate) = self.egress.send(message, self.mono) {
            let outcome = SendOutcome { message: message.meta.message, fate, order: message.meta.order };
            self.loopback.push_back(Input::Outcome(outcome));
        }
        debug_assert!(self.loopback.len() < LOOPBACK_CAPACITY, "route's credit bounds the loopbacks");
        if self.held.is_full() {
            self.held.write(self.keeper);
        }
        self.held.messages.push((self.held.outputs.len(), key, *message));
    }

    fn state(&mut self, key: OutputKey, hash: u64) {
        self.hold(key, Output::State(hash));
    }

    fn end(&mut self, _seq: Seq) {}

    fn enter(&mut self, stage: Stage) {
        self.egress.enter(Some(stage));
    }
}
