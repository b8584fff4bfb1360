//! The route side: signatures, parameters, paths, subscriptions.

use super::*;

fn encoder() -> BinanceEncoder {
    let mut encoder = BinanceEncoder::new(&USDM, &context(true));
    encoder.on_instrument(&instrument(0));
    encoder
}

pub(super) fn meta() -> OutMeta {
    OutMeta {
        amends: false,
        replaces: ClientId::NONE,
        message: MessageId(1),
        cause: Seq(1),
        cause_mono: 0,
        age_max: 0,
        target: Target::Socket(ConnId(0)),
        epoch: 0,
        urgent: false,
        order: None,
    }
}

fn splice(bytes: &[u8], from: usize, holes: &[Hole], fill: &dyn Fn(HoleKind) -> String) -> String {
    let (mut text, mut at) = (Vec::new(), 0);
    for hole in holes {
        let to = usize::from(hole.at) - from;
        text.extend_from_slice(&bytes[at..to]);
        text.extend_from_slice(fill(hole.kind).as_bytes());
        at = to;
    }
    text.extend_from_slice(&bytes[at..]);
    String::from_utf8(text).unwrap()
}

/// The signed text and the message, as the gateway makes them.
pub(super) fn finish(payload: &Payload, key: &str, secret: &str) -> (String, String) {
    let keyed = |kind| match kind {
        HoleKind::ApiKey => key.to_owned(),
        HoleKind::Slot(slot) => format!("<slot {}>", slot.0),
        _ => panic!("{kind:?} inside the signed text"),
    };
    let signed = splice(payload.sign_text(), usize::from(payload.text_len), payload.signed_holes(), &keyed);
    let tag = ring::hmac::sign(
        &ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes()),
        signed.as_bytes(),
    );
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = splice(payload.text(), 0, payload.text_holes(), &|kind| match kind {
        HoleKind::Signature => hex.clone(),
        other => keyed(other),
    });
    (signed, text)
}

fn hmac(secret: &str, text: &str) -> String {
    let tag =
        ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes()), text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn spec() -> OrderSpec {
    OrderSpec {
        client_id: client(3),
        instrument: InstrumentId(10),
        side: Side::Sell,
        qty: Qty(10),
        price: Price(520_000_000),
        tif: TimeInForce::Gtc,
        ..OrderSpec::default()
    }
}

#[test]
fn signatures_equal_the_documented_vectors() {
    // Both vectors are the venue documentation's; the second has the shape that the encoder renders.
    assert_eq!(
        hmac(
            "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943"
        ),
        "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
    );
    let secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
    let key = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
    let mut payload = Payload::new();
    let now = Stamp { mono: 0, wall: 1_645_423_376_532 * MILLI };
    assert_eq!(encoder().order(&spec(), &meta(), now, &mut payload), Ok(Rendered::Socket(ConnId(BASE + 3))));
    let (signed, text) = finish(&payload, key, secret);
    assert_eq!(payload.scheme, SignScheme::HmacSha256Hex);
    assert_eq!(
        signed,
        format!(
            "apiKey={key}&newClientOrderId={}&newOrderRespType=ACK&price=52000&quantity=0.01&recvWindow=2000&selfTradePreventionMode=EXPIRE_MAKER&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp=1645423376532&type=LIMIT",
            client(3)
        )
    );
    // Brought to the vector's parameters, our text is the vector's.
    let vector = signed
        .replace(&format!("newClientOrderId={}&", client(3)), "")
        .replace("selfTradePreventionMode=EXPIRE_MAKER&", "")
        .replace("price=52000&", "price=52000.00&")
        .replace("quantity=0.01&", "quantity=0.01000000&")
        .replace("recvWindow=2000", "recvWindow=100");
    assert_eq!(hmac(secret, &vector), "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["method"], "order.place");
    assert_eq!(json["id"], format!("p{}", client(3)));
    assert_eq!(json["params"]["signature"], hmac(secret, &signed));
    assert_eq!(json["params"]["timestamp"], 1_645_423_376_532i64);
    assert_eq!(json["params"]["price"], "52000");
}

#[test]
fn the_signed_text_is_what_the_parameters_say_in_alphabetical_order() {
    let mut encoder = encoder();
    let mut payload = Payload::new();
    let now = Stamp { mono: 0, wall: WALL };
    let reference = OrderRef { client_id: client(3), instrument: InstrumentId(10), ..OrderRef::default() };
    let tifs = [TimeInForce::Ioc, TimeInForce::Fok, TimeInForce::Gtc, TimeInForce::PostOnly];
    let check = |payload: &Payload, method: &str| {
        let (signed, text) = finish(payload, "KEY", "SECRET");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["method"], method);
        assert!(json["id"].as_str().unwrap().len() <= 36);
        let params: Vec<String> = json["params"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| *name != "signature")
            .map(|(name, value)| {
                format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
            .collect();
        let mut sorted = params.clone();
        sorted.sort();
        assert_eq!(signed, sorted.join("&"));
        assert_eq!(json["params"]["signature"], hmac("SECRET", &signed));
        json
    };
    for (tif, name) in tifs.into_iter().zip(["IOC", "FOK", "GTC", "GTX"]) {
        encoder
            .order(
                &OrderSpec { tif, reduce_only: tif == TimeInForce::Ioc, ..spec() },
                &meta(),
                now,
                &mut payload,
            )
            .unwrap();
        let json = check(&payload, "order.place");
        assert_eq!(json["params"]["timeInForce"], name);
        assert_eq!(json["params"]["reduceOnly"].as_str(), (tif == TimeInForce::Ioc).then_some("true"));
    }
    encoder.cancel(&reference, &meta(), now, &mut payload).unwrap();
    assert_eq!(check(&payload, "order.cancel")["params"]["origClientOrderId"], client(3).to_string());
    encoder.query(&reference, &meta(), now, &mut payload).unwrap();
    check(&payload, "order.status");
    assert!(
        encoder
            .order(&OrderSpec { instrument: InstrumentId(11), ..spec() }, &meta(), now, &mut payload)
            .is_err(),
        "undefined"
    );
}

#[test]
fn http_requests_and_paths_are_as_documented() {
    let mut encoder = encoder();
    let mut payload = Payload::new();
    let now = Stamp { mono: 0, wall: WALL };
    let mut http = |op, instrument| {
        let redact = encoder.http(VenueCall { op, arg: 0, instrument }, now, &mut payload).unwrap();
        let (signed, text) = finish(&payload, "KEY", "SECRET");
        (signed, text, redact)
    };
    assert_eq!(http(op::EXCHANGE_INFO, None).1, "GET /fapi/v1/exchangeInfo\n\n");
    assert_eq!(http(op::DEPTH, Some(InstrumentId(11))).1, "GET /fapi/v1/depth?symbol=ETHUSDT&limit=1000\n\n");
    let (_, text, redact) = http(op::LISTEN_KEY, None);
    assert_eq!(text, "POST /fapi/v1/listenKey\nX-MBX-APIKEY: KEY\n\n");
    assert_eq!(
        redact.map(|redact| (redact.slot, redact.key.as_str().to_owned())),
        Some((SecretSlot(8), "listenKey".to_owned()))
    );
    assert_eq!(http(op::LISTEN_KEY_KEEP, None).1, "PUT /fapi/v1/listenKey\nX-MBX-APIKEY: KEY\n\n");
    for (op, path) in [
        (op::OPEN_ORDERS, "v1/openOrders"),
        (op::POSITION_RISK, "v3/positionRisk"),
        (op::BALANCE, "v3/balance"),
    ] {
        let (signed, text, redact) = http(op, None);
        assert_eq!(signed, format!("recvWindow=5000&timestamp={}", WALL / MILLI));
        let signature = hmac("SECRET", &signed);
        assert_eq!(text, format!("GET /fapi/{path}?{signed}&signature={signature}\nX-MBX-APIKEY: KEY\n\n"));
        assert_eq!(redact, None);
    }
    let call = VenueCall { op: op::USER_TRADES, arg: 851545009715, instrument: Some(InstrumentId(11)) };
    assert_eq!(encoder.http(call, now, &mut payload).unwrap(), None);
    let (signed, text) = finish(&payload, "KEY", "SECRET");
    let query = "symbol=ETHUSDT&orderId=851545009715&limit=1000";
    assert_eq!(signed, format!("{query}&recvWindow=5000&timestamp={}", WALL / MILLI));
    let signature = hmac("SECRET", &signed);
    assert_eq!(
        text,
        format!("GET /fapi/v1/userTrades?{signed}&signature={signature}\nX-MBX-APIKEY: KEY\n\n")
    );
    for (index, path) in
        ["/public/ws", "/market/ws", "/private/ws/<slot 9>", "/ws-fapi/v1"].into_iter().enumerate()
    {
        encoder.connect(ConnId(BASE + index as u8), Some(SecretSlot(9)), &mut payload).unwrap();
        assert_eq!(finish(&payload, "KEY", "SECRET").1, path);
    }
}

#[test]
fn the_largest_subscription_fits_and_names_its_streams() {
    let mut context = context(false);
    context.listings = (0..512)
        .map(|i| ListingParams {
            symbol: Symbol::new(&format!("{i:0>28}USDT")).unwrap(),
            id: InstrumentId(i),
            ..params()[0]
        })
        .collect();
    context.params.extras = Extras::ALL;
    let mut encoder = BinanceEncoder::new(&USDM, &context);
    let mut payload = Payload::new();
    let batch = Batch { start: 492, mask: 0xf_ffff, request: 0xfff_ffff, wide: false };
    assert_eq!(Batch::decode(batch.encode()), batch);
    let extras = VenueCall { op: op::SUBSCRIBE_EXTRAS, arg: batch.encode(), instrument: None };
    encoder.send(ConnId(BASE + conn::MARKET as u8), extras, Stamp::default(), &mut payload).unwrap();
    let json: serde_json::Value = serde_json::from_slice(payload.text()).unwrap();
    let last = format!("{:0>28}usdt@forceOrder", 511);
    assert_eq!(
        (json["params"].as_array().unwrap().len(), json["params"][39].as_str()),
        (40, Some(last.as_str()))
    );
    for index in [conn::PUBLIC, conn::MARKET] {
        let call = VenueCall { op: op::SUBSCRIBE, arg: batch.encode(), instrument: None };
        encoder.send(ConnId(BASE + index as u8), call, Stamp::default(), &mut payload).unwrap();
        let json: serde_json::Value = serde_json::from_slice(payload.text()).unwrap();
        assert_eq!(json["params"].as_array().unwrap().len(), 40);
        assert_eq!(json["id"], 0xfff_ffff);
        let call = VenueCall { arg: Batch { wide: true, ..batch }.encode(), ..call };
        encoder.send(ConnId(BASE + index as u8), call, Stamp::default(), &mut payload).unwrap();
        let whole: serde_json::Value = serde_json::from_slice(payload.text()).unwrap();
        let announced = whole["params"][0] == "!contractInfo";
        assert_eq!(announced, index == conn::MARKET, "asked for once, where it is published");
        let first = json["params"][0].as_str().unwrap();
        assert!(first.ends_with(if index == conn::PUBLIC {
            "492usdt@bookTicker"
        } else {
            "492usdt@aggTrade"
        }));
    }
}

#[test]
fn coin_margined_requests_go_to_their_own_paths() {
    let mut encoder = BinanceEncoder::new(&super::super::COINM, &context(true));
    let mut payload = Payload::new();
    let now = Stamp { mono: 0, wall: WALL };
    for (op, start) in [
        (op::EXCHANGE_INFO, "GET /dapi/v1/exchangeInfo\n"),
        (op::FUNDING_INFO, "GET /dapi/v1/fundingInfo\n"),
        (op::LISTEN_KEY, "POST /dapi/v1/listenKey\n"),
        (op::POSITION_RISK, "GET /dapi/v1/positionRisk?"),
        (op::BALANCE, "GET /dapi/v1/balance?"),
        (op::OPEN_ORDERS, "GET /dapi/v1/openOrders?"),
    ] {
        encoder.http(VenueCall { op, arg: 0, instrument: None }, now, &mut payload).unwrap();
        let (_, text) = finish(&payload, "KEY", "SECRET");
        assert!(text.starts_with(start), "{text}");
    }
    for (index, path) in ["/ws", "/ws", "/ws/<slot 9>", "/ws-dapi/v1"].into_iter().enumerate() {
        encoder.connect(ConnId(BASE + index as u8), Some(SecretSlot(9)), &mut payload).unwrap();
        assert_eq!(finish(&payload, "KEY", "SECRET").1, path);
    }
}

#[test]
fn after_the_logon_requests_carry_neither_key_nor_signature() {
    let mut context = context(true);
    context.params.session = SessionKind::Logon;
    let mut encoder = BinanceEncoder::new(&USDM, &context);
    encoder.on_instrument(&instrument(0));
    let (mut payload, now) = (Payload::new(), Stamp { mono: 0, wall: WALL });
    let api = ConnId(BASE + conn::API as u8);
    encoder.send(api, VenueCall { op: op::LOGON, ..VenueCall::default() }, now, &mut payload).unwrap();
    assert_eq!(payload.scheme, SignScheme::Ed25519Base64);
    let (signed, text) = finish(&payload, "KEY", "SECRET");
    assert_eq!(signed, format!("apiKey=KEY&timestamp={}", WALL / MILLI));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["id"], &json["method"]), (&"logon".into(), &"session.logon".into()));
    assert!(json["params"]["signature"].is_string());
    let reference = OrderRef { client_id: client(3), instrument: InstrumentId(10), ..OrderRef::default() };
    let check = |payload: &Payload, method: &str| {
        assert_eq!((payload.scheme, payload.text_holes().len()), (SignScheme::None, 0));
        let json: serde_json::Value = serde_json::from_slice(payload.text()).unwrap();
        assert_eq!(json["method"], method);
        assert_eq!(json["params"]["timestamp"], WALL / MILLI);
        assert!(json["params"].get("apiKey").is_none() && json["params"].get("signature").is_none());
    };
    encoder.order(&spec(), &meta(), now, &mut payload).unwrap();
    check(&payload, "order.place");
    encoder.cancel(&reference, &meta(), now, &mut payload).unwrap();
    check(&payload, "order.cancel");
    encoder.query(&reference, &meta(), now, &mut payload).unwrap();
    check(&payload, "order.status");
    let call = VenueCall { op: op::BALANCE, ..VenueCall::default() };
    encoder.http(call, now, &mut payload).unwrap();
    assert_eq!(payload.scheme, SignScheme::Ed25519Percent, "HTTP knows no sessions");
}

#[test]
fn orders_are_ready_when_the_logon_was_accepted_and_not_before() {
    let mut context = context(true);
    context.params.session = SessionKind::Logon;
    let mut adapter = BinanceAdapter::new(&USDM, &context);
    let mut out = crate::venue::Out::with_capacity(256);
    let api = ConnId(BASE + conn::API as u8);
    let at = |mono| Stamp { mono, wall: WALL + mono };
    let frame = |adapter: &mut BinanceAdapter, out: &mut Out, now, text: &str| {
        let meta = FrameMeta { conn: api, epoch: 1, kind: FrameKind::Text, last: true, drained: true };
        adapter.on_frame(meta, text.as_bytes(), at(now), out);
        let items = out.items().to_vec();
        out.clear();
        items
    };
    let ready = |items: &[Emit]| {
        items.iter().any(|item| {
            matches!(
                item,
                Emit::Event(EventBody::Session(SessionStatus { role: SessionRole::Orders, ready: true, .. }))
            )
        })
    };
    let closes = |items: &[Emit]| {
        items.iter().any(|item| matches!(item, Emit::Action(SessionAction::Close { conn }) if *conn == api))
    };
    adapter.on_start(at(0), &mut out);
    adapter.on_conn_up(api, 1, at(1), &mut out);
    assert!(!ready(out.items()));
    assert!(out.items().iter().any(|item| matches!(item, Emit::Action(SessionAction::Send { conn, what }) if *conn == api && what.op == op::LOGON)));
    out.clear();
    assert!(ready(&frame(
        &mut adapter,
        &mut out,
        2,
        r#"{"id":"logon","status":200,"result":{"apiKey":"x"}}"#
    )));
    adapter.on_conn_down(api, 1, DownReason::Closed, at(3), &mut out);
    adapter.on_conn_up(api, 2, at(4), &mut out);
    out.clear();
    let refused =
        frame(&mut adapter, &mut out, 5, r#"{"id":"logon","status":400,"error":{"code":-1022,"msg":"m"}}"#);
    assert!(closes(&refused) && !ready(&refused), "{refused:?}");
    adapter.on_conn_down(api, 2, DownReason::Closed, at(6), &mut out);
    adapter.on_conn_up(api, 3, at(SECOND), &mut out);
    out.clear();
    adapter.on_tick(at(12 * SECOND), &mut out);
    assert!(closes(out.items()), "no answer");
}

#[test]
fn orders_over_http_are_signed_queries_with_the_key_in_a_header() {
    let mut context = context(true);
    context.params.orders = OrderRoute::Http;
    let mut encoder = BinanceEncoder::new(&USDM, &context);
    encoder.on_instrument(&instrument(0));
    let (mut payload, now) = (Payload::new(), Stamp { mono: 0, wall: WALL });
    let (time, id) = (WALL / MILLI, client(3));
    let reference = OrderRef { client_id: id, instrument: InstrumentId(10), ..OrderRef::default() };
    let check = |payload: &Payload, verb: &str, query: String| {
        let (signed, text) = finish(payload, "KEY", "SECRET");
        assert_eq!(signed, query);
        let signature = hmac("SECRET", &query);
        assert_eq!(
            text,
            format!("{verb} /fapi/v1/order?{query}&signature={signature}\nX-MBX-APIKEY: KEY\n\n")
        );
        assert_eq!(payload.scheme, SignScheme::HmacSha256Hex);
    };
    let exit = OrderSpec { tif: TimeInForce::Ioc, reduce_only: true, ..spec() };
    assert_eq!(encoder.order(&exit, &meta(), now, &mut payload), Ok(Rendered::Http));
    check(
        &payload,
        "POST",
        format!(
            "newClientOrderId={id}&newOrderRespType=ACK&price=52000&quantity=0.01&recvWindow=5000&reduceOnly=true&selfTradePreventionMode=EXPIRE_MAKER&side=SELL&symbol=BTCUSDT&timeInForce=IOC&timestamp={time}&type=LIMIT"
        ),
    );
    let named = format!("origClientOrderId={id}&recvWindow=5000&symbol=BTCUSDT&timestamp={time}");
    assert_eq!(encoder.cancel(&reference, &meta(), now, &mut payload), Ok(Rendered::Http));
    check(&payload, "DELETE", named.clone());
    assert_eq!(encoder.query(&reference, &meta(), now, &mut payload), Ok(Rendered::Http));
    check(&payload, "GET", named);
    context.params.session = SessionKind::Logon;
    let mut encoder = BinanceEncoder::new(&USDM, &context);
    encoder.on_instrument(&instrument(0));
    encoder.order(&spec(), &meta(), now, &mut payload).unwrap();
    assert_eq!(payload.scheme, SignScheme::Ed25519Percent, "HTTP knows no sessions");
}

#[test]
fn amendments_say_price_and_total_by_either_way_and_aster_has_none() {
    let (mut payload, now) = (Payload::new(), Stamp { mono: 0, wall: WALL });
    let (time, id) = (WALL / MILLI, client(3));
    let to = |payload: &mut Payload, variant: &'static crate::venue::binance::Variant, route| {
        let mut context = context(true);
        context.params.orders = route;
        let mut encoder = BinanceEncoder::new(variant, &context);
        encoder.on_instrument(&instrument(0));
        encoder.amend(&spec(), &meta(), now, payload)
    };
    let said = format!(
        "origClientOrderId={id}&price=52000&quantity=0.01&recvWindow=2000&side=SELL&symbol=BTCUSDT&timestamp={time}"
    );
    let socket = Rendered::Socket(ConnId(BASE + conn::API as u8));
    assert_eq!(to(&mut payload, &USDM, OrderRoute::Websocket), Ok(Some(socket)));
    let (signed, text) = finish(&payload, "KEY", "SECRET");
    assert_eq!(signed, format!("apiKey=KEY&{said}"));
    let signature = hmac("SECRET", &signed);
    assert_eq!(
        text,
        format!(
            r#"{{"id":"m{id}","method":"order.modify","params":{{"apiKey":"KEY","origClientOrderId":"{id}","price":"52000","quantity":"0.01","recvWindow":2000,"side":"SELL","symbol":"BTCUSDT","timestamp":{time},"signature":"{signature}"}}}}"#
        )
    );
    for (variant, path) in [(&USDM, "/fapi/v1/order"), (&super::super::COINM, "/dapi/v1/order")] {
        assert_eq!(to(&mut payload, variant, OrderRoute::Http), Ok(Some(Rendered::Http)));
        let (signed, text) = finish(&payload, "KEY", "SECRET");
        let signature = hmac("SECRET", &said);
        assert_eq!(signed, said);
        assert_eq!(text, format!("PUT {path}?{said}&signature={signature}\nX-MBX-APIKEY: KEY\n\n"));
    }
    assert_eq!(to(&mut payload, &crate::venue::binance::aster::ASTER, OrderRoute::Http), Ok(None));
}
