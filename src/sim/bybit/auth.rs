//! Bybit's signatures: what a client must have signed, and whether it did.
//!
//! REST: hex(HMAC-SHA256(secret, timestamp + key + window + (query or body))); WebSocket: the same over
//! `GET/realtime` + expiry.

use super::wire::{Fault, ms};
use crate::domain::text::Hex;
use crate::domain::time::Nanos;
use crate::sim::HttpRequest;
use crate::sim::exchange::{AccountId, Exchange};
use ring::hmac;
use serde_json::Value;

/// Receive window where a client states none, ms.
const WINDOW_MS: i64 = 5_000;
/// A client's clock may be ahead of the venue's by less than this, ms.
const AHEAD_MS: i64 = 1_000;

/// Checks the arguments of an `auth` request: key, expiry in ms, signature.
pub(super) fn socket(exchange: &Exchange, args: Option<&Value>, now: Nanos) -> Result<AccountId, Fault> {
    let Some([Value::String(key), expires, Value::String(signature)]) =
        args.and_then(Value::as_array).map(Vec::as_slice)
    else {
        return Err(Fault::new(10001, "Params Error"));
    };
    let at = expires.as_i64().or_else(|| expires.as_str()?.parse().ok());
    let at = at.ok_or_else(|| Fault::new(10001, "Params Error"))?;
    if at <= ms(now) {
        return Err(Fault::new(10004, "Expired"));
    }
    let account = exchange.authenticate(key).ok_or_else(|| Fault::new(10003, "API key is invalid."))?;
    if *signature != sign(&exchange.keys(account).secret, &["GET/realtime", &at.to_string()]) {
        return Err(Fault::new(10004, "Invalid sign"));
    }
    Ok(account)
}

/// Checks the `X-BAPI-*` headers of a request.
pub(super) fn rest(exchange: &Exchange, request: &HttpRequest, now: Nanos) -> Result<AccountId, Fault> {
    let header = |name: &str| {
        request.headers.iter().find(|(header, _)| header == name).map_or("", |(_, value)| value.as_str())
    };
    let (key, stamp) = (header("x-bapi-api-key"), header("x-bapi-timestamp"));
    let window = header("x-bapi-recv-window");
    in_time(stamp, window, now)?;
    let account = exchange.authenticate(key).ok_or_else(|| Fault::new(10003, "API key is invalid."))?;
    let body = String::from_utf8_lossy(&request.body);
    let signed = if request.method == "GET" { request.query.as_str() } else { body.as_ref() };
    if header("x-bapi-sign") != sign(&exchange.keys(account).secret, &[stamp, key, window, signed]) {
        return Err(Fault::new(10004, "error sign! please check your signature generation algorithm."));
    }
    Ok(account)
}

/// `server - window <= timestamp < server + 1000`, all in ms.
pub(super) fn in_time(stamp: &str, window: &str, now: Nanos) -> Result<(), Fault> {
    let late =
        || Fault::new(10002, "invalid request, please check your server timestamp or recv_window param.");
    let stamp: i64 = stamp.parse().map_err(|_| late())?;
    let window: i64 = if window.is_empty() { WINDOW_MS } else { window.parse().map_err(|_| late())? };
    if ms(now) - window <= stamp && stamp < ms(now) + AHEAD_MS { Ok(()) } else { Err(late()) }
}

/// The signature of the parts, one after the other.
pub(super) fn sign(secret: &str, parts: &[&str]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
    for part in parts {
        context.update(part.as_bytes());
    }
    Hex(context.sign().as_ref()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_equal_the_recomputed_vectors() {
        let rest = |text| sign("test_secret", &["1700000000000", "test_api_key", "5000", text]);
        assert_eq!(
            rest("category=linear&symbol=BTCUSDT"),
            "fd4f31228a46109dc6673062328693696df9a96c7ff04e6491a45e7f63a0fdd7"
        );
        assert_eq!(
            rest(r#"{"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "test-order-1"}"#),
            "2df4a0603d69c08d5dea29ba85b46eb7db64ce9e9ebd34a7802a3d69700cb2a1"
        );
        assert_eq!(
            sign("test_secret", &["GET/realtime", "1700000000000"]),
            "bacffe7500499eb829bb58c45d36d1b3e5ac67c14eaeba91df5e99ccee013925"
        );
    }

    #[test]
    fn the_receive_window_reaches_back_and_a_second_ahead() {
        let now = 1_700_000_000_000 * crate::domain::time::MILLI;
        for (stamp, window, good) in [
            ("1699999995000", "5000", true),
            ("1699999994999", "5000", false),
            ("1699999994999", "", false),
            ("1700000000999", "1", true),
            ("1700000001000", "60000", false),
            ("", "5000", false),
        ] {
            assert_eq!(in_time(stamp, window, now).is_ok(), good, "{stamp} {window}");
        }
    }
}
