//! The gateway on its own thread: frames into the slab, messages out, urgent ones first.

use super::hops::{Arrival, Body};
use crate::domain::effect::OutMsg;
use crate::domain::event::{Seq, SessionRole};
use crate::domain::input::{Input, SendFate};
use crate::domain::time::Nanos;
use crate::ops::latency::Path;
use crate::ops::view::Board;
use crate::ring::slab::SlabWriter;
use crate::ring::spsc::{Receiver, Sender};
use crate::runtime::agent::{Agent, StopFlag};
use crate::runtime::clock::Clock;
use crate::runtime::idle::IdleMode;
use crate::stage::decode::ConnInfo;
use crate::stage::gateway::{FRAME_MAX, Gateway, outcome};
use crate::stage::route::CREDIT_MAX;
use crate::topology::probe::Probe;
use std::time::Duration;

/// Messages and frames per round.
const BATCH: usize = 32;

/// Longest sleep in a poll when parking: messages from route wait at most this long.
const NAP: Duration = Duration::from_micros(200);

/// The gateway agent.
pub struct GatewayAgent {
    /// Sockets and egress gate.
    pub gateway: Gateway,
    /// Connections.
    pub conns: Vec<ConnInfo>,
    /// This thread's clock.
    pub clock: Clock,
    /// How it waits.
    pub idle: IdleMode,
    /// For failures of the poll itself.
    pub stop: StopFlag,
    /// Cancels, hedges, queries.
    pub urgent: Receiver<OutMsg>,
    /// Everything else.
    pub normal: Receiver<OutMsg>,
    /// Private and order connections, connection states, replies, outcomes: in one order, so that the
    /// word `Sent` always precedes the venue's answer to what was sent.
    pub private: Sender<Arrival>,
    /// Market data.
    pub market: Sender<Arrival>,
    /// Frame memory.
    pub slab: SlabWriter,
    /// Where failures are shown.
    pub board: Board,
    /// Scratch.
    pub bytes: Vec<u8>,
    /// Own histograms.
    pub probe: Probe,
    /// Cause of the latest order and when its last message left.
    pub last_order: Option<(Seq, Nanos, Nanos)>,
    /// Frame that found no slab slot yet.
    pub waiting: Option<Arrival>,
    /// Times that reading stopped because a ring or the slab was full.
    pub stalls: u64,
    /// Nothing was found last time.
    pub rested: bool,
    /// When notes were shown last.
    pub noted: Nanos,
}

impl GatewayAgent {
    fn carry_out(&mut self, message: &OutMsg) {
        let fate = self.gateway.carry_out(message, self.clock.mono_ns());
        if let Some(fate) = fate {
            let now = self.clock.mono_ns();
            if message.meta.order.is_some() && fate == SendFate::Sent {
                self.measure(message, now);
            }
            let input = outcome(message.meta.message, fate, message.meta.order);
            let arrival = Arrival { mono: now, readable: now, input, body: Body::None };
            // Never waited on: reading private sockets stops while fewer slots than the credit are free.
            if self.private.try_push(arrival).is_err() {
                self.stop.fail("the loopback of send outcomes is full although credit bounds it".into());
            }
        }
    }

    fn measure(&mut self, message: &OutMsg, now: Nanos) {
        match &mut self.last_order {
            Some((cause, _, last)) if *cause == message.meta.cause => *last = now,
            _ => {
                self.flush_order();
                self.last_order = Some((message.meta.cause, message.meta.cause_mono, now));
                self.probe.record(Path::TickToOrder, now - message.meta.cause_mono);
            }
        }
    }

    fn flush_order(&mut self) {
        if let Some((_, from, last)) = self.last_order.take() {
            self.probe.record(Path::WireToWire, last - from);
        }
    }

    fn messages(&mut self) -> usize {
        let mut work = 0;
        while work < BATCH {
            let Some(message) = self.urgent.pop().or_else(|| self.normal.pop()) else { break };
            self.carry_out(&message);
            work += 1;
        }
        work
    }

    /// Hands the waiting arrival to decode; false = no room now.
    fn hand_over(&mut self) -> bool {
        let Some(mut arrival) = self.waiting.take() else { return true };
        let market = match arrival.input {
            Input::Frame(meta) => self.is_market(meta.conn.index()),
            Input::ConnUp { conn, .. } | Input::ConnDown { conn, .. } => self.is_market(conn.index()),
            _ => false,
        };
        let room =
            if market { self.market.has_room(1) } else { self.private.has_room(CREDIT_MAX as usize + 1) };
        let leased = matches!(arrival.body, Body::Slot(_));
        if room && !leased && matches!(arrival.input, Input::Frame(_)) {
            // The gateway's socket limits keep frames within the largest slot.
            match self.slab.publish(&self.bytes) {
                Ok(lease) => arrival.body = Body::Slot(lease),
                Err(_) => {
                    self.waiting = Some(arrival);
                    return false;
                }
            }
        }
        if !room {
            self.waiting = Some(arrival);
            return false;
        }
        let ring = if market { &mut self.market } else { &mut self.private };
        let pushed = ring.try_push(arrival).is_ok();
        debug_assert!(pushed, "room was checked");
        true
    }

    fn is_market(&self, conn: usize) -> bool {
        self.conns.get(conn).is_some_and(|info| info.role == SessionRole::Market)
    }
}

impl Agent for GatewayAgent {
    fn on_start(&mut self) {
        self.bytes.reserve(FRAME_MAX);
    }

    fn do_work(&mut self) -> usize {
        let mut work = self.messages();
        for _ in 0..BATCH {
            if self.waiting.is_some() {
                // Full rings and slabs stop the reading, never the writing.
                if !self.hand_over() {
                    self.stalls += 1;
                    return work;
                }
                work += 1;
            }
            let timeout =
                if self.idle == IdleMode::Park && self.rested && work == 0 { NAP } else { Duration::ZERO };
            let clock = &mut self.clock;
            let found = match self.gateway.next(&mut self.bytes, timeout, &mut || clock.mono_ns()) {
                Ok(found) => found,
                Err(failure) => {
                    self.stop.fail(format!("polling the sockets failed: {failure}"));
                    return 0;
                }
            };
            self.rested = found.is_none();
            let Some(inbound) = found else {
                // A nap counts as work: the runner must not add its own sleep to it.
                work += usize::from(!timeout.is_zero());
                break;
            };
            let mono = self.clock.mono_ns();
            let body = match inbound.input {
                Input::HttpReply { .. } if !self.bytes.is_empty() => Body::Heap(self.bytes.clone()),
                _ => Body::None,
            };
            self.waiting = Some(Arrival { mono, readable: inbound.readable, input: inbound.input, body });
        }
        let now = self.clock.mono_ns();
        if now - self.noted > crate::topology::live::PUBLISH_INTERVAL_NS {
            self.noted = now;
            self.probe.hand_over(now);
            crate::topology::publish::notes(&self.gateway, &self.board);
        }
        work
    }

    fn on_close(&mut self) {
        self.flush_order();
        crate::topology::publish::notes(&self.gateway, &self.board);
        self.gateway.stop();
        self.probe.close();
    }
}
