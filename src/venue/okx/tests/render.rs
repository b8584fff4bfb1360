//! Rendered requests: exact bytes, and signatures that match the documented vectors once holes are filled.

use super::*;
use crate::domain::effect::{HoleKind, MessageId, OutMeta, Payload, SignScheme, Target, VenueCall};
use crate::domain::event::Seq;
use crate::domain::instrument::Price;
use crate::domain::intent::OrderRef;
use crate::domain::order::{ClientId, OrderSpec, Side, TimeInForce};
use crate::venue::okx::calls::{self, call, call_arg, call_for};
use crate::venue::{Dialect as _, Encoder, Rendered};
use ring::hmac;

const SECRET: &str = "chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO";
const DOC_SECRET: &str = "22582BD0CFF14C41EDBF1AB98506286D";

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |w, (i, b)| w | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize] as char;
            text.push(if i <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

fn sign(secret: &str, text: &[u8]) -> String {
    base64(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text).as_ref())
}

/// What the gateway would send: holes filled by rising offset.
fn filled(payload: &Payload, secret: &str) -> String {
    assert!(payload.signed_holes().is_empty());
    let (mut text, mut from) = (String::new(), 0);
    for hole in payload.text_holes() {
        let at = usize::from(hole.at);
        text += std::str::from_utf8(&payload.text()[from..at]).unwrap();
        text += &match hole.kind {
            HoleKind::ApiKey => "KEY".into(),
            HoleKind::Passphrase => "PASS".into(),
            HoleKind::Signature => {
                assert_eq!(payload.scheme, SignScheme::HmacSha256Base64);
                sign(secret, payload.sign_text())
            }
            HoleKind::Slot(_) => panic!("no slots here"),
        };
        from = at;
    }
    text + std::str::from_utf8(&payload.text()[from..]).unwrap()
}

fn encoder() -> Box<dyn Encoder> {
    let mut encoder = crate::venue::okx::Okx.encoder(&context(true));
    encoder.on_instrument(&instrument(BTC, "BTC-USDT-SWAP", 10459, 1));
    encoder.on_instrument(&instrument(ETH, "ETH-USDT-SWAP", 0, 1));
    encoder
}

fn meta() -> OutMeta {
    OutMeta {
        amends: false,
        replaces: ClientId::NONE,
        message: MessageId(1),
        cause: Seq(1),
        cause_mono: 0,
        age_max: 0,
        target: Target::Socket(ORDERS),
        epoch: 1,
        urgent: false,
        order: None,
    }
}

fn sent(what: VenueCall, now: Stamp) -> Payload {
    let mut payload = Payload::new();
    encoder().send(ACCOUNT, what, now, &mut payload).unwrap();
    payload
}

fn requested(what: VenueCall) -> Payload {
    let mut payload = Payload::new();
    assert_eq!(encoder().http(what, at(0), &mut payload), Ok(None));
    payload
}

#[test]
fn documented_signatures_come_out() {
    let payload = requested(call(calls::BALANCE));
    assert_eq!(payload.sign_text(), b"2020-12-08T09:08:57.715ZGET/api/v5/account/balance");
    assert_eq!(
        filled(&payload, SECRET),
        "GET /api/v5/account/balance\nOK-ACCESS-KEY: KEY\nOK-ACCESS-SIGN: PJ61e1nb2F2Qd7D8SPiaIcx2gjdELc+o0ygzre9z33k=\n\
         OK-ACCESS-TIMESTAMP: 2020-12-08T09:08:57.715Z\nOK-ACCESS-PASSPHRASE: PASS\nContent-Type: application/json\n\n"
    );
    let payload = sent(call(calls::LOGIN), Stamp { mono: 0, wall: 1_538_054_050_999_000_000 });
    assert_eq!(
        filled(&payload, DOC_SECRET),
        r#"{"op":"login","args":[{"apiKey":"KEY","passphrase":"PASS","timestamp":"1538054050","sign":"+LdIr8lkkvhr5hoA3g9TMC0+uQJ849ftAcocA/ouu4M="}]}"#
    );
    // The helper itself against the other two vectors, whose requests this engine never makes.
    let query = b"2020-12-08T09:08:57.715ZGET/api/v5/account/balance?ccy=BTC";
    assert_eq!(sign(DOC_SECRET, query), "HiZhvSfMtWJA3uUIVXV3a/bSXNPCWvYFXoGCVS8V4zY=");
    let post = br#"2020-12-08T09:08:57.715ZPOST/api/v5/trade/order{"instId":"BTC-USD-200925","tdMode":"isolated","side":"buy","ordType":"limit","px":"432.11","sz":"2"}"#;
    assert_eq!(sign(SECRET, post), "nEpHMx6gZYYjWVfzXtwccJAPmWrrmDHvV4cNsi10d6o=");
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
        qty: Qty(1_50),
        price: Price(61_000_100),
        tif: TimeInForce::Ioc,
        reduce_only: false,
    };
    assert_eq!(encoder.order(&order, &meta(), at(0), &mut payload), Ok(Rendered::Socket(ORDERS)));
    assert_eq!(
        filled(&payload, SECRET),
        r#"{"id":"00000000000000030000000000000abc","op":"order","expTime":"1607418538715","args":[{"instIdCode":10459,"tdMode":"cross","side":"buy","ordType":"ioc","px":"61000.1","sz":"1.5","clOrdId":"00000000000000030000000000000abc","stpMode":"cancel_maker"}]}"#
    );
    assert_eq!(payload.scheme, SignScheme::None);
    let exit =
        OrderSpec { instrument: ETH, side: Side::Sell, tif: TimeInForce::Fok, reduce_only: true, ..order };
    encoder.order(&exit, &meta(), at(0), &mut payload).unwrap();
    assert_eq!(
        filled(&payload, SECRET),
        r#"{"id":"00000000000000030000000000000abc","op":"order","expTime":"1607418542715","args":[{"instId":"ETH-USDT-SWAP","tdMode":"cross","side":"sell","ordType":"fok","px":"61000.1","sz":"1.5","clOrdId":"00000000000000030000000000000abc","reduceOnly":true,"stpMode":"cancel_maker"}]}"#
    );
    // A hedge must not be refused for being a second late.
    encoder.order(&order, &OutMeta { urgent: true, ..meta() }, at(0), &mut payload).unwrap();
    assert!(filled(&payload, SECRET).contains("\"expTime\":\"1607418542715\""));
    for (tif, name) in [(TimeInForce::Gtc, "limit"), (TimeInForce::PostOnly, "post_only")] {
        encoder.order(&OrderSpec { tif, ..order }, &meta(), at(0), &mut payload).unwrap();
        assert!(filled(&payload, SECRET).contains(&format!("\"ordType\":\"{name}\"")));
    }
    let unknown = OrderSpec { instrument: InstrumentId(77), ..order };
    assert!(encoder.order(&unknown, &meta(), at(0), &mut payload).is_err());

    let named = OrderRef { client_id: ClientId::new(3, 0xabc), venue: VenueId(1), instrument: BTC };
    assert_eq!(encoder.cancel(&named, &meta(), at(0), &mut payload), Ok(Rendered::Socket(ORDERS)));
    assert_eq!(
        filled(&payload, SECRET),
        r#"{"id":"x0000000000000030000000000000abc","op":"cancel-order","args":[{"instIdCode":10459,"clOrdId":"00000000000000030000000000000abc"}]}"#
    );
    assert_eq!(encoder.query(&named, &meta(), at(0), &mut payload), Ok(Rendered::Http));
    let path = "/api/v5/trade/order?instId=BTC-USDT-SWAP&clOrdId=00000000000000030000000000000abc";
    assert_eq!(payload.sign_text(), format!("2020-12-08T09:08:57.715ZGET{path}").as_bytes());
    assert!(filled(&payload, SECRET).starts_with(&format!("GET {path}\n")));
}

#[test]
fn session_messages_and_requests_are_rendered_exactly() {
    let text = |what| String::from_utf8(sent(what, at(0)).text().to_vec()).unwrap();
    assert_eq!(text(call(calls::PING)), "ping");
    assert_eq!(
        text(call_for(calls::UNSUBSCRIBE_BOOK, ETH)),
        r#"{"op":"unsubscribe","args":[{"channel":"books","instId":"ETH-USDT-SWAP"}]}"#
    );
    let market: serde_json::Value =
        serde_json::from_str(&text(call_arg(calls::SUBSCRIBE_MARKET, calls::range(0, 2, true)))).unwrap();
    assert_eq!(market["args"].as_array().unwrap().len(), 15);
    assert_eq!(market["args"][8], serde_json::json!({"channel": "books", "instId": "ETH-USDT-SWAP"}));
    assert_eq!(market["args"][12], serde_json::json!({"channel": "index-tickers", "instId": "ETH-USDT"}));
    assert_eq!(market["args"][14], serde_json::json!({"channel": "instruments", "instType": "SWAP"}));
    let account: serde_json::Value = serde_json::from_str(&text(call(calls::SUBSCRIBE_ACCOUNT))).unwrap();
    assert_eq!(account["args"].as_array().unwrap().len(), calls::ACCOUNT_CHANNELS as usize);
    let line =
        |what| String::from_utf8(requested(what).text().to_vec()).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(
        requested(call(calls::INSTRUMENTS)).text(),
        b"GET /api/v5/public/instruments?instType=SWAP\n\n"
    );
    assert_eq!(line(call_arg(calls::PENDING, 7)), "GET /api/v5/trade/orders-pending?instType=SWAP&after=7");
    assert_eq!(
        line(call_arg(calls::LEVERAGE, 0)),
        "GET /api/v5/account/leverage-info?instId=BTC-USDT-SWAP,ETH-USDT-SWAP&mgnMode=cross"
    );
    let switch = requested(call_arg(calls::DEAD_MAN, 60));
    assert_eq!(
        switch.sign_text(),
        br#"2020-12-08T09:08:57.715ZPOST/api/v5/trade/cancel-all-after{"timeOut":"60"}"#
    );
    assert!(switch.text().ends_with(b"\n\n{\"timeOut\":\"60\"}"));
    assert_eq!(line(call(calls::POSITIONS)), "GET /api/v5/account/positions?instType=SWAP");
    let mut payload = Payload::new();
    for (conn, path) in [(PUBLIC, "/ws/v5/public"), (ACCOUNT, "/ws/v5/private"), (ORDERS, "/ws/v5/private")] {
        encoder().connect(conn, None, &mut payload).unwrap();
        assert_eq!(payload.text(), path.as_bytes());
    }
}

#[test]
fn the_largest_subscription_fits_a_payload() {
    let mut context = context(false);
    let symbol = Symbol::new("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF").unwrap();
    let listing = ListingParams { symbol, ..context.listings[0] };
    context.listings = vec![listing; calls::LISTINGS_PER_BATCH];
    let mut payload = Payload::new();
    let what = call_arg(calls::SUBSCRIBE_MARKET, calls::range(0, calls::LISTINGS_PER_BATCH, true));
    crate::venue::okx::Okx.encoder(&context).send(PUBLIC, what, at(0), &mut payload).unwrap();
}

#[test]
fn over_http_an_order_is_the_same_but_for_its_envelope() {
    let mut context = context(true);
    context.params.orders = crate::domain::params::OrderRoute::Http;
    let mut encoder = crate::venue::okx::Okx.encoder(&context);
    encoder.on_instrument(&instrument(BTC, "BTC-USDT-SWAP", 10459, 1));
    let mut payload = Payload::new();
    let id = ClientId::new(3, 0xabc);
    let order = OrderSpec {
        client_id: id,
        venue: VenueId(1),
        instrument: BTC,
        side: Side::Buy,
        qty: Qty(1_50),
        price: Price(61_000_100),
        tif: TimeInForce::Ioc,
        reduce_only: false,
    };
    let head = |path: &str, sign: &str, more: &str| {
        format!(
            "POST {path}\nOK-ACCESS-KEY: KEY\nOK-ACCESS-SIGN: {sign}\nOK-ACCESS-TIMESTAMP: 2020-12-08T09:08:57.715Z\n\
             OK-ACCESS-PASSPHRASE: PASS\nContent-Type: application/json\n{more}\n"
        )
    };
    let stamp = "2020-12-08T09:08:57.715Z";
    assert_eq!(encoder.order(&order, &meta(), at(0), &mut payload), Ok(Rendered::Http));
    let body = r#"{"instId":"BTC-USDT-SWAP","tdMode":"cross","side":"buy","ordType":"ioc","px":"61000.1","sz":"1.5","clOrdId":"00000000000000030000000000000abc","stpMode":"cancel_maker"}"#;
    let path = "/api/v5/trade/order";
    let signature = sign(SECRET, format!("{stamp}POST{path}{body}").as_bytes());
    let expected = head(path, &signature, "expTime: 1607418538715\n") + body;
    assert_eq!(filled(&payload, SECRET), expected);
    // A reduction and a hedge have a later one, whatever is configured.
    let reduction = OrderSpec { reduce_only: true, ..order };
    let hedging = OutMeta { urgent: true, ..meta() };
    for (order, meta) in [(&reduction, meta()), (&reduction, hedging), (&order, hedging)] {
        encoder.order(order, &meta, at(0), &mut payload).unwrap();
        let text = filled(&payload, SECRET);
        assert_eq!(text.contains(",\"reduceOnly\":true,"), order.reduce_only, "{text}");
        assert!(text.contains("\nexpTime: 1607418542715\n"), "{text}");
    }
    let mut unlimited = context.clone();
    unlimited.params.order_valid_ms = 0;
    let mut lasting = crate::venue::okx::Okx.encoder(&unlimited);
    lasting.on_instrument(&instrument(BTC, "BTC-USDT-SWAP", 10459, 1));
    for order in [&reduction, &order] {
        lasting.order(order, &meta(), at(0), &mut payload).unwrap();
        assert!(filled(&payload, SECRET).contains("\nexpTime: 1607418542715\n"));
    }
    // The way of orders may change, and back.
    encoder.take_route(crate::domain::params::OrderRoute::Websocket);
    assert!(matches!(encoder.order(&reduction, &meta(), at(0), &mut payload), Ok(Rendered::Socket(_))));
    let lasting = "\"expTime\":\"1607418542715\"";
    assert!(filled(&payload, SECRET).contains(lasting), "a connection may break behind it");
    encoder.take_route(crate::domain::params::OrderRoute::Http);
    let reference = OrderRef { client_id: id, venue: VenueId(1), instrument: BTC };
    assert_eq!(encoder.cancel(&reference, &meta(), at(0), &mut payload), Ok(Rendered::Http));
    let body = r#"{"instId":"BTC-USDT-SWAP","clOrdId":"00000000000000030000000000000abc"}"#;
    let path = "/api/v5/trade/cancel-order";
    let signature = sign(SECRET, format!("{stamp}POST{path}{body}").as_bytes());
    assert_eq!(filled(&payload, SECRET), head(path, &signature, "") + body);
}

#[test]
fn amendments_say_price_and_total_and_never_cancel() {
    let mut payload = Payload::new();
    let order = OrderSpec {
        client_id: ClientId::new(3, 0xabc),
        venue: VenueId(1),
        instrument: BTC,
        qty: Qty(1_50),
        price: Price(61_000_100),
        tif: TimeInForce::Gtc,
        ..OrderSpec::default()
    };
    let to = Ok(Some(Rendered::Socket(ORDERS)));
    assert_eq!(encoder().amend(&order, &meta(), at(0), &mut payload), to);
    assert_eq!(
        filled(&payload, SECRET),
        r#"{"id":"m0000000000000030000000000000abc","op":"amend-order","expTime":"1607418538715","args":[{"instIdCode":10459,"clOrdId":"00000000000000030000000000000abc","reqId":"00000000000000030000000000000abc","newSz":"1.5","newPx":"61000.1","cxlOnFail":false}]}"#
    );
    let mut context = context(true);
    context.params.orders = crate::domain::params::OrderRoute::Http;
    let mut encoder = crate::venue::okx::Okx.encoder(&context);
    encoder.on_instrument(&instrument(BTC, "BTC-USDT-SWAP", 10459, 1));
    let reduction = OrderSpec { reduce_only: true, ..order };
    assert_eq!(encoder.amend(&reduction, &meta(), at(0), &mut payload), Ok(Some(Rendered::Http)));
    let body = r#"{"instId":"BTC-USDT-SWAP","clOrdId":"00000000000000030000000000000abc","reqId":"00000000000000030000000000000abc","newSz":"1.5","newPx":"61000.1","cxlOnFail":false}"#;
    assert!(filled(&payload, SECRET).starts_with("POST /api/v5/trade/amend-order\n"));
    assert_eq!(
        payload.sign_text(),
        format!("2020-12-08T09:08:57.715ZPOST/api/v5/trade/amend-order{body}").as_bytes()
    );
}
