//! Rows of Hyperliquid's private channels and HTTP replies: orders, fills, fundings, replies to posted
//! requests, positions and balance. Pure parsing; what a row means for the engine is said in
//! [`super::account`].

use super::calls::{Posted, post_id};
use super::parse::{Result, side};
use crate::domain::money::{MONEY_SCALE, Money};
use crate::domain::number::Num;
use crate::domain::order::{ClientId, Side};
use crate::domain::text::Currency;
use crate::venue::json::{Cursor, Kind};
use crate::venue::message::DecodeError;

/// An order as `orderUpdates`, `frontendOpenOrders` or `orderStatus` states it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderRow<'a> {
    /// The coin.
    pub symbol: &'a [u8],
    /// Our id; none for orders of someone else.
    pub client_id: ClientId,
    /// `oid`.
    pub order_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// `sz`: what is unfilled.
    pub rest: Num,
    /// `origSz`.
    pub size: Num,
    /// `timestamp` of the placement, ms.
    pub placed_ms: i64,
    /// `status`; empty in lists of open orders.
    pub status: &'a [u8],
    /// `statusTimestamp`, ms; 0 in lists of open orders.
    pub time_ms: i64,
}

impl OrderRow<'_> {
    /// What was filled of it.
    pub fn filled(&self) -> Option<Num> {
        let scale = self.rest.scale.max(self.size.scale);
        let filled = self.size.at_scale(scale)?.checked_sub(self.rest.at_scale(scale)?)?;
        (filled >= 0).then(|| Num::new(filled, scale))
    }
}

/// Reads the fields of an order itself.
pub(super) fn order<'a>(c: &mut Cursor<'a>) -> Result<OrderRow<'a>> {
    let mut row = OrderRow {
        symbol: b"",
        client_id: ClientId::NONE,
        order_id: 0,
        side: Side::Buy,
        rest: Num::ZERO,
        size: Num::ZERO,
        placed_ms: 0,
        status: b"",
        time_ms: 0,
    };
    let (mut id, mut way, mut rest, mut size) = (None, None, None, None);
    c.object(|key, c| {
        match key {
            b"coin" => row.symbol = c.string()?,
            b"cloid" => row.client_id = cloid(c)?,
            b"oid" => id = Some(c.uint("oid")?),
            b"side" => way = Some(side(c)?),
            b"sz" => rest = Some(c.num("sz")?),
            b"origSz" => size = Some(c.num("origSz")?),
            b"timestamp" => row.placed_ms = c.int("timestamp")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    row.order_id = id.ok_or(DecodeError::Missing("oid"))?;
    row.side = way.ok_or(DecodeError::Missing("side"))?;
    row.rest = rest.ok_or(DecodeError::Missing("sz"))?;
    row.size = size.unwrap_or(row.rest);
    Ok(row)
}

/// Reads `{"order":{…},"status":"…","statusTimestamp":…}`.
pub(super) fn order_update<'a>(c: &mut Cursor<'a>) -> Result<OrderRow<'a>> {
    let (mut row, mut status, mut time_ms) = (None, None, 0);
    c.object(|key, c| {
        match key {
            b"order" => row = Some(order(c)?),
            b"status" => status = Some(c.string()?),
            b"statusTimestamp" => time_ms = c.int("statusTimestamp")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let row = row.ok_or(DecodeError::Missing("order"))?;
    Ok(OrderRow { status: status.ok_or(DecodeError::Missing("status"))?, time_ms, ..row })
}

/// Reads the reply to `orderStatus`; `None` when the venue does not know the order.
pub(super) fn order_status(body: &[u8]) -> Result<Option<OrderRow<'_>>> {
    let (mut status, mut row): (&[u8], Option<Cursor<'_>>) = (b"", None);
    let mut c = Cursor::new(body);
    c.object(|key, c| {
        match key {
            b"status" => status = c.string()?,
            b"order" => {
                row = Some(*c);
                c.skip()?;
            }
            _ => c.skip()?,
        }
        Ok(())
    })?;
    c.end()?;
    match (status, row) {
        (b"unknownOid", _) => Ok(None),
        (b"order", Some(mut row)) => order_update(&mut row).map(Some),
        _ => Err(DecodeError::Field("status")),
    }
}

/// A fill as `userFills` states it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FillRow<'a> {
    /// The coin.
    pub symbol: &'a [u8],
    /// Our id of the order.
    pub client_id: ClientId,
    /// `oid` of the order.
    pub order_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// `tid`: a hash of 50 bits.
    pub trade_id: u64,
    /// `sz`.
    pub qty: Num,
    /// `px`.
    pub price: Num,
    /// `fee` (positive = charged).
    pub cost: Money,
    /// `feeToken`.
    pub fee_currency: Currency,
    /// Not `crossed`.
    pub maker: bool,
    /// `time`, ms.
    pub time_ms: i64,
}

/// Bits of a `tid`.
const TRADE_ID_BITS: u32 = 50;

impl FillRow<'_> {
    /// A name that is unique for a coin: the hash alone is unique only with the time.
    pub fn name(&self) -> u64 {
        (self.trade_id & ((1 << TRADE_ID_BITS) - 1)) | self.time_ms.unsigned_abs() << TRADE_ID_BITS
    }
}

/// Reads one fill.
pub(super) fn fill<'a>(c: &mut Cursor<'a>) -> Result<FillRow<'a>> {
    let (mut symbol, mut client_id): (&[u8], _) = (b"", ClientId::NONE);
    let (mut order_id, mut way, mut trade_id, mut qty, mut price) = (None, None, None, None, None);
    let (mut cost, mut fee_currency, mut maker, mut time) = (None, Currency::EMPTY, false, None);
    c.object(|key, c| {
        match key {
            b"coin" => symbol = c.string()?,
            b"cloid" => client_id = cloid(c)?,
            b"oid" => order_id = Some(c.uint("oid")?),
            b"side" => way = Some(side(c)?),
            b"tid" => trade_id = Some(c.uint("tid")?),
            b"sz" => qty = Some(c.num("sz")?),
            b"px" => price = Some(c.num("px")?),
            b"fee" => cost = Some(money(c, "fee")?),
            b"feeToken" => fee_currency = Currency::from_bytes(c.string()?).unwrap_or(Currency::EMPTY),
            b"crossed" => maker = !c.boolean("crossed")?,
            b"time" => time = Some(c.int("time")?),
            _ => c.skip()?,
        }
        Ok(())
    })?;
    Ok(FillRow {
        symbol,
        client_id,
        order_id: order_id.ok_or(DecodeError::Missing("oid"))?,
        side: way.ok_or(DecodeError::Missing("side"))?,
        trade_id: trade_id.ok_or(DecodeError::Missing("tid"))?,
        qty: qty.ok_or(DecodeError::Missing("sz"))?,
        price: price.ok_or(DecodeError::Missing("px"))?,
        cost: cost.ok_or(DecodeError::Missing("fee"))?,
        fee_currency,
        maker,
        time_ms: time.ok_or(DecodeError::Missing("time"))?,
    })
}

/// A funding payment.
#[derive(Clone, Copy, Debug)]
pub(super) struct FundingRow<'a> {
    /// The coin.
    pub symbol: &'a [u8],
    /// `usdc`: positive = received.
    pub amount: Money,
    /// `time`, ms.
    pub time_ms: i64,
}

/// Reads one funding payment.
pub(super) fn funding<'a>(c: &mut Cursor<'a>) -> Result<FundingRow<'a>> {
    let (mut symbol, mut amount, mut time): (&[u8], _, _) = (b"", None, None);
    c.object(|key, c| {
        match key {
            b"coin" => symbol = c.string()?,
            b"usdc" => amount = Some(money(c, "usdc")?),
            b"time" => time = Some(c.int("time")?),
            _ => c.skip()?,
        }
        Ok(())
    })?;
    Ok(FundingRow {
        symbol,
        amount: amount.ok_or(DecodeError::Missing("usdc"))?,
        time_ms: time.ok_or(DecodeError::Missing("time"))?,
    })
}

/// Reads `{"isSnapshot":…,"user":…,"<list>":[…]}`: whether it is a snapshot, and the cursor at the list.
pub(super) fn user_rows<'a>(c: &mut Cursor<'a>, list: &'static str) -> Result<(bool, Cursor<'a>)> {
    let (mut snapshot, mut rows) = (false, None);
    c.object(|key, c| {
        match key {
            b"isSnapshot" if c.kind()? == Kind::Bool => snapshot = c.boolean("isSnapshot")?,
            key if key == list.as_bytes() => {
                rows = Some(*c);
                c.skip()?;
            }
            _ => c.skip()?,
        }
        Ok(())
    })?;
    Ok((snapshot, rows.ok_or(DecodeError::Missing(list))?))
}

/// What the venue says of one action of a posted request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome<'a> {
    /// Resting, waiting for a trigger, or done (cancels): accepted, and no more.
    Accepted {
        /// `oid`, 0 when not stated.
        order_id: u64,
    },
    /// Matched at once, so far as stated.
    Filled {
        /// `oid`.
        order_id: u64,
        /// `totalSz`.
        qty: Num,
    },
    /// Refused; the text.
    Refused(&'a [u8]),
}

/// Reads the `data` of a `post` reply: the request's number, and each status in order. Where the whole
/// request was refused there is one error for all of it. An `ok` above them means nothing.
pub(super) fn posted<'a>(c: &mut Cursor<'a>, mut each: impl FnMut(u64, Outcome<'a>)) -> Result<()> {
    let (mut id, mut response): (Option<u64>, Option<Cursor<'a>>) = (None, None);
    c.object(|key, c| {
        match key {
            b"id" => id = Some(c.uint("id")?),
            b"response" => {
                response = Some(*c);
                c.skip()?;
            }
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let id = id.ok_or(DecodeError::Missing("id"))?;
    let mut payload = None;
    response.ok_or(DecodeError::Missing("response"))?.object(|key, c| {
        if key == b"payload" {
            payload = Some(*c);
        }
        c.skip()
    })?;
    let mut payload = payload.ok_or(DecodeError::Missing("payload"))?;
    if payload.kind()? == Kind::String {
        // `type` is `error`: refused before it was looked at.
        each(id, Outcome::Refused(payload.string()?));
        return Ok(());
    }
    exchange(&mut payload, |outcome| each(id, outcome))
}

/// Reads `{"status":"ok"|"err","response":…}`.
fn exchange<'a>(c: &mut Cursor<'a>, mut each: impl FnMut(Outcome<'a>)) -> Result<()> {
    let mut response: Option<Cursor<'a>> = None;
    c.object(|key, c| {
        if key == b"response" {
            response = Some(*c);
        }
        c.skip()
    })?;
    let mut response = response.ok_or(DecodeError::Missing("response"))?;
    if response.kind()? == Kind::String {
        each(Outcome::Refused(response.string()?));
        return Ok(());
    }
    let mut statuses: Option<Cursor<'a>> = None;
    response.object(|key, c| {
        if key != b"data" {
            return c.skip();
        }
        c.object(|key, c| {
            if key == b"statuses" {
                statuses = Some(*c);
            }
            c.skip()
        })
    })?;
    let Some(mut statuses) = statuses else {
        // `{"type":"default"}`: accepted, with nothing to say.
        each(Outcome::Accepted { order_id: 0 });
        return Ok(());
    };
    statuses.array(|c| {
        each(status(c)?);
        Ok(())
    })
}

fn status<'a>(c: &mut Cursor<'a>) -> Result<Outcome<'a>> {
    if c.kind()? == Kind::String {
        return match c.string()? {
            b"success" | b"waitingForFill" | b"waitingForTrigger" => Ok(Outcome::Accepted { order_id: 0 }),
            _ => Err(DecodeError::Field("statuses")),
        };
    }
    let mut outcome = None;
    c.object(|key, c| {
        match key {
            b"error" => outcome = Some(Outcome::Refused(c.string()?)),
            b"resting" | b"filled" => {
                let (mut order_id, mut qty) = (0, None);
                c.object(|key, c| {
                    match key {
                        b"oid" => order_id = c.uint("oid")?,
                        b"totalSz" => qty = Some(c.num("totalSz")?),
                        _ => c.skip()?,
                    }
                    Ok(())
                })?;
                outcome = Some(match qty {
                    Some(qty) => Outcome::Filled { order_id, qty },
                    None => Outcome::Accepted { order_id },
                });
            }
            _ => c.skip()?,
        }
        Ok(())
    })?;
    outcome.ok_or(DecodeError::Field("statuses"))
}

/// A position.
#[derive(Clone, Copy, Debug)]
pub(super) struct PositionRow<'a> {
    /// The coin.
    pub symbol: &'a [u8],
    /// `szi`: signed.
    pub qty: Num,
    /// `entryPx`, informative; zero when flat.
    pub entry: Num,
    /// `unrealizedPnl`.
    pub unrealised: Money,
    /// `leverage`: cross margin or not, and its value.
    pub leverage: Option<(bool, i64)>,
    /// Not a net position: there is no such thing at the venue today.
    pub hedged: bool,
}

/// What `clearinghouseState` says besides the positions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StateRow {
    /// `marginSummary.accountValue` less the unrealised profit of all positions.
    pub wallet: Money,
    /// `withdrawable`.
    pub available: Option<Money>,
    /// `time`, ms.
    pub time_ms: i64,
}

/// Reads `clearinghouseState` and hands out each position.
pub(super) fn state<'a>(body: &'a [u8], mut each: impl FnMut(PositionRow<'a>)) -> Result<StateRow> {
    let mut row = StateRow::default();
    let (mut value, mut unrealised, mut listed) = (None, Money::ZERO, false);
    let mut c = Cursor::new(body);
    c.object(|key, c| {
        match key {
            b"assetPositions" => {
                listed = true;
                c.array(|c| {
                    let (mut hedged, mut row) = (false, None);
                    c.object(|key, c| {
                        match key {
                            b"type" => hedged = c.string()? != b"oneWay",
                            b"position" => row = Some(position(c)?),
                            _ => c.skip()?,
                        }
                        Ok(())
                    })?;
                    if let Some(row) = row {
                        unrealised += row.unrealised;
                        each(PositionRow { hedged, ..row });
                    }
                    Ok(())
                })?;
            }
            b"marginSummary" => c.object(|key, c| {
                if key == b"accountValue" {
                    value = Some(money(c, "accountValue")?);
                    return Ok(());
                }
                c.skip()
            })?,
            b"withdrawable" => row.available = Some(money(c, "withdrawable")?),
            b"time" => row.time_ms = c.int("time")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    c.end()?;
    if !listed {
        return Err(DecodeError::Missing("assetPositions"));
    }
    row.wallet = value.ok_or(DecodeError::Missing("marginSummary"))? - unrealised;
    Ok(row)
}

fn position<'a>(c: &mut Cursor<'a>) -> Result<PositionRow<'a>> {
    let mut row = PositionRow {
        symbol: b"",
        qty: Num::ZERO,
        entry: Num::ZERO,
        unrealised: Money::ZERO,
        leverage: None,
        hedged: false,
    };
    let mut qty = None;
    c.object(|key, c| {
        match key {
            b"coin" => row.symbol = c.string()?,
            b"szi" => qty = Some(c.num("szi")?),
            b"entryPx" => row.entry = c.num_or_absent("entryPx")?.unwrap_or(Num::ZERO),
            b"unrealizedPnl" => row.unrealised = money(c, "unrealizedPnl")?,
            b"leverage" => row.leverage = Some(leverage(c)?),
            _ => c.skip()?,
        }
        Ok(())
    })?;
    row.qty = qty.ok_or(DecodeError::Missing("szi"))?;
    Ok(row)
}

/// `{"type":"cross"|"isolated","value":…}`: cross margin or not, and the leverage.
pub(super) fn leverage(c: &mut Cursor<'_>) -> Result<(bool, i64)> {
    let (mut cross, mut value) = (None, None);
    c.object(|key, c| {
        match key {
            b"type" => cross = Some(c.string()? == b"cross"),
            b"value" => value = Some(c.int("value")?),
            _ => c.skip()?,
        }
        Ok(())
    })?;
    Ok((cross.ok_or(DecodeError::Missing("leverage"))?, value.ok_or(DecodeError::Missing("leverage"))?))
}

/// `0x` and 32 hex digits, or `null`. Every client's ids look like this: one that we could not have written
/// is someone else's.
fn cloid(c: &mut Cursor<'_>) -> Result<ClientId> {
    if c.kind()? == Kind::Null {
        return c.skip().map(|()| ClientId::NONE);
    }
    let id = c.string()?.strip_prefix(b"0x").and_then(ClientId::parse);
    Ok(id.filter(|id| post_id(Posted::Place(*id)).is_some()).unwrap_or(ClientId::NONE))
}

pub(super) fn money(c: &mut Cursor<'_>, name: &'static str) -> Result<Money> {
    exact_money(c.number()?).ok_or(DecodeError::Field(name))
}

/// Exact decimal to money: more digits than a [`Num`] can hold, but at most 18 decimals.
fn exact_money(text: &[u8]) -> Option<Money> {
    if let Ok(num) = Num::parse(text) {
        return Some(Money::from_num(num));
    }
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let point = digits.iter().position(|byte| *byte == b'.')?;
    let (whole, fraction) = (&digits[..point], &digits[point + 1..]);
    if whole.is_empty() || fraction.is_empty() || fraction.len() > usize::from(MONEY_SCALE) {
        return None;
    }
    let padding = usize::from(MONEY_SCALE) - fraction.len();
    let mut value: i128 = 0;
    for byte in whole.iter().chain(fraction).chain(std::iter::repeat_n(&b'0', padding)) {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
    }
    Some(Money(if negative { -value } else { value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_one_by_one_and_ok_means_nothing() {
        let read = |text: &str| {
            let mut seen = Vec::new();
            posted(&mut Cursor::new(text.as_bytes()), |id, outcome| seen.push((id, format!("{outcome:?}"))))
                .map(|()| seen)
        };
        let wrap = |statuses: &str| {
            format!(
                r#"{{"id":7,"response":{{"type":"action","payload":{{"status":"ok","response":{{"type":"order","data":{{"statuses":[{statuses}]}}}}}}}}}}"#
            )
        };
        let seen = read(&wrap(
            r#"{"resting":{"oid":1,"cloid":"0x01"}},{"filled":{"totalSz":"0.5","avgPx":"73.688","oid":2}},{"error":"no"},"success","waitingForFill""#,
        ))
        .unwrap();
        let shown: Vec<&str> = seen.iter().map(|(_, text)| text.as_str()).collect();
        assert!(seen.iter().all(|(id, _)| *id == 7));
        assert!(
            shown[0].starts_with("Accepted { order_id: 1") && shown[1].starts_with("Filled { order_id: 2")
        );
        assert!(shown[2].starts_with("Refused") && shown[3] == shown[4] && shown.len() == 5);
        for whole in [
            r#"{"id":7,"response":{"type":"action","payload":{"status":"err","response":"bad"}}}"#,
            r#"{"id":7,"response":{"type":"error","payload":"bad"}}"#,
        ] {
            assert_eq!(read(whole).unwrap(), [(7, format!("{:?}", Outcome::Refused(b"bad")))]);
        }
        assert!(read(&wrap(r#"{"news":1}"#)).is_err() && read(r#"{"response":{}}"#).is_err());
    }

    #[test]
    fn money_is_exact_or_refused() {
        for text in ["0.0089", "-22358.938225", "200.5137143201668551", "123456789012.123456789012345678"] {
            assert_eq!(exact_money(text.as_bytes()).map(|m| m.to_string()).as_deref(), Some(text));
        }
        for text in ["", "-", "1.", "abc", "1.0000000000000000001x", "1.0000000000000000000001"] {
            assert_eq!(exact_money(text.as_bytes()), None, "{text}");
        }
    }
}
