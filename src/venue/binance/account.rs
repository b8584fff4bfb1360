//! The user stream and the account's REST replies → reports of orders, positions, balances, funding.
//!
//! `TRADE_LITE` is an earlier notice of a fill that `ORDER_TRADE_UPDATE` repeats with its fee: it is
//! reported without fee and without cumulative quantity, and the ledger books the fill once by trade id.

use super::decode::{Fields, side};
use super::nested::Nested;
use super::orders::{OrderView, order_status};
use super::symbols::Listings;
use crate::domain::event::{BalanceReport, EventBody, FundingPayment, PositionReport};
use crate::domain::instrument::{Instrument, VenueId};
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::order::{ClientId, FillReport, OrderReport, RejectClass, ReportKind};
use crate::domain::text::Currency;
use crate::domain::time::{MILLI, Nanos};
use crate::venue::full::Full;
use crate::venue::json::Cursor;
use crate::venue::message::DecodeError;
use crate::venue::{Emit, OddKind, Out};

/// What a message of the user stream asks of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserEvent {
    /// Nothing.
    Done,
    /// The listen key is no longer valid: a new one, a new connection, reconcile.
    KeyExpired,
    /// A setting of the account changed: read them back.
    Changed,
}

type Odd<T> = Result<T, OddKind>;

const fn malformed(_: DecodeError) -> OddKind {
    OddKind::Malformed
}

/// A message of the user stream.
///
/// # Errors
/// What is odd about it; what could be understood was emitted.
pub fn user_event(frame: &[u8], venue: VenueId, listings: &Listings, out: &mut Out) -> Odd<UserEvent> {
    let mut full = Full::new();
    let mut read = Nested::new();
    let mut again = false;
    full.read(frame, |cursor| {
        if std::mem::replace(&mut again, true) {
            read = Nested::new();
        }
        event_fields(cursor, &mut read)
    })
    .map_err(malformed)?;
    let event = &read.event;
    match event.get(b'e') {
        b"ORDER_TRADE_UPDATE" => order_update(read.order().ok_or(OddKind::Malformed)?, venue, listings, out)?,
        b"TRADE_LITE" => trade_lite(event, venue, listings, out)?,
        b"ACCOUNT_UPDATE" => account_update(event, venue, listings, out)?,
        b"ACCOUNT_CONFIG_UPDATE" => return Ok(UserEvent::Changed),
        b"listenKeyExpired" | b"eventStreamTerminated" => return Ok(UserEvent::KeyExpired),
        other => {
            // The rest of the documented list changes nothing that we keep.
            let known = super::decode::PRIVATE.iter().any(|name| name.as_bytes() == other);
            if !known {
                return Err(OddKind::Unknown);
            }
        }
    }
    Ok(UserEvent::Done)
}

/// The fields of the event itself, with or without `{"stream":…,"data":…}` around it.
fn event_fields<'a>(mut cursor: Cursor<'a>, read: &mut Nested<'a>) -> Result<(), DecodeError> {
    let frame = cursor.text();
    if frame.starts_with(b"{\"e\":") {
        return read.scan(cursor);
    }
    let mut data = frame;
    cursor.object(|key, cursor| match key {
        b"data" => cursor.raw().map(|text| data = text),
        _ => cursor.skip(),
    })?;
    cursor.end()?;
    read.scan(Cursor::new(data))
}

fn order_update(order: &Fields<'_>, venue: VenueId, listings: &Listings, out: &mut Out) -> Odd<()> {
    let instrument = named(order, listings)?;
    let status = order.required(b'X', "X").map_err(malformed)?;
    let mut kind = order_status(status).ok_or(OddKind::UnknownExecution)?;
    let execution = order.required(b'x', "x").map_err(malformed)?;
    let filled = qty(order, b'z', instrument)?;
    let mut reject = RejectClass::None;
    if kind == ReportKind::Expired {
        match order.get(b'f') {
            // The rest of an order that may not rest is cancelled, not expired.
            b"IOC" | b"FOK" => kind = ReportKind::Canceled,
            // A post-only order that would take is refused or arrives as expired.
            b"GTX" if filled.0 == 0 => {
                kind = ReportKind::Rejected;
                reject = RejectClass::PostOnly;
            }
            _ => {}
        }
    }
    let last = qty(order, b'l', instrument)?;
    let fill = if matches!(execution, b"TRADE" | b"CALCULATED") && last.0 > 0 {
        let fee = match order.get(b'n') {
            b"" => Money::ZERO,
            text => Money::from_num(Num::parse(text).map_err(|_| OddKind::Malformed)?),
        };
        let mut fill = fill(order, instrument, last)?;
        fill.fee = Some(fee);
        fill.fee_currency = Currency::from_bytes(order.get(b'N')).unwrap_or_default();
        if kind == ReportKind::Open {
            // Liquidation states while it fills.
            kind = ReportKind::PartiallyFilled;
        }
        Some(fill)
    } else {
        None
    };
    out.emit(Emit::Report(OrderReport {
        venue,
        instrument: Some(instrument.id),
        client_id: ClientId::parse(order.get(b'c')).unwrap_or(ClientId::NONE),
        venue_order_id: order.uint(b'i', "i").map_err(malformed)?,
        kind,
        side: Some(side(order.get(b'S')).map_err(malformed)?),
        filled: Some(filled),
        fill,
        reject,
        code: 0,
        venue_ns: order.time().map_err(malformed)?.saturating_mul(MILLI),
    }));
    match execution {
        b"NEW" | b"CANCELED" | b"CALCULATED" | b"EXPIRED" | b"TRADE" | b"AMENDMENT" => Ok(()),
        // Reported by its status all the same.
        _ => Err(OddKind::UnknownExecution),
    }
}

fn trade_lite(event: &Fields<'_>, venue: VenueId, listings: &Listings, out: &mut Out) -> Odd<()> {
    let instrument = named(event, listings)?;
    let last = qty(event, b'l', instrument)?;
    let fill = fill(event, instrument, last)?;
    out.emit(Emit::Report(OrderReport {
        venue,
        instrument: Some(instrument.id),
        client_id: ClientId::parse(event.get(b'c')).unwrap_or(ClientId::NONE),
        venue_order_id: event.uint(b'i', "i").map_err(malformed)?,
        kind: ReportKind::PartiallyFilled,
        side: Some(side(event.get(b'S')).map_err(malformed)?),
        filled: None,
        fill: Some(fill),
        venue_ns: event.time().map_err(malformed)?.saturating_mul(MILLI),
        ..OrderReport::default()
    }));
    Ok(())
}

/// Trade id, price and maker flag of a fill; the fee is not here.
fn fill(
    fields: &Fields<'_>,
    instrument: &Instrument,
    qty: crate::domain::instrument::Qty,
) -> Odd<FillReport> {
    let price = fields.num(b'L', "L").map_err(malformed)?;
    Ok(FillReport {
        trade_id: fields.uint(b't', "t").map_err(malformed)?,
        qty,
        price: instrument.price(price).ok_or(OddKind::Inexact)?,
        fee: None,
        fee_currency: Currency::EMPTY,
        maker: fields.get(b'm') == b"true",
    })
}

fn named<'l>(fields: &Fields<'_>, listings: &'l Listings) -> Odd<&'l Instrument> {
    listings.defined(fields.name().map_err(malformed)?).ok_or(OddKind::UnknownSymbol)
}

fn qty(fields: &Fields<'_>, letter: u8, instrument: &Instrument) -> Odd<crate::domain::instrument::Qty> {
    let num = fields.num(letter, "quantity").map_err(malformed)?;
    instrument.qty(num).ok_or(OddKind::Inexact)
}

fn account_update(event: &Fields<'_>, venue: VenueId, listings: &Listings, out: &mut Out) -> Odd<()> {
    let venue_ns = event.time().map_err(malformed)?.saturating_mul(MILLI);
    let account = event.required(b'a', "a").map_err(malformed)?;
    let fields = Fields::scan(account).map_err(malformed)?;
    let mut odd = Ok(());
    let mut funded = None;
    if !fields.get(b'P').is_empty() {
        Cursor::new(fields.get(b'P'))
            .array(|cursor| {
                match position(cursor, POSITION_KEYS_STREAM, listings, venue_ns, false)? {
                    Ok(report) => {
                        funded = Some(report.instrument);
                        out.event(EventBody::Position(report));
                    }
                    Err(kind) => odd = Err(kind),
                }
                Ok(())
            })
            .map_err(malformed)?;
    }
    let funding = fields.get(b'm') == b"FUNDING_FEE";
    if !fields.get(b'B').is_empty() {
        Cursor::new(fields.get(b'B'))
            .array(|cursor| {
                let (mut asset, mut wallet, mut change): (&[u8], _, _) = (&[], Num::ZERO, Num::ZERO);
                cursor.object(|key, cursor| match key {
                    b"a" => cursor.string().map(|text| asset = text),
                    b"wb" => cursor.num("wb").map(|num| wallet = num),
                    b"bc" => cursor.num("bc").map(|num| change = num),
                    _ => cursor.skip(),
                })?;
                let Some(currency) = Currency::from_bytes(asset) else { return Ok(()) };
                out.event(EventBody::Balance(BalanceReport {
                    venue,
                    currency,
                    wallet: Money::from_num(wallet),
                    available: None,
                    venue_ns,
                }));
                if funding {
                    let amount = Money::from_num(change);
                    out.event(EventBody::Funding(FundingPayment {
                        venue,
                        instrument: funded,
                        currency,
                        amount,
                        venue_ns,
                    }));
                }
                Ok(())
            })
            .map_err(malformed)?;
    }
    odd
}

/// Keys of a position: symbol, amount, entry price, position side.
struct PositionKeys {
    symbol: &'static [u8],
    amount: &'static [u8],
    entry: &'static [u8],
    side: &'static [u8],
    time: &'static [u8],
}

const POSITION_KEYS_STREAM: &PositionKeys =
    &PositionKeys { symbol: b"s", amount: b"pa", entry: b"ep", side: b"ps", time: b"" };
const POSITION_KEYS_REST: &PositionKeys = &PositionKeys {
    symbol: b"symbol",
    amount: b"positionAmt",
    entry: b"entryPrice",
    side: b"positionSide",
    time: b"updateTime",
};

/// One position object; the inner error says why it is no report of ours.
fn position(
    cursor: &mut Cursor<'_>,
    keys: &PositionKeys,
    listings: &Listings,
    venue_ns: Nanos,
    snapshot: bool,
) -> Result<Odd<PositionReport>, DecodeError> {
    let (mut symbol, mut amount, mut entry): (&[u8], _, _) = (&[], None, Num::ZERO);
    let mut both = true;
    let mut venue_ns = venue_ns;
    cursor.object(|key, cursor| {
        if key == keys.symbol {
            symbol = cursor.string()?;
        } else if key == keys.amount {
            amount = Some(cursor.num("position amount")?);
        } else if key == keys.entry {
            entry = cursor.num("entry price")?;
        } else if key == keys.side {
            both = cursor.string()? == b"BOTH";
        } else if key == keys.time {
            venue_ns = cursor.int("updateTime")?.saturating_mul(MILLI);
        } else {
            cursor.skip()?;
        }
        Ok(())
    })?;
    let Some(amount) = amount else { return Err(DecodeError::Missing("position amount")) };
    let Some(instrument) = listings.defined(symbol) else { return Ok(Err(OddKind::UnknownSymbol)) };
    if !both {
        // Hedge mode: the account is not set up for us.
        return Ok(Err(OddKind::Refused));
    }
    let Some(qty) = instrument.qty(amount) else { return Ok(Err(OddKind::Inexact)) };
    Ok(Ok(PositionReport { instrument: instrument.id, qty: qty.0, entry, venue_ns, snapshot }))
}

/// Reply of `GET openOrders`.
///
/// # Errors
/// What is odd about it; the orders that could be understood were emitted.
pub fn open_orders(body: &[u8], venue: VenueId, listings: &Listings, out: &mut Out) -> Odd<()> {
    let mut odd = Ok(());
    let mut cursor = Cursor::new(body);
    cursor
        .array(|cursor| {
            match OrderView::read(cursor)?.report(venue, listings) {
                Ok(report) => out.emit(Emit::Report(report)),
                Err(kind) => odd = Err(kind),
            }
            Ok(())
        })
        .and_then(|()| cursor.end())
        .map_err(malformed)?;
    odd
}

/// Reply of `GET positionRisk`: version 3 lists only symbols with a position or an order, so every other
/// listing is reported flat.
///
/// # Errors
/// What is odd about it.
pub fn positions(body: &[u8], listings: &Listings, now: Nanos, out: &mut Out) -> Odd<()> {
    let mut odd = Ok(());
    let from = out.items().len();
    let mut cursor = Cursor::new(body);
    cursor
        .array(|cursor| {
            match position(cursor, POSITION_KEYS_REST, listings, now, true)? {
                Ok(report) => out.event(EventBody::Position(report)),
                // Symbols that we do not trade are none of our business.
                Err(OddKind::UnknownSymbol) => {}
                Err(kind) => odd = Err(kind),
            }
            Ok(())
        })
        .and_then(|()| cursor.end())
        .map_err(malformed)?;
    for instrument in listings.all() {
        let told = out.items()[from..]
            .iter()
            .any(|item| matches!(item, Emit::Event(EventBody::Position(report)) if report.instrument == instrument.id));
        if !told {
            let report = PositionReport {
                instrument: instrument.id,
                venue_ns: now,
                snapshot: true,
                ..PositionReport::default()
            };
            out.event(EventBody::Position(report));
        }
    }
    odd
}

/// Reply of `GET balance`: currencies with a balance, and those that a listing settles in.
///
/// # Errors
/// What is odd about it.
pub fn balances(body: &[u8], venue: VenueId, listings: &Listings, now: Nanos, out: &mut Out) -> Odd<()> {
    let mut cursor = Cursor::new(body);
    cursor
        .array(|cursor| {
            let (mut asset, mut wallet, mut available): (&[u8], _, _) = (&[], None, None);
            cursor.object(|key, cursor| match key {
                b"asset" => cursor.string().map(|text| asset = text),
                b"balance" => cursor.num("balance").map(|num| wallet = Some(num)),
                b"availableBalance" => cursor.num("availableBalance").map(|num| available = Some(num)),
                _ => cursor.skip(),
            })?;
            let wallet = wallet.ok_or(DecodeError::Missing("balance"))?;
            let Some(currency) = Currency::from_bytes(asset) else { return Ok(()) };
            if !wallet.is_zero() || listings.all().any(|instrument| instrument.settle == currency) {
                out.event(EventBody::Balance(BalanceReport {
                    venue,
                    currency,
                    wallet: Money::from_num(wallet),
                    available: available.map(Money::from_num),
                    venue_ns: now,
                }));
            }
            Ok(())
        })
        .and_then(|()| cursor.end())
        .map_err(malformed)
}
