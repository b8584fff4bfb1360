//! The kill beside the river: asks for the open orders and cancels them in batches by the venue's own ids, whoever
//! placed them, until there are none.
//!
//! Its nonces are the wall time in ms, like those of the encoder, which it knows nothing of: where both use the
//! same one, the venue refuses the later and the next round repeats it.

use super::action::Pack;
use super::encoder::info;
use super::parse::Result as Parsed;
use crate::domain::effect::{HoleKind, Payload, PayloadFull, SignScheme};
use crate::domain::time::Stamp;
use crate::venue::json::{Cursor, Kind};
use crate::venue::message::DecodeError;
use crate::venue::{KillReply, KillSwitch};
use std::fmt::Write as _;

/// Orders of one batch: as many as the short form of a MessagePack array holds. It weighs 1.
const BATCH: usize = 15;
/// Assets from here on are spot pairs, named `@` and their number.
const SPOT: u64 = 10_000;
/// The one spot pair that is named otherwise; its number is 0.
const SPOT_FIRST: &[u8] = b"PURR/USDC";

const META: &[u8] = b"POST /info\nContent-Type: application/json\n\n{\"type\":\"meta\"}";
const EXCHANGE: &[u8] = b"POST /exchange\nContent-Type: application/json\n\n";

/// Cancels all orders of the account.
#[derive(Debug, Default)]
pub(super) struct HyperliquidKill {
    /// Names of the perpetuals by their number; empty until they were listed.
    universe: Vec<Vec<u8>>,
    last_nonce: i64,
}

impl HyperliquidKill {
    fn asset(&self, coin: &[u8]) -> Option<u64> {
        if coin == SPOT_FIRST {
            return Some(SPOT);
        }
        if let Some(number) = coin.strip_prefix(b"@") {
            let number: u64 = std::str::from_utf8(number).ok()?.parse().ok()?;
            return SPOT.checked_add(number);
        }
        self.universe.iter().position(|name| name == coin).map(|at| at as u64)
    }

    fn cancel(&mut self, orders: &[(u64, u64)], now: Stamp) -> Result<Payload, PayloadFull> {
        self.last_nonce = now.wall_ms().max(self.last_nonce + 1);
        let nonce = self.last_nonce;
        let mut to = Payload::new();
        to.push(EXCHANGE)?;
        to.push(b"{\"action\":{\"type\":\"cancel\",\"cancels\":[")?;
        for (at, (asset, order)) in orders.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(to, "{comma}{{\"a\":{asset},\"o\":{order}}}").map_err(|_| PayloadFull)?;
        }
        write!(to, "]}},\"nonce\":{nonce},\"signature\":").map_err(|_| PayloadFull)?;
        to.push_hole(HoleKind::Signature)?;
        to.push(b",\"vaultAddress\":null,\"expiresAfter\":null}")?;
        let mut pack = Pack(&mut to);
        pack.map(2)?.text(b"type")?.text(b"cancel")?.text(b"cancels")?.array(orders.len() as u8)?;
        for (asset, order) in orders {
            pack.map(2)?.text(b"a")?.uint(*asset)?.text(b"o")?.uint(*order)?;
        }
        pack.tail(nonce.unsigned_abs(), None)?;
        to.scheme = SignScheme::AgentMainnet;
        Ok(to)
    }
}

impl KillSwitch for HyperliquidKill {
    fn begin(&mut self, now: Stamp, out: &mut Vec<Payload>) -> Result<(), PayloadFull> {
        let _ = now;
        if self.universe.is_empty() {
            let mut ask = Payload::new();
            ask.push(META)?;
            out.push(ask);
        }
        let mut ask = Payload::new();
        info("openOrders", &mut ask)?;
        ask.push(b"}")?;
        out.push(ask);
        Ok(())
    }

    fn on_reply(
        &mut self,
        request: &Payload,
        status: u16,
        body: &[u8],
        now: Stamp,
        out: &mut Vec<Payload>,
    ) -> Result<KillReply, PayloadFull> {
        if status != 200 {
            return Ok(KillReply::Refused);
        }
        if request.text() == META {
            return Ok(match universe(body) {
                Ok(names) => {
                    self.universe = names;
                    KillReply::Next
                }
                Err(_) => KillReply::Refused,
            });
        }
        if request.text().starts_with(EXCHANGE) {
            // Some of a batch may have ended meanwhile; the next round asks what is left.
            return Ok(if is_accepted(body) { KillReply::Next } else { KillReply::Refused });
        }
        let Ok(open) = open_orders(body) else { return Ok(KillReply::Refused) };
        if open.is_empty() {
            return Ok(KillReply::Clear);
        }
        // What cannot be named is cancelled by nobody: the list stays, and the kill says that it is not confirmed.
        let named: Vec<(u64, u64)> =
            open.iter().filter_map(|(coin, order)| Some((self.asset(coin)?, *order))).collect();
        for batch in named.chunks(BATCH) {
            out.push(self.cancel(batch, now)?);
        }
        Ok(if named.is_empty() { KillReply::Refused } else { KillReply::Next })
    }
}

/// The names of `{"universe":[{"name":…},…]}`; a name's place is its number.
fn universe(body: &[u8]) -> Parsed<Vec<Vec<u8>>> {
    let (mut names, mut c) = (Vec::new(), Cursor::new(body));
    c.object(|key, c| {
        if key != b"universe" {
            return c.skip();
        }
        c.array(|c| {
            let mut name = None;
            c.object(|key, c| match key {
                b"name" => c.string().map(|text| name = Some(text.to_vec())),
                _ => c.skip(),
            })?;
            names.push(name.ok_or(DecodeError::Missing("name"))?);
            Ok(())
        })
    })?;
    c.end()?;
    Ok(names)
}

/// Coin and number of each open order.
fn open_orders(body: &[u8]) -> Parsed<Vec<(&[u8], u64)>> {
    let (mut open, mut c) = (Vec::new(), Cursor::new(body));
    c.array(|c| {
        let (mut coin, mut order) = (None, None);
        c.object(|key, c| {
            match key {
                b"coin" => coin = Some(c.string()?),
                b"oid" => order = Some(c.uint("oid")?),
                _ => c.skip()?,
            }
            Ok(())
        })?;
        open.push((coin.ok_or(DecodeError::Missing("coin"))?, order.ok_or(DecodeError::Missing("oid"))?));
        Ok(())
    })?;
    c.end()?;
    Ok(open)
}

/// `{"status":"ok",…}`.
fn is_accepted(body: &[u8]) -> bool {
    let mut accepted = false;
    let read = Cursor::new(body).object(|key, c| {
        if key == b"status" && c.kind()? == Kind::String {
            accepted = c.string()? == b"ok";
            return Ok(());
        }
        c.skip()
    });
    accepted && read.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::SECOND;

    const NOW: Stamp = Stamp { mono: 0, wall: 1_790_000_000 * SECOND };

    fn text(payload: &Payload) -> &str {
        std::str::from_utf8(payload.text()).unwrap()
    }

    #[test]
    fn open_orders_are_cancelled_in_batches_that_fit_a_message_and_none_is_clear() {
        let (mut kill, mut out) = (HyperliquidKill::default(), Vec::new());
        kill.begin(NOW, &mut out).unwrap();
        let [meta, ask] = [out[0], out[1]];
        out.clear();
        let universe = br#"{"universe":[{"name":"ETH","szDecimals":4},{"szDecimals":5,"name":"BTC"}],"marginTables":[]}"#;
        assert_eq!(kill.on_reply(&meta, 200, universe, NOW, &mut out), Ok(KillReply::Next));
        kill.begin(NOW, &mut out).unwrap();
        assert_eq!(out.len(), 1, "listed once");
        out.clear();
        let row = |id: usize| {
            format!(r#"{{"coin":"BTC","oid":{},"side":"B","sz":"1.0"}}"#, u64::MAX / 4 + id as u64)
        };
        let rows: Vec<String> = (0..31).map(row).collect();
        let body = format!("[{}]", rows.join(","));
        assert_eq!(kill.on_reply(&ask, 200, body.as_bytes(), NOW, &mut out), Ok(KillReply::Next));
        assert_eq!(
            out.iter().map(|batch| text(batch).matches("\"a\":1").count()).collect::<Vec<_>>(),
            [15, 15, 1]
        );
        assert!(
            text(&out[2]).contains("\"nonce\":1790000000002,\"signature\":,\"vaultAddress\":null"),
            "{}",
            text(&out[2])
        );
        let packed = [
            &b"\x82\xa4type\xa6cancel\xa7cancels\x91\x82\xa1a\x01\xa1o\xcf"[..],
            &(u64::MAX / 4 + 30).to_be_bytes(),
        ]
        .concat();
        assert!(out[2].sign_text().starts_with(&packed) && out[2].sign_text().len() == packed.len() + 9);
        let sent = out[0];
        for (reply, verdict) in [
            (&br#"{"status":"ok","response":{"type":"cancel","data":{"statuses":["success",{"error":"gone"}]}}}"#[..], KillReply::Next),
            (br#"{"status":"err","response":"Invalid nonce: duplicate nonce"}"#, KillReply::Refused),
            (b"", KillReply::Refused),
        ] {
            assert_eq!(kill.on_reply(&sent, 200, reply, NOW, &mut out), Ok(verdict));
        }
        out.clear();
        assert_eq!(kill.on_reply(&ask, 200, b"[]", NOW, &mut out), Ok(KillReply::Clear));
        assert_eq!(kill.on_reply(&ask, 429, b"[]", NOW, &mut out), Ok(KillReply::Refused));
        for bad in [&b"null"[..], b"{}", br#"[{"coin":"BTC"}]"#, b"[] x"] {
            assert_eq!(kill.on_reply(&ask, 200, bad, NOW, &mut out), Ok(KillReply::Refused));
        }
        assert!(out.is_empty());
    }

    #[test]
    fn spot_orders_are_cancelled_too_and_what_has_no_number_is_never_clear() {
        let (mut kill, mut out) = (HyperliquidKill::default(), Vec::new());
        kill.begin(NOW, &mut out).unwrap();
        let ask = out[1];
        out.clear();
        let body = br#"[{"coin":"@107","oid":5},{"coin":"PURR/USDC","oid":6},{"coin":"xyz:SILVER","oid":7}]"#;
        assert_eq!(kill.on_reply(&ask, 200, body, NOW, &mut out), Ok(KillReply::Next));
        assert!(text(&out[0]).contains(r#"[{"a":10107,"o":5},{"a":10000,"o":6}]"#), "{}", text(&out[0]));
        out.clear();
        let unknown = br#"[{"coin":"BTC","oid":7}]"#;
        assert_eq!(kill.on_reply(&ask, 200, unknown, NOW, &mut out), Ok(KillReply::Refused));
        assert!(out.is_empty());
    }
}
