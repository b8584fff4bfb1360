//! What the Hyperliquid encoder renders, sealed by the egress gate, equals the published signatures: both
//! halves of the MessagePack and EIP-712 work together. Vectors are those of the venue's Python SDK,
//! `tests/signing_test.py`.

use perpring::domain::effect::{MessageId, OutMeta, Payload, SecretSlot, Target, VenueCall};
use perpring::domain::event::Seq;
use perpring::domain::input::{ConnId, RefuseReason};
use perpring::domain::instrument::{Instrument, InstrumentId, Price, Qty, Status, VenueId, VenueSpec};
use perpring::domain::number::Num;
use perpring::domain::order::{ClientId, OrderSpec, Side, TimeInForce};
use perpring::domain::params::{ListingParams, VenueParams};
use perpring::domain::text::Symbol;
use perpring::domain::time::Stamp;
use perpring::stage::egress::{Credentials, Vault};
use perpring::venue::{Encoder, Rendered, VenueContext, dialect};

const KEY: &str = "0x0123456789012345678901234567890123456789012345678901234567890123";
const EPOCH: Stamp = Stamp { mono: 0, wall: 0 };

fn encoder() -> Box<dyn Encoder> {
    let listing = ListingParams { symbol: Symbol::new("ETH").unwrap(), ..ListingParams::default() };
    let context = VenueContext {
        venue: VenueId(0),
        params: VenueParams::default(),
        listings: vec![listing],
        conn_base: ConnId(0),
        slot_base: SecretSlot(0),
        trading: true,
    };
    let mut encoder = dialect("hyperliquid").unwrap().encoder(&context);
    encoder.on_instrument(&Instrument {
        symbol: listing.symbol,
        spec: VenueSpec {
            multiplier: Num::new(1, 0),
            tick: Num::new(1, 1),
            step: Num::new(1, 4),
            status: Status::Trading,
            code: 1,
            ..VenueSpec::default()
        },
        price_scale: 2,
        qty_scale: 4,
        tick: 10,
        step: 1,
        generation: 1,
        ..Instrument::default()
    });
    encoder
}

fn seal(payload: &Payload, secret: &str) -> Result<String, RefuseReason> {
    let credentials = Credentials {
        api_key: "0x61fb9e7583dc92cc76eb52f93d88addaa0f02265".into(),
        secret: secret.into(),
        passphrase: String::new(),
    };
    let mut out = Vec::new();
    Vault::new(vec![Some(credentials)]).seal(0, payload, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn order() -> Payload {
    let order = OrderSpec {
        client_id: ClientId(1),
        venue: VenueId(0),
        instrument: InstrumentId(0),
        side: Side::Buy,
        qty: Qty(1_000_000),
        price: Price(10_000),
        tif: TimeInForce::Gtc,
        reduce_only: false,
    };
    let mut payload = Payload::new();
    encoder().order(&order, &meta(order), EPOCH, &mut payload).unwrap();
    payload
}

fn meta(order: OrderSpec) -> OutMeta {
    OutMeta {
        amends: false,
        replaces: ClientId::NONE,
        message: MessageId(1),
        cause: Seq(1),
        cause_mono: 0,
        age_max: 0,
        target: Target::Socket(ConnId(2)),
        epoch: 0,
        urgent: false,
        order: Some(order),
    }
}

#[test]
fn an_order_with_client_id_is_signed_like_the_sdk_signs_it() {
    // `test_l1_action_signing_order_with_cloid_matches`.
    let sent = seal(&order(), KEY).unwrap();
    assert!(sent.contains(r#""p":"100","s":"100","r":false,"t":{"limit":{"tif":"Gtc"}},"c":"0x00000000000000000000000000000001"}"#), "{sent}");
    // The SDK's text of `r` drops the leading zero.
    let signature = r#""nonce":0,"signature":{"r":"0x041ae18e8239a56cacbc5dad94d45d0b747e5da11ad564077fcac71277a946e3","s":"0x3c61f667e747404fe7eea8f90ab0e76cc12ce60270438b2058324681a00116da","v":27},"vaultAddress":null,"expiresAfter":null"#;
    assert!(sent.contains(signature), "{sent}");
    let parsed: serde_json::Value = serde_json::from_str(&sent).unwrap();
    assert_eq!(parsed["request"]["payload"]["action"]["type"], "order");
}

#[test]
fn an_order_in_the_place_of_another_one_is_signed_like_ccxt_signs_it() {
    // The SDK has no vector of `batchModify`: this one is ccxt's (`sign_l1_action`), which makes the SDK's others.
    let now = Stamp { mono: 0, wall: 1_677_777_606_040_000_000 };
    let order = OrderSpec {
        client_id: ClientId(2),
        side: Side::Buy,
        qty: Qty(1_000_000),
        price: Price(10_000),
        tif: TimeInForce::Gtc,
        ..OrderSpec::default()
    };
    let mut payload = Payload::new();
    let rendered = encoder().replace(ClientId(1), &order, &meta(order), now, &mut payload).unwrap();
    assert_eq!(rendered, Some(Rendered::Socket(ConnId(2))));
    let sent = seal(&payload, KEY).unwrap();
    let action = r#""action":{"type":"batchModify","modifies":[{"oid":"0x00000000000000000000000000000001","order":{"a":1,"b":true,"p":"100","s":"100","r":false,"t":{"limit":{"tif":"Gtc"}},"c":"0x00000000000000000000000000000002"}}]}"#;
    assert!(sent.contains(action), "{sent}");
    let signature = r#""nonce":1677777606040,"signature":{"r":"0xf86c337f20731beb63fb7dba1803d2f9407bade795e7de18350f312994684d5b","s":"0x69ed86eeb939d2fc44e8bafce5aa69804278727bbdec7ed613635c079aa69267","v":27}"#;
    assert!(sent.contains(signature), "{sent}");
}

#[test]
fn the_dead_mans_switch_is_signed_like_the_sdk_signs_it() {
    // `test_schedule_cancel_action`.
    for (time, r, s, v) in [
        (
            0,
            "6cdfb286702f5917e76cd9b3b8bf678fcc49aec194c02a73e6d4f16891195df9",
            "6557ac307fa05d25b8d61f21fb8a938e703b3d9bf575f6717ba21ec61261b2a0",
            27,
        ),
        (
            123_456_789,
            "609cb20c737945d070716dcc696ba030e9976fcf5edad87afa7d877493109d55",
            "16c685d63b5c7a04512d73f183b3d7a00da5406ff1f8aad33f8ae2163bab758b",
            28,
        ),
    ] {
        let mut payload = Payload::new();
        let call = VenueCall { op: 5, arg: time, instrument: None };
        encoder().send(ConnId(2), call, EPOCH, &mut payload).unwrap();
        let sent = seal(&payload, KEY).unwrap();
        let expected = format!(r#""signature":{{"r":"0x{r}","s":"0x{s}","v":{v}}}"#);
        assert!(sent.contains(&expected), "{sent}");
    }
}

#[test]
fn nothing_leaves_without_a_private_key_and_the_key_never_leaves() {
    for secret in ["", "sim-secret", &"0".repeat(64)] {
        assert_eq!(seal(&order(), secret), Err(RefuseReason::Unsigned));
    }
    let sent = seal(&order(), KEY).unwrap();
    assert!(!sent.contains(&KEY[2..40]));
    assert!(!String::from_utf8_lossy(&order().bytes).contains("61fb9e75"), "the address stands in a hole");
}
