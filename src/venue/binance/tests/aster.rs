//! Aster: what it shares with Binance and what it does not. Payloads have the shape of the venue's documentation.

use super::encode::{finish, meta, spec};
use super::*;
use crate::domain::standing::Check;
use crate::venue::Dialect as _;
use crate::venue::binance::Aster;
use crate::venue::message::Message;

fn encoder() -> BinanceEncoder {
    let mut encoder = BinanceEncoder::new(&ASTER, &context(true));
    encoder.on_instrument(&instrument(0));
    encoder
}

#[test]
fn requests_say_nothing_that_the_documentation_lacks() {
    let (mut encoder, mut payload) = (encoder(), Payload::new());
    let now = Stamp { mono: 0, wall: WALL };
    // Whatever a configuration says: there is no other way.
    assert_eq!(encoder.order(&spec(), &meta(), now, &mut payload), Ok(Rendered::Http));
    let (signed, text) = finish(&payload, "KEY", "SECRET");
    assert_eq!(
        signed,
        format!(
            "newClientOrderId={}&newOrderRespType=ACK&price=52000&quantity=0.01&recvWindow=2000&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp={}&type=LIMIT",
            client(3),
            WALL / MILLI
        )
    );
    assert!(text.starts_with("POST /fapi/v1/order?newClientOrderId="), "{text}");
    let call = VenueCall { op: op::USER_TRADES, arg: 55, instrument: Some(InstrumentId(10)) };
    encoder.http(call, now, &mut payload).unwrap();
    assert!(finish(&payload, "K", "S").0.starts_with("symbol=BTCUSDT&limit=1000&recvWindow="));
    for (arg, path) in ["/fapi/v4/account?", "/fapi/v1/positionSide/dual?", "/fapi/v1/multiAssetsMargin?"]
        .into_iter()
        .enumerate()
    {
        let call = VenueCall { op: op::ACCOUNT_CONFIG, arg: arg as u64, instrument: None };
        encoder.http(call, now, &mut payload).unwrap();
        assert!(finish(&payload, "K", "S").1.starts_with(&format!("GET {path}")), "{path}");
    }
    let call = VenueCall { op: op::ACCOUNT_CONFIG, arg: 3, instrument: None };
    assert!(encoder.http(call, now, &mut payload).is_err());
    for index in [conn::PUBLIC, conn::MARKET] {
        encoder.connect(ConnId(BASE + index as u8), None, &mut payload).unwrap();
        assert_eq!(payload.text(), b"/ws");
        let batch = Batch { start: 0, mask: 3, request: 1, wide: true };
        let call = VenueCall { op: op::SUBSCRIBE, arg: batch.encode(), instrument: None };
        encoder.send(ConnId(BASE + index as u8), call, now, &mut payload).unwrap();
        let json: serde_json::Value = serde_json::from_slice(payload.text()).unwrap();
        assert_eq!(json["params"].as_array().unwrap().len(), 4, "no `!contractInfo`: {json}");
    }
    encoder.connect(ConnId(BASE + conn::PRIVATE as u8), Some(SecretSlot(8)), &mut payload).unwrap();
    assert_eq!(finish(&payload, "K", "S").1, "/ws/<slot 8>");
}

#[test]
fn there_is_no_order_connection_and_room_for_a_hundred_listings() {
    let roles = |trading| Aster.connections(trading).iter().map(|spec| spec.role).collect::<Vec<_>>();
    let (market, account) = (SessionRole::Market, SessionRole::Account);
    assert_eq!((roles(false), roles(true)), (vec![market; 2], vec![market, market, account]));
    assert_eq!(Aster.listings_max(Extras::default(), MarketCopies::Two), 100);
    assert_eq!(Aster.listings_max(Extras::ALL, MarketCopies::Two), 50);
    assert_eq!(Aster.order_routes(), [OrderRoute::Http]);
    assert!(Aster.kill_switch(&context(true)).is_some());
}

#[test]
fn documented_messages_are_understood() {
    let mut decoder = Aster.decoder();
    for (frame, known) in [
        (
            r#"{"e":"bookTicker","u":400900217,"E":1568014460893,"T":1568014460891,"s":"BNBUSDT","b":"25.3519","B":"31.21","a":"25.3652","A":"40.66"}"#,
            true,
        ),
        (
            r#"{"e":"depthUpdate","E":123456789,"T":123456788,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}"#,
            true,
        ),
        (
            r#"{"e":"aggTrade","E":123456789,"s":"BTCUSDT","a":5933014,"p":"0.001","q":"100","f":100,"l":105,"T":123456785,"m":true}"#,
            true,
        ),
        (
            r#"{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15","i":"11784.62659091","P":"11784.25641265","r":"0.00038167","T":1562306400000}"#,
            true,
        ),
        (r#"{"result":null,"id":1}"#, true),
        (r#"{"e":"somethingElse","E":1}"#, false),
    ] {
        let mut unknown = 0;
        decoder
            .decode(frame.as_bytes(), &mut |message| {
                unknown += usize::from(matches!(message, Message::Unknown))
            })
            .unwrap();
        assert_eq!(unknown == 0, known, "{frame}");
    }
}

#[test]
fn settings_are_read_from_three_places_one_after_the_other() {
    let mut rig = Rig { adapter: BinanceAdapter::new(&ASTER, &context(true)), ..Rig::new(true) };
    rig.adapter.on_start(rig.at(), &mut rig.out);
    let seen = rig.take();
    assert_eq!(seen.connects(), [(0, None), (1, None)]);
    let mut asked = seen.http(op::LISTEN_KEY);
    asked.extend(rig.wait(20 * MILLI).http(op::LISTEN_KEY));
    rig.http(asked[0].0, 200, r#"{"listenKey":"xxxx"}"#);
    rig.up(conn::PRIVATE);
    let mut asked = rig.take().http(op::ACCOUNT_CONFIG);
    let mut stated = Vec::new();
    for body in [
        r#"{"feeTier":0,"canTrade":true,"updateTime":0,"assets":[],"positions":[{"symbol":"BTCUSDT","leverage":"100","isolated":true}]}"#,
        r#"{"dualSidePosition":false}"#,
        r#"{"multiAssetsMargin":true}"#,
    ] {
        let [(id, what)] = asked[..] else { panic!("{asked:?}") };
        assert_eq!(what.arg, stated.len() as u64);
        rig.http(id, 200, body);
        let mut seen = rig.take().0;
        seen.extend(rig.wait(20 * MILLI).0);
        let check = |item: &Emit| match item {
            Emit::Event(EventBody::Check(check)) => Some((check.check, check.passed)),
            _ => None,
        };
        stated.extend(seen.iter().filter_map(check));
        asked = Seen(seen).http(op::ACCOUNT_CONFIG);
    }
    assert_eq!(
        stated,
        [(Check::Permission, true), (Check::PositionMode, true), (Check::AssetMode, false)],
        "as the venue has them"
    );
    assert!(asked.is_empty(), "what is wrong is asked for again later");
}
