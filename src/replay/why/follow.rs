//! Follows a trade (or an order without one) through a run, from the input that made it to its end.

mod sum;

use super::WhyError;
use super::card::{
    BasketCard, DenialCard, FillCard, MessageCard, Moment, OrderCard, RouteCard, RunCard, Trigger,
    UpdateCard, Why,
};
use super::decide::{Before, Decision, standings};
use super::hops::{SHARED, hops};
use super::index::{Index, Subject};
use super::venue_ids::venue_id;
use super::words;
use crate::core::trade::{Phase, Trade};
use crate::domain::effect::{OutMsg, Target};
use crate::domain::event::{Event, EventBody, Seq};
use crate::domain::input::{FrameMeta, Input, InputClass, RawInput, SendOutcome};
use crate::domain::instrument::{Instrument, InstrumentId, VenueId};
use crate::domain::intent::{Basket, BasketKind, Denial, EVERY_TRADE, Intent, NearMiss, Replace, TradeId};
use crate::domain::money::Money;
use crate::domain::order::{ClientId, OrderSpec, OrderState, OrderUpdate, RejectClass};
use crate::domain::output::{OutputKey, Stage};
use crate::domain::time::Stamp;
use crate::ops::view::Names;
use crate::replay::cursor::Cursor;
use crate::replay::part::begins_after;
use crate::stage::LOGIC_VERSION;
use crate::stage::decode::ConnInfo;
use crate::stage::river::{Parts, Tap};
use std::collections::BTreeMap;
use std::path::Path;
use sum::Booked;

/// What route knew of the venues of a basket: of its trade, its attempt.
type Standing = (TradeId, u16, Vec<RouteCard>);

/// Everything that one input brought and made.
#[derive(Default)]
struct Heard {
    seq: Seq,
    at: Stamp,
    input: Option<Input>,
    bytes: Vec<u8>,
    events: Vec<Event>,
    wanted: Vec<(OutputKey, Intent)>,
    approved: Vec<(OutputKey, Intent)>,
    denied: Vec<(OutputKey, Denial)>,
    messages: Vec<OutMsg>,
}

impl Tap for Heard {
    fn input(&mut self, seq: Seq, at: Stamp, _: InputClass, raw: &RawInput<'_>) {
        (self.seq, self.at, self.input) = (seq, at, Some(raw.input));
        self.bytes.clear();
        self.bytes.extend_from_slice(raw.bytes);
        self.events.clear();
        self.wanted.clear();
        self.approved.clear();
        self.denied.clear();
        self.messages.clear();
    }

    fn event(&mut self, event: &Event) {
        self.events.push(*event);
    }

    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        self.wanted.push((key, *intent));
    }

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.approved.push((key, *intent));
    }

    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        self.denied.push((key, *denial));
    }

    fn message(&mut self, _: OutputKey, message: &OutMsg) {
        self.messages.push(*message);
    }

    fn near_miss(&mut self, _: OutputKey, _: &NearMiss) {}
    fn state(&mut self, _: OutputKey, _: u64) {}

    fn end(&mut self, _: Seq) {}
}

/// An order that is followed.
struct Followed {
    spec: OrderSpec,
    /// Place of its basket and of its card in that.
    card: Option<(usize, usize)>,
    state: Option<OrderState>,
    over: bool,
}

struct Follow<'a> {
    names: Names,
    conns: Vec<ConnInfo>,
    index: &'a Index,
    subject: Subject,
    why: Why,
    orders: BTreeMap<ClientId, Followed>,
    /// Messages whose fate is awaited, by number: basket, order, message.
    sent: BTreeMap<u64, (usize, usize, usize)>,
    /// Amendments and cancels of orders that no basket here placed stand in a basket of their own.
    booked: BTreeMap<InstrumentId, Booked>,
    fees: BTreeMap<(InstrumentId, String), Money>,
    scales: BTreeMap<InstrumentId, Instrument>,
    last: Option<Trade>,
    /// The engine has the trade among its open ones.
    open: bool,
    /// By listing: the last fill was of what is asked about, so it holds what is held there.
    holds: BTreeMap<InstrumentId, bool>,
    origin: Option<i64>,
    /// The input behind which the record begins.
    begins: Seq,
}

/// Follows what is asked about.
pub(super) fn follow(
    dir: &Path,
    asked: &str,
    index: &Index,
    subject: Subject,
    progress: &mut dyn FnMut(u64),
) -> Result<Why, WhyError> {
    let mut cursor = Cursor::open(dir)?;
    let first = subject.causes.first().copied().unwrap_or(1);
    let last = subject.causes.last().copied().unwrap_or(1);
    let mut heard = Heard::default();
    cursor.seek(Seq(first.saturating_sub(1)), &mut heard, &mut |seq| progress(seq.0))?;
    let manifest = cursor.manifest();
    let mut follow = Follow {
        names: Names::of(&cursor.config().params),
        conns: cursor.parts().conns.clone(),
        why: Why {
            asked: asked.to_owned(),
            run: RunCard {
                run_id: manifest.run_id.to_string(),
                logic_recorded: manifest.logic_version,
                logic_replayed: LOGIC_VERSION,
            },
            ..Why::default()
        },
        index,
        subject,
        orders: BTreeMap::new(),
        sent: BTreeMap::new(),
        booked: BTreeMap::new(),
        fees: BTreeMap::new(),
        scales: BTreeMap::new(),
        last: None,
        open: false,
        holds: BTreeMap::new(),
        origin: None,
        begins: begins_after(dir),
    };
    loop {
        let next = cursor.seq().0 + 1;
        let cause = follow.subject.causes.contains(&next);
        let before = cause.then(|| (Before::of(cursor.parts()), follow.route_of(next, cursor.parts())));
        if !cursor.step(&mut heard)? {
            if next <= last {
                return Err(WhyError::End { end: cursor.seq().0, what: format!("input {last}") });
            }
            follow
                .why
                .notes
                .push(format!("the record ends at input {} before all of it was over", cursor.seq().0));
            break;
        }
        follow.take(&heard, before, cursor.parts());
        if cursor.seq().0 >= last && follow.is_over(cursor.parts()) {
            break;
        }
        if cursor.seq().0.is_multiple_of(1 << 14) {
            progress(cursor.seq().0);
        }
    }
    follow.finish();
    Ok(follow.why)
}

impl Follow<'_> {
    /// What route knows of the venues of the baskets that the next input makes.
    fn route_of(&self, seq: u64, parts: &Parts) -> Vec<Standing> {
        let now = parts.scan.scanner().now();
        let here = self.index.baskets.iter().filter(|basket| basket.seq == seq);
        here.map(|basket| {
            let mut venues: Vec<VenueId> = basket.legs.iter().map(|leg| leg.1).collect();
            venues.dedup();
            let urgent = basket.kind.is_urgent();
            (basket.trade, basket.attempt, standings(&self.names, parts, &venues, urgent, now))
        })
        .collect()
    }

    fn is_subject(&self, trade: TradeId, orders: &[OrderSpec]) -> bool {
        self.subject.trade == Some(trade) || orders.iter().any(|order| self.is_ours(order.client_id))
    }

    fn is_ours(&self, id: ClientId) -> bool {
        id != ClientId::NONE && (self.orders.contains_key(&id) || self.subject.order == Some(id))
    }

    /// Takes what an input brought.
    fn take(&mut self, heard: &Heard, before: Option<(Before, Vec<Standing>)>, parts: &Parts) {
        if let Some((before, routes)) = before {
            let decisions = before.decide(&self.names, &heard.events);
            self.intents(heard, &decisions, &routes, parts);
            self.cancels(heard);
        }
        for (key, denial) in &heard.denied {
            self.denied(heard, *key, denial);
        }
        for message in &heard.messages {
            self.message(heard, message);
        }
        for event in &heard.events {
            self.event(heard, event, parts);
        }
        self.phase(heard, parts);
    }

    fn moment(&mut self, heard: &Heard, kind: &'static str, order: Option<&OrderSpec>, what: String) {
        let origin = *self.origin.get_or_insert(heard.at.mono);
        self.why.moments.push(Moment {
            at: words::at(heard.seq, heard.at),
            since_ns: heard.at.mono - origin,
            kind,
            order: order
                .map(|order| order.client_id)
                .filter(|id| *id != ClientId::NONE)
                .map(|id| id.to_string()),
            venue: order.map(|order| self.names.venue(order.venue).to_owned()),
            what,
        });
    }

    fn intents(&mut self, heard: &Heard, decisions: &[Decision], routes: &[Standing], parts: &Parts) {
        for (_, intent) in &heard.wanted {
            let (basket, orders) = match intent {
                Intent::Basket(basket) => (*basket, basket.orders().to_vec()),
                Intent::Amend(amend) | Intent::Replace(Replace { with: amend, .. }) => {
                    (amend.as_basket(Default::default()), vec![amend.to])
                }
                Intent::Cancel(_) => continue,
            };
            if !self.is_subject(basket.trade, &orders) {
                continue;
            }
            let name = (basket.trade, basket.attempt, basket.kind);
            let decision = decisions.iter().find(|of| (of.trade, of.attempt, of.kind) == name).cloned();
            let route = routes.iter().find(|(trade, attempt, _)| (*trade, *attempt) == (name.0, name.1));
            self.basket(heard, &basket, &orders, decision, route.map(|(_, _, cards)| cards.clone()), parts);
        }
    }

    fn basket(
        &mut self,
        heard: &Heard,
        basket: &Basket,
        orders: &[OrderSpec],
        decision: Option<Decision>,
        route: Option<Vec<RouteCard>>,
        parts: &Parts,
    ) {
        if self.why.baskets.is_empty() {
            self.moment(heard, "trigger", None, self.trigger_words(heard));
        }
        let place = self.why.baskets.len();
        let is_entry = basket.kind == BasketKind::Entry && orders.len() == 2;
        let mut card = BasketCard {
            at: words::at(heard.seq, heard.at),
            kind: words::kind(basket.kind),
            attempt: basket.attempt,
            trigger: self.trigger(heard, parts),
            edge: is_entry.then(|| {
                let pair = decision.as_ref().and_then(|of| of.pair.as_ref());
                words::edge(&basket.edge, pair.map(|pair| pair.failure_ppb))
            }),
            route: route.unwrap_or_default(),
            ..BasketCard::default()
        };
        if let Some(of) = decision {
            (card.checks, card.accounts, card.books) = (of.checks, of.accounts, of.books);
            (card.pair, card.leaving, card.closing) = (of.pair, of.leaving, of.closing);
            self.last = of.of.or(self.last);
        }
        for (leg, order) in orders.iter().enumerate() {
            if let Some(instrument) = parts.risk.rules().positions().instrument(order.instrument) {
                self.scales.insert(order.instrument, *instrument);
            }
            let asked = self.subject.order == Some(order.client_id);
            card.asked |= asked;
            let of = self.scales.get(&order.instrument);
            card.orders.push(OrderCard {
                client_id: order.client_id.to_string(),
                asked,
                venue: self.names.venue(order.venue).to_owned(),
                symbol: words::symbol(&self.names, order.instrument),
                side: words::side(order.side),
                qty: words::qty(of, order.qty),
                price: words::price(of, order.price),
                tif: format!("{:?}", order.tif),
                reduce_only: order.reduce_only,
                mid: words::price(of, basket.mids[leg]),
                book_age_ns: basket.book_age_ns[leg],
                state: "wanted".to_owned(),
                filled: "0".to_owned(),
                ..OrderCard::default()
            });
            let what = format!(
                "{}: {} {} {} at {} wanted",
                words::kind(basket.kind),
                words::side(order.side),
                words::qty(of, order.qty),
                words::symbol(&self.names, order.instrument),
                words::price(of, order.price)
            );
            self.moment(heard, "intent", Some(order), what);
            let followed = Followed { spec: *order, card: Some((place, leg)), state: None, over: false };
            if basket.kind != BasketKind::Amend || !self.orders.contains_key(&order.client_id) {
                self.orders.insert(order.client_id, followed);
            }
        }
        self.why.baskets.push(card);
    }

    /// Cancels of scan and risk.
    fn cancels(&mut self, heard: &Heard) {
        for (key, intent) in &heard.approved {
            let Intent::Cancel(order) = intent else { continue };
            if !self.is_ours(order.client_id) {
                continue;
            }
            let spec = self.spec_of(order.client_id, order.venue, order.instrument);
            let by_scan = heard.wanted.iter().any(|(_, wanted)| wanted == intent);
            let by = if by_scan { "scan" } else { stage(key.stage) };
            self.moment(
                heard,
                "cancel",
                Some(&spec),
                format!("cancel wanted by {by}: {}", self.trigger_words(heard)),
            );
        }
    }

    fn spec_of(&self, id: ClientId, venue: VenueId, instrument: InstrumentId) -> OrderSpec {
        let unknown = OrderSpec { client_id: id, venue, instrument, ..OrderSpec::default() };
        self.orders.get(&id).map_or(unknown, |order| order.spec)
    }

    fn denied(&mut self, heard: &Heard, key: OutputKey, denial: &Denial) {
        if denial.trade == EVERY_TRADE && self.subject.trade.is_some() {
            let what = format!("risk closes every trade: {} of {}", denial.value, denial.limit);
            return self.moment(heard, "denied", None, what);
        }
        let kind = words::kind(denial.kind);
        let own = self.subject.trade == Some(denial.trade) || denial.kind == BasketKind::Amend;
        let found = self.why.baskets.iter().rposition(|card| {
            own && card.attempt == denial.attempt && card.kind == kind && card.denial.is_none()
        });
        let Some(place) = found else { return };
        let by = stage(key.stage);
        let leg = (denial.leg != crate::core::limits::WHOLE).then_some(denial.leg);
        self.why.baskets[place].denial = Some(DenialCard {
            by,
            reason: format!("{:?}", denial.reason),
            leg,
            value: denial.value,
            limit: denial.limit,
        });
        if denial.kind != BasketKind::Amend {
            for followed in self.orders.values_mut().filter(|order| order.card.is_some_and(|c| c.0 == place))
            {
                followed.over = true;
            }
            self.why.baskets[place].orders.iter_mut().for_each(|order| order.state = "denied".to_owned());
        }
        self.moment(heard, "denied", None, format!("{kind} denied by {by}: {:?}", denial.reason));
    }

    fn message(&mut self, heard: &Heard, message: &OutMsg) {
        let text = message.payload.text();
        let named = |id: &ClientId| memchr::memmem::find(text, &id.hex()).is_some();
        let tagged = |id: &ClientId| match message.meta.target {
            Target::Http { id: request, .. } => request.order().is_some_and(|(_, tag)| tag == id.tag()),
            _ => false,
        };
        let id = match &message.meta.order {
            Some(order) => Some(order.client_id).filter(|id| self.is_ours(*id)),
            None => self.orders.keys().find(|id| named(id) || tagged(id)).copied(),
        };
        let Some(id) = id else { return };
        let what = match (&message.meta.order, message.meta.amends) {
            (None, _) => "about",
            (Some(_), true) => "amend",
            (Some(_), false) => "place",
        };
        let Some((basket, order)) = self.card_of(id, what) else { return };
        let (text, signed) = words::texts(message);
        let meta = &message.meta;
        let card = MessageCard {
            what,
            at: words::at(heard.seq, heard.at),
            message: meta.message.0,
            target: words::target(&self.names, &self.conns, &meta.target, meta.epoch),
            epoch: meta.epoch,
            urgent: meta.urgent,
            age_max_ns: meta.age_max,
            text,
            signed,
            scheme: format!("{:?}", message.payload.scheme),
            fate: None,
            fate_at: None,
        };
        let messages = &mut self.why.baskets[basket].orders[order].messages;
        self.sent.insert(meta.message.0, (basket, order, messages.len()));
        messages.push(card);
        let spec = self.spec_of(id, VenueId::default(), InstrumentId::default());
        self.moment(heard, "message", Some(&spec), format!("message {} encoded ({what})", meta.message.0));
    }

    /// The card of an order; of its amendment where `what` says so.
    fn card_of(&self, id: ClientId, what: &str) -> Option<(usize, usize)> {
        let text = id.to_string();
        let amended = self.why.baskets.iter().rposition(|card| {
            card.kind == "amend" && card.orders.iter().any(|order| order.client_id == text)
        });
        match (what, amended) {
            ("amend", Some(place)) => Some((place, 0)),
            _ => self.orders.get(&id)?.card,
        }
    }

    fn event(&mut self, heard: &Heard, event: &Event, parts: &Parts) {
        match &event.body {
            EventBody::Outcome(outcome) | EventBody::AmendOutcome(outcome) => self.outcome(heard, outcome),
            EventBody::Order(update) if self.is_ours(update.client_id) => self.update(heard, update, parts),
            EventBody::Order(update) if update.client_id == ClientId::NONE => {
                self.taken(heard, update, parts)
            }
            EventBody::Order(update) if update.fill_qty.0 > 0 => {
                self.holds.insert(update.instrument, false);
            }
            EventBody::Amended(amended) if self.is_ours(amended.client_id) => {
                let of = self.scales.get(&amended.instrument).copied();
                let pending = if amended.pending.is_some() { "under way" } else { "settled" };
                let what = format!(
                    "amendment {pending}: works with {} at {}{}",
                    words::qty(of.as_ref(), amended.terms.qty),
                    words::price(of.as_ref(), amended.terms.price),
                    if amended.reject == RejectClass::None {
                        String::new()
                    } else {
                        format!(", refused: {:?}", amended.reject)
                    }
                );
                let spec = self.spec_of(amended.client_id, amended.venue, amended.instrument);
                self.moment(heard, "ack", Some(&spec), what);
            }
            EventBody::Funding(payment) => {
                let Some(id) = payment.instrument.filter(|id| self.is_leg(*id)) else { return };
                self.booked.entry(id).or_default().funding += payment.amount;
                let what = format!(
                    "funding of {} {} on {}",
                    payment.amount,
                    payment.currency,
                    words::listing(&self.names, id)
                );
                self.moment(heard, "funding", None, what);
            }
            EventBody::Denied(denial) if denial.trade == EVERY_TRADE && self.subject.trade.is_some() => {
                self.moment(heard, "denied", None, "the day's loss closes every trade".to_owned());
            }
            _ => {}
        }
    }

    fn is_leg(&self, id: InstrumentId) -> bool {
        self.last.is_some_and(|trade| trade.legs.iter().any(|leg| leg.listing == id.0))
    }

    fn outcome(&mut self, heard: &Heard, outcome: &SendOutcome) {
        let Some((basket, order, message)) = self.sent.get(&outcome.message.0).copied() else { return };
        let fate = words::fate(outcome.fate);
        let card = &mut self.why.baskets[basket].orders[order];
        let known = card.client_id.clone();
        let of = &mut card.messages[message];
        (of.fate, of.fate_at) = (Some(fate.clone()), Some(words::at(heard.seq, heard.at)));
        let spec = self.orders.values().find(|o| o.spec.client_id.to_string() == known).map(|o| o.spec);
        self.moment(heard, "fate", spec.as_ref(), format!("message {} {fate}", outcome.message.0));
    }

    fn update(&mut self, heard: &Heard, update: &OrderUpdate, parts: &Parts) {
        if let Some(instrument) = parts.risk.rules().positions().instrument(update.instrument) {
            self.scales.insert(update.instrument, *instrument);
        }
        let of = self.scales.get(&update.instrument).copied();
        let of = of.as_ref();
        let fill = (update.fill_qty.0 > 0).then(|| FillCard {
            qty: words::qty(of, update.fill_qty),
            price: words::price(of, update.fill_price),
            fee: update.fee,
            currency: update.fee_currency.to_string(),
            maker: update.maker,
            trade_id: update.trade_id,
        });
        if let Some(instrument) = of.filter(|_| fill.is_some()) {
            self.book(instrument, update);
        }
        let reject = (update.reject != RejectClass::None).then(|| format!("{:?}", update.reject));
        let card = UpdateCard {
            at: words::at(heard.seq, heard.at),
            by: heard.input.as_ref().map_or("", words::input_kind),
            state: format!("{:?}", update.state),
            filled: words::qty(of, update.filled),
            reject: reject.clone(),
            fill: fill.clone(),
            venue_ns: (update.venue_ns > 0).then_some(update.venue_ns),
            raw: words::raw(&heard.bytes),
        };
        let id = venue_id(&heard.bytes, update.client_id);
        let unknown = self.spec_of(update.client_id, update.venue, update.instrument);
        let followed = self.orders.entry(update.client_id).or_insert(Followed {
            spec: OrderSpec { side: update.side, ..unknown },
            card: None,
            state: None,
            over: false,
        });
        (followed.state, followed.over) = (Some(update.state), update.state.is_terminal());
        let spec = followed.spec;
        if let Some((basket, order)) = followed.card {
            let to = &mut self.why.baskets[basket].orders[order];
            to.state = format!("{:?}", update.state);
            to.filled = words::qty(of, update.filled);
            to.venue_order_id = to.venue_order_id.take().or(id);
            to.updates.push(card);
        }
        let (kind, what) = match (&fill, &reject) {
            (Some(fill), _) => (
                "fill",
                format!(
                    "fill of {} at {}, fee {} {}; {:?}",
                    fill.qty, fill.price, fill.fee, fill.currency, update.state
                ),
            ),
            (None, Some(reject)) => ("end", format!("{:?}: {reject}", update.state)),
            (None, None) if update.state.is_terminal() => ("end", format!("{:?}", update.state)),
            (None, None) => ("ack", format!("{:?}", update.state)),
        };
        self.moment(heard, kind, Some(&spec), what);
    }

    /// The trade goes from phase to phase.
    fn phase(&mut self, heard: &Heard, parts: &Parts) {
        let Some(id) = self.subject.trade else { return };
        let now = parts.scan.scanner().trades().find(|trade| trade.id == id).copied();
        self.open = now.is_some();
        let phase = now.map(|trade| trade.phase);
        let was = self.last.map(|trade| trade.phase);
        if let Some(trade) = now {
            if was.is_some() && was != phase {
                let what = match (trade.phase, trade.closing) {
                    (Phase::Entering, _) => "entering".to_owned(),
                    (Phase::Balancing, _) => "the entry is over, legs are made equal".to_owned(),
                    (Phase::Open, _) => {
                        format!("open: both legs are held, entry basis {} bp", words::bp(trade.realised))
                    }
                    (Phase::Exiting, Some(why)) => format!("closing: {}", words::exit_reason(why)),
                    (Phase::Exiting, None) => "closing".to_owned(),
                };
                self.moment(heard, "phase", None, what);
            }
            self.last = Some(trade);
        }
    }

    fn is_over(&self, parts: &Parts) -> bool {
        let open = self.subject.trade.is_some_and(|id| parts.scan.scanner().trades().any(|t| t.id == id));
        !open && self.orders.values().all(|order| order.over)
    }

    fn trigger_words(&self, heard: &Heard) -> String {
        let kind = heard.input.as_ref().map_or("", words::input_kind);
        match &heard.input {
            Some(Input::Frame(FrameMeta { conn, epoch, .. })) => {
                format!("{kind} on {}", words::connection(&self.names, &self.conns, conn.0, *epoch))
            }
            Some(Input::HttpReply { venue, status, .. }) => {
                format!("{kind} of {}, status {status}", self.names.venue(*venue))
            }
            Some(Input::Command(command)) => format!("{kind} {command:?}"),
            _ => kind.to_owned(),
        }
    }

    fn trigger(&self, heard: &Heard, parts: &Parts) -> Trigger {
        let frame = match &heard.input {
            Some(Input::Frame(meta)) => Some(*meta),
            _ => None,
        };
        let told = |event: &Event| words::event(&self.names, parts.scan.scanner(), &event.body);
        let events: Vec<(String, Option<i64>)> = heard.events.iter().map(told).collect();
        Trigger {
            kind: heard.input.as_ref().map_or("", words::input_kind),
            connection: frame
                .map(|meta| words::connection(&self.names, &self.conns, meta.conn.0, meta.epoch)),
            drained: frame.map(|meta| meta.last && meta.drained),
            raw: words::raw(&heard.bytes),
            bytes: heard.bytes.len(),
            venue_ns: events.iter().find_map(|(_, at)| *at),
            events: events.into_iter().map(|(words, _)| words).collect(),
        }
    }

    /// Hops, sums, notes.
    fn finish(&mut self) {
        let mut shared = false;
        for basket in &mut self.why.baskets {
            let trigger = (basket.at.clone(), basket.trigger.venue_ns);
            for order in &mut basket.orders {
                order.hops = hops(&trigger, order);
                shared |= order.hops.iter().any(|hop| hop.source == SHARED);
            }
        }
        self.why.notes.push(
            "the journal stamps inputs, not stages: decoding, deciding, checking and encoding lie between the receipt \
             of the trigger and the fate of its messages, and are measured per run in its telemetry"
                .to_owned(),
        );
        if shared {
            self.why.notes.push(
                "the fates of messages carry the stamp of the input that caused them (as the fused profile and the \
                 simulation record it), so the time to the socket is not in this record"
                    .to_owned(),
            );
        }
        if self.why.run.logic_recorded != LOGIC_VERSION {
            self.why.notes.push(format!(
                "recorded with version {} of the rules and explained with version {LOGIC_VERSION}: `perpring replay \
                 --verify` tells whether they differ on this run",
                self.why.run.logic_recorded
            ));
        }
        let has = |kind: &str| self.why.baskets.iter().any(|basket| basket.kind == kind);
        if self.begins > Seq(0) && self.last.is_some() && !has("entry") {
            self.why.notes.push(format!(
                "the record begins at input {}, behind the entry of this trade: what was filled before is not in it, and \
                 the sums are of the rest",
                self.begins.0 + 1
            ));
        }
        self.sum();
    }
}

const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Decode => "decode",
        Stage::Scan => "scan",
        Stage::Risk => "risk",
        Stage::Route => "route",
    }
}
