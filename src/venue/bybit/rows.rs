//! Rows of Bybit private topics and HTTP replies: orders, executions, positions, balances, contract
//! specifications. Pure parsing; what a row means for the engine is said in [`super::account`].

use super::errors::reason;
use super::parse::{Result, int_or_zero, number_of, side};
use crate::domain::instrument::{ContractKind, InstrumentId, Status, VenueSpec};
use crate::domain::money::{MONEY_SCALE, Money};
use crate::domain::number::Num;
use crate::domain::order::{ClientId, RejectClass, ReportKind, Side};
use crate::domain::text::{Currency, Symbol};
use crate::venue::json::{Cursor, Kind};
use crate::venue::message::DecodeError;

/// An order as the `order` topic or `/v5/order/realtime` states it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderRow {
    /// Native name; empty when it is longer than any of ours.
    pub symbol: Symbol,
    /// False for other categories of the account (spot, inverse, option).
    pub linear: bool,
    /// `orderLinkId` when it is one of ours.
    pub client_id: ClientId,
    /// 64 bits of `orderId`.
    pub order_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// From `orderStatus`.
    pub kind: ReportKind,
    /// `cumExecQty`.
    pub filled: Num,
    /// From `rejectReason`.
    pub reject: RejectClass,
    /// `updatedTime`, ms.
    pub time_ms: i64,
}

/// Reads one order.
pub(super) fn order(c: &mut Cursor<'_>) -> Result<OrderRow> {
    let (mut symbol, mut linear, mut client_id, mut order_id) = (Symbol::EMPTY, true, ClientId::NONE, 0);
    let (mut way, mut status, mut filled): (_, Option<&[u8]>, _) = (None, None, Num::ZERO);
    let (mut why, mut time_ms): (&[u8], _) = (b"", 0);
    c.object(|key, c| {
        match key {
            b"symbol" => symbol = Symbol::from_bytes(c.string()?).unwrap_or_default(),
            b"category" => linear = c.string()? == b"linear",
            b"orderLinkId" => client_id = ClientId::parse(c.string()?).unwrap_or(ClientId::NONE),
            b"orderId" => order_id = number_of(c.string()?),
            b"side" => way = Some(side(c)?),
            b"orderStatus" => status = Some(c.string()?),
            b"cumExecQty" => filled = c.num_or_absent("cumExecQty")?.unwrap_or(Num::ZERO),
            b"rejectReason" => why = c.string()?,
            b"updatedTime" => time_ms = int_or_zero(c, "updatedTime")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let kind = match status.ok_or(DecodeError::Missing("orderStatus"))? {
        b"New" | b"Untriggered" | b"Triggered" => ReportKind::Open,
        b"PartiallyFilled" => ReportKind::PartiallyFilled,
        b"Filled" => ReportKind::Filled,
        b"Cancelled" | b"PartiallyFilledCanceled" | b"Deactivated" => ReportKind::Canceled,
        // Matching refused the rest of an order that had filled in part: an end, not a refusal.
        b"Rejected" if !filled.is_zero() => ReportKind::Canceled,
        b"Rejected" => ReportKind::Rejected,
        _ => return Err(DecodeError::Field("orderStatus")),
    };
    let reject = match (kind, reason(why)) {
        (ReportKind::Rejected, RejectClass::None) => RejectClass::Never,
        (ReportKind::Rejected, class) => class,
        (ReportKind::Canceled, RejectClass::PostOnly) => RejectClass::PostOnly,
        _ => RejectClass::None,
    };
    let side = way.ok_or(DecodeError::Missing("side"))?;
    Ok(OrderRow { symbol, linear, client_id, order_id, side, kind, filled, reject, time_ms })
}

/// What an execution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExecKind {
    /// One of an order's fills.
    Trade,
    /// The venue traded for us: deleveraging, liquidation, a block.
    Venue,
    /// Funding.
    Funding,
    /// Settlement, delivery and the like: the position and wallet topics tell what they did.
    Other,
}

/// An execution as the `execution` topic or `/v5/execution/list` states it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExecutionRow<'a> {
    /// Native name.
    pub symbol: &'a [u8],
    /// False for other categories of the account.
    pub linear: bool,
    /// `orderLinkId` when it is one of ours.
    pub client_id: ClientId,
    /// 64 bits of `orderId`.
    pub order_id: u64,
    /// 64 bits of `execId`.
    pub exec_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// From `execType`.
    pub kind: ExecKind,
    /// `execQty`.
    pub qty: Num,
    /// `execPrice`.
    pub price: Num,
    /// `execFee`: positive = paid.
    pub fee: Money,
    /// `feeCurrency`; empty = the settlement coin.
    pub currency: Currency,
    /// `isMaker`.
    pub maker: bool,
    /// `execTime`, ms.
    pub time_ms: i64,
}

/// Reads one execution.
pub(super) fn execution<'a>(c: &mut Cursor<'a>) -> Result<ExecutionRow<'a>> {
    let mut row = ExecutionRow {
        symbol: b"",
        linear: true,
        client_id: ClientId::NONE,
        order_id: 0,
        exec_id: 0,
        side: Side::Buy,
        kind: ExecKind::Other,
        qty: Num::ZERO,
        price: Num::ZERO,
        fee: Money::ZERO,
        currency: Currency::EMPTY,
        maker: false,
        time_ms: 0,
    };
    let (mut kind, mut fee, mut id): (Option<&[u8]>, _, Option<&[u8]>) = (None, None, None);
    c.object(|key, c| {
        match key {
            b"symbol" => row.symbol = c.string()?,
            b"category" => row.linear = c.string()? == b"linear",
            b"orderLinkId" => row.client_id = ClientId::parse(c.string()?).unwrap_or(ClientId::NONE),
            b"orderId" => row.order_id = number_of(c.string()?),
            b"execId" => id = Some(c.string()?),
            b"side" => row.side = side(c)?,
            b"execType" => kind = Some(c.string()?),
            b"execQty" => row.qty = c.num("execQty")?,
            b"execPrice" => row.price = c.num("execPrice")?,
            b"execFee" => fee = money_or_absent(c, "execFee")?,
            b"feeCurrency" => row.currency = currency(c)?,
            b"isMaker" => row.maker = c.boolean("isMaker")?,
            b"execTime" => row.time_ms = int_or_zero(c, "execTime")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    row.exec_id = number_of(id.ok_or(DecodeError::Missing("execId"))?);
    row.fee = fee.ok_or(DecodeError::Missing("execFee"))?;
    row.kind = match kind.ok_or(DecodeError::Missing("execType"))? {
        b"Trade" => ExecKind::Trade,
        b"AdlTrade" | b"BustTrade" | b"BlockTrade" | b"MovePosition" | b"FutureSpread" => ExecKind::Venue,
        b"Funding" => ExecKind::Funding,
        b"Settle" | b"Delivery" | b"SessionSettlePnL" => ExecKind::Other,
        _ => return Err(DecodeError::Field("execType")),
    };
    Ok(row)
}

/// A position.
#[derive(Clone, Copy, Debug)]
pub(super) struct PositionRow<'a> {
    /// Native name.
    pub symbol: &'a [u8],
    /// False for other categories of the account.
    pub linear: bool,
    /// Signed contracts.
    pub qty: Num,
    /// Average entry price; zero when flat.
    pub entry: Num,
    /// `updatedTime`, ms.
    pub time_ms: i64,
    /// `positionIdx` 0: one-way mode, the only one that this engine trades.
    pub one_way: bool,
    /// Where stated; −1 = one that no configuration can ask for (a broken number, or none as in portfolio
    /// margin).
    pub leverage: Option<i64>,
}

/// Reads one position.
pub(super) fn position<'a>(c: &mut Cursor<'a>) -> Result<PositionRow<'a>> {
    let mut row = PositionRow {
        symbol: b"",
        linear: true,
        qty: Num::ZERO,
        entry: Num::ZERO,
        time_ms: 0,
        one_way: true,
        leverage: None,
    };
    let (mut size, mut way): (_, Option<&[u8]>) = (None, None);
    c.object(|key, c| {
        match key {
            b"symbol" => row.symbol = c.string()?,
            b"category" => row.linear = c.string()? == b"linear",
            b"size" => size = c.num_or_absent("size")?,
            b"side" => way = Some(c.string()?),
            b"entryPrice" | b"avgPrice" => row.entry = average(c)?,
            b"positionIdx" => row.one_way = c.int("positionIdx")? == 0,
            b"leverage" => {
                let stated = c.num_or_absent("leverage")?.map(Num::normalized);
                let whole = stated.filter(|num| num.scale == 0 && num.mantissa > 0);
                row.leverage = Some(whole.map_or(-1, |num| num.mantissa));
            }
            b"updatedTime" => row.time_ms = int_or_zero(c, "updatedTime")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    row.qty = size.ok_or(DecodeError::Missing("size"))?;
    match way.ok_or(DecodeError::Missing("side"))? {
        b"Sell" => row.qty.mantissa = -row.qty.mantissa,
        b"Buy" => {}
        // Flat: `""`, formerly `None`.
        _ if row.qty.is_zero() => {}
        _ => return Err(DecodeError::Field("side")),
    }
    Ok(row)
}

/// An average may have more digits than can be kept: it is cut at 18 significant digits (informative only).
fn average(c: &mut Cursor<'_>) -> Result<Num> {
    match c.number()? {
        b"" => Ok(Num::ZERO),
        text => Num::parse(text)
            .or_else(|_| Num::parse(text.get(..19).unwrap_or(text)))
            .map_err(|_| DecodeError::Field("entryPrice")),
    }
}

/// Balance of a coin.
#[derive(Clone, Copy, Debug)]
pub(super) struct BalanceRow {
    /// Coin; empty when its code is longer than any that we trade in.
    pub currency: Currency,
    /// `walletBalance`.
    pub wallet: Money,
}

/// Reads one account of `wallet` or `/v5/account/wallet-balance` and hands out each coin. What is available
/// is stated for the account as a whole in US dollars only, hence for no coin.
pub(super) fn balances(c: &mut Cursor<'_>, mut emit: impl FnMut(BalanceRow)) -> Result<()> {
    c.object(|key, c| {
        if key != b"coin" || c.kind()? != Kind::Array {
            return c.skip();
        }
        c.array(|c| {
            let (mut name, mut wallet) = (None, None);
            c.object(|key, c| {
                match key {
                    b"coin" => name = Some(currency(c)?),
                    b"walletBalance" => wallet = money_or_absent(c, "walletBalance")?,
                    _ => c.skip()?,
                }
                Ok(())
            })?;
            let currency = name.ok_or(DecodeError::Missing("coin"))?;
            emit(BalanceRow { currency, wallet: wallet.ok_or(DecodeError::Missing("walletBalance"))? });
            Ok(())
        })
    })
}

/// A row of `/v5/market/instruments-info`.
#[derive(Clone, Copy, Debug)]
pub(super) struct InstrumentRow<'a> {
    /// Native name.
    pub symbol: &'a [u8],
    /// What it specifies; an error for contracts that this engine does not trade.
    pub spec: Result<VenueSpec>,
    /// `fundingInterval`, minutes; 0 = not stated.
    pub funding_minutes: i64,
}

/// Reads one row of `/v5/market/instruments-info`, which is consumed whatever it specifies.
pub(super) fn specification<'a>(c: &mut Cursor<'a>) -> Result<InstrumentRow<'a>> {
    const NAMES: [&[u8]; 5] = [b"tickSize", b"qtyStep", b"minOrderQty", b"maxOrderQty", b"minNotionalValue"];
    let (mut symbol, mut kind, mut status): (&[u8], &[u8], &[u8]) = (b"", b"", b"");
    let mut fields: [&[u8]; 5] = [b""; 5];
    let mut funding_minutes = 0;
    c.object(|key, c| {
        match key {
            b"symbol" => symbol = c.string()?,
            b"contractType" => kind = c.string()?,
            b"status" => status = c.string()?,
            b"fundingInterval" => funding_minutes = int_or_zero(c, "fundingInterval")?,
            b"priceFilter" | b"lotSizeFilter" => c.object(|key, c| {
                match NAMES.iter().position(|name| *name == key) {
                    Some(at) => fields[at] = c.number()?,
                    None => c.skip()?,
                }
                Ok(())
            })?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let positive = |at: usize, name: &'static str| {
        let num = Num::parse(fields[at]).ok().filter(|num| num.mantissa > 0);
        num.map(Num::normalized).ok_or(DecodeError::Field(name))
    };
    let optional = |at: usize, name| if fields[at].is_empty() { Ok(Num::ZERO) } else { positive(at, name) };
    let spec = || {
        if kind != b"LinearPerpetual" {
            return Err(DecodeError::Field("contractType"));
        }
        Ok(VenueSpec {
            instrument: InstrumentId::default(),
            kind: ContractKind::Linear,
            multiplier: Num::new(1, 0),
            tick: positive(0, "tickSize")?,
            step: positive(1, "qtyStep")?,
            qty_min: positive(2, "minOrderQty")?,
            qty_max: optional(3, "maxOrderQty")?,
            notional_min: optional(4, "minNotionalValue")?,
            status: if status == b"Trading" { Status::Trading } else { Status::Suspended },
            code: 0,
            band: None,
        })
    };
    Ok(InstrumentRow { symbol, spec: spec(), funding_minutes })
}

/// The HTTP envelope.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply<'a> {
    /// `retCode`, as HTTP says 200 even for failures.
    pub code: i32,
    /// The cursor at `result`, where it is an object.
    pub result: Option<Cursor<'a>>,
    /// The cursor at `result.list`.
    pub list: Option<Cursor<'a>>,
    /// `nextPageCursor` holds something (the gateway blanks what).
    pub more: bool,
    /// `result.category` is missing or `linear`.
    pub linear: bool,
}

/// Reads the HTTP envelope.
pub(super) fn envelope(body: &[u8]) -> Result<Reply<'_>> {
    let mut cursor = Cursor::new(body);
    let (mut code, mut result, mut list, mut more, mut linear) = (None, None, None, false, true);
    cursor.object(|key, c| {
        match key {
            b"retCode" => code = Some(c.int("retCode")?),
            b"result" if c.kind()? == Kind::Object => {
                result = Some(*c);
                c.object(|key, c| {
                    match key {
                        b"list" if c.kind()? == Kind::Array => {
                            list = Some(*c);
                            c.skip()?;
                        }
                        b"nextPageCursor" if c.kind()? == Kind::String => more = !c.string()?.is_empty(),
                        b"category" => linear = c.string()? == b"linear",
                        _ => c.skip()?,
                    }
                    Ok(())
                })?;
            }
            _ => c.skip()?,
        }
        Ok(())
    })?;
    cursor.end()?;
    let code = code.ok_or(DecodeError::Missing("retCode"))?;
    let code = i32::try_from(code).map_err(|_| DecodeError::Field("retCode"))?;
    Ok(Reply { code, result, list, more, linear })
}

fn currency(c: &mut Cursor<'_>) -> Result<Currency> {
    Ok(Currency::from_bytes(c.string()?).unwrap_or(Currency::EMPTY))
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
    if let Ok(num) = Num::parse(text) {
        return Some(Money::from_num(num));
    }
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        rest => (1, rest),
    };
    let (mut value, mut decimals, mut point) = (0i128, 0u32, false);
    for byte in digits {
        match byte {
            b'.' if !point => point = true,
            // Beyond the last decimal only zeros are exact.
            b'0' if decimals == u32::from(MONEY_SCALE) => {}
            b'0'..=b'9' if decimals < u32::from(MONEY_SCALE) => {
                value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                decimals += u32::from(point);
            }
            _ => return None,
        }
    }
    let scaled = value.checked_mul(10i128.pow(u32::from(MONEY_SCALE) - decimals))?;
    (digits.iter().any(u8::is_ascii_digit)).then_some(Money(sign * scaled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact_to_eighteen_decimals_or_refused() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.1002", "-0.1002"),
            ("3.31216591", "3.31216591"),
            ("123456789012.123456789012345678", "123456789012.123456789012345678"),
            ("1.5000000000000000000000", "1.5"),
        ] {
            assert_eq!(money(text.as_bytes()).map(|m| m.to_string()).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "-", ".", "1.2.3", "abc", "1.0000000000000000001", "+1"] {
            assert_eq!(money(text.as_bytes()), None, "{text}");
        }
    }
}
