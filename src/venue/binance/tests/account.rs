//! The account: listen key, reconciliation, user stream, stop.

use super::*;

const POSITIONS: &str = r#"[{"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"-0.250","entryPrice":"100.5","updateTime":7},
    {"symbol":"DOGEUSDT","positionSide":"BOTH","positionAmt":"5","entryPrice":"1","updateTime":7}]"#;
const BALANCES: &str = r#"[{"asset":"USDT","balance":"375.50","availableBalance":"300.25"},{"asset":"BNB","balance":"0.0","availableBalance":"0"}]"#;

/// A trading rig whose account session is ready.
pub(super) fn trading() -> Rig {
    account_up(Rig::new(true), &[0, 1, 3])
}

/// Brings up the account of a fresh rig, which connects to `first` at once.
fn account_up(mut fresh: Rig, first: &[u8]) -> Rig {
    fresh.adapter.on_start(fresh.at(), &mut fresh.out);
    let seen = fresh.take();
    assert_eq!(
        seen.connects(),
        first.iter().map(|conn| (*conn, None)).collect::<Vec<_>>(),
        "the private connection waits for its key"
    );
    for index in 0..2 {
        fresh.adapter.on_instrument(&instrument(index), fresh.at(), &mut fresh.out);
    }
    let (id, _) = fresh
        .wait(20 * MILLI)
        .http(op::LISTEN_KEY)
        .first()
        .copied()
        .or(seen.http(op::LISTEN_KEY).first().copied())
        .unwrap();
    fresh.http(id, 200, r#"{"listenKey":"xxxx"}"#);
    assert_eq!(fresh.take().connects(), [(2, Some(SecretSlot(8)))]);
    fresh.up(conn::PRIVATE);
    let seen = fresh.take();
    let [orders, positions, balances] =
        [op::OPEN_ORDERS, op::POSITION_RISK, op::BALANCE].map(|op| seen.http(op).first().copied().unwrap().0);
    fresh.http(orders, 200, &format!(
        r#"[{{"orderId":5,"symbol":"BTCUSDT","status":"PARTIALLY_FILLED","clientOrderId":"{}","executedQty":"0.100","side":"SELL","updateTime":6}},
        {{"orderId":6,"symbol":"BTCUSDT","status":"NEW","clientOrderId":"web_1","executedQty":"0","side":"BUY","updateTime":6}}]"#,
        client(3)
    ));
    if let Some((id, _)) = seen.http(op::INDICATORS).first() {
        fresh.http(*id, 200, r#"{"indicators":{},"updateTime":1}"#);
    }
    fresh.http(positions, 200, POSITIONS);
    assert!(fresh.out.items().iter().all(|item| !matches!(item, Emit::ReconcileEnd(_))));
    fresh.http(balances, 200, BALANCES);
    fresh
}

#[test]
fn the_account_is_reconciled_before_it_is_ready() {
    let mut rig = trading();
    let seen = rig.take();
    let reports = seen.reports();
    assert_eq!(
        (reports[0].client_id, reports[0].kind, reports[0].filled),
        (client(3), ReportKind::PartiallyFilled, Some(Qty(100)))
    );
    assert_eq!(
        (reports[1].client_id, reports[1].kind, reports[1].side),
        (ClientId::NONE, ReportKind::Open, Some(Side::Buy))
    );
    let positions: Vec<_> = seen
        .events()
        .into_iter()
        .filter_map(|event| {
            if let EventBody::Position(p) = event { Some((p.instrument.0, p.qty, p.snapshot)) } else { None }
        })
        .collect();
    assert_eq!(positions, [(10, -250, true), (11, 0, true)], "what is not listed is flat");
    let balances: Vec<_> = seen
        .events()
        .into_iter()
        .filter_map(|event| {
            if let EventBody::Balance(b) = event {
                Some((b.currency, b.wallet.to_string(), b.available.map(|a| a.to_string())))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(balances, [(Currency::new("USDT").unwrap(), "375.5".to_owned(), Some("300.25".to_owned()))]);
    let end = seen.0.iter().position(|item| matches!(item, Emit::ReconcileEnd(_))).unwrap();
    let ready = seen.0.iter().position(|item| matches!(item, Emit::Event(EventBody::Session(s)) if s.role == SessionRole::Account && s.ready)).unwrap();
    assert!(end < ready);
    // The key is kept alive; a venue that forgot it gets a new connection.
    let mut seen = rig.wait(SECOND);
    while seen.http(op::LISTEN_KEY_KEEP).is_empty() {
        assert!(rig.now < 30 * 60 * SECOND && seen.closes().is_empty());
        // The venue's pings prove that the connection lives.
        let conn = ConnId(BASE + conn::PRIVATE as u8);
        let meta = FrameMeta { conn, kind: FrameKind::Ping, ..FrameMeta::default() };
        rig.adapter.on_frame(meta, b"", rig.at(), &mut rig.out);
        for (id, _) in seen.http(op::BALANCE) {
            rig.http(id, 200, BALANCES);
        }
        seen = rig.wait(10 * SECOND);
    }
    rig.http(
        seen.http(op::LISTEN_KEY_KEEP)[0].0,
        400,
        r#"{"code":-1125,"msg":"This listenKey does not exist."}"#,
    );
    assert_eq!(rig.take().closes(), [2]);
    rig.down(conn::PRIVATE);
    assert_eq!(rig.take().sessions(), [(SessionRole::Account, false)]);
    assert_eq!(rig.wait(SECOND).http(op::LISTEN_KEY).len(), 1);
}

#[test]
fn order_sessions_follow_their_connection() {
    let mut rig = trading();
    rig.take();
    rig.up(conn::API);
    assert_eq!(rig.take().sessions(), [(SessionRole::Orders, true)]);
    rig.down(conn::API);
    assert_eq!(rig.take().sessions(), [(SessionRole::Orders, false)]);
    assert_eq!(rig.wait(SECOND).connects(), [(3, None)]);
}

fn order_event(fields: &str) -> String {
    format!(
        r#"{{"e":"ORDER_TRADE_UPDATE","T":8,"E":9,"o":{{"s":"BTCUSDT","c":"{}","S":"BUY","o":"LIMIT","q":"1.000","p":"100.5","i":55,{fields}}}}}"#,
        client(3)
    )
}

#[test]
fn order_events_become_reports() {
    let mut rig = trading();
    rig.take();
    for (fields, kind, filled, fill) in [
        (
            r#""f":"IOC","x":"NEW","X":"NEW","l":"0","z":"0","L":"0","t":0,"m":false,"T":8"#,
            ReportKind::Open,
            0,
            None,
        ),
        (
            r#""f":"IOC","x":"TRADE","X":"PARTIALLY_FILLED","l":"0.250","z":"0.250","L":"100.4","n":"0.0125","N":"USDT","t":77,"m":false,"T":8"#,
            ReportKind::PartiallyFilled,
            250,
            Some((77, 250, 1_004_000, "0.0125")),
        ),
        (
            r#""f":"IOC","x":"TRADE","X":"FILLED","l":"0.750","z":"1.000","L":"100.4","t":78,"m":true,"T":8"#,
            ReportKind::Filled,
            1000,
            Some((78, 750, 1_004_000, "0")),
        ),
        (
            r#""f":"IOC","x":"EXPIRED","X":"EXPIRED","l":"0","z":"0.250","L":"0","t":0,"m":false,"T":8"#,
            ReportKind::Canceled,
            250,
            None,
        ),
        (
            r#""f":"GTC","x":"EXPIRED","X":"EXPIRED_IN_MATCH","l":"0","z":"0","L":"0","t":0,"m":false,"T":8"#,
            ReportKind::Expired,
            0,
            None,
        ),
        (
            r#""f":"GTX","x":"EXPIRED","X":"EXPIRED","l":"0","z":"0","L":"0","t":0,"m":false,"T":8"#,
            ReportKind::Rejected,
            0,
            None,
        ),
        (
            r#""f":"GTC","x":"CANCELED","X":"CANCELED","l":"0","z":"0.1","L":"0","t":0,"m":false,"T":8"#,
            ReportKind::Canceled,
            100,
            None,
        ),
    ] {
        rig.frame(conn::PRIVATE, &order_event(fields));
        let seen = rig.take();
        let [report] = seen.reports()[..] else { panic!("{seen:?}") };
        assert_eq!(
            (report.client_id, report.kind, report.filled),
            (client(3), kind, Some(Qty(filled))),
            "{fields}"
        );
        let found = report.fill.map(|f| (f.trade_id, f.qty.0, f.price.0, f.fee.unwrap().to_string()));
        assert_eq!(found, fill.map(|(id, qty, price, fee)| (id, qty, price, fee.to_owned())), "{fields}");
        assert_eq!(
            report.reject,
            if kind == ReportKind::Rejected { RejectClass::PostOnly } else { RejectClass::None }
        );
        assert!(seen.odds().is_empty());
    }
    rig.frame(
        conn::PRIVATE,
        &order_event(r#""f":"GTC","x":"STRANGE","X":"NEW","l":"0","z":"0","L":"0","t":0,"m":false,"T":8"#),
    );
    let seen = rig.take();
    assert_eq!((seen.reports().len(), seen.odds()), (1, vec![OddKind::UnknownExecution]));
}

#[test]
fn an_account_message_that_cannot_be_read_means_a_new_session_and_a_foreign_one_nothing() {
    for (text, odd, closes) in [
        (
            order_event(
                r#""f":"GTC","x":"TRADE","X":"FILLED","l":"x","z":"1","L":"1","t":1,"m":false,"T":8"#,
            ),
            OddKind::Malformed,
            vec![2],
        ),
        (
            order_event(
                r#""f":"GTC","x":"TRADE","X":"FILLED","l":"0.0001","z":"1","L":"1","t":1,"m":false,"T":8"#,
            ),
            OddKind::Inexact,
            vec![2],
        ),
        (r#"{"e":"SOMETHING_NEW","E":1}"#.to_owned(), OddKind::Unknown, vec![]),
        (order_event("").replace("BTCUSDT", "DOGEUSDT").replace(",}}", "}}"), OddKind::UnknownSymbol, vec![]),
    ] {
        let mut rig = trading();
        rig.take();
        rig.frame(conn::PRIVATE, &text);
        let seen = rig.take();
        assert_eq!((seen.odds(), seen.closes()), (vec![odd], closes.clone()), "{text}");
        assert_eq!(seen.sessions().len(), closes.len());
        assert!(seen.reports().is_empty());
    }
}

#[test]
fn an_early_fill_notice_has_no_fee_and_no_total() {
    let mut rig = trading();
    rig.take();
    rig.frame(conn::PRIVATE, &format!(
        r#"{{"e":"TRADE_LITE","E":9,"T":8,"s":"BTCUSDT","c":"{}","S":"SELL","q":"1","p":"100.5","i":55,"l":"0.250","L":"100.4","t":77,"m":true}}"#,
        client(3)
    ));
    let seen = rig.take();
    let [report] = seen.reports()[..] else { panic!("{seen:?}") };
    let fill = report.fill.unwrap();
    assert_eq!(
        (report.filled, fill.fee, fill.trade_id, fill.qty, fill.maker),
        (None, None, 77, Qty(250), true)
    );
    assert_eq!((report.kind, report.side), (ReportKind::PartiallyFilled, Some(Side::Sell)));
}

#[test]
fn account_updates_tell_balances_positions_and_funding() {
    let mut rig = trading();
    rig.take();
    rig.frame(conn::PRIVATE, r#"{"e":"ACCOUNT_UPDATE","T":8,"E":9,"a":{"B":[{"a":"USDT","wb":"21.5","cw":"21.5","bc":"-0.25"}],"P":[{"s":"BTCUSDT","pa":"-5","ep":"1.15540","cr":"0","up":"0","mt":"cross","iw":"0","ps":"BOTH"}],"m":"FUNDING_FEE"}}"#);
    let seen = rig.take();
    let [EventBody::Position(position), EventBody::Balance(balance), EventBody::Funding(funding)] =
        seen.events()[..]
    else {
        panic!("{seen:?}")
    };
    assert_eq!(
        (position.qty, position.entry.to_string(), position.snapshot),
        (-5000, "1.1554".to_owned(), false)
    );
    assert_eq!(balance.wallet, Money::from_num(Num::new(215, 1)));
    assert_eq!(
        (funding.instrument, funding.amount),
        (Some(InstrumentId(10)), Money::from_num(Num::new(-25, 2)))
    );
    // An expired key means a new connection.
    rig.frame(conn::PRIVATE, r#"{"e":"listenKeyExpired","E":1,"listenKey":"xxxx"}"#);
    let seen = rig.take();
    assert_eq!((seen.closes(), seen.sessions()), (vec![2], vec![(SessionRole::Account, false)]));
}

#[test]
fn stopping_closes_everything_and_nothing_comes_back() {
    let mut rig = trading();
    rig.take();
    for index in [conn::PUBLIC, conn::MARKET, conn::API] {
        rig.up(index);
    }
    rig.take();
    rig.adapter.on_stop(rig.at(), &mut rig.out);
    assert_eq!(rig.take().closes(), [0, 1, 2, 3]);
    for index in 0..4 {
        rig.down(index);
    }
    rig.take();
    assert!(rig.wait(60 * SECOND).actions().is_empty());
}

#[test]
fn over_http_orders_are_ready_while_the_account_is_and_replies_are_told_by_their_request() {
    let mut rig = account_up(Rig::over_http(), &[0, 1]);
    let seen = rig.take();
    assert_eq!(seen.sessions(), [(SessionRole::Account, true), (SessionRole::Orders, true)]);
    let mut reply = |call, status, body: &str| {
        rig.http(HttpId::of_order(call, client(9)), status, body);
        let seen = rig.take();
        (seen.reports().first().map(|report| (report.kind, report.reject, report.client_id)), seen.odds())
    };
    let order = format!(
        r#"{{"orderId":55,"symbol":"BTCUSDT","status":"FILLED","clientOrderId":"{}","executedQty":"1.000","side":"BUY","updateTime":6}}"#,
        client(9)
    );
    let none = ClientId::NONE;
    for (call, status, body, report, odds) in [
        // An accepted order is acknowledged, whatever its status: the stream tells the rest.
        (
            OrderCall::Place,
            200,
            order.as_str(),
            Some((ReportKind::Acked, RejectClass::None, client(9))),
            vec![],
        ),
        (OrderCall::Cancel, 200, &order, Some((ReportKind::Filled, RejectClass::None, client(9))), vec![]),
        (
            OrderCall::Place,
            400,
            r#"{"code":-2019,"msg":"Margin is insufficient."}"#,
            Some((ReportKind::Rejected, RejectClass::Margin, none)),
            vec![],
        ),
        (
            OrderCall::Cancel,
            400,
            r#"{"code":-2011,"msg":"Unknown order sent."}"#,
            Some((ReportKind::CancelRejected, RejectClass::NotFound, none)),
            vec![],
        ),
        (
            OrderCall::Query,
            400,
            r#"{"code":-2013,"msg":"Order does not exist."}"#,
            Some((ReportKind::NotFound, RejectClass::NotFound, none)),
            vec![],
        ),
        (OrderCall::Query, 500, "", None, vec![OddKind::Refused]),
        // Nothing was said, or nothing that can be read: the venue may have done it.
        (OrderCall::Place, 0, "", Some((ReportKind::Rejected, RejectClass::UnknownOutcome, none)), vec![]),
        (
            OrderCall::Place,
            503,
            "<html>",
            Some((ReportKind::Rejected, RejectClass::UnknownOutcome, none)),
            vec![],
        ),
        (
            OrderCall::Place,
            200,
            "{}",
            Some((ReportKind::Rejected, RejectClass::UnknownOutcome, none)),
            vec![OddKind::Malformed],
        ),
        (
            OrderCall::Cancel,
            0,
            "",
            Some((ReportKind::CancelRejected, RejectClass::UnknownOutcome, none)),
            vec![],
        ),
        (OrderCall::Query, 0, "", None, vec![]),
    ] {
        assert_eq!(reply(call, status, body), (report, odds), "{call:?} {status} {body}");
    }
    rig.down(conn::PRIVATE);
    assert_eq!(
        rig.take().sessions(),
        [(SessionRole::Account, false), (SessionRole::Orders, false)],
        "fills would not be heard"
    );
}

#[test]
fn a_query_that_finds_fills_over_http_asks_for_them() {
    let mut rig = account_up(Rig::over_http(), &[0, 1]);
    rig.take();
    let order = format!(
        r#"{{"orderId":55,"symbol":"BTCUSDT","status":"FILLED","clientOrderId":"{}","executedQty":"1.000","side":"BUY","updateTime":6}}"#,
        client(9)
    );
    rig.http(HttpId::of_order(OrderCall::Query, client(9)), 200, &order);
    let asked = rig.wait(SECOND).http(op::USER_TRADES);
    assert!(asked.iter().any(|(_, what)| what.arg == 55), "{asked:?}");
}

#[test]
fn locks_are_read_slowly_and_at_once_after_a_refusal_that_speaks_of_them() {
    let mut rig = account_up(Rig::over_http(), &[0, 1]);
    rig.take();
    let locked = r#"{"indicators":{"BTCUSDT":[{"isLocked":true,"plannedRecoverTime":1790757203000,"indicator":"UFR","value":0.997,"triggerValue":0.995}]},"updateTime":1}"#;
    assert!(rig.wait(30 * SECOND).http(op::INDICATORS).is_empty());
    let refusal = r#"{"code":-4400,"msg":"Futures Trading Quantitative Rules violated"}"#;
    rig.http(HttpId::of_order(OrderCall::Place, client(9)), 400, refusal);
    let asked = rig.wait(20 * MILLI).http(op::INDICATORS);
    rig.http(asked.first().expect("at once").0, 200, locked);
    let seen = rig.take();
    let lock = |event: &EventBody| matches!(event, EventBody::Lock(lock) if lock.instrument == InstrumentId(10) && lock.until == 1_790_757_203_000 * MILLI);
    assert!(seen.events().iter().any(lock), "{seen:?}");
    rig.http(HttpId::of_order(OrderCall::Place, client(10)), 400, refusal);
    assert!(rig.wait(900 * MILLI).http(op::INDICATORS).is_empty(), "no more than once a second");
    assert_eq!(rig.wait(200 * MILLI).http(op::INDICATORS).len(), 1);
}

#[test]
fn a_refusal_for_the_price_has_the_band_read_up() {
    let mut rig = account_up(Rig::over_http(), &[0, 1]);
    // The question of the start is given up and asked again.
    let asked = rig.wait(20 * SECOND).http(op::EXCHANGE_INFO);
    rig.http(asked.first().expect("asked again").0, 200, r#"{"symbols":[]}"#);
    let refusal = r#"{"code":-4016,"msg":"Limit price can't be higher than 1."}"#;
    rig.http(HttpId::of_order(OrderCall::Place, client(9)), 400, refusal);
    assert_eq!(rig.wait(1_100 * MILLI).http(op::EXCHANGE_INFO).len(), 1);
}

#[test]
fn each_listings_switch_counts_as_armed_from_the_venues_word_on_until_it_is_lost() {
    use crate::domain::standing::Check;
    let mut context = context(true);
    context.params.dead_man_ns = 60 * SECOND;
    let fresh = Rig { adapter: BinanceAdapter::new(&USDM, &context), ..Rig::new(true) };
    let mut rig = account_up(fresh, &[0, 1, 3]);
    // The first listing's request left on the way here and is not answered.
    rig.take();
    let stated = |seen: &Seen| -> Vec<(u16, i64, bool)> {
        let of = |event| match event {
            EventBody::Check(check) if check.check == Check::DeadMan => {
                Some((check.listing.map_or(0, |id| id.0), check.stated, check.passed))
            }
            _ => None,
        };
        seen.events().into_iter().filter_map(of).collect()
    };
    let next = |rig: &mut Rig| {
        for _ in 0..600 {
            let seen = rig.wait(100 * MILLI);
            assert_eq!(stated(&seen), []);
            if let Some((id, what)) = seen.http(op::COUNTDOWN).first() {
                return (*id, what.instrument.map_or(0, |id| id.0));
            }
        }
        panic!("the switch is not asked for any more");
    };
    let answer = |rig: &mut Rig, id, status, body: &str| {
        rig.http(id, status, body);
        stated(&rig.take())
    };
    let (id, listing) = next(&mut rig);
    assert_eq!(listing, 11, "the others do not wait");
    let armed = |symbol: &str| format!(r#"{{"symbol":"{symbol}","countdownTime":"60000"}}"#);
    assert_eq!(answer(&mut rig, id, 200, &armed("ETHUSDT")), [(11, 1, true)]);
    let (id, listing) = next(&mut rig);
    assert_eq!((listing, answer(&mut rig, id, 200, &armed("ETHUSDT"))), (10, vec![]), "the other one");
    let (id, listing) = next(&mut rig);
    assert_eq!((listing, answer(&mut rig, id, 200, &armed("ETHUSDT"))), (11, vec![]), "no news");
    let (id, listing) = next(&mut rig);
    assert_eq!((listing, answer(&mut rig, id, 200, &armed("BTCUSDT"))), (10, vec![(10, 1, true)]));
    let (id, listing) = next(&mut rig);
    assert_eq!((listing, answer(&mut rig, id, 400, "{}")), (11, vec![(11, 2, false)]), "refused");
    let (id, listing) = next(&mut rig);
    let zero = armed("BTCUSDT").replace("60000", "0");
    assert_eq!((listing, answer(&mut rig, id, 200, &zero)), (10, vec![(10, 2, false)]), "disarmed");
}
