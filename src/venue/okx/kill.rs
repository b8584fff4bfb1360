//! The kill beside the river: asks for the pending swap orders and cancels them in batches, until there are none.

use super::encoder::{signed, signed_get};
use super::rows::envelope;
use crate::domain::effect::{Payload, PayloadFull};
use crate::domain::time::Stamp;
use crate::venue::json::Cursor;
use crate::venue::{KillReply, KillSwitch};

/// Orders of one batch. The venue takes 20; a message holds its body twice, once to be signed.
const BATCH: usize = 10;

/// Cancels all orders of swaps.
#[derive(Debug)]
pub(super) struct OkxKill;

impl KillSwitch for OkxKill {
    fn begin(&mut self, now: Stamp, out: &mut Vec<Payload>) -> Result<(), PayloadFull> {
        let mut ask = Payload::new();
        signed_get(format_args!("/api/v5/trade/orders-pending?instType=SWAP"), now, &mut ask)?;
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
        if request.text().starts_with(b"POST") {
            // Some of a batch may have ended meanwhile; the next round asks what is left.
            return Ok(if status == 200 { KillReply::Next } else { KillReply::Refused });
        }
        let Some(items) = pending(body).filter(|_| status == 200) else { return Ok(KillReply::Refused) };
        for batch in items.chunks(BATCH) {
            let body = [b"[".as_slice(), &batch.join(&b","[..]), b"]"].concat();
            let mut cancel = Payload::new();
            signed("POST", format_args!("/api/v5/trade/cancel-batch-orders"), &body, now, &mut cancel)?;
            out.push(cancel);
        }
        Ok(if items.is_empty() { KillReply::Clear } else { KillReply::Next })
    }
}

/// Each pending order as an argument of the batch cancel; `None` when the reply is not what it should be.
fn pending(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (0, Some(mut rows)) = envelope(body).ok()? else { return None };
    let mut items = Vec::new();
    rows.array(|row| {
        let (mut instrument, mut order): (&[u8], &[u8]) = (b"", b"");
        row.object(|key, value: &mut Cursor<'_>| {
            match key {
                b"instId" => instrument = value.string()?,
                b"ordId" => order = value.string()?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        if instrument.is_empty() || order.is_empty() {
            return row.bad();
        }
        items.push([b"{\"instId\":\"".as_slice(), instrument, b"\",\"ordId\":\"", order, b"\"}"].concat());
        Ok(())
    })
    .ok()?;
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_orders_are_cancelled_in_batches_that_fit_a_message_and_none_is_clear() {
        let row = |id: usize| format!("{{\"instId\":\"BTC-USDT-SWAP\",\"ordId\":\"{id}\",\"sz\":\"1\"}}");
        let rows: Vec<String> = (0..41).map(row).collect();
        let body = format!("{{\"code\":\"0\",\"msg\":\"\",\"data\":[{}]}}", rows.join(","));
        let (mut out, now) = (Vec::new(), Stamp::default());
        OkxKill.begin(now, &mut out).unwrap();
        let ask = out.pop().unwrap();
        assert_eq!(OkxKill.on_reply(&ask, 200, body.as_bytes(), now, &mut out), Ok(KillReply::Next));
        let texts: Vec<&str> =
            out.iter().map(|payload| std::str::from_utf8(payload.text()).unwrap()).collect();
        assert_eq!(
            texts.iter().map(|text| text.matches("ordId").count()).collect::<Vec<_>>(),
            [10, 10, 10, 10, 1]
        );
        assert!(texts[4].ends_with("[{\"instId\":\"BTC-USDT-SWAP\",\"ordId\":\"40\"}]"), "{}", texts[4]);
        out.clear();
        let none = br#"{"code":"0","msg":"","data":[]}"#;
        assert_eq!(OkxKill.on_reply(&ask, 200, none, now, &mut out), Ok(KillReply::Clear));
        for bad in
            [&b"{}"[..], br#"{"code":"50011","msg":"slow down","data":[]}"#, br#"{"code":"0","data":[{}]}"#]
        {
            assert_eq!(OkxKill.on_reply(&ask, 200, bad, now, &mut out), Ok(KillReply::Refused));
        }
        assert_eq!(OkxKill.on_reply(&ask, 429, none, now, &mut out), Ok(KillReply::Refused));
        assert!(out.is_empty());
    }
}
