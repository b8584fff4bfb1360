//! The live engine on one thread (profile `fused`): sockets, clock and river in one duty cycle.
//!
//! The threaded profiles share gateway, stages and keeper with it, not the cycle: see `threaded`.

use super::fused::{Egress, Fused};
use super::opening::Opening;
use super::probe::Probe;
use super::publish;
use super::threaded::record::Chores;
use crate::domain::effect::OutMsg;
use crate::domain::event::SessionRole;
use crate::domain::input::{Command, Input, RawInput, SendFate};
use crate::domain::output::Stage;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::ops::latency::{ORDER_PARTS, Path, StageClock};
use crate::ops::view::Board;
use crate::runtime::agent::{Agent, StopFlag};
use crate::runtime::clock::Clock;
use crate::runtime::idle::IdleMode;
use crate::stage::decode::ConnInfo;
use crate::stage::gateway::{FRAME_MAX, Gateway};
use crate::telemetry::stall::StallTracker;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// Interval of published views.
pub const PUBLISH_INTERVAL_NS: Nanos = 200 * MILLI;

/// Interval at which the wall clock is compared with the anchor.
const ANCHOR_INTERVAL_NS: Nanos = SECOND;

/// Drift of the wall clock that is worth a new anchor, ns.
const ANCHOR_DRIFT_NS: Nanos = 10_000;

/// Turns of a duty cycle further apart than this are stalls. A thread that parks sleeps for 1 ms at most.
pub const STALL_NS: Nanos = 3 * MILLI;

/// Between the beginnings of two rehearsals of an order's way. Shorter warms no better and longer lets the
/// caches forget: see docs/PERFORMANCE.md.
pub const REHEARSAL_INTERVAL_NS: Nanos = 25_000;

/// Makes the inputs that come from time and from people: ticks, anchors, commands.
pub struct Metronome {
    commands: Receiver<Command>,
    anchor: Nanos,
    /// When decode's timers last ran: with the first input a millisecond after the time before.
    timers_at: Nanos,
    last_anchor: Nanos,
}

impl Metronome {
    /// Starts at `now`; the first anchor is `anchor`.
    pub fn new(commands: Receiver<Command>, anchor: Nanos, now: Nanos) -> Self {
        Self { commands, anchor, timers_at: now, last_anchor: now }
    }

    /// Something else was sequenced at `now`.
    #[inline]
    pub fn heard(&mut self, now: Nanos) {
        if now - self.timers_at >= MILLI {
            self.timers_at = now;
        }
    }

    /// Commands and anchors: asked for in every round, so that steady traffic cannot hold them up.
    #[inline]
    pub fn urgent(&mut self, now: Nanos, clock: &mut Clock) -> Option<Input> {
        if let Ok(command) = self.commands.try_recv() {
            return Some(Input::Command(command));
        }
        if now - self.last_anchor > ANCHOR_INTERVAL_NS {
            self.last_anchor = now;
            let anchor = clock.wall_offset_ns();
            // A stepped or drifting wall clock is an input like any other.
            if (anchor - self.anchor).abs() > ANCHOR_DRIFT_NS {
                self.anchor = anchor;
                return Some(Input::Anchor(anchor));
            }
        }
        None
    }

    /// A tick, when timers are due and nothing else is: the next frame, which may be a price that pays,
    /// finds them done.
    #[inline]
    pub fn tick(&mut self, now: Nanos) -> Option<Input> {
        if now - self.timers_at < MILLI {
            return None;
        }
        self.timers_at = now;
        Some(Input::Tick)
    }

    /// How long the gateway may sleep before the next tick is due.
    pub fn patience(&self, now: Nanos) -> Duration {
        Duration::from_nanos((self.timers_at + MILLI - now).clamp(0, MILLI) as u64)
    }
}

/// The whole engine as one agent.
pub struct FusedAgent {
    engine: Fused,
    gateway: Gateway,
    conns: Vec<ConnInfo>,
    clock: Clock,
    metronome: Metronome,
    idle: IdleMode,
    stop: StopFlag,
    board: Board,
    probe: Probe,
    stages: StageClock,
    bytes: Vec<u8>,
    opening: Opening,
    rested: bool,
    turns: StallTracker,
    last_publish: Nanos,
    /// Rehearse in idle rounds.
    rehearses: bool,
    /// When the latest rehearsal began.
    rehearsed_at: Nanos,
    /// A rehearsal has begun and not ended.
    rehearsing: bool,
}

impl FusedAgent {
    /// Puts the engine together; `opening` is recorded first.
    #[allow(clippy::too_many_arguments)] // the parts of an engine, each used once
    pub fn new(
        engine: Fused,
        gateway: Gateway,
        conns: Vec<ConnInfo>,
        mut clock: Clock,
        commands: Receiver<Command>,
        idle: IdleMode,
        stop: StopFlag,
        board: Board,
        opening: Opening,
        probe: Probe,
    ) -> Self {
        let now = clock.mono_ns();
        let anchor = clock.wall_offset_ns();
        Self {
            engine,
            gateway,
            conns,
            metronome: Metronome::new(commands, anchor, now),
            clock,
            idle,
            stop,
            board,
            probe,
            stages: StageClock::default(),
            bytes: Vec::with_capacity(FRAME_MAX),
            opening,
            rested: false,
            turns: StallTracker::new(STALL_NS),
            last_publish: now,
            rehearses: false,
            rehearsed_at: now,
            rehearsing: false,
        }
    }

    /// Keeps the way of orders warm in idle rounds: see [`Fused::rehearse`]. A thread that sleeps has none.
    #[must_use]
    pub fn with_rehearsals(mut self, on: bool) -> Self {
        self.rehearses = on && self.idle != IdleMode::Park;
        self
    }

    /// One step of a rehearsal when it is time for one. Not an input: it has no number, no record and no
    /// place in a histogram.
    fn rehearse(&mut self, now: Nanos) {
        if !self.rehearsing && now - self.rehearsed_at < REHEARSAL_INTERVAL_NS {
            return;
        }
        if !self.rehearsing {
            self.rehearsed_at = now;
        }
        self.rehearsing = !self.engine.rehearse(&mut Rehearsing { gateway: &mut self.gateway, now });
    }

    fn input(&mut self, input: Input, readable: Nanos, mono: Nanos) {
        let mut egress = LiveEgress {
            gateway: &mut self.gateway,
            clock: &mut self.clock,
            stages: &mut self.stages,
            first: None,
            last_order: 0,
        };
        self.engine.input(&RawInput { mono, input, bytes: &self.bytes }, &mut egress);
        if let Some(first) = egress.first {
            let last = egress.last_order;
            self.probe.record(Path::TickToOrder, first.sent - mono);
            self.probe.record(Path::WireToWire, last - readable);
            self.probe.record(Path::TickToWrite, first.write_began() - mono);
            for (part, spent) in ORDER_PARTS.into_iter().zip(first.parts()) {
                self.probe.record(Path::Order(part), spent);
            }
        }
    }

    /// Hands out the engine.
    pub fn into_engine(self) -> Fused {
        self.engine
    }

    fn publish(&mut self, now: Nanos) {
        self.last_publish = now;
        publish::notes(&self.gateway, &self.board);
        publish::turns(&self.turns, &self.board);
        let parts = self.engine.river().parts();
        publish::decode(&parts.decode, &self.board);
        publish::scan(parts.scan.scanner(), parts.scan.listings(), &self.board);
        publish::risk(parts.risk.rules(), &self.board);
        // Percentiles are computed where the boxes go.
        self.engine.keeper().publish(&mut self.probe, now, &self.board);
    }
}

impl Agent for FusedAgent {
    fn on_start(&mut self) {
        let now = self.clock.mono_ns();
        for (input, bytes) in std::mem::take(&mut self.opening).inputs(self.metronome.anchor) {
            self.bytes = bytes;
            self.input(input, now, now);
        }
        self.bytes.clear();
        self.bytes.reserve(FRAME_MAX);
    }

    fn do_work(&mut self) -> usize {
        let now = self.clock.mono_ns();
        self.turns.turn(now);
        if let Some(input) = self.metronome.urgent(now, &mut self.clock) {
            self.metronome.heard(now);
            self.bytes.clear();
            self.input(input, now, now);
            self.stages.discard();
        }
        if now - self.last_publish > PUBLISH_INTERVAL_NS {
            self.publish(now);
        }
        // Sleeping happens in the poll of the sockets, so that a frame ends it.
        let sleep = self.rested && self.idle == IdleMode::Park;
        let timeout = if sleep { self.metronome.patience(self.clock.mono_ns()) } else { Duration::ZERO };
        let clock = &mut self.clock;
        let found = match self.gateway.next(&mut self.bytes, true, timeout, &mut || clock.mono_ns()) {
            Ok(found) => found,
            Err(failure) => {
                self.stop.fail(format!("polling the sockets failed: {failure}"));
                return 0;
            }
        };
        self.rested = found.is_none();
        if let Some(inbound) = found {
            let read_at = self.clock.mono_ns();
            self.metronome.heard(read_at);
            self.input(inbound.input, inbound.readable, read_at);
            if let Input::Frame(meta) = inbound.input
                && self.conns[meta.conn.index()].role == SessionRole::Market
            {
                self.probe.record(Path::MarketData, self.clock.mono_ns() - inbound.readable);
            }
            self.stages.flush(self.probe.latency());
            return 1;
        }
        let now = self.clock.mono_ns();
        let Some(input) = self.metronome.tick(now) else {
            if self.rehearses {
                self.rehearse(now);
            }
            return usize::from(sleep);
        };
        self.bytes.clear();
        self.input(input, now, now);
        self.stages.discard();
        usize::from(sleep)
    }

    fn on_close(&mut self) {
        self.publish(self.last_publish);
        self.probe.close();
        self.gateway.stop();
    }
}

/// Sends through the gateway and measures.
struct LiveEgress<'a> {
    gateway: &'a mut Gateway,
    clock: &'a mut Clock,
    stages: &'a mut StageClock,
    first: Option<FirstOrder>,
    last_order: Nanos,
}

/// The first order of an input.
#[derive(Clone, Copy)]
struct FirstOrder {
    /// Time in each stage until it was handed to the gateway.
    stages: [Nanos; 4],
    handed: Nanos,
    write_began: Nanos,
    sent: Nanos,
}

impl FirstOrder {
    fn write_began(&self) -> Nanos {
        self.write_began.clamp(self.handed, self.sent)
    }

    /// By [`ORDER_PARTS`].
    fn parts(&self) -> [Nanos; 6] {
        let [decode, scan, risk, route] = self.stages;
        let write_began = self.write_began();
        [decode, scan, risk, route, write_began - self.handed, self.sent - write_began]
    }
}

/// The gateway in a rehearsal: nothing leaves.
struct Rehearsing<'a> {
    gateway: &'a mut Gateway,
    now: Nanos,
}

impl Egress for Rehearsing<'_> {
    fn send(&mut self, _: &OutMsg, _: Nanos) -> Option<SendFate> {
        None
    }

    fn rehearse(&mut self, message: &OutMsg) {
        self.gateway.rehearse(message, self.now);
    }
}

impl Egress for LiveEgress<'_> {
    fn send(&mut self, message: &OutMsg, _mono: Nanos) -> Option<SendFate> {
        let handed = self.clock.mono_ns();
        let fate = self.gateway.carry_out(message, handed);
        if message.meta.order.is_some() && fate.is_some_and(SendFate::has_left) {
            let sent = self.clock.mono_ns();
            let (stages, gateway) = (&*self.stages, &*self.gateway);
            self.first.get_or_insert_with(|| FirstOrder {
                stages: stages.so_far(handed),
                handed,
                write_began: gateway.write_began(),
                sent,
            });
            self.last_order = sent;
        }
        fate
    }

    fn enter(&mut self, stage: Option<Stage>) {
        self.stages.enter(stage, self.clock.mono_ns());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_comes_when_timers_are_due_and_not_when_an_input_has_just_run_them() {
        let (_commands, received) = std::sync::mpsc::channel();
        let mut metronome = Metronome::new(received, 0, 0);
        metronome.heard(MILLI / 2);
        assert_eq!(metronome.tick(MILLI - 1), None);
        assert_eq!(metronome.tick(MILLI), Some(Input::Tick), "inputs before it do not put it off");
        assert_eq!(metronome.tick(MILLI + 1), None);
        metronome.heard(2 * MILLI);
        assert_eq!(metronome.tick(2 * MILLI + 1), None, "that input ran the timers");
        assert_eq!(metronome.patience(2 * MILLI + MILLI / 4), Duration::from_micros(750));
        assert_eq!(metronome.tick(3 * MILLI), Some(Input::Tick));
    }

    #[test]
    fn the_parts_of_an_order_add_up() {
        let order = FirstOrder { stages: [5, 7, 11, 13], handed: 1_000, write_began: 1_017, sent: 1_040 };
        assert_eq!(order.parts(), [5, 7, 11, 13, 17, 23]);
        let untimed = FirstOrder { write_began: 0, ..order };
        assert_eq!(untimed.parts()[4..], [0, 40], "without a timer the gate's time counts as the write's");
    }
}
