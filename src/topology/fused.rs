//! The engine on one thread: river and keeper composed, with loopbacks drained in place.

use super::keeper::Keeper;
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, Seq};
use crate::domain::input::{Input, InputClass, RawInput, SendFate};
use crate::domain::intent::{Basket, Denial, Intent, LEGS_MAX, NearMiss};
use crate::domain::output::{Output, OutputKey, Stage};
use crate::domain::time::{Nanos, Stamp};
use crate::stage::gateway::outcome;
use crate::stage::river::{Rehearsal, River, Tap};
use std::collections::VecDeque;

/// Loopbacks that can wait while one input is processed: more than route's credit.
const LOOPBACK_CAPACITY: usize = 2048;

/// Takes messages out of the engine: the socket gateway or the simulated transport.
pub trait Egress {
    /// Sends, schedules or refuses the message. `None` when its fate shows otherwise (an HTTP reply, a
    /// connection that comes up): see [`crate::domain::effect::OutMeta::has_outcome`].
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
    /// Legs of the basket at hand, kept back until all of them are recorded; `None` = write-ahead off.
    legs: Option<Vec<OutMsg>>,
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
                Output::NearMiss(near) => keeper.near_miss(key, &near),
                Output::Events(_) | Output::Message(_) | Output::Amendment(_) => {}
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
            legs: None,
        }
    }

    /// Records opening orders, whole baskets at a time, before they leave.
    #[must_use]
    pub fn with_write_ahead(mut self, on: bool) -> Self {
        self.legs = on.then(|| Vec::with_capacity(LEGS_MAX));
        self
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
        let Self { river, keeper, loopback, held, legs, .. } = self;
        let mut tap = FusedTap {
            keeper,
            loopback,
            held,
            legs: legs.as_mut(),
            egress,
            raw,
            mono: raw.mono,
            numbered: None,
            recorded: false,
        };
        river.input(raw, &mut tap);
        let recorded = tap.recorded;
        if let Some((seq, at, class)) = tap.numbered {
            if !recorded {
                keeper.input(seq, at, class, raw);
            }
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
    legs: Option<&'a mut Vec<OutMsg>>,
    egress: &'a mut E,
    raw: &'a RawInput<'a>,
    mono: Nanos,
    numbered: Option<(Seq, Stamp, InputClass)>,
    /// The present input is in the journal already.
    recorded: bool,
}

impl<E: Egress> FusedTap<'_, E> {
    fn hold(&mut self, key: OutputKey, output: Output) {
        if self.held.is_full() {
            self.held.write(self.keeper);
        }
        self.held.outputs.push((key, output));
    }

    fn send(&mut self, message: &OutMsg) {
        if let Some(fate) = self.egress.send(message, self.mono) {
            self.loopback.push_back(outcome(&message.meta, fate));
        }
        debug_assert!(self.loopback.len() < LOOPBACK_CAPACITY, "route's credit bounds the loopbacks");
    }

    /// Records everything so far, then sends the basket at hand: write-ahead.
    fn record_and_send(&mut self) {
        if let (false, Some((seq, at, class))) = (self.recorded, self.numbered) {
            self.recorded = true;
            self.keeper.input(seq, at, class, self.raw);
        }
        self.held.write(self.keeper);
        self.keeper.watch_journal();
        let Some(legs) = self.legs.take() else { return };
        for message in legs.iter() {
            self.send(message);
        }
        legs.clear();
        self.legs = Some(legs);
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
        let held_back = match &mut self.legs {
            Some(legs) if message.meta.is_opening() => {
                legs.push(*message);
                true
            }
            _ => false,
        };
        if !held_back {
            self.send(message);
        }
        if self.held.is_full() {
            self.held.write(self.keeper);
        }
        self.held.messages.push((self.held.outputs.len(), key, *message));
        if held_back && message.meta.message == message.token {
            self.record_and_send();
        }
    }

    fn near_miss(&mut self, key: OutputKey, near: &NearMiss) {
        self.hold(key, Output::NearMiss(*near));
    }

    fn state(&mut self, key: OutputKey, hash: u64) {
        self.hold(key, Output::State(hash));
    }

    fn end(&mut self, _seq: Seq) {}

    fn enter(&mut self, stage: Stage) {
        self.egress.enter(Some(stage));
    }
}
