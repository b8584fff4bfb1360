//! Rows of OKX private channels and HTTP replies: orders, order replies, positions, balances, contract
//! specifications. Pure parsing; what a row means for the engine is said in [`super::account`].

use super::parse::Result;
use super::public::{int_or_zero, side};
use crate::domain::instrument::{ContractKind, InstrumentId, Status, VenueSpec};
use crate::domain::money::{MONEY_SCALE, Money};
use crate::domain::number::{Num, POW10, SCALE_MAX};
use crate::domain::order::{ClientId, ReportKind, Side};
use crate::domain::text::{Currency, Symbol};
use crate::venue::json::Cursor;
use crate::venue::message::DecodeError;

/// An order as the `orders` channel, `orders-pending` or the order query states it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderRow {
    /// Native name of the instrument; empty when it is longer than any of ours.
    pub symbol: Symbol,
    /// Our id; none for orders of the venue (liquidation, ADL) or of someone else.
    pub client_id: ClientId,
    /// The venue's id.
    pub order_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// From `state`.
    pub kind: ReportKind,
    /// `px` and `sz`, of orders that have both.
    pub terms: Option<(Num, Num)>,
    /// `amendResult` of a message about an amendment: 0 executed, −1 failed.
    pub amended: Option<i64>,
    /// `code`: why it failed.
    pub code: i32,
    /// `accFillSz`.
    pub filled: Num,
    /// `fillSz`: the last fill; zero when there is none.
    pub fill_qty: Num,
    /// `fillPx`.
    pub fill_price: Num,
    /// `tradeId`, 0 when there is no fill.
    pub trade_id: u64,
    /// Cost of the last fill: minus `fillFee` (negative at the venue = charged). `None` when not stated.
    pub fill_cost: Option<Money>,
    /// Cost of the order so far: minus `fee` minus `rebate`.
    pub cost: Option<Money>,
    /// Currency of the costs.
    pub fee_currency: Currency,
    /// `execType` M.
    pub maker: bool,
    /// `cancelSource` 31: a post-only order that would have taken.
    pub would_take: bool,
    /// `uTime`, ms.
    pub time_ms: i64,
}

/// Reads one order.
pub(super) fn order(c: &mut Cursor<'_>) -> Result<OrderRow> {
    let mut row = OrderRow {
        symbol: Symbol::EMPTY,
        client_id: ClientId::NONE,
        order_id: 0,
        side: Side::Buy,
        kind: ReportKind::Acked,
        terms: None,
        amended: None,
        code: 0,
        filled: Num::ZERO,
        fill_qty: Num::ZERO,
        fill_price: Num::ZERO,
        trade_id: 0,
        fill_cost: None,
        cost: None,
        fee_currency: Currency::EMPTY,
        maker: false,
        would_take: false,
        time_ms: 0,
    };
    let (mut state, mut way, mut filled) = (None, None, None);
    let (mut ours, mut fee, mut rebate) = (true, None, None);
    let (mut fill_currency, mut currency) = (Currency::EMPTY, Currency::EMPTY);
    let (mut price, mut size) = (None, None);
    c.object(|key, c| {
        match key {
            b"instId" => row.symbol = Symbol::from_bytes(c.string()?).unwrap_or_default(),
            b"clOrdId" => row.client_id = ClientId::parse(c.string()?).unwrap_or(ClientId::NONE),
            b"ordId" => row.order_id = id_or_zero(c, "ordId")?,
            b"side" => way = Some(side(c)?),
            b"state" => state = Some(order_state(c.string()?)?),
            b"px" => price = c.num_or_absent("px")?,
            b"sz" => size = c.num_or_absent("sz")?,
            b"amendResult" => row.amended = number(c.string()?),
            b"code" => row.code = number(c.string()?).and_then(|code| i32::try_from(code).ok()).unwrap_or(0),
            b"accFillSz" => filled = c.num_or_absent("accFillSz")?,
            b"fillSz" => row.fill_qty = c.num_or_absent("fillSz")?.unwrap_or(Num::ZERO),
            b"fillPx" => row.fill_price = c.num_or_absent("fillPx")?.unwrap_or(Num::ZERO),
            b"tradeId" => row.trade_id = id_or_zero(c, "tradeId")?,
            b"fillFee" => row.fill_cost = money_or_absent(c, "fillFee")?.map(|m| -m),
            b"fillFeeCcy" => fill_currency = ccy(c)?,
            b"fee" => fee = money_or_absent(c, "fee")?,
            b"rebate" => rebate = money_or_absent(c, "rebate")?,
            b"feeCcy" => currency = ccy(c)?,
            b"execType" => row.maker = c.string()? == b"M",
            b"cancelSource" => row.would_take = c.string()? == b"31",
            // adl, full_liquidation, partial_liquidation, delivery: the venue's doing, not ours.
            b"category" => ours = matches!(c.string()?, b"normal" | b"" | b"twap" | b"ddh"),
            b"uTime" => row.time_ms = int_or_zero(c, "uTime")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    row.kind = state.ok_or(DecodeError::Missing("state"))?;
    row.side = way.ok_or(DecodeError::Missing("side"))?;
    row.filled = filled.ok_or(DecodeError::Missing("accFillSz"))?;
    row.terms = price.zip(size);
    row.cost = fee.map(|fee| -fee - rebate.unwrap_or(Money::ZERO));
    row.fee_currency = if fill_currency.is_empty() { currency } else { fill_currency };
    if !ours {
        row.client_id = ClientId::NONE;
    }
    Ok(row)
}

/// A whole number; empty and anything else is none.
fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn order_state(state: &[u8]) -> Result<ReportKind> {
    Ok(match state {
        b"live" => ReportKind::Open,
        b"partially_filled" => ReportKind::PartiallyFilled,
        b"filled" => ReportKind::Filled,
        b"canceled" | b"mmp_canceled" => ReportKind::Canceled,
        _ => return Err(DecodeError::Field("state")),
    })
}

/// A fill as `/trade/fills` states it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FillRow<'a> {
    /// Native name of the instrument.
    pub symbol: &'a [u8],
    /// Our id of the order.
    pub client_id: ClientId,
    /// The venue's id of the order.
    pub order_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// `billId`: where the next page of a list begins.
    pub bill_id: u64,
    /// `tradeId`.
    pub trade_id: u64,
    /// `fillSz`.
    pub qty: Num,
    /// `fillPx`.
    pub price: Num,
    /// Minus `fee` (negative at the venue = charged).
    pub cost: Money,
    /// `feeCcy`.
    pub fee_currency: Currency,
    /// `execType` M.
    pub maker: bool,
    /// `ts`, ms.
    pub time_ms: i64,
}

/// Reads one fill.
pub(super) fn fill<'a>(c: &mut Cursor<'a>) -> Result<FillRow<'a>> {
    let (mut symbol, mut client_id, mut order_id): (&[u8], _, _) = (b"", ClientId::NONE, 0);
    let (mut way, mut trade_id, mut qty, mut price, mut cost) = (None, None, None, None, None);
    let (mut fee_currency, mut maker, mut time_ms, mut bill_id) = (Currency::EMPTY, false, 0, 0);
    c.object(|key, c| {
        match key {
            b"instId" => symbol = c.string()?,
            b"clOrdId" => client_id = ClientId::parse(c.string()?).unwrap_or(ClientId::NONE),
            b"ordId" => order_id = id_or_zero(c, "ordId")?,
            b"side" => way = Some(side(c)?),
            b"billId" => bill_id = id_or_zero(c, "billId")?,
            b"tradeId" => trade_id = Some(c.uint("tradeId")?),
            b"fillSz" => qty = Some(c.num("fillSz")?),
            b"fillPx" => price = Some(c.num("fillPx")?),
            b"fee" => cost = money_or_absent(c, "fee")?.map(|fee| -fee),
            b"feeCcy" => fee_currency = ccy(c)?,
            b"execType" => maker = c.string()? == b"M",
            b"ts" => time_ms = int_or_zero(c, "ts")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    Ok(FillRow {
        symbol,
        client_id,
        order_id,
        side: way.ok_or(DecodeError::Missing("side"))?,
        bill_id,
        trade_id: trade_id.ok_or(DecodeError::Missing("tradeId"))?,
        qty: qty.ok_or(DecodeError::Missing("fillSz"))?,
        price: price.ok_or(DecodeError::Missing("fillPx"))?,
        cost: cost.ok_or(DecodeError::Missing("fee"))?,
        fee_currency,
        maker,
        time_ms,
    })
}

/// One row of the reply to an order operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReplyRow {
    /// `clOrdId`.
    pub client_id: ClientId,
    /// `ordId`, 0 when refused.
    pub order_id: u64,
    /// `sCode`: 0 = accepted.
    pub code: i32,
    /// `ts`, ms.
    pub time_ms: i64,
}

/// Reads one row of a reply.
pub(super) fn reply(c: &mut Cursor<'_>) -> Result<ReplyRow> {
    let mut row = ReplyRow::default();
    let mut code = None;
    c.object(|key, c| {
        match key {
            b"clOrdId" => row.client_id = ClientId::parse(c.string()?).unwrap_or(ClientId::NONE),
            b"ordId" => row.order_id = id_or_zero(c, "ordId")?,
            b"sCode" => code = Some(c.int("sCode")?),
            b"ts" => row.time_ms = int_or_zero(c, "ts")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let code = code.ok_or(DecodeError::Missing("sCode"))?;
    row.code = i32::try_from(code).map_err(|_| DecodeError::Field("sCode"))?;
    Ok(row)
}

/// A position.
#[derive(Clone, Copy, Debug)]
pub(super) struct PositionRow<'a> {
    /// Native name of the instrument.
    pub symbol: &'a [u8],
    /// Signed contracts.
    pub qty: Num,
    /// Average entry price; zero when flat.
    pub entry: Num,
    /// `fundingFee`: of the present position so far, where stated (positive = received).
    pub funding: Option<Money>,
    /// `ccy` of it.
    pub currency: Currency,
    /// `uTime`, ms.
    pub time_ms: i64,
    /// False when the account is in long/short mode, which this engine does not trade.
    pub net: bool,
}

/// Reads one position.
pub(super) fn position<'a>(c: &mut Cursor<'a>) -> Result<PositionRow<'a>> {
    let mut row = PositionRow {
        symbol: b"",
        qty: Num::ZERO,
        entry: Num::ZERO,
        funding: None,
        currency: Currency::EMPTY,
        time_ms: 0,
        net: true,
    };
    let (mut qty, mut short) = (None, false);
    c.object(|key, c| {
        match key {
            b"instId" => row.symbol = c.string()?,
            b"pos" => qty = c.num_or_absent("pos")?,
            b"avgPx" => row.entry = entry_price(c)?,
            b"fundingFee" => row.funding = money_or_absent(c, "fundingFee")?,
            b"ccy" => row.currency = ccy(c)?,
            b"posSide" => {
                let side = c.string()?;
                short = side == b"short";
                row.net = side == b"net";
            }
            b"uTime" => row.time_ms = int_or_zero(c, "uTime")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    row.qty = qty.ok_or(DecodeError::Missing("pos"))?;
    if short {
        row.qty.mantissa = -row.qty.mantissa;
    }
    Ok(row)
}

/// An average may have more digits than can be kept: it is cut at 18 significant digits (informative only).
fn entry_price(c: &mut Cursor<'_>) -> Result<Num> {
    match c.number()? {
        b"" => Ok(Num::ZERO),
        text => match Num::parse(text) {
            Ok(num) => Ok(num),
            Err(_) => Num::parse(text.get(..19).unwrap_or(text)).map_err(|_| DecodeError::Field("avgPx")),
        },
    }
}

/// Balance of a currency.
#[derive(Clone, Copy, Debug)]
pub(super) struct BalanceRow {
    /// Currency; empty when its code is longer than any that we trade in.
    pub currency: Currency,
    /// `cashBal`.
    pub wallet: Money,
    /// `availEq`, else `availBal`.
    pub available: Option<Money>,
    /// `uTime`, ms.
    pub time_ms: i64,
}

/// Reads one row of `account` or `/account/balance` and hands out each currency.
pub(super) fn balances(c: &mut Cursor<'_>, mut emit: impl FnMut(BalanceRow)) -> Result<()> {
    c.object(|key, c| {
        if key != b"details" {
            return c.skip();
        }
        c.array(|c| {
            let mut currency = None;
            let (mut wallet, mut equity, mut free, mut time_ms) = (None, None, None, 0);
            c.object(|key, c| {
                match key {
                    b"ccy" => currency = Some(ccy(c)?),
                    b"cashBal" => wallet = money_or_absent(c, "cashBal")?,
                    b"availEq" => equity = money_or_absent(c, "availEq")?,
                    b"availBal" => free = money_or_absent(c, "availBal")?,
                    b"uTime" => time_ms = int_or_zero(c, "uTime")?,
                    _ => c.skip()?,
                }
                Ok(())
            })?;
            emit(BalanceRow {
                currency: currency.ok_or(DecodeError::Missing("ccy"))?,
                wallet: wallet.ok_or(DecodeError::Missing("cashBal"))?,
                available: equity.or(free),
                time_ms,
            });
            Ok(())
        })
    })
}

/// Reads one row of `/public/instruments`: the native name, and what it specifies. The second is an error
/// for contracts that this engine cannot express; the row itself is consumed all the same.
pub(super) fn specification<'a>(c: &mut Cursor<'a>) -> Result<(&'a [u8], Result<VenueSpec>)> {
    let mut symbol: &[u8] = b"";
    let mut fields: [&[u8]; 8] = [b""; 8];
    let (mut kind, mut status, mut code): (&[u8], &[u8], i64) = (b"", b"", 0);
    const NAMES: [&[u8]; 6] = [b"ctVal", b"ctMult", b"tickSz", b"lotSz", b"minSz", b"maxLmtSz"];
    c.object(|key, c| {
        match key {
            b"instId" => symbol = c.string()?,
            b"ctType" => kind = c.string()?,
            b"state" => status = c.string()?,
            b"instIdCode" => code = int_or_zero(c, "instIdCode").or_else(|_| c.skip().map(|()| 0))?,
            key => match NAMES.iter().position(|name| *name == key) {
                Some(at) => fields[at] = c.number()?,
                None => c.skip()?,
            },
        }
        Ok(())
    })?;
    let positive = |at: usize, name: &'static str| {
        Num::parse(fields[at])
            .ok()
            .filter(|n| n.mantissa > 0)
            .map(Num::normalized)
            .ok_or(DecodeError::Field(name))
    };
    let spec = || {
        let multiplier = match fields[1] {
            b"" => positive(0, "ctVal")?,
            _ => times(positive(0, "ctVal")?, positive(1, "ctMult")?).ok_or(DecodeError::Field("ctMult"))?,
        };
        Ok(VenueSpec {
            instrument: InstrumentId::default(),
            kind: match kind {
                b"linear" => ContractKind::Linear,
                b"inverse" => ContractKind::Inverse,
                _ => return Err(DecodeError::Field("ctType")),
            },
            multiplier,
            tick: positive(2, "tickSz")?,
            step: positive(3, "lotSz")?,
            qty_min: positive(4, "minSz")?,
            qty_max: if fields[5].is_empty() { Num::ZERO } else { positive(5, "maxLmtSz")? },
            notional_min: Num::ZERO,
            status: if status == b"live" { Status::Trading } else { Status::Suspended },
            code: u64::try_from(code).map_err(|_| DecodeError::Field("instIdCode"))?,
            band: None,
        })
    };
    Ok((symbol, spec()))
}

/// Exact product, when it can be kept.
fn times(a: Num, b: Num) -> Option<Num> {
    let product = Num::new(a.mantissa.checked_mul(b.mantissa)?, a.scale.checked_add(b.scale)?);
    if product.scale <= SCALE_MAX {
        return Some(product.normalized());
    }
    let unit = POW10.get(usize::from(product.scale - SCALE_MAX))?;
    (product.mantissa % unit == 0).then(|| Num::new(product.mantissa / unit, SCALE_MAX).normalized())
}

/// The HTTP envelope: `code`, and the cursor at `data`.
pub(super) fn envelope(body: &[u8]) -> Result<(i32, Option<Cursor<'_>>)> {
    let mut cursor = Cursor::new(body);
    let (mut code, mut data) = (None, None);
    cursor.object(|key, c| {
        match key {
            b"code" => code = Some(c.int("code")?),
            b"data" => {
                data = Some(*c);
                c.skip()?;
            }
            _ => c.skip()?,
        }
        Ok(())
    })?;
    cursor.end()?;
    let code =
        i32::try_from(code.ok_or(DecodeError::Missing("code"))?).map_err(|_| DecodeError::Field("code"))?;
    Ok((code, data))
}

fn ccy(c: &mut Cursor<'_>) -> Result<Currency> {
    Ok(Currency::from_bytes(c.string()?).unwrap_or(Currency::EMPTY))
}

fn id_or_zero(c: &mut Cursor<'_>, name: &'static str) -> Result<u64> {
    u64::try_from(int_or_zero(c, name)?).map_err(|_| DecodeError::Field(name))
}

fn money_or_absent(c: &mut Cursor<'_>, name: &'static str) -> Result<Option<Money>> {
    match c.number()? {
        b"" => Ok(None),
        text => money(text).map(Some).ok_or(DecodeError::Field(name)),
    }
}

/// Exact decimal to money: more digits than a [`Num`] can hold, but at most 18 decimals (zeros beyond them
/// are dropped).
pub(super) fn money(text: &[u8]) -> Option<Money> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (whole, fraction) = match digits.iter().position(|b| *b == b'.') {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &b""[..]),
    };
    let point = whole.len() != digits.len();
    let kept = fraction.len() - fraction.iter().rev().take_while(|b| **b == b'0').count();
    if whole.is_empty() || (point && fraction.is_empty()) || kept > usize::from(MONEY_SCALE) {
        // Exponents and the like: whatever a number may be.
        return None;
    }
    let mut value: i128 = 0;
    for i in 0..whole.len() + usize::from(MONEY_SCALE) {
        let digit = match whole.get(i) {
            Some(byte) => *byte,
            None => fraction.get(i - whole.len()).copied().unwrap_or(b'0'),
        };
        if !digit.is_ascii_digit() {
            return Num::parse(text).ok().map(Money::from_num);
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    fraction
        .iter()
        .skip(usize::from(MONEY_SCALE))
        .all(u8::is_ascii_digit)
        .then(|| Money(if negative { -value } else { value }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact_to_eighteen_decimals_or_refused() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.1002", "-0.1002"),
            ("200.5137143201668551", "200.5137143201668551"),
            ("123456789012.123456789012345678", "123456789012.123456789012345678"),
            ("1.5000000000000000000000", "1.5"),
            ("1e-8", "0.00000001"),
        ] {
            assert_eq!(money(text.as_bytes()).map(|m| m.to_string()).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["", "-", ".", "1.", ".5", "1.2.3", "abc", "1.0000000000000000001", "+1", "1.000000000000000000x"]
        {
            assert_eq!(money(text.as_bytes()), None, "{text}");
        }
    }
}
