//! Deribit's logins: what a client must have signed, and whether it did.
//!
//! `client_signature`: hex(HMAC-SHA256(secret, timestamp LF nonce LF data)); `client_credentials`: id and secret
//! in plain; HTTP: `Authorization: deri-hmac-sha256 id=…,ts=…,sig=…,nonce=…` over
//! `ts LF nonce LF METHOD LF URI LF body LF`, or `Basic`/`Bearer`, of which only `Bearer` is known here.

use super::wire::{Fault, text};
use crate::domain::text::Hex;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::sim::HttpRequest;
use crate::sim::exchange::{AccountId, Exchange};
use ring::hmac;
use serde_json::Value;

/// Greatest difference between a client's clock and the venue's.
const TOLERANCE: Nanos = 60 * SECOND;

/// Checks the parameters of `public/auth`.
pub(super) fn login(exchange: &Exchange, params: &Value, now: Nanos) -> Result<AccountId, Fault> {
    let field = |name: &str| text(params, name).unwrap_or_default();
    let invalid = || Fault::new(13_004, "invalid_credentials");
    let account = exchange.authenticate(&field("client_id")).ok_or_else(invalid)?;
    let secret = &exchange.keys(account).secret;
    match field("grant_type").as_str() {
        "client_credentials" if field("client_secret") == *secret => Ok(account),
        "client_signature" => {
            let stamp = field("timestamp");
            check_time(&stamp, now)?;
            let signed = format!("{stamp}\n{}\n{}", field("nonce"), field("data"));
            if field("signature") == sign(secret, &signed) { Ok(account) } else { Err(invalid()) }
        }
        "client_credentials" => Err(invalid()),
        _ => Err(Fault::parameter("grant_type")),
    }
}

/// Who made an HTTP request.
pub(super) fn http(exchange: &Exchange, request: &HttpRequest, now: Nanos) -> Result<AccountId, Fault> {
    let unauthorized = || Fault::new(13_009, "unauthorized");
    let header = request.headers.iter().find(|(name, _)| name == "authorization");
    let (_, header) = header.ok_or_else(unauthorized)?;
    if let Some(token) = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer ")) {
        return of_token(exchange, token).ok_or_else(unauthorized);
    }
    let fields = header.strip_prefix("deri-hmac-sha256 ").ok_or_else(unauthorized)?;
    let field = |name: &str| {
        let named = fields.split(',').filter_map(|part| part.trim().split_once('='));
        named.filter(|(key, _)| *key == name).map(|(_, value)| value).next().unwrap_or_default()
    };
    let account = exchange.authenticate(field("id")).ok_or_else(unauthorized)?;
    check_time(field("ts"), now)?;
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let signed = format!(
        "{}\n{}\n{}\n{}{query}\n{}\n",
        field("ts"),
        field("nonce"),
        request.method,
        request.path,
        String::from_utf8_lossy(&request.body),
    );
    if field("sig") == sign(&exchange.keys(account).secret, &signed) {
        Ok(account)
    } else {
        Err(unauthorized())
    }
}

/// The token of an account: looks random, is not, so that runs repeat.
pub(super) fn token(exchange: &Exchange, account: AccountId, kind: &str) -> String {
    sign(&exchange.keys(account).secret, kind)
}

fn of_token(exchange: &Exchange, token: &str) -> Option<AccountId> {
    (1..=exchange.settings().accounts.len() as u16)
        .map(AccountId)
        .find(|account| self::token(exchange, *account, "access") == token)
}

fn check_time(stamp: &str, now: Nanos) -> Result<(), Fault> {
    let ms: i64 = stamp.parse().map_err(|_| Fault::parameter("timestamp"))?;
    if (ms.saturating_mul(MILLI) - now).abs() > TOLERANCE {
        return Err(Fault::new(13_004, "invalid_credentials"));
    }
    Ok(())
}

/// Lower-case hex of the HMAC.
pub(super) fn sign(secret: &str, signed: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    Hex(hmac::sign(&key, signed.as_bytes()).as_ref()).to_string()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn signatures_equal_the_recomputed_vectors() {
        assert_eq!(
            sign("AMANDASECRECT", "1576074319000\n1iqt2wls\n"),
            "56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1"
        );
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"private/get_account_summaries","params":{}}"#;
        let signed = format!("1609459200000\n550e8400-e29b-41d4-a716-446655440000\nPOST\n/api/v2\n{body}\n");
        assert_eq!(
            sign("test_client_secret", &signed),
            "687c9c8397163a1b66412d6b886ba6004f4918cd36c33184b9b984bf43f98ed3"
        );
    }
}
