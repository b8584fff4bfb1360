//! Events and outputs as rows of their tables.

use super::listings::Listings;
use super::table::{Cell, Decimal, Kind};
use crate::core::pair::WhyNot;
use crate::domain::effect::{SignScheme, Target};
use crate::domain::event::{Event, EventBody, LevelsChunk};
use crate::domain::input::{ConnId, SendFate};
use crate::domain::instrument::{Instrument, InstrumentId, Qty, VenueId};
use crate::domain::intent::{Basket, EdgeTerms, Intent, NearMiss, Replace};
use crate::domain::order::{ClientId, OrderSpec, OrderUpdate, Side};
use crate::domain::output::{MessageShape, OutputKey};
use crate::domain::text::Hex;

/// Whatever takes rows.
pub type RowSink<'s, E> = dyn FnMut(Kind, &[Cell<'_>]) -> Result<(), E> + 's;

/// Where a row stands.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The causing input.
    pub seq: u64,
    /// Its receive time, ns since the epoch.
    pub wall: i64,
}

/// Venue and instrument that an event is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct About {
    /// Where.
    pub venue: Option<VenueId>,
    /// What.
    pub instrument: Option<InstrumentId>,
}

/// Turns events and outputs into rows.
pub struct Rows<'a> {
    /// Names and scales.
    pub listings: &'a Listings,
    /// Owners of the connections.
    pub conns: &'a [VenueId],
    /// By listing: the chunks belong to a snapshot until its last one.
    pub snapshots: &'a [bool],
    /// Where the message went whose fate is told now.
    pub target: Option<VenueId>,
}

impl<'a> Rows<'a> {
    fn of_instrument(&self, id: InstrumentId) -> About {
        About { venue: self.listings.venue_of(id), instrument: Some(id) }
    }

    fn of_conn(&self, conn: ConnId) -> About {
        About { venue: self.conns.get(conn.index()).copied(), instrument: None }
    }

    /// What an event is about. Denials name none: their baskets have several legs.
    pub fn about(&self, event: &EventBody) -> About {
        let venue = |venue| About { venue: Some(venue), instrument: None };
        match event {
            EventBody::Trade(e) => self.of_instrument(e.instrument),
            EventBody::Bbo(e) => self.of_instrument(e.instrument),
            EventBody::Levels(e) => self.of_instrument(e.instrument),
            EventBody::Mark(e) => self.of_instrument(e.instrument),
            EventBody::OpenInterest(e) => self.of_instrument(e.instrument),
            EventBody::Ticker(e) => self.of_instrument(e.instrument),
            EventBody::Liquidation(e) => self.of_instrument(e.instrument),
            EventBody::Instrument(e) => self.of_instrument(e.id),
            EventBody::Book(e) => self.of_instrument(e.instrument),
            EventBody::Order(e) => self.of_instrument(e.instrument),
            EventBody::Position(e) => self.of_instrument(e.instrument),
            EventBody::Balance(e) => venue(e.venue),
            EventBody::Funding(e) => About { venue: Some(e.venue), instrument: e.instrument },
            EventBody::Session(e) => venue(e.venue),
            EventBody::Conn(e) => self.of_conn(e.conn),
            EventBody::Outcome(e) => match &e.order {
                Some(order) => self.of_instrument(order.instrument),
                None => About { venue: self.target, instrument: None },
            },
            _ => About::default(),
        }
    }

    /// What a message is about.
    pub fn about_message(&self, shape: &MessageShape) -> About {
        match (&shape.meta.order, shape.meta.target) {
            (Some(order), _) => self.of_instrument(order.instrument),
            (None, Target::Http { venue, .. }) => About { venue: Some(venue), instrument: None },
            (None, Target::Socket(conn) | Target::Connect(conn) | Target::Close(conn)) => self.of_conn(conn),
        }
    }

    /// What a leg or a cancel is about.
    pub fn about_order(&self, instrument: InstrumentId) -> About {
        self.of_instrument(instrument)
    }

    fn begin(&self, place: Place, about: About) -> Vec<Cell<'a>> {
        let mut cells = Vec::with_capacity(32);
        let names = about.instrument.and_then(|id| self.listings.names(id));
        cells.extend([
            Cell::Int(place.seq as i64),
            Cell::Int(place.wall),
            Cell::maybe(about.venue, |venue| Cell::text(self.listings.venue(venue))),
            Cell::maybe(names, |(unified, _)| Cell::text(unified)),
            Cell::maybe(names, |(_, symbol)| Cell::text(symbol)),
        ]);
        cells
    }

    /// The rows of an event of `kind`: one, but for depth.
    pub fn event<E>(&self, kind: Kind, event: &Event, sink: &mut RowSink<'_, E>) -> Result<(), E> {
        let place = Place { seq: event.seq.0, wall: event.at.wall };
        let about = self.about(&event.body);
        if let EventBody::Levels(chunk) = &event.body {
            return self.levels(place, about, chunk, sink);
        }
        let mut cells = self.begin(place, about);
        self.cells(place.seq, &event.body, &mut cells);
        sink(kind, &cells)
    }

    fn cells(&self, seq: u64, event: &EventBody, to: &mut Vec<Cell<'a>>) {
        let price = |id, price| self.listings.price_cell(id, seq, price);
        let qty = |id, qty| self.listings.qty_cell(id, seq, qty);
        match event {
            EventBody::Trade(e) => to.extend([
                Cell::Int(e.venue_ns),
                Cell::Count(e.id),
                price(e.instrument, e.price),
                qty(e.instrument, e.qty),
                side(e.aggressor),
            ]),
            EventBody::Bbo(e) => to.extend([
                Cell::Int(e.venue_ns),
                Cell::Count(e.update_id),
                price(e.instrument, e.bid),
                qty(e.instrument, e.bid_qty),
                price(e.instrument, e.ask),
                qty(e.instrument, e.ask_qty),
            ]),
            EventBody::Mark(e) => to.extend([
                Cell::Int(e.venue_ns),
                Cell::maybe(e.mark, Cell::exact),
                Cell::maybe(e.index, Cell::exact),
                Cell::maybe(e.rate, Cell::exact),
                Cell::Int(e.funding_ns),
                Cell::Int(e.interval_ns),
                Cell::Flag(e.accrues),
                Cell::maybe(e.buy_max, Cell::exact),
                Cell::maybe(e.sell_min, Cell::exact),
            ]),
            EventBody::OpenInterest(e) => to.extend([Cell::Int(e.venue_ns), Cell::exact(e.qty)]),
            EventBody::Ticker(e) => to.extend([
                Cell::Int(e.venue_ns),
                Cell::maybe(e.last, Cell::exact),
                Cell::maybe(e.bid, Cell::exact),
                Cell::maybe(e.ask, Cell::exact),
            ]),
            EventBody::Liquidation(e) => {
                to.extend([Cell::Int(e.venue_ns), side(e.side), Cell::exact(e.price), Cell::exact(e.qty)]);
            }
            EventBody::Instrument(e) => specification(e, to),
            EventBody::Book(e) => to.extend([Cell::word(e.state), Cell::word(e.reason)]),
            EventBody::Session(e) => to.extend([
                Cell::text("session"),
                Cell::word(e.role),
                Cell::Null,
                Cell::Null,
                Cell::Flag(e.ready),
            ]),
            EventBody::Conn(e) => to.extend([
                Cell::text("connection"),
                Cell::Null,
                Cell::Int(i64::from(e.conn.0)),
                Cell::Int(i64::from(e.epoch)),
                Cell::Flag(e.up),
            ]),
            EventBody::Order(e) => self.order(seq, e, to),
            EventBody::Position(e) => to.extend([
                Cell::Int(e.venue_ns),
                qty(e.instrument, Qty(e.qty)),
                Cell::exact(e.entry),
                Cell::Flag(e.snapshot),
            ]),
            EventBody::Balance(e) => to.extend([
                Cell::Int(e.venue_ns),
                Cell::shown(e.currency),
                Cell::exact(e.wallet),
                Cell::maybe(e.available, Cell::exact),
            ]),
            EventBody::Funding(e) => {
                to.extend([Cell::Int(e.venue_ns), Cell::shown(e.currency), Cell::exact(e.amount)]);
            }
            EventBody::Denied(e) => to.extend([
                Cell::Int(i64::from(e.trade.0)),
                Cell::Int(i64::from(e.attempt)),
                Cell::word(e.kind),
                Cell::word(e.reason),
                if e.leg == u8::MAX { Cell::Null } else { Cell::Int(i64::from(e.leg)) },
                Cell::exact(e.value),
                Cell::exact(e.limit),
            ]),
            EventBody::Outcome(e) => {
                let (fate, reason) = match e.fate {
                    SendFate::Sent => ("Sent", Cell::Null),
                    SendFate::Unknown => ("Unknown", Cell::Null),
                    SendFate::Handed => ("Handed", Cell::Null),
                    SendFate::Refused(reason) => ("Refused", Cell::word(reason)),
                    SendFate::Withdrawn(reason) => ("Withdrawn", Cell::word(reason)),
                };
                let client = e.order.map(|order| order.client_id);
                to.extend([
                    Cell::Count(e.message.0),
                    Cell::text(fate),
                    reason,
                    Cell::maybe(client, Cell::shown),
                ]);
            }
            // The others have no table: `Kind::of`.
            _ => {}
        }
    }

    fn order(&self, seq: u64, e: &OrderUpdate, to: &mut Vec<Cell<'a>>) {
        let qty = |qty| self.listings.qty_cell(e.instrument, seq, qty);
        let filled = e.fill_qty.0 != 0;
        to.extend([
            Cell::Int(e.venue_ns),
            if e.client_id == ClientId::NONE { Cell::Null } else { Cell::shown(e.client_id) },
            side(e.side),
            Cell::word(e.state),
            qty(e.filled),
            qty(e.leaves),
            qty(e.fill_qty),
            if filled { self.listings.price_cell(e.instrument, seq, e.fill_price) } else { Cell::Null },
            Cell::exact(e.fee),
            if e.fee_currency.is_empty() { Cell::Null } else { Cell::shown(e.fee_currency) },
            if filled { Cell::Flag(e.maker) } else { Cell::Null },
            if e.trade_id == 0 { Cell::Null } else { Cell::Count(e.trade_id) },
            Cell::word(e.reject),
        ]);
    }

    fn levels<E>(
        &self,
        place: Place,
        about: About,
        chunk: &LevelsChunk,
        sink: &mut RowSink<'_, E>,
    ) -> Result<(), E> {
        let snapshot = chunk.clear || self.snapshots.get(chunk.instrument.index()).is_some_and(|on| *on);
        let levels = levels(chunk);
        let id = chunk.instrument;
        // A chunk without levels still says something: that the book is empty, or that the message ends.
        for at in 0..levels.len().max(1) {
            let mut cells = self.begin(place, about);
            let level = levels.get(at);
            let of = |side: Side| Cell::text(if side == Side::Buy { "Bid" } else { "Ask" });
            cells.extend([
                Cell::Int(chunk.venue_ns),
                Cell::Count(chunk.update_id),
                Cell::Flag(snapshot),
                Cell::Flag(chunk.clear && at == 0),
                Cell::Flag(chunk.last && at + 1 >= levels.len()),
                Cell::maybe(level, |(side, _, _)| of(*side)),
                Cell::maybe(level, |(_, price, _)| self.listings.price_cell(id, place.seq, *price)),
                Cell::maybe(level, |(_, _, qty)| self.listings.qty_cell(id, place.seq, *qty)),
            ]);
            sink(Kind::Depth, &cells)?;
        }
        Ok(())
    }

    fn spec(&self, seq: u64, order: &OrderSpec) -> [Cell<'a>; 6] {
        [
            Cell::shown(order.client_id),
            side(order.side),
            self.listings.qty_cell(order.instrument, seq, order.qty),
            self.listings.price_cell(order.instrument, seq, order.price),
            Cell::word(order.tif),
            Cell::Flag(order.reduce_only),
        ]
    }

    /// The rows of an intent: one per leg that `selected` takes, or one for a cancel.
    pub fn intent<E>(
        &self,
        place: Place,
        key: OutputKey,
        verdict: &'static str,
        intent: &Intent,
        selected: &dyn Fn(About) -> bool,
        sink: &mut RowSink<'_, E>,
    ) -> Result<(), E> {
        let ordinal = Cell::Int(i64::from(key.ordinal));
        match intent {
            Intent::Basket(basket) => {
                for (leg, order) in basket.orders().iter().enumerate() {
                    let about = self.of_instrument(order.instrument);
                    if selected(about) {
                        let mut cells = self.begin(place, about);
                        cells.extend([Cell::text(verdict), ordinal.clone()]);
                        self.leg(place.seq, basket, leg, order, &mut cells);
                        sink(Kind::Intents, &cells)?;
                    }
                }
                Ok(())
            }
            Intent::Amend(amend) | Intent::Replace(Replace { with: amend, .. }) => {
                let (order, seq) = (&amend.to, place.seq);
                let about = self.of_instrument(order.instrument);
                if !selected(about) {
                    return Ok(());
                }
                let mut cells = self.begin(place, about);
                cells.extend([
                    Cell::text(verdict),
                    ordinal,
                    Cell::text(if matches!(intent, Intent::Amend(_)) { "Amend" } else { "Replace" }),
                ]);
                cells.extend([Cell::Int(i64::from(amend.trade.0)), Cell::Int(i64::from(amend.attempt))]);
                cells.push(Cell::Null);
                cells.extend(self.spec(seq, order));
                cells.extend([
                    self.listings.price_cell(order.instrument, seq, amend.mid),
                    Cell::Int(amend.book_age_ns),
                    Cell::Int(amend.detected),
                ]);
                cells.resize(Kind::Intents.all_columns().count(), Cell::Null);
                sink(Kind::Intents, &cells)
            }
            Intent::Cancel(order) => {
                let about = self.of_instrument(order.instrument);
                if !selected(about) {
                    return Ok(());
                }
                let mut cells = self.begin(place, about);
                cells.extend([Cell::text(verdict), ordinal, Cell::text("Cancel")]);
                cells.extend([Cell::Null, Cell::Null, Cell::Null, Cell::shown(order.client_id)]);
                cells.resize(Kind::Intents.all_columns().count(), Cell::Null);
                sink(Kind::Intents, &cells)
            }
        }
    }

    fn leg(&self, seq: u64, basket: &Basket, leg: usize, order: &OrderSpec, to: &mut Vec<Cell<'a>>) {
        to.extend([
            Cell::word(basket.kind),
            Cell::Int(i64::from(basket.trade.0)),
            Cell::Int(i64::from(basket.attempt)),
            Cell::Int(leg as i64),
        ]);
        to.extend(self.spec(seq, order));
        to.extend([
            self.listings.price_cell(order.instrument, seq, basket.mids[leg]),
            Cell::Int(basket.book_age_ns[leg]),
            Cell::Int(basket.detected),
        ]);
        to.extend(edge(&basket.edge));
    }

    /// The row of a near-miss.
    pub fn near_miss<E>(&self, place: Place, near: &NearMiss, sink: &mut RowSink<'_, E>) -> Result<(), E> {
        let mut cells = self.begin(place, self.of_instrument(near.long));
        cells.extend([
            Cell::maybe(self.listings.venue_of(near.short), |venue| Cell::text(self.listings.venue(venue))),
            Cell::maybe(self.listings.names(near.short), |(_, symbol)| Cell::text(symbol)),
            Cell::maybe(WhyNot::of_code(near.why), |why| Cell::text(why.as_str())),
        ]);
        cells.extend(edge(&near.edge));
        sink(Kind::NearMisses, &cells)
    }

    /// The row of a message; `text` are its bytes, with nothing where its secrets belong.
    pub fn message<E>(
        &self,
        place: Place,
        shape: &MessageShape,
        text: &[u8],
        sink: &mut RowSink<'_, E>,
    ) -> Result<(), E> {
        let (target, conn, http) = match shape.meta.target {
            Target::Socket(conn) => ("Socket", Some(conn), None),
            Target::Connect(conn) => ("Connect", Some(conn), None),
            Target::Close(conn) => ("Close", Some(conn), None),
            Target::Http { id, .. } => ("Http", None, Some(id)),
        };
        let mut cells = self.begin(place, self.about_message(shape));
        cells.extend([
            Cell::Count(shape.meta.message.0),
            Cell::text(target),
            Cell::maybe(conn, |conn| Cell::Int(i64::from(conn.0))),
            Cell::maybe(http, |id| Cell::Int(i64::from(id.0))),
            Cell::Flag(shape.meta.urgent),
        ]);
        match &shape.meta.order {
            Some(order) => cells.extend(self.spec(place.seq, order)),
            None => cells.extend([const { Cell::Null }; 6]),
        }
        cells.push(if shape.scheme == SignScheme::None { Cell::Null } else { Cell::word(shape.scheme) });
        match std::str::from_utf8(text) {
            Ok(text) => cells.extend([Cell::shown(text), Cell::Null]),
            Err(_) => cells.extend([Cell::Null, Cell::shown(Hex(text))]),
        }
        sink(Kind::Messages, &cells)
    }
}

fn edge(edge: &EdgeTerms) -> [Cell<'static>; 9] {
    [
        edge.entry_basis,
        edge.exit_basis,
        edge.fees,
        edge.exit_half_spreads,
        edge.slippage,
        edge.allowance,
        edge.funding,
        edge.net,
        edge.threshold,
    ]
    .map(Cell::Int)
}

fn side(side: Side) -> Cell<'static> {
    Cell::text(if side == Side::Buy { "Buy" } else { "Sell" })
}

fn specification(e: &Instrument, to: &mut Vec<Cell<'_>>) {
    let spec = &e.spec;
    let largest = (e.qty_max.0 != i64::MAX).then(|| Decimal::new(e.qty_max.0, e.qty_scale));
    to.extend([
        Cell::Int(i64::from(e.generation)),
        Cell::word(spec.kind),
        Cell::shown(e.base),
        Cell::shown(e.quote),
        Cell::shown(e.settle),
        Cell::exact(spec.multiplier),
        Cell::exact(spec.tick),
        Cell::exact(spec.step),
        Cell::exact(spec.qty_min),
        Cell::maybe(largest, Cell::Decimal),
        Cell::exact(spec.notional_min),
        Cell::word(spec.status),
        Cell::Int(i64::from(e.price_scale)),
        Cell::Int(i64::from(e.qty_scale)),
    ]);
}

/// The levels of a chunk: side of the book, price, quantity.
pub fn levels(
    chunk: &LevelsChunk,
) -> Vec<(Side, crate::domain::instrument::Price, crate::domain::instrument::Qty)> {
    let bids = usize::from(chunk.bids).min(chunk.levels.len());
    let both = (bids + usize::from(chunk.asks)).min(chunk.levels.len());
    let side = |at| if at < bids { Side::Buy } else { Side::Sell };
    chunk.levels[..both].iter().enumerate().map(|(at, (price, qty))| (side(at), *price, *qty)).collect()
}
