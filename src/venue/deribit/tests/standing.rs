//! Clock, start checks, limits and heartbeats, frame by frame.

use super::super::adapter::DeribitAdapter;
use super::super::{ACCOUNT, MARKET, ORDERS, calls};
use crate::domain::effect::{HttpId, SecretSlot, SessionAction};
use crate::domain::event::EventBody;
use crate::domain::input::{ConnId, FrameMeta};
use crate::domain::instrument::{CanonicalId, Instrument, InstrumentId, VenueId};
use crate::domain::intent::ONE_PPB;
use crate::domain::order::ClientId;
use crate::domain::params::{ListingParams, VenueParams};
use crate::domain::standing::{Check, ClockSample, Grant, Pace};
use crate::domain::text::Symbol;
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::{Adapter, Emit, OddKind, Out, VenueContext};

const NAMES: [&str; 2] = ["BTC_USDC-PERPETUAL", "ETH-PERPETUAL"];
const WALL: Nanos = 1_790_000_000 * SECOND;

struct Rig {
    adapter: DeribitAdapter,
    out: Out,
    now: Nanos,
    /// Code, argument and connection of what was sent, in order.
    sent: Vec<(u16, u64, usize)>,
    asked: Option<HttpId>,
    checks: Vec<(Check, Option<u16>, i64, bool)>,
    clocks: Vec<ClockSample>,
    grants: Vec<Grant>,
    paces: Vec<(u16, u32)>,
    odd: Vec<OddKind>,
}

fn params() -> VenueParams {
    VenueParams {
        margin_ppb: ONE_PPB / 10,
        taker_fee_ppb: 500_000,
        dead_man_ns: 60 * SECOND,
        ..VenueParams::default()
    }
}

impl Rig {
    fn new(params: VenueParams, names: &[&str]) -> Self {
        let listing = |(at, name): (usize, &&str)| ListingParams {
            id: InstrumentId(at as u16),
            venue: VenueId(3),
            canonical: CanonicalId(at as u16),
            symbol: Symbol::new(name).unwrap(),
        };
        let context = VenueContext {
            venue: VenueId(3),
            params,
            listings: names.iter().enumerate().map(listing).collect(),
            conn_base: ConnId(0),
            slot_base: SecretSlot(0),
            trading: true,
        };
        let mut rig = Self {
            adapter: DeribitAdapter::new(&context),
            out: Out::with_capacity(64),
            now: SECOND,
            sent: Vec::new(),
            asked: None,
            checks: Vec::new(),
            clocks: Vec::new(),
            grants: Vec::new(),
            paces: Vec::new(),
            odd: Vec::new(),
        };
        let at = rig.stamp();
        rig.adapter.on_start(at, &mut rig.out);
        rig.take();
        rig
    }

    /// Metadata known, all connections up, logged in.
    fn trading(params: VenueParams) -> Self {
        let mut rig = Self::new(params, &NAMES);
        rig.instruments("0.0005", "25.0");
        for at in [MARKET, ACCOUNT, ORDERS] {
            rig.up(at);
        }
        for at in [ACCOUNT, ORDERS] {
            rig.login(at, r#""scope":"account:read connection trade:read_write","#);
        }
        rig.frame(ORDERS, &format!(r#"{{"result":"ok","id":{}}}"#, calls::CANCEL_ON_DISCONNECT));
        let channels: Vec<String> =
            calls::ACCOUNT_CHANNELS.iter().map(|name| format!("\"{name}\"")).collect();
        rig.frame(
            ACCOUNT,
            &format!(r#"{{"result":[{}],"id":{}}}"#, channels.join(","), calls::SUBSCRIBE_ACCOUNT),
        );
        rig
    }

    fn stamp(&self) -> Stamp {
        Stamp { mono: self.now, wall: WALL + self.now }
    }

    fn take(&mut self) {
        for item in self.out.items() {
            match *item {
                Emit::Action(SessionAction::Send { conn, what }) => {
                    self.sent.push((what.op, what.arg, usize::from(conn.0)));
                }
                Emit::Action(SessionAction::Http { id, .. }) => self.asked = Some(id),
                Emit::Event(EventBody::Check(check)) => {
                    assert_eq!(check.venue, VenueId(3));
                    let listing = check.listing.map(|id| id.0);
                    self.checks.push((check.check, listing, check.stated, check.passed));
                }
                Emit::Event(EventBody::Clock(sample)) => self.clocks.push(sample),
                Emit::Event(EventBody::Grant(grant)) => self.grants.push(grant),
                Emit::Event(EventBody::Pace(pace)) => self.paces.push((pace.status, pace.retry_after_s)),
                Emit::Odd(odd) => self.odd.push(odd.kind),
                _ => {}
            }
        }
        self.out.clear();
    }

    fn frame(&mut self, at: usize, text: &str) {
        let meta = FrameMeta { conn: ConnId(at as u8), epoch: 1, ..FrameMeta::default() };
        let stamp = self.stamp();
        self.adapter.on_frame(meta, text.as_bytes(), stamp, &mut self.out);
        self.take();
    }

    fn up(&mut self, at: usize) {
        let stamp = self.stamp();
        self.adapter.on_conn_up(ConnId(at as u8), 1, stamp, &mut self.out);
        self.take();
    }

    fn login(&mut self, at: usize, scope: &str) {
        let id = calls::AUTH;
        self.frame(at, &format!(r#"{{"id":{id},"result":{{{scope}"expires_in":900,"access_token":"x"}}}}"#));
    }

    fn pass(&mut self, time: Nanos) {
        self.now += time;
        for at in [MARKET, ACCOUNT, ORDERS] {
            self.frame(at, r#"{"method":"heartbeat","params":{"type":"heartbeat"},"jsonrpc":"2.0"}"#);
        }
        let stamp = self.stamp();
        self.adapter.on_tick(stamp, &mut self.out);
        self.take();
    }

    fn instruments(&mut self, taker: &str, leverage: &str) {
        let row = |name: &str, index: &str, kind: &str| {
            format!(
                r#"{{"instrument_name":"{name}","price_index":"{index}","taker_commission":{taker},"max_leverage":{leverage},"instrument_type":"{kind}","contract_size":0.001,"min_trade_amount":0.001,"tick_size":0.5,"is_active":true,"state":"open"}}"#
            )
        };
        let rows = [row(NAMES[0], "btc_usdc", "linear"), row(NAMES[1], "eth_usd", "reversed")];
        let body = format!(r#"{{"jsonrpc":"2.0","result":[{}]}}"#, rows.join(","));
        let (id, stamp) = (self.asked.take().expect("the instruments are asked for"), self.stamp());
        self.adapter.on_http(id, 200, body.as_bytes(), stamp, &mut self.out);
        self.take();
    }

    /// The argument of the latest call of that kind, which is taken as answered.
    fn asked_for(&mut self, op: u16) -> Option<(u64, usize)> {
        let at = self.sent.iter().rposition(|sent| sent.0 == op)?;
        let (_, arg, conn) = self.sent.remove(at);
        Some((arg, conn))
    }

    fn answer(&mut self, op: u16, result: &str) {
        let (id, conn) = self.asked_for(op).expect("it was asked for");
        self.frame(conn, &format!(r#"{{"usIn":1,"id":{id},"jsonrpc":"2.0","result":{result},"usOut":2}}"#));
    }

    /// Settings as read; the checks that follow.
    fn settings(&mut self, result: &str) -> Vec<(Check, Option<u16>, i64, bool)> {
        self.checks.clear();
        self.answer(calls::SETTINGS, result);
        std::mem::take(&mut self.checks)
    }
}

fn summaries(mode: &str, models: [&str; 2], fees: &str) -> String {
    let row = |currency: &str, model: &str| {
        let (cross, portfolio) = (model.starts_with("cross"), model.ends_with("pm"));
        format!(
            r#"{{"currency":"{currency}","balance":1.5,"fees":{fees},"portfolio_margining_enabled":{portfolio},"limits":{{"limits_per_currency":false,"non_matching_engine":{{"burst":40,"rate":10}},"matching_engine":{{"spot":{{"burst":2,"rate":1}},"cancel_all":{{"rate":1,"burst":1}},"trading":{{"total":{{"burst":30,"rate":10}},"options":{{"burst":1,"rate":1}}}}}}}},"margin_model":"{model}","cross_collateral_enabled":{cross}}}"#
        )
    };
    format!(
        r#"{{"id":10,"email":"user@example.com","self_trading_extended_to_subaccounts":false,"summaries":[{},{},{}],"self_trading_reject_mode":"{mode}"}}"#,
        row("USDC", models[0]),
        row("BNB", "cross_pm"),
        row("ETH", models[1]),
    )
}

const GOOD: [&str; 2] = ["segregated_sm", "segregated_sm"];

#[test]
fn the_clock_is_asked_eight_times_and_then_each_minute() {
    let mut rig = Rig::new(params(), &NAMES);
    rig.up(MARKET);
    let mut pauses = Vec::new();
    let mut last = rig.now;
    for _ in 0..10 {
        while !rig.sent.iter().any(|sent| sent.0 == calls::TIME) {
            rig.pass(100 * MILLI);
        }
        pauses.push((rig.now - last) / SECOND);
        (last, rig.now) = (rig.now, rig.now + 6 * MILLI);
        rig.answer(calls::TIME, &((WALL + last) / MILLI + 250).to_string());
        let sample = *rig.clocks.last().unwrap();
        assert_eq!((sample.sent, sample.received), (last, rig.now));
        assert_eq!(sample.stated, (WALL + last) / MILLI * MILLI + 250 * MILLI);
        assert_eq!((sample.venue, sample.resolution), (VenueId(3), MILLI));
    }
    assert_eq!(pauses, [0, 1, 1, 1, 1, 1, 1, 1, 60, 60]);
    // Nonsense is no time, and it is asked again.
    rig.pass(61 * SECOND);
    rig.answer(calls::TIME, "\"soon\"");
    assert_eq!((rig.clocks.len(), rig.odd.last()), (10, Some(&OddKind::Malformed)));
    rig.pass(SECOND);
    assert!(rig.asked_for(calls::TIME).is_some());
}

#[test]
fn settings_are_stated_as_the_venue_has_them() {
    let mut rig = Rig::trading(params());
    assert!(rig.checks.contains(&(Check::Permission, None, 1, true)));
    let stated = rig.settings(&summaries("cancel_maker", GOOD, "null"));
    let mut expected = vec![(Check::SelfTrade, None, 1, true)];
    for at in [0, 1] {
        expected.push((Check::MarginModel, Some(at), 1, true));
        expected.push((Check::AssetMode, Some(at), 1, true));
    }
    expected.push((Check::PositionMode, None, 1, true));
    expected.push((Check::MarginMode, None, 1, true));
    for at in [0, 1] {
        expected.push((Check::Fee, Some(at), 500_000, true));
        expected.push((Check::Leverage, Some(at), 10, true));
    }
    assert_eq!(stated, expected);
    assert!(rig.odd.is_empty());
    // All is well: not before half an hour again.
    rig.pass(1_700 * SECOND);
    assert!(rig.asked_for(calls::SETTINGS).is_none());
    rig.pass(100 * SECOND);
    let stated = rig.settings(&summaries("reject_taker", ["cross_sm", "segregated_pm"], "[]"));
    let wrong: Vec<_> = stated.into_iter().filter(|(.., passed)| !passed).collect();
    assert_eq!(
        wrong,
        [
            (Check::SelfTrade, None, 2, false),
            (Check::AssetMode, Some(0), 2, false),
            (Check::MarginModel, Some(1), 2, false)
        ]
    );
    // A correction is seen within half a minute.
    rig.pass(30 * SECOND);
    assert!(rig.settings(&summaries("cancel_maker", GOOD, "[]")).iter().all(|(.., passed)| *passed));
}

#[test]
fn the_fee_is_that_of_the_account_and_the_leverage_no_more_than_the_venue_grants() {
    let mut rig = Rig::trading(params());
    let fees = r#"[{"value":{"default":{"type":"relative","taker":0.8,"maker":1},"block_trade":0.3},"kind":"perpetual","index_name":"btc_usdc"},
        {"index_name":"eth_usd","kind":"perpetual","value":{"default":{"type":"fixed","taker":0.00035000010000000005,"maker":-0.0001}}},
        {"index_name":"eth_usd","kind":"option","value":{"default":{"type":"other"}}}]"#;
    let stated = rig.settings(&summaries("cancel_maker", GOOD, fees));
    let fee: Vec<_> = stated.iter().filter(|check| check.0 == Check::Fee).map(|check| check.2).collect();
    assert_eq!(fee, [400_000, 350_001], "discounted, and rounded up");
    // New metadata: the settings are read again at once, and held against it.
    rig.pass(1_801 * SECOND);
    rig.answer(calls::SETTINGS, &summaries("cancel_maker", GOOD, "[]"));
    rig.instruments("0.0005001", "5");
    let stated = rig.settings(&summaries("cancel_maker", GOOD, "[]"));
    let wrong: Vec<_> = stated.into_iter().filter(|(.., passed)| !passed).collect();
    let of = |at| [(Check::Fee, Some(at), 500_100, false), (Check::Leverage, Some(at), 5, false)];
    assert_eq!(wrong, [of(0), of(1)].concat());
}

#[test]
fn what_is_missing_or_not_understood_is_no_statement() {
    let good = summaries("cancel_maker", GOOD, "[]");
    let held = |text: &str, missing: &[Check]| {
        let mut rig = Rig::trading(params());
        let stated = rig.settings(text);
        for check in missing {
            assert!(!stated.iter().any(|stated| stated.0 == *check), "{check:?} of {text}");
        }
        // Asked again soon.
        rig.pass(31 * SECOND);
        assert!(rig.asked_for(calls::SETTINGS).is_some());
        rig.odd
    };
    let all = [Check::SelfTrade, Check::MarginModel, Check::AssetMode, Check::PositionMode, Check::Fee];
    let malformed = [OddKind::Malformed];
    assert_eq!(held(&good.replace("self_trading_reject_mode", "x"), &all), malformed);
    assert_eq!(held(&good.replace("summaries", "x"), &all), malformed);
    assert_eq!(held(&good.replace("margin_model", "x"), &all[1..]), malformed);
    let odd_fee =
        r#"[{"index_name":"btc_usdc","kind":"perpetual","value":{"default":{"type":"tiered","taker":0.1}}}]"#;
    assert_eq!(held(&summaries("cancel_maker", GOOD, odd_fee), &all[3..]), malformed);
    assert_eq!(held(&summaries("cancel_maker", GOOD, r#"{"btc_usd":{}}"#), &all[3..]), malformed);
    // No summary of our currencies: the others are none of our business.
    let others = good.replace("\"USDC\"", "\"USDT\"").replace("\"ETH\"", "\"SOL\"");
    assert_eq!(held(&others, &all[1..3]), []);
    // An unknown model is not the wanted one, whatever the flags say.
    let mut rig = Rig::trading(params());
    let stated = rig.settings(&good.replace("segregated_sm", "combined"));
    assert!(stated.contains(&(Check::MarginModel, Some(0), 2, false)));
    assert!(stated.contains(&(Check::AssetMode, Some(1), 2, false)));
    // A login that does not say what it grants, and one that grants reading only.
    let mut rig = Rig::new(params(), &NAMES);
    rig.up(ORDERS);
    rig.login(ORDERS, "");
    assert!(rig.checks.is_empty());
    rig.login(ORDERS, r#""scope":"account:read_write trade:read block_trade:read_write","#);
    assert_eq!(rig.checks, [(Check::Permission, None, 2, false)]);
}

#[test]
fn open_orders_of_others_are_counted_until_they_are_gone() {
    let mut rig = Rig::trading(params());
    let order = |label: &str| {
        format!(
            r#"{{"order_id":"7","instrument_name":"BTC-27NOV26-60000-C","label":"{label}","direction":"buy","order_state":"open","filled_amount":0}}"#
        )
    };
    let ours = order(&ClientId::new(1, 2).to_string());
    rig.checks.clear();
    rig.answer(calls::OPEN_ORDERS, &format!("[{},{ours},{}]", order(""), order("grid")));
    assert_eq!(rig.checks, [(Check::ForeignOrders, None, 2, false)]);
    for (left, stated) in [(order("grid"), 1), (String::new(), 0)] {
        rig.pass(30 * SECOND);
        rig.answer(calls::OPEN_ORDERS, &format!("[{left}]"));
        assert_eq!(rig.checks.last(), Some(&(Check::ForeignOrders, None, stated, stated == 0)));
    }
    rig.pass(60 * SECOND);
    assert!(rig.asked_for(calls::OPEN_ORDERS).is_none());
}

#[test]
fn what_the_venue_grants_is_told_and_what_every_account_has_otherwise() {
    let mut rig = Rig::trading(params());
    let good = summaries("cancel_maker", GOOD, "[]");
    rig.settings(&good);
    let grant = Grant { venue: VenueId(3), burst: 30, per_10s: 100, cancels: true };
    assert_eq!(rig.grants, [grant], "that of trading alone");
    for (text, burst, per_10s) in [
        (good.replace("\"limits\"", "\"x\""), 20, 50),
        (good.replace("\"trading\"", "\"x\""), 20, 50),
        (good.replace(r#""trading":"#, r#""burst":25.0,"rate":7,"x":"#), 25, 70),
        (good.replace(r#""total":"#, r#""btc_usdc":"#), 30, 100),
        (good.replace(r#""total":"#, r#""USDC":"#), 30, 100),
        (good.replace(r#""total":"#, r#""eth_usdc":"#), 20, 50),
        (good.replace(r#""options":"#, r#""block_rfq_maker":"#), 30, 100),
        (good.replace(r#""options":"#, r#""perpetuals":"#), 1, 10),
    ] {
        let mut rig = Rig::trading(params());
        rig.settings(&text);
        assert_eq!(rig.grants, [Grant { burst, per_10s, ..grant }], "{text}");
    }
}

#[test]
fn too_many_requests_pause_the_orders_too() {
    let mut rig = Rig::trading(params());
    rig.frame(
        ORDERS,
        r#"{"error":{"message":"too_many_requests","code":10028},"id":"00000000000000010000000000000007"}"#,
    );
    assert_eq!(rig.paces, [(429, 5)]);
    rig.sent.clear();
    // Nothing is left, so what can wait does.
    rig.pass(30 * SECOND);
    rig.frame(ACCOUNT, r#"{"error":{"message":"too_many_requests","code":10028},"id":1}"#);
    assert_eq!(rig.paces.len(), 2);
}

/// When the instruments are asked for in the next `span`, s from now.
fn asked_within(rig: &mut Rig, span: Nanos) -> Vec<Nanos> {
    let (from, mut times) = (rig.now, Vec::new());
    while rig.now < from + span {
        rig.pass(SECOND / 4);
        if rig.asked.take().is_some() {
            times.push((rig.now - from) / SECOND);
        }
    }
    times
}

#[test]
fn instruments_refused_for_the_venues_limits_are_asked_for_late_and_later() {
    let too_many = r#"{"jsonrpc":"2.0","error":{"message":"too_many_requests","code":10028}}"#;
    for (status, body) in [(400, too_many), (200, too_many), (429, too_many), (429, "<html>slow down</html>")]
    {
        let mut rig = Rig::new(params(), &NAMES);
        // Each refusal of the one question doubles the pause.
        for wait in [10, 20, 40, 80] {
            let id = rig.asked.take().expect("asked for");
            let stamp = rig.stamp();
            rig.adapter.on_http(id, status, body.as_bytes(), stamp, &mut rig.out);
            rig.take();
            assert!(asked_within(&mut rig, (wait - 1) * SECOND).is_empty(), "{status}: {wait} s");
            // A connection that comes up meanwhile is no reason to ask sooner.
            if wait == 10 {
                rig.up(MARKET);
                assert!(rig.asked.is_none());
            }
            while rig.asked.is_none() {
                rig.pass(SECOND / 4);
            }
        }
        rig.instruments("0.0005", "25.0");
        assert!(!rig.odd.is_empty(), "counted");
    }
}

#[test]
fn the_wait_that_the_venue_names_is_kept_over_http() {
    let mut rig = Rig::new(params(), &NAMES);
    let id = rig.asked.take().expect("asked for");
    let (stamp, pace) =
        (rig.stamp(), Pace { venue: VenueId(3), status: 429, retry_after_s: 120, ..Pace::default() });
    rig.adapter.on_pace(&pace, stamp, &mut rig.out);
    rig.adapter.on_http(id, 429, b"", stamp, &mut rig.out);
    rig.take();
    assert!(asked_within(&mut rig, 119 * SECOND).is_empty());
    assert_eq!(asked_within(&mut rig, 5 * SECOND).len(), 1);
}

#[test]
fn the_heartbeat_of_the_order_connection_follows_from_the_dead_mans_time() {
    for (dead_man, beat, switch) in [(60, 30, 1), (10, 10, 1), (25, 12, 1), (0, 10, 0)] {
        let mut rig = Rig::trading(VenueParams { dead_man_ns: dead_man * SECOND, ..params() });
        let of = |rig: &Rig, op| -> Vec<(u64, usize)> {
            rig.sent.iter().filter(|sent| sent.0 == op).map(|sent| (sent.1, sent.2)).collect()
        };
        assert_eq!(of(&rig, calls::HEARTBEAT), [(10, MARKET), (10, ACCOUNT), (beat, ORDERS)], "{dead_man}");
        assert_eq!(of(&rig, calls::CANCEL_ON_DISCONNECT), [(switch, ORDERS)], "{dead_man}");
        rig.pass(SECOND);
    }
}

#[test]
fn subscriptions_of_many_listings_wait_for_their_credits() {
    let names: Vec<String> = (0..240).map(|at| format!("T{at:03}_USDC-PERPETUAL")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut rig = Rig::new(params(), &names);
    rig.up(MARKET);
    for at in 0..names.len() as u16 {
        let instrument = Instrument { id: InstrumentId(at), generation: 1, ..Instrument::default() };
        let stamp = rig.stamp();
        rig.adapter.on_instrument(&instrument, stamp, &mut rig.out);
    }
    let batches = |rig: &Rig| rig.sent.iter().filter(|sent| sent.0 == calls::SUBSCRIBE_MARKET).count();
    rig.pass(MILLI);
    // 50,000 less a fifth, the list of instruments, the states and the clock.
    assert_eq!(batches(&rig), 8);
    // The venue's own account of it: a bucket of 50,000 that leaks 10,000 a second.
    let (mut level, mut seen) = (10_000 + 3_000 + 2 * 500 + 8 * 3_000, 8);
    for _ in 0..40 {
        rig.pass(SECOND / 4);
        level = (level - 2_500).max(0) + (batches(&rig) - seen) as i64 * 3_000;
        seen = batches(&rig);
        assert!(level <= 50_000, "{level}");
    }
    assert_eq!(seen, 30, "all of them in the end");
}
