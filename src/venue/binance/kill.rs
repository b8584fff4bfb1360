//! The kill beside the river: cancels everything per symbol, then asks what is still open, until nothing is.

use super::{RestPaths, Variant};
use crate::domain::effect::{HoleKind, Payload, PayloadFull, SignScheme};
use crate::domain::params::SessionKind;
use crate::domain::time::Stamp;
use crate::venue::json::Cursor;
use crate::venue::{KillReply, KillSwitch, VenueContext};
use std::fmt::Write;

/// `recvWindow`, ms: the venue's default.
const RECV_WINDOW: i64 = 5_000;

/// Cancels all orders of an account: those of configured symbols at once, others once the venue names them.
#[derive(Debug)]
pub(super) struct BinanceKill {
    rest: &'static RestPaths,
    scheme: SignScheme,
    symbols: Vec<String>,
}

impl BinanceKill {
    /// For the listings of `context` on that market.
    pub fn new(variant: &'static Variant, context: &VenueContext) -> Self {
        let scheme = match context.params.session {
            SessionKind::Signed => SignScheme::HmacSha256Hex,
            SessionKind::Logon => SignScheme::Ed25519Percent,
        };
        let symbols = context.listings.iter().map(|listing| listing.symbol.to_string()).collect();
        Self { rest: &variant.rest, scheme, symbols }
    }
}

impl KillSwitch for BinanceKill {
    fn begin(&mut self, now: Stamp, out: &mut Vec<Payload>) -> Result<(), PayloadFull> {
        for symbol in &self.symbols {
            out.push(signed(
                "DELETE",
                self.rest.all_open_orders,
                &format!("symbol={symbol}&"),
                self.scheme,
                now,
            )?);
        }
        out.push(signed("GET", self.rest.open_orders, "", self.scheme, now)?);
        Ok(())
    }

    fn on_reply(
        &mut self,
        request: &Payload,
        status: u16,
        body: &[u8],
        _now: Stamp,
        _out: &mut Vec<Payload>,
    ) -> Result<KillReply, PayloadFull> {
        if request.text().starts_with(b"DELETE") {
            return Ok(if status == 200 { KillReply::Next } else { KillReply::Refused });
        }
        let Some(open) = symbols(body).filter(|_| status == 200) else { return Ok(KillReply::Refused) };
        if open.is_empty() {
            return Ok(KillReply::Clear);
        }
        // The next round cancels only what is left.
        self.symbols = open;
        Ok(KillReply::Next)
    }
}

/// Distinct symbols of the open orders in a reply; `None` when it is not what it should be.
fn symbols(body: &[u8]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut cursor = Cursor::new(body);
    cursor
        .array(|row| {
            let mut symbol: &[u8] = b"";
            row.object(|key, value| {
                if key == b"symbol" {
                    symbol = value.string()?;
                    return Ok(());
                }
                value.skip()
            })?;
            match std::str::from_utf8(symbol) {
                Ok(symbol) if !symbol.is_empty() => found.push(symbol.to_owned()),
                _ => return row.bad(),
            }
            Ok(())
        })
        .and_then(|()| cursor.end())
        .ok()?;
    found.sort_unstable();
    found.dedup();
    Some(found)
}

fn signed(
    method: &str,
    path: &str,
    query: &str,
    scheme: SignScheme,
    now: Stamp,
) -> Result<Payload, PayloadFull> {
    let mut to = Payload::new();
    let signed = format!("{query}recvWindow={RECV_WINDOW}&timestamp={}", now.wall_ms());
    write!(to, "{method} {path}?{signed}&signature=").map_err(|_| PayloadFull)?;
    to.push_hole(HoleKind::Signature)?;
    to.push(b"\nX-MBX-APIKEY: ")?;
    to.push_hole(HoleKind::ApiKey)?;
    to.push(b"\n\n")?;
    to.push_sign(signed.as_bytes())?;
    to.scheme = scheme;
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_venue_still_names_is_cancelled_in_the_next_round_until_it_names_nothing() {
        let (mut out, now) = (Vec::new(), Stamp::default());
        let mut kill = BinanceKill {
            rest: &super::super::USDM.rest,
            scheme: SignScheme::HmacSha256Hex,
            symbols: vec!["BTCUSDT".into(), "ETHUSDT".into()],
        };
        kill.begin(now, &mut out).unwrap();
        let text = |payload: &Payload| String::from_utf8(payload.text().to_vec()).unwrap();
        assert!(text(&out[1]).starts_with("DELETE /fapi/v1/allOpenOrders?symbol=ETHUSDT&recvWindow="));
        let ask = out.remove(2);
        assert_eq!(kill.on_reply(&out[0], 200, b"{}", now, &mut Vec::new()), Ok(KillReply::Next));
        assert_eq!(kill.on_reply(&out[0], 429, b"{}", now, &mut Vec::new()), Ok(KillReply::Refused));
        let left = br#"[{"orderId":1,"symbol":"SOLUSDT"},{"symbol":"SOLUSDT","orderId":2}]"#;
        assert_eq!(kill.on_reply(&ask, 200, left, now, &mut Vec::new()), Ok(KillReply::Next));
        assert_eq!(kill.symbols, ["SOLUSDT"]);
        assert_eq!(kill.on_reply(&ask, 200, b"[]", now, &mut Vec::new()), Ok(KillReply::Clear));
        for bad in [&b"{\"code\":-1}"[..], b"[{}]", b"[", b""] {
            assert_eq!(kill.on_reply(&ask, 200, bad, now, &mut Vec::new()), Ok(KillReply::Refused));
        }
    }
}
