//! Every check accepts and rejects, capital never leaks, and a halt cancels everything.

use super::*;
use crate::domain::event::{BalanceReport, Seq};
use crate::domain::instrument::{CanonicalId, Status, VenueId, VenueSpec};
use crate::domain::intent::{BPS, DenyReason};
use crate::domain::number::Num;
use crate::domain::order::{OrderState, OrderUpdate, RejectClass, Side};
use crate::domain::params::{CanonicalParams, ListingParams, OrderFallback, VenueParams};
use crate::domain::standing::TradingLock;
use crate::domain::text::Currency;
use proptest::prelude::*;

mod amending;
mod restart;

const EPOCH: u64 = 3;
/// Mid of every book: 100.00.
const MID: i64 = 10_000;

fn usdt() -> Currency {
    Currency::new("USDT").unwrap()
}

/// Listings 0 and 1: the same base on venues 0 and 1; prices in cents, 100 lots = 1 base.
fn listing(id: u16) -> Instrument {
    let num = |mantissa, scale| Num::new(mantissa, scale);
    Instrument {
        id: InstrumentId(id),
        venue: VenueId(id as u8),
        canonical: CanonicalId(0),
        quote: usdt(),
        settle: usdt(),
        spec: VenueSpec {
            instrument: InstrumentId(id),
            multiplier: num(1, 0),
            notional_min: num(5, 0),
            status: Status::Trading,
            ..VenueSpec::default()
        },
        price_scale: 2,
        qty_scale: 2,
        tick: 10,
        step: 2,
        qty_min: Qty(4),
        qty_max: Qty(10_000),
        generation: 1,
        ..Instrument::default()
    }
}

struct Bench {
    risk: Risk,
    now: Stamp,
    out: RiskOut,
    next: u64,
}

impl Bench {
    /// Two venues that are ready, with 100 000 each, and the given limits.
    fn with(limits: RiskParams) -> Self {
        let mut bench = Self::cold(limits);
        bench.ready(0, true);
        bench.ready(1, true);
        bench.balance(0, 100_000);
        bench.balance(1, 100_000);
        bench
    }

    /// Nothing is known but the listings.
    fn cold(limits: RiskParams) -> Self {
        let venue =
            VenueParams { margin_ppb: ONE_PPB / 10, taker_fee_ppb: 5 * BPS, ..VenueParams::default() };
        let listing_of = |id: u16| ListingParams {
            id: InstrumentId(id),
            venue: VenueId(id as u8),
            ..ListingParams::default()
        };
        let params = EngineParams {
            boot_epoch: EPOCH,
            venues: vec![venue.clone(), venue],
            canonicals: vec![CanonicalParams { settle: usdt(), quote: usdt(), ..CanonicalParams::default() }],
            listings: vec![listing_of(0), listing_of(1)],
            risk: limits,
            ..EngineParams::default()
        };
        let mut bench = Self {
            risk: Risk::new(&params),
            now: Stamp::default(),
            out: RiskOut::with_capacity(64),
            next: 1,
        };
        bench.event(EventBody::Instrument(listing(0)));
        bench.event(EventBody::Instrument(listing(1)));
        bench
    }

    fn new() -> Self {
        Self::with(RiskParams::default())
    }

    fn flow(&mut self, body: FlowBody) {
        self.out.clear();
        self.risk.on_flow(&Flow { seq: Seq(1), at: self.now, body }, &mut self.out);
    }

    fn event(&mut self, event: EventBody) {
        self.flow(FlowBody::Event(event));
    }

    fn ready(&mut self, venue: u8, ready: bool) {
        for role in [SessionRole::Account, SessionRole::Orders] {
            self.session(venue, role, ready);
        }
    }

    fn session(&mut self, venue: u8, role: SessionRole, ready: bool) {
        self.event(EventBody::Session(SessionStatus { venue: VenueId(venue), role, ready }));
    }

    fn balance(&mut self, venue: u8, wallet: i64) {
        self.event(EventBody::Balance(BalanceReport {
            venue: VenueId(venue),
            currency: usdt(),
            wallet: Money::from_units(wallet),
            available: None,
            venue_ns: 0,
        }));
    }

    fn order(&mut self, instrument: u16, side: Side, qty: i64) -> OrderSpec {
        self.next += 1;
        OrderSpec {
            client_id: ClientId::new(EPOCH, self.next),
            venue: VenueId(instrument as u8),
            instrument: InstrumentId(instrument),
            side,
            qty: Qty(qty),
            price: Price(MID),
            ..OrderSpec::default()
        }
    }

    fn basket(&self, kind: BasketKind, orders: &[OrderSpec]) -> Basket {
        let mut basket = Basket {
            trade: TradeId(1),
            attempt: self.next as u16,
            kind,
            len: orders.len() as u8,
            mids: [Price(MID); LEGS_MAX],
            ..Basket::default()
        };
        basket.legs[..orders.len()].copy_from_slice(orders);
        basket
    }

    /// An entry of `qty` lots long on venue 0 and short on venue 1.
    fn entry(&mut self, qty: i64) -> Basket {
        let orders = [self.order(0, Side::Buy, qty), self.order(1, Side::Sell, qty)];
        self.basket(BasketKind::Entry, &orders)
    }

    /// The exit of such an entry.
    fn exit(&mut self, qty: i64) -> Basket {
        let reduce = |order| OrderSpec { reduce_only: true, ..order };
        let orders = [reduce(self.order(0, Side::Sell, qty)), reduce(self.order(1, Side::Buy, qty))];
        self.basket(BasketKind::Exit, &orders)
    }

    /// `None` when admitted, else the reason.
    fn ask(&mut self, basket: Basket) -> Option<DenyReason> {
        self.flow(FlowBody::Intent(Intent::Basket(basket)));
        match (self.out.flows.as_slice(), self.out.denials.as_slice()) {
            ([FlowBody::Intent(Intent::Basket(admitted))], []) => {
                assert_eq!(*admitted, basket, "whole and unchanged");
                None
            }
            ([], [denial]) => {
                assert_eq!(
                    (denial.trade, denial.attempt, denial.kind),
                    (basket.trade, basket.attempt, basket.kind)
                );
                Some(denial.reason)
            }
            other => panic!("neither admitted nor denied: {other:?}"),
        }
    }

    /// An update of `order`: state, cumulative and newly filled quantity.
    fn update(&mut self, order: &OrderSpec, state: OrderState, filled: i64, fill: i64) {
        self.update_at(order, state, filled, fill, order.price.0);
    }

    fn update_at(&mut self, order: &OrderSpec, state: OrderState, filled: i64, fill: i64, price: i64) {
        self.event(EventBody::Order(OrderUpdate {
            client_id: order.client_id,
            venue: order.venue,
            instrument: order.instrument,
            side: order.side,
            state,
            filled: Qty(filled),
            leaves: Qty(if state.is_terminal() { 0 } else { order.qty.0 - filled }),
            fill_qty: Qty(fill),
            fill_price: Price(price),
            fee_currency: usdt(),
            trade_id: self.next * 100 + filled as u64,
            reject: if state == OrderState::Rejected { RejectClass::Margin } else { RejectClass::None },
            ..OrderUpdate::default()
        }));
    }

    /// Admits a basket and fills every leg completely.
    fn fill_all(&mut self, basket: Basket) {
        assert_eq!(self.ask(basket), None);
        for order in basket.orders() {
            self.update(order, OrderState::Filled, order.qty.0, order.qty.0);
        }
    }

    fn cancels(&self) -> Vec<ClientId> {
        let cancelled = |flow: &FlowBody| match flow {
            FlowBody::Intent(Intent::Cancel(order)) => Some(order.client_id),
            _ => None,
        };
        self.out.flows.iter().filter_map(cancelled).collect()
    }

    fn denial(&self) -> Denial {
        self.out.denials[0]
    }

    fn deny(&mut self, basket: &Basket, reason: DenyReason) {
        let Basket { trade, attempt, kind, .. } = *basket;
        let zero = Money::ZERO;
        self.event(EventBody::Denied(Denial {
            trade,
            attempt,
            kind,
            reason,
            leg: 255,
            value: zero,
            limit: zero,
        }));
    }
}

use DenyReason as R;

#[test]
fn a_sound_entry_passes_and_binds_its_margin() {
    let mut bench = Bench::new();
    let entry = bench.entry(1_000); // 10 base = 1000 on each venue
    assert_eq!(bench.ask(entry), None);
    assert_eq!((bench.risk.open_orders(), bench.risk.baskets_in_flight()), (2, 1));
    assert_eq!(bench.risk.capital().reserved(), Money::from_units(200));
    assert_eq!(bench.risk.exposure().gross(), Money::from_units(2_000));
}

#[test]
fn nothing_is_admitted_before_sessions_listings_and_balances_are_known() {
    let mut bench = Bench::cold(RiskParams::default());
    let ask = |bench: &mut Bench| {
        let entry = bench.entry(100);
        bench.ask(entry)
    };
    assert_eq!(ask(&mut bench), Some(R::VenueNotReady));
    bench.ready(0, true);
    assert_eq!(ask(&mut bench), Some(R::VenueNotReady));
    assert_eq!(bench.denial().leg, 1);
    bench.session(1, SessionRole::Orders, true);
    assert_eq!(ask(&mut bench), Some(R::VenueNotReady), "orders without the account stream");
    bench.session(1, SessionRole::Account, true);
    assert_eq!(ask(&mut bench), Some(R::MarginInsufficient), "unknown balances");
    bench.balance(0, 100_000);
    bench.balance(1, 100_000);
    assert_eq!(ask(&mut bench), None);
    bench.session(0, SessionRole::Account, false);
    assert_eq!(ask(&mut bench), Some(R::VenueNotReady));
    let exit = bench.exit(100);
    assert_eq!(bench.ask(exit), None, "an exit needs only the order session");
    bench.session(0, SessionRole::Orders, false);
    let exit = bench.exit(100);
    assert_eq!(bench.ask(exit), Some(R::VenueNotReady));
    let suspended =
        Instrument { spec: VenueSpec { status: Status::Suspended, ..listing(1).spec }, ..listing(1) };
    bench.ready(0, true);
    bench.event(EventBody::Instrument(Instrument { generation: 2, ..suspended }));
    assert_eq!(ask(&mut bench), Some(R::VenueNotReady));
}

#[test]
fn without_an_order_session_what_the_fallback_covers_is_admitted() {
    for (fallback, exits, entries) in [
        (OrderFallback::Off, Some(R::VenueNotReady), Some(R::VenueNotReady)),
        (OrderFallback::Reductions, None, Some(R::VenueNotReady)),
        (OrderFallback::All, None, None),
    ] {
        let mut bench = Bench::new();
        bench.risk.venues[0].fallback = fallback;
        bench.session(0, SessionRole::Orders, false);
        let exit = bench.exit(100);
        assert_eq!(bench.ask(exit), exits, "{fallback:?}");
        let entry = bench.entry(100);
        assert_eq!(bench.ask(entry), entries, "{fallback:?}");
        // Nothing goes to an account of which nothing is heard.
        bench.session(0, SessionRole::Account, false);
        let exit = bench.exit(100);
        assert_eq!(bench.ask(exit), Some(R::VenueNotReady), "{fallback:?}");
    }
}

#[test]
fn malformed_orders_are_denied_even_when_urgent() {
    type Spoil = fn(&mut OrderSpec);
    let spoils: [(&str, Spoil); 12] = [
        ("zero quantity", |o| o.qty = Qty(0)),
        ("negative quantity", |o| o.qty = Qty(-100)),
        ("below the minimum", |o| o.qty = Qty(2)),
        ("above the maximum", |o| o.qty = Qty(10_002)),
        ("off step", |o| o.qty = Qty(101)),
        ("zero price", |o| o.price = Price(0)),
        ("negative price", |o| o.price = Price(-MID)),
        ("off tick", |o| o.price = Price(MID + 1)),
        ("another venue's listing", |o| o.venue = VenueId(1)),
        ("no id", |o| o.client_id = ClientId::NONE),
        ("another epoch's id", |o| o.client_id = ClientId::new(EPOCH + 1, 1)),
        ("unknown listing", |o| o.instrument = InstrumentId(7)),
    ];
    for (what, spoil) in spoils {
        for urgent in [false, true] {
            let mut bench = Bench::new();
            let mut basket = if urgent { bench.exit(100) } else { bench.entry(100) };
            spoil(&mut basket.legs[0]);
            assert_eq!(bench.ask(basket), Some(R::OrderInvalid), "{what}, urgent: {urgent}");
            assert_eq!((bench.denial().leg, bench.risk.open_orders()), (0, 0), "{what}: denied whole");
        }
    }
    let mut bench = Bench::new();
    let empty = bench.basket(BasketKind::Entry, &[]);
    assert_eq!(bench.ask(empty), Some(R::OrderInvalid));
    let mut overlong = bench.entry(100);
    overlong.len = 5;
    assert_eq!(bench.ask(overlong), Some(R::OrderInvalid));
    let mut twice = bench.entry(100);
    twice.legs[1].client_id = twice.legs[0].client_id;
    assert_eq!(bench.ask(twice), Some(R::OrderInvalid));
    let entry = bench.entry(100);
    assert_eq!(bench.ask(entry), None);
    assert_eq!(bench.ask(entry), Some(R::OrderInvalid), "an id in use");
    let mut other = bench.entry(100);
    other.canonical = CanonicalId(1);
    assert_eq!(bench.ask(other), Some(R::OrderInvalid), "legs of another canonical");
    // Five in the quote currency is the least, but not for reduce-only orders.
    let (small, exit) = (bench.entry(4), bench.exit(4));
    assert_eq!((bench.ask(small), bench.ask(exit)), (Some(R::OrderInvalid), None));
}

/// Admits entries of `fits` lots and denies those of `exceeds` for `reason`.
fn limit_holds(limits: &RiskParams, fits: i64, exceeds: i64, reason: DenyReason) -> Denial {
    let mut bench = Bench::with(limits.clone());
    let entry = bench.entry(exceeds);
    assert_eq!(bench.ask(entry), Some(reason));
    let denial = bench.denial();
    assert!(denial.value > denial.limit || reason == R::MarginInsufficient, "{denial:?}");
    let entry = bench.entry(fits);
    assert_eq!(bench.ask(entry), None);
    denial
}

#[test]
fn size_limits_hold_to_the_last_lot() {
    let wide = RiskParams {
        order_notional_max_usd: 100_000,
        instrument_position_max_usd: 100_000,
        venue_position_max_usd: 100_000,
        gross_exposure_max_usd: 100_000,
        ..RiskParams::default()
    };
    let denial = limit_holds(
        &RiskParams { order_notional_max_usd: 500, ..wide.clone() },
        500,
        502,
        R::OrderNotionalExceeded,
    );
    assert_eq!((denial.value, denial.limit, denial.leg), (Money::from_units(502), Money::from_units(500), 0));
    let limits = RiskParams { instrument_position_max_usd: 500, ..wide.clone() };
    limit_holds(&limits, 500, 502, R::InstrumentPositionExceeded);
    let limits = RiskParams { venue_position_max_usd: 500, ..wide.clone() };
    limit_holds(&limits, 500, 502, R::VenuePositionExceeded);
    let limits = RiskParams { gross_exposure_max_usd: 1_000, ..wide.clone() };
    limit_holds(&limits, 500, 502, R::GrossExposureExceeded);
}

#[test]
fn positions_are_limited_with_everything_that_can_still_fill() {
    let limits = RiskParams { instrument_position_max_usd: 1_000, ..RiskParams::default() };
    let mut bench = Bench::with(limits);
    let first = bench.entry(600);
    assert_eq!(bench.ask(first), None);
    let second = bench.entry(600);
    assert_eq!(bench.ask(second), Some(R::InstrumentPositionExceeded), "600 are still open");
    bench.update(&first.legs[0], OrderState::Unknown, 0, 0);
    assert_eq!(bench.ask(second), Some(R::InstrumentPositionExceeded), "unknown orders count in full");
    for order in first.orders() {
        bench.update(order, OrderState::Canceled, 0, 0);
    }
    assert_eq!(bench.ask(second), None);
    for order in second.orders() {
        bench.update(order, OrderState::Filled, 600, 600);
    }
    let third = bench.entry(600);
    assert_eq!(bench.ask(third), Some(R::InstrumentPositionExceeded), "600 are held");
    let exit = bench.exit(600);
    bench.fill_all(exit);
    assert_eq!(bench.ask(third), None);
    // A venue that insists on a position that we do not know of is believed.
    let mut bench = Bench::with(RiskParams { instrument_position_max_usd: 1_000, ..RiskParams::default() });
    let report = crate::domain::event::PositionReport {
        instrument: InstrumentId(1),
        qty: -1_200,
        ..Default::default()
    };
    bench.flow(FlowBody::Mid(InstrumentId(1), Price(MID)));
    bench.event(EventBody::Position(report));
    bench.now.mono += 3 * SECOND;
    bench.event(EventBody::Tick);
    let entry = bench.entry(100);
    assert_eq!(bench.ask(entry), Some(R::InstrumentPositionExceeded));
    assert_eq!((bench.denial().leg, bench.risk.positions().discrepancies()), (1, 1));
}

#[test]
fn margin_must_remain_free() {
    let limits = RiskParams { margin_free_min_ppb: ONE_PPB / 5, ..RiskParams::default() };
    let mut bench = Bench::with(limits);
    bench.balance(1, 100);
    // A tenth of the notional is bound, a fifth of 100 must remain: 800 are possible.
    let entry = bench.entry(802);
    assert_eq!(bench.ask(entry), Some(R::MarginInsufficient));
    assert_eq!((bench.denial().leg, bench.denial().limit), (1, Money::from_units(20)));
    let entry = bench.entry(800);
    bench.fill_all(entry);
    assert_eq!(bench.risk.capital().reserved(), Money::ZERO);
    let entry = bench.entry(100);
    assert_eq!(bench.ask(entry), Some(R::MarginInsufficient), "the position uses it now");
    let exit = bench.exit(800);
    assert_eq!(bench.ask(exit), None, "reduce-only needs no margin");
}

#[test]
fn stale_and_crossed_books_and_far_prices_are_denied() {
    let mut bench = Bench::new();
    for (age, entry_ok, exit_ok) in
        [(SECOND, true, true), (SECOND + 1, false, true), (1_000 * SECOND, false, true)]
    {
        for (urgent, ok) in [(false, entry_ok), (true, exit_ok)] {
            let mut basket = if urgent { bench.exit(100) } else { bench.entry(100) };
            basket.book_age_ns[1] = age;
            assert_eq!(bench.ask(basket), (!ok).then_some(R::BookStale), "age {age}, urgent: {urgent}");
        }
    }
    let mut basket = bench.entry(100);
    basket.mids[1] = Price(0);
    assert_eq!(bench.ask(basket), Some(R::BookCrossed));
    // The collar is 1 %: 100.00 ± 1.00, three times that for exits.
    for (price, entry_ok, exit_ok) in [
        (10_100, true, true),
        (9_900, true, true),
        (10_110, false, true),
        (10_300, false, true),
        (10_310, false, false),
    ] {
        for (urgent, ok) in [(false, entry_ok), (true, exit_ok)] {
            let mut basket = if urgent { bench.exit(100) } else { bench.entry(100) };
            basket.legs[0].price = Price(price);
            assert_eq!(
                bench.ask(basket),
                (!ok).then_some(R::PriceCollarExceeded),
                "{price}, urgent: {urgent}"
            );
        }
    }
}

#[test]
fn a_price_beyond_the_band_of_its_venue_is_denied_whatever_the_order_is_for() {
    let mut bench = Bench::new();
    for (leg, worst, ok) in
        [(0, 0, true), (0, 10_000, true), (0, 9_999, false), (1, 10_000, true), (1, 10_001, false)]
    {
        for urgent in [false, true] {
            let mut basket = if urgent { bench.exit(100) } else { bench.entry(100) };
            let (at, worst) = if urgent { (1 - leg, worst) } else { (leg, worst) };
            assert_eq!(basket.legs[at].side, if leg == 0 { Side::Buy } else { Side::Sell });
            basket.legs[at].price = Price(10_000);
            basket.worst.0[at] = Price(worst);
            assert_eq!(bench.ask(basket), (!ok).then_some(R::PriceBandExceeded), "{leg} {worst} {urgent}");
        }
    }
}

#[test]
fn a_hedge_may_stand_on_a_book_ten_times_as_old_as_an_entrys() {
    let mut bench = Bench::new();
    let entry = bench.entry(100);
    assert_eq!(bench.ask(entry), None);
    bench.update(&entry.legs[0], OrderState::Filled, 100, 100);
    bench.update(&entry.legs[1], OrderState::Canceled, 0, 0);
    for (age, denied) in [(10 * SECOND + 1, Some(R::BookStale)), (10 * SECOND, None)] {
        let orders = [bench.order(1, Side::Sell, 100)];
        let mut hedge = bench.basket(BasketKind::Hedge, &orders);
        hedge.book_age_ns[0] = age;
        assert_eq!(bench.ask(hedge), denied);
    }
}

#[test]
fn a_locked_listing_takes_reductions_only_until_the_lock_ends() {
    let mut bench = Bench::new();
    let lock = |until| EventBody::Lock(TradingLock { instrument: InstrumentId(1), until });
    bench.event(lock(i64::MAX));
    let (entry, exit) = (bench.entry(100), bench.exit(100));
    assert_eq!((bench.ask(entry), bench.denial().leg), (Some(R::ListingLocked), 1));
    assert_eq!(bench.ask(exit), None);
    bench.event(lock(bench.now.wall + 1));
    let entry = bench.entry(100);
    assert_eq!(bench.ask(entry), Some(R::ListingLocked));
    bench.now.wall += 1;
    let entry = bench.entry(100);
    assert_eq!(bench.ask(entry), None, "it has ended");
}

#[test]
fn fees_in_another_currency_count_in_the_verdict_as_they_do_in_the_result() {
    for (fee_currency, failures) in [(usdt(), 0), (Currency::new("BNB").unwrap(), 1)] {
        let mut bench = Bench::new();
        let entry = bench.entry(100);
        let exit = bench.exit(100);
        for (basket, gain) in [(entry, 0), (exit, 10)] {
            assert_eq!(bench.ask(basket), None);
            for (leg, order) in basket.orders().iter().enumerate() {
                // 0.10 won with the long leg. A unit of fee is a loss of 4 if it is USDT, and 5 bps of 100 are 0.05 a
                // leg if it is not.
                let fee = if fee_currency == usdt() { Money(1) } else { Money::from_units(1) };
                bench.event(EventBody::Order(OrderUpdate {
                    client_id: order.client_id,
                    venue: order.venue,
                    instrument: order.instrument,
                    side: order.side,
                    state: OrderState::Filled,
                    filled: order.qty,
                    fill_qty: order.qty,
                    fill_price: Price(MID + if leg == 0 { gain } else { 0 }),
                    fee,
                    fee_currency,
                    ..OrderUpdate::default()
                }));
            }
        }
        assert_eq!(bench.risk.failures(), failures, "{fee_currency:?}");
        assert_eq!(bench.risk.positions().totals().net() < Money::ZERO, failures == 1);
    }
}

#[test]
fn counts_are_limited_for_entries_only() {
    let limits = RiskParams { open_orders_max: 4, ..RiskParams::default() };
    let mut bench = Bench::with(limits);
    let (first, second, third) = (bench.entry(100), bench.entry(100), bench.entry(100));
    assert_eq!((bench.ask(first), bench.ask(second)), (None, None));
    assert_eq!(bench.ask(third), Some(R::OpenOrdersExceeded));
    let exit = bench.exit(100);
    assert_eq!(bench.ask(exit), None);

    let limits = RiskParams { order_rate_per_s_max: 4, ..RiskParams::default() };
    let mut bench = Bench::with(limits);
    let (first, second, third) = (bench.entry(100), bench.entry(100), bench.entry(100));
    assert_eq!((bench.ask(first), bench.ask(second)), (None, None));
    assert_eq!(bench.ask(third), Some(R::OrderRateExceeded));
    let exit = bench.exit(100);
    assert_eq!(bench.ask(exit), None);
    bench.now.mono += SECOND - 1;
    assert_eq!(bench.ask(third), Some(R::OrderRateExceeded));
    bench.now.mono += 1;
    assert_eq!(bench.ask(third), None);

    let limits = RiskParams { baskets_in_flight_max: 1, ..RiskParams::default() };
    let mut bench = Bench::with(limits);
    let (first, second) = (bench.entry(100), bench.entry(100));
    assert_eq!((bench.ask(first), bench.ask(second)), (None, Some(R::InFlightExceeded)));
    let exit = bench.exit(100);
    assert_eq!(bench.ask(exit), None);
    for order in first.orders().iter().chain(exit.orders()) {
        bench.update(order, OrderState::Canceled, 0, 0);
    }
    assert_eq!(bench.ask(second), None);
}

#[test]
fn the_daily_loss_stops_entries_until_midnight() {
    let limits = RiskParams { daily_loss_max_usd: 50, ..RiskParams::default() };
    let mut bench = Bench::with(limits);
    bench.now.wall = 86_400 * SECOND * 20_000;
    let entry = bench.entry(1_000);
    bench.fill_all(entry);
    bench.flow(FlowBody::Mid(InstrumentId(0), Price(9_510)));
    let next = bench.entry(100);
    assert_eq!(bench.ask(next), None, "49 lost");
    bench.flow(FlowBody::Mid(InstrumentId(0), Price(9_500)));
    let next = bench.entry(100);
    assert_eq!(bench.ask(next), Some(R::DailyLossExceeded));
    assert_eq!((bench.denial().value, bench.denial().limit), (Money::from_units(50), Money::from_units(50)));
    let mut exit = bench.exit(1_000);
    exit.legs[0].price = Price(9_900);
    assert_eq!(bench.ask(exit), None);
    bench.now.wall += 86_400 * SECOND;
    assert_eq!(bench.ask(next), None);
}

#[test]
fn the_daily_loss_closes_open_trades_once_a_day_where_configured() {
    for closes in [false, true] {
        let limits =
            RiskParams { daily_loss_max_usd: 50, daily_loss_closes: closes, ..RiskParams::default() };
        let mut bench = Bench::with(limits);
        bench.now.wall = 86_400 * SECOND * 20_000;
        let entry = bench.entry(1_000);
        bench.fill_all(entry);
        let told = |bench: &mut Bench, mid| {
            bench.flow(FlowBody::Mid(InstrumentId(0), Price(mid)));
            bench.out.clear();
            bench.risk.on_flow(
                &Flow { seq: Seq(1), at: bench.now, body: FlowBody::Event(EventBody::Tick) },
                &mut bench.out,
            );
            bench.out.denials.iter().filter(|denial| denial.trade == EVERY_TRADE).count()
        };
        assert_eq!(told(&mut bench, 9_510), 0, "49 lost");
        assert_eq!(told(&mut bench, 9_500), usize::from(closes));
        assert_eq!(told(&mut bench, 9_400), 0, "once a day");
        bench.now.wall += 86_400 * SECOND;
        assert_eq!(told(&mut bench, 9_390), 0, "a new day, a new count");
        assert_eq!(told(&mut bench, 8_000), usize::from(closes));
    }
}

#[test]
fn failures_in_a_row_stop_entries_but_misses_do_not() {
    let limits =
        RiskParams { consecutive_failures_max: 2, baskets_in_flight_max: 100, ..RiskParams::default() };
    let mut bench = Bench::with(limits);
    let mut trade = 0;
    let mut try_entry = |bench: &mut Bench, ends: [(OrderState, i64); 2]| {
        trade += 1;
        let entry = Basket { trade: TradeId(trade), ..bench.entry(100) };
        assert_eq!(bench.ask(entry), None);
        for (order, (state, filled)) in entry.orders().iter().zip(ends) {
            bench.update(order, state, filled, filled);
        }
        entry
    };
    let miss = [(OrderState::Canceled, 0), (OrderState::Canceled, 0)];
    for _ in 0..5 {
        try_entry(&mut bench, miss);
    }
    assert_eq!(bench.risk.failures(), 0);
    try_entry(&mut bench, [(OrderState::Filled, 100), (OrderState::Canceled, 0)]);
    assert_eq!(bench.risk.failures(), 1, "a lone leg");
    // A trade that closes with a profit ends the row.
    let won = try_entry(&mut bench, [(OrderState::Filled, 100), (OrderState::Filled, 100)]);
    let exit = Basket { trade: won.trade, ..bench.exit(100) };
    assert_eq!(bench.ask(exit), None);
    bench.update_at(&exit.legs[0], OrderState::Filled, 100, 100, MID + 10);
    bench.update_at(&exit.legs[1], OrderState::Filled, 100, 100, MID);
    assert_eq!(bench.risk.failures(), 0);
    // One that closes with a loss counts, and so does a reject.
    let lost = try_entry(&mut bench, [(OrderState::Filled, 100), (OrderState::Filled, 100)]);
    let exit = Basket { trade: lost.trade, ..bench.exit(100) };
    assert_eq!(bench.ask(exit), None);
    bench.update_at(&exit.legs[0], OrderState::Filled, 100, 100, MID - 10);
    bench.update_at(&exit.legs[1], OrderState::Filled, 100, 100, MID);
    assert_eq!(bench.risk.failures(), 1);
    try_entry(&mut bench, [(OrderState::Rejected, 0), (OrderState::Canceled, 0)]);
    assert_eq!(bench.risk.failures(), 2);
    let entry = bench.entry(100);
    assert_eq!(bench.ask(entry), Some(R::ConsecutiveFailures));
    let exit = bench.exit(100);
    assert_eq!(bench.ask(exit), None);
    bench.event(EventBody::Command(Command::Resume));
    assert_eq!(bench.ask(entry), None);
}

#[test]
fn a_kill_halts_and_cancels_every_open_order_until_it_is_closed() {
    let mut bench = Bench::new();
    let entry = bench.entry(100);
    bench.ask(entry);
    bench.update(&entry.legs[0], OrderState::Open, 0, 0);
    bench.event(EventBody::Command(Command::Kill(Scope::Global)));
    assert!(matches!(bench.out.flows[0], FlowBody::Event(EventBody::Command(_))), "the command goes first");
    assert_eq!(bench.cancels(), [entry.legs[0].client_id, entry.legs[1].client_id]);
    assert_eq!(bench.risk.state(), TradingState::Halted);
    bench.now.mono += CANCEL_RETRY - 1;
    bench.event(EventBody::Tick);
    assert_eq!(bench.cancels(), []);
    bench.update(&entry.legs[0], OrderState::Canceled, 0, 0);
    bench.now.mono += 1;
    bench.event(EventBody::Tick);
    assert_eq!(
        bench.cancels(),
        [entry.legs[1].client_id],
        "the cancel is repeated until the order is closed"
    );
    let (next, exit) = (bench.entry(100), bench.exit(100));
    assert_eq!(bench.ask(next), Some(R::KillSwitch));
    assert_eq!(bench.ask(exit), None);
    bench.event(EventBody::Command(Command::RecorderLag { percent: 0 }));
    assert_eq!(bench.ask(next), Some(R::KillSwitch), "only Resume ends it");
    bench.event(EventBody::Command(Command::Resume));
    assert_eq!(bench.ask(next), None);
}

#[test]
fn one_venue_can_be_killed() {
    let mut bench = Bench::new();
    let entry = bench.entry(100);
    bench.ask(entry);
    bench.event(EventBody::Command(Command::Kill(Scope::Venue(VenueId(1)))));
    assert_eq!(bench.cancels(), [entry.legs[1].client_id]);
    let next = bench.entry(100);
    assert_eq!(bench.ask(next), Some(R::KillSwitch));
    assert_eq!(bench.denial().leg, 1);
    let alone = [bench.order(0, Side::Buy, 100)];
    let alone = bench.basket(BasketKind::Entry, &alone);
    assert_eq!(bench.ask(alone), None);
    bench.event(EventBody::Command(Command::Resume));
    assert_eq!(bench.ask(next), None);
}

#[test]
fn a_lagging_recorder_reduces_and_then_halts() {
    let mut bench = Bench::new();
    let entry = bench.entry(100);
    bench.ask(entry);
    let ask = |bench: &mut Bench| {
        let entry = bench.entry(100);
        bench.ask(entry)
    };
    for (percent, expected) in
        [(25, None), (26, Some(R::TradingReducing)), (75, Some(R::TradingReducing)), (10, None)]
    {
        bench.event(EventBody::Command(Command::RecorderLag { percent }));
        assert_eq!(bench.cancels(), []);
        assert_eq!(ask(&mut bench), expected, "{percent} %");
    }
    bench.event(EventBody::Command(Command::RecorderLag { percent: 76 }));
    assert_eq!(bench.cancels().len(), bench.risk.open_orders());
    bench.event(EventBody::Command(Command::RecorderLag { percent: 0 }));
    assert_eq!(ask(&mut bench), Some(R::TradingHalted), "stays halted");
    bench.event(EventBody::Command(Command::Resume));
    assert_eq!(ask(&mut bench), None);
}

#[test]
fn a_disk_short_of_room_reduces_until_it_is_not_and_no_resume_overrules_it() {
    let mut bench = Bench::new();
    let ask = |bench: &mut Bench| {
        let entry = bench.entry(100);
        bench.ask(entry)
    };
    for (command, expected) in [
        (Command::JournalSpace { short: true }, Some(R::TradingReducing)),
        (Command::Resume, Some(R::TradingReducing)),
        (Command::JournalSpace { short: false }, None),
    ] {
        bench.event(EventBody::Command(command));
        assert_eq!(ask(&mut bench), expected, "{command:?}");
    }
    bench.event(EventBody::Command(Command::JournalSpace { short: true }));
    let exit = bench.exit(100);
    assert_eq!(bench.ask(exit), None, "what is open may be closed");
}

#[test]
fn reducing_cancels_what_rests_and_lets_exits_unwinds_and_true_hedges_pass() {
    let mut bench = Bench::new();
    let entry = bench.entry(100);
    bench.ask(entry);
    bench.update(&entry.legs[0], OrderState::Filled, 100, 100);
    let exit = bench.exit(100);
    bench.ask(exit);
    bench.event(EventBody::Command(Command::Reduce));
    assert_eq!(bench.cancels(), [entry.legs[1].client_id], "not the exit");
    bench.update(&entry.legs[1], OrderState::Canceled, 0, 0);
    let hedge = |bench: &mut Bench, side, qty, trade| {
        let orders = [bench.order(1, side, qty)];
        Basket { trade: TradeId(trade), ..bench.basket(BasketKind::Hedge, &orders) }
    };
    for (side, qty, trade, expected) in [
        (Side::Buy, 100, 1, Some(R::TradingReducing)), // would widen the gap
        (Side::Sell, 106, 1, Some(R::TradingReducing)), // beyond the gap
        (Side::Sell, 100, 2, Some(R::TradingReducing)), // a trade that has no gap
        (Side::Sell, 100, 1, None),
    ] {
        let basket = hedge(&mut bench, side, qty, trade);
        assert_eq!(bench.ask(basket), expected, "{side:?} {qty} for trade {trade}");
    }
    let unwind = [OrderSpec { reduce_only: true, ..bench.order(0, Side::Sell, 100) }];
    let unwind = bench.basket(BasketKind::Unwind, &unwind);
    assert_eq!(bench.ask(unwind), None);
    let mut disguised = bench.exit(100);
    disguised.legs[1].reduce_only = false;
    assert_eq!(bench.ask(disguised), Some(R::TradingReducing), "the kind alone opens no door");
}

#[test]
fn a_hedge_may_exceed_the_limits_of_an_entry_but_not_twice() {
    let limits = RiskParams {
        instrument_position_max_usd: 100,
        order_notional_max_usd: 5_000,
        ..RiskParams::default()
    };
    let mut bench = Bench::with(limits);
    let entry = bench.entry(100);
    bench.ask(entry);
    bench.update(&entry.legs[0], OrderState::Filled, 100, 100);
    bench.update(&entry.legs[1], OrderState::Canceled, 0, 0);
    let dear = |bench: &mut Bench, price| {
        let orders = [OrderSpec { price: Price(price), ..bench.order(1, Side::Sell, 100) }];
        let mut basket = bench.basket(BasketKind::Hedge, &orders);
        basket.mids[0] = Price(price);
        basket
    };
    bench.flow(FlowBody::Mid(InstrumentId(1), Price(20_010)));
    let basket = dear(&mut bench, 20_010);
    assert_eq!(bench.ask(basket), Some(R::InstrumentPositionExceeded));
    bench.flow(FlowBody::Mid(InstrumentId(1), Price(15_000)));
    let basket = dear(&mut bench, 15_000);
    assert_eq!(bench.ask(basket), None);
}

#[test]
fn route_denials_release_and_our_own_do_not_release_twice() {
    let mut bench = Bench::new();
    let (kept, dropped) = (bench.entry(100), bench.entry(200));
    assert_eq!((bench.ask(kept), bench.ask(dropped)), (None, None));
    let both = bench.risk.capital().reserved();
    bench.deny(&dropped, R::BookStale);
    assert_eq!(bench.risk.capital().reserved(), both, "a denial of our own bound nothing");
    bench.deny(&dropped, R::RouteUnavailable);
    assert_eq!(bench.risk.capital().reserved(), Money::from_units(20));
    assert_eq!((bench.risk.open_orders(), bench.risk.baskets_in_flight()), (2, 1));
    assert_eq!(bench.risk.exposure().gross(), Money::from_units(200));
    bench.deny(&dropped, R::RouteUnavailable);
    assert_eq!(bench.risk.capital().reserved(), Money::from_units(20), "released once");
    bench.update(&kept.legs[0], OrderState::PendingNew, 0, 0);
    bench.deny(&kept, R::RouteUnavailable);
    assert_eq!(bench.risk.open_orders(), 2, "what was sent was not denied");
    assert_eq!(bench.risk.failures(), 0);
    assert!(bench.out.flows.is_empty(), "denials are not passed on");
}

#[test]
fn a_stray_order_is_cancelled_and_blocks_entries_on_its_venue() {
    let mut bench = Bench::new();
    let stray = OrderSpec { client_id: ClientId::new(EPOCH - 1, 9), ..bench.order(0, Side::Buy, 100) };
    bench.update(&stray, OrderState::Open, 0, 0);
    assert_eq!(bench.cancels(), [stray.client_id]);
    let entry = bench.entry(100);
    assert_eq!(bench.ask(entry), Some(R::VenueNotReady));
    let exit = bench.exit(100);
    assert_eq!(bench.ask(exit), None);
    bench.now.mono += CANCEL_RETRY;
    bench.event(EventBody::Tick);
    assert_eq!(bench.cancels(), [stray.client_id]);
    bench.update(&stray, OrderState::Canceled, 0, 0);
    assert_eq!(bench.ask(entry), None);
}

#[test]
fn late_fills_and_executions_that_are_not_ours_move_the_position() {
    let mut bench = Bench::new();
    let entry = bench.entry(100);
    bench.ask(entry);
    bench.update(&entry.legs[0], OrderState::Canceled, 0, 0);
    bench.update(&entry.legs[0], OrderState::Canceled, 40, 40);
    assert_eq!(bench.risk.positions().get(InstrumentId(0)).qty, 40);
    assert_eq!(bench.cancels(), []);
    bench.update(&entry.legs[1], OrderState::Canceled, 0, 0);
    bench.event(EventBody::Command(Command::Reduce));
    let hedge = [bench.order(1, Side::Sell, 40)];
    let hedge = bench.basket(BasketKind::Hedge, &hedge);
    assert_eq!(bench.ask(hedge), None, "the late fill counts for its trade");
    let liquidation = OrderSpec { client_id: ClientId::NONE, ..bench.order(0, Side::Sell, 40) };
    bench.update(&liquidation, OrderState::Filled, 40, 40);
    assert_eq!(bench.risk.positions().get(InstrumentId(0)).qty, 0);
    assert_eq!(bench.risk.strays(), 0);
}

#[test]
fn what_route_needs_is_passed_on_in_order_and_nothing_else() {
    let mut bench = Bench::new();
    let order = bench.order(0, Side::Buy, 100);
    let cancel = Intent::Cancel(OrderRef {
        client_id: order.client_id,
        venue: VenueId(0),
        instrument: InstrumentId(0),
    });
    bench.flow(FlowBody::Intent(cancel));
    assert_eq!(bench.out.flows, [FlowBody::Intent(cancel)]);
    let passed = [
        EventBody::Tick,
        EventBody::Session(SessionStatus::default()),
        EventBody::Conn(Default::default()),
        EventBody::Command(Command::Start),
        EventBody::Instrument(listing(0)),
        EventBody::Order(OrderUpdate { state: OrderState::Canceled, ..Default::default() }),
    ];
    for event in passed {
        bench.event(event);
        assert_eq!(bench.out.flows, [FlowBody::Event(event)]);
    }
    for event in [
        EventBody::Balance(Default::default()),
        EventBody::Position(Default::default()),
        EventBody::Funding(Default::default()),
        EventBody::Bbo(Default::default()),
    ] {
        bench.event(event);
        assert_eq!(bench.out.flows, [], "{event:?}");
    }
}

/// How one order goes on.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Fill(i64),
    Unknown,
    End(OrderState),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (1i64..60).prop_map(Fate::Fill),
        1 => Just(Fate::Unknown),
        2 => prop::sample::select(vec![OrderState::Canceled, OrderState::Rejected, OrderState::Expired])
            .prop_map(Fate::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn when_all_orders_are_closed_nothing_is_reserved(
        baskets in proptest::collection::vec((2i64..40, any::<bool>(), any::<u8>()), 1..25),
        fates in proptest::collection::vec((any::<prop::sample::Index>(), fate()), 0..150),
    ) {
        let limits = RiskParams {
            open_orders_max: 1_000,
            order_rate_per_s_max: 100_000,
            baskets_in_flight_max: 1_000,
            instrument_position_max_usd: 1_000_000,
            venue_position_max_usd: 1_000_000,
            gross_exposure_max_usd: 1_000_000,
            consecutive_failures_max: 1_000,
            daily_loss_max_usd: 1_000_000,
            drawdown_max_usd: 1_000_000,
            ..RiskParams::default()
        };
        let mut bench = Bench::with(limits);
        bench.balance(0, 1_000_000);
        bench.balance(1, 1_000_000);
        let mut live: Vec<(OrderSpec, i64)> = Vec::new();
        let mut net = [0i64; 2];
        let mut fates = fates.into_iter();
        let mut apply = |bench: &mut Bench, live: &mut Vec<(OrderSpec, i64)>, at: usize, fate: Fate| {
            let (order, filled) = live[at];
            let (state, fill) = match fate {
                Fate::Fill(qty) if qty >= order.qty.0 - filled => (OrderState::Filled, order.qty.0 - filled),
                Fate::Fill(qty) => (OrderState::PartiallyFilled, qty),
                Fate::Unknown => (OrderState::Unknown, 0),
                Fate::End(OrderState::Rejected) if filled > 0 => (OrderState::Canceled, 0),
                Fate::End(state) => (state, 0),
            };
            live[at].1 += fill;
            net[order.instrument.index()] += order.side.sign() * fill;
            bench.update(&order, state, filled + fill, fill);
            if state.is_terminal() {
                live.remove(at);
            }
        };
        for (qty, exit, roll) in baskets {
            let mut basket = if exit { bench.exit(qty * 2 + 4) } else { bench.entry(qty * 2 + 4) };
            basket.trade = TradeId(u32::from(roll % 7));
            assert_eq!(bench.ask(basket), None);
            match roll % 5 {
                0 => bench.deny(&basket, R::RouteUnavailable),
                _ => live.extend(basket.orders().iter().map(|order| (*order, 0))),
            }
            if roll % 3 == 0 {
                bench.deny(&basket, R::GrossExposureExceeded);
            }
            for (index, fate) in fates.by_ref().take(6) {
                if !live.is_empty() {
                    let at = index.index(live.len());
                    apply(&mut bench, &mut live, at, fate);
                }
            }
            let bound: i128 = bench.risk.capital().accounts().iter().map(|account| account.reserved.0).sum();
            prop_assert!(bound >= 0);
            prop_assert_eq!(bench.risk.open_orders(), live.len());
        }
        while !live.is_empty() {
            let at = live.len() - 1;
            apply(&mut bench, &mut live, at, Fate::End(OrderState::Canceled));
        }
        for account in bench.risk.capital().accounts() {
            prop_assert_eq!(account.reserved, Money::ZERO);
        }
        prop_assert_eq!((bench.risk.open_orders(), bench.risk.baskets_in_flight()), (0, 0));
        for id in [0u16, 1] {
            let held = bench.risk.positions().get(InstrumentId(id)).qty;
            prop_assert_eq!(held, net[usize::from(id)]);
            prop_assert_eq!(bench.risk.exposure().open(InstrumentId(id)), (0, 0));
            let worst = bench.risk.exposure().venue(VenueId(id as u8));
            prop_assert_eq!(worst, listing(id).notional(Qty(held.abs()), Price(MID)));
        }
    }
}
