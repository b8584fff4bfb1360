//! When a pair enters, when it does not and why.

use super::rig::{MID, Rig, WALL, engine, instrument, scan_params};
use crate::core::band::{BAND_AGE_MAX, BAND_GUARD_PPB};
use crate::core::pair::WhyNot;
use crate::domain::event::{BookState, BurstEnd, ConnStatus, EventBody, FlowBody, Mark};
use crate::domain::input::ConnId;
use crate::domain::instrument::{InstrumentId, Price, Qty, Status, VenueId};
use crate::domain::intent::{BPS, BasketKind, LEGS_MAX};
use crate::domain::number::Num;
use crate::domain::order::{Side, TimeInForce};
use crate::domain::params::ScanParams;
use crate::domain::standing::{ClockSample, StartCheck, TradingLock};
use crate::domain::text::Currency;
use crate::domain::time::{MILLI, SECOND};

#[test]
fn an_edge_enters_with_two_ioc_legs_of_the_same_base_amount() {
    let (rig, basket) = Rig::entered();
    assert_eq!((basket.kind, basket.len, basket.attempt), (BasketKind::Entry, 2, 0));
    let [long, short] = [basket.legs[0], basket.legs[1]];
    assert_eq!((long.venue, long.side), (VenueId(0), Side::Buy), "bought where it is cheap");
    assert_eq!((short.venue, short.side), (VenueId(1), Side::Sell), "sold where it is dear");
    // 1000 at 60 000: 0.01666 BTC, down to 0.016: 16 steps here, 160 there.
    assert_eq!((long.qty, short.qty), (Qty(160), Qty(1_600)));
    for leg in basket.orders() {
        assert_eq!((leg.tif, leg.reduce_only), (TimeInForce::Ioc, false));
    }
    // Ask 60 000.1 and bid 60 179.9, each 0.1 bps beyond, rounded outward to the tick.
    assert_eq!((long.price.0, short.price.0), (60_000_800, 60_179_200));
    assert_eq!((basket.mids[0].0, basket.mids[1].0), (MID, MID + 180_000));
    assert_eq!(basket.detected, rig.now);
    let edge = basket.edge;
    assert_eq!((edge.fees, edge.exit_basis, edge.slippage), (4 * BPS, 0, 0));
    let costs = edge.fees + edge.exit_half_spreads + edge.slippage + edge.allowance;
    assert_eq!(edge.net, edge.entry_basis - edge.exit_basis - costs + edge.funding);
    assert!(edge.net > edge.threshold && edge.entry_basis > 29 * BPS && edge.entry_basis < 30 * BPS);
    assert_eq!(long.client_id.epoch(), 7);
    assert_ne!(long.client_id, short.client_id);
}

#[test]
fn a_leg_that_settles_at_par_costs_its_haircut_unless_both_do() {
    let allowance = |at_par: [bool; 2]| {
        let mut params = engine(2, scan_params());
        for (venue, at_par) in params.venues.iter_mut().zip(at_par) {
            venue.settle_haircut_ppb = 3 * BPS;
            if at_par {
                venue.settle_at_par = Currency::new("USDT").unwrap();
            }
        }
        let mut rig = Rig::of(&params);
        rig.run_ms(1_500);
        rig.flow.clear();
        rig.quote(1, MID + 180_000);
        rig.basket().expect("the edge pays for the haircut too").edge.allowance
    };
    let configured = ScanParams::default().allowance_ppb;
    assert_eq!(allowance([false, false]), configured);
    assert_eq!(allowance([true, false]), configured + 3 * BPS);
    assert_eq!(allowance([false, true]), configured + 3 * BPS);
    assert_eq!(allowance([true, true]), configured, "the same currency on both sides");
}

#[test]
fn a_venues_own_allowance_is_a_cost_of_every_pair_that_it_is_part_of() {
    let nets = |more: [i64; 3]| {
        let mut params = engine(3, scan_params());
        params.venues.iter_mut().zip(more).for_each(|(venue, more)| venue.allowance_ppb = more);
        let mut rig = Rig::of(&params);
        rig.run_ms(1_500);
        let views: Vec<_> = rig.scanner.views().collect();
        views.iter().map(|view| (view.terms.allowance, view.terms.net)).collect::<Vec<_>>()
    };
    let (plain, dearer) = (nets([0; 3]), nets([0, 0, 3 * BPS]));
    assert_eq!(plain.len(), dearer.len());
    let more: Vec<i64> = plain.iter().zip(&dearer).map(|(a, b)| b.0 - a.0).collect();
    assert!(plain.iter().zip(&dearer).all(|(a, b)| a.1 - b.1 == b.0 - a.0), "a cost like the others");
    // Three pairs of two ways each; two of the pairs have the third venue.
    assert_eq!(more.iter().filter(|more| **more == 3 * BPS).count(), 4, "{more:?}");
    assert_eq!(more.iter().filter(|more| **more == 0).count(), 2, "{more:?}");
}

#[test]
fn the_venue_of_a_quote_decides_the_direction() {
    let mut rig = Rig::warm();
    rig.quote(1, MID - 180_000);
    let basket = rig.basket().expect("the mirrored edge enters too");
    assert_eq!((basket.legs[0].venue, basket.legs[0].side), (VenueId(1), Side::Buy));
    assert_eq!((basket.legs[1].venue, basket.legs[1].side), (VenueId(0), Side::Sell));
}

#[test]
fn the_edge_is_measured_from_the_learnt_baseline() {
    let mut rig = Rig::cold(2, scan_params());
    rig.spread(10);
    rig.run_ms(3_000);
    assert_eq!(rig.view(0).baseline, Some(999_500), "10 bps of venue 0, of the mean mid");
    assert_eq!(rig.view(1).baseline, Some(-999_500));
    assert!(rig.baskets().is_empty(), "a lasting basis is no edge");
    rig.quote(1, MID + 84_000);
    assert!(rig.baskets().is_empty(), "4 bps beyond the baseline do not pay costs of 4.5 and the threshold");
    assert_eq!(rig.view(0).why, WhyNot::BelowThreshold);
    rig.quote(1, MID);
    let basket = rig.basket().expect("10 bps below the baseline pay the other way");
    assert_eq!(basket.legs[0].venue, VenueId(1));
}

#[test]
fn nothing_is_traded_before_the_baseline_is_known() {
    let mut rig = Rig::cold(2, scan_params());
    rig.tick_ms(1);
    rig.spread(30);
    assert!(rig.baskets().is_empty());
    assert_eq!(rig.view(0).why, WhyNot::Warmup);
}

#[test]
fn edges_are_evaluated_at_the_end_of_a_drained_burst_only() {
    let mut rig = Rig::warm();
    rig.bbo(1, MID + 180_000, 1_000_000, MID + 180_200, 1_000_000, 0);
    assert!(rig.baskets().is_empty(), "the burst goes on");
    rig.burst_end(1, false);
    assert!(rig.baskets().is_empty(), "more data waits");
    rig.quote(0, MID);
    assert!(rig.baskets().is_empty(), "the other venue is behind");
    assert_eq!(rig.view(0).why, WhyNot::Behind);
    // Caught up by a message about something else: what was put off is evaluated now.
    rig.event(EventBody::BurstEnd(BurstEnd { conn: ConnId(1), drained: true }));
    assert!(rig.basket().is_some());
}

#[test]
fn every_obstacle_has_its_name() {
    let mut rig = Rig::warm();
    let mut quote = |bid: i64, bid_qty: i64, ask: i64, age: i64| {
        rig.bbo(1, bid, bid_qty, ask, 1_000_000, age);
        rig.burst_end(1, true);
        rig.view(0).why
    };
    let dear = MID + 180_000;
    assert_eq!(quote(dear, 1_000_000, dear + 200, SECOND + 1), WhyNot::Stale);
    assert_eq!(quote(dear, 1_000_000, dear, 0), WhyNot::Crossed, "locked");
    assert_eq!(quote(dear, 0, dear + 200, 0), WhyNot::Crossed, "one-sided");
    assert_eq!(quote(dear, 1_599, dear + 200, 0), WhyNot::Thin, "1600 contracts are wanted");
    let far = MID + MID / 40;
    assert_eq!(quote(far, 1_000_000, far + 200, 0), WhyNot::MidsDisagree, "2.5 % apart");
    rig.book(1, BookState::Invalid);
    assert_eq!(rig.view(0).why, WhyNot::NotLive);
    rig.quote(1, dear);
    assert_eq!(rig.view(0).why, WhyNot::NotLive, "a touch does not make a book live");
    assert!(rig.baskets().is_empty());
    rig.book(1, BookState::Live);
    rig.quote(1, dear);
    assert!(rig.basket().is_some(), "and live again it trades");
    assert_eq!(rig.view(0).why, WhyNot::Ready);
    rig.quote(1, dear + 100);
    assert_eq!(rig.view(0).why, WhyNot::TradeOpen);
}

#[test]
fn a_venue_clock_a_little_ahead_of_ours_is_age_zero_and_far_ahead_is_not_traded_on() {
    let mut rig = Rig::warm();
    for ahead in [51 * MILLI, 5 * SECOND, i64::MIN / 2] {
        rig.bbo(1, MID + 180_000, 1_000_000, MID + 180_200, 1_000_000, -ahead.abs());
        rig.burst_end(1, true);
        assert_eq!((rig.basket(), rig.view(0).why), (None, WhyNot::ClockAhead), "{ahead}");
    }
    rig.bbo(1, MID + 180_000, 1_000_000, MID + 180_200, 1_000_000, -50 * MILLI);
    rig.burst_end(1, true);
    assert_eq!(rig.basket().expect("not stale").book_age_ns[1], 0);
}

/// The venue states its time, 1 ms after it was asked.
fn clock(rig: &mut Rig, venue: u8, offset: i64, round_trip: i64) {
    let stated = WALL + rig.now - round_trip / 2 + offset;
    let (sent, received) = (rig.now - round_trip, rig.now);
    rig.event(EventBody::Clock(ClockSample { venue: VenueId(venue), sent, received, stated, resolution: 0 }));
}

#[test]
fn ages_are_measured_on_the_clock_of_the_venue() {
    let mut rig = Rig::warm();
    // Venue 1 is 400 ms behind us: what it stamps now looks 400 ms old to us, and is not.
    clock(&mut rig, 1, -400 * MILLI, 2 * MILLI);
    rig.quote(0, MID);
    rig.bbo(1, MID + 180_000, 1_000_000, MID + 180_200, 1_000_000, 400 * MILLI);
    rig.burst_end(1, true);
    assert_eq!(rig.basket().expect("fresh").book_age_ns[1], 0);
    // And 800 ms old to us is 400 ms in its time.
    let mut rig = Rig::warm();
    clock(&mut rig, 1, -400 * MILLI, 2 * MILLI);
    rig.quote(0, MID);
    rig.bbo(1, MID + 180_000, 1_000_000, MID + 180_200, 1_000_000, 800 * MILLI);
    rig.burst_end(1, true);
    assert_eq!(rig.basket().expect("fresh enough").book_age_ns[1], 400 * MILLI);
}

#[test]
fn a_clock_too_far_off_or_too_vague_stops_its_venue_until_it_is_better() {
    for (offset, round_trip) in [(1_100 * MILLI, 2 * MILLI), (0, 600 * MILLI)] {
        let mut rig = Rig::warm();
        clock(&mut rig, 1, offset, round_trip);
        rig.spread(30);
        assert_eq!((rig.basket(), rig.view(0).why), (None, WhyNot::ClockOff));
        clock(&mut rig, 1, 0, MILLI);
        rig.spread(30);
        assert!(rig.basket().is_some(), "a better answer");
    }
}

#[test]
fn indices_must_agree_and_an_absent_one_counts_as_configured() {
    let index = |rig: &mut Rig, at: u16, text: &str| {
        let index = Num::parse(text.as_bytes()).ok();
        let venue_ns = WALL + rig.now;
        rig.event(EventBody::Mark(Mark { instrument: InstrumentId(at), index, venue_ns, ..Mark::default() }));
    };
    let mut rig = Rig::warm();
    index(&mut rig, 0, "60000");
    index(&mut rig, 1, "58700.5");
    rig.spread(30);
    assert_eq!((rig.basket(), rig.view(0).why), (None, WhyNot::IndicesDisagree));
    index(&mut rig, 1, "58815.25");
    rig.spread(30);
    assert!(rig.basket().is_some(), "within 2 %");

    let mut rig = Rig::warm();
    index(&mut rig, 0, "1");
    rig.spread(30);
    assert!(rig.basket().is_some(), "the other one is absent");
    let mut rig = Rig::warm();
    index(&mut rig, 0, "1");
    index(&mut rig, 1, "60000");
    rig.run_ms(60_010);
    rig.spread(30);
    assert!(rig.basket().is_some(), "both are as good as absent after a minute");

    let mut rig = Rig::warm_with(2, ScanParams { index_required: true, ..scan_params() });
    rig.spread(30);
    assert_eq!((rig.basket(), rig.view(0).why), (None, WhyNot::IndicesDisagree));
    for at in [0, 1] {
        index(&mut rig, at, "60000");
    }
    rig.spread(0);
    rig.run_ms(1_500);
    rig.spread(30);
    assert!(rig.basket().is_some());
}

#[test]
fn a_suspended_contract_is_not_entered_and_what_is_held_is_still_reduced() {
    let mut suspended = instrument(1);
    suspended.spec.status = Status::Suspended;
    let mut rig = Rig::warm();
    rig.event(EventBody::Instrument(suspended));
    rig.spread(30);
    assert_eq!((rig.basket(), rig.view(0).why), (None, WhyNot::Suspended));
    rig.event(EventBody::Instrument(instrument(1)));
    rig.spread(30);
    assert!(rig.basket().is_some(), "its book was never lost");

    let mut rig = Rig::open();
    rig.event(EventBody::Instrument(suspended));
    rig.spread(0);
    let exit = rig.basket().expect("converged: closed by its own rules");
    assert!(exit.kind == BasketKind::Exit && exit.orders().iter().all(|order| order.reduce_only));
}

#[test]
fn a_venue_held_by_the_start_gate_is_not_entered() {
    let mut rig = Rig::warm();
    let held = StartCheck { venue: VenueId(1), stated: 2, wanted: 1, ..StartCheck::default() };
    rig.event(EventBody::Check(held));
    rig.spread(30);
    assert_eq!((rig.basket(), rig.view(0).why), (None, WhyNot::VenueHeld));
    rig.event(EventBody::Check(StartCheck { passed: true, stated: 1, ..held }));
    rig.spread(30);
    assert!(rig.basket().is_some());
}

#[test]
fn a_lost_connection_takes_its_books_with_it() {
    let mut rig = Rig::warm();
    rig.event(EventBody::Conn(ConnStatus { conn: ConnId(1), epoch: 1, up: false }));
    rig.quote(0, MID - 180_000);
    assert!(rig.baskets().is_empty());
    assert_eq!(rig.view(0).why, WhyNot::NotLive);
}

#[test]
fn different_quote_currencies_are_never_compared() {
    let mut rig = Rig::warm();
    let mut usdc = instrument(1);
    usdc.quote = Currency::new("USDC").unwrap();
    usdc.generation = 2;
    rig.event(EventBody::Instrument(usdc));
    rig.book(1, BookState::Live);
    rig.quote(1, MID);
    rig.run_ms(3_000);
    rig.spread(30);
    assert!(rig.baskets().is_empty());
    assert_eq!(rig.view(0).why, WhyNot::NoInstrument);
}

#[test]
fn a_stale_depth_is_not_walked_behind_a_fresh_touch() {
    let mut rig = Rig::warm();
    rig.depth(1, &[(MID + 179_000, 5_000)], &[(MID + 182_000, 5_000)]);
    rig.now += 2 * SECOND;
    rig.quote(0, MID);
    rig.bbo(1, MID + 180_000, 100, MID + 180_200, 100, 0);
    rig.burst_end(1, true);
    assert!(rig.baskets().is_empty());
    assert_eq!(rig.view(0).why, WhyNot::Stale);
    rig.depth(1, &[(MID + 179_000, 5_000)], &[(MID + 182_000, 5_000)]);
    rig.bbo(1, MID + 180_000, 100, MID + 180_200, 100, 0);
    rig.burst_end(1, true);
    let basket = rig.basket().expect("with fresh depth it trades");
    assert!(basket.edge.slippage > 0);
    assert!(basket.legs[1].price.0 <= MID + 179_000, "the worst level bounds the price");
}

#[test]
fn a_level_shift_disarms_and_the_new_level_is_learnt() {
    let mut rig = Rig::warm_with(2, ScanParams { threshold_ppb: 1_000 * BPS, ..scan_params() });
    rig.spread(30);
    rig.run_ms(1_000);
    assert_eq!((rig.view(0).level_shifts, rig.view(0).why), (1, WhyNot::LevelShift));
    rig.run_ms(29_000);
    assert_eq!(rig.view(0).why, WhyNot::LevelShift);
    rig.run_ms(2_000);
    assert_eq!(rig.view(0).why, WhyNot::BelowThreshold);
    assert!(rig.view(0).baseline.unwrap() > 29 * BPS);
    assert_eq!(rig.scanner.totals().level_shifts, 1);
}

#[test]
fn an_insane_edge_is_not_traded_and_disarms_when_it_lasts() {
    let scan = ScanParams {
        edge_insane_ppb: 10 * BPS,
        edge_insane_ns: 200 * MILLI,
        level_shift_ppb: 1_000 * BPS,
        ..scan_params()
    };
    let mut rig = Rig::warm_with(2, scan);
    rig.spread(30);
    assert_eq!(rig.view(0).why, WhyNot::InsaneEdge);
    rig.run_ms(200);
    assert_eq!(rig.scanner.totals().alarms, 0);
    rig.run_ms(10);
    assert_eq!((rig.scanner.totals().alarms, rig.view(0).why), (1, WhyNot::InsaneEdge));
    rig.spread(12);
    assert_eq!(rig.view(0).why, WhyNot::InsaneEdge, "disarmed, though the edge is sane now");
    assert!(rig.baskets().is_empty());
}

#[test]
fn funding_inside_the_holding_time_enters_the_edge() {
    let mut rig = Rig::warm();
    let mut mark = Mark {
        instrument: InstrumentId(1),
        rate: Some(Num::new(4, 4)),
        funding_ns: WALL + rig.now + 20 * SECOND,
        interval_ns: 8 * 3_600 * SECOND,
        venue_ns: WALL + rig.now,
        ..Mark::default()
    };
    rig.event(EventBody::Mark(mark));
    mark.instrument = InstrumentId(0);
    mark.funding_ns += 20 * SECOND;
    rig.event(EventBody::Mark(mark));
    rig.spread(30);
    let edge = rig.basket().unwrap().edge;
    assert_eq!(edge.funding, 4 * BPS, "only the short's instant lies inside the 30 s");
}

#[test]
fn funding_to_be_received_counts_for_nothing_while_the_rate_of_the_other_leg_is_not_known() {
    for (rate, told) in [(4, 0), (-4, -4 * BPS)] {
        let mut rig = Rig::warm();
        rig.event(EventBody::Mark(Mark {
            instrument: InstrumentId(1),
            rate: Some(Num::new(rate, 4)),
            funding_ns: WALL + rig.now + 20 * SECOND,
            interval_ns: 8 * 3_600 * SECOND,
            venue_ns: WALL + rig.now,
            ..Mark::default()
        }));
        rig.spread(40);
        assert_eq!(rig.basket().unwrap().edge.funding, told, "what has to be paid counts all the same");
    }
}

#[test]
fn a_miss_cools_down_and_is_no_failure() {
    let (mut rig, basket) = Rig::entered();
    basket.orders().iter().for_each(|order| rig.zero(order));
    assert_eq!(rig.trade(), None);
    let view = rig.view(0);
    assert_eq!((view.hits, view.misses, rig.scanner.totals().desk.failures), (0, 1, 0));
    rig.spread(30);
    assert!(rig.baskets().is_empty());
    assert_eq!(rig.view(0).why, WhyNot::Cooldown);
    rig.tick_ms(500);
    rig.spread(30);
    assert!(rig.basket().is_some());
}

#[test]
fn a_denied_entry_leaves_no_trade_and_cools_down() {
    let (mut rig, basket) = Rig::entered();
    rig.deny(&basket);
    assert_eq!(rig.trade(), None);
    assert_eq!((rig.view(0).denials, rig.view(0).misses), (1, 0));
    rig.spread(30);
    assert_eq!(rig.view(0).why, WhyNot::Cooldown);
}

#[test]
fn no_more_trades_than_allowed() {
    let mut rig = Rig::warm_with(2, ScanParams { trades_open_max: 0, ..scan_params() });
    rig.spread(30);
    assert!(rig.baskets().is_empty());
    assert_eq!(rig.view(0).why, WhyNot::MaxTrades);
}

#[test]
fn a_listing_serves_one_trade_at_a_time() {
    let mut rig = Rig::warm_with(3, scan_params());
    rig.spread(30);
    assert_eq!(rig.baskets().len(), 1, "two pairs see the edge at venue 1; one gets it");
    rig.quote(2, MID - 180_000);
    assert!(rig.baskets().is_empty(), "no partner is free");
    assert_eq!(rig.scanner.trades().count(), 1);
}

#[test]
fn account_and_control_events_pass_on_and_market_data_does_not() {
    let mut rig = Rig::warm();
    rig.tick_ms(1);
    assert_eq!(rig.flow, vec![FlowBody::Event(EventBody::Tick)]);
    rig.tick_ms(100);
    rig.flow.clear();
    rig.quote(0, MID + 100);
    rig.quote(0, MID + 300);
    assert!(matches!(rig.flow[..], [FlowBody::Mid(InstrumentId(0), mid)] if mid.0 == MID + 100));
    rig.flow.clear();
    rig.now += 100 * MILLI;
    rig.quote(0, MID + 500);
    assert_eq!(rig.flow.len(), 1, "once per 100 ms");
}

#[test]
fn a_cause_is_passed_on_before_the_intents_that_it_causes() {
    let (mut rig, entry) = Rig::entered();
    rig.fill(&entry.legs[0]);
    rig.flow.clear();
    rig.zero(&entry.legs[1]);
    assert!(matches!(rig.flow[..], [FlowBody::Event(EventBody::Order(_)), FlowBody::Intent(_)]));
}

/// A statement whose guarded limit is `price`.
fn stated(side: Side, price: i64) -> Option<Num> {
    let (wide, guard) = (i128::from(price) * 1_000_000_000, i128::from(BAND_GUARD_PPB));
    let price = match side {
        Side::Buy => (wide + 1_000_000_000) / (1_000_000_000 - guard),
        Side::Sell => wide / (1_000_000_000 + guard),
    };
    Some(Num::new(price as i64, 3))
}

#[test]
fn limit_prices_stay_in_the_band_and_what_it_puts_out_of_reach_is_not_entered() {
    let band = |rig: &mut Rig, at: u16, buy_max: Option<Num>, sell_min: Option<Num>| {
        let instrument = InstrumentId(at);
        rig.event(EventBody::Mark(Mark { instrument, buy_max, sell_min, ..Mark::default() }));
    };
    let mut rig = Rig::warm();
    rig.spread(30);
    let free = rig.basket().expect("no band is known");
    let [bought, sold] = [0, 1].map(|leg| free.legs[leg].price.0);
    assert_eq!(free.worst.0, [Price(0); LEGS_MAX]);

    // The touch lies inside, the price of the order does not.
    let mut rig = Rig::warm();
    band(&mut rig, 0, stated(Side::Buy, bought - 100), None);
    band(&mut rig, 1, None, stated(Side::Sell, sold + 100));
    rig.spread(30);
    let basket = rig.basket().expect("it still reaches the touch");
    assert_eq!([0, 1].map(|leg| basket.legs[leg].price.0), [bought - 100, sold + 100]);
    assert_eq!(basket.worst.0[..2], [Price(bought - 100), Price(sold + 100)]);

    for at in [0, 1] {
        let mut rig = Rig::warm();
        match at {
            0 => band(&mut rig, 0, stated(Side::Buy, MID), None),
            _ => band(&mut rig, 1, None, stated(Side::Sell, sold + sold / 100)),
        }
        rig.spread(30);
        assert_eq!((rig.basket(), rig.view(0).why), (None, WhyNot::PriceBand), "listing {at}");
        rig.spread(0);
        rig.now += BAND_AGE_MAX;
        rig.run_ms(1_500);
        rig.spread(30);
        assert!(rig.basket().is_some(), "what was stated so long ago is unknown");
    }
}

#[test]
fn a_listing_that_its_venue_has_locked_is_left_alone_until_the_lock_ends() {
    let mut rig = Rig::warm();
    let lock = |until| EventBody::Lock(TradingLock { instrument: InstrumentId(1), until });
    rig.event(lock(WALL + rig.now + SECOND));
    rig.spread(30);
    assert_eq!((rig.basket(), rig.view(0).why), (None, WhyNot::Locked));
    assert_eq!(rig.view(0).why.as_str(), "locked by venue");
    rig.spread(0);
    rig.run_ms(1_500);
    rig.spread(30);
    assert!(rig.basket().is_some(), "its time has come");

    let mut rig = Rig::warm();
    rig.event(lock(i64::MAX));
    rig.spread(30);
    assert!(rig.basket().is_none());
    rig.spread(0);
    rig.run_ms(1_500);
    rig.event(lock(0));
    rig.spread(30);
    assert!(rig.basket().is_some(), "the venue says that it is open");
}
