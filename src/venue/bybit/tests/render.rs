//! Rendered requests: exact bytes, and signatures that match the recomputed vectors once holes are filled.

use super::*;
use crate::domain::effect::{Hole, HoleKind, MessageId, OutMeta, Payload, SignScheme, Target, VenueCall};
use crate::domain::event::Seq;
use crate::domain::instrument::Price;
use crate::domain::intent::OrderRef;
use crate::domain::order::{ClientId, OrderSpec, Side, TimeInForce};
use crate::venue::bybit::calls::{self, call, call_for};
use crate::venue::{Dialect as _, Encoder, Rendered};
use ring::hmac;

fn spliced(text: &[u8], base: usize, holes: &[Hole], value: impl Fn(HoleKind) -> String) -> String {
    let (mut out, mut from) = (String::new(), 0);
    for hole in holes {
        let at = usize::from(hole.at) - base;
        out += std::str::from_utf8(&text[from..at]).unwrap();
        out += &value(hole.kind);
        from = at;
    }
    out + std::str::from_utf8(&text[from..]).unwrap()
}

fn value(kind: HoleKind) -> String {
    match kind {
        HoleKind::ApiKey => "test_api_key".into(),
        HoleKind::Slot(slot) => format!("cursor{}", slot.0),
        other => panic!("{other:?}"),
    }
}

/// What the gateway would send.
fn filled(payload: &Payload) -> String {
    let base = usize::from(payload.text_len);
    let signed = spliced(payload.sign_text(), base, payload.signed_holes(), value);
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"test_secret");
    let tag = hmac::sign(&key, signed.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    spliced(payload.text(), 0, payload.text_holes(), |kind| match kind {
        HoleKind::Signature => {
            assert_eq!(payload.scheme, SignScheme::HmacSha256Hex);
            hex.clone()
        }
        other => value(other),
    })
}

fn encoder() -> Box<dyn Encoder> {
    let mut encoder = crate::venue::bybit::Bybit.encoder(&context(true));
    encoder.on_instrument(&instrument(BTC, "BTCUSDT", 1));
    encoder
}

fn meta(message: u64) -> OutMeta {
    OutMeta {
        amends: false,
        replaces: ClientId::NONE,
        message: MessageId(message),
        cause: Seq(1),
        cause_mono: 0,
        age_max: 0,
        target: Target::Socket(ORDERS),
        epoch: 1,
        urgent: false,
        order: None,
    }
}

fn sent(what: VenueCall, now: Stamp) -> String {
    let mut payload = Payload::new();
    encoder().send(ACCOUNT, what, now, &mut payload).unwrap();
    filled(&payload)
}

#[test]
fn authentication_signs_the_expiry() {
    // The vector's expiry is ten seconds after this.
    let now = Stamp { mono: 0, wall: 1_699_999_990_000 * 1_000_000 };
    assert_eq!(
        sent(call(calls::AUTH), now),
        r#"{"op":"auth","args":["test_api_key",1700000000000,"bacffe7500499eb829bb58c45d36d1b3e5ac67c14eaeba91df5e99ccee013925"]}"#
    );
}

#[test]
fn http_requests_sign_time_key_window_and_query_with_the_cursor() {
    let mut payload = Payload::new();
    let next = VenueCall { op: calls::PENDING, arg: calls::page(1, true), instrument: None };
    let redact = encoder().http(next, at(0), &mut payload).unwrap().unwrap();
    assert_eq!((redact.slot, redact.key.as_str()), (SecretSlot(5), "nextPageCursor"));
    let query = "category=linear&settleCoin=USDC&limit=50&cursor=cursor5";
    let base = usize::from(payload.text_len);
    assert_eq!(
        spliced(payload.sign_text(), base, payload.signed_holes(), value),
        format!("1700000000000test_api_key5000{query}")
    );
    let text = filled(&payload);
    assert!(text.starts_with(&format!("GET /v5/order/realtime?{query}\nX-BAPI-API-KEY: test_api_key\nX-BAPI-TIMESTAMP: 1700000000000\nX-BAPI-RECV-WINDOW: 5000\nX-BAPI-SIGN: ")), "{text}");
    assert!(text.ends_with("\n\n"));
    for (what, line) in [
        (call(calls::INSTRUMENTS), "GET /v5/market/instruments-info?category=linear&limit=1000"),
        (call(calls::POSITIONS), "GET /v5/position/list?category=linear&settleCoin=USDT&limit=200"),
        (call_for(calls::FILLS, BTC), "GET /v5/execution/list?category=linear&symbol=BTCUSDT&limit=100"),
        (call(calls::BALANCE), "GET /v5/account/wallet-balance?accountType=UNIFIED"),
        (call(calls::TIME), "GET /v5/market/time"),
        (call(calls::INFO), "GET /v5/account/info"),
        (call(calls::FEE), "GET /v5/account/fee-rate?category=linear"),
        (call_for(calls::LEVERAGE, ETH), "GET /v5/position/list?category=linear&symbol=ETHUSDT"),
        (call(calls::FOREIGN), "GET /v5/order/realtime?category=linear&settleCoin=USDT&limit=50"),
        (call(calls::DEAD_MAN), "GET /v5/account/query-dcp-info"),
    ] {
        encoder().http(what, at(0), &mut payload).unwrap();
        assert_eq!(filled(&payload).lines().next(), Some(line));
    }
}

#[test]
fn a_body_is_signed_and_a_key_that_comes_back_is_kept_nowhere() {
    let mut payload = Payload::new();
    let set = VenueCall { op: calls::SET_DEAD_MAN, arg: 60, instrument: None };
    assert_eq!(encoder().http(set, at(0), &mut payload), Ok(None));
    let body = r#"{"product":"DERIVATIVES","timeWindow":60}"#;
    let base = usize::from(payload.text_len);
    assert_eq!(
        spliced(payload.sign_text(), base, payload.signed_holes(), value),
        format!("1700000000000test_api_key5000{body}")
    );
    let text = filled(&payload);
    assert!(
        text.starts_with("POST /v5/order/disconnected-cancel-all\nX-BAPI-API-KEY: test_api_key\n"),
        "{text}"
    );
    assert!(text.ends_with(&format!("\nContent-Type: application/json\n\n{body}")), "{text}");
    let redact = encoder().http(call(calls::KEY), at(0), &mut payload).unwrap().unwrap();
    assert_eq!((redact.slot, redact.key.as_str()), (SecretSlot::NOWHERE, "apiKey"));
    assert_eq!(filled(&payload).lines().next(), Some("GET /v5/user/query-api"));
    let base = usize::from(payload.text_len);
    assert_eq!(
        spliced(payload.sign_text(), base, payload.signed_holes(), value),
        "1700000000000test_api_key5000"
    );
}

#[test]
fn orders_and_cancels_are_rendered_exactly() {
    let mut encoder = encoder();
    let mut payload = Payload::new();
    let order = OrderSpec {
        client_id: ClientId::new(3, 0xabc),
        venue: VenueId(1),
        instrument: BTC,
        side: Side::Buy,
        qty: Qty(1_500),
        price: Price(61_000_100),
        tif: TimeInForce::Ioc,
        reduce_only: false,
    };
    assert_eq!(encoder.order(&order, &meta(1), at(0), &mut payload), Ok(Rendered::Socket(ORDERS)));
    assert_eq!(
        filled(&payload),
        r#"{"reqId":"00000000000000030000000000000abc","header":{"X-BAPI-TIMESTAMP":"1700000000000","X-BAPI-RECV-WINDOW":"1000"},"op":"order.create","args":[{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"1.5","price":"61000.1","timeInForce":"IOC","orderLinkId":"00000000000000030000000000000abc","positionIdx":0,"reduceOnly":false,"smpType":"CancelMaker"}]}"#
    );
    let exit = OrderSpec { side: Side::Sell, reduce_only: true, ..order };
    encoder.order(&exit, &meta(1), at(0), &mut payload).unwrap();
    let text = filled(&payload);
    assert!(text.contains(r#""reduceOnly":true"#) && text.contains(r#"WINDOW":"5000""#), "{text}");
    for instrument in [ETH, InstrumentId(77)] {
        // Not defined, not ours.
        assert!(encoder.order(&OrderSpec { instrument, ..order }, &meta(1), at(0), &mut payload).is_err());
    }
    let named = OrderRef { client_id: ClientId::new(3, 0xabc), venue: VenueId(1), instrument: BTC };
    encoder.cancel(&named, &meta(0x1005), at(0), &mut payload).unwrap();
    assert_eq!(
        filled(&payload),
        r#"{"reqId":"00000000000000030000000000000abcx005","header":{"X-BAPI-TIMESTAMP":"1700000000000","X-BAPI-RECV-WINDOW":"5000"},"op":"order.cancel","args":[{"category":"linear","symbol":"BTCUSDT","orderLinkId":"00000000000000030000000000000abc"}]}"#
    );
    let resting = OrderSpec { tif: TimeInForce::Gtc, ..order };
    let to = Ok(Some(Rendered::Socket(ORDERS)));
    assert_eq!(encoder.amend(&resting, &meta(0x1005), at(0), &mut payload), to);
    assert_eq!(
        filled(&payload),
        r#"{"reqId":"00000000000000030000000000000abcm005","header":{"X-BAPI-TIMESTAMP":"1700000000000","X-BAPI-RECV-WINDOW":"1000"},"op":"order.amend","args":[{"category":"linear","symbol":"BTCUSDT","orderLinkId":"00000000000000030000000000000abc","qty":"1.5","price":"61000.1"}]}"#
    );
    assert_eq!(encoder.query(&named, &meta(1), at(0), &mut payload), Ok(Rendered::Http));
    let path = "GET /v5/order/realtime?category=linear&symbol=BTCUSDT&orderLinkId=00000000000000030000000000000abc\n";
    assert!(filled(&payload).starts_with(path));
}

#[test]
fn session_messages_are_rendered_exactly() {
    assert_eq!(sent(call(calls::PING), at(0)), r#"{"op":"ping"}"#);
    assert_eq!(
        sent(call_for(calls::SUBSCRIBE_MARKET, ETH), at(0)),
        r#"{"req_id":"m1","op":"subscribe","args":["orderbook.1.ETHUSDT","orderbook.50.ETHUSDT","publicTrade.ETHUSDT","tickers.ETHUSDT","priceLimit.ETHUSDT"]}"#
    );
    assert_eq!(
        sent(call_for(calls::UNSUBSCRIBE_BOOK, BTC), at(0)),
        r#"{"req_id":"u0","op":"unsubscribe","args":["orderbook.50.BTCUSDT"]}"#
    );
    assert_eq!(
        sent(call(calls::SUBSCRIBE_ACCOUNT), at(0)),
        r#"{"req_id":"m","op":"subscribe","args":["order","execution","position","wallet"]}"#
    );
    assert_eq!(
        sent(call(calls::SUBSCRIBE_DEAD_MAN), at(0)),
        r#"{"req_id":"d","op":"subscribe","args":["dcp.future"]}"#
    );
    let mut payload = Payload::new();
    for (conn, path) in [(PUBLIC, "/v5/public/linear"), (ACCOUNT, "/v5/private"), (ORDERS, "/v5/trade")] {
        encoder().connect(conn, None, &mut payload).unwrap();
        assert_eq!(payload.text(), path.as_bytes());
    }
}
