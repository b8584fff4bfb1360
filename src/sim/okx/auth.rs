//! OKX's signatures: what a client must have signed, and whether it did.
//!
//! REST: base64(HMAC-SHA256(secret, timestamp + METHOD + path?query + body)) with an ISO-8601 timestamp; WebSocket
//! login: the same over `timestamp + "GET" + "/users/self/verify"` with seconds. Tolerance 30 s.

use super::wire::Fault;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::sim::HttpRequest;
use crate::sim::exchange::{AccountId, Exchange};
use ring::hmac;
use serde_json::Value;

/// Greatest difference between a client's clock and the venue's.
const TOLERANCE: Nanos = 30 * SECOND;

/// Checks the arguments of a `login` request.
pub(super) fn login(exchange: &Exchange, args: Option<&Value>, now: Nanos) -> Result<AccountId, Fault> {
    let arg = match args.and_then(Value::as_array).map(Vec::as_slice) {
        Some([arg]) => arg,
        _ => return Err(Fault::new("60009", "Login failed.")),
    };
    let field = |name: &str| arg.get(name).and_then(Value::as_str).unwrap_or_default();
    let timestamp = field("timestamp");
    let seconds: i64 = match timestamp.split_once('.').map_or(timestamp, |(whole, _)| whole).parse() {
        Ok(seconds) if (1..=99_999_999_999).contains(&seconds) => seconds,
        _ => return Err(Fault::new("60004", "Invalid timestamp")),
    };
    if (seconds.saturating_mul(SECOND) - now).abs() > TOLERANCE {
        return Err(Fault::new("60006", "Timestamp request expired"));
    }
    if field("apiKey").is_empty() {
        return Err(Fault::new("60005", "Invalid OK_ACCESS_KEY"));
    }
    let Some(account) = exchange.authenticate(field("apiKey")) else {
        return Err(Fault::new("60032", "API key doesn't exist"));
    };
    let keys = exchange.keys(account);
    if field("passphrase") != keys.passphrase {
        return Err(Fault::new("60024", "Wrong passphrase"));
    }
    if field("sign") != sign(&keys.secret, &[timestamp, "GET", "/users/self/verify"]) {
        return Err(Fault::new("60007", "Invalid sign"));
    }
    Ok(account)
}

/// Checks the `OK-ACCESS-*` headers of a request. Faults of this kind go with HTTP status 401.
pub(super) fn rest(exchange: &Exchange, request: &HttpRequest, now: Nanos) -> Result<AccountId, Fault> {
    let header = |name: &str| header(request, name);
    let needed = |name: &str, code: &'static str| match header(&name.to_ascii_lowercase()) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(Fault::new(code, format!("Request header \"{name}\" can't be empty."))),
    };
    let key = needed("OK-ACCESS-KEY", "50103")?;
    let passphrase = needed("OK-ACCESS-PASSPHRASE", "50104")?;
    let signature = needed("OK-ACCESS-SIGN", "50106")?;
    let timestamp = needed("OK-ACCESS-TIMESTAMP", "50107")?;
    let Some(stamp) = parse_iso(timestamp) else {
        return Err(Fault::new("50112", "Invalid OK-ACCESS-TIMESTAMP"));
    };
    if (stamp - now).abs() > TOLERANCE {
        return Err(Fault::new("50102", "Timestamp request expired"));
    }
    let Some(account) = exchange.authenticate(key) else {
        return Err(Fault::new("50111", "Invalid OK-ACCESS-KEY"));
    };
    let keys = exchange.keys(account);
    if passphrase != keys.passphrase {
        return Err(Fault::new("50105", "Request header \"OK-ACCESS-PASSPHRASE\" incorrect."));
    }
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let body = String::from_utf8_lossy(&request.body);
    if signature != sign(&keys.secret, &[timestamp, &request.method, &request.path, &query, &body]) {
        return Err(Fault::new("50113", "Invalid Sign"));
    }
    Ok(account)
}

/// A header's value; `name` in lower case.
pub(super) fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
}

/// The signature of the parts, one after the other.
pub(super) fn sign(secret: &str, parts: &[&str]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part.as_bytes());
    }
    base64(context.sign().as_ref())
}

/// `2020-12-08T09:08:57.715Z` as ns since the epoch; fraction of 0–9 digits.
fn parse_iso(text: &str) -> Option<Nanos> {
    let bytes = text.strip_suffix('Z')?.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0i64, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, byte)| bytes.get(*at) != Some(byte)) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let fraction = match bytes.get(19..)? {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            number(20, bytes.len())? * 10i64.pow(9 - digits.len() as u32)
        }
        _ => return None,
    };
    // Days from civil: years begin in March, so that the leap day is the last of its year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000 * MILLI + fraction)
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let letter = ALPHABET[(group >> (18 - 6 * index)) as usize & 63];
            text.push(if index <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_equal_the_recomputed_vectors() {
        let secret = "chNOOS4KvNXR_Xq4k4c9qsfoKWvnDecLATCRlcBwyKDYnWgO";
        let balance = sign(secret, &["2020-12-08T09:08:57.715Z", "GET", "/api/v5/account/balance"]);
        assert_eq!(balance, "PJ61e1nb2F2Qd7D8SPiaIcx2gjdELc+o0ygzre9z33k=");
        let body = r#"{"instId":"BTC-USD-200925","tdMode":"isolated","side":"buy","ordType":"limit","px":"432.11","sz":"2"}"#;
        let order = sign(secret, &["2020-12-08T09:08:57.715Z", "POST", "/api/v5/trade/order", "", body]);
        assert_eq!(order, "nEpHMx6gZYYjWVfzXtwccJAPmWrrmDHvV4cNsi10d6o=");
        let documented = "22582BD0CFF14C41EDBF1AB98506286D";
        assert_eq!(
            sign(documented, &["1538054050", "GET", "/users/self/verify"]),
            "+LdIr8lkkvhr5hoA3g9TMC0+uQJ849ftAcocA/ouu4M="
        );
    }

    #[test]
    fn iso_timestamps_are_exact_or_refused() {
        assert_eq!(parse_iso("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(parse_iso("2020-12-08T09:08:57.715Z"), Some(1_607_418_537_715_000_000));
        assert_eq!(parse_iso("2024-02-29T23:59:59Z"), Some(1_709_251_199_000_000_000));
        for bad in [
            "",
            "1607418537715",
            "2020-12-08 09:08:57.715Z",
            "2020-13-08T09:08:57.715Z",
            "2020-12-08T09:08:57.715",
        ] {
            assert_eq!(parse_iso(bad), None, "{bad}");
        }
    }

    #[test]
    fn base64_pads() {
        assert_eq!(
            (base64(b"f"), base64(b"fo"), base64(b"foo")),
            ("Zg==".into(), "Zm8=".into(), "Zm9v".into())
        );
    }
}
