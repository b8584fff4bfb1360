//! Request parameters, signatures and clocks, checked as the venue documents it.
//!
//! REST: HMAC-SHA256 (hex) over query and body exactly as sent, without the signature itself. WebSocket API:
//! over `k=v&…` with keys sorted, not percent-encoded. A timestamp is good iff
//! `timestamp < server + 1000 && server − timestamp <= recvWindow`.

use super::error::ApiError;
use crate::domain::time::{MILLI, Nanos};
use crate::sim::exchange::{AccountId, Exchange};
use ring::{hmac, signature};
use serde_json::Value;

/// Decoded parameters, in the order sent (REST) or by name (WebSocket API).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Of a query string and a form body.
    pub fn of_query(query: &str, body: &str) -> Self {
        let pairs = query.split('&').chain(body.split('&')).filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (percent_decode(name), percent_decode(value)))
                .collect(),
        )
    }

    /// Of a JSON object; sorted by name.
    pub fn of_json(object: &Value) -> Self {
        let mut pairs: Vec<(String, String)> = object
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), text)
            })
            .collect();
        pairs.sort();
        Self(pairs)
    }

    /// The value of a parameter that is present and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The same, or error −1102.
    pub fn need(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| ApiError::missing(name))
    }

    /// An integer, when present.
    pub fn int(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                ApiError::new(
                    -1100,
                    format!(
                        "Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
                    ),
                )
            }),
        }
    }

    /// `true` or `false` in any case; absent = false.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// What a WebSocket API request is signed over.
    fn sorted_text(&self) -> String {
        let pairs: Vec<String> = self
            .0
            .iter()
            .filter(|(name, _)| name != "signature")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("&")
    }
}

/// Checks a signed REST request.
pub(super) fn check_rest(
    exchange: &Exchange,
    api_key: Option<&str>,
    query: &str,
    body: &str,
    params: &Params,
    now: Nanos,
) -> Result<AccountId, ApiError> {
    let account = check_key(exchange, api_key)?;
    check_time(params, now)?;
    let signature = params.need("signature")?;
    let signed = format!("{}{}", without_signature(query), without_signature(body));
    check_signature(exchange, account, &signed, signature)?;
    Ok(account)
}

/// Checks a WebSocket API request: signed, or on a connection of `session` (logged on) with a timestamp alone.
pub(super) fn check_ws(
    exchange: &Exchange,
    params: &Params,
    session: Option<AccountId>,
    now: Nanos,
) -> Result<AccountId, ApiError> {
    if let Some(account) =
        session.filter(|_| params.get("apiKey").is_none() && params.get("signature").is_none())
    {
        check_time(params, now)?;
        return Ok(account);
    }
    let account = check_key(exchange, params.get("apiKey"))?;
    check_time(params, now)?;
    check_signature(exchange, account, &params.sorted_text(), params.need("signature")?)?;
    Ok(account)
}

/// The account of a key (listen-key requests need no more).
pub(super) fn check_key(exchange: &Exchange, api_key: Option<&str>) -> Result<AccountId, ApiError> {
    let key = api_key
        .filter(|key| !key.is_empty())
        .ok_or_else(|| ApiError::new(-2014, "API-key format invalid."))?;
    exchange.authenticate(key).ok_or_else(|| {
        ApiError::new(-2015, "Invalid API-key, IP, or permissions for action, request ip: 127.0.0.1")
    })
}

fn check_time(params: &Params, now: Nanos) -> Result<(), ApiError> {
    let timestamp = params.int("timestamp")?.ok_or_else(|| ApiError::missing("timestamp"))?;
    let window = params.int("recvWindow")?.unwrap_or(5_000);
    if !(0..=60_000).contains(&window) {
        return Err(ApiError::new(-1131, "recvWindow must be less than 60000"));
    }
    let server = now / MILLI;
    if timestamp >= server + 1_000 {
        return Err(ApiError::new(
            -1021,
            "Timestamp for this request was 1000ms ahead of the server's time.",
        ));
    }
    if server - timestamp > window {
        return Err(ApiError::new(-1021, "Timestamp for this request is outside of the recvWindow."));
    }
    Ok(())
}

fn check_signature(exchange: &Exchange, account: AccountId, text: &str, given: &str) -> Result<(), ApiError> {
    let invalid = || ApiError::new(-1022, "Signature for this request is not valid.");
    let public = &exchange.keys(account).ed25519_public;
    if !public.is_empty() {
        let key = signature::UnparsedPublicKey::new(&signature::ED25519, unhex(public).ok_or_else(invalid)?);
        let bytes = unbase64(given).ok_or_else(invalid)?;
        return key.verify(text.as_bytes(), &bytes).map_err(|_| invalid());
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, exchange.keys(account).secret.as_bytes());
    let tag = unhex(given).ok_or_else(invalid)?;
    hmac::verify(&key, text.as_bytes(), &tag).map_err(|_| invalid())
}

/// The text without its `signature=…` pair.
fn without_signature(text: &str) -> String {
    let pairs: Vec<&str> = text.split('&').filter(|pair| !pair.starts_with("signature=")).collect();
    pairs.join("&")
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Option<Vec<usize>> =
        text.trim_end_matches('=').chars().map(|digit| DIGITS.find(digit)).collect();
    let bits: Vec<u8> =
        digits?.iter().flat_map(|digit| (0..6).rev().map(move |bit| (digit >> bit & 1) as u8)).collect();
    Some(bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |value, bit| value << 1 | bit)).collect())
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3).and_then(|h| std::str::from_utf8(h).ok()))
            .flatten()
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::config::{SimAccount, SimConfig};

    fn exchange(api_key: &str, secret: &str) -> Exchange {
        let mut config = SimConfig::demo(1, &["binance-usdm"], 1).unwrap();
        config.venues[0].accounts =
            vec![SimAccount { api_key: api_key.into(), secret: secret.into(), ..SimAccount::default() }];
        Exchange::new(&config, 0)
    }

    #[test]
    fn the_documented_rest_vector_verifies_and_a_changed_one_does_not() {
        let exchange = exchange("k", "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9");
        let text = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943";
        let signature = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9";
        let now = 1_591_702_613_943 * MILLI;
        let query = format!("{text}&signature={signature}");
        let check = |query: &str, body: &str, now| {
            check_rest(&exchange, Some("k"), query, body, &Params::of_query(query, body), now)
                .map_err(|e| e.code)
        };
        assert_eq!(check(&query, "", now), Ok(AccountId(1)));
        assert_eq!(check("", &query, now), Ok(AccountId(1)), "the same in the body");
        assert_eq!(check(&query.replace("price=9000", "price=9001"), "", now), Err(-1022));
        assert_eq!(check(&query, "", now + 5_001 * MILLI), Err(-1021));
        assert_eq!(check(&query, "", now - 1_000 * MILLI), Err(-1021));
        assert_eq!(check(&query, "", now - 999 * MILLI), Ok(AccountId(1)));
        assert_eq!(check(text, "", now), Err(-1102));
        let params = Params::of_query(&query, "");
        assert_eq!(check_rest(&exchange, None, &query, "", &params, now).unwrap_err().code, -2014);
        assert_eq!(check_rest(&exchange, Some("other"), &query, "", &params, now).unwrap_err().code, -2015);
    }

    #[test]
    fn the_documented_websocket_vector_verifies() {
        let exchange = exchange(
            "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
            "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
        );
        let params = Params::of_json(&serde_json::json!({
            "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC",
            "quantity": "0.01000000", "price": "52000.00", "newOrderRespType": "ACK", "recvWindow": 100,
            "timestamp": 1_645_423_376_532u64,
            "apiKey": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
            "signature": "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a",
        }));
        assert_eq!(check_ws(&exchange, &params, None, 1_645_423_376_532 * MILLI), Ok(AccountId(1)));
    }

    #[test]
    fn values_are_percent_decoded_after_signing() {
        let params = Params::of_query("symbols=%5B%22BTCUSDT%22%5D&a=1%2b2", "b=x");
        assert_eq!(params.get("symbols"), Some("[\"BTCUSDT\"]"));
        assert_eq!((params.get("a"), params.get("b")), (Some("1+2"), Some("x")));
    }
}
