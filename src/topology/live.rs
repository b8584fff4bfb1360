//! The live engine on one thread (profile `fused`): sockets, clock and river in one duty cycle.
//!
//! The threaded profiles share everything here but the loop: see `threaded`.

use super::fused::{Egress, Fused};
use crate::domain::effect::OutMsg;
use crate::domain::event::SessionRole;
use crate::domain::input::{Command, Input, RawInput, SendFate};
use crate::domain::output::Stage;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::ops::latency::{Latency, Path, StageClock};
use crate::ops::view::Board;
use crate::runtime::clock::Clock;
use crate::runtime::idle::Idle;
use crate::stage::decode::ConnInfo;
use crate::stage::gateway::Gateway;
use crate::topology::publish;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// Interval of published views.
pub const PUBLISH_INTERVAL_NS: Nanos = 200 * MILLI;

/// Interval of clock anchors.
pub const ANCHOR_INTERVAL_NS: Nanos = SECOND;

/// What a live engine is controlled by.
pub struct Control {
    /// Ends the loop.
    pub stop: Arc<AtomicBool>,
    /// Commands to be sequenced.
    pub commands: Receiver<Command>,
    /// Where figures go.
    pub board: Board,
    /// What to do when nothing is waiting.
    pub idle: Idle,
}

/// Runs until told to stop; returns the engine and its latencies.
pub fn run_fused(
    mut engine: Fused,
    mut gateway: Gateway,
    conns: &[ConnInfo],
    mut clock: Clock,
    config: &[u8],
    control: &Control,
) -> std::io::Result<(Fused, Gateway, Latency)> {
    let mut latency = Latency::new();
    let mut stages = StageClock::default();
    let mut bytes = Vec::with_capacity(crate::stage::gateway::FRAME_MAX);
    let now = clock.mono_ns();
    let mut anchor = clock.wall_ns() - now;
    for (input, body) in
        [(Input::Config, config), (Input::Anchor(anchor), &[][..]), (Input::Command(Command::Start), &[][..])]
    {
        let mut egress = LiveEgress::new(&mut gateway, &mut clock, &mut latency, &mut stages);
        engine.input(&RawInput { mono: now, input, bytes: body }, &mut egress);
    }
    let (mut last_input, mut last_publish, mut last_anchor) = (now, now, now);
    while !control.stop.load(Ordering::Acquire) {
        let timeout = match control.idle {
            Idle::Park => Duration::from_nanos((last_input + MILLI - clock.mono_ns()).clamp(0, MILLI) as u64),
            Idle::Spin | Idle::Yield => Duration::ZERO,
        };
        let found = gateway.next(&mut bytes, timeout, &mut || clock.mono_ns())?;
        if let Some(inbound) = found {
            let read_at = clock.mono_ns();
            last_input = read_at;
            let market = matches!(inbound.input, Input::Frame(meta) if conns[meta.conn.index()].role == SessionRole::Market);
            let mut egress = LiveEgress::new(&mut gateway, &mut clock, &mut latency, &mut stages);
            egress.readable = inbound.readable;
            egress.read_at = read_at;
            engine.input(&RawInput { mono: read_at, input: inbound.input, bytes: &bytes }, &mut egress);
            egress.finish();
            if market {
                latency.record(Path::MarketData, clock.mono_ns() - inbound.readable);
                stages.flush(&mut latency);
            }
            continue;
        }
        let now = clock.mono_ns();
        if now - last_input < MILLI {
            control.idle.rest();
            continue;
        }
        last_input = now;
        let mut input = Input::Tick;
        if let Ok(command) = control.commands.try_recv() {
            input = Input::Command(command);
        } else if now - last_anchor > ANCHOR_INTERVAL_NS {
            last_anchor = now;
            let drifted = clock.wall_ns() - now;
            // A stepped or drifting wall clock is an input like any other.
            if (drifted - anchor).abs() > 10_000 {
                anchor = drifted;
                input = Input::Anchor(anchor);
            }
        }
        let mut egress = LiveEgress::new(&mut gateway, &mut clock, &mut latency, &mut stages);
        egress.readable = now;
        egress.read_at = now;
        engine.input(&RawInput { mono: now, input, bytes: &[] }, &mut egress);
        engine.keeper().watch().drain_trades(|duration| latency.record(Path::EndToEndTrade, duration));
        if now - last_publish > PUBLISH_INTERVAL_NS {
            last_publish = now;
            let notes = gateway.take_notes();
            publish::fused(&mut engine, &latency, notes, now, &control.board);
        }
    }
    engine.keeper().watch().drain_trades(|duration| latency.record(Path::EndToEndTrade, duration));
    gateway.stop();
    Ok((engine, gateway, latency))
}

/// Sends through the gateway and measures.
struct LiveEgress<'a> {
    gateway: &'a mut Gateway,
    clock: &'a mut Clock,
    latency: &'a mut Latency,
    stages: &'a mut StageClock,
    readable: Nanos,
    read_at: Nanos,
    first_order: Option<Nanos>,
    last_order: Nanos,
}

impl<'a> LiveEgress<'a> {
    fn new(
        gateway: &'a mut Gateway,
        clock: &'a mut Clock,
        latency: &'a mut Latency,
        stages: &'a mut StageClock,
    ) -> Self {
        Self { gateway, clock, latency, stages, readable: 0, read_at: 0, first_order: None, last_order: 0 }
    }

    /// Records what the orders of this input took.
    fn finish(self) {
        if let Some(first) = self.first_order {
            self.latency.record(Path::TickToOrder, first - self.read_at);
            self.latency.record(Path::WireToWire, self.last_order - self.readable);
        }
    }
}

impl Egress for LiveEgress<'_> {
    fn send(&mut self, message: &OutMsg, _mono: Nanos) -> Option<SendFate> {
        let now = self.clock.mono_ns();
        let fate = self.gateway.carry_out(message, now);
        if message.meta.order.is_some() && fate == Some(SendFate::Sent) {
            let sent = self.clock.mono_ns();
            self.first_order.get_or_insert(sent);
            self.last_order = sent;
        }
        fate
    }

    fn enter(&mut self, stage: Option<Stage>) {
        self.stages.enter(stage, self.clock.mono_ns());
    }
}
