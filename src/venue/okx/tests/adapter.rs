//! The session machines and the account, driven by frames and time.

use super::*;
use crate::domain::effect::OrderCall;
use crate::domain::event::{BookReason, BookState, SessionRole, SessionStatus};
use crate::domain::instrument::{ContractKind, Price};
use crate::domain::money::Money;
use crate::domain::order::{ClientId, RejectClass, ReportKind, Side};
use crate::domain::standing::Check;
use crate::venue::okx::calls;
use crate::venue::{OddKind, Oddity};

fn books(items: &[Emit]) -> Vec<(InstrumentId, BookState, BookReason)> {
    let status = |event| match event {
        EventBody::Book(book) => Some((book.instrument, book.state, book.reason)),
        _ => None,
    };
    events(items).into_iter().filter_map(status).collect()
}

fn statuses(items: &[Emit]) -> Vec<(SessionRole, bool)> {
    let status = |event| match event {
        EventBody::Session(SessionStatus { role, ready, .. }) => Some((role, ready)),
        _ => None,
    };
    events(items).into_iter().filter_map(status).collect()
}

fn connects(items: &[Emit]) -> Vec<ConnId> {
    let connect = |item: &Emit| match item {
        Emit::Action(SessionAction::Connect { conn, .. }) => Some(*conn),
        _ => None,
    };
    items.iter().filter_map(connect).collect()
}

fn closes(items: &[Emit]) -> Vec<ConnId> {
    let close = |item: &Emit| match item {
        Emit::Action(SessionAction::Close { conn }) => Some(*conn),
        _ => None,
    };
    items.iter().filter_map(close).collect()
}

fn odd(items: &[Emit]) -> Vec<OddKind> {
    items
        .iter()
        .filter_map(|i| if let Emit::Odd(Oddity { kind, .. }) = i { Some(*kind) } else { None })
        .collect()
}

#[test]
fn a_start_connects_three_times_a_second_at_most_and_states_specifications() {
    let mut rig = Rig::new(true);
    rig.adapter.on_start(at(rig.now), &mut rig.out);
    let first = rig.take();
    assert_eq!(connects(&first), [PUBLIC]);
    let id = asked(&first, calls::INSTRUMENTS).unwrap();
    assert_eq!(connects(&rig.pass(SECOND / 3)), []);
    assert_eq!(connects(&rig.pass(SECOND / 2)), [ACCOUNT, ORDERS]);
    let specs: Vec<_> = rig
        .http(id, 200, INSTRUMENTS)
        .into_iter()
        .filter_map(|item| if let Emit::Spec(spec) = item { Some(spec) } else { None })
        .collect();
    assert_eq!(specs.len(), 2);
    let num = |text: &str| Num::parse(text.as_bytes()).unwrap();
    assert_eq!((specs[0].instrument, specs[0].multiplier, specs[0].code), (BTC, num("0.01"), 10459));
    assert_eq!((specs[0].tick, specs[0].step, specs[0].qty_max), (num("0.1"), num("0.01"), num("100000000")));
    assert_eq!((specs[0].kind, specs[0].status), (ContractKind::Linear, Status::Trading));
    assert_eq!(
        (specs[1].multiplier, specs[1].kind, specs[1].status),
        (num("1"), ContractKind::Inverse, Status::Suspended)
    );
}

#[test]
fn metadata_is_asked_for_until_it_arrives() {
    let mut rig = Rig::new(false);
    rig.adapter.on_start(at(rig.now), &mut rig.out);
    let id = asked(&rig.take(), calls::INSTRUMENTS).unwrap();
    assert!(odd(&rig.http(id, 200, "<html>")).contains(&OddKind::Malformed));
    let id = asked(&rig.pass(SECOND), calls::INSTRUMENTS).expect("asked again");
    assert!(odd(&rig.http(id, 503, "")).contains(&OddKind::Refused));
    let id = asked(&rig.pass(2 * SECOND), calls::INSTRUMENTS).expect("asked again");
    // No reply at all: given up after 10 s; the late reply is stale then.
    let again = asked(&rig.pass(15 * SECOND), calls::INSTRUMENTS).expect("asked again");
    assert_ne!(id, again);
    assert_eq!(rig.http(id, 200, INSTRUMENTS), []);
    assert!(matches!(rig.http(again, 200, INSTRUMENTS)[0], Emit::Spec(_)));
}

#[test]
fn subscriptions_wait_for_instruments_and_books_for_snapshots() {
    let mut rig = Rig::new(false);
    rig.adapter.on_start(at(rig.now), &mut rig.out);
    assert_eq!(sends(&rig.up(PUBLIC)), []);
    rig.adapter.on_instrument(&instrument(BTC, "BTC-USDT-SWAP", 10459, 1), at(rig.now), &mut rig.out);
    let items = rig.pass(SECOND / 100);
    assert_eq!(sends(&items), [(PUBLIC, calls::SUBSCRIBE_MARKET)]);
    assert_eq!(books(&items), [(BTC, BookState::AwaitSnapshot, BookReason::Sync)]);
    let bbo = r#"{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["61000.2","5","0","1"]],"bids":[["61000.1","7","0","1"]],"ts":"1787612486107","seqId":99}]}"#;
    assert_eq!(rig.frame(PUBLIC, bbo), [], "not served before the snapshot");
    for left in (0..8).rev() {
        let items =
            rig.frame(PUBLIC, r#"{"event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT-SWAP"}}"#);
        assert_eq!(statuses(&items).len(), usize::from(left == 0));
    }
    let items = events(&rig.frame(PUBLIC, &book("BTC-USDT-SWAP", "snapshot", 100, -1)));
    let EventBody::Levels(chunk) = items[0] else { panic!("{items:?}") };
    assert!(chunk.clear && chunk.last && chunk.bids == 1 && chunk.asks == 1);
    assert_eq!(chunk.levels[0], (Price(61_000_100), Qty(750)));
    assert_eq!(chunk.levels[1], (Price(61_000_200), Qty(500)));
    assert_eq!((chunk.update_id, chunk.venue_ns), (100, 1_787_612_486_107_000_000));
    assert!(matches!(items[1], EventBody::Book(status) if status.state == BookState::Live));
    let EventBody::Bbo(best) = events(&rig.frame(PUBLIC, bbo))[0] else { panic!() };
    assert_eq!(
        (best.bid, best.bid_qty, best.ask, best.ask_qty, best.update_id),
        (Price(61_000_100), Qty(700), Price(61_000_200), Qty(500), 99)
    );
}

#[test]
fn a_long_message_is_cut_into_chunks_with_one_beginning_and_one_end() {
    let mut rig = Rig::live(false);
    let side = |from: i64, count: usize| {
        let levels: Vec<_> =
            (0..count as i64).map(|i| format!(r#"["{}","{}","0","1"]"#, from + i, i + 1)).collect();
        levels.join(",")
    };
    let frame = format!(
        r#"{{"action":"snapshot","data":[{{"bids":[{}],"asks":[{}],"ts":"5","seqId":9,"prevSeqId":-1}}],"arg":{{"instId":"BTC-USDT-SWAP","channel":"books"}}}}"#,
        side(1_000, 10),
        side(2_000, 7)
    );
    let items = events(&rig.frame(PUBLIC, &frame));
    let chunks: Vec<_> =
        items.iter().filter_map(|e| if let EventBody::Levels(c) = e { Some(*c) } else { None }).collect();
    assert_eq!(
        chunks.iter().map(|c| (c.bids, c.asks, c.clear, c.last)).collect::<Vec<_>>(),
        [(8, 0, true, false), (2, 6, false, false), (0, 1, false, true),]
    );
    assert_eq!(chunks[2].levels[0], (Price(2_006_000), Qty(700)));
}

#[test]
fn a_gap_quarantines_and_resyncs_that_instrument_only() {
    let mut rig = Rig::live(false);
    assert_eq!(events(&rig.frame(PUBLIC, &book("BTC-USDT-SWAP", "update", 107, 100))).len(), 1);
    let items = rig.frame(PUBLIC, &book("BTC-USDT-SWAP", "update", 121, 114));
    assert_eq!(books(&items), [(BTC, BookState::Invalid, BookReason::Gap)]);
    let items = rig.pass(SECOND / 100);
    assert_eq!(sends(&items), [(PUBLIC, calls::UNSUBSCRIBE_BOOK), (PUBLIC, calls::SUBSCRIBE_BOOK)]);
    assert_eq!(rig.frame(PUBLIC, &book("BTC-USDT-SWAP", "update", 128, 121)), [], "not served while invalid");
    assert_eq!(
        events(&rig.frame(PUBLIC, &book("ETH-USDT-SWAP", "update", 101, 100))).len(),
        1,
        "the other goes on"
    );
    let items = rig.frame(PUBLIC, &book("BTC-USDT-SWAP", "snapshot", 200, -1));
    assert_eq!(books(&items), [(BTC, BookState::Live, BookReason::Sync)]);
    // The next gap so soon after waits for the back-off.
    rig.frame(PUBLIC, &book("BTC-USDT-SWAP", "update", 300, 299));
    assert_eq!(sends(&rig.pass(SECOND / 10)), []);
    assert_eq!(sends(&rig.pass(SECOND)).len(), 2);
    // A snapshot that never comes is asked for again, and again.
    assert_eq!(sends(&rig.pass(12 * SECOND)).len(), 2);
}

#[test]
fn a_checksum_that_does_not_match_quarantines() {
    let mut rig = Rig::live(false);
    let text = "61000.1:7.50:61000.2:5";
    let sum = crc32fast::hash(text.as_bytes()) as i32;
    let with = |action, seq, prev, sum: i32| {
        book("BTC-USDT-SWAP", action, seq, prev).replace("\"checksum\":0", &format!("\"checksum\":{sum}"))
    };
    assert_eq!(books(&rig.frame(PUBLIC, &with("snapshot", 200, -1, sum))), [], "the book stands already");
    assert_eq!(events(&rig.frame(PUBLIC, &with("update", 201, 200, sum))).len(), 1);
    let items = rig.frame(PUBLIC, &with("update", 202, 201, sum ^ 1));
    assert_eq!(events(&items).len(), 1, "no level is served");
    assert_eq!(books(&items), [(BTC, BookState::Invalid, BookReason::Checksum)]);
}

#[test]
fn numbers_that_do_not_fit_quarantine_and_ask_for_metadata() {
    let mut rig = Rig::live(false);
    rig.pass(20 * SECOND);
    let bad = book("BTC-USDT-SWAP", "update", 107, 100).replace("61000.2", "61000.2001");
    let items = rig.frame(PUBLIC, &bad);
    assert_eq!(odd(&items), [OddKind::Inexact]);
    assert_eq!(books(&items), [(BTC, BookState::Invalid, BookReason::Malformed)]);
    assert!(asked(&rig.pass(SECOND / 100), calls::INSTRUMENTS).is_some());
    // A new generation makes the old levels void and subscribes again.
    rig.frame(PUBLIC, &book("BTC-USDT-SWAP", "snapshot", 200, -1));
    rig.adapter.on_instrument(&instrument(BTC, "BTC-USDT-SWAP", 10459, 2), at(rig.now), &mut rig.out);
    assert_eq!(books(&rig.take()), [(BTC, BookState::Invalid, BookReason::Generation)]);
    assert_eq!(sends(&rig.pass(2 * SECOND)).len(), 2);
}

#[test]
fn bad_frames_are_counted_and_lose_only_the_book_that_they_name() {
    let mut rig = Rig::live(false);
    for (frame, kind) in [
        ("nonsense", OddKind::Malformed),
        ("", OddKind::Malformed),
        (r#"{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"px":1}]}"#, OddKind::Malformed),
        (r#"{"arg":{"channel":"nope","instId":"BTC-USDT-SWAP"},"data":[]}"#, OddKind::Unknown),
        (r#"{"arg":{"channel":"trades","instId":"XRP-USDT-SWAP"},"data":[]}"#, OddKind::UnknownSymbol),
    ] {
        let items = rig.frame(PUBLIC, frame);
        assert_eq!(odd(&items), [kind], "{frame}");
        assert_eq!(books(&items), []);
    }
    let items = rig.frame(
        PUBLIC,
        r#"{"arg":{"channel":"books","instId":"ETH-USDT-SWAP"},"action":"update","data":[{"asks":[["1"]]"#,
    );
    assert_eq!(books(&items), [(ETH, BookState::Invalid, BookReason::Malformed)]);
    let meta =
        FrameMeta { conn: PUBLIC, kind: crate::domain::input::FrameKind::Binary, ..FrameMeta::default() };
    rig.adapter.on_frame(meta, &[0, 1, 2], at(rig.now), &mut rig.out);
    assert_eq!(odd(&rig.take()), [OddKind::Malformed]);
}

#[test]
fn trades_marks_and_funding_become_events() {
    let mut rig = Rig::live(false);
    let items = events(&rig.frame(PUBLIC, r#"{"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","tradeId":"219066264","px":"42219.9","sz":"0.12","side":"sell","ts":"1630048897897","count":"3","source":"0","seqId":1234}]}"#));
    let EventBody::Trade(trade) = items[0] else { panic!() };
    assert_eq!(
        (trade.instrument, trade.id, trade.price, trade.qty, trade.aggressor),
        (BTC, 219_066_264, Price(42_219_900), Qty(12), Side::Sell)
    );
    let items = events(&rig.frame(PUBLIC, r#"{"arg":{"channel":"funding-rate","instId":"ETH-USDT-SWAP"},"data":[{"fundingRate":"0.0000252378080097","fundingTime":"1790784000000","instId":"ETH-USDT-SWAP","nextFundingRate":"","nextFundingTime":"1790812800000","ts":"1790757122992"}]}"#));
    let EventBody::Mark(mark) = items[0] else { panic!() };
    assert_eq!((mark.instrument, mark.rate, mark.mark), (ETH, Some(Num::new(252_378_080_097, 16)), None));
    assert_eq!((mark.funding_ns, mark.interval_ns), (1_790_784_000_000_000_000, 8 * 3600 * SECOND));
    let items = events(&rig.frame(PUBLIC, r#"{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP","markPx":"83003.8","ts":"1790757203016"}]}"#));
    assert!(
        matches!(items[0], EventBody::Mark(m) if m.mark == Some(Num::new(830_038, 1)) && m.rate.is_none())
    );
}

#[test]
fn price_limits_are_told_and_repeated_with_every_mark_of_the_connection() {
    let mut rig = Rig::live(false);
    let limits = |fields: &str| {
        format!(
            r#"{{"arg":{{"channel":"price-limit","instId":"BTC-USDT-SWAP"}},"data":[{{"instId":"BTC-USDT-SWAP","instType":"SWAP",{fields},"ts":"1790757203016"}}]}}"#
        )
    };
    let mark = r#"{"arg":{"channel":"mark-price","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP","markPx":"83003.8","ts":"1790757203017"}]}"#;
    let mut told = |text: &str| match events(&rig.frame(PUBLIC, text))[..] {
        [EventBody::Mark(mark)] => (mark.buy_max, mark.sell_min),
        _ => panic!("{text}"),
    };
    assert_eq!(told(mark), (None, None));
    let both = (Some(Num::new(871_541, 1)), Some(Num::new(788_537, 1)));
    assert_eq!(told(&limits(r#""buyLmt":"87154.1","sellLmt":"78853.7","enabled":true"#)), both);
    assert_eq!(told(mark), both);
    assert_eq!(told(&limits(r#""buyLmt":"","sellLmt":"","enabled":false"#)), (None, None), "not in force");
    assert_eq!(told(mark), (None, None));
    told(&limits(r#""buyLmt":"87154.1","sellLmt":"78853.7","enabled":true"#));
    assert_eq!(told(&mark.replace("83003.8", "83100")), (None, None), "they did not follow the mark");
    assert_eq!(told(mark), both);
    rig.frame(PUBLIC, "nonsense");
    let [EventBody::Mark(lost)] = events(&rig.frame(PUBLIC, mark))[..] else { panic!() };
    assert_eq!((lost.buy_max, lost.sell_min), (None, None), "which may have been other limits");
    rig.frame(PUBLIC, &limits(r#""buyLmt":"87154.1","sellLmt":"78853.7","enabled":true"#));
    rig.down(PUBLIC);
    rig.up(PUBLIC);
    let [EventBody::Mark(mark)] = events(&rig.frame(PUBLIC, mark))[..] else { panic!() };
    assert_eq!((mark.buy_max, mark.sell_min), (None, None), "what another connection said");
}

#[test]
fn silence_pings_and_no_pong_reconnects_with_back_off() {
    let mut rig = Rig::live(false);
    assert_eq!(sends(&rig.pass(20 * SECOND + SECOND / 10)), [(PUBLIC, calls::PING)]);
    rig.frame(PUBLIC, "pong");
    assert_eq!(sends(&rig.pass(20 * SECOND + SECOND / 10)), [(PUBLIC, calls::PING)]);
    let items = rig.pass(10 * SECOND);
    assert_eq!(closes(&items), [PUBLIC]);
    assert_eq!(statuses(&items), [(SessionRole::Market, false)]);
    assert_eq!(
        books(&items),
        [
            (BTC, BookState::Invalid, BookReason::Disconnected),
            (ETH, BookState::Invalid, BookReason::Disconnected),
        ]
    );
    assert_eq!(rig.down(PUBLIC), []);
    let mut waits = vec![];
    for _ in 0..8 {
        let from = rig.now;
        while connects(&rig.pass(SECOND / 100)).is_empty() {
            assert!(rig.now - from < 31 * SECOND);
        }
        waits.push(rig.now - from);
        rig.down(PUBLIC);
    }
    assert!(waits[0] < SECOND && waits[6] > 7 * SECOND, "{waits:?}");
    // Back again: everything is subscribed anew.
    while connects(&rig.pass(SECOND / 100)).is_empty() {}
    assert_eq!(sends(&rig.up(PUBLIC)), [(PUBLIC, calls::SUBSCRIBE_MARKET)]);
}

#[test]
fn a_service_notice_reconnects() {
    let mut rig = Rig::live(false);
    let items = rig.frame(PUBLIC, r#"{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect.","connId":"a"}"#);
    assert_eq!(closes(&items), [PUBLIC]);
    rig.down(PUBLIC);
    assert_eq!(connects(&rig.pass(SECOND)), [PUBLIC]);
}

/// Live with both private sessions logged in, subscribed and reconciled.
fn trading() -> Rig {
    let mut rig = Rig::live(true);
    rig.pass(SECOND);
    assert_eq!(sends(&rig.up(ACCOUNT)), [(ACCOUNT, calls::LOGIN)]);
    assert_eq!(sends(&rig.up(ORDERS)), [(ORDERS, calls::LOGIN)]);
    let login = r#"{"event":"login","code":"0","msg":"","connId":"a4d3ae55"}"#;
    assert_eq!(statuses(&rig.frame(ORDERS, login)), [(SessionRole::Orders, true)]);
    assert_eq!(sends(&rig.frame(ACCOUNT, login)), [(ACCOUNT, calls::SUBSCRIBE_ACCOUNT)]);
    let mut items = vec![];
    for channel in ["orders", "positions", "account"] {
        assert_eq!(asked(&items, calls::PENDING), None);
        items = rig.frame(ACCOUNT, &format!(r#"{{"event":"subscribe","arg":{{"channel":"{channel}"}}}}"#));
    }
    let ids = [calls::PENDING, calls::POSITIONS, calls::BALANCE].map(|op| asked(&items, op).unwrap());
    let pending = format!(r#"{{"code":"0","msg":"","data":[{}]}}"#, order("live", "0", "", "", "", ""));
    let open = rig.http(ids[0], 200, &pending);
    assert_eq!(reports(&open)[0].kind, ReportKind::Open);
    assert_eq!(statuses(&open), []);
    let positions = rig.http(ids[1], 200, r#"{"code":"0","data":[{"instId":"BTC-USDT-SWAP","pos":"-1.5","posSide":"net","avgPx":"61000.123456789012345678","uTime":"1619507761462"}],"msg":""}"#);
    let positions: Vec<_> =
        events(&positions)
            .into_iter()
            .map(|e| {
                if let EventBody::Position(p) = e {
                    (p.instrument, p.qty, p.snapshot)
                } else {
                    panic!("{e:?}")
                }
            })
            .collect();
    assert_eq!(positions, [(BTC, -150, true), (ETH, 0, true)]);
    let done = rig.http(ids[2], 200, r#"{"code":"0","data":[{"details":[{"ccy":"USDT","cashBal":"94.42612990333333","availEq":"","availBal":"90","uTime":"1744498994783"}]}],"msg":""}"#);
    let EventBody::Balance(balance) = events(&done)[0] else { panic!() };
    assert_eq!(
        (balance.wallet.to_string().as_str(), balance.available),
        ("94.42612990333333", Some(Money::from_units(90)))
    );
    assert!(done.contains(&Emit::ReconcileEnd(VenueId(1))));
    assert_eq!(statuses(&done), [(SessionRole::Account, true)]);
    rig
}

const CLIENT: &str = "00000000000000030000000000000abc";

fn order(state: &str, filled: &str, size: &str, price: &str, trade: &str, fee: &str) -> String {
    format!(
        r#"{{"instType":"SWAP","instId":"BTC-USDT-SWAP","ordId":"312269865356374016","clOrdId":"{CLIENT}","px":"999","sz":"3","ordType":"ioc","side":"buy","posSide":"net","tdMode":"cross","fillSz":"{size}","fillPx":"{price}","tradeId":"{trade}","accFillSz":"{filled}","fillTime":"","fillFee":"{fee}","fillFeeCcy":"USDT","execType":"T","state":"{state}","feeCcy":"USDT","fee":"-0.3","rebateCcy":"USDT","rebate":"0","category":"normal","uTime":"1597026383085","cancelSource":"","reduceOnly":"false"}}"#
    )
}

fn orders(row: &str) -> String {
    format!(r#"{{"arg":{{"channel":"orders","instType":"SWAP","uid":"7"}},"data":[{row}]}}"#)
}

#[test]
fn the_orders_channel_is_reported_as_it_is() {
    let mut rig = trading();
    let report = reports(
        &rig.frame(ACCOUNT, &orders(&order("partially_filled", "1.5", "0.5", "61000.1", "77", "-0.0123"))),
    )[0];
    assert_eq!(
        (report.client_id, report.kind, report.filled),
        (ClientId::new(3, 0xabc), ReportKind::PartiallyFilled, Some(Qty(150)))
    );
    assert_eq!(
        (report.instrument, report.venue_order_id, report.side),
        (Some(BTC), 312_269_865_356_374_016, Some(Side::Buy))
    );
    let fill = report.fill.unwrap();
    assert_eq!((fill.trade_id, fill.qty, fill.price, fill.maker), (77, Qty(50), Price(61_000_100), false));
    assert_eq!(fill.fee.map(|fee| fee.to_string()).as_deref(), Some("0.0123"), "charged is a positive cost");
    assert_eq!(fill.fee_currency.as_str(), "USDT");
    let report = reports(&rig.frame(ACCOUNT, &orders(&order("canceled", "1.5", "0", "", "", ""))))[0];
    assert_eq!((report.kind, report.fill, report.filled), (ReportKind::Canceled, None, Some(Qty(150))));
    let post_only =
        order("canceled", "0", "", "", "", "").replace(r#""cancelSource":"""#, r#""cancelSource":"31""#);
    assert_eq!(reports(&rig.frame(ACCOUNT, &orders(&post_only)))[0].reject, RejectClass::PostOnly);
    // What the venue does to us is not ours, whatever id it carries.
    for category in ["adl", "full_liquidation", "partial_liquidation"] {
        let row =
            order("filled", "1", "1", "61000", "78", "").replace("\"normal\"", &format!("\"{category}\""));
        let report = reports(&rig.frame(ACCOUNT, &orders(&row)))[0];
        assert_eq!((report.client_id, report.kind), (ClientId::NONE, ReportKind::Filled));
        assert_eq!(report.fill.unwrap().fee, None);
    }
    assert_eq!(
        odd(&rig.frame(ACCOUNT, &orders(&order("exploded", "0", "", "", "", "")))),
        [OddKind::UnknownExecution]
    );
}

#[test]
fn replies_to_orders_are_matched_with_and_without_rows() {
    let mut rig = trading();
    let reply = |id: &str, op: &str, code: &str, data: &str| {
        format!(
            r#"{{"id":"{id}","op":"{op}","code":"{code}","msg":"","data":[{data}],"inTime":"1695190491421339","outTime":"1695190491423240"}}"#
        )
    };
    let row = |code: &str, client: &str| {
        format!(
            r#"{{"clOrdId":"{client}","ordId":"393513242072608785","tag":"","ts":"1695190491421","sCode":"{code}","sMsg":"no"}}"#
        )
    };
    let cancel = format!("x{}", &CLIENT[1..]);
    let client = ClientId::new(3, 0xabc);
    for (text, expected) in [
        (reply(CLIENT, "order", "0", &row("0", CLIENT)), Some((ReportKind::Acked, RejectClass::None, 0))),
        // Top-level 0 or 2 with a failing row: the row counts.
        (
            reply(CLIENT, "order", "0", &row("51008", CLIENT)),
            Some((ReportKind::Rejected, RejectClass::Margin, 51008)),
        ),
        (
            reply(CLIENT, "order", "1", &row("51016", "")),
            Some((ReportKind::Rejected, RejectClass::Duplicate, 51016)),
        ),
        (reply(CLIENT, "order", "50011", ""), Some((ReportKind::Rejected, RejectClass::RateLimit, 50011))),
        (
            reply(CLIENT, "order", "50004", ""),
            Some((ReportKind::Rejected, RejectClass::UnknownOutcome, 50004)),
        ),
        (reply(&cancel, "cancel-order", "0", &row("0", CLIENT)), None),
        (
            reply(&cancel, "cancel-order", "1", &row("51400", CLIENT)),
            Some((ReportKind::CancelRejected, RejectClass::NotFound, 51400)),
        ),
        (
            reply(&cancel, "cancel-order", "50013", ""),
            Some((ReportKind::CancelRejected, RejectClass::VenueDown, 50013)),
        ),
        (
            format!(r#"{{"id":"{CLIENT}","event":"error","code":"60012","msg":"Illegal request"}}"#),
            Some((ReportKind::Rejected, RejectClass::Never, 60012)),
        ),
        (
            format!(r#"{{"id":"{cancel}","event":"error","code":"60012","msg":"Illegal request"}}"#),
            Some((ReportKind::CancelRejected, RejectClass::Never, 60012)),
        ),
    ] {
        let items = reports(&rig.frame(ORDERS, &text));
        assert_eq!(items.first().map(|r| (r.kind, r.reject, r.code)), expected, "{text}");
        assert!(items.iter().all(|r| r.client_id == client));
    }
}

#[test]
fn order_queries_tell_the_order_or_that_there_is_none() {
    let mut rig = trading();
    let id = HttpId(1 << 31 | 5);
    let body =
        format!(r#"{{"code":"0","msg":"","data":[{}]}}"#, order("filled", "3", "3", "61000.1", "99", ""));
    let report = reports(&rig.http(id, 200, &body))[0];
    assert_eq!(
        (report.client_id, report.kind, report.filled),
        (ClientId::new(3, 0xabc), ReportKind::Filled, Some(Qty(300)))
    );
    assert_eq!(
        report.fill.unwrap().fee.map(|fee| fee.to_string()).as_deref(),
        Some("0.3"),
        "one fill: the order's cost is its cost"
    );
    // Several fills: the order states the last one only, so the list is asked for.
    let partly = body.replace(r#""fillSz":"3""#, r#""fillSz":"1""#);
    assert_eq!(reports(&rig.http(id, 200, &partly))[0].fill.unwrap().fee, None);
    let fills = asked(&rig.pass(SECOND / 100), calls::FILLS).unwrap();
    let fill = |trade: u32, size: u32| {
        format!(
            r#"{{"instId":"BTC-USDT-SWAP","tradeId":"{trade}","ordId":"312269865356374016","clOrdId":"{CLIENT}","fillPx":"61000.1","fillSz":"{size}","side":"buy","execType":"M","feeCcy":"USDT","fee":"0.00{size}","ts":"1597026383085"}}"#
        )
    };
    let items =
        rig.http(fills, 200, &format!(r#"{{"code":"0","msg":"","data":[{},{}]}}"#, fill(99, 1), fill(98, 2)));
    let fills: Vec<_> = reports(&items).iter().map(|r| (r.client_id, r.kind, r.fill.unwrap())).collect();
    assert!(
        fills.iter().all(|(id, kind, fill)| *id == ClientId::new(3, 0xabc)
            && *kind == ReportKind::Acked
            && fill.maker)
    );
    assert_eq!(
        fills.iter().map(|(_, _, f)| (f.trade_id, f.qty, f.fee)).collect::<Vec<_>>(),
        [
            (99, Qty(100), Some(-Money::from_num(Num::new(1, 3)))),
            (98, Qty(200), Some(-Money::from_num(Num::new(2, 3)))),
        ]
    );
    let id = HttpId(1 << 31 | ClientId::new(3, 0xabc).tag());
    let report = reports(&rig.http(id, 200, r#"{"code":"51603","data":[],"msg":"Order does not exist"}"#))[0];
    assert_eq!((report.kind, report.client_id), (ReportKind::NotFound, ClientId::NONE));
    assert_eq!(report.venue_order_id, u64::from(ClientId::new(3, 0xabc).tag()));
    assert_eq!(reports(&rig.http(id, 0, "")), []);
    assert_eq!(odd(&rig.http(id, 401, r#"{"code":"50113","msg":"Invalid Sign"}"#)), [OddKind::Refused]);
}

#[test]
fn losing_the_order_connection_reconciles_without_losing_the_account() {
    let mut rig = trading();
    assert_eq!(statuses(&rig.down(ORDERS)), [(SessionRole::Orders, false)]);
    while connects(&rig.pass(SECOND / 100)).is_empty() {}
    rig.up(ORDERS);
    let items = rig.frame(ORDERS, r#"{"event":"login","code":"0","msg":""}"#);
    assert_eq!(statuses(&items), [(SessionRole::Orders, true)]);
    let ids = [calls::PENDING, calls::POSITIONS, calls::BALANCE].map(|op| asked(&items, op).unwrap());
    rig.http(ids[0], 200, r#"{"code":"0","data":[]}"#);
    rig.http(ids[1], 200, r#"{"code":"0","data":[]}"#);
    assert!(rig.http(ids[2], 200, r#"{"code":"0","data":[]}"#).contains(&Emit::ReconcileEnd(VenueId(1))));
}

#[test]
fn funding_is_what_the_positions_sum_grew_by() {
    let mut rig = trading();
    let row = |fee: &str| {
        format!(
            r#"{{"arg":{{"channel":"positions","instType":"SWAP"}},"data":[{{"instId":"ETH-USDT-SWAP","pos":"3","posSide":"net","avgPx":"2000","ccy":"USDT","fundingFee":"{fee}","uTime":"1619507761462"}}]}}"#
        )
    };
    let mut paid = |fee: &str| -> Vec<String> {
        let amount =
            |e| if let EventBody::Funding(f) = e { Some((f.instrument, f.amount.to_string())) } else { None };
        events(&rig.frame(ACCOUNT, &row(fee)))
            .into_iter()
            .filter_map(amount)
            .map(|(id, text)| {
                assert_eq!(id, Some(ETH));
                text
            })
            .collect()
    };
    assert!(paid("0").is_empty() && paid("").is_empty());
    assert_eq!(paid("-0.25"), ["-0.25"]);
    assert!(paid("-0.25").is_empty());
    assert_eq!(paid("-0.1"), ["0.15"]);
    assert!(paid("0").is_empty(), "a new position starts from zero");
    assert_eq!(paid("0.5"), ["0.5"]);
}

#[test]
fn losing_the_account_reconciles_again_with_all_pages() {
    let mut rig = trading();
    assert_eq!(statuses(&rig.down(ACCOUNT)), [(SessionRole::Account, false)]);
    while connects(&rig.pass(SECOND / 100)).is_empty() {}
    rig.up(ACCOUNT);
    rig.frame(ACCOUNT, r#"{"event":"login","code":"0","msg":""}"#);
    let mut items = vec![];
    for _ in 0..3 {
        items = rig.frame(ACCOUNT, r#"{"event":"subscribe","arg":{"channel":"orders"}}"#);
    }
    let page = vec![order("live", "0", "", "", "", ""); calls::PENDING_PAGE].join(",");
    let page = format!(r#"{{"code":"0","data":[{page}]}}"#);
    let more = rig.http(asked(&items, calls::PENDING).unwrap(), 200, &page);
    assert_eq!(reports(&more).len(), calls::PENDING_PAGE);
    let next = asked(&more, calls::PENDING).expect("a full page is not the last");
    let what = more.iter().find_map(|i| {
        if let Emit::Action(SessionAction::Http { what, .. }) = i { Some(*what) } else { None }
    });
    assert_eq!(what.unwrap().arg, 312_269_865_356_374_016);
    rig.http(next, 200, r#"{"code":"0","data":[]}"#);
    rig.http(asked(&items, calls::POSITIONS).unwrap(), 200, r#"{"code":"0","data":[]}"#);
    // A failed request is repeated; the account is not ready before all have answered.
    assert_eq!(
        statuses(&rig.http(asked(&items, calls::BALANCE).unwrap(), 200, r#"{"code":"50013","msg":"busy"}"#)),
        []
    );
    let again = asked(&rig.pass(SECOND), calls::BALANCE).unwrap();
    let done = rig.http(again, 200, r#"{"code":"0","data":[{"details":[]}]}"#);
    assert!(done.contains(&Emit::ReconcileEnd(VenueId(1))));
    assert_eq!(statuses(&done), [(SessionRole::Account, true)]);
}

#[test]
fn wrong_keys_are_tried_slowly_and_a_wrong_clock_soon() {
    for (code, slow) in [("60024", true), ("60032", true), ("60006", false)] {
        let mut rig = Rig::live(true);
        rig.pass(SECOND);
        rig.up(ORDERS);
        let items = rig
            .frame(ORDERS, &format!(r#"{{"event":"error","code":"{code}","msg":"no","connId":"f9ab6f3c"}}"#));
        assert_eq!((odd(&items), closes(&items)), (vec![OddKind::Refused], vec![ORDERS]));
        rig.down(ORDERS);
        assert_eq!(connects(&rig.pass(5 * SECOND)).contains(&ORDERS), !slow, "{code}");
        assert!(!slow || connects(&rig.pass(60 * SECOND)).contains(&ORDERS));
    }
}

#[test]
fn an_unanswered_login_reconnects_and_a_stop_closes_everything() {
    let mut rig = Rig::live(true);
    rig.pass(SECOND);
    rig.up(ORDERS);
    assert_eq!(closes(&rig.pass(11 * SECOND)), [ORDERS]);
    let mut rig = trading();
    rig.adapter.on_stop(at(rig.now), &mut rig.out);
    assert_eq!(closes(&rig.take()), [PUBLIC, ACCOUNT, ORDERS]);
    assert_eq!(rig.pass(120 * SECOND), []);
}

#[test]
fn the_same_inputs_yield_the_same_outputs() {
    let run = || {
        let mut rig = trading();
        let mut all = rig.frame(PUBLIC, &book("BTC-USDT-SWAP", "update", 121, 114));
        all.extend(rig.down(ACCOUNT));
        all.extend(rig.pass(40 * SECOND));
        all
    };
    assert_eq!(run(), run());
}

#[test]
fn replies_over_http_say_what_they_say_and_no_answer_is_no_answer() {
    let mut rig = trading();
    let id = |call| HttpId::of_order(call, ClientId::new(3, 0xabc));
    let row = |code: &str, client: &str| {
        format!(
            r#"{{"clOrdId":"{client}","ordId":"393513242072608785","tag":"","ts":"1695190491421","sCode":"{code}","sMsg":"no"}}"#
        )
    };
    let reply = |code: &str, data: &str| format!(r#"{{"code":"{code}","msg":"","data":[{data}]}}"#);
    let (ours, none) = (ClientId::new(3, 0xabc), ClientId::NONE);
    let unknown = |kind| Some((kind, RejectClass::UnknownOutcome, none));
    for (call, status, body, expected) in [
        (
            OrderCall::Place,
            200,
            reply("0", &row("0", CLIENT)),
            Some((ReportKind::Acked, RejectClass::None, ours)),
        ),
        (
            OrderCall::Place,
            200,
            reply("1", &row("51008", CLIENT)),
            Some((ReportKind::Rejected, RejectClass::Margin, ours)),
        ),
        (
            OrderCall::Place,
            429,
            reply("50011", ""),
            Some((ReportKind::Rejected, RejectClass::RateLimit, none)),
        ),
        (OrderCall::Place, 401, reply("50113", ""), Some((ReportKind::Rejected, RejectClass::Fatal, none))),
        (OrderCall::Place, 0, String::new(), unknown(ReportKind::Rejected)),
        (OrderCall::Place, 502, "<html>".to_owned(), unknown(ReportKind::Rejected)),
        (OrderCall::Place, 200, reply("0", ""), unknown(ReportKind::Rejected)),
        (OrderCall::Cancel, 200, reply("0", &row("0", CLIENT)), None),
        (
            OrderCall::Cancel,
            200,
            reply("1", &row("51400", CLIENT)),
            Some((ReportKind::CancelRejected, RejectClass::NotFound, ours)),
        ),
        (OrderCall::Cancel, 0, String::new(), unknown(ReportKind::CancelRejected)),
    ] {
        let found = reports(&rig.http(id(call), status, &body));
        let found = found.first().map(|report| (report.kind, report.reject, report.client_id));
        assert_eq!(found, expected, "{call:?} {status} {body}");
    }
}

/// What is stated of the dead man's switch.
fn switch(items: &[Emit]) -> Vec<(i64, bool)> {
    let of = |event| match event {
        EventBody::Check(check) if check.check == Check::DeadMan => Some((check.stated, check.passed)),
        _ => None,
    };
    events(items).into_iter().filter_map(of).collect()
}

#[test]
fn the_dead_mans_switch_counts_as_armed_while_the_venue_says_when_it_fires() {
    let mut context = context(true);
    context.params.dead_man_ns = 60 * SECOND;
    let mut rig = Rig::live_of(&context);
    rig.pass(SECOND);
    rig.up(ACCOUNT);
    rig.frame(ACCOUNT, r#"{"event":"login","code":"0","msg":"","connId":"a4d3ae55"}"#);
    let mut items = vec![];
    for channel in ["orders", "positions", "account"] {
        items = rig.frame(ACCOUNT, &format!(r#"{{"event":"subscribe","arg":{{"channel":"{channel}"}}}}"#));
    }
    assert_eq!(switch(&items), [(2, false)], "not before the venue has said so");
    let id = asked(&items, calls::DEAD_MAN).unwrap();
    // Time passes on connections that are not silent, until the switch is asked for; with what was stated.
    let next = |rig: &mut Rig| {
        let mut stated = Vec::new();
        for _ in 0..400 {
            let mut items = rig.pass(SECOND / 10);
            items.extend(rig.frame(ACCOUNT, "pong"));
            stated.extend(switch(&items));
            if let Some(id) = asked(&items, calls::DEAD_MAN) {
                return (id, stated);
            }
        }
        panic!("the switch is not asked for any more");
    };
    let reply = |fires: &str| {
        format!(
            r#"{{"code":"0","msg":"","data":[{{"triggerTime":"{fires}","tag":"","ts":"1607418537715"}}]}}"#
        )
    };
    let armed = reply("1607418597715");
    assert_eq!(switch(&rig.http(id, 200, &armed)), [(1, true)]);
    let (id, stated) = next(&mut rig);
    assert_eq!((switch(&rig.http(id, 200, &armed)), stated), (vec![], vec![]), "no news");
    let (id, _) = next(&mut rig);
    let refused = r#"{"code":"51000","msg":"Parameter timeOut error","data":[]}"#;
    assert_eq!(switch(&rig.http(id, 200, refused)), [(2, false)], "refused");
    let (id, _) = next(&mut rig);
    assert_eq!(switch(&rig.http(id, 200, &reply("0"))), [], "it would never fire");
    let (id, _) = next(&mut rig);
    assert_eq!(switch(&rig.http(id, 200, &armed)), [(1, true)]);
    let (_, stated) = next(&mut rig);
    assert_eq!(stated, []);
    let (id, stated) = next(&mut rig);
    assert_eq!(stated, [(2, false)], "no reply came");
    assert_eq!(switch(&rig.http(id, 200, &armed)), [(1, true)]);
}

#[test]
fn channels_of_no_listing_are_asked_for_whichever_listing_is_there_and_once_a_connection() {
    let wide = |items: &[Emit]| {
        let of = |item: &Emit| match item {
            Emit::Action(SessionAction::Send { what, .. }) if what.op == calls::SUBSCRIBE_MARKET => {
                let (first, _, wide) = calls::unpack_range(what.arg);
                Some((first, wide))
            }
            _ => None,
        };
        items.iter().filter_map(of).collect::<Vec<_>>()
    };
    let mut rig = Rig::new(false);
    rig.adapter.on_start(at(rig.now), &mut rig.out);
    rig.up(PUBLIC);
    // The first listing is not in the venue's list.
    rig.adapter.on_instrument(&instrument(ETH, "ETH-USDT-SWAP", 10461, 1), at(rig.now), &mut rig.out);
    assert_eq!(wide(&rig.pass(SECOND / 100)), [(1, true)]);
    rig.adapter.on_instrument(&instrument(BTC, "BTC-USDT-SWAP", 10459, 1), at(rig.now), &mut rig.out);
    assert_eq!(wide(&rig.pass(SECOND / 100)), [(0, false)]);
    rig.down(PUBLIC);
    rig.pass(10 * SECOND);
    let mut seen = wide(&rig.up(PUBLIC));
    seen.extend(wide(&rig.pass(SECOND / 100)));
    assert_eq!(seen, [(0, true)]);
}

#[test]
fn an_order_that_the_venue_calls_wrong_has_metadata_read_again() {
    let mut rig = Rig::live(false);
    rig.pass(11 * SECOND);
    rig.adapter.on_order_wrong(at(rig.now), &mut rig.out);
    let id = asked(&rig.take(), calls::INSTRUMENTS).expect("asked at once");
    let changed = INSTRUMENTS.replace(r#""tickSz":"0.1""#, r#""tickSz":"1""#);
    let items = rig.http(id, 200, &changed);
    assert!(items.iter().any(|item| matches!(item, Emit::Spec(spec) if spec.instrument == BTC)));
    rig.adapter.on_order_wrong(at(rig.now), &mut rig.out);
    assert_eq!(asked(&rig.take(), calls::INSTRUMENTS), None, "not more often than the pace allows");
    assert!(asked(&rig.pass(11 * SECOND), calls::INSTRUMENTS).is_some(), "but not forgotten");
}
