//! What is read back before orders are opened, the venue's clock and limits, and its protection against
//! disconnects.

use super::adapter::{CLIENT, closes, order, topic, trading_since};
use super::*;
use crate::domain::standing::{Check, Pace};
use crate::domain::time::MICRO;
use crate::venue::bybit::calls;

/// What is stated: check, listing, value, passed.
fn checks(items: &[Emit]) -> Vec<(Check, Option<InstrumentId>, i64, bool)> {
    let check = |event| match event {
        EventBody::Check(check) => Some((check.check, check.listing, check.stated, check.passed)),
        _ => None,
    };
    events(items).into_iter().filter_map(check).collect()
}

fn paces(items: &[Emit]) -> Vec<Pace> {
    let pace = |event| if let EventBody::Pace(pace) = event { Some(pace) } else { None };
    events(items).into_iter().filter_map(pace).collect()
}

fn reply(result: &str) -> String {
    format!(r#"{{"retCode":0,"retMsg":"OK","result":{result},"retExtInfo":{{}},"time":1}}"#)
}

const INFO: &str =
    r#"{"marginMode":"REGULAR_MARGIN","updatedTime":"1697078946000","unifiedMarginStatus":5,"smpGroup":0}"#;
const KEY: &str = r#"{"id":"1","apiKey":"xxxxxxxx","readOnly":0,"secret":"","permissions":{"ContractTrade":["Order","Position"],"Spot":["SpotTrade"],"Derivatives":[]},"ips":["*"]}"#;
const FEES: &str = r#"{"list":[{"symbol":"XRPUSDT","takerFeeRate":"0.01","makerFeeRate":"0"},{"symbol":"BTCUSDT","takerFeeRate":"0.00055","makerFeeRate":"0.0002"},{"symbol":"ETHUSDT","takerFeeRate":"0.0004","makerFeeRate":"0.0002"}]}"#;

fn position(symbol: &str, index: u8, leverage: &str) -> String {
    format!(
        r#"{{"positionIdx":{index},"tradeMode":0,"symbol":"{symbol}","side":"","size":"0","avgPrice":"0","leverage":"{leverage}","updatedTime":"1697673600012"}}"#
    )
}

fn positions(rows: &[String]) -> String {
    reply(&format!(r#"{{"category":"linear","list":[{}],"nextPageCursor":""}}"#, rows.join(",")))
}

/// Lets 10 ms pass on connections that live.
fn step(rig: &mut Rig) -> Vec<Emit> {
    let mut items = rig.pass(SECOND / 100);
    if rig.now % (10 * SECOND) < SECOND / 100 {
        for conn in [PUBLIC, ACCOUNT, ORDERS] {
            items.extend(rig.frame(conn, r#"{"req_id":"","op":"pong","args":["1"],"conn_id":"c"}"#));
        }
    }
    items
}

/// Everything that happens within `span` on connections that live.
fn alive(rig: &mut Rig, span: Nanos) -> Vec<Emit> {
    let until = rig.now + span;
    let mut items = Vec::new();
    while rig.now < until {
        items.extend(step(rig));
    }
    items
}

/// The first question of `op` within `span`, and its instrument.
fn next_asked(rig: &mut Rig, op: u16, span: Nanos) -> Option<(HttpId, Option<InstrumentId>)> {
    let until = rig.now + span;
    while rig.now < until {
        let found = step(rig).into_iter().find_map(|item| match item {
            Emit::Action(SessionAction::Http { id, what, .. }) if what.op == op => {
                Some((id, what.instrument))
            }
            _ => None,
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

#[test]
fn the_venues_time_is_sampled_eight_times_and_then_every_minute() {
    let mut rig = Rig::new(true);
    rig.adapter.on_start(at(rig.now), &mut rig.out);
    let mut id = asked(&rig.take(), calls::TIME).expect("asked for at the start");
    for number in 1..=10 {
        let sent = rig.now;
        rig.now += SECOND / 50;
        let text = reply(r#"{"timeSecond":"1700000003","timeNano":"1700000003423213947"}"#);
        let EventBody::Clock(sample) = events(&rig.http(id, 200, &text))[0] else { panic!("no sample") };
        assert_eq!((sample.sent, sample.received, sample.resolution), (sent, rig.now, MICRO));
        assert_eq!((sample.stated, sample.venue), (1_700_000_003_423_213_947, VenueId(1)));
        let pause = if number < 8 { SECOND } else { 60 * SECOND };
        assert_eq!(next_asked(&mut rig, calls::TIME, pause - SECOND / 50), None, "{number}");
        id = next_asked(&mut rig, calls::TIME, SECOND / 10).expect("asked for again").0;
    }
    let items = rig.http(id, 200, &reply(r#"{"timeSecond":"1700000003"}"#));
    assert_eq!((odd(&items), events(&items)), (vec![OddKind::Malformed], vec![]), "no time, no sample");
    assert!(next_asked(&mut rig, calls::TIME, SECOND).is_some());
}

#[test]
fn settings_are_read_back_when_the_account_comes_up() {
    let (mut rig, up) = trading_since();
    let mut all = all_asked(&up);
    all.sort_unstable();
    let mut wanted = [
        calls::PENDING,
        calls::POSITIONS,
        calls::BALANCE,
        calls::INFO,
        calls::KEY,
        calls::FEE,
        calls::LEVERAGE,
        calls::DEAD_MAN,
    ];
    wanted.sort_unstable();
    assert_eq!(all, wanted);
    let mut say = |op: u16, text: &str| {
        let items = rig.http(asked(&up, op).unwrap(), 200, text);
        assert_eq!(odd(&items), []);
        checks(&items)
    };
    let info = say(calls::INFO, &reply(INFO));
    assert_eq!(info, [(Check::AccountLevel, None, 5, true), (Check::MarginMode, None, 1, true)]);
    assert_eq!(say(calls::KEY, &reply(KEY)), [(Check::Permission, None, 1, true)]);
    let fees = say(calls::FEE, &reply(FEES));
    assert_eq!(fees, [(Check::Fee, Some(BTC), 550_000, true), (Check::Fee, Some(ETH), 400_000, true)]);
    let first = say(calls::LEVERAGE, &positions(&[position("BTCUSDT", 0, "5")]));
    assert_eq!(first, [(Check::PositionMode, Some(BTC), 1, true), (Check::Leverage, Some(BTC), 5, true)]);
    // The other contract's turn; then not for half an hour.
    let (id, of) = next_asked(&mut rig, calls::LEVERAGE, SECOND / 5).unwrap();
    assert_eq!(of, Some(ETH));
    let items = rig.http(id, 200, &positions(&[position("ETHUSDT", 0, "5.00")]));
    assert!(checks(&items).contains(&(Check::Leverage, Some(ETH), 5, true)));
    let later = alive(&mut rig, 1_000 * SECOND);
    for op in [calls::INFO, calls::KEY, calls::FEE, calls::LEVERAGE] {
        assert_eq!(asked(&later, op), None, "{op}");
    }
}

#[test]
fn each_wrong_setting_is_named_and_read_again_soon() {
    for (op, text, expected) in [
        (calls::INFO, reply(&INFO.replace('5', "1")), (Check::AccountLevel, None, 1, false)),
        (calls::INFO, reply(&INFO.replace("REGULAR", "ISOLATED")), (Check::MarginMode, None, 2, false)),
        (calls::INFO, reply(&INFO.replace("REGULAR", "PORTFOLIO")), (Check::MarginMode, None, 3, false)),
        (calls::INFO, reply(&INFO.replace("REGULAR", "NEW")), (Check::MarginMode, None, 2, false)),
        (calls::KEY, reply(&KEY.replace(r#"Only":0"#, r#"Only":1"#)), (Check::Permission, None, 2, false)),
        (calls::KEY, reply(&KEY.replace(r#""Order","#, "")), (Check::Permission, None, 2, false)),
        (calls::FEE, reply(&FEES.replace("0.00055", "0.0006")), (Check::Fee, Some(BTC), 600_000, false)),
    ] {
        let (mut rig, up) = trading_since();
        let items = rig.http(asked(&up, op).unwrap(), 200, &text);
        assert!(checks(&items).contains(&expected), "{expected:?}: {items:?}");
        assert!(next_asked(&mut rig, op, 31 * SECOND).is_some(), "{expected:?}");
    }
    for (rows, expected) in [
        (vec![position("BTCUSDT", 0, "20")], (Check::Leverage, Some(BTC), 20, false)),
        (vec![position("BTCUSDT", 0, "5.5")], (Check::Leverage, Some(BTC), -1, false)),
        (vec![position("BTCUSDT", 0, "")], (Check::Leverage, Some(BTC), -1, false)),
        (
            vec![position("BTCUSDT", 1, "5"), position("BTCUSDT", 2, "5")],
            (Check::PositionMode, Some(BTC), 2, false),
        ),
        (
            vec![position("BTCUSDT", 1, "7"), position("BTCUSDT", 2, "5")],
            (Check::Leverage, Some(BTC), 7, false),
        ),
        (
            vec![position("BTCUSDT", 1, "5"), position("BTCUSDT", 2, "7")],
            (Check::Leverage, Some(BTC), 7, false),
        ),
    ] {
        let (mut rig, up) = trading_since();
        let items = rig.http(asked(&up, calls::LEVERAGE).unwrap(), 200, &positions(&rows));
        assert!(checks(&items).contains(&expected), "{expected:?}: {items:?}");
        let (id, of) = next_asked(&mut rig, calls::LEVERAGE, SECOND).unwrap();
        assert_eq!(of, Some(ETH));
        rig.http(id, 200, &positions(&[position("ETHUSDT", 0, "5")]));
        assert_eq!(next_asked(&mut rig, calls::LEVERAGE, 31 * SECOND).map(|(_, of)| of), Some(Some(BTC)));
    }
}

#[test]
fn what_is_not_stated_is_no_check_and_is_asked_for_again() {
    for (op, text) in [
        (calls::INFO, reply(r#"{"marginMode":"REGULAR_MARGIN"}"#)),
        (calls::INFO, reply(r#"{"unifiedMarginStatus":5}"#)),
        (calls::KEY, reply(r#"{"permissions":{"ContractTrade":["Order"]}}"#)),
        (calls::KEY, reply(r#"{"readOnly":0}"#)),
        (calls::FEE, reply(r#"{"list":[{"symbol":"BTCUSDT","takerFeeRate":""}]}"#)),
        (calls::LEVERAGE, positions(&[])),
        (calls::LEVERAGE, positions(&[position("ETHUSDT", 0, "5")])),
        (calls::LEVERAGE, positions(&[position("BTCUSDT", 0, "5").replace("leverage", "lever")])),
        (calls::INFO, r#"{"retCode":0,"retMsg":"OK","result":""}"#.to_owned()),
    ] {
        let (mut rig, up) = trading_since();
        let items = rig.http(asked(&up, op).unwrap(), 200, &text);
        assert_eq!((checks(&items), odd(&items)), (vec![], vec![OddKind::Malformed]), "{op}: {text}");
        assert!(next_asked(&mut rig, op, SECOND).is_some(), "{op}: {text}");
    }
    // A contract of ours that the list of fees leaves out is not stated; it is asked for again soon.
    let (mut rig, up) = trading_since();
    let items = rig.http(asked(&up, calls::FEE).unwrap(), 200, &reply(&FEES.replace("ETHUSDT", "ETCUSDT")));
    assert_eq!(checks(&items), [(Check::Fee, Some(BTC), 550_000, true)]);
    assert!(next_asked(&mut rig, calls::FEE, 31 * SECOND).is_some());
}

#[test]
fn open_orders_of_others_hold_the_venue_until_they_are_gone() {
    let mut rig = Rig::live(true);
    rig.pass(SECOND);
    rig.up(ACCOUNT);
    rig.frame(ACCOUNT, r#"{"success":true,"ret_msg":"","op":"auth","conn_id":"a"}"#);
    let items = rig.frame(ACCOUNT, &acked("subscribe", "m"));
    let list = |rows: &str, cursor: &str| {
        reply(&format!(r#"{{"category":"linear","list":[{rows}],"nextPageCursor":"{cursor}"}}"#))
    };
    let (ours, other) = (order("New", "0", ""), order("New", "0", "").replace(CLIENT, "by-hand"));
    let page =
        rig.http(asked(&items, calls::PENDING).unwrap(), 200, &list(&[ours, other.clone()].join(","), "xx"));
    assert_eq!(checks(&page), [], "not all pages were read");
    let last = rig.http(asked(&page, calls::PENDING).unwrap(), 200, &list(&other, ""));
    assert_eq!(checks(&last), [(Check::ForeignOrders, None, 2, false)]);
    let (id, _) = next_asked(&mut rig, calls::FOREIGN, 31 * SECOND).unwrap();
    // What a further page holds is not known to be ours.
    assert_eq!(checks(&rig.http(id, 200, &list("", "xx"))), [(Check::ForeignOrders, None, 1, false)]);
    let (id, _) = next_asked(&mut rig, calls::FOREIGN, 31 * SECOND).unwrap();
    assert_eq!(checks(&rig.http(id, 200, &list("", ""))), [(Check::ForeignOrders, None, 0, true)]);
    assert_eq!(next_asked(&mut rig, calls::FOREIGN, 100 * SECOND), None);
}

#[test]
fn a_position_in_another_mode_or_leverage_holds_at_once() {
    let (mut rig, _) = trading_since();
    let good = position("BTCUSDT", 0, "5");
    assert_eq!(checks(&rig.frame(ACCOUNT, &topic("position", &good))), []);
    let items = rig.frame(ACCOUNT, &topic("position", &position("BTCUSDT", 0, "25")));
    assert_eq!(checks(&items), [(Check::Leverage, Some(BTC), 25, false)]);
    let items = rig.frame(ACCOUNT, &topic("position", &position("ETHUSDT", 2, "5")));
    assert_eq!(checks(&items), [(Check::PositionMode, Some(ETH), 2, false)]);
}

#[test]
fn the_protection_is_used_where_it_was_granted_and_said_to_be_missing_where_not() {
    let dcp = |status: &str, seconds: u32| {
        let row = |product: &str, seconds| {
            format!(r#"{{"product":"{product}","dcpStatus":"{status}","timeWindow":"{seconds}"}}"#)
        };
        reply(&format!(r#"{{"dcpInfos":[{},{}]}}"#, row("DERIVATIVES", seconds), row("SPOT", 77)))
    };
    for refused in [reply(r#"{"dcpInfos":[]}"#), dcp("OFF", 60)] {
        let (mut rig, up) = trading_since();
        let items = rig.http(asked(&up, calls::DEAD_MAN).unwrap(), 200, &refused);
        assert_eq!((odd(&items), sends(&items), all_asked(&items)), (vec![], vec![], vec![]));
        assert_eq!(checks(&items), [(Check::DeadMan, None, 2, false)]);
    }
    let (mut rig, up) = trading_since();
    let items = rig.http(asked(&up, calls::DEAD_MAN).unwrap(), 200, &dcp("ON", 10));
    assert_eq!(sends(&items), [(ACCOUNT, calls::SUBSCRIBE_DEAD_MAN)]);
    assert_eq!(checks(&items), [(Check::DeadMan, None, 2, false)], "another time than the configured one");
    let set = items.iter().find_map(|item| match item {
        Emit::Action(SessionAction::Http { id, what, .. }) if what.op == calls::SET_DEAD_MAN => {
            Some((*id, what.arg))
        }
        _ => None,
    });
    let (set, seconds) = set.expect("its time is set as configured");
    assert_eq!(seconds, 60);
    let items = rig.http(set, 200, r#"{"retCode":0,"retMsg":"success"}"#);
    assert_eq!((odd(&items), checks(&items)), (vec![], vec![(Check::DeadMan, None, 1, true)]));
    // A refused subscription takes nothing else from the account, but there is no protection then.
    let no = acked("subscribe", "d").replace("true", "false");
    let items = rig.frame(ACCOUNT, &no);
    assert_eq!((odd(&items), closes(&items)), (vec![OddKind::Refused], vec![]));
    assert_eq!(checks(&items), [(Check::DeadMan, None, 2, false)]);
    let (id, _) = next_asked(&mut rig, calls::DEAD_MAN, 11 * SECOND).expect("whether it is set is asked");
    let items = rig.http(id, 200, &dcp("ON", 60));
    assert_eq!((sends(&items), all_asked(&items)), (vec![], vec![]), "once a connection");
    assert_eq!(checks(&items), [(Check::DeadMan, None, 2, false)]);
}

#[test]
fn what_is_left_of_a_window_is_told_and_used_up_ones_are_waited_for() {
    let (mut rig, _) = trading_since();
    let ack = |op: &str, header: &str| {
        format!(
            r#"{{"reqId":"{CLIENT}","retCode":0,"retMsg":"OK","op":"{op}","data":{{}},"retExtInfo":{{}},"header":{header},"connId":"c"}}"#
        )
    };
    let header = |left: &str| {
        format!(
            r#"{{"X-Bapi-Limit":"10","X-Bapi-Limit-Status":{left},"X-Bapi-Limit-Reset-Timestamp":"1711001597000","Traceid":"t","Timenow":"1711001595209"}}"#
        )
    };
    let pace = |rig: &mut Rig, text: &str| {
        let items = rig.frame(ORDERS, text);
        assert_eq!(reports(&items).len(), 1, "the outcome is not lost: {text}");
        paces(&items).first().map(|pace| (pace.orders_left, pace.retry_after_s, pace.is_refusal()))
    };
    assert_eq!(pace(&mut rig, &ack("order.create", &header(r#""9""#))), Some((Some(9), 0, false)));
    assert_eq!(pace(&mut rig, &ack("order.create", &header("0"))), Some((Some(0), 2, false)));
    for silent in ["{}", r#""""#, "null", &header(r#""many""#), &header("{}")] {
        assert_eq!(pace(&mut rig, &ack("order.create", silent)), None, "{silent}");
    }
    let cancel = rig.frame(ORDERS, &ack("order.cancel", &header(r#""3""#)));
    assert_eq!(paces(&cancel), [], "cancels have a window of their own");

    // HTTP: a window that is used up is waited for, and a ban longer.
    let used_up = Pace { requests_left: Some(0), retry_after_s: 0, status: 200, ..Pace::default() };
    for (pace, pause) in [
        (Pace { requests_left: Some(1), ..used_up }, 0),
        (used_up, SECOND),
        (Pace { retry_after_s: 3, ..used_up }, 3 * SECOND),
        (Pace { status: 429, requests_left: None, ..used_up }, 2 * SECOND),
    ] {
        let (mut rig, _) = trading_since();
        rig.adapter.on_pace(&pace, at(rig.now), &mut rig.out);
        rig.up(ORDERS);
        rig.frame(ORDERS, r#"{"retCode":0,"retMsg":"OK","op":"auth"}"#);
        let items = rig.pass(pause - pause.min(SECOND / 100));
        assert_eq!(asked(&items, calls::PENDING), None, "{pace:?}");
        if pause > 0 {
            assert!(asked(&rig.pass(SECOND / 50), calls::PENDING).is_some(), "{pace:?}");
        }
    }
    let (mut rig, up) = trading_since();
    let told = paces(&rig.http(asked(&up, calls::INFO).unwrap(), 403, "access too frequent"));
    assert_eq!((told[0].status, told[0].retry_after_s), (429, 600), "orders that can wait do");
    assert!(all_asked(&alive(&mut rig, 599 * SECOND)).is_empty());
    assert!(all_asked(&alive(&mut rig, 2 * SECOND)).contains(&calls::INFO));
}

#[test]
fn the_metadatas_funding_interval_is_known_where_it_is_stated() {
    let rig = Rig::live(false);
    assert_eq!(rig.adapter.funding_interval(BTC), Some(8 * 3_600 * SECOND));
    assert_eq!(rig.adapter.funding_interval(ETH), None, "not stated");
    assert_eq!(rig.adapter.funding_interval(InstrumentId(77)), None);
}
