//! Signs, identities and sums of positions and profit.

use super::*;
use crate::domain::instrument::VenueSpec;
use crate::domain::intent::BPS;
use crate::domain::number::Num;
use crate::domain::order::OrderState;
use crate::domain::params::{ListingParams, VenueParams};
use proptest::prelude::*;

fn usdt() -> Currency {
    Currency::new("USDT").unwrap()
}

fn money(text: &str) -> Money {
    Money::from_num(Num::parse(text.as_bytes()).unwrap())
}

/// Price scale 2, quantity scale 1, multiplier 0.01.
fn listing(id: u16, kind: ContractKind) -> Instrument {
    let multiplier = match kind {
        ContractKind::Linear => Num::new(1, 2),
        ContractKind::Inverse => Num::new(100, 0),
    };
    Instrument {
        id: InstrumentId(id),
        venue: VenueId(id as u8),
        quote: usdt(),
        settle: if kind == ContractKind::Linear { usdt() } else { Currency::new("BTC").unwrap() },
        spec: VenueSpec { kind, multiplier, ..VenueSpec::default() },
        price_scale: 2,
        qty_scale: 1,
        tick: 1,
        step: 1,
        generation: 1,
        ..Instrument::default()
    }
}

fn positions() -> Positions {
    let mut positions = Positions::new(&EngineParams {
        venues: vec![VenueParams { taker_fee_ppb: 5 * BPS, ..VenueParams::default() }; 2],
        listings: vec![ListingParams::default(); 3],
        ..EngineParams::default()
    });
    for (id, kind) in [(0, ContractKind::Linear), (1, ContractKind::Linear), (2, ContractKind::Inverse)] {
        positions.on_instrument(&listing(id, kind));
    }
    positions
}

fn fill(id: u16, side: Side, qty: i64, price: i64, fee: &str) -> OrderUpdate {
    OrderUpdate {
        instrument: InstrumentId(id),
        venue: VenueId(id as u8),
        side,
        state: OrderState::Filled,
        fill_qty: Qty(qty),
        fill_price: Price(price),
        fee: money(fee),
        fee_currency: usdt(),
        ..OrderUpdate::default()
    }
}

#[test]
fn longs_gain_when_the_price_rises_and_shorts_when_it_falls() {
    for (side, mid, expected) in [
        (Side::Buy, 11_000, "10"),
        (Side::Buy, 9_000, "-10"),
        (Side::Sell, 11_000, "-10"),
        (Side::Sell, 9_000, "10"),
    ] {
        let mut positions = positions();
        // 100 contracts of 0.01 at 100.00 = 1 base.
        positions.on_update(&fill(0, side, 1_000, 10_000, "0"));
        positions.on_mid(InstrumentId(0), Price(mid));
        assert_eq!(positions.totals().unrealised, money(expected), "{side:?} at {mid}");
        assert_eq!(positions.totals().realised, Money::ZERO);
        positions.on_update(&fill(0, side.opposite(), 1_000, mid, "0"));
        assert_eq!(positions.totals().realised, money(expected), "{side:?} closed at {mid}");
        assert_eq!(positions.totals().unrealised, Money::ZERO);
        assert_eq!(positions.get(InstrumentId(0)).qty, 0);
        assert_eq!(positions.get(InstrumentId(0)).open_cash, Money::ZERO);
    }
}

#[test]
fn inverse_contracts_gain_in_base_with_the_right_sign() {
    for (side, mid, gains) in
        [(Side::Buy, 12_500, true), (Side::Sell, 12_500, false), (Side::Sell, 8_000, true)]
    {
        let mut positions = positions();
        // 10 contracts of 100 USD at 100.00: face 1000.
        positions.on_update(&fill(2, side, 100, 10_000, "0"));
        positions.on_mid(InstrumentId(2), Price(mid));
        let base = positions.unrealised(InstrumentId(2));
        assert_eq!(base > Money::ZERO, gains, "{side:?} at {mid}: {base}");
        // 1000/100 − 1000/125 = 2 base; 1000/80 − 1000/100 = 2.5 base.
        let expected = if mid == 12_500 { money("2") } else { money("2.5") };
        assert_eq!(base.abs(), expected);
        assert_eq!(
            positions.totals().unrealised.abs(),
            if mid == 12_500 { money("250") } else { money("200") }
        );
    }
}

#[test]
fn parts_close_at_average_cost_and_a_flip_opens_at_its_own_price() {
    let mut positions = positions();
    positions.on_update(&fill(0, Side::Buy, 1_000, 10_000, "0")); // 1 at 100
    positions.on_update(&fill(0, Side::Buy, 1_000, 12_000, "0")); // 1 at 120: average 110
    positions.on_update(&fill(0, Side::Sell, 500, 13_000, "0")); // 0.5 × 20
    assert_eq!(positions.get(InstrumentId(0)).realised, money("10"));
    positions.on_update(&fill(0, Side::Sell, 2_500, 13_000, "0")); // closes 1.5 × 20, opens −1 at 130
    let position = positions.get(InstrumentId(0));
    assert_eq!((position.qty, position.realised, position.open_cash), (-1_000, money("40"), money("130")));
    positions.on_mid(InstrumentId(0), Price(12_500));
    assert_eq!(positions.totals().unrealised, money("5"));
}

#[test]
fn fees_are_exact_per_venue_and_currency_and_foreign_ones_are_estimated() {
    let mut positions = positions();
    positions.on_update(&fill(0, Side::Buy, 1_000, 10_000, "0.05"));
    positions.on_update(&fill(0, Side::Sell, 1_000, 10_000, "-0.01"));
    positions.on_update(&fill(1, Side::Sell, 1_000, 10_000, "0.02"));
    let bnb = Currency::new("BNB").unwrap();
    let foreign = OrderUpdate { fee_currency: bnb, ..fill(0, Side::Buy, 1_000, 10_000, "0.0001") };
    positions.on_update(&foreign);
    let fees: Vec<_> =
        positions.fees().iter().map(|f| (f.venue.0, f.currency.to_string(), f.amount.to_string())).collect();
    let expected = [(0, "USDT", "0.04"), (1, "USDT", "0.02"), (0, "BNB", "0.0001")];
    assert_eq!(
        fees,
        expected.map(|(venue, currency, amount)| (venue, currency.to_string(), amount.to_string()))
    );
    // 0.06 exactly, and 5 bps of 100 for the fee in BNB.
    assert_eq!(positions.totals().fees, money("0.11"));
    assert_eq!(positions.totals().net(), money("-0.11"));
}

#[test]
fn funding_nets_between_the_legs() {
    let mut positions = positions();
    let pay = |id: Option<u16>, amount: &str, currency: Currency| FundingPayment {
        venue: VenueId(id.unwrap_or(0) as u8),
        instrument: id.map(InstrumentId),
        currency,
        amount: money(amount),
        venue_ns: 0,
    };
    positions.on_funding(&pay(Some(0), "-3", usdt()));
    positions.on_funding(&pay(Some(1), "2", usdt()));
    assert_eq!(positions.totals().funding, money("-1"));
    positions.on_funding(&pay(None, "0.5", usdt()));
    assert_eq!(positions.totals().net(), money("-0.5"));
    positions.on_funding(&pay(None, "7", Currency::new("DOGE").unwrap()));
    assert_eq!(positions.totals().net(), money("-0.5"), "no rate, no value; the amount is kept");
    assert_eq!(positions.funding().len(), 3);
}

#[test]
fn funding_in_coins_that_names_no_contract_is_worth_what_the_venue_s_contract_says() {
    let btc = Currency::new("BTC").unwrap();
    let pay = |venue: u8| FundingPayment {
        venue: VenueId(venue),
        instrument: None,
        currency: btc,
        amount: money("-0.5"),
        venue_ns: 0,
    };
    let mut positions = positions();
    positions.on_mid(InstrumentId(2), Price(10_000));
    positions.on_funding(&pay(2));
    assert_eq!(positions.totals().funding, money("-50"), "half a coin at 100.00");
    assert_eq!(positions.daily(), money("-50"), "and the daily loss knows");
    positions.on_mid(InstrumentId(2), Price(20_000));
    assert_eq!(positions.totals().funding, money("-100"));
    positions.on_funding(&pay(1));
    assert_eq!(positions.totals().funding, money("-100"), "no contract of that venue settles in coins");
    assert_eq!(positions.funding().len(), 2, "the amount is kept");
}

#[test]
fn the_daily_result_begins_anew_at_midnight_utc() {
    let mut positions = positions();
    positions.on_time(DAY * 20_000 + DAY - 1);
    positions.on_update(&fill(0, Side::Buy, 1_000, 10_000, "1"));
    positions.on_mid(InstrumentId(0), Price(9_500));
    assert_eq!(positions.daily(), money("-6"), "unrealised and fees included");
    positions.on_time(DAY * 20_001);
    assert_eq!(positions.daily(), Money::ZERO);
    positions.on_mid(InstrumentId(0), Price(9_400));
    assert_eq!(positions.daily(), money("-1"));
    positions.on_time(DAY * 20_001 + 5);
    assert_eq!(positions.daily(), money("-1"));
    assert_eq!(positions.totals().net(), money("-7"));
}

#[test]
fn a_statement_counts_as_a_discrepancy_only_when_it_lasts() {
    let mut positions = positions();
    let states = |qty| PositionReport { instrument: InstrumentId(0), qty, ..PositionReport::default() };
    positions.on_report(&states(1_000), 0);
    positions.on_tick(SECOND);
    positions.on_update(&fill(0, Side::Buy, 1_000, 10_000, "0"));
    assert!(!positions.on_tick(10 * SECOND), "the fill came after the statement");
    positions.on_report(&states(400), 10 * SECOND);
    assert!(!positions.on_tick(10 * SECOND + DISCREPANCY_AFTER - 1));
    assert_eq!(positions.worst_qty(InstrumentId(0)), 1_000);
    positions.on_report(&states(1_500), 11 * SECOND);
    assert!(positions.on_tick(10 * SECOND + DISCREPANCY_AFTER), "contradicted for long, whatever the figure");
    assert!(!positions.on_tick(60 * SECOND), "counted once");
    assert_eq!((positions.discrepancies(), positions.worst_qty(InstrumentId(0))), (1, 1_500));
    positions.on_report(&states(1_000), 61 * SECOND);
    assert!(positions.positions().all(|view| !view.discrepant));
    assert_eq!(positions.worst_qty(InstrumentId(0)), 1_000);
}

#[test]
fn positions_follow_a_change_of_scales() {
    let mut positions = positions();
    positions.on_update(&fill(0, Side::Sell, 1_000, 10_000, "0"));
    positions.on_mid(InstrumentId(0), Price(9_000));
    let before = *positions.totals();
    let finer =
        Instrument { price_scale: 3, qty_scale: 2, generation: 2, ..listing(0, ContractKind::Linear) };
    positions.on_instrument(&finer);
    assert_eq!(positions.get(InstrumentId(0)).qty, -10_000);
    assert_eq!(*positions.totals(), before);
    assert_eq!(positions.unknown_fills(), 0);
}

#[test]
fn a_hedged_pair_nets_to_zero_base() {
    let mut positions = positions();
    positions.on_update(&fill(0, Side::Buy, 1_000, 10_000, "0"));
    assert_eq!(positions.net_base(CanonicalId(0)), money("1"));
    positions.on_update(&fill(1, Side::Sell, 1_000, 10_100, "0"));
    assert_eq!(positions.net_base(CanonicalId(0)), Money::ZERO);
    positions.on_mid(InstrumentId(0), Price(20_000));
    positions.on_mid(InstrumentId(1), Price(20_000));
    assert_eq!(positions.totals().net(), money("1"), "the basis is locked in, whatever the price does");
}

#[test]
fn muldiv_rounds_down_and_up() {
    assert_eq!(mul_div(Money(7), 1, 2), Money(3));
    assert_eq!(mul_div(Money(-7), 1, 2), Money(-4));
    assert_eq!(mul_div_up(Money(7), 1, 2), Money(4));
    assert_eq!(mul_div_up(Money(-7), 1, 2), Money(-3));
    assert_eq!(mul_div(Money(5), 5, 0), Money::ZERO);
    let big = Money::from_units(1_000_000_000);
    assert_eq!(mul_div(big, i64::MAX, i64::MAX), big, "no overflow on the way");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    /// Against plain sums: cash in and out, and what closing would bring.
    #[test]
    fn realised_plus_unrealised_is_cash_plus_value(
        fills in proptest::collection::vec((any::<bool>(), 1i64..100_000, 1i64..10_000_000), 1..60),
        mark in 1i64..10_000_000,
        inverse in any::<bool>(),
    ) {
        let kind = if inverse { ContractKind::Inverse } else { ContractKind::Linear };
        let instrument = listing(0, kind);
        let mut position = Position { mark: Some(Price(mark)), ..Position::default() };
        let (mut cash, mut qty) = (0i128, 0i128);
        for (buy, contracts, price) in &fills {
            position.book(&instrument, if *buy { Side::Buy } else { Side::Sell }, Qty(*contracts), Price(*price));
            let sign = if *buy { 1 } else { -1 };
            qty += sign * i128::from(*contracts);
            let contracts = i128::from(*contracts);
            // Units of 10^-18: linear 0.1 lots × 0.01 × 0.01; inverse face 10 per lot over the price.
            cash += match kind {
                ContractKind::Linear => -sign * contracts * i128::from(*price) * 10_000_000_000_000,
                ContractKind::Inverse => (sign * contracts * 1_000 * 10i128.pow(18)).div_euclid(i128::from(*price)),
            };
            prop_assert_eq!(i128::from(position.qty), qty);
            if qty == 0 {
                prop_assert_eq!(position.open_cash, Money::ZERO);
            }
            prop_assert_eq!((position.realised + position.open_cash).0, cash);
        }
        let value = match kind {
            ContractKind::Linear => qty * i128::from(mark) * 10_000_000_000_000,
            ContractKind::Inverse => (-qty * 1_000 * 10i128.pow(18)).div_euclid(i128::from(mark)),
        };
        let value = if qty == 0 { 0 } else { value };
        prop_assert_eq!((position.realised + position.unrealised(&instrument)).0, cash + value);
    }
}
