//! Paper execution: what venues would have made of our orders, judged by their market data alone.
//!
//! Part of the deciding river, so that a paper run is recorded and replays. An order that passed the egress
//! gate meets the touch a fixed latency later: never more than the touch shows, nothing twice of the same
//! touch, the taker fee always. What rests fills when the market reaches or trades through it. Knows no
//! sockets, makes no market impact, charges no funding; commands end what rests.

pub mod takeover;

use super::book::Book;
use super::order::entry::rescale;
use super::position::{Position, mul_div_up, settled};
use crate::domain::event::{BalanceReport, EventBody, PublicTrade, SessionRole, SessionStatus};
use crate::domain::input::{Command, Scope, SendFate, SendOutcome};
use crate::domain::instrument::{INSTRUMENTS_MAX, Instrument, InstrumentId, Price, Qty, VenueId};
use crate::domain::intent::{ONE_PPB, OrderRef};
use crate::domain::money::Money;
use crate::domain::order::{FillReport, OrderReport, OrderSpec, RejectClass, ReportKind, Side, TimeInForce};
use crate::domain::params::{EngineParams, PaperParams, VenueParams};
use crate::domain::text::Currency;
use crate::domain::time::{Nanos, Stamp};
use serde::{Deserialize, Serialize};

/// Orders on their way or resting; more are refused for the moment.
pub const PAPER_ORDERS_MAX: usize = 256;

/// Room for what one input can make: every order with a fill, an end and a balance.
const OUT_CAPACITY: usize = 3 * PAPER_ORDERS_MAX + 64;

/// Something that happened on paper, in the words of a venue.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // lives in a preallocated buffer
pub enum PaperEmit {
    /// About an order; goes to the order ledger.
    Report(OrderReport),
    /// The imagined private sessions are up or down.
    Session(SessionStatus),
    /// The wallet after a fill, or at the start.
    Balance(BalanceReport),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct PaperOrder {
    spec: OrderSpec,
    /// Scales in which the specification is written; a new generation voids it.
    generation: u16,
    /// When it reaches matching, `mono` ns.
    due: Nanos,
    resting: bool,
    filled: i64,
    number: u64,
}

/// One side of a listing's touch, and how much of it was taken on paper already.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Taken {
    price: i64,
    qty: i64,
    taken: i64,
}

#[derive(Clone, Serialize, Deserialize)]
struct Row {
    instrument: Instrument,
    book: Book,
    position: Position,
    taken: [Taken; 2],
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Wallet {
    venue: VenueId,
    currency: Currency,
    amount: Money,
}

/// An empty buffer for what happens on paper, with all its room.
fn room() -> Vec<PaperEmit> {
    Vec::with_capacity(OUT_CAPACITY)
}

/// Executes orders on paper.
#[derive(Clone, Serialize, Deserialize)]
pub struct Paper {
    params: PaperParams,
    venues: Vec<VenueParams>,
    rows: Vec<Row>,
    wallets: Vec<Wallet>,
    /// Orders in the order in which they arrived.
    orders: Vec<PaperOrder>,
    queries: Vec<OrderRef>,
    next_due: Nanos,
    numbers: u64,
    trades: u64,
    #[serde(skip, default = "room")]
    out: Vec<PaperEmit>,
}

impl Paper {
    /// For the configured venues and listings; allocates all its room.
    pub fn new(params: &EngineParams, paper: PaperParams) -> Self {
        let mut wallets: Vec<Wallet> = Vec::new();
        for listing in &params.listings {
            let currency =
                params.canonicals.get(listing.canonical.index()).map(|c| c.settle).unwrap_or_default();
            if !wallets.iter().any(|wallet| wallet.venue == listing.venue && wallet.currency == currency) {
                wallets.push(Wallet {
                    venue: listing.venue,
                    currency,
                    amount: Money::from_units(paper.balance),
                });
            }
        }
        let row = || Row {
            instrument: Instrument::default(),
            book: Book::new(),
            position: Position::default(),
            taken: [Taken::default(); 2],
        };
        Self {
            params: paper,
            venues: params.venues.clone(),
            rows: (0..params.listings.len().min(INSTRUMENTS_MAX)).map(|_| row()).collect(),
            wallets,
            orders: Vec::with_capacity(PAPER_ORDERS_MAX),
            queries: Vec::with_capacity(PAPER_ORDERS_MAX),
            next_due: Nanos::MAX,
            numbers: 0,
            trades: 0,
            out: room(),
        }
    }

    /// What happened since the last [`Paper::clear`], in order.
    pub fn items(&self) -> &[PaperEmit] {
        &self.out
    }

    /// Forgets what was taken out.
    pub fn clear(&mut self) {
        self.out.clear();
    }

    /// Executes what has become due; to be called before every input.
    pub fn on_time(&mut self, at: Stamp) {
        while let Some(query) = self.queries.pop() {
            self.answer(&query, at);
        }
        if at.mono < self.next_due {
            return;
        }
        // In order of arrival, which with one latency is the order of due times.
        let mut index = 0;
        while index < self.orders.len() {
            let order = self.orders[index];
            if order.resting || order.due > at.mono {
                index += 1;
            } else if self.arrive(index, at) {
                self.orders.remove(index);
            } else {
                self.orders[index].resting = true;
                index += 1;
            }
        }
        self.set_next_due();
    }

    /// The fate of a message at the egress gate: an order that passed is on its way.
    pub fn on_outcome(&mut self, outcome: &SendOutcome, at: Stamp) {
        let (Some(spec), SendFate::Sent) = (outcome.order, outcome.fate) else { return };
        self.numbers += 1;
        let generation = self.rows.get(spec.instrument.index()).map_or(0, |row| row.instrument.generation);
        let due = at.mono.saturating_add(self.params.latency_ns);
        let order = PaperOrder { spec, generation, due, resting: false, filled: 0, number: self.numbers };
        if self.orders.len() >= PAPER_ORDERS_MAX {
            return self.refuse(&order, RejectClass::Retry, at);
        }
        self.orders.push(order);
        self.next_due = self.next_due.min(due);
    }

    /// A listing was defined. Positions and orders follow its scales; an order that cannot is void.
    pub fn on_instrument(&mut self, instrument: &Instrument) {
        let Some(row) = self.rows.get_mut(instrument.id.index()) else { return };
        let before = std::mem::replace(&mut row.instrument, *instrument);
        row.taken = [Taken::default(); 2];
        if before.generation > 0 && before.qty_scale != instrument.qty_scale {
            // Executed quantities are multiples of a step that was exact before; dust is cut off.
            row.position.qty = rescale(row.position.qty, before.qty_scale, instrument.qty_scale).unwrap_or(0);
        }
        for order in self.orders.iter_mut().filter(|order| order.spec.instrument == instrument.id) {
            let qty = |value| rescale(value, before.qty_scale, instrument.qty_scale);
            let price = rescale(order.spec.price.0, before.price_scale, instrument.price_scale);
            if let (Some(filled), Some(whole), Some(price)) =
                (qty(order.filled), qty(order.spec.qty.0), price)
            {
                (order.filled, order.spec.qty, order.spec.price) = (filled, Qty(whole), Price(price));
                order.generation = instrument.generation;
            }
        }
    }

    /// Market data: follows the touch, and fills what rests where the market has come to it.
    pub fn on_market(&mut self, event: &EventBody, at: Stamp) {
        let concerned = match event {
            EventBody::Bbo(bbo) => {
                self.with_row(bbo.instrument, |row| row.book.set_bbo(bbo));
                bbo.instrument
            }
            EventBody::Levels(chunk) => {
                self.with_row(chunk.instrument, |row| row.book.apply(chunk));
                if !chunk.last {
                    return;
                }
                chunk.instrument
            }
            EventBody::Book(status) => {
                return self.with_row(status.instrument, |row| {
                    row.book.set_state(status.state);
                    row.taken = [Taken::default(); 2];
                });
            }
            EventBody::Trade(trade) => return self.on_trade(trade, at),
            _ => return,
        };
        self.match_resting(concerned, at);
    }

    /// Commands: the imagined sessions come up with the start; the others end what rests as an operator's
    /// cancels would.
    pub fn on_command(&mut self, command: Command, at: Stamp) {
        match command {
            Command::Start => self.start(at),
            Command::Reduce => self.cancel_where(at, |spec| !spec.reduce_only),
            Command::Kill(Scope::Global) | Command::Stop => self.cancel_where(at, |_| true),
            Command::Kill(Scope::Venue(venue)) => self.cancel_where(at, |spec| spec.venue == venue),
            Command::Resume
            | Command::RecorderLag { .. }
            | Command::ByHand(_)
            | Command::JournalSpace { .. } => {}
        }
    }

    /// The ledger asks about an order; answered with the next input.
    pub fn on_query(&mut self, query: &OrderRef) {
        if self.queries.len() < PAPER_ORDERS_MAX {
            self.queries.push(*query);
        }
    }

    /// Signed contracts held in a listing.
    pub fn position(&self, id: InstrumentId) -> i64 {
        self.rows.get(id.index()).map_or(0, |row| row.position.qty)
    }

    fn start(&mut self, at: Stamp) {
        for index in 0..self.venues.len() {
            let venue = VenueId(index as u8);
            for role in [SessionRole::Account, SessionRole::Orders] {
                self.out.push(PaperEmit::Session(SessionStatus { venue, role, ready: true }));
            }
        }
        for index in 0..self.wallets.len() {
            self.state_wallet(index, at);
        }
    }

    fn state_wallet(&mut self, index: usize, at: Stamp) {
        let Wallet { venue, currency, amount } = self.wallets[index];
        self.out.push(PaperEmit::Balance(BalanceReport {
            venue,
            currency,
            wallet: amount,
            available: None,
            venue_ns: at.wall,
        }));
    }

    fn with_row(&mut self, id: InstrumentId, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.get_mut(id.index()) {
            change(row);
        }
    }

    fn set_next_due(&mut self) {
        let waiting = self.orders.iter().filter(|order| !order.resting);
        self.next_due = waiting.map(|order| order.due).min().unwrap_or(Nanos::MAX);
    }

    /// An order reaches matching; true when it has ended.
    fn arrive(&mut self, index: usize, at: Stamp) -> bool {
        let mut order = self.orders[index];
        let spec = order.spec;
        let Some(row) = self.rows.get(spec.instrument.index()) else {
            self.refuse(&order, RejectClass::Never, at);
            return true;
        };
        if row.instrument.generation != order.generation || row.instrument.generation == 0 {
            self.refuse(&order, RejectClass::Retry, at);
            return true;
        }
        let open = self.allowed(&order);
        if open == 0 {
            self.refuse(&order, RejectClass::ReduceOnly, at);
            return true;
        }
        let (price, room) = self.reachable(&spec).unwrap_or((0, 0));
        let take = match spec.tif {
            TimeInForce::PostOnly if room > 0 => {
                self.refuse(&order, RejectClass::PostOnly, at);
                return true;
            }
            TimeInForce::PostOnly => 0,
            TimeInForce::Fok if room < open || open < spec.qty.0 => 0,
            TimeInForce::Ioc | TimeInForce::Gtc | TimeInForce::Fok => self.whole_steps(&spec, open.min(room)),
        };
        if take > 0 {
            self.consume(&spec, take);
            self.fill(&mut order, take, Price(price), false, at);
            self.orders[index] = order;
        }
        let rests = matches!(spec.tif, TimeInForce::Gtc | TimeInForce::PostOnly);
        if order.filled == spec.qty.0 {
            return true;
        }
        if rests && !(spec.reduce_only && self.allowed(&order) == 0) {
            if order.filled == 0 {
                self.report(&order, ReportKind::Open, None, RejectClass::None, at);
            }
            return false;
        }
        self.report(&order, ReportKind::Canceled, None, RejectClass::None, at);
        true
    }

    /// What may still be executed of an order: all that is left, or what shrinks the position.
    fn allowed(&self, order: &PaperOrder) -> i64 {
        let left = order.spec.qty.0 - order.filled;
        if !order.spec.reduce_only {
            return left;
        }
        let held = self.position(order.spec.instrument);
        left.min((-held * order.spec.side.sign()).max(0))
    }

    /// Price and untaken quantity of the touch, when the order's limit reaches it.
    fn reachable(&mut self, spec: &OrderSpec) -> Option<(i64, i64)> {
        let row = self.rows.get_mut(spec.instrument.index()).filter(|row| row.book.is_served())?;
        let (price, qty) = row.book.touch(spec.side)?;
        if (price - spec.price.0) * spec.side.sign() > 0 {
            return None;
        }
        let seen = &mut row.taken[side_index(spec.side)];
        if (seen.price, seen.qty) != (price, qty) {
            *seen = Taken { price, qty, taken: 0 };
        }
        let left = qty - seen.taken;
        (left > 0).then_some((price, left))
    }

    fn consume(&mut self, spec: &OrderSpec, qty: i64) {
        let side = side_index(spec.side);
        self.with_row(spec.instrument, |row| row.taken[side].taken += qty);
    }

    /// Books may be finer than what can be ordered.
    fn whole_steps(&self, spec: &OrderSpec, qty: i64) -> i64 {
        let step = self.rows.get(spec.instrument.index()).map_or(1, |row| row.instrument.step.max(1));
        qty - qty % step
    }

    fn match_resting(&mut self, id: InstrumentId, at: Stamp) {
        let mut index = 0;
        while index < self.orders.len() {
            let mut order = self.orders[index];
            if !order.resting || order.spec.instrument != id {
                index += 1;
                continue;
            }
            let room = self.reachable(&order.spec).map_or(0, |(_, room)| room);
            let take = self.whole_steps(&order.spec, self.allowed(&order).min(room));
            if take > 0 {
                self.consume(&order.spec, take);
                let price = order.spec.price;
                // It rested before the market came: its own price, as a maker.
                self.fill(&mut order, take, price, true, at);
            }
            index = self.keep_or_end(index, order, at);
        }
    }

    /// A trade beyond the limit of a resting order has gone through it.
    fn on_trade(&mut self, trade: &PublicTrade, at: Stamp) {
        let mut index = 0;
        while index < self.orders.len() {
            let mut order = self.orders[index];
            let through = (order.spec.price.0 - trade.price.0) * order.spec.side.sign() > 0;
            if !order.resting || order.spec.instrument != trade.instrument || !through {
                index += 1;
                continue;
            }
            let take = self.allowed(&order);
            let price = order.spec.price;
            if take > 0 {
                self.fill(&mut order, take, price, true, at);
            }
            index = self.keep_or_end(index, order, at);
        }
    }

    /// Puts a resting order back or ends it; returns the index to go on with.
    fn keep_or_end(&mut self, index: usize, order: PaperOrder, at: Stamp) -> usize {
        if order.filled == order.spec.qty.0 {
            self.orders.remove(index);
            return index;
        }
        if self.rows[order.spec.instrument.index()].instrument.generation != order.generation
            || self.allowed(&order) == 0
        {
            self.report(&order, ReportKind::Canceled, None, RejectClass::None, at);
            self.orders.remove(index);
            return index;
        }
        self.orders[index] = order;
        index + 1
    }

    fn fill(&mut self, order: &mut PaperOrder, qty: i64, price: Price, maker: bool, at: Stamp) {
        let spec = order.spec;
        order.filled += qty;
        self.trades += 1;
        let Some(row) = self.rows.get_mut(spec.instrument.index()) else { return };
        let venue = self.venues.get(spec.venue.index());
        let rate = venue.map_or(0, |venue| if maker { venue.maker_fee_ppb } else { venue.taker_fee_ppb });
        let fee = mul_div_up(settled(&row.instrument, Qty(qty), price), rate, ONE_PPB);
        let before = row.position.realised;
        row.position.book(&row.instrument, spec.side, Qty(qty), price);
        let (gain, currency) = (row.position.realised - before, row.instrument.settle);
        let fill = FillReport {
            trade_id: self.trades,
            qty: Qty(qty),
            price,
            fee: Some(fee),
            fee_currency: currency,
            maker,
        };
        let kind = if order.filled == spec.qty.0 { ReportKind::Filled } else { ReportKind::PartiallyFilled };
        self.report(order, kind, Some(fill), RejectClass::None, at);
        let mine = |wallet: &Wallet| wallet.venue == spec.venue && wallet.currency == currency;
        if let Some(index) = self.wallets.iter().position(mine) {
            self.wallets[index].amount += gain - fee;
            self.state_wallet(index, at);
        }
    }

    fn cancel_where(&mut self, at: Stamp, concerned: impl Fn(&OrderSpec) -> bool) {
        let mut index = 0;
        while index < self.orders.len() {
            let order = self.orders[index];
            // What is still on its way cannot be caught; it ends by itself unless it would rest.
            let rests = matches!(order.spec.tif, TimeInForce::Gtc | TimeInForce::PostOnly);
            if rests && concerned(&order.spec) {
                self.report(&order, ReportKind::Canceled, None, RejectClass::None, at);
                self.orders.remove(index);
            } else {
                index += 1;
            }
        }
        self.set_next_due();
    }

    fn answer(&mut self, query: &OrderRef, at: Stamp) {
        let known = self.orders.iter().find(|order| order.spec.client_id == query.client_id).copied();
        match known {
            Some(order) => {
                let kind = if order.filled > 0 { ReportKind::PartiallyFilled } else { ReportKind::Open };
                self.report(&order, kind, None, RejectClass::None, at);
            }
            None => self.out.push(PaperEmit::Report(OrderReport {
                venue: query.venue,
                instrument: Some(query.instrument),
                client_id: query.client_id,
                kind: ReportKind::NotFound,
                reject: RejectClass::NotFound,
                venue_ns: at.wall,
                ..OrderReport::default()
            })),
        }
    }

    fn refuse(&mut self, order: &PaperOrder, reject: RejectClass, at: Stamp) {
        self.report(order, ReportKind::Rejected, None, reject, at);
    }

    fn report(
        &mut self,
        order: &PaperOrder,
        kind: ReportKind,
        fill: Option<FillReport>,
        reject: RejectClass,
        at: Stamp,
    ) {
        self.out.push(PaperEmit::Report(OrderReport {
            terms: None,
            venue: order.spec.venue,
            instrument: Some(order.spec.instrument),
            client_id: order.spec.client_id,
            venue_order_id: order.number,
            kind,
            side: Some(order.spec.side),
            filled: Some(Qty(order.filled)),
            fill,
            reject,
            code: 0,
            venue_ns: at.wall,
        }));
    }
}

const fn side_index(side: Side) -> usize {
    match side {
        Side::Buy => 0,
        Side::Sell => 1,
    }
}

#[cfg(test)]
mod tests;
