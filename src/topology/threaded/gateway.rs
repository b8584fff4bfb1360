//! The gateway on its own thread: frames into the slab, messages out, urgent ones first.

use super::hops::{Arrival, Body};
use crate::domain::effect::OutMsg;
use crate::domain::event::{Seq, SessionRole};
use crate::domain::input::{Input, RefuseReason, SendFate};
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
use crate::telemetry::stall::StallTracker;
use crate::topology::probe::Probe;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// A private arrival that found no room yet; its bytes are in `bytes`.
    pub waiting_private: Option<Arrival>,
    /// Market arrivals that found no room yet, in order: one frame at most, whose bytes are in
    /// `market_bytes`, and changes of connections.
    pub waiting_market: VecDeque<Arrival>,
    /// See `waiting_market`.
    pub market_bytes: Vec<u8>,
    /// A market arrival waits.
    pub market_waits: bool,
    /// Times that reading stopped because a ring or the slab was full.
    pub stalls: u64,
    /// How regularly the duty cycle runs.
    pub turns: StallTracker,
    /// Nothing was found last time.
    pub rested: bool,
    /// When notes were shown last.
    pub noted: Nanos,
    /// Set at the end: route waits for no room here any more.
    pub closed: Arc<AtomicBool>,
}

impl GatewayAgent {
    fn carry_out(&mut self, message: &OutMsg) {
        let fate = self.gateway.carry_out(message, self.clock.mono_ns());
        if let Some(fate) = fate {
            let now = self.clock.mono_ns();
            if message.meta.order.is_some() && fate.has_left() {
                self.measure(message, now);
            }
            self.answer(message, fate);
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
            let Some((message, abandoned)) = self.next_message() else { break };
            if abandoned {
                self.answer(&message, SendFate::Refused(RefuseReason::Journal));
            } else {
                self.carry_out(&message);
            }
            work += 1;
        }
        work
    }

    /// Loops the fate of a message back.
    fn answer(&mut self, message: &OutMsg, fate: SendFate) {
        let now = self.clock.mono_ns();
        let input = outcome(&message.meta, fate);
        let arrival = Arrival { mono: now, readable: now, input, body: Body::None };
        // Never waited on: reading private sockets stops while fewer slots than the credit are free.
        if self.private.try_push(arrival).is_err() {
            self.stop.fail("the loopback of send outcomes is full although credit bounds it".into());
        }
    }

    /// Hands an arrival to decode, or keeps it as the one that waits; false = no room now.
    fn hand_over(&mut self, mut arrival: Arrival) -> bool {
        let market = self.is_of_market(&arrival.input);
        let room =
            if market { self.market.has_room(1) } else { self.private.has_room(CREDIT_MAX as usize + 1) };
        let is_frame = matches!(arrival.input, Input::Frame(_));
        if room && is_frame && !matches!(arrival.body, Body::Slot(_)) {
            let bytes = if market && self.market_waits { &self.market_bytes } else { &self.bytes };
            // The gateway's socket limits keep frames within the largest slot.
            if let Ok(lease) = self.slab.publish(bytes) {
                arrival.body = Body::Slot(lease);
            }
        }
        if !room || (is_frame && !matches!(arrival.body, Body::Slot(_))) {
            self.stalls += 1;
            if market && !self.market_waits {
                // Its bytes move aside, so that private frames can still be read.
                std::mem::swap(&mut self.bytes, &mut self.market_bytes);
                self.market_waits = true;
            }
            if market {
                self.waiting_market.push_front(arrival);
            } else {
                self.waiting_private = Some(arrival);
            }
            return false;
        }
        let ring = if market { &mut self.market } else { &mut self.private };
        if ring.try_push(arrival).is_err() {
            self.stop.fail("a ring to decode is full although room was checked".into());
        }
        if market {
            self.market_waits = !self.waiting_market.is_empty();
        }
        true
    }

    fn is_of_market(&self, input: &Input) -> bool {
        match input {
            Input::Frame(meta) => self.is_market(meta.conn.index()),
            Input::ConnUp { conn, .. } | Input::ConnDown { conn, .. } => self.is_market(conn.index()),
            _ => false,
        }
    }

    /// The message that must leave next: urgent ones first, but no cancel or query before an order that
    /// was sent earlier and still waits, for it may be about that order. An order that waits for its record
    /// does not hold up a cancel: it is given up instead (`true`), and never leaves behind the cancel.
    fn next_message(&mut self) -> Option<(OutMsg, bool)> {
        let now = self.clock.mono_ns();
        let waits = self.normal.peek().is_some_and(|message| self.gateway.must_wait(message, now));
        let overtakes = match (self.urgent.peek(), self.normal.peek()) {
            (Some(urgent), Some(normal)) => {
                urgent.meta.order.is_none() && normal.meta.message < urgent.meta.message
            }
            _ => false,
        };
        if overtakes {
            return self.normal.pop().map(|message| (message, waits));
        }
        let urgent = self.urgent.pop();
        let next = if waits { urgent } else { urgent.or_else(|| self.normal.pop()) };
        next.map(|message| (message, false))
    }

    fn is_market(&self, conn: usize) -> bool {
        self.conns.get(conn).is_some_and(|info| info.role == SessionRole::Market)
    }
}

impl Agent for GatewayAgent {
    fn on_start(&mut self) {
        self.bytes.reserve(FRAME_MAX);
        self.market_bytes.reserve(FRAME_MAX);
    }

    fn do_work(&mut self) -> usize {
        let now = self.clock.mono_ns();
        self.turns.turn(now);
        let mut work = self.messages();
        for _ in 0..BATCH {
            // Full rings and slabs stop the reading of what they are full of, never the writing.
            if let Some(arrival) = self.waiting_private.take()
                && !self.hand_over(arrival)
            {
                return work;
            }
            while let Some(arrival) = self.waiting_market.pop_front() {
                if !self.hand_over(arrival) {
                    break;
                }
            }
            let timeout =
                if self.idle == IdleMode::Park && self.rested && work == 0 { NAP } else { Duration::ZERO };
            let clock = &mut self.clock;
            let found = match self
                .gateway
                .next(&mut self.bytes, !self.market_waits, timeout, &mut || clock.mono_ns())
            {
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
            work += 1;
            let arrival = Arrival { mono, readable: inbound.readable, input: inbound.input, body };
            if self.is_of_market(&arrival.input) && self.market_waits {
                self.waiting_market.push_back(arrival);
            } else {
                let _ = self.hand_over(arrival);
            }
        }
        let now = self.clock.mono_ns();
        if now - self.noted > crate::topology::live::PUBLISH_INTERVAL_NS {
            self.noted = now;
            self.probe.hand_over(now);
            crate::topology::publish::notes(&self.gateway, &self.board);
            let stalls = self.stalls;
            self.board.try_update(|view| view.stalls.gateway = stalls);
            crate::topology::publish::turns(&self.turns, &self.board);
        }
        work
    }

    fn on_close(&mut self) {
        self.closed.store(true, Ordering::Release);
        self.flush_order();
        crate::topology::publish::notes(&self.gateway, &self.board);
        self.gateway.stop();
        self.probe.close();
    }
}

#[cfg(test)]
mod tests;
