//! Fills that the user stream did not tell: status → request → trades → reports.

use super::account::trading;
use super::*;
use crate::venue::binance::orders::{Request, RequestId};

const TRADES: &str = r#"[
    {"symbol":"BTCUSDT","id":77,"orderId":55,"side":"SELL","price":"100.4","qty":"0.100","realizedPnl":"0","quoteQty":"10.04","commission":"0.0125","commissionAsset":"USDT","time":8,"positionSide":"BOTH","buyer":false,"maker":true},
    {"symbol":"BTCUSDT","id":78,"orderId":55,"side":"SELL","price":"100.3","qty":"0.150","realizedPnl":"0","quoteQty":"15.045","commission":"-0.5","commissionAsset":"BNB","time":9,"positionSide":"BOTH","buyer":false,"maker":false},
    {"symbol":"BTCUSDT","id":79,"orderId":56,"side":"SELL","price":"100.3","qty":"0.150","commission":"0","commissionAsset":"USDT","time":9,"maker":false}]"#;

/// The reply to a request about order 55 of `client(3)`.
fn reply(request: Request, status: &str, executed: &str) -> String {
    let id = RequestId { request, client_id: client(3) }.bytes();
    format!(
        r#"{{"id":"{}","status":200,"result":{{"orderId":55,"symbol":"BTCUSDT","status":"{status}","clientOrderId":"x","executedQty":"{executed}","side":"SELL","updateTime":5}}}}"#,
        std::str::from_utf8(&id).unwrap()
    )
}

/// A rig without requests under way: the partially filled order of the reconciliation is answered.
fn quiet() -> Rig {
    let mut rig = trading();
    let asked = rig.wait(SECOND).http(op::USER_TRADES);
    let [(id, what)] = asked[..] else { panic!("only ours that have traded: {asked:?}") };
    assert_eq!((what.arg, what.instrument), (5, Some(InstrumentId(10))));
    rig.http(id, 200, "[]");
    let reports = rig.take().reports();
    assert_eq!((reports.len(), reports[0].kind), (1, ReportKind::PartiallyFilled));
    rig
}

#[test]
fn a_status_with_fills_brings_the_fills_and_then_the_status_again() {
    let mut rig = quiet();
    // A status without fills, an acknowledgement or a cancellation asks for nothing.
    for (request, executed) in [(Request::Query, "0"), (Request::Place, "0.25"), (Request::Cancel, "0.25")] {
        rig.frame(conn::API, &reply(request, "CANCELED", executed));
        assert!(rig.wait(SECOND).http(op::USER_TRADES).is_empty(), "{request:?}");
    }
    // Two answers, one request.
    rig.frame(conn::API, &reply(Request::Query, "PARTIALLY_FILLED", "0.1"));
    let first = rig.wait(20 * MILLI);
    rig.frame(conn::API, &reply(Request::Query, "CANCELED", "0.250"));
    let status = rig.wait(2 * SECOND);
    assert!(status.http(op::USER_TRADES).is_empty(), "one request for each order");
    let [status] = status.reports()[..] else { panic!("{status:?}") };
    let [(id, what)] = first.http(op::USER_TRADES)[..] else { panic!("{first:?}") };
    assert_eq!((what.arg, what.instrument), (55, Some(InstrumentId(10))));
    rig.http(id, 200, TRADES);
    let seen = rig.take();
    assert!(seen.odds().is_empty());
    let [a, b, again] = seen.reports()[..] else { panic!("{seen:?}") };
    for (report, (trade, qty, price, fee, currency, maker)) in
        [(a, (77, 100, 1_004_000, "0.0125", "USDT", true)), (b, (78, 150, 1_003_000, "-0.5", "BNB", false))]
    {
        assert_eq!((report.kind, report.client_id, report.filled), (ReportKind::Acked, client(3), None));
        assert_eq!((report.side, report.venue_order_id), (Some(Side::Sell), 55));
        let fill = report.fill.unwrap();
        assert_eq!((fill.trade_id, fill.qty, fill.price, fill.maker), (trade, Qty(qty), Price(price), maker));
        assert_eq!(fill.fee.unwrap().to_string(), fee);
        assert_eq!(fill.fee_currency, Currency::new(currency).unwrap());
    }
    assert_eq!(again, status);
    // A second copy of the reply means nothing; the next question does.
    rig.http(id, 200, TRADES);
    assert!(rig.take().reports().is_empty());
    rig.frame(conn::API, &reply(Request::Query, "CANCELED", "0.250"));
    assert_eq!(rig.wait(SECOND).http(op::USER_TRADES).len(), 1);
}

#[test]
fn a_busy_venue_is_asked_later_and_a_refusal_is_left_to_the_next_query() {
    let mut rig = quiet();
    rig.frame(conn::API, &reply(Request::Query, "PARTIALLY_FILLED", "0.250"));
    let id = rig.wait(SECOND).http(op::USER_TRADES)[0].0;
    rig.http(id, 429, r#"{"code":-1003,"msg":"m"}"#);
    assert_eq!(rig.take().odds(), [OddKind::Refused]);
    assert!(rig.wait(9 * SECOND).http(op::USER_TRADES).is_empty());
    let id = rig.wait(5 * SECOND).http(op::USER_TRADES)[0].0;
    rig.http(id, 200, TRADES);
    let reports = rig.take().reports();
    assert_eq!(reports.len(), 2, "an old word about a live order is not repeated");
    assert!(reports.iter().all(|report| report.fill.is_some()));

    rig.frame(conn::API, &reply(Request::Query, "FILLED", "0.250"));
    let id = rig.wait(SECOND).http(op::USER_TRADES)[0].0;
    rig.http(id, 400, r#"{"code":-1121,"msg":"Invalid symbol."}"#);
    assert_eq!(rig.take().odds(), [OddKind::Refused]);
    assert!(rig.wait(20 * SECOND).http(op::USER_TRADES).is_empty());

    // A lost session forgets: a late reply is not ours any more.
    rig.frame(conn::API, &reply(Request::Query, "FILLED", "0.250"));
    let id = rig.wait(SECOND).http(op::USER_TRADES)[0].0;
    rig.down(conn::PRIVATE);
    rig.take();
    rig.http(id, 200, TRADES);
    assert!(rig.take().reports().is_empty());
}

#[test]
fn a_reply_that_cannot_be_read_is_odd() {
    for (body, odd) in [
        (TRADES.replace("\"id\":77,", ""), OddKind::Malformed),
        (TRADES.replace("0.100", "0.0001"), OddKind::Inexact),
        (TRADES.replace("BTCUSDT", "ETHUSDT"), OddKind::UnknownSymbol),
    ] {
        let mut rig = quiet();
        rig.frame(conn::API, &reply(Request::Query, "FILLED", "0.250"));
        let id = rig.wait(SECOND).http(op::USER_TRADES)[0].0;
        rig.http(id, 200, &body);
        let seen = rig.take();
        assert_eq!(seen.odds(), [odd]);
        assert!(seen.reports().iter().all(|report| report.kind == ReportKind::Acked));
    }
}
