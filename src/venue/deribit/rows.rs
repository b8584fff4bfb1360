//! Rows of Deribit private channels and replies: orders, own trades, positions, balances, contract
//! specifications. Pure parsing; what a row means for the engine is said in [`super::account`].

use super::parse::{Result, cut, id_number, informative, side};
use super::standing::Terms;
use crate::domain::instrument::{ContractKind, InstrumentId, Status, VenueSpec};
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::order::{ClientId, ReportKind, Side};
use crate::domain::text::{Currency, Symbol};
use crate::venue::json::{Cursor, Kind};
use crate::venue::message::DecodeError;

/// The venue books session PnL (fills, fees, funding) apart from the balance until the daily settlement:
/// the wallet is their sum. *To be verified on the test venue.*
const WALLET_HOLDS_SESSION_PNL: bool = true;

/// An order as `user.orders` and replies state it.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderRow {
    /// Native name of the instrument; empty when it is longer than any of ours.
    pub symbol: Symbol,
    /// Our id (`label`); none for orders of the venue or of someone else.
    pub client_id: ClientId,
    /// The venue's id.
    pub order_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// From `order_state`.
    pub kind: ReportKind,
    /// `price` and `amount`, of orders that have both.
    pub terms: Option<(Num, Num)>,
    /// `filled_amount`.
    pub filled: Num,
    /// `last_update_timestamp`, ms.
    pub time_ms: i64,
}

/// Reads one order. Its price may be the text `market_price`: then it has no terms.
pub(super) fn order(c: &mut Cursor<'_>) -> Result<OrderRow> {
    let (mut symbol, mut client_id, mut order_id) = (Symbol::EMPTY, ClientId::NONE, None);
    let (mut way, mut kind, mut filled, mut time_ms, mut ours) = (None, None, Num::ZERO, 0, true);
    let (mut price, mut total) = (None, None);
    c.object(|key, c| {
        match key {
            b"instrument_name" => symbol = Symbol::from_bytes(c.string()?).unwrap_or_default(),
            b"label" => client_id = label(c)?,
            b"order_id" => order_id = id_number(c.scalar()?.0),
            b"direction" => way = Some(side(c)?),
            b"order_state" => kind = Some(order_state(c.string()?)?),
            b"price" => price = Num::parse(c.scalar()?.0).ok(),
            b"amount" => total = c.num_or_absent("amount")?,
            b"filled_amount" => filled = c.num_or_absent("filled_amount")?.unwrap_or(Num::ZERO),
            b"last_update_timestamp" => time_ms = c.int("last_update_timestamp")?,
            b"is_liquidation" => ours = !c.boolean("is_liquidation")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let kind = match kind.ok_or(DecodeError::Missing("order_state"))? {
        ReportKind::Open if !filled.is_zero() => ReportKind::PartiallyFilled,
        kind => kind,
    };
    Ok(OrderRow {
        symbol,
        client_id: if ours { client_id } else { ClientId::NONE },
        order_id: order_id.ok_or(DecodeError::Field("order_id"))?,
        side: way.ok_or(DecodeError::Missing("direction"))?,
        kind,
        terms: price.zip(total),
        filled,
        time_ms,
    })
}

fn order_state(state: &[u8]) -> Result<ReportKind> {
    Ok(match state {
        // Trigger orders wait in the venue until their condition holds.
        b"open" | b"untriggered" | b"triggered" => ReportKind::Open,
        b"filled" => ReportKind::Filled,
        b"cancelled" => ReportKind::Canceled,
        b"rejected" => ReportKind::Rejected,
        _ => return Err(DecodeError::Field("order_state")),
    })
}

fn label(c: &mut Cursor<'_>) -> Result<ClientId> {
    Ok(ClientId::parse(c.scalar()?.0).unwrap_or(ClientId::NONE))
}

/// An own trade.
#[derive(Clone, Copy, Debug)]
pub(super) struct TradeRow<'a> {
    /// Native name of the instrument.
    pub symbol: &'a [u8],
    /// Our id of the order.
    pub client_id: ClientId,
    /// The venue's id of the order.
    pub order_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// `trade_id`.
    pub trade_id: u64,
    /// `amount`.
    pub qty: Num,
    /// `price`.
    pub price: Num,
    /// `fee`: positive = paid.
    pub fee: Money,
    /// `fee_currency`.
    pub fee_currency: Currency,
    /// `liquidity` M.
    pub maker: bool,
    /// `timestamp`, ms.
    pub time_ms: i64,
}

/// Reads one own trade.
pub(super) fn trade<'a>(c: &mut Cursor<'a>) -> Result<TradeRow<'a>> {
    let (mut symbol, mut client_id, mut order_id): (&[u8], _, _) = (b"", ClientId::NONE, None);
    let (mut way, mut trade_id, mut qty, mut price, mut fee) = (None, None, None, None, None);
    let (mut fee_currency, mut maker, mut time_ms) = (Currency::EMPTY, false, 0);
    c.object(|key, c| {
        match key {
            b"instrument_name" => symbol = c.string()?,
            b"label" => client_id = label(c)?,
            b"order_id" => order_id = id_number(c.scalar()?.0),
            b"direction" => way = Some(side(c)?),
            b"trade_id" => trade_id = id_number(c.scalar()?.0),
            b"amount" => qty = Some(c.num("amount")?),
            b"price" => price = Some(c.num("price")?),
            b"fee" => fee = Some(money(c, "fee")?),
            b"fee_currency" => fee_currency = currency(c)?,
            b"liquidity" => maker = c.string()? == b"M",
            b"timestamp" => time_ms = c.int("timestamp")?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    Ok(TradeRow {
        symbol,
        client_id,
        order_id: order_id.ok_or(DecodeError::Field("order_id"))?,
        side: way.ok_or(DecodeError::Missing("direction"))?,
        trade_id: trade_id.ok_or(DecodeError::Field("trade_id"))?,
        qty: qty.ok_or(DecodeError::Missing("amount"))?,
        price: price.ok_or(DecodeError::Missing("price"))?,
        fee: fee.ok_or(DecodeError::Missing("fee"))?,
        fee_currency,
        maker,
        time_ms,
    })
}

/// The reply to `private/buy` and `sell`: hands out the trades, then the order.
pub(super) fn placed<'a>(c: &mut Cursor<'a>, mut each: impl FnMut(&TradeRow<'a>)) -> Result<OrderRow> {
    let (mut placed, mut trades) = (None, None);
    c.object(|key, c| {
        match key {
            b"order" => placed = Some(order(c)?),
            b"trades" => {
                trades = Some(*c);
                c.skip()?;
            }
            _ => c.skip()?,
        }
        Ok(())
    })?;
    if let Some(mut trades) = trades {
        trades.array(|c| {
            each(&trade(c)?);
            Ok(())
        })?;
    }
    placed.ok_or(DecodeError::Missing("order"))
}

/// A position.
#[derive(Clone, Copy, Debug)]
pub(super) struct PositionRow<'a> {
    /// Native name of the instrument.
    pub symbol: &'a [u8],
    /// Signed amount.
    pub qty: Num,
    /// `average_price`; zero when flat.
    pub entry: Num,
    /// `realized_funding` of the session, where stated (positive = received).
    pub funding: Option<Money>,
}

/// Reads one position.
pub(super) fn position<'a>(c: &mut Cursor<'a>) -> Result<PositionRow<'a>> {
    let mut row = PositionRow { symbol: b"", qty: Num::ZERO, entry: Num::ZERO, funding: None };
    let (mut qty, mut way): (_, &[u8]) = (None, b"");
    c.object(|key, c| {
        match key {
            b"instrument_name" => row.symbol = c.string()?,
            b"size" => qty = Some(c.num("size")?),
            b"direction" => way = c.string()?,
            b"average_price" => row.entry = informative(c, "average_price")?.unwrap_or(Num::ZERO),
            b"realized_funding" if c.kind()? == Kind::Number => {
                row.funding = Some(money(c, "realized_funding")?);
            }
            _ => c.skip()?,
        }
        Ok(())
    })?;
    row.qty = qty.ok_or(DecodeError::Missing("size"))?;
    // Shorts are negative; should a size come unsigned, the direction says so.
    if way == b"sell" && row.qty.mantissa > 0 {
        row.qty.mantissa = -row.qty.mantissa;
    }
    Ok(row)
}

/// The positions of a `user.changes` message.
pub(super) fn changes<'a>(c: &mut Cursor<'a>, mut each: impl FnMut(&PositionRow<'a>)) -> Result<()> {
    c.object(|key, c| match key {
        b"positions" => c.array(|c| {
            each(&position(c)?);
            Ok(())
        }),
        _ => c.skip(),
    })
}

/// Balance of a currency.
#[derive(Clone, Copy, Debug)]
pub(super) struct BalanceRow {
    /// Currency; empty when its code is longer than any that we trade in.
    pub currency: Currency,
    /// Without unrealised profit.
    pub wallet: Money,
    /// `available_funds`.
    pub available: Option<Money>,
}

/// Reads one portfolio or account summary.
pub(super) fn balance(c: &mut Cursor<'_>) -> Result<BalanceRow> {
    let (mut code, mut balance, mut session, mut available) = (None, None, Money::ZERO, None);
    c.object(|key, c| {
        match key {
            b"currency" => code = Some(currency(c)?),
            b"balance" => balance = Some(money(c, "balance")?),
            b"session_rpl" => session = money(c, "session_rpl")?,
            b"available_funds" => available = Some(money(c, "available_funds")?),
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let balance = balance.ok_or(DecodeError::Missing("balance"))?;
    Ok(BalanceRow {
        currency: code.ok_or(DecodeError::Missing("currency"))?,
        wallet: if WALLET_HOLDS_SESSION_PNL { balance + session } else { balance },
        available,
    })
}

/// The `summaries` of `private/get_account_summaries`.
pub(super) fn summaries(c: &mut Cursor<'_>, mut each: impl FnMut(&BalanceRow)) -> Result<()> {
    c.object(|key, c| match key {
        b"summaries" => c.array(|c| {
            each(&balance(c)?);
            Ok(())
        }),
        _ => c.skip(),
    })
}

/// The rows of `private/get_user_trades_by_…`; whether there are more.
pub(super) fn user_trades<'a>(c: &mut Cursor<'a>, mut each: impl FnMut(&TradeRow<'a>)) -> Result<bool> {
    let mut more = false;
    c.object(|key, c| match key {
        b"has_more" => c.boolean("has_more").map(|flag| more = flag),
        b"trades" => c.array(|c| {
            each(&trade(c)?);
            Ok(())
        }),
        _ => c.skip(),
    })?;
    Ok(more)
}

/// A login: `expires_in`, s, and `scope`, where it is stated.
pub(super) fn login<'a>(c: &mut Cursor<'a>) -> Result<(i64, Option<&'a [u8]>)> {
    let (mut seconds, mut scope) = (0, None);
    c.object(|key, c| match key {
        b"expires_in" => c.int("expires_in").map(|s| seconds = s),
        b"scope" => c.string().map(|text| scope = Some(text)),
        _ => c.skip(),
    })?;
    Ok((seconds, scope))
}

/// Reads one instrument: the native name, what it specifies, and the terms of trading it. The second is an error
/// for contracts that this engine cannot express; the row itself is consumed all the same.
pub(super) fn specification<'a>(c: &mut Cursor<'a>) -> Result<(&'a [u8], Result<VenueSpec>, Terms)> {
    let mut terms = Terms::default();
    let (mut symbol, mut kind, mut state): (&[u8], &[u8], &[u8]) = (b"", b"", b"open");
    let (mut size, mut tick, mut least, mut active) = (None, None, None, true);
    c.object(|key, c| {
        match key {
            b"instrument_name" => symbol = c.string()?,
            b"instrument_type" | b"future_type" => kind = c.string()?,
            b"state" => state = c.string()?,
            b"is_active" => active = c.boolean("is_active")?,
            b"contract_size" => size = cut(c.number()?),
            b"tick_size" => tick = larger(tick, cut(c.number()?)),
            b"min_trade_amount" => least = cut(c.number()?),
            b"taker_commission" => terms.taker = informative(c, "taker_commission")?,
            b"max_leverage" => terms.leverage_max = informative(c, "max_leverage")?,
            b"price_index" if c.kind()? == Kind::String => {
                terms.index = Symbol::from_bytes(c.string()?).unwrap_or_default()
            }
            // Above some prices the tick is larger: the largest is a multiple of the others and fits everywhere.
            b"tick_size_steps" => c.array(|c| {
                c.object(|key, c| match key {
                    b"tick_size" => {
                        tick = larger(tick, cut(c.number()?));
                        Ok(())
                    }
                    _ => c.skip(),
                })
            })?,
            _ => c.skip()?,
        }
        Ok(())
    })?;
    let positive = |num: Option<Num>, name: &'static str| {
        num.filter(|n| n.mantissa > 0).map(Num::normalized).ok_or(DecodeError::Field(name))
    };
    let spec = || {
        Ok(VenueSpec {
            instrument: InstrumentId::default(),
            kind: match kind {
                b"linear" => ContractKind::Linear,
                b"reversed" => ContractKind::Inverse,
                _ => return Err(DecodeError::Field("instrument_type")),
            },
            multiplier: Num::new(1, 0),
            tick: positive(tick, "tick_size")?,
            step: positive(size, "contract_size")?,
            qty_min: positive(least, "min_trade_amount")?,
            qty_max: Num::ZERO,
            notional_min: Num::ZERO,
            status: if active && state == b"open" { Status::Trading } else { Status::Suspended },
            code: 0,
            band: None,
        })
    };
    Ok((symbol, spec(), terms))
}

fn larger(a: Option<Num>, b: Option<Num>) -> Option<Num> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let scale = a.scale.max(b.scale);
            Some(if a.at_scale(scale) >= b.at_scale(scale) { a } else { b })
        }
        (a, b) => a.or(b),
    }
}

fn currency(c: &mut Cursor<'_>) -> Result<Currency> {
    Ok(Currency::from_bytes(c.string()?).unwrap_or(Currency::EMPTY))
}

/// Money, cut to 18 significant decimals: the venue writes binary floats in full.
fn money(c: &mut Cursor<'_>, name: &'static str) -> Result<Money> {
    if c.kind()? == Kind::Null {
        return c.skip().map(|()| Money::ZERO);
    }
    cut(c.number()?).map(Money::from_num).ok_or(DecodeError::Field(name))
}
