//! The quantities that expressions are made of: name, what it speaks of, type, and how it is read off the stages.
//!
//! A quantity that is not known (no mark, no samples, a book that is not served) has no value, and no comparison with
//! it holds.

use super::filter::{Book, Filter};
use super::last::Last;
use super::words;
use crate::core::band::is_beyond;
use crate::core::capital::Account;
use crate::core::listing::{Listing, Served};
use crate::core::scanner::PairView;
use crate::domain::event::{BookState, Event, EventBody};
use crate::domain::instrument::{Instrument, InstrumentId, VenueId};
use crate::domain::intent::{EdgeTerms, Intent, Ppb};
use crate::domain::money::{MONEY_UNIT, Money};
use crate::domain::number::Num;
use crate::domain::order::{ClientId, Side};
use crate::domain::output::{Output, OutputKey};
use crate::domain::time::{Nanos, Stamp};
use crate::stage::river::Parts;

/// A moment of the run, to be asked.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The stages.
    pub parts: &'a Parts,
    /// The last input.
    pub last: &'a Last,
    /// Names.
    pub book: &'a Book,
}

/// What a quantity speaks of. An expression holds when it does for some choice of those that it mentions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The run as a whole.
    Run,
    /// A count over the run, or over what a filter chooses.
    Count,
    /// A venue's listing.
    Listing,
    /// A direction of a pair of listings.
    Pair,
    /// An event of the last input.
    Event,
    /// An output of the last input.
    Output,
    /// An order that the last input concerns.
    Order,
    /// An account of a venue.
    Account,
}

impl Subject {
    /// As help says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "the run",
            Self::Count => "the run, or what a filter chooses",
            Self::Listing => "a listing",
            Self::Pair => "a direction of a pair",
            Self::Event => "an event of the last input",
            Self::Output => "an output of the last input",
            Self::Order => "an order that the last input concerns",
            Self::Account => "an account",
        }
    }
}

/// What kind of value a quantity has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// An exact decimal.
    Number,
    /// True or false; stands alone.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A venue.
    Venue,
    /// A listing.
    Instrument,
    /// An instant of the run.
    Instant,
    /// A length of time.
    Duration,
    /// One of our orders.
    Order,
}

/// A value at a moment. Numbers of every kind fit [`Money`]'s 10⁻¹⁸ exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // named after their types
pub enum Value {
    Number(Money),
    Flag(bool),
    Word(&'static str),
    Venue(VenueId),
    Instrument(InstrumentId),
    Instant(Stamp),
    Duration(Nanos),
    Order(ClientId),
}

/// What a quantity is read from.
#[derive(Clone, Copy)]
#[allow(missing_docs)] // named after their subjects
pub enum Row<'a> {
    Run,
    Listing(&'a Listing),
    Pair(PairView),
    Event(&'a Event),
    Output(&'a (OutputKey, Output, Vec<u8>)),
    Order((ClientId, VenueId, InstrumentId)),
    Account(&'a Account),
}

type Reads = fn(&Moment<'_>, &Row<'_>, &Filter) -> Option<Value>;

/// A quantity.
pub struct Quantity {
    /// As it is written.
    pub name: &'static str,
    /// What it speaks of.
    pub subject: Subject,
    /// Of what type it is.
    pub is: Type,
    /// What it means, with its unit.
    pub what: &'static str,
    reads: Reads,
}

impl Quantity {
    /// Its value; `None` = not known.
    pub fn read(&self, moment: &Moment<'_>, row: &Row<'_>, filter: &Filter) -> Option<Value> {
        (self.reads)(moment, row, filter)
    }
}

fn number(num: Num) -> Option<Value> {
    Some(Value::Number(Money::from_num(num)))
}

fn bps(ppb: Ppb) -> Option<Value> {
    number(Num::new(ppb, 5))
}

fn whole(count: impl TryInto<i128>) -> Option<Value> {
    Some(Value::Number(Money(count.try_into().ok()?.checked_mul(MONEY_UNIT)?)))
}

fn listing<'a>(row: &Row<'a>) -> Option<&'a Listing> {
    if let Row::Listing(listing) = row { Some(listing) } else { None }
}

fn price(listing: &Listing, price: i64) -> Option<Value> {
    listing.is_known().then_some(())?;
    number(Num::new(price, listing.instrument.price_scale))
}

fn contracts(instrument: &Instrument, qty: i64) -> Option<Value> {
    (instrument.generation > 0).then_some(())?;
    number(Num::new(qty, instrument.qty_scale))
}

/// What a taker of `side` meets, while the book is served: price or quantity.
fn touch(row: &Row<'_>, side: Side, wants_price: bool) -> Option<Value> {
    let listing = listing(row).filter(|listing| listing.book.is_served())?;
    let (at, qty) = listing.book.touch(side)?;
    if wants_price { price(listing, at) } else { contracts(&listing.instrument, qty) }
}

/// Bid and ask while the book is served.
fn both(listing: &Listing) -> Option<(i64, i64)> {
    listing.book.is_served().then_some(())?;
    Some((listing.book.touch(Side::Sell)?.0, listing.book.touch(Side::Buy)?.0))
}

fn pair<'a>(row: &'a Row<'_>) -> Option<&'a PairView> {
    if let Row::Pair(view) = row { Some(view) } else { None }
}

/// A term of the edge, once it was priced.
fn term(row: &Row<'_>, of: fn(&EdgeTerms) -> Ppb) -> Option<Value> {
    let terms = &pair(row)?.terms;
    (*terms != EdgeTerms::default()).then(|| of(terms)).and_then(bps)
}

fn event<'a>(row: &Row<'a>) -> Option<&'a EventBody> {
    if let Row::Event(event) = row { Some(&event.body) } else { None }
}

/// Price and quantity of a trade or of a fill.
fn traded(moment: &Moment<'_>, row: &Row<'_>) -> Option<(Num, Num)> {
    let (id, price, qty) = match event(row)? {
        EventBody::Trade(trade) => (trade.instrument, trade.price, trade.qty),
        EventBody::Order(update) if update.fill_qty.0 != 0 => {
            (update.instrument, update.fill_price, update.fill_qty)
        }
        _ => return None,
    };
    let instrument = &moment.parts.scan.scanner().listing(id)?.instrument;
    Some((instrument.price_num(price), instrument.qty_num(qty)))
}

/// Whether the message places an order beyond the band that is known; `None` = none is.
fn beyond_band(moment: &Moment<'_>, row: &Row<'_>) -> Option<bool> {
    let Row::Output((_, Output::Message(shape), _)) = row else { return None };
    let order = shape.meta.order.as_ref()?;
    let listing = moment.parts.scan.scanner().listing(order.instrument)?;
    let worst = listing.band.worst(order.side, moment.last.at.mono)?;
    Some(is_beyond(order.side, order.price, worst))
}

/// Venue and listing that an event is about.
pub fn about_event(parts: &Parts, event: &EventBody) -> (Option<VenueId>, Option<InstrumentId>) {
    let at = |id: InstrumentId| {
        let venue = parts.scan.scanner().listing(id).map(|listing| listing.params.venue);
        (venue, Some(id))
    };
    let conn =
        |conn: crate::domain::input::ConnId| (parts.conns.get(conn.index()).map(|info| info.venue), None);
    match event {
        EventBody::Bbo(e) => at(e.instrument),
        EventBody::Levels(e) => at(e.instrument),
        EventBody::Trade(e) => at(e.instrument),
        EventBody::Mark(e) => at(e.instrument),
        EventBody::Book(e) => at(e.instrument),
        EventBody::Instrument(e) => at(e.id),
        EventBody::Order(e) => at(e.instrument),
        EventBody::Amended(e) => at(e.instrument),
        EventBody::Position(e) => at(e.instrument),
        EventBody::OpenInterest(e) => at(e.instrument),
        EventBody::Ticker(e) => at(e.instrument),
        EventBody::Liquidation(e) => at(e.instrument),
        EventBody::Lock(e) => at(e.instrument),
        EventBody::Funding(e) => e.instrument.map_or((Some(e.venue), None), at),
        EventBody::Balance(e) => (Some(e.venue), None),
        EventBody::Session(e) => (Some(e.venue), None),
        EventBody::Sweep(e) => (Some(e.venue), None),
        EventBody::BurstEnd(e) => conn(e.conn),
        EventBody::Conn(e) => conn(e.conn),
        EventBody::Outcome(e) | EventBody::AmendOutcome(e) => {
            e.order.as_ref().map_or((None, None), |order| at(order.instrument))
        }
        _ => (None, None),
    }
}

/// Listings that an output is about: the legs of a basket, or the one of an order.
pub fn about_output(output: &Output) -> Vec<InstrumentId> {
    match output {
        Output::Intent(Intent::Basket(basket)) | Output::Approved(Intent::Basket(basket)) => {
            basket.orders().iter().map(|leg| leg.instrument).collect()
        }
        Output::Intent(Intent::Cancel(order)) | Output::Approved(Intent::Cancel(order)) => {
            vec![order.instrument]
        }
        Output::Intent(Intent::Amend(amend)) | Output::Approved(Intent::Amend(amend)) => {
            vec![amend.to.instrument]
        }
        Output::Intent(Intent::Replace(replace)) | Output::Approved(Intent::Replace(replace)) => {
            vec![replace.with.to.instrument]
        }
        Output::Message(shape) | Output::Amendment(shape) => {
            shape.meta.order.iter().map(|order| order.instrument).collect()
        }
        Output::NearMiss(near) => vec![near.long, near.short],
        Output::Events(_) | Output::Denied(_) | Output::State(_) => Vec::new(),
    }
}

fn venue_of(moment: &Moment<'_>, row: &Row<'_>) -> Option<Value> {
    match row {
        Row::Listing(listing) => Some(listing.params.venue),
        Row::Event(event) => about_event(moment.parts, &event.body).0,
        Row::Order((_, venue, _)) => Some(*venue),
        Row::Account(account) => Some(account.venue),
        Row::Run | Row::Pair(_) | Row::Output(_) => None,
    }
    .map(Value::Venue)
}

fn instrument_of(moment: &Moment<'_>, row: &Row<'_>) -> Option<Value> {
    match row {
        Row::Listing(listing) => Some(listing.params.id),
        Row::Pair(view) => Some(view.buy),
        Row::Event(event) => about_event(moment.parts, &event.body).1,
        Row::Order((_, _, instrument)) => Some(*instrument),
        Row::Run | Row::Account(_) | Row::Output(_) => None,
    }
    .map(Value::Instrument)
}

fn leg_venue(moment: &Moment<'_>, id: InstrumentId) -> Option<Value> {
    moment.parts.scan.scanner().listing(id).map(|listing| Value::Venue(listing.params.venue))
}

macro_rules! quantities {
    ($($name:literal, $subject:ident, $type:expr, $what:literal, |$moment:pat_param, $row:pat_param, $filter:pat_param| $read:expr;)+) => {
        &[$(Quantity {
            name: $name,
            subject: Subject::$subject,
            is: $type,
            what: $what,
            reads: |$moment: &Moment<'_>, $row: &Row<'_>, $filter: &Filter| $read,
        }),+]
    };
}

use Type::{Duration, Flag, Instant, Number, Word};

/// All quantities.
pub static QUANTITIES: &[Quantity] = quantities! {
    "seq", Run, Number, "number of the input", |m, _, _| whole(m.last.seq.0);
    "t", Run, Instant, "instant of the input: +12.5s since the start, or 2026-11-27T13:40:00Z",
        |m, _, _| Some(Value::Instant(m.last.at));
    "input", Run, Word(words::INPUTS), "kind of the input",
        |m, _, _| m.last.input.as_ref().map(|(input, _)| Value::Word(words::input(input)));
    "mode", Run, Word(words::MODES), "what the scanner may want",
        |m, _, _| Some(Value::Word(words::mode(&m.parts.scan.scanner().totals().mode)));
    "state", Run, Word(words::STATES), "what risk lets pass",
        |m, _, _| Some(Value::Word(words::state(&m.parts.risk.rules().state())));
    "unhedged_usd", Run, Number, "notional that no other leg hedges, quote currency",
        |m, _, _| Some(Value::Number(m.parts.risk.rules().positions().unhedged()));
    "daily_pnl", Run, Number, "net result since 00:00 UTC, quote currency",
        |m, _, _| Some(Value::Number(m.parts.risk.rules().positions().daily()));
    "net_pnl", Run, Number, "net result of the run, quote currency",
        |m, _, _| Some(Value::Number(m.parts.risk.rules().positions().totals().net()));
    "gross_usd", Run, Number, "worst-case exposure, quote currency",
        |m, _, _| Some(Value::Number(m.parts.risk.rules().exposure().gross()));
    "failures", Run, Number, "trades lost or failed in a row", |m, _, _| whole(m.parts.risk.rules().failures());
    "in_flight", Run, Number, "approved baskets whose orders are not all closed",
        |m, _, _| whole(m.parts.risk.rules().baskets_in_flight());
    "booked_at_mark", Run, Number, "executions that no venue told, booked at the mark", |m, _, _| whole(m.parts.decode.odd().at_mark);
    "strays", Run, Number, "live orders that this run did not place", |m, _, _| whole(m.parts.risk.rules().strays() as u64);
    "open_orders", Count, Number, "orders that are not closed",
        |m, _, f| whole(m.parts.decode.ledger().open_orders().filter(|o| f.has_listing(o.spec.instrument)).count() as u64);
    "open_trades", Count, Number, "trades that are open",
        |m, _, f| whole(m.parts.scan.scanner().trades().filter(|trade| {
            f.has_way(InstrumentId(trade.legs[0].listing), InstrumentId(trade.legs[1].listing))
        }).count() as u64);
    "events", Count, Number, "events of the last input",
        |m, _, f| whole(m.last.events.iter().filter(|event| {
            let (venue, instrument) = about_event(m.parts, &event.body);
            f.has_about(venue, instrument)
        }).count() as u64);
    "outputs", Count, Number, "outputs of the last input",
        |m, _, f| whole(m.last.outputs.iter().filter(|(_, output, _)| {
            let about = about_output(output);
            if about.is_empty() { f.has_about(None, None) } else { about.iter().any(|id| f.has_listing(*id)) }
        }).count() as u64);
    "book.live", Listing, Flag, "the book is continuous since a snapshot",
        |_, row, _| Some(Value::Flag(listing(row)?.book.state() == BookState::Live));
    "book.crossed", Listing, Flag, "bid at or above ask in a live book",
        |_, row, _| both(listing(row)?).map(|(bid, ask)| Value::Flag(bid >= ask));
    "book.served", Listing, Flag, "fit to price from when it was last looked at",
        |_, row, _| Some(Value::Flag(listing(row)?.served == Served::Yes));
    "book.bid", Listing, Number, "best bid", |_, row, _| touch(row, Side::Sell, true);
    "book.ask", Listing, Number, "best ask", |_, row, _| touch(row, Side::Buy, true);
    "book.bid_qty", Listing, Number, "contracts at the best bid", |_, row, _| touch(row, Side::Sell, false);
    "book.ask_qty", Listing, Number, "contracts at the best ask", |_, row, _| touch(row, Side::Buy, false);
    "book.spread_bps", Listing, Number, "ask less bid, of the mid, rounded up",
        |_, row, _| both(listing(row)?).and_then(|(bid, ask)| {
            bps(crate::core::edge::ppb_ceil((ask - bid).saturating_mul(2), bid + ask))
        });
    "book.age", Listing, Duration, "age of the best prices on the venue's clock: 250ms, 2s",
        |m, row, _| listing(row)?.book.is_served().then_some(())
            .and_then(|()| Some(Value::Duration(listing(row)?.touch_age(m.last.at.wall))));
    "position", Listing, Number, "contracts that our fills amount to, long positive",
        |m, row, _| {
            let of = listing(row)?;
            contracts(&of.instrument, m.parts.risk.rules().positions().get(of.params.id).qty)
        };
    "position.venue", Listing, Number, "contracts that the venue states",
        |m, row, _| {
            let of = listing(row)?;
            let stated = m.parts.risk.rules().positions().positions().find(|view| view.instrument.id == of.params.id)?;
            contracts(&of.instrument, stated.venue_qty?)
        };
    "residual", Listing, Number, "contracts left over by trades",
        |_, row, _| {
            let of = listing(row)?;
            contracts(&of.instrument, of.residual)
        };
    "miss_percent", Listing, Number, "learnt probability that a leg of an entry misses",
        |_, row, _| number(Num::new(listing(row)?.misses.probability(), 7));
    "trading", Listing, Flag, "the venue lets the contract trade", |_, row, _| Some(Value::Flag(listing(row)?.is_trading()));
    "locked", Listing, Flag, "the venue takes only orders that reduce",
        |m, row, _| Some(Value::Flag(listing(row)?.is_locked(m.last.at.wall)));
    "band.buy_max", Listing, Number, "highest price that the venue takes from a buyer",
        |m, row, _| price(listing(row)?, listing(row)?.band.worst(Side::Buy, m.last.at.mono)?.0);
    "band.sell_min", Listing, Number, "lowest price that it takes from a seller",
        |m, row, _| price(listing(row)?, listing(row)?.band.worst(Side::Sell, m.last.at.mono)?.0);
    "funding_bps", Listing, Number, "funding rate",
        |_, row, _| listing(row).filter(|of| of.rated_at.is_some()).and_then(|of| bps(of.funding.rate));
    "index", Listing, Number, "index price", |_, row, _| number(listing(row)?.index?.0);
    "edge_bps", Pair, Number, "net edge when last priced", |_, row, _| term(row, |terms| terms.net);
    "edge.entry_bps", Pair, Number, "executable basis at the intended size", |_, row, _| term(row, |terms| terms.entry_basis);
    "edge.exit_bps", Pair, Number, "basis at which the exit is expected", |_, row, _| term(row, |terms| terms.exit_basis);
    "edge.fees_bps", Pair, Number, "fees of four legs", |_, row, _| term(row, |terms| terms.fees);
    "edge.half_spreads_bps", Pair, Number, "half-spreads of the exit", |_, row, _| term(row, |terms| terms.exit_half_spreads);
    "edge.slippage_bps", Pair, Number, "distance from the top of the books", |_, row, _| term(row, |terms| terms.slippage);
    "edge.allowance_bps", Pair, Number, "configured allowance and edge.failure_bps", |_, row, _| term(row, |terms| terms.allowance);
    "edge.failure_bps", Pair, Number, "what legs that miss cost on average, as learnt: a part of edge.allowance_bps",
        |_, row, _| term(row, |_| 0).and_then(|_| bps(pair(row)?.failure));
    "edge.funding_bps", Pair, Number, "net funding received", |_, row, _| term(row, |terms| terms.funding);
    "edge.threshold_bps", Pair, Number, "what the net is held against", |_, row, _| term(row, |terms| terms.threshold);
    "basis_bps", Pair, Number, "mid basis now, sell less buy", |_, row, _| bps(pair(row)?.basis?);
    "baseline_bps", Pair, Number, "its rolling median", |_, row, _| bps(pair(row)?.baseline?);
    "samples", Pair, Number, "samples of the baseline", |_, row, _| whole(pair(row)?.samples);
    "why", Pair, Word(words::WHY), "why it does not enter", |_, row, _| Some(Value::Word(words::why(&pair(row)?.why)));
    "buy", Pair, Type::Venue, "where it buys", |m, row, _| leg_venue(m, pair(row)?.buy);
    "sell", Pair, Type::Venue, "where it sells", |m, row, _| leg_venue(m, pair(row)?.sell);
    "instrument", Pair, Type::Instrument, "unified name, native name or base asset", |m, row, _| instrument_of(m, row);
    "event", Event, Word(words::EVENTS), "kind of the event", |_, row, _| Some(Value::Word(words::event(event(row)?)));
    "event.price", Event, Number, "price of a public trade or a fill of ours", |m, row, _| number(traded(m, row)?.0);
    "event.qty", Event, Number, "contracts of it", |m, row, _| number(traded(m, row)?.1);
    "output", Output, Word(words::OUTPUTS), "kind of the output",
        |_, row, _| if let Row::Output(made) = row { Some(Value::Word(words::output(&made.1))) } else { None };
    "basket", Output, Word(words::BASKETS), "kind of the basket that scan wants or risk approved",
        |_, row, _| match row {
            Row::Output((_, Output::Intent(Intent::Basket(of)) | Output::Approved(Intent::Basket(of)), _)) => {
                Some(Value::Word(words::basket(&of.kind)))
            }
            _ => None,
        };
    "output.beyond_band", Output, Flag, "it places an order beyond the prices that the venue takes",
        |m, row, _| beyond_band(m, row).map(Value::Flag);
    "deny", Output, Word(words::DENY), "why risk or route denied",
        |_, row, _| match row {
            Row::Output((_, Output::Denied(denial), _)) => Some(Value::Word(words::deny(&denial.reason))),
            _ => None,
        };
    "order", Order, Type::Order, "our order: 32 hex digits, or the hex digits of its number in this run",
        |_, row, _| if let Row::Order((id, ..)) = row { Some(Value::Order(*id)) } else { None };
    "order.state", Order, Word(words::ORDER_STATES), "its state after the input",
        |m, row, _| match row {
            Row::Order((id, ..)) => m.parts.decode.ledger().order(*id).map(|(state, _)| Value::Word(words::order_state(&state))),
            _ => None,
        };
    "order.filled", Order, Number, "contracts filled",
        |m, row, _| match row {
            Row::Order((id, _, of)) => {
                let (_, filled) = m.parts.decode.ledger().order(*id)?;
                contracts(&m.parts.scan.scanner().listing(*of)?.instrument, filled.0)
            }
            _ => None,
        };
    "margin.free", Account, Number, "free for new orders, settlement currency",
        |_, row, _| if let Row::Account(account) = row { account.free().map(Value::Number) } else { None };
    "margin.wallet", Account, Number, "wallet as the venue states it",
        |_, row, _| if let Row::Account(account) = row { account.wallet.map(Value::Number) } else { None };
    "venue", Listing, Type::Venue, "its venue", |m, row, _| venue_of(m, row);
    "venue", Event, Type::Venue, "its venue", |m, row, _| venue_of(m, row);
    "venue", Order, Type::Venue, "its venue", |m, row, _| venue_of(m, row);
    "venue", Account, Type::Venue, "its venue", |m, row, _| venue_of(m, row);
    "instrument", Listing, Type::Instrument, "unified name, native name or base asset", |m, row, _| instrument_of(m, row);
    "instrument", Event, Type::Instrument, "unified name, native name or base asset", |m, row, _| instrument_of(m, row);
    "instrument", Order, Type::Instrument, "unified name, native name or base asset", |m, row, _| instrument_of(m, row);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_subject_stand_once_and_every_one_is_explained() {
        for (at, one) in QUANTITIES.iter().enumerate() {
            let again =
                QUANTITIES[..at].iter().any(|other| (other.name, other.subject) == (one.name, one.subject));
            assert!(!again && !one.what.is_empty(), "{}", one.name);
        }
    }
}
