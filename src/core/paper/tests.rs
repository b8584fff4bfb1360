//! Paper execution against hand-made touches.

use super::*;
use crate::domain::effect::MessageId;
use crate::domain::event::{Bbo, BookState, BookStatus};
use crate::domain::instrument::{CanonicalId, Status, VenueSpec};
use crate::domain::number::Num;
use crate::domain::order::ClientId;
use crate::domain::params::{CanonicalParams, ListingParams};
use crate::domain::text::Text;
use crate::domain::time::MILLI;

const LATENCY: Nanos = 5 * MILLI;

struct Rig {
    paper: Paper,
    now: Nanos,
    orders: u64,
    updates: u64,
}

impl Rig {
    /// One venue, one linear listing, two price decimals, three quantity decimals, taker 5 bps, maker 2 bps.
    fn new() -> Self {
        let usdt = Text::new("USDT").unwrap();
        let params = EngineParams {
            venues: vec![VenueParams {
                taker_fee_ppb: 500_000,
                maker_fee_ppb: 200_000,
                ..VenueParams::default()
            }],
            canonicals: vec![CanonicalParams { settle: usdt, quote: usdt, ..CanonicalParams::default() }],
            listings: vec![ListingParams::default()],
            ..EngineParams::default()
        };
        let mut paper = Paper::new(&params, PaperParams { latency_ns: LATENCY, balance: 1_000 });
        paper.on_instrument(&Instrument {
            canonical: CanonicalId(0),
            settle: usdt,
            quote: usdt,
            spec: VenueSpec { multiplier: Num::new(1, 0), status: Status::Trading, ..VenueSpec::default() },
            price_scale: 2,
            qty_scale: 3,
            tick: 1,
            step: 10,
            generation: 1,
            ..Instrument::default()
        });
        let mut rig = Self { paper, now: 1_000, orders: 0, updates: 0 };
        let live = BookStatus { state: BookState::Live, ..BookStatus::default() };
        rig.paper.on_market(&EventBody::Book(live), rig.at());
        rig
    }

    fn at(&self) -> Stamp {
        Stamp { mono: self.now, wall: self.now + 1_000_000 }
    }

    fn touch(&mut self, bid: (i64, i64), ask: (i64, i64)) -> Vec<OrderReport> {
        self.updates += 1;
        let bbo = Bbo {
            bid: Price(bid.0),
            bid_qty: Qty(bid.1),
            ask: Price(ask.0),
            ask_qty: Qty(ask.1),
            update_id: self.updates,
            venue_ns: self.now,
            ..Bbo::default()
        };
        self.paper.on_market(&EventBody::Bbo(bbo), self.at());
        self.take()
    }

    fn send(&mut self, side: Side, qty: i64, price: i64, tif: TimeInForce, reduce_only: bool) -> ClientId {
        self.orders += 1;
        let client_id = ClientId::new(1, self.orders);
        let spec = OrderSpec {
            client_id,
            side,
            qty: Qty(qty),
            price: Price(price),
            tif,
            reduce_only,
            ..OrderSpec::default()
        };
        let outcome =
            SendOutcome { message: MessageId(self.orders), fate: SendFate::Sent, order: Some(spec) };
        self.paper.on_outcome(&outcome, self.at());
        client_id
    }

    fn pass(&mut self, time: Nanos) -> Vec<OrderReport> {
        self.now += time;
        self.paper.on_time(self.at());
        self.take()
    }

    fn take(&mut self) -> Vec<OrderReport> {
        let reports = self.paper.items().iter().filter_map(|item| match item {
            PaperEmit::Report(report) => Some(*report),
            _ => None,
        });
        let reports = reports.collect();
        self.paper.clear();
        reports
    }

    fn ioc(&mut self, side: Side, qty: i64, price: i64) -> Vec<OrderReport> {
        self.send(side, qty, price, TimeInForce::Ioc, false);
        self.pass(LATENCY)
    }

    fn wallet(&self) -> String {
        self.paper.wallets[0].amount.to_string()
    }
}

fn kinds(reports: &[OrderReport]) -> Vec<(ReportKind, i64)> {
    reports.iter().map(|report| (report.kind, report.filled.unwrap().0)).collect()
}

#[test]
fn an_order_meets_the_touch_of_the_moment_when_it_arrives() {
    let mut rig = Rig::new();
    rig.touch((10_000, 500), (10_001, 500));
    rig.send(Side::Buy, 100, 10_002, TimeInForce::Ioc, false);
    assert_eq!(rig.pass(LATENCY - 1), [], "on its way");
    rig.touch((10_000, 500), (10_002, 500));
    let reports = rig.pass(1);
    assert_eq!(kinds(&reports), [(ReportKind::Filled, 100)]);
    let fill = reports[0].fill.unwrap();
    assert_eq!((fill.price, fill.qty, fill.maker), (Price(10_002), Qty(100), false));
    // 0.1 × 100.02 × 5 bps.
    assert_eq!(fill.fee.unwrap().to_string(), "0.005001");
    assert_eq!((rig.paper.position(InstrumentId(0)), rig.wallet().as_str()), (100, "999.994999"));
}

#[test]
fn the_rest_of_an_ioc_is_cancelled_and_nothing_is_taken_twice() {
    let mut rig = Rig::new();
    rig.touch((10_000, 500), (10_001, 65));
    let reports = rig.ioc(Side::Buy, 100, 10_001);
    assert_eq!(
        kinds(&reports),
        [(ReportKind::PartiallyFilled, 60), (ReportKind::Canceled, 60)],
        "whole steps only"
    );
    assert_eq!(kinds(&rig.ioc(Side::Buy, 100, 10_001)), [(ReportKind::Canceled, 0)], "the touch is used up");
    rig.touch((10_000, 500), (10_001, 64));
    assert_eq!(kinds(&rig.ioc(Side::Buy, 20, 10_001)), [(ReportKind::Filled, 20)], "a new touch");
    assert_eq!(kinds(&rig.ioc(Side::Buy, 20, 10_000)), [(ReportKind::Canceled, 0)], "beyond the limit");
}

#[test]
fn fok_is_all_or_nothing() {
    let mut rig = Rig::new();
    rig.touch((10_000, 50), (10_001, 50));
    rig.send(Side::Sell, 60, 10_000, TimeInForce::Fok, false);
    assert_eq!(kinds(&rig.pass(LATENCY)), [(ReportKind::Canceled, 0)]);
    rig.send(Side::Sell, 50, 10_000, TimeInForce::Fok, false);
    assert_eq!(kinds(&rig.pass(LATENCY)), [(ReportKind::Filled, 50)]);
    assert_eq!(rig.paper.position(InstrumentId(0)), -50);
}

#[test]
fn reduce_only_never_turns_a_position_and_profit_reaches_the_wallet() {
    let mut rig = Rig::new();
    rig.touch((10_000, 500), (10_001, 500));
    rig.send(Side::Sell, 40, 10_000, TimeInForce::Ioc, true);
    let refused = rig.pass(LATENCY);
    assert_eq!((refused[0].kind, refused[0].reject), (ReportKind::Rejected, RejectClass::ReduceOnly));
    rig.ioc(Side::Buy, 40, 10_001);
    rig.touch((11_001, 500), (11_002, 500));
    rig.send(Side::Sell, 100, 11_000, TimeInForce::Ioc, true);
    let reports = rig.pass(LATENCY);
    assert_eq!(kinds(&reports), [(ReportKind::PartiallyFilled, 40), (ReportKind::Canceled, 40)]);
    assert_eq!(rig.paper.position(InstrumentId(0)), 0);
    // 1000 + 0.04 × 10 − 0.04 × (100.01 + 110.01) × 5 bps.
    assert_eq!(rig.wallet(), "1000.3957996");
}

#[test]
fn resting_orders_fill_at_their_price_when_the_market_comes_and_end_with_the_run() {
    let mut rig = Rig::new();
    rig.touch((10_000, 500), (10_002, 500));
    rig.send(Side::Buy, 100, 10_002, TimeInForce::PostOnly, false);
    assert_eq!(rig.pass(LATENCY)[0].reject, RejectClass::PostOnly);
    rig.send(Side::Buy, 100, 10_001, TimeInForce::PostOnly, false);
    assert_eq!(kinds(&rig.pass(LATENCY)), [(ReportKind::Open, 0)]);
    let reports = rig.touch((9_999, 500), (10_000, 30));
    assert_eq!(kinds(&reports), [(ReportKind::PartiallyFilled, 30)]);
    let fill = reports[0].fill.unwrap();
    assert_eq!(
        (fill.price, fill.maker, fill.fee.unwrap().to_string().as_str()),
        (Price(10_001), true, "0.00060006")
    );
    let at =
        |price| EventBody::Trade(PublicTrade { price: Price(price), qty: Qty(1), ..PublicTrade::default() });
    rig.paper.on_market(&at(10_001), rig.at());
    assert_eq!(rig.take(), [], "at the limit others may have been first");
    rig.paper.on_market(&at(10_000), rig.at());
    assert_eq!(kinds(&rig.take()), [(ReportKind::Filled, 100)]);
    rig.touch((9_999, 500), (10_005, 500));
    rig.send(Side::Sell, 10, 10_010, TimeInForce::Gtc, false);
    rig.pass(LATENCY);
    rig.paper.on_command(Command::Stop, rig.at());
    assert_eq!(kinds(&rig.take()), [(ReportKind::Canceled, 0)]);
}

#[test]
fn a_book_that_is_not_live_fills_nothing_and_too_many_orders_are_refused() {
    let mut rig = Rig::new();
    rig.touch((10_000, 500), (10_001, 500));
    let lost = BookStatus { state: BookState::Invalid, ..BookStatus::default() };
    rig.paper.on_market(&EventBody::Book(lost), rig.at());
    assert_eq!(kinds(&rig.ioc(Side::Buy, 10, 10_001)), [(ReportKind::Canceled, 0)]);
    for _ in 0..PAPER_ORDERS_MAX {
        rig.send(Side::Buy, 10, 10_001, TimeInForce::Ioc, false);
    }
    assert_eq!(rig.take(), []);
    rig.send(Side::Buy, 10, 10_001, TimeInForce::Ioc, false);
    assert_eq!(rig.take()[0].reject, RejectClass::Retry);
    assert_eq!(rig.pass(LATENCY).len(), PAPER_ORDERS_MAX);
}

#[test]
fn queries_are_answered_and_the_start_states_sessions_and_balances() {
    let mut rig = Rig::new();
    rig.paper.on_command(Command::Start, rig.at());
    let items: Vec<PaperEmit> = rig.paper.items().to_vec();
    assert_eq!(items.iter().filter(|item| matches!(item, PaperEmit::Session(s) if s.ready)).count(), 2);
    assert!(
        items
            .iter()
            .any(|item| matches!(item, PaperEmit::Balance(b) if b.wallet == Money::from_units(1_000)))
    );
    rig.take();
    let client_id = rig.send(Side::Buy, 10, 1, TimeInForce::Gtc, false);
    rig.pass(LATENCY);
    for (client_id, kind) in [(client_id, ReportKind::Open), (ClientId::new(1, 99), ReportKind::NotFound)] {
        rig.paper.on_query(&OrderRef { client_id, venue: VenueId(0), instrument: InstrumentId(0) });
        assert_eq!(rig.pass(1)[0].kind, kind);
    }
}
