//! The kill beside the river: cancels everything of the account at once, then asks what is still open, until nothing
//! is. Over HTTP, each request signed by itself: no token is needed, so none has to be kept.

use super::parse::{Frame, Parser};
use crate::domain::effect::{HoleKind, Payload, PayloadFull, SignScheme};
use crate::domain::time::Stamp;
use crate::venue::full::Full;
use crate::venue::json::Kind;
use crate::venue::{KillReply, KillSwitch};
use std::fmt::Write;

/// All orders of all kinds and currencies, trigger orders too.
const CANCEL_ALL: &str = "/api/v2/private/cancel_all";
/// The same when they are listed.
const OPEN_ORDERS: &str = "/api/v2/private/get_open_orders";

/// Cancels all orders of the account.
#[derive(Debug)]
pub(super) struct DeribitKill {
    parser: Parser,
    /// A nonce is used once.
    requests: u32,
}

impl DeribitKill {
    /// With its scratch space.
    pub fn new() -> Self {
        Self { parser: Parser::new(), requests: 0 }
    }

    /// `deri-hmac-sha256`: signs time, nonce, method, path and body, each with a line end.
    fn signed(&mut self, path: &str, now: Stamp) -> Result<Payload, PayloadFull> {
        self.requests = self.requests.wrapping_add(1);
        let (ms, number) = (now.wall_ms(), self.requests);
        let mut to = Payload::new();
        write!(to, "GET {path}\nAuthorization: deri-hmac-sha256 id=").map_err(|_| PayloadFull)?;
        to.push_hole(HoleKind::ApiKey)?;
        write!(to, ",ts={ms},nonce={ms}-{number},sig=").map_err(|_| PayloadFull)?;
        to.push_hole(HoleKind::Signature)?;
        to.push(b"\n\n")?;
        to.push_sign(format!("{ms}\n{ms}-{number}\nGET\n{path}\n\n").as_bytes())?;
        to.scheme = SignScheme::HmacSha256Hex;
        Ok(to)
    }
}

impl KillSwitch for DeribitKill {
    fn begin(&mut self, now: Stamp, out: &mut Vec<Payload>) -> Result<(), PayloadFull> {
        for path in [CANCEL_ALL, OPEN_ORDERS] {
            out.push(self.signed(path, now)?);
        }
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
        let listed = request.text()[4..].starts_with(OPEN_ORDERS.as_bytes());
        let mut full = Full::new();
        let Ok(Frame::Result { mut data, .. }) = self.parser.parse(body, &mut full) else {
            return Ok(KillReply::Refused);
        };
        let mut open = 0;
        let read = match data.kind() {
            Ok(Kind::Array) if listed => data.array(|row| {
                open += 1;
                row.skip()
            }),
            Ok(Kind::Number) if !listed => data.skip(),
            _ => return Ok(KillReply::Refused),
        };
        Ok(match (status, read) {
            (200, Ok(())) if listed && open == 0 => KillReply::Clear,
            (200, Ok(())) => KillReply::Next,
            _ => KillReply::Refused,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_cancelled_at_once_and_clear_is_what_the_venue_lists_as_nothing() {
        let (mut out, now) = (Vec::new(), Stamp { mono: 0, wall: 1_609_459_200_000_000_000 });
        let mut kill = DeribitKill::new();
        kill.begin(now, &mut out).unwrap();
        let (cancel, ask) = (out[0], out[1]);
        let text = |payload: &Payload| String::from_utf8(payload.text().to_vec()).unwrap();
        assert_eq!(
            text(&cancel),
            "GET /api/v2/private/cancel_all\nAuthorization: deri-hmac-sha256 id=,ts=1609459200000,nonce=1609459200000-1,sig=\n\n"
        );
        assert_eq!(
            ask.sign_text(),
            b"1609459200000\n1609459200000-2\nGET\n/api/v2/private/get_open_orders\n\n"
        );
        let mut said = |request: &Payload, status, body: &str| {
            kill.on_reply(request, status, body.as_bytes(), now, &mut Vec::new()).unwrap()
        };
        assert_eq!(said(&cancel, 200, r#"{"jsonrpc":"2.0","result":4,"testnet":true}"#), KillReply::Next);
        let left = r#"{"jsonrpc":"2.0","result":[{"order_id":"ETH-1","price":"market_price"}]}"#;
        assert_eq!(said(&ask, 200, left), KillReply::Next);
        assert_eq!(said(&ask, 200, r#"{"result":[],"usIn":1}"#), KillReply::Clear);
        let limited = r#"{"jsonrpc":"2.0","error":{"message":"too_many_requests","code":10028}}"#;
        for (request, status, body) in [
            (&cancel, 400, limited),
            (&ask, 400, limited),
            (&cancel, 200, r#"{"result":[]}"#),
            (&ask, 200, r#"{"result":0}"#),
            (&ask, 500, r#"{"result":[]}"#),
            (&ask, 200, "[]"),
            (&ask, 0, ""),
        ] {
            assert_eq!(said(request, status, body), KillReply::Refused, "{status} {body}");
        }
        assert!(out.iter().all(|payload| payload.text_holes().len() == 2));
    }
}
