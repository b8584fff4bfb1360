//! Route: turns approved intents and session actions into venue messages.
//!
//! Checks session, budget and credit for every leg before it emits any; what cannot go whole is denied
//! whole. Knows neither sockets nor secrets: payloads carry holes, and the gateway's answer to every
//! socket message and order comes back as a sequenced outcome, which is where credit is counted.

use super::decode::ConnInfo;
use crate::core::budget::Budget;
use crate::core::venue_clock::VenueClocks;
use crate::domain::effect::{
    HttpId, MessageId, OrderCall, OutMeta, OutMsg, Payload, PayloadFull, SessionAction, Target,
};
use crate::domain::event::{EventBody, Flow, FlowBody, Seq, SessionRole, SessionStatus};
use crate::domain::input::{Command, ConnId, Scope, SendFate};
use crate::domain::instrument::{VENUES_MAX, VenueId};
use crate::domain::intent::{Amend, Basket, BasketKind, Denial, DenyReason, Intent, LEGS_MAX, OrderRef};
use crate::domain::money::Money;
use crate::domain::order::{AmendUpdate, ClientId, OrderSpec, OrderUpdate, RejectClass};
use crate::domain::params::{EngineParams, OrderFallback, OrderRoute, VenueParams};
use crate::domain::standing::Pace;
use crate::domain::state::state_with_boxes;
use crate::domain::time::{Nanos, SECOND, Stamp};
use crate::stage::Made;
use crate::venue::{Encoder, Rendered};
use serde::{Deserialize, Serialize};

/// Messages on sockets and orders that may be on their way to the gateway or back as outcomes; the loopback rings
/// hold more.
pub const CREDIT_MAX: u32 = 512;

/// A ban (Binance: 2 min to 3 days) of which the venue does not say how long it is, ns.
const BAN_NS: Nanos = 120 * SECOND;

/// After a cancel of everything, single cancels are held for so long: risk repeats those of orders that are still open
/// then. If the venue has not confirmed it by then, those that were held leave.
const SWEEP_NS: Nanos = SECOND / 2;
/// After a refusal of a cancel of everything, single ones leave whatever the budget says, for so long.
const SWEEP_REFUSED_NS: Nanos = SECOND;
/// Single cancels that are held; what comes beyond leaves at once.
const HELD_MAX: usize = 128;
/// How many of them leave with one input: as many messages as a basket may have.
const HELD_AT_ONCE: usize = LEGS_MAX;

/// The last cancel of everything at a venue.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Sweep {
    /// Its message; 0 when there is none whose fate is open.
    message: MessageId,
    /// Until when it stands for single cancels.
    until: Nanos,
    /// The oldest order that was placed after it: that one it does not reach.
    after: Option<ClientId>,
    /// No further one before this.
    refused_until: Nanos,
}

impl Sweep {
    const NONE: Self =
        Self { message: MessageId(0), until: Nanos::MIN, after: None, refused_until: Nanos::MIN };

    /// An order is placed after it.
    fn reaches_not(&mut self, order: ClientId) {
        self.after = Some(self.after.map_or(order, |after| after.min(order)));
    }

    fn covers(&self, order: ClientId, now: Nanos) -> bool {
        now < self.until && self.after.is_none_or(|after| order.0 < after.0)
    }
}

/// The route stage.
pub struct Route {
    conns: Vec<ConnInfo>,
    /// Epoch of each connection; 0 = down, which the egress gate never admits.
    epochs: Vec<u32>,
    orders_ready: [bool; VENUES_MAX],
    account_ready: [bool; VENUES_MAX],
    /// The way of orders and the other one, by venue.
    ways: Vec<Ways>,
    encoders: Vec<Box<dyn Encoder>>,
    budgets: Vec<Budget>,
    /// Cancels of everything, by venue, and the single cancels whose place they took.
    sweeps: [Sweep; VENUES_MAX],
    held: Vec<OrderRef>,
    /// Requests are stamped and signed with the time of their venue.
    clocks: VenueClocks,
    send_age_max_ns: Nanos,
    next_message: u64,
    outstanding: u32,
    refused_renders: u64,
    staged: Box<[OutMsg; LEGS_MAX]>,
    /// Orders are executed on paper: no venue knows them, so none is asked to cancel them.
    paper: bool,
}

state_with_boxes!(Route {
    epochs, orders_ready, account_ready, ways, budgets, sweeps, held, clocks, send_age_max_ns, next_message,
    outstanding, refused_renders, paper,
} boxes encoders kept { conns, staged });

/// The way of a venue's orders.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ways {
    usual: OrderRoute,
    fallback: OrderFallback,
    /// Which one they take now.
    now: OrderRoute,
}

impl Ways {
    fn of(venue: &VenueParams) -> Self {
        Self { usual: venue.orders, fallback: venue.orders_fallback, now: venue.orders }
    }

    /// The order session is down, or not: the new way, when it changes.
    fn turn(&mut self, down: bool) -> Option<OrderRoute> {
        let over_http = down && self.fallback != OrderFallback::Off;
        let route = if over_http { OrderRoute::Http } else { self.usual };
        (std::mem::replace(&mut self.now, route) != route).then_some(route)
    }
}

fn blank() -> OutMsg {
    OutMsg { meta: blank_meta(), token: MessageId(0), payload: Payload::new() }
}

const fn blank_meta() -> OutMeta {
    OutMeta {
        message: MessageId(0),
        cause: Seq(0),
        cause_mono: 0,
        age_max: 0,
        target: Target::Close(ConnId(0)),
        epoch: 0,
        urgent: false,
        order: None,
        amends: false,
        replaces: ClientId::NONE,
    }
}

impl Route {
    /// For `params`; `encoders` by venue.
    pub fn new(params: &EngineParams, conns: Vec<ConnInfo>, encoders: Vec<Box<dyn Encoder>>) -> Self {
        Self {
            epochs: vec![0; conns.len()],
            conns,
            orders_ready: [false; VENUES_MAX],
            account_ready: [false; VENUES_MAX],
            ways: params.venues.iter().map(Ways::of).collect(),
            encoders,
            budgets: params.venues.iter().map(|venue| Budget::new(venue.orders_per_10s_max)).collect(),
            sweeps: [Sweep::NONE; VENUES_MAX],
            held: Vec::with_capacity(HELD_MAX),
            clocks: VenueClocks::default(),
            send_age_max_ns: params.risk.send_age_max_ns,
            next_message: 0,
            outstanding: 0,
            refused_renders: 0,
            staged: Box::new([blank(); LEGS_MAX]),
            paper: params.paper.is_some(),
        }
    }

    /// From now on orders are executed on paper: no venue is asked to cancel anything.
    pub fn go_on_on_paper(&mut self) {
        self.paper = true;
        self.held.clear();
        self.sweeps = [Sweep::NONE; VENUES_MAX];
    }

    /// Handles one item; messages go to `sink` in the order in which they shall leave.
    pub fn on_flow(&mut self, flow: &Flow, sink: &mut impl FnMut(Made<'_, OutMsg>)) {
        match &flow.body {
            FlowBody::Event(event) => self.on_event(flow, event, sink),
            FlowBody::Intent(Intent::Basket(basket)) => self.on_basket(flow, basket, sink),
            // Paper orders do not rest beyond a command; decode hears those itself.
            FlowBody::Intent(Intent::Cancel(_)) if self.paper => {}
            FlowBody::Intent(Intent::Cancel(order)) => self.on_cancel(flow, order, sink),
            FlowBody::Intent(Intent::Amend(amend)) => self.on_amend(flow, amend, ClientId::NONE, sink),
            FlowBody::Intent(Intent::Replace(replace)) => {
                self.on_amend(flow, &replace.with, replace.old, sink);
            }
            FlowBody::Mid(..) | FlowBody::NearMiss(_) => {}
        }
    }

    fn on_cancel(&mut self, flow: &Flow, order: &OrderRef, sink: &mut impl FnMut(Made<'_, OutMsg>)) {
        let (venue, now) = (order.venue.index(), flow.at.mono);
        let sweep = self.sweeps[venue];
        if sweep.covers(order.client_id, now) {
            // The venue has confirmed the cancel of everything: this order is among all. One that is open all the same
            // is asked for again when the time of the sweep is over.
            if sweep.message == MessageId(0) || self.held.contains(order) {
                return;
            }
            if self.held.len() < HELD_MAX {
                return self.held.push(*order);
            }
        }
        let counted = self.budgets.get_mut(venue).filter(|budget| budget.counts_cancels());
        // Where one request too many ends the session, a cancel of everything takes the place of the last ones.
        if counted.is_some_and(|budget| !budget.try_take(now, 1, true))
            && now >= sweep.refused_until
            && self.sweep(flow, order.venue, sink)
        {
            if self.held.len() < HELD_MAX {
                self.held.push(*order);
            }
            return;
        }
        self.cancel(flow, order, sink);
    }

    /// Sends the cancel of one order.
    fn cancel(&mut self, flow: &Flow, order: &OrderRef, sink: &mut impl FnMut(Made<'_, OutMsg>)) {
        let meta = self.meta(flow, true);
        let message = &mut self.staged[0];
        message.payload.clear();
        let at = self.clocks.stamp(order.venue, flow.at);
        let rendered = self.encoders[order.venue.index()].cancel(order, &meta, at, &mut message.payload);
        self.finish(rendered, meta, OrderCall::Cancel, order, sink);
    }

    /// Cancels everything at a venue over its order session; false when it has no such way now.
    fn sweep(&mut self, flow: &Flow, venue: VenueId, sink: &mut impl FnMut(Made<'_, OutMsg>)) -> bool {
        if !self.orders_ready.get(venue.index()).copied().unwrap_or(false) {
            return false;
        }
        let at = self.clocks.stamp(venue, flow.at);
        let mut meta = self.meta(flow, true);
        let payload = &mut self.staged[0].payload;
        payload.clear();
        match self.encoders[venue.index()].cancel_all(at, payload) {
            Ok(Some(rendered)) => {
                self.aim(rendered, &mut meta, OrderCall::Cancel, venue, ClientId::NONE);
                self.emit(0, 0, meta, sink);
                let now = flow.at.mono;
                let sweep = &mut self.sweeps[venue.index()];
                if now >= sweep.until {
                    self.held.retain(|order| order.venue != venue);
                }
                let message = MessageId(self.next_message);
                *sweep = Sweep { message, until: now + SWEEP_NS, after: None, ..*sweep };
                true
            }
            Ok(None) => false,
            Err(_) => {
                self.refused_renders += 1;
                false
            }
        }
    }

    /// A cancel of everything was confirmed, or else did not come to pass.
    fn on_swept(&mut self, venue: VenueId, accepted: bool, now: Nanos) {
        let Some(sweep) = self.sweeps.get_mut(venue.index()) else { return };
        if sweep.message == MessageId(0) {
            return;
        }
        sweep.message = MessageId(0);
        if accepted {
            self.held.retain(|order| order.venue != venue);
        } else {
            (sweep.until, sweep.refused_until) = (Nanos::MIN, now + SWEEP_REFUSED_NS);
        }
    }

    /// Single cancels whose place nothing takes any more leave, a few with each input. Only after inputs that make
    /// no messages themselves.
    fn release(&mut self, flow: &Flow, sink: &mut impl FnMut(Made<'_, OutMsg>)) {
        let now = flow.at.mono;
        for at in 0..self.sweeps.len() {
            if self.sweeps[at].message != MessageId(0) && now >= self.sweeps[at].until {
                // No word came: it is as good as lost.
                self.on_swept(VenueId(at as u8), false, now);
            }
        }
        for _ in 0..HELD_AT_ONCE {
            let due = |order: &OrderRef| self.sweeps[order.venue.index()].until == Nanos::MIN;
            let Some(at) = self.held.iter().position(due) else { return };
            let order = self.held.remove(at);
            if let Some(budget) = self.budgets.get_mut(order.venue.index())
                && budget.counts_cancels()
            {
                // Counted where it can be, sent in any case.
                let _ = budget.try_take(now, 1, true);
            }
            self.cancel(flow, &order, sink);
        }
    }

    fn on_event(&mut self, flow: &Flow, event: &EventBody, sink: &mut impl FnMut(Made<'_, OutMsg>)) {
        match event {
            EventBody::Conn(status) => {
                if let Some(epoch) = self.epochs.get_mut(status.conn.index()) {
                    *epoch = if status.up { status.epoch } else { 0 };
                }
            }
            EventBody::Session(status) => self.on_session(status, flow.at.mono),
            EventBody::Instrument(instrument) => {
                self.encoders[instrument.venue.index()].on_instrument(instrument);
            }
            EventBody::Clock(sample) => self.clocks.on_sample(sample),
            EventBody::Pace(pace) => self.on_pace(pace, flow.at.mono),
            EventBody::Grant(grant) => {
                if let Some(budget) = self.budgets.get_mut(grant.venue.index()) {
                    budget.on_grant(flow.at.mono, grant.burst, grant.per_10s, grant.cancels);
                }
            }
            EventBody::Command(Command::Kill(scope)) if !self.paper => {
                for venue in (0..self.encoders.len() as u8).map(VenueId) {
                    if matches!(scope, Scope::Global) || *scope == Scope::Venue(venue) {
                        self.sweep(flow, venue, sink);
                    }
                }
            }
            EventBody::Order(OrderUpdate { reject: RejectClass::RateLimit, venue, .. })
            | EventBody::Amended(AmendUpdate { reject: RejectClass::RateLimit, venue, .. }) => {
                if let Some(budget) = self.budgets.get_mut(venue.index()) {
                    budget.strike(flow.at.mono);
                }
            }
            // A withdrawn order had its outcome when it was handed over.
            EventBody::Outcome(outcome) | EventBody::AmendOutcome(outcome)
                if matches!(outcome.fate, SendFate::Withdrawn(_)) => {}
            EventBody::AmendOutcome(_) => self.outstanding = self.outstanding.saturating_sub(1),
            EventBody::Outcome(outcome) => {
                self.outstanding = self.outstanding.saturating_sub(1);
                let lost = |sweep: &Sweep| {
                    sweep.message == outcome.message
                        && sweep.message != MessageId(0)
                        && !outcome.fate.has_left()
                };
                if let Some(at) = self.sweeps.iter().position(lost) {
                    self.on_swept(VenueId(at as u8), false, flow.at.mono);
                }
            }
            EventBody::Sweep(reply) => self.on_swept(reply.venue, reply.accepted, flow.at.mono),
            EventBody::Tick if !self.held.is_empty() => self.release(flow, sink),
            EventBody::Action(action) => self.on_action(flow, action, sink),
            _ => {}
        }
    }

    /// While the order session is down, its orders take the other way, where that is configured.
    fn on_session(&mut self, status: &SessionStatus, now: Nanos) {
        let venue = status.venue.index();
        match status.role {
            SessionRole::Market => return,
            SessionRole::Account => self.account_ready[venue] = status.ready,
            SessionRole::Orders => self.orders_ready[venue] = status.ready,
        }
        let down = !self.orders_ready[venue];
        if down && status.role == SessionRole::Orders {
            self.on_swept(status.venue, false, now);
        }
        if let (Some(ways), Some(encoder)) = (self.ways.get_mut(venue), self.encoders.get_mut(venue))
            && let Some(route) = ways.turn(down)
        {
            encoder.take_route(route);
        }
    }

    /// Whether an order can leave for the venue now; `safe`: it ends a risk.
    fn is_reachable(&self, venue: usize, safe: bool) -> bool {
        let is = |ready: &[bool; VENUES_MAX]| ready.get(venue).copied().unwrap_or(false);
        let covered = || self.ways.get(venue).is_some_and(|ways| ways.fallback.covers(safe));
        is(&self.orders_ready) || (is(&self.account_ready) && covered())
    }

    /// The venue says how much of its limits is used, or refuses for their sake.
    fn on_pace(&mut self, pace: &Pace, now: Nanos) {
        let Some(budget) = self.budgets.get_mut(pace.venue.index()) else { return };
        let asked = Nanos::from(pace.retry_after_s) * SECOND;
        match pace.status {
            418 => budget.ban(now, if asked > 0 { asked } else { BAN_NS }),
            429 => {
                budget.pause(now, asked);
                budget.strike(now);
            }
            _ => {
                if let Some(used) = pace.orders_10s {
                    budget.on_used(now, used);
                }
                if pace.orders_left == Some(0) {
                    // The next one would be refused; a window whose end is not stated is a second.
                    budget.pause(now, asked.max(SECOND));
                }
            }
        }
    }

    fn on_action(&mut self, flow: &Flow, action: &SessionAction, sink: &mut impl FnMut(Made<'_, OutMsg>)) {
        let mut meta = self.meta(flow, false);
        let message = &mut self.staged[0];
        message.payload.clear();
        let rendered = match *action {
            SessionAction::Connect { conn, slot } => {
                let Some(info) = self.conns.get(conn.index()) else { return };
                meta.target = Target::Connect(conn);
                self.encoders[info.venue.index()].connect(conn, slot, &mut message.payload)
            }
            SessionAction::Close { conn } => {
                meta.target = Target::Close(conn);
                meta.epoch = self.epochs.get(conn.index()).copied().unwrap_or(0);
                Ok(())
            }
            SessionAction::Send { conn, what } => {
                let Some(info) = self.conns.get(conn.index()) else { return };
                meta.target = Target::Socket(conn);
                meta.epoch = self.epochs[conn.index()];
                let at = self.clocks.stamp(info.venue, flow.at);
                self.encoders[info.venue.index()].send(conn, what, at, &mut message.payload)
            }
            SessionAction::Http { venue, id, what } => {
                let at = self.clocks.stamp(venue, flow.at);
                let rendered = self.encoders[venue.index()].http(what, at, &mut message.payload);
                meta.target = Target::Http { venue, id, redact: rendered.unwrap_or(None) };
                rendered.map(|_| ())
            }
            SessionAction::Query(order) => {
                meta.urgent = true;
                let at = self.clocks.stamp(order.venue, flow.at);
                let rendered =
                    self.encoders[order.venue.index()].query(&order, &meta, at, &mut message.payload);
                return self.finish(rendered, meta, OrderCall::Query, &order, sink);
            }
        };
        match rendered {
            Ok(()) => self.emit(0, 0, meta, sink),
            // A request longer than a message is a defect of the dialect's batching: visible as a count
            // and as a session that never becomes ready.
            Err(_) => self.refused_renders += 1,
        }
    }

    /// Sends a cancel or a query whose payload is staged in slot 0.
    fn finish(
        &mut self,
        rendered: Result<Rendered, PayloadFull>,
        mut meta: OutMeta,
        call: OrderCall,
        order: &OrderRef,
        sink: &mut impl FnMut(Made<'_, OutMsg>),
    ) {
        match rendered {
            Ok(rendered) => {
                self.aim(rendered, &mut meta, call, order.venue, order.client_id);
                self.emit(0, 0, meta, sink);
            }
            Err(_) => self.refused_renders += 1,
        }
    }

    /// Says where a rendered order message goes. An HTTP request carries the order's tag in its id, so
    /// that a reply which names no order (`no such order`) still tells whose it is.
    fn aim(&self, rendered: Rendered, meta: &mut OutMeta, call: OrderCall, venue: VenueId, order: ClientId) {
        match rendered {
            Rendered::Socket(conn) => {
                meta.target = Target::Socket(conn);
                meta.epoch = self.epochs.get(conn.index()).copied().unwrap_or(0);
            }
            Rendered::Http => {
                let id = HttpId::of_order(call, order);
                meta.target = Target::Http { venue, id, redact: None };
            }
        }
    }

    fn on_basket(&mut self, flow: &Flow, basket: &Basket, sink: &mut impl FnMut(Made<'_, OutMsg>)) {
        let urgent = basket.kind.is_urgent();
        if let Some(leg) = self.first_blocked(basket, flow.at, urgent) {
            return sink(Made::Denied(&denial(basket, leg)));
        }
        // Render every leg before the first one leaves.
        for (slot, order) in basket.orders().iter().enumerate() {
            let message = MessageId(self.next_message + 1 + slot as u64);
            let meta = OutMeta { message, ..self.meta(flow, urgent) };
            if self.stage_order(slot, order, meta, flow.at).is_err() {
                self.refused_renders += 1;
                return sink(Made::Denied(&denial(basket, slot as u8)));
            }
        }
        // What is signed quickly leaves first, so that a slow signature delays nobody's leg but its own.
        let mut slots: [usize; LEGS_MAX] = std::array::from_fn(|slot| slot);
        let slots = &mut slots[..basket.orders().len()];
        slots.sort_by_key(|slot| self.staged[*slot].payload.scheme.is_slow());
        for slot in slots.iter().copied() {
            let meta = self.staged[slot].meta;
            // Counted as available above; nothing was taken in between.
            let _ = self.budgets[meta.order.map_or(0, |order| order.venue.index())].try_take(
                flow.at.mono,
                1,
                urgent,
            );
            if let Some(order) = meta.order {
                self.sweeps[order.venue.index()].reaches_not(order.client_id);
            }
            self.emit(slot, basket.orders().len() - 1 - slot, meta, sink);
        }
    }

    /// Sends an amendment, or denies it: without session, budget or credit, at a venue that has no such request,
    /// and on paper, where orders do not rest. With the order that it replaces, where it makes a new one.
    fn on_amend(
        &mut self,
        flow: &Flow,
        amend: &Amend,
        replaces: ClientId,
        sink: &mut impl FnMut(Made<'_, OutMsg>),
    ) {
        let is_new = replaces != ClientId::NONE;
        let (venue, now) = (amend.to.venue, flow.at.mono);
        let urgent = amend.to.reduce_only;
        let ready = self.orders_ready.get(venue.index()).copied().unwrap_or(false);
        let free = self.budgets.get_mut(venue.index()).is_some_and(|b| b.available(now, urgent) > 0);
        let mut meta = self.meta(flow, urgent);
        meta.age_max = if urgent { 0 } else { self.send_age_max_ns };
        (meta.order, meta.amends, meta.replaces) = (Some(amend.to), !is_new, replaces);
        let mut rendered = Ok(None);
        if !self.paper && ready && free && self.outstanding < CREDIT_MAX {
            let payload = &mut self.staged[0].payload;
            payload.clear();
            let at = self.clocks.stamp(venue, flow.at);
            let encoder = &mut self.encoders[venue.index()];
            rendered = match is_new {
                true => encoder.replace(replaces, &amend.to, &meta, at, payload),
                false => encoder.amend(&amend.to, &meta, at, payload),
            };
        }
        match rendered {
            Ok(Some(rendered)) => {
                let _ = self.budgets[venue.index()].try_take(now, 1, urgent);
                if is_new {
                    self.sweeps[venue.index()].reaches_not(amend.to.client_id);
                }
                let call = if is_new { OrderCall::Place } else { OrderCall::Amend };
                self.aim(rendered, &mut meta, call, venue, amend.to.client_id);
                self.emit(0, 0, meta, sink);
            }
            failed => {
                self.refused_renders += u64::from(failed.is_err());
                let Amend { trade, attempt, .. } = *amend;
                let (kind, reason) = (BasketKind::Amend, DenyReason::RouteUnavailable);
                let (value, limit) = (Money::ZERO, Money::ZERO);
                sink(Made::Denied(&Denial { trade, attempt, kind, reason, leg: 0, value, limit }));
            }
        }
    }

    /// Renders an order into a slot. One copy of its code, for orders and rehearsals.
    #[inline(never)]
    fn stage_order(
        &mut self,
        slot: usize,
        order: &OrderSpec,
        mut meta: OutMeta,
        at: Stamp,
    ) -> Result<(), PayloadFull> {
        meta.age_max = if meta.urgent { 0 } else { self.send_age_max_ns };
        meta.order = Some(*order);
        let payload = &mut self.staged[slot].payload;
        payload.clear();
        let at = self.clocks.stamp(order.venue, at);
        let rendered = self.encoders[order.venue.index()].order(order, &meta, at, payload)?;
        self.aim(rendered, &mut meta, OrderCall::Place, order.venue, order.client_id);
        self.staged[slot].meta = meta;
        Ok(())
    }

    /// Renders an imagined basket and shows each message to `gate`. Nothing is emitted, no number and no
    /// budget is used, and the slots are blank again afterwards.
    pub fn rehearse(&mut self, basket: &Basket, seq: Seq, at: Stamp, gate: &mut impl FnMut(&OutMsg)) {
        let venues = self.orders_ready.len().min(self.budgets.len());
        // Looking at a budget lets it flow in; it is put back.
        let mut kept = [None; VENUES_MAX];
        kept.iter_mut().zip(&self.budgets[..venues]).for_each(|(kept, budget)| *kept = Some(*budget));
        let blocked = self.first_blocked(basket, at, false);
        self.budgets.iter_mut().zip(kept).for_each(|(budget, kept)| *budget = kept.unwrap_or(*budget));
        if blocked.is_some() {
            return;
        }
        for (slot, order) in basket.orders().iter().enumerate() {
            let meta = OutMeta { message: MessageId(0), ..self.meta_of(seq, at, false) };
            if self.stage_order(slot, order, meta, at).is_ok() {
                gate(&self.staged[slot]);
            }
            self.encoders[order.venue.index()].take_back();
            self.staged[slot].payload.clear();
            self.staged[slot].meta = blank_meta();
        }
    }

    /// The first leg that has no session, budget or credit.
    fn first_blocked(&mut self, basket: &Basket, at: Stamp, urgent: bool) -> Option<u8> {
        let orders = basket.orders();
        if self.outstanding + orders.len() as u32 > CREDIT_MAX {
            return Some(255);
        }
        for (index, order) in orders.iter().enumerate() {
            let venue = order.venue.index();
            let wanted = orders.iter().filter(|other| other.venue == order.venue).count() as u32;
            if !self.is_reachable(venue, urgent)
                || self.budgets.get_mut(venue).is_none_or(|budget| budget.available(at.mono, urgent) < wanted)
            {
                return Some(index as u8);
            }
        }
        None
    }

    fn meta(&self, flow: &Flow, urgent: bool) -> OutMeta {
        self.meta_of(flow.seq, flow.at, urgent)
    }

    fn meta_of(&self, cause: Seq, at: Stamp, urgent: bool) -> OutMeta {
        OutMeta {
            message: MessageId(self.next_message + 1),
            cause,
            cause_mono: at.mono,
            urgent,
            ..blank_meta()
        }
    }

    /// Emits a staged message that `follow` others of the same basket follow.
    fn emit(&mut self, slot: usize, follow: usize, meta: OutMeta, sink: &mut impl FnMut(Made<'_, OutMsg>)) {
        self.next_message += 1;
        if meta.has_outcome() {
            self.outstanding += 1;
        }
        self.staged[slot].meta = OutMeta { message: MessageId(self.next_message), ..meta };
        self.staged[slot].token = MessageId(self.next_message + follow as u64);
        sink(Made::Item(&self.staged[slot]));
    }

    /// Messages that did not fit: a defect of a dialect.
    pub fn refused_renders(&self) -> u64 {
        self.refused_renders
    }

    /// What may still be sent, by venue.
    pub fn budgets(&self) -> &[Budget] {
        &self.budgets
    }

    /// Whether a venue's account session and its order session are ready.
    pub fn readiness(&self, venue: VenueId) -> (bool, bool) {
        let of = |ready: &[bool]| ready.get(venue.index()).copied().unwrap_or(false);
        (of(&self.account_ready), of(&self.orders_ready))
    }

    /// Epoch of each connection; 0 = down.
    pub fn epochs(&self) -> &[u32] {
        &self.epochs
    }

    /// Messages sent so far.
    pub fn messages(&self) -> u64 {
        self.next_message
    }
}

fn denial(basket: &Basket, leg: u8) -> Denial {
    Denial {
        trade: basket.trade,
        attempt: basket.attempt,
        kind: basket.kind,
        reason: DenyReason::RouteUnavailable,
        leg,
        value: Money::ZERO,
        limit: Money::ZERO,
    }
}

mod view;

pub use view::RouteStanding;

#[cfg(test)]
mod tests;
