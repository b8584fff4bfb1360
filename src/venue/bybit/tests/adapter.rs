//! The session machines and the account, driven by frames and time.

use super::*;
use crate::domain::event::{BookReason, BookState, SessionRole};
use crate::domain::instrument::Price;
use crate::domain::order::{ClientId, RejectClass, ReportKind};
use crate::venue::bybit::calls;

pub(super) const CLIENT: &str = "00000000000000030000000000000abc";

fn books(items: &[Emit]) -> Vec<(InstrumentId, BookState, BookReason)> {
    let status = |event| match event {
        EventBody::Book(book) => Some((book.instrument, book.state, book.reason)),
        _ => None,
    };
    events(items).into_iter().filter_map(status).collect()
}

fn statuses(items: &[Emit]) -> Vec<(SessionRole, bool)> {
    let status = |event| match event {
        EventBody::Session(status) => Some((status.role, status.ready)),
        _ => None,
    };
    events(items).into_iter().filter_map(status).collect()
}

fn connects(items: &[Emit]) -> usize {
    items.iter().filter(|item| matches!(item, Emit::Action(SessionAction::Connect { .. }))).count()
}

pub(super) fn closes(items: &[Emit]) -> Vec<ConnId> {
    let close =
        |item: &Emit| if let Emit::Action(SessionAction::Close { conn }) = item { Some(*conn) } else { None };
    items.iter().filter_map(close).collect()
}

#[test]
fn specifications_are_read_page_by_page() {
    let mut rig = Rig::new(false);
    rig.adapter.on_start(at(rig.now), &mut rig.out);
    let id = asked(&rig.take(), calls::INSTRUMENTS).unwrap();
    let first = r#"{"retCode":0,"result":{"category":"linear","nextPageCursor":"xxxx","list":[]}}"#;
    let next = asked(&rig.http(id, 200, first), calls::INSTRUMENTS).expect("the next page");
    let specs: Vec<VenueSpec> = rig
        .http(next, 200, INSTRUMENTS)
        .into_iter()
        .filter_map(|item| if let Emit::Spec(spec) = item { Some(spec) } else { None })
        .collect();
    let num = |text: &str| Num::parse(text.as_bytes()).unwrap();
    assert_eq!((specs[0].instrument, specs[0].tick, specs[0].step), (BTC, num("0.1"), num("0.001")));
    assert_eq!((specs[0].qty_max, specs[0].notional_min), (num("1190"), num("5")));
    assert_eq!((specs[1].instrument, specs[1].status, specs[1].qty_max), (ETH, Status::Suspended, Num::ZERO));
    // Refused for its rate: nothing is asked for two seconds.
    rig.adapter.on_instrument(&instrument(BTC, "BTCUSDT", 1), at(rig.now), &mut rig.out);
    rig.pass(12 * SECOND);
    let id = asked(&rig.up(PUBLIC), calls::INSTRUMENTS).expect("asked again with a new connection");
    assert_eq!(odd(&rig.http(id, 200, r#"{"retCode":10006,"result":{}}"#)), [OddKind::Refused]);
    assert_eq!(asked(&rig.pass(2 * SECOND - SECOND / 50), calls::INSTRUMENTS), None);
    assert!(asked(&rig.pass(SECOND), calls::INSTRUMENTS).is_some());
}

#[test]
fn a_gap_quarantines_and_resyncs_that_instrument_only() {
    let mut rig = Rig::live(false);
    assert_eq!(events(&rig.frame(PUBLIC, &book("BTCUSDT", "delta", 101))).len(), 1);
    assert_eq!(rig.frame(PUBLIC, &book("BTCUSDT", "delta", 101)), [], "the same once more");
    let items = rig.frame(PUBLIC, &book("BTCUSDT", "delta", 103));
    assert_eq!(books(&items), [(BTC, BookState::Invalid, BookReason::Gap)]);
    let items = rig.pass(SECOND / 100);
    assert_eq!(sends(&items), [(PUBLIC, calls::UNSUBSCRIBE_BOOK), (PUBLIC, calls::SUBSCRIBE_BOOK)]);
    assert_eq!(rig.frame(PUBLIC, &book("BTCUSDT", "delta", 104)), [], "not served while invalid");
    assert_eq!(events(&rig.frame(PUBLIC, &book("ETHUSDT", "delta", 101))).len(), 1, "the other goes on");
    let items = rig.frame(PUBLIC, &book("BTCUSDT", "snapshot", 200));
    assert_eq!(books(&items), [(BTC, BookState::Live, BookReason::Sync)]);
    // The next gap so soon after waits for the back-off.
    rig.frame(PUBLIC, &book("BTCUSDT", "delta", 300));
    assert_eq!(sends(&rig.pass(SECOND / 10)), []);
    assert_eq!(sends(&rig.pass(SECOND)).len(), 2);
    // A restart of the service: the book begins anew without a gap.
    let items = rig.frame(PUBLIC, &book("ETHUSDT", "delta", 1));
    let EventBody::Levels(chunk) = events(&items)[0] else { panic!("{items:?}") };
    assert!(chunk.clear && chunk.last && books(&items).is_empty());
    assert_eq!(events(&rig.frame(PUBLIC, &book("ETHUSDT", "delta", 2))).len(), 1);
}

#[test]
fn best_prices_come_once_and_share_the_books_sequence() {
    let mut rig = Rig::live(false);
    let best = |update: u64| {
        format!(
            r#"{{"topic":"orderbook.1.BTCUSDT","ts":7,"type":"snapshot","data":{{"s":"BTCUSDT","b":[["61000.1","7"]],"a":[],"u":{update},"seq":1005}},"cts":6}}"#
        )
    };
    let EventBody::Bbo(bbo) = events(&rig.frame(PUBLIC, &best(5)))[0] else { panic!() };
    assert_eq!(
        (bbo.bid, bbo.bid_qty, bbo.ask, bbo.update_id),
        (Price(61_000_100), Qty(7_000), Price(0), 1005)
    );
    assert_eq!(rig.frame(PUBLIC, &best(5)), [], "repeated after three seconds without a change");
    assert_eq!(events(&rig.frame(PUBLIC, &best(6))).len(), 1);
}

#[test]
fn tickers_in_parts_tell_whole_funding() {
    let mut rig = Rig::live(false);
    let ticker = |kind: &str, fields: &str| {
        format!(
            r#"{{"topic":"tickers.BTCUSDT","type":"{kind}","data":{{"symbol":"BTCUSDT",{fields}}},"cs":1,"ts":1673272861686}}"#
        )
    };
    let mut told = |kind: &str, fields: &str| {
        let items = events(&rig.frame(PUBLIC, &ticker(kind, fields)));
        items.first().map(|event| if let EventBody::Mark(mark) = event { *mark } else { panic!() })
    };
    let whole = r#""markPrice":"17217.33","indexPrice":"17227.36","fundingRate":"-0.000212","nextFundingTime":"1673280000000","fundingIntervalHour":"8""#;
    let mark = told("snapshot", whole).unwrap();
    assert_eq!((mark.mark, mark.rate), (Some(Num::new(1_721_733, 2)), Some(Num::new(-212, 6))));
    assert_eq!((mark.funding_ns, mark.interval_ns), (1_673_280_000_000_000_000, 8 * 3_600 * SECOND));
    let mark = told("delta", r#""fundingRate":"0.0001""#).unwrap();
    assert_eq!((mark.rate, mark.mark), (Some(Num::new(1, 4)), Some(Num::new(1_721_733, 2))));
    assert_eq!(mark.funding_ns, 1_673_280_000_000_000_000, "the settlement that was told before");
    let mark = told("delta", r#""markPrice":"17218""#).unwrap();
    assert_eq!(
        (mark.mark, mark.rate),
        (Some(Num::new(17_218, 0)), Some(Num::new(1, 4))),
        "which is unchanged"
    );
    assert_eq!(mark.index, Some(Num::new(1_722_736, 2)));
    assert_eq!((mark.funding_ns, mark.interval_ns), (1_673_280_000_000_000_000, 8 * 3_600 * SECOND));
    assert_eq!(told("delta", r#""bid1Price":"1""#), None);
}

#[test]
fn a_ticker_that_may_have_been_lost_is_confirmed_by_nothing_and_asked_for_anew() {
    let mut rig = Rig::live(false);
    let ticker = |kind: &str, fields: &str| {
        format!(
            r#"{{"topic":"tickers.BTCUSDT","type":"{kind}","data":{{"symbol":"BTCUSDT",{fields}}},"cs":1,"ts":1673272861686}}"#
        )
    };
    let whole = ticker(
        "snapshot",
        r#""markPrice":"17217.33","fundingRate":"-0.000212","nextFundingTime":"1673280000000""#,
    );
    let change = ticker("delta", r#""markPrice":"17218""#);
    let rate = |rig: &mut Rig, text: &str| match events(&rig.frame(PUBLIC, text))[..] {
        [EventBody::Mark(mark)] => mark.rate,
        _ => panic!("{text}"),
    };
    let anew = [(PUBLIC, calls::UNSUBSCRIBE_TICKER), (PUBLIC, calls::SUBSCRIBE_TICKER)];
    for lost in [&ticker("delta", r#""fundingRate":{}"#), "nonsense"] {
        assert!(rate(&mut rig, &whole).is_some());
        assert!(rate(&mut rig, &change).is_some());
        assert_eq!(odd(&rig.frame(PUBLIC, lost)), [OddKind::Malformed]);
        assert_eq!(sends(&rig.pass(SECOND / 100))[..2], anew, "{lost}");
        assert_eq!(sends(&rig.pass(SECOND)), [], "once");
        assert_eq!(rate(&mut rig, &change), None, "until its snapshot comes");
    }
    assert!(rate(&mut rig, &whole).is_some());
    rig.down(PUBLIC);
    rig.pass(2 * SECOND);
    rig.up(PUBLIC);
    assert_eq!(rate(&mut rig, &change), None, "what another connection said");
}

#[test]
fn price_limits_are_told_and_repeated_with_every_mark() {
    let mut rig = Rig::live(false);
    let limits = r#"{"topic":"priceLimit.BTCUSDT","data":{"symbol":"BTCUSDT","buyLmt":"114450.00","sellLmt":"103550.00"},"ts":1750059683782}"#;
    let mark = r#"{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"109000"},"cs":1,"ts":1750059683783}"#;
    let both = (Some(Num::new(11_445_000, 2)), Some(Num::new(10_355_000, 2)));
    let mut told = |text: &str| match events(&rig.frame(PUBLIC, text))[..] {
        [EventBody::Mark(mark)] => (mark.buy_max, mark.sell_min),
        _ => panic!("{text}"),
    };
    assert_eq!((told(limits), told(mark)), (both, both));
    let moved = mark.replace("109000", "109030");
    assert_eq!(told(&moved), (None, None), "limits that did not follow the mark are of a dead channel");
    assert_eq!((told(limits), told(&moved)), (both, both));
}

#[test]
fn bad_frames_are_counted_and_lose_only_the_book_that_they_name() {
    let mut rig = Rig::live(false);
    for (frame, kind) in [
        ("nonsense", OddKind::Malformed),
        ("", OddKind::Malformed),
        (r#"{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[{"p":1}]}"#, OddKind::Malformed),
        (r#"{"topic":"nope.BTCUSDT","data":[]}"#, OddKind::Unknown),
        (r#"{"topic":"publicTrade.XRPUSDT","type":"snapshot","ts":1,"data":[]}"#, OddKind::UnknownSymbol),
    ] {
        let items = rig.frame(PUBLIC, frame);
        assert_eq!((odd(&items), books(&items)), (vec![kind], vec![]), "{frame}");
    }
    let items = rig.frame(PUBLIC, r#"{"topic":"orderbook.50.ETHUSDT","type":"delta","data":{"b":[["1"]]"#);
    assert_eq!(books(&items), [(ETH, BookState::Invalid, BookReason::Malformed)]);
    rig.pass(12 * SECOND);
    let inexact = book("BTCUSDT", "delta", 101).replace("61000.2", "61000.2001");
    let items = rig.frame(PUBLIC, &inexact);
    assert_eq!((odd(&items), books(&items).len()), (vec![OddKind::Inexact], 1));
    assert!(asked(&rig.pass(SECOND / 100), calls::INSTRUMENTS).is_some());
}

#[test]
fn one_refused_symbol_does_not_keep_the_session_from_being_ready() {
    let mut rig = Rig::new(false);
    rig.adapter.on_start(at(rig.now), &mut rig.out);
    rig.up(PUBLIC);
    for (id, symbol) in [(BTC, "BTCUSDT"), (ETH, "ETHUSDT")] {
        rig.adapter.on_instrument(&instrument(id, symbol, 1), at(rig.now), &mut rig.out);
    }
    assert_eq!(sends(&rig.pass(SECOND / 100)), [(PUBLIC, calls::SUBSCRIBE_MARKET); 2]);
    let refused = acked("subscribe", "m0").replace("true", "false");
    assert_eq!(odd(&rig.frame(PUBLIC, &refused)), [OddKind::Refused]);
    assert_eq!(statuses(&rig.frame(PUBLIC, &acked("subscribe", "m1"))), [(SessionRole::Market, true)]);
}

/// Live with both private sessions authenticated, subscribed and reconciled.
fn trading() -> Rig {
    trading_since().0
}

/// The same, with what was asked for when the account came up.
pub(super) fn trading_since() -> (Rig, Vec<Emit>) {
    let mut rig = Rig::live(true);
    rig.pass(SECOND);
    assert_eq!(sends(&rig.up(ACCOUNT)), [(ACCOUNT, calls::AUTH)]);
    assert_eq!(sends(&rig.up(ORDERS)), [(ORDERS, calls::AUTH)]);
    let trade = r#"{"retCode":0,"retMsg":"OK","op":"auth","connId":"d4al82f88smcpctamlf0-b5jk"}"#;
    assert_eq!(statuses(&rig.frame(ORDERS, trade)), [(SessionRole::Orders, true)]);
    let private = r#"{"success":true,"ret_msg":"","op":"auth","conn_id":"a"}"#;
    assert_eq!(sends(&rig.frame(ACCOUNT, private)), [(ACCOUNT, calls::SUBSCRIBE_ACCOUNT)]);
    let items = rig.frame(ACCOUNT, &acked("subscribe", "m"));
    let ids = [calls::PENDING, calls::POSITIONS, calls::BALANCE].map(|op| asked(&items, op).unwrap());
    let list = |rows: &str, cursor: &str| {
        format!(
            r#"{{"retCode":0,"retMsg":"OK","result":{{"category":"linear","list":[{rows}],"nextPageCursor":"{cursor}"}}}}"#
        )
    };
    let page = rig.http(ids[0], 200, &list(&order("New", "0", "EC_NoError"), "xxxxxxxx"));
    assert_eq!(reports(&page)[0].kind, ReportKind::Open);
    let next = asked(&page, calls::PENDING).expect("the next page");
    rig.http(next, 200, &list("", ""));
    let position = r#"{"positionIdx":0,"symbol":"BTCUSDT","side":"Sell","size":"1.5","avgPrice":"61000.123456789012345678","updatedTime":"1697673600012"}"#;
    let positions: Vec<_> =
        events(&rig.http(ids[1], 200, &list(position, "")))
            .into_iter()
            .map(|e| {
                if let EventBody::Position(p) = e {
                    (p.instrument, p.qty, p.snapshot)
                } else {
                    panic!("{e:?}")
                }
            })
            .collect();
    assert_eq!(positions, [(BTC, -1_500, true), (ETH, 0, true)]);
    let wallet = r#"{"accountType":"UNIFIED","coin":[{"coin":"USDT","walletBalance":"94.42612990333333","availableToWithdraw":""}]}"#;
    let done = rig.http(ids[2], 200, &list(wallet, ""));
    let EventBody::Balance(balance) = events(&done)[0] else { panic!() };
    assert_eq!((balance.wallet.to_string().as_str(), balance.available), ("94.42612990333333", None));
    assert!(done.contains(&Emit::ReconcileEnd(VenueId(1))));
    assert_eq!(statuses(&done), [(SessionRole::Account, true)]);
    (rig, items)
}

pub(super) fn order(status: &str, filled: &str, reason: &str) -> String {
    format!(
        r#"{{"category":"linear","symbol":"BTCUSDT","orderId":"af6512ea-74b0-4ac5-959a-9a52d4208b08","orderLinkId":"{CLIENT}","side":"Buy","orderStatus":"{status}","cumExecQty":"{filled}","rejectReason":"{reason}","cancelType":"UNKNOWN","qty":"3","updatedTime":"1682917170026"}}"#
    )
}

fn execution(kind: &str, id: &str, qty: &str, fee: &str) -> String {
    format!(
        r#"{{"category":"linear","symbol":"BTCUSDT","orderId":"af6512ea-74b0-4ac5-959a-9a52d4208b08","orderLinkId":"{CLIENT}","side":"Buy","execType":"{kind}","execId":"{id}","execPrice":"61000.1","execQty":"{qty}","execFee":"{fee}","isMaker":false,"execTime":"1682924344203"}}"#
    )
}

pub(super) fn topic(name: &str, row: &str) -> String {
    format!(r#"{{"topic":"{name}","id":"1","creationTime":1682917170027,"data":[{row}]}}"#)
}

#[test]
fn states_come_from_orders_and_fills_from_executions() {
    let mut rig = trading();
    for (status, filled, reason, kind, reject) in [
        ("New", "0", "EC_NoError", ReportKind::Open, RejectClass::None),
        ("PartiallyFilled", "1.5", "EC_NoError", ReportKind::PartiallyFilled, RejectClass::None),
        ("Filled", "3", "EC_NoError", ReportKind::Filled, RejectClass::None),
        ("Cancelled", "1.5", "EC_NoImmediateQtyToFill", ReportKind::Canceled, RejectClass::None),
        ("Cancelled", "0", "EC_PostOnlyWillTakeLiquidity", ReportKind::Canceled, RejectClass::PostOnly),
        ("Rejected", "0", "EC_Others", ReportKind::Rejected, RejectClass::Never),
        ("Rejected", "1", "INSUFFICIENT_MARGIN", ReportKind::Canceled, RejectClass::None),
    ] {
        let report = reports(&rig.frame(ACCOUNT, &topic("order", &order(status, filled, reason))))[0];
        assert_eq!((report.kind, report.reject, report.fill), (kind, reject, None), "{status}");
        assert_eq!((report.client_id, report.instrument), (ClientId::new(3, 0xabc), Some(BTC)));
    }
    let fill = execution("Trade", "a3333bcf-4d02-55f1-a9d2-08a5149064f4", "0.5", "0.01714062");
    let report = reports(&rig.frame(ACCOUNT, &topic("execution", &fill)))[0];
    let fill = report.fill.unwrap();
    assert_eq!((report.kind, fill.qty, fill.price), (ReportKind::Acked, Qty(500), Price(61_000_100)));
    assert_eq!(fill.fee.map(|fee| fee.to_string()).as_deref(), Some("0.01714062"), "paid is positive");
    assert_eq!(fill.fee_currency.as_str(), "USDT");
    // What the venue does to us is not ours, whatever id it carries.
    for kind in ["AdlTrade", "BustTrade"] {
        let row = execution(kind, "0ab1bdf7-4219-438b-b30a-32ec863018f8", "1", "0");
        let report = reports(&rig.frame(ACCOUNT, &topic("execution", &row)))[0];
        assert_eq!(report.client_id, ClientId::NONE);
        assert!(report.fill.unwrap().trade_id != fill.trade_id);
    }
    let items = rig.frame(ACCOUNT, &topic("execution", &execution("Funding", "x1", "1", "0.25")));
    let EventBody::Funding(funding) = events(&items)[0] else { panic!("{items:?}") };
    assert_eq!((funding.amount.to_string().as_str(), funding.instrument), ("-0.25", Some(BTC)));
    let odd_one = topic("execution", &execution("Magic", "x2", "1", "0"));
    assert_eq!(odd(&rig.frame(ACCOUNT, &odd_one)), [OddKind::UnknownExecution]);
    // Another category of the same account is another's business.
    let spot = topic("order", &order("New", "0", "").replace("linear", "spot"));
    assert_eq!(rig.frame(ACCOUNT, &spot), []);
}

#[test]
fn an_acknowledgement_is_no_outcome_and_a_refusal_has_its_class() {
    let mut rig = trading();
    let cancel = format!("{CLIENT}x005");
    let reply = |id: &str, op: &str, code: i32, ext: &str| {
        format!(
            r#"{{"reqId":"{id}","retCode":{code},"retMsg":"m","op":"{op}","data":{{}},"retExtInfo":{ext},"header":{{"X-Bapi-Limit":"10"}},"connId":"c"}}"#
        )
    };
    for (text, expected) in [
        (reply(CLIENT, "order.create", 0, "{}"), Some((ReportKind::Acked, RejectClass::None, 0))),
        (reply(CLIENT, "order.create", 0, r#""""#), Some((ReportKind::Acked, RejectClass::None, 0))),
        (
            reply(CLIENT, "order.create", 0, r#"{"list":[{"code":110007,"msg":"no"}]}"#),
            Some((ReportKind::Rejected, RejectClass::Margin, 110_007)),
        ),
        (
            reply(CLIENT, "order.create", 10006, "{}"),
            Some((ReportKind::Rejected, RejectClass::RateLimit, 10006)),
        ),
        (
            reply(CLIENT, "order.create", 10000, "{}"),
            Some((ReportKind::Rejected, RejectClass::UnknownOutcome, 10000)),
        ),
        (reply(&cancel, "order.cancel", 0, "{}"), None),
        (
            reply(&cancel, "order.cancel", 110_001, "{}"),
            Some((ReportKind::CancelRejected, RejectClass::NotFound, 110_001)),
        ),
    ] {
        let items = reports(&rig.frame(ORDERS, &text));
        assert_eq!(items.first().map(|r| (r.kind, r.reject, r.code)), expected, "{text}");
        assert!(items.iter().all(|r| r.client_id == ClientId::new(3, 0xabc)));
    }
}

#[test]
fn a_query_tells_the_order_and_asks_for_its_fills_or_that_there_is_none() {
    let mut rig = trading();
    let id = HttpId(1 << 31 | ClientId::new(3, 0xabc).tag());
    let list = |rows: &str| {
        format!(r#"{{"retCode":0,"result":{{"category":"linear","list":[{rows}],"nextPageCursor":""}}}}"#)
    };
    let report = reports(&rig.http(id, 200, &list(&order("Filled", "3", ""))))[0];
    assert_eq!((report.kind, report.filled), (ReportKind::Filled, Some(Qty(3_000))));
    let fills = asked(&rig.pass(SECOND / 100), calls::FILLS).expect("its fills are asked for");
    let foreign = execution("Trade", "z", "9", "1").replace(CLIENT, "");
    let rows = [execution("Trade", "x", "1", "0.1"), execution("Trade", "y", "2", "0.2"), foreign].join(",");
    let found = reports(&rig.http(fills, 200, &list(&rows)));
    let qty: Vec<_> = found.iter().map(|report| report.fill.unwrap().qty).collect();
    assert_eq!(qty, [Qty(1_000), Qty(2_000)], "of this order only");
    assert_eq!(asked(&rig.pass(SECOND), calls::FILLS), None);
    let report = reports(&rig.http(id, 200, &list("")))[0];
    assert_eq!((report.kind, report.client_id), (ReportKind::NotFound, ClientId::NONE));
    assert_eq!(report.venue_order_id, u64::from(ClientId::new(3, 0xabc).tag()));
    assert_eq!(odd(&rig.http(id, 200, r#"{"retCode":10004,"retMsg":"sign"}"#)), [OddKind::Refused]);
}

#[test]
fn pings_go_out_and_a_dead_connection_is_left_and_come_back_to() {
    let mut rig = Rig::live(false);
    assert_eq!(sends(&rig.pass(20 * SECOND)), [(PUBLIC, calls::PING)]);
    rig.frame(PUBLIC, r#"{"success":true,"ret_msg":"pong","conn_id":"a","req_id":"","op":"ping"}"#);
    assert_eq!(sends(&rig.pass(20 * SECOND)), [(PUBLIC, calls::PING)]);
    let items = rig.pass(11 * SECOND);
    assert_eq!((closes(&items), books(&items).len()), (vec![PUBLIC], 2));
    assert_eq!(statuses(&items), [(SessionRole::Market, false)]);
    rig.down(PUBLIC);
    assert_eq!(connects(&rig.pass(SECOND)), 1);
    assert_eq!(sends(&rig.up(PUBLIC)), [(PUBLIC, calls::SUBSCRIBE_MARKET); 2]);
}

#[test]
fn wrong_keys_are_tried_slowly_and_a_lost_order_connection_reconciles() {
    for (code, slow) in [(10004, true), (10002, false)] {
        let mut rig = Rig::live(true);
        rig.pass(SECOND);
        rig.up(ORDERS);
        let refused = format!(r#"{{"retCode":{code},"retMsg":"no","op":"auth","connId":"a"}}"#);
        let items = rig.frame(ORDERS, &refused);
        assert_eq!((odd(&items), closes(&items)), (vec![OddKind::Refused], vec![ORDERS]));
        rig.down(ORDERS);
        assert_eq!(connects(&rig.pass(5 * SECOND)), usize::from(!slow), "{code}");
    }
    let mut rig = trading();
    assert_eq!(statuses(&rig.down(ORDERS)), [(SessionRole::Orders, false)]);
    rig.pass(SECOND);
    rig.up(ORDERS);
    let items = rig.frame(ORDERS, r#"{"retCode":0,"retMsg":"OK","op":"auth"}"#);
    assert!(asked(&items, calls::PENDING).is_some());
    rig.adapter.on_stop(at(rig.now), &mut rig.out);
    assert_eq!(closes(&rig.take()), [PUBLIC, ACCOUNT, ORDERS]);
    assert_eq!(rig.pass(60 * SECOND), []);
}
