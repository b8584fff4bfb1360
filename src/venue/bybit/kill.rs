//! The kill beside the river: cancels all linear orders by settlement coin, and asks what is left of each.

use super::calls::COINS;
use super::encoder::{Listed, signed_get, signed_post};
use super::rows::{Reply, envelope};
use crate::domain::effect::{Payload, PayloadFull};
use crate::domain::time::Stamp;
use crate::venue::{KillReply, KillSwitch};

/// Cancels all orders of linear contracts, whichever listings we have.
#[derive(Debug, Default)]
pub(super) struct BybitKill {
    /// Coins of which no order was open, in this round.
    clear: [bool; COINS.len()],
}

impl KillSwitch for BybitKill {
    fn begin(&mut self, now: Stamp, out: &mut Vec<Payload>) -> Result<(), PayloadFull> {
        self.clear = [false; COINS.len()];
        for coin in COINS {
            let mut cancel = Payload::new();
            let body = [b"{\"category\":\"linear\",\"settleCoin\":\"", coin.as_bytes(), b"\"}"];
            signed_post("/v5/order/cancel-all", &body, now, &mut cancel)?;
            out.push(cancel);
        }
        for coin in COINS {
            let mut ask = Payload::new();
            let query = format_args!("category=linear&settleCoin={coin}&limit=50");
            signed_get(&Listed { path: "/v5/order/realtime", query, cursor: None }, now, &mut ask)?;
            out.push(ask);
        }
        Ok(())
    }

    fn on_reply(
        &mut self,
        request: &Payload,
        status: u16,
        body: &[u8],
        _: Stamp,
        _: &mut Vec<Payload>,
    ) -> Result<KillReply, PayloadFull> {
        let Some(reply) = envelope(body).ok().filter(|reply| status == 200 && reply.code == 0) else {
            return Ok(KillReply::Refused);
        };
        let line = request.text().split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.starts_with(b"POST") {
            // Accepted, not done: the question tells, in this round or the next.
            return Ok(KillReply::Next);
        }
        let Some(open) = open_orders(&reply) else { return Ok(KillReply::Refused) };
        let asked = |coin: &str| memchr::memmem::find(line, coin.as_bytes()).is_some();
        if let Some(at) = COINS.iter().position(|coin| asked(coin)) {
            self.clear[at] = open == 0 && !reply.more;
        }
        Ok(if self.clear == [true; COINS.len()] { KillReply::Clear } else { KillReply::Next })
    }
}

/// How many orders a reply lists; `None` when it is not what it should be.
fn open_orders(reply: &Reply<'_>) -> Option<usize> {
    let mut count = 0;
    reply
        .list?
        .array(|row| {
            count += 1;
            row.skip()
        })
        .ok()?;
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_clear_only_when_no_coin_has_an_open_order_left() {
        let (mut out, now) = (Vec::new(), Stamp::default());
        let mut kill = BybitKill::default();
        kill.begin(now, &mut out).unwrap();
        let text = |payload: &Payload| String::from_utf8(payload.text().to_vec()).unwrap();
        assert!(
            text(&out[0]).starts_with("POST /v5/order/cancel-all\nX-BAPI-API-KEY: "),
            "{}",
            text(&out[0])
        );
        assert!(text(&out[1]).ends_with("\n\n{\"category\":\"linear\",\"settleCoin\":\"USDC\"}"));
        let say = |kill: &mut BybitKill, request: usize, status, body: &str| {
            let reply = kill.on_reply(&out[request], status, body.as_bytes(), now, &mut Vec::new());
            reply.unwrap()
        };
        let list = |rows: &str, cursor: &str| {
            format!(
                r#"{{"retCode":0,"result":{{"category":"linear","list":[{rows}],"nextPageCursor":"{cursor}"}}}}"#
            )
        };
        let cancelled = r#"{"retCode":0,"retMsg":"OK","result":{"list":[{"orderId":"a"}],"success":"1"}}"#;
        assert_eq!(say(&mut kill, 0, 200, cancelled), KillReply::Next);
        assert_eq!(say(&mut kill, 2, 200, &list(r#"{"orderId":"a"}"#, "")), KillReply::Next);
        assert_eq!(say(&mut kill, 3, 200, &list("", "")), KillReply::Next, "the other coin has one");
        assert_eq!(say(&mut kill, 2, 200, &list("", "more")), KillReply::Next);
        assert_eq!(say(&mut kill, 2, 200, &list("", "")), KillReply::Clear);
        let mut again = Vec::new();
        kill.begin(now, &mut again).unwrap();
        assert_eq!(
            say(&mut kill, 2, 200, &list("", "")),
            KillReply::Next,
            "a round begins with nothing known"
        );
        for (status, bad) in [(200, "{}"), (200, r#"{"retCode":10006,"result":{}}"#), (403, ""), (0, "")] {
            assert_eq!(say(&mut kill, 3, status, bad), KillReply::Refused);
            assert_eq!(say(&mut kill, 0, status, bad), KillReply::Refused);
        }
        assert_eq!(say(&mut kill, 3, 200, r#"{"retCode":0,"result":{}}"#), KillReply::Refused);
    }
}
