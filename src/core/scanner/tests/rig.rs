//! Venues that list one instrument, and short words for what they may say.

use crate::core::scanner::{PairView, ScanOut, Scanner};
use crate::core::trade::{Phase, Trade};
use crate::domain::event::{
    Bbo, BookReason, BookState, BookStatus, BurstEnd, Event, EventBody, FlowBody, LevelsChunk, Seq,
};
use crate::domain::input::{Command, ConnId};
use crate::domain::instrument::{
    CanonicalId, Instrument, InstrumentId, Price, Qty, Status, VenueId, VenueSpec,
};
use crate::domain::intent::{BPS, Basket, Denial, DenyReason, Intent};
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::order::{ClientId, OrderSpec, OrderState, OrderUpdate, RejectClass};
use crate::domain::params::{CanonicalParams, EngineParams, ListingParams, ScanParams, VenueParams};
use crate::domain::text::Currency;
use crate::domain::time::{MILLI, SECOND, Stamp};

/// 60 000.0 at three decimals.
pub const MID: i64 = 60_000_000;
/// Wall time at the start.
pub const WALL: i64 = 1_700_000_000 * SECOND;

pub struct Rig {
    pub scanner: Scanner,
    pub out: ScanOut,
    pub now: i64,
    pub seq: u64,
    /// Everything emitted since the last look.
    pub flow: Vec<FlowBody>,
}

pub fn scan_params() -> ScanParams {
    ScanParams {
        basis_samples: 21,
        basis_samples_min: 5,
        index_required: false,
        near_miss_per_s: 0,
        ..ScanParams::default()
    }
}

/// One listing of BTC/USDT per venue; taker fee 1 bps.
pub fn engine(venues: u8, scan: ScanParams) -> EngineParams {
    let venue = VenueParams { taker_fee_ppb: BPS, ..VenueParams::default() };
    EngineParams {
        boot_epoch: 7,
        venues: vec![venue; usize::from(venues)],
        canonicals: vec![CanonicalParams::default()],
        listings: (0..venues)
            .map(|at| ListingParams {
                id: InstrumentId(u16::from(at)),
                venue: VenueId(at),
                canonical: CanonicalId(0),
                ..ListingParams::default()
            })
            .collect(),
        scan,
        ..EngineParams::default()
    }
}

/// Venue 0 counts in 0.001 BTC; the others in contracts of 0.01 BTC, by 0.01 contract. Tick 0.1.
pub fn instrument(at: u16) -> Instrument {
    let num = |text: &str| Num::parse(text.as_bytes()).unwrap();
    let (multiplier, step, qty_scale) = if at == 0 { ("1", "0.001", 4) } else { ("0.01", "0.01", 3) };
    Instrument {
        id: InstrumentId(at),
        venue: VenueId(at as u8),
        base: Currency::new("BTC").unwrap(),
        quote: Currency::new("USDT").unwrap(),
        settle: Currency::new("USDT").unwrap(),
        spec: VenueSpec {
            instrument: InstrumentId(at),
            multiplier: num(multiplier),
            tick: num("0.1"),
            step: num(step),
            qty_min: num(step),
            notional_min: num("5"),
            status: Status::Trading,
            ..VenueSpec::default()
        },
        price_scale: 3,
        qty_scale,
        tick: 100,
        step: 10,
        qty_min: Qty(10),
        qty_max: Qty(1_000_000),
        generation: 1,
        ..Instrument::default()
    }
}

impl Rig {
    /// Known contracts, live books; not yet warm.
    pub fn cold(venues: u8, scan: ScanParams) -> Self {
        Self::of(&engine(venues, scan))
    }

    /// As cold, with any parameters.
    pub fn of(params: &EngineParams) -> Self {
        let mut rig = Self {
            scanner: Scanner::new(params),
            out: ScanOut::default(),
            now: SECOND,
            seq: 0,
            flow: Vec::new(),
        };
        for at in 0..params.venues.len() as u16 {
            rig.event(EventBody::Instrument(instrument(at)));
            rig.book(at, BookState::Live);
            rig.quote(at, MID);
        }
        rig
    }

    /// As cold, and the baseline (0) is learnt.
    pub fn warm_with(venues: u8, scan: ScanParams) -> Self {
        let mut rig = Self::cold(venues, scan);
        rig.run_ms(1_500);
        rig.flow.clear();
        rig
    }

    pub fn warm() -> Self {
        Self::warm_with(2, scan_params())
    }

    /// Warm, and with an entry just sent: long on venue 0, short on venue 1.
    pub fn entered() -> (Self, Basket) {
        let mut rig = Self::warm();
        rig.spread(30);
        let basket = rig.basket().expect("an edge of 30 bps enters");
        (rig, basket)
    }

    /// With the trade open.
    pub fn open() -> Self {
        let (mut rig, basket) = Self::entered();
        basket.orders().iter().for_each(|order| rig.fill(order));
        assert_eq!(rig.phase(), Some(Phase::Open));
        rig.flow.clear();
        rig
    }

    /// One input of one event.
    pub fn event(&mut self, body: EventBody) {
        self.seq += 1;
        self.same_input(body);
    }

    /// A further event of the same input.
    pub fn same_input(&mut self, body: EventBody) {
        self.out.clear();
        let at = Stamp { mono: self.now, wall: WALL + self.now };
        self.scanner.on_event(&Event { seq: Seq(self.seq), at, body }, &mut self.out);
        self.flow.extend_from_slice(&self.out.items);
    }

    pub fn tick_ms(&mut self, ms: i64) {
        self.now += ms * MILLI;
        self.event(EventBody::Tick);
    }

    /// Time passes in ticks of 10 ms while all books stay as they are, freshly stated.
    pub fn run_ms(&mut self, ms: i64) {
        let mids: Vec<i64> = self.scanner.listings.iter().map(|listing| listing.mid2 / 2).collect();
        for _ in 0..ms / 10 {
            self.tick_ms(10);
            for (at, mid) in mids.iter().enumerate() {
                self.quote(at as u16, *mid);
            }
        }
    }

    /// A book of 0.2 width and ample depth, as one drained burst on the venue's own connection.
    pub fn quote(&mut self, at: u16, mid: i64) {
        self.bbo(at, mid - 100, 10_000_000, mid + 100, 10_000_000, 0);
        self.burst_end(at, true);
    }

    pub fn bbo(&mut self, at: u16, bid: i64, bid_qty: i64, ask: i64, ask_qty: i64, age: i64) {
        self.event(EventBody::Bbo(Bbo {
            instrument: InstrumentId(at),
            bid: Price(bid),
            bid_qty: Qty(bid_qty),
            ask: Price(ask),
            ask_qty: Qty(ask_qty),
            update_id: self.seq + 1,
            venue_ns: WALL + self.now - age,
        }));
    }

    /// The input at hand ends a burst.
    pub fn burst_end(&mut self, at: u16, drained: bool) {
        self.same_input(EventBody::BurstEnd(BurstEnd { conn: ConnId(at as u8), drained }));
    }

    /// Venue 1 quotes this many bps above venue 0.
    pub fn spread(&mut self, bps: i64) {
        self.quote(0, MID);
        self.quote(1, MID + bps * MID / 10_000);
    }

    /// Depth of a venue: one snapshot message.
    pub fn depth(&mut self, at: u16, bids: &[(i64, i64)], asks: &[(i64, i64)]) {
        let mut chunk = LevelsChunk {
            instrument: InstrumentId(at),
            clear: true,
            last: true,
            bids: bids.len() as u8,
            asks: asks.len() as u8,
            update_id: self.seq + 1,
            venue_ns: WALL + self.now,
            ..LevelsChunk::default()
        };
        for (to, (price, qty)) in bids.iter().chain(asks).enumerate() {
            chunk.levels[to] = (Price(*price), Qty(*qty));
        }
        self.event(EventBody::Levels(chunk));
    }

    pub fn book(&mut self, at: u16, state: BookState) {
        let reason = BookReason::Sync;
        self.event(EventBody::Book(BookStatus { instrument: InstrumentId(at), state, reason }));
    }

    pub fn command(&mut self, command: Command) {
        self.event(EventBody::Command(command));
    }

    pub fn update(&mut self, order: &OrderSpec, state: OrderState, filled: i64, reject: RejectClass) {
        self.event(EventBody::Order(OrderUpdate {
            client_id: order.client_id,
            venue: order.venue,
            instrument: order.instrument,
            side: order.side,
            state,
            filled: Qty(filled),
            leaves: Qty(if state.is_terminal() { 0 } else { order.qty.0 - filled }),
            fill_qty: Qty(filled),
            fill_price: order.price,
            reject,
            ..OrderUpdate::default()
        }));
    }

    pub fn fill(&mut self, order: &OrderSpec) {
        self.update(order, OrderState::Filled, order.qty.0, RejectClass::None);
    }

    pub fn partial(&mut self, order: &OrderSpec, filled: i64) {
        self.update(order, OrderState::Canceled, filled, RejectClass::None);
    }

    pub fn zero(&mut self, order: &OrderSpec) {
        self.partial(order, 0);
    }

    pub fn reject(&mut self, order: &OrderSpec, class: RejectClass) {
        self.update(order, OrderState::Rejected, 0, class);
    }

    pub fn deny(&mut self, basket: &Basket) {
        self.event(EventBody::Denied(Denial {
            trade: basket.trade,
            attempt: basket.attempt,
            kind: basket.kind,
            reason: DenyReason::OrderRateExceeded,
            leg: 255,
            value: Money::ZERO,
            limit: Money::ZERO,
        }));
    }

    /// The baskets emitted since the last look.
    pub fn baskets(&mut self) -> Vec<Basket> {
        let pick = |item: &FlowBody| match item {
            FlowBody::Intent(Intent::Basket(basket)) => Some(*basket),
            _ => None,
        };
        std::mem::take(&mut self.flow).iter().filter_map(pick).collect()
    }

    /// The only basket since the last look.
    pub fn basket(&mut self) -> Option<Basket> {
        let baskets = self.baskets();
        assert!(baskets.len() <= 1, "one basket at a time: {baskets:?}");
        baskets.first().copied()
    }

    /// The orders whose cancellation was asked for since the last look.
    pub fn cancels(&mut self) -> Vec<ClientId> {
        let pick = |item: &FlowBody| match item {
            FlowBody::Intent(Intent::Cancel(order)) => Some(order.client_id),
            _ => None,
        };
        std::mem::take(&mut self.flow).iter().filter_map(pick).collect()
    }

    pub fn trade(&self) -> Option<Trade> {
        self.scanner.trades().next().copied()
    }

    pub fn phase(&self) -> Option<Phase> {
        self.trade().map(|trade| trade.phase)
    }

    /// Directions of the first pair: 0 buys at venue 0, 1 buys at venue 1.
    pub fn view(&self, way: usize) -> PairView {
        self.scanner.views().nth(way).unwrap()
    }
}
