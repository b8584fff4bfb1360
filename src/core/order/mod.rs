//! The order ledger: turns send outcomes and venue reports into exactly-once [`OrderUpdate`]s.
//!
//! Stands at the head of the river, so that order truth is interpreted once. It never assumes: silence,
//! “no such order” and missing fill details make an order Unknown, which is queried with growing pauses
//! until the venue's word resolves it. Reads no clock and allocates nothing after construction. Rules of
//! a single order are in [`entry`].
//!
//! | word | effect |
//! |---|---|
//! | sent | PendingNew; no acknowledgement within the venue's timeout → Unknown, query |
//! | refused at the gate, at once or when its turn at an HTTP thread has come | Rejected |
//! | fate unknown | Unknown, query |
//! | fill without fee | held until the full report; after the timeout → Unknown, query |
//! | fill with fee | booked once per trade id, never beyond the cumulative quantity that the venue states |
//! | end with `filled` > booked | the end waits for the missing fills; after the timeout → Unknown, query |
//! | fill after the end | booked; the order stays closed |
//! | “no such order” | Unknown, query; believed after three answers over two seconds, never as a fill; over HTTP not before the request that places it was answered, or is too late for the venue |
//! | amendment sent | PendingAmend; the larger of both quantities can fill; the venue's terms decide ([`amend`]) |
//! | message sent that replaces an order | two orders: the new one as sent, the old one PendingAmend until the venue states its end, or that it lives; both are queried where nothing is heard ([`replace`]) |
//! | execution in the venue's list that names the venue's order only | that of an order of ours, once its venue's id is known; foreign, when no order of ours can be it |
//! | account session lost | every live order of the venue is Unknown; one that was not acknowledged may arrive late, and “no such order” is not believed before it is too late for the venue |
//! | not resolved by [`QUERIES_MAX`] queries | told once; the venue's position is compared, and then an immediate order is over with what was booked |
//! | list of open orders complete | live orders that it lacks are queried |

mod adopt;
pub mod amend;
pub mod entry;
mod fills;
pub mod replace;
#[cfg(test)]
mod tests;

use self::entry::{Entry, Heard, NEVER, QUERY_DELAY_MIN, Request, Word};
use self::fills::Fills;
use super::digest::Digest;
use super::table::IdMap;
use crate::domain::input::{RefuseReason, SendFate, SendOutcome};
use crate::domain::instrument::{INSTRUMENTS_MAX, Instrument, InstrumentId, Qty, VENUES_MAX, VenueId};
use crate::domain::intent::OrderRef;
use crate::domain::money::Money;
use crate::domain::order::{
    AmendUpdate, ClientId, FillReport, OrderReport, OrderSpec, OrderState, OrderUpdate, RejectClass,
    ReportKind,
};
use crate::domain::params::EngineParams;
use crate::domain::state::sparse;
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Orders that can be live at the same time.
pub const LIVE_MAX: usize = 4096;
/// Orders remembered in all: the live ones and the most recent closed ones.
pub const ORDERS_MAX: usize = 2 * LIVE_MAX;
/// Acknowledgement timeout where a venue configures none, ns.
const ACK_TIMEOUT_DEFAULT: Nanos = 2 * SECOND;
/// Over HTTP the venue refuses an order that arrives later than this, or than the configured time if that is
/// longer, ms (`recvWindow`, `expTime`).
pub const HTTP_VALID_MS_MIN: i64 = 5_000;
/// How far the venue's clock, by which it does, may be from where we believe it, ns.
const EXPIRY_MARGIN: Nanos = SECOND;
/// How long a query may go unanswered before another order of the venue is asked about, ns.
const ANSWER_TIMEOUT: Nanos = 2 * SECOND;
/// Queries without a result, about a minute of them, after which the venue is not expected to resolve an order.
pub const QUERIES_MAX: u16 = 12;

/// Collects what the ledger says; preallocated, drained by the decode stage after each input.
#[derive(Debug, Default)]
pub struct LedgerOut {
    /// Changes of orders, in order.
    pub updates: Vec<OrderUpdate>,
    /// What became of amendments; to be told before `updates`.
    pub amends: Vec<AmendUpdate>,
    /// Orders to ask the venue about (urgent).
    pub queries: Vec<OrderRef>,
    /// Orders that the venue does not resolve: the positions are to be compared.
    pub unresolved: Vec<OrderRef>,
    /// What should not have been.
    pub odd: Vec<LedgerOdd>,
}

impl LedgerOut {
    /// Room for `capacity` items of each kind without allocation.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            updates: Vec::with_capacity(capacity),
            amends: Vec::with_capacity(capacity),
            queries: Vec::with_capacity(capacity),
            unresolved: Vec::with_capacity(capacity),
            odd: Vec::with_capacity(capacity),
        }
    }

    /// Empties the buffers, keeping their room.
    pub fn clear(&mut self) {
        self.updates.clear();
        self.amends.clear();
        self.queries.clear();
        self.unresolved.clear();
        self.odd.clear();
    }
}

/// A word about an order that contradicts what is known; counted and alarmed, never guessed around.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerOdd {
    /// The order; [`ClientId::NONE`] when it is not ours.
    pub client_id: ClientId,
    /// Where.
    pub venue: VenueId,
    /// What is odd.
    pub kind: LedgerOddKind,
}

/// Kinds of contradictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LedgerOddKind {
    /// Too many live orders: this one is not followed (limits keep it from happening).
    TableFull,
    /// Another venue or listing than the order's.
    Mismatch,
    /// A fill with a new trade id beyond the cumulative quantity: taken for a repetition, not booked.
    BeyondCumulative,
    /// A fill without positive quantity and price.
    Malformed,
    /// A send outcome for an order that was sent before, or refused although the venue knows it.
    Contradiction,
    /// A refusal of an order that has fills, or of which the venue spoke as live: queried.
    RejectedButFilled,
    /// An order of an earlier boot epoch showed up.
    Adopted,
    /// A quantity is not exact after a change of the listing's scales.
    Inexact,
}

/// An order that is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOrder {
    /// What was asked.
    pub spec: OrderSpec,
    /// Where it stands.
    pub state: OrderState,
    /// Booked quantity.
    pub filled: Qty,
    /// Quantity that can still fill.
    pub leaves: Qty,
}

/// The single truth about our orders.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ledger {
    boot_epoch: u64,
    ack_timeout_ns: [Nanos; VENUES_MAX],
    /// How long after it was made an order can still be accepted that is not confirmed.
    http_valid_ns: [Nanos; VENUES_MAX],
    /// Venues whose account session is down.
    down: [bool; VENUES_MAX],
    /// The order that each venue was asked about, and until when its answer is awaited: one at a time, as
    /// an answer “no such order” may not name the order (OKX).
    asking: [Option<(ClientId, Nanos)>; VENUES_MAX],
    /// Highest sequence of this epoch's orders that were forgotten.
    forgotten: u64,
    #[serde(with = "sparse")]
    entries: Vec<Entry>,
    free: Vec<u32>,
    index: IdMap,
    /// Orders that are live or owed something, in no particular (but reproducible) order.
    watched: Vec<u32>,
    /// Closed orders, oldest first, with their id as proof that the slot is still theirs.
    closed: VecDeque<(u32, ClientId)>,
    fills: Fills,
    /// Executions of which is not known yet whose they are.
    #[serde(default)]
    unnamed: Vec<OrderReport>,
    /// When they are looked at again.
    #[serde(default)]
    unnamed_due: Nanos,
    scales: Vec<Instrument>,
    next_due: Nanos,
    digest: Digest,
}

impl Ledger {
    /// An empty ledger with all its room.
    pub fn new(params: &EngineParams) -> Self {
        let mut ack_timeout_ns = [ACK_TIMEOUT_DEFAULT; VENUES_MAX];
        let mut http_valid_ns = [0; VENUES_MAX];
        for (at, venue) in params.venues.iter().enumerate().take(VENUES_MAX) {
            if venue.ack_timeout_ns > 0 {
                ack_timeout_ns[at] = venue.ack_timeout_ns;
            }
            let valid_ms = venue.order_valid_ms.max(HTTP_VALID_MS_MIN);
            http_valid_ns[at] = valid_ms.saturating_mul(MILLI).saturating_add(EXPIRY_MARGIN);
        }
        Self {
            boot_epoch: params.boot_epoch,
            ack_timeout_ns,
            http_valid_ns,
            down: [false; VENUES_MAX],
            asking: [None; VENUES_MAX],
            forgotten: 0,
            entries: vec![Entry::default(); ORDERS_MAX],
            free: (0..ORDERS_MAX as u32).rev().collect(),
            index: IdMap::new(ORDERS_MAX),
            watched: Vec::with_capacity(ORDERS_MAX),
            closed: VecDeque::with_capacity(2 * ORDERS_MAX),
            fills: Fills::new(),
            unnamed: Vec::with_capacity(fills::UNNAMED_MAX),
            unnamed_due: 0,
            scales: vec![Instrument::default(); params.listings.len().min(INSTRUMENTS_MAX)],
            next_due: NEVER,
            digest: Digest::new(),
        }
    }

    /// The fate of a message that places an order; others carry no order and change nothing.
    pub fn on_outcome(&mut self, outcome: &SendOutcome, now: Stamp, out: &mut LedgerOut) {
        let Some(spec) = outcome.order else { return };
        if let SendFate::Withdrawn(reason) = outcome.fate {
            return self.on_withdrawn(&spec, reason, now, out);
        }
        let due = now.mono.saturating_add(self.ack_timeout(spec.venue));
        let (slot, first) = match self.index.get(spec.client_id.0) {
            Some(slot) => (slot, false),
            None => match self.insert(Entry::placed(spec, due), out) {
                Some(slot) => (slot, true),
                None => return,
            },
        };
        let entry = &mut self.entries[slot as usize];
        if !first {
            if entry.placed || matches!(outcome.fate, SendFate::Refused(_)) {
                odd(out, entry.id(), entry.spec.venue, LedgerOddKind::Contradiction);
                return;
            }
            // The venue was faster than our own loopback.
            entry.spec = spec;
            (entry.placed, entry.bookable) = (true, true);
        }
        let valid = self.http_valid_ns.get(spec.venue.index()).copied().unwrap_or(NEVER);
        entry.expires = now.mono.saturating_add(valid);
        match outcome.fate {
            SendFate::Sent | SendFate::Withdrawn(_) => {}
            SendFate::Handed => entry.request = Request::Open,
            SendFate::Refused(reason) => {
                entry.terminal = Some(OrderState::Rejected);
                entry.reject = reject_class(reason);
            }
            SendFate::Unknown => {
                entry.late = true;
                if entry.word == Word::Silent && entry.terminal.is_none() {
                    entry.unknown = true;
                    self.query(slot, now.mono, out);
                }
            }
        }
        self.settle(slot, None, now.mono, out);
    }

    /// The gate took an order back that waited for an HTTP thread: the venue never heard of it.
    fn on_withdrawn(&mut self, spec: &OrderSpec, reason: RefuseReason, now: Stamp, out: &mut LedgerOut) {
        let Some(slot) = self.index.get(spec.client_id.0) else { return };
        let entry = &mut self.entries[slot as usize];
        if entry.request != Request::Open || entry.word != Word::Silent || entry.terminal.is_some() {
            return odd(out, entry.id(), entry.spec.venue, LedgerOddKind::Contradiction);
        }
        entry.request = Request::Done;
        entry.terminal = Some(OrderState::Rejected);
        entry.reject = reject_class(reason);
        entry.conclude(Heard::Certain);
        // Who was asked about it waits for no answer.
        self.on_answer(spec.client_id, spec.venue, now.mono);
        self.settle(slot, None, now.mono, out);
    }

    /// The request that places the order with that tag was answered over HTTP, with status 0: was not. What the
    /// answer says of the order is a report of its own; this is about whether the request can still arrive.
    pub fn on_place_reply(&mut self, venue: VenueId, tag: u32, status: u16) {
        let Some(slot) = self.tagged(venue, tag).and_then(|id| self.index.get(id.0)) else { return };
        let entry = &mut self.entries[slot as usize];
        if entry.request == Request::Open {
            // A server's failure (5xx), its time limit or a proxy's answer do not say that the venue is done with it.
            let answered = (200..500).contains(&status) && status != 408;
            entry.request = if answered { Request::Done } else { Request::Lost };
        }
    }

    /// The venue's word about an order.
    pub fn on_report(&mut self, report: &OrderReport, now: Stamp, out: &mut LedgerOut) {
        let mut report = *report;
        if report.client_id == ClientId::NONE {
            match self.asking.get(report.venue.index()).copied().flatten() {
                // The venue's id carries the tag of the question where the dialect could pass it on.
                Some((asked, _))
                    if report.kind == ReportKind::NotFound
                        && (report.venue_order_id == 0
                            || report.venue_order_id == u64::from(asked.tag())) =>
                {
                    report.client_id = asked;
                    report.venue_order_id = 0;
                }
                _ => return self.on_foreign(&report, out),
            }
        }
        let report = &report;
        let slot = match self.index.get(report.client_id.0) {
            Some(slot) => slot,
            None => match self.hear_of(report, now.mono, out) {
                Some(slot) => slot,
                None => return,
            },
        };
        let entry = &mut self.entries[slot as usize];
        let other_listing = entry.bookable && report.instrument.is_some_and(|id| id != entry.spec.instrument);
        if entry.spec.venue != report.venue || other_listing {
            odd(out, entry.id(), report.venue, LedgerOddKind::Mismatch);
            return;
        }
        entry.learn(report);
        if report.venue_order_id != 0 && report.kind != ReportKind::NotFound {
            entry.venue_order_id = report.venue_order_id;
        }
        if report.kind != ReportKind::Acked {
            self.on_answer(report.client_id, report.venue, now.mono);
        }
        let entry = &mut self.entries[slot as usize];
        let before = (entry.implied(), entry.word, entry.terminal, entry.unknown, entry.held);
        let worked = (entry.spec.terms(), entry.pending);
        let refuted = report.kind == ReportKind::Rejected && (entry.implied() > 0 || entry.booked > 0);
        let heard = entry.hear(report, now.mono);
        if refuted && heard == Heard::Doubt {
            odd(out, report.client_id, report.venue, LedgerOddKind::RejectedButFilled);
        }
        let booked = report.fill.filter(|fill| self.take_fill(slot, report, fill, out));
        let entry = &mut self.entries[slot as usize];
        entry.conclude(heard);
        let is_amended = worked != (entry.spec.terms(), entry.pending);
        let timeout = self.ack_timeout_ns.get(report.venue.index()).copied().unwrap_or(ACK_TIMEOUT_DEFAULT);
        if heard == Heard::Doubt && !entry.is_complete() {
            if !entry.unknown {
                entry.unknown = true;
                self.query(slot, now.mono, out);
            }
        } else if before != (entry.implied(), entry.word, entry.terminal, entry.unknown, entry.held)
            || booked.is_some()
            || is_amended
        {
            // Something new: give the venue its time for the rest. A pending query keeps its own pace.
            if !entry.unknown {
                entry.query_delay = QUERY_DELAY_MIN;
                entry.due = now.mono.saturating_add(timeout);
            }
        }
        if is_amended {
            let refused = report.kind == ReportKind::AmendRejected;
            self.publish_amend(slot, if refused { report.reject } else { RejectClass::None }, out);
        }
        self.settle(slot, booked, now.mono, out);
        self.heed_replaced(slot, now, out);
    }

    /// Fires what is due; to be called with every tick and before every other input.
    pub fn on_tick(&mut self, now: Stamp, out: &mut LedgerOut) {
        self.name_executions(now, out);
        if now.mono < self.next_due {
            return;
        }
        let mut next = NEVER;
        for at in 0..self.watched.len() {
            let slot = self.watched[at];
            if self.entries[slot as usize].due <= now.mono {
                self.entries[slot as usize].unknown = true;
                self.query(slot, now.mono, out);
                self.publish(slot, None, out);
            }
            next = next.min(self.entries[slot as usize].due);
        }
        self.next_due = next;
    }

    /// The account session of a venue is down: what happens to its orders is not heard any more.
    pub fn on_account_down(&mut self, venue: VenueId, now: Stamp, out: &mut LedgerOut) {
        self.set_down(venue, true);
        for at in 0..self.watched.len() {
            let slot = self.watched[at];
            let entry = &mut self.entries[slot as usize];
            if entry.spec.venue != venue {
                continue;
            }
            (entry.confirmed, entry.blind) = (false, true);
            entry.late |= entry.request == Request::Done && entry.word == Word::Silent;
            entry.missing_from_open = false;
            if !entry.unknown {
                entry.unknown = true;
                entry.query_delay = QUERY_DELAY_MIN;
                entry.schedule_query(now.mono);
                self.next_due = self.next_due.min(entry.due);
                self.publish(slot, None, out);
            }
        }
    }

    /// The venue has listed its open orders after a (re)connect: live orders that it did not name are
    /// gone, executed or not, hence Unknown. Those that it named may have filled in between. All are asked
    /// about.
    pub fn on_reconcile_end(&mut self, venue: VenueId, now: Stamp, out: &mut LedgerOut) {
        self.set_down(venue, false);
        for at in 0..self.watched.len() {
            let slot = self.watched[at];
            let entry = &mut self.entries[slot as usize];
            if entry.spec.venue != venue || !entry.blind || entry.terminal.is_some() {
                continue;
            }
            entry.blind = false;
            entry.missing_from_open = !entry.confirmed;
            entry.unknown |= entry.missing_from_open;
            entry.query_delay = QUERY_DELAY_MIN;
            self.query(slot, now.mono, out);
            self.publish(slot, None, out);
        }
    }

    /// A listing was defined or redefined: live orders follow its scales.
    pub fn on_instrument(&mut self, instrument: &Instrument, out: &mut LedgerOut) {
        let Some(known) = self.scales.get_mut(instrument.id.index()) else { return };
        let before = std::mem::replace(known, *instrument);
        let scales = |of: &Instrument| (of.qty_scale, of.price_scale);
        if before.generation == 0 || scales(&before) == scales(instrument) {
            return;
        }
        for entry in &mut self.entries {
            let concerned = entry.id() != ClientId::NONE && entry.spec.instrument == instrument.id;
            if concerned && !entry.rescale(&before, instrument) {
                odd(out, entry.id(), entry.spec.venue, LedgerOddKind::Inexact);
            }
        }
    }

    /// Orders that are not closed, in a reproducible order.
    pub fn open_orders(&self) -> impl Iterator<Item = OpenOrder> + '_ {
        self.watched.iter().map(|slot| &self.entries[*slot as usize]).filter(|entry| !entry.is_closed()).map(
            |entry| {
                let state = entry.published.unwrap_or_default();
                OpenOrder {
                    spec: entry.spec,
                    state,
                    filled: Qty(entry.booked),
                    leaves: Qty(entry.leaves(state)),
                }
            },
        )
    }

    /// Whether an order may still change the position in a listing: live, or owed something.
    pub fn is_pending(&self, venue: VenueId, instrument: InstrumentId) -> bool {
        let concerns = |entry: &Entry| {
            entry.spec.venue == venue
                && !entry.unresolved
                && (!entry.bookable || entry.spec.instrument == instrument)
        };
        let unnamed = |report: &OrderReport| report.venue == venue && report.instrument == Some(instrument);
        self.watched.iter().any(|slot| concerns(&self.entries[*slot as usize]))
            || self.unnamed.iter().any(unnamed)
    }

    /// Whether no order may need the venue's private connections: none there is live or owed something, and none of
    /// ours is under way elsewhere, as its end may ask for another one here. What nobody knows the state of elsewhere
    /// is not waited for: that may take as long as an outage.
    pub fn is_quiet(&self, venue: VenueId) -> bool {
        let concerns = |entry: &Entry| entry.spec.venue == venue || (entry.placed && !entry.unknown);
        !self.watched.iter().any(|slot| concerns(&self.entries[*slot as usize]))
    }

    /// The order of a venue with that tag ([`ClientId::tag`]) that is live or owed something.
    pub fn tagged(&self, venue: VenueId, tag: u32) -> Option<ClientId> {
        let found = |entry: &&Entry| entry.spec.venue == venue && entry.id().tag() == tag;
        self.watched.iter().map(|slot| &self.entries[*slot as usize]).find(found).map(Entry::id)
    }

    /// State and booked quantity of an order that is still remembered.
    pub fn order(&self, id: ClientId) -> Option<(OrderState, Qty)> {
        let entry = &self.entries[self.index.get(id.0)? as usize];
        Some((entry.published.unwrap_or_default(), Qty(entry.booked)))
    }

    /// Digest of everything published.
    pub fn digest(&self) -> u64 {
        self.digest.value()
    }

    /// An order that is not in the table: heard of before its own send outcome, of an older epoch, or
    /// forgotten.
    fn hear_of(&mut self, report: &OrderReport, now: Nanos, out: &mut LedgerOut) -> Option<u32> {
        let of_no_order = [ReportKind::NotFound, ReportKind::CancelRejected, ReportKind::AmendRejected];
        if of_no_order.contains(&report.kind) {
            return None;
        }
        let id = report.client_id;
        let adopted = id.epoch() != self.boot_epoch || id.sequence() <= self.forgotten;
        if adopted {
            odd(out, report.client_id, report.venue, LedgerOddKind::Adopted);
        }
        let due = now.saturating_add(self.ack_timeout(report.venue));
        let again = report.instrument.zip(report.fill).is_some_and(|(instrument, fill)| {
            self.fills.is_booked(fills::key(report.venue, instrument, fill.trade_id))
        });
        self.insert(Entry::heard(report, adopted, again, due), out)
    }

    /// Publishes what changed and keeps the list of watched orders and deadlines.
    fn settle(&mut self, slot: u32, fill: Option<FillReport>, now: Nanos, out: &mut LedgerOut) {
        self.publish(slot, fill, out);
        let timeout = self.ack_timeout(self.entries[slot as usize].spec.venue);
        let entry = &mut self.entries[slot as usize];
        if !entry.is_owed() {
            entry.due = NEVER;
        } else if entry.due == NEVER {
            entry.due = now.saturating_add(timeout);
        }
        self.next_due = self.next_due.min(entry.due);
        let watch = !entry.is_closed() || entry.is_owed();
        if watch != (entry.watched_at != u32::MAX) {
            self.set_watched(slot, watch);
        }
    }

    /// Emits an update when the state changed or a fill was booked.
    fn publish(&mut self, slot: u32, fill: Option<FillReport>, out: &mut LedgerOut) {
        let entry = &mut self.entries[slot as usize];
        let state = entry.state();
        // Before its listing is known there is nothing that anyone could use.
        if !entry.bookable || (fill.is_none() && entry.published == Some(state)) {
            return;
        }
        entry.published = Some(state);
        let fill = fill.unwrap_or_default();
        let update = OrderUpdate {
            client_id: entry.spec.client_id,
            venue: entry.spec.venue,
            instrument: entry.spec.instrument,
            side: entry.spec.side,
            state,
            filled: Qty(entry.booked),
            leaves: Qty(entry.leaves(state)),
            fill_qty: fill.qty,
            fill_price: fill.price,
            fee: fill.fee.unwrap_or(Money::ZERO),
            fee_currency: fill.fee_currency,
            maker: fill.maker,
            trade_id: fill.trade_id,
            reject: if state == OrderState::Rejected { entry.reject } else { RejectClass::None },
            venue_ns: entry.venue_ns,
        };
        self.emit(update, out);
    }

    fn emit(&mut self, update: OrderUpdate, out: &mut LedgerOut) {
        let digest = &mut self.digest;
        digest.mix_wide(update.client_id.0 as i128);
        digest
            .mix(u64::from(update.venue.0) << 32 | u64::from(update.instrument.0) << 8 | update.state as u64);
        digest.mix(update.filled.0 as u64);
        digest.mix(update.leaves.0 as u64);
        digest.mix(update.fill_qty.0 as u64);
        digest.mix(update.fill_price.0 as u64);
        digest.mix_wide(update.fee.0);
        digest.mix(update.trade_id);
        out.updates.push(update);
    }

    /// Asks about an order, or postpones that until the venue has answered about another one.
    fn query(&mut self, slot: u32, now: Nanos, out: &mut LedgerOut) {
        let OrderSpec { client_id, venue, instrument, .. } = self.entries[slot as usize].spec;
        let asking = self.asking.get(venue.index()).copied().flatten();
        let pending = asking.filter(|(_, until)| *until > now);
        let own_turn_is_over = asking.is_some_and(|(asked, _)| asked == client_id) && pending.is_none();
        let another_waits = || {
            let waits =
                |entry: &Entry| entry.postponed && entry.spec.venue == venue && entry.id() != client_id;
            self.watched.iter().any(|other| waits(&self.entries[*other as usize]))
        };
        let passes = own_turn_is_over && another_waits();

        let entry = &mut self.entries[slot as usize];
        if let Some((_, until)) = pending.filter(|(asked, _)| *asked != client_id) {
            (entry.due, entry.postponed) = (until, true);
        } else {
            entry.postponed = false;
            entry.schedule_query(now);
        }
        self.next_due = self.next_due.min(entry.due);
        // Nobody can be asked about an order of which not even the listing is known.
        let asks = !entry.postponed && !passes && entry.bookable;
        if passes || asks {
            let until = pending.map_or(now.saturating_add(ANSWER_TIMEOUT), |(_, until)| until);
            if let Some(asking) = self.asking.get_mut(venue.index()) {
                *asking = asks.then_some((client_id, until));
            }
        }
        if !asks {
            return;
        }
        self.digest.mix(client_id.sequence());
        let order = OrderRef { client_id, venue, instrument };
        out.queries.push(order);
        let entry = &mut self.entries[slot as usize];
        // What is asked while the account is away is not answered, and proves nothing.
        if !self.down.get(venue.index()).copied().unwrap_or(true) {
            entry.asked = entry.asked.saturating_add(1);
        }
        if entry.asked > QUERIES_MAX && !std::mem::replace(&mut entry.unresolved, true) {
            out.unresolved.push(order);
        }
    }

    /// The venue's position in a listing was compared, and what differed was booked: orders that it does not resolve
    /// have done nothing else.
    pub fn on_position_settled(
        &mut self,
        venue: VenueId,
        instrument: InstrumentId,
        now: Stamp,
        out: &mut LedgerOut,
    ) {
        for at in (0..self.watched.len()).rev() {
            let slot = self.watched[at];
            let entry = &mut self.entries[slot as usize];
            if entry.spec.venue == venue && entry.spec.instrument == instrument && entry.give_up() {
                self.on_answer_of(slot, now.mono);
                self.settle(slot, None, now.mono, out);
            }
        }
    }

    /// Nobody waits for an answer about it any more.
    fn on_answer_of(&mut self, slot: u32, now: Nanos) {
        let OrderSpec { client_id, venue, .. } = self.entries[slot as usize].spec;
        self.on_answer(client_id, venue, now);
    }

    /// The venue spoke of the order that it was asked about: the next one's turn, at the next tick.
    fn on_answer(&mut self, id: ClientId, venue: VenueId, now: Nanos) {
        let Some(asking) = self.asking.get_mut(venue.index()) else { return };
        if asking.is_none_or(|(asked, _)| asked != id) {
            return;
        }
        *asking = None;
        for slot in &self.watched {
            let entry = &mut self.entries[*slot as usize];
            if entry.postponed && entry.spec.venue == venue {
                entry.due = now;
                self.next_due = self.next_due.min(now);
            }
        }
    }

    /// Puts an order into the table, forgetting the oldest closed one when there is no room.
    fn insert(&mut self, entry: Entry, out: &mut LedgerOut) -> Option<u32> {
        while self.free.is_empty() && self.forget_oldest() {}
        let id = entry.id();
        let slot = self.free.pop();
        match slot
            .filter(|_| self.watched.len() < LIVE_MAX && self.index.set(id.0, slot.unwrap_or(0)).is_ok())
        {
            Some(slot) => {
                let blind = self.down.get(entry.spec.venue.index()).copied().unwrap_or(false);
                self.entries[slot as usize] = Entry { blind, ..entry };
                self.set_watched(slot, true);
                Some(slot)
            }
            None => {
                self.free.extend(slot);
                odd(out, id, entry.spec.venue, LedgerOddKind::TableFull);
                None
            }
        }
    }

    fn set_watched(&mut self, slot: u32, watch: bool) {
        if watch {
            self.entries[slot as usize].watched_at = self.watched.len() as u32;
            self.watched.push(slot);
            return;
        }
        let at = std::mem::replace(&mut self.entries[slot as usize].watched_at, u32::MAX) as usize;
        self.watched.swap_remove(at);
        if let Some(moved) = self.watched.get(at) {
            self.entries[*moved as usize].watched_at = at as u32;
        }
        // Orders that closed more than once leave stale entries; they go first.
        if self.closed.len() >= 2 * ORDERS_MAX {
            self.forget_oldest();
        }
        self.closed.push_back((slot, self.entries[slot as usize].id()));
    }

    /// Drops the oldest entry of the closed orders; false when there is none.
    fn forget_oldest(&mut self) -> bool {
        let Some((slot, id)) = self.closed.pop_front() else { return false };
        let old = &self.entries[slot as usize];
        if old.id() == id && old.is_closed() && old.watched_at == u32::MAX {
            self.index.remove(id.0);
            if id.epoch() == self.boot_epoch {
                self.forgotten = self.forgotten.max(id.sequence());
            }
            self.entries[slot as usize] = Entry::default();
            self.free.push(slot);
        }
        true
    }

    fn set_down(&mut self, venue: VenueId, down: bool) {
        if let Some(state) = self.down.get_mut(venue.index()) {
            *state = down;
        }
    }

    fn ack_timeout(&self, venue: VenueId) -> Nanos {
        self.ack_timeout_ns.get(venue.index()).copied().unwrap_or(ACK_TIMEOUT_DEFAULT)
    }
}

fn odd(out: &mut LedgerOut, client_id: ClientId, venue: VenueId, kind: LedgerOddKind) {
    out.odd.push(LedgerOdd { client_id, venue, kind });
}

/// What a refusal at the egress gate means for the next attempt.
fn reject_class(reason: RefuseReason) -> RejectClass {
    match reason {
        RefuseReason::Unsigned => RejectClass::Fatal,
        RefuseReason::Killed
        | RefuseReason::Stale
        | RefuseReason::Epoch
        | RefuseReason::Journal
        | RefuseReason::NotWritable
        | RefuseReason::Stopped => RejectClass::Retry,
    }
}

const _: () = assert!(LIVE_MAX < ORDERS_MAX, "closed orders need room beside the live ones");
