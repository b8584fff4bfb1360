//! JSON lines. Market data are normalised messages in the manner of tardis (`trade`, `book_change`, `book_ticker`,
//! `derivative_ticker`, `liquidation`) in one file, in the order of receipt; everything else is rows, a file per table.
//!
//! Prices and amounts of messages are JSON numbers with every digit that the venue sent; decimals of rows are strings.

use super::listings::Listings;
use super::rows::{Rows, levels};
use super::table::{Cell, Decimal, Kind};
use super::{ExportError, Taker};
use crate::domain::calendar;
use crate::domain::event::{Event, EventBody, Mark};
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::domain::time::Nanos;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The file of market data.
const MARKET: &str = "market.ndjson";

/// Whether a kind is a normalised message.
const fn is_market(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Trades
            | Kind::Bbo
            | Kind::Depth
            | Kind::Marks
            | Kind::OpenInterest
            | Kind::Tickers
            | Kind::Liquidations
    )
}

/// The name that tardis gives a venue's feed.
fn exchange(venue: &str) -> &str {
    match venue {
        "binance-usdm" => "binance-futures",
        "binance-coinm" => "binance-delivery",
        "okx" => "okex-swap",
        other => other,
    }
}

/// What is known of an instrument's contract; channels say parts of it.
#[derive(Clone, Copy, Default)]
struct Derivative {
    last: Option<Num>,
    open_interest: Option<Num>,
    rate: Option<Num>,
    funding_ns: Nanos,
    index: Option<Num>,
    mark: Option<Num>,
}

impl Derivative {
    fn learn(&mut self, mark: &Mark) {
        self.rate = mark.rate.or(self.rate);
        self.index = mark.index.or(self.index);
        self.mark = mark.mark.or(self.mark);
        if mark.funding_ns != 0 {
            self.funding_ns = mark.funding_ns;
        }
    }
}

/// A depth message that is not complete yet: bids and asks as JSON.
#[derive(Default)]
struct Change {
    snapshot: bool,
    bids: String,
    asks: String,
}

/// The files.
pub struct Messages {
    market: Option<(PathBuf, BufWriter<File>)>,
    tables: BTreeMap<Kind, (PathBuf, BufWriter<File>)>,
    derivatives: BTreeMap<InstrumentId, Derivative>,
    changes: BTreeMap<InstrumentId, Change>,
    /// Whether there are messages of what is known of a contract.
    tickers: bool,
}

impl Messages {
    /// Begins the files in `folder`.
    pub fn begin(folder: &Path, kinds: &BTreeSet<Kind>) -> Result<Self, ExportError> {
        let create = |name: &str| {
            let path = folder.join(name);
            match File::create_new(&path) {
                Ok(file) => Ok((path, BufWriter::new(file))),
                Err(source) => Err(ExportError::write(&path, source)),
            }
        };
        let market = kinds.iter().any(|kind| is_market(*kind)).then(|| create(MARKET)).transpose()?;
        let table = |kind: &Kind| create(&format!("{}.ndjson", kind.name())).map(|file| (*kind, file));
        let tables = kinds.iter().filter(|kind| !is_market(**kind)).map(table).collect::<Result<_, _>>()?;
        let tickers =
            [Kind::Marks, Kind::OpenInterest, Kind::Tickers].iter().any(|kind| kinds.contains(kind));
        Ok(Self { market, tables, derivatives: BTreeMap::new(), changes: BTreeMap::new(), tickers })
    }

    /// Ends the files.
    pub fn finish(self) -> Result<(), ExportError> {
        self.market
            .into_iter()
            .chain(self.tables.into_values())
            .try_for_each(|(path, mut file)| file.flush().map_err(|source| ExportError::write(&path, source)))
    }

    fn learn(&mut self, event: &EventBody) -> Option<(InstrumentId, Nanos)> {
        let known = &mut self.derivatives;
        match event {
            EventBody::Mark(e) => {
                known.entry(e.instrument).or_default().learn(e);
                Some((e.instrument, e.venue_ns))
            }
            EventBody::OpenInterest(e) => {
                known.entry(e.instrument).or_default().open_interest = Some(e.qty);
                Some((e.instrument, e.venue_ns))
            }
            EventBody::Ticker(e) => {
                let derivative = known.entry(e.instrument).or_default();
                derivative.last = e.last.or(derivative.last);
                Some((e.instrument, e.venue_ns))
            }
            _ => None,
        }
    }

    /// The message that an event completes.
    fn message(&mut self, event: &Event, listings: &Listings) -> Option<String> {
        let seq = event.seq.0;
        let price = |id, price| json(listings.price(id, seq, price));
        let qty = |id, qty| json(listings.qty(id, seq, qty));
        let made =
            |kind, id, venue_ns, body: String| Some(envelope(kind, event, listings, id, venue_ns, &body));
        match &event.body {
            EventBody::Trade(e) => {
                let (price, qty) = (price(e.instrument, e.price), qty(e.instrument, e.qty));
                let side = side(e.aggressor);
                let body = format!(r#""id":"{}","price":{price},"amount":{qty},"side":"{side}""#, e.id);
                made("trade", e.instrument, e.venue_ns, body)
            }
            EventBody::Bbo(e) => {
                let body = format!(
                    r#""bidPrice":{},"bidAmount":{},"askPrice":{},"askAmount":{},"updateId":{}"#,
                    price(e.instrument, e.bid),
                    qty(e.instrument, e.bid_qty),
                    price(e.instrument, e.ask),
                    qty(e.instrument, e.ask_qty),
                    e.update_id
                );
                made("book_ticker", e.instrument, e.venue_ns, body)
            }
            EventBody::Levels(e) => {
                let change = self.changes.entry(e.instrument).or_default();
                if e.clear {
                    *change = Change { snapshot: true, ..Change::default() };
                }
                for (side, at, amount) in levels(e) {
                    let to = if side == Side::Buy { &mut change.bids } else { &mut change.asks };
                    let comma = if to.is_empty() { "" } else { "," };
                    let (price, qty) = (price(e.instrument, at), qty(e.instrument, amount));
                    let _ = write!(to, r#"{comma}{{"price":{price},"amount":{qty}}}"#); // a string takes all
                }
                if !e.last {
                    return None;
                }
                let Change { snapshot, bids, asks } = self.changes.remove(&e.instrument)?;
                let body = format!(
                    r#""isSnapshot":{snapshot},"bids":[{bids}],"asks":[{asks}],"updateId":{}"#,
                    e.update_id
                );
                made("book_change", e.instrument, e.venue_ns, body)
            }
            EventBody::Liquidation(e) => {
                let side = side(e.side);
                let body = format!(r#""id":null,"price":{},"amount":{},"side":"{side}""#, e.price, e.qty);
                made("liquidation", e.instrument, e.venue_ns, body)
            }
            body => {
                let (id, venue_ns) = self.learn(body)?;
                let of = self.derivatives.get(&id).copied().unwrap_or_default();
                let num = |num: Option<Num>| json(num.map(Decimal::from));
                let funding = match of.funding_ns {
                    0 => "null".to_owned(),
                    at => format!("\"{}\"", calendar::shown(at)),
                };
                let body = format!(
                    r#""lastPrice":{},"openInterest":{},"fundingRate":{},"fundingTimestamp":{funding},"predictedFundingRate":null,"indexPrice":{},"markPrice":{}"#,
                    num(of.last),
                    num(of.open_interest),
                    num(of.rate),
                    num(of.index),
                    num(of.mark)
                );
                made("derivative_ticker", id, venue_ns, body)
            }
        }
    }
}

impl Taker for Messages {
    fn row(&mut self, kind: Kind, cells: &[Cell<'_>]) -> Result<(), ExportError> {
        let Some((path, file)) = self.tables.get_mut(&kind) else { return Ok(()) };
        object(file, kind, cells).map_err(|source| ExportError::write(path, source))
    }

    fn event(&mut self, kind: Kind, event: &Event, rows: &Rows<'_>) -> Result<(), ExportError> {
        if !is_market(kind) {
            return rows.event(kind, event, &mut |kind, cells: &[Cell<'_>]| self.row(kind, cells));
        }
        let Some(message) = self.message(event, rows.listings) else { return Ok(()) };
        let Some((path, file)) = &mut self.market else { return Ok(()) };
        writeln!(file, "{message}").map_err(|source| ExportError::write(path, source))
    }

    fn before(&mut self, event: &Event) {
        let _ = self.learn(&event.body);
    }

    fn needs_past(&self) -> bool {
        self.tickers
    }
}

fn side(side: Side) -> &'static str {
    if side == Side::Buy { "buy" } else { "sell" }
}

/// A number with all its digits, or `null`.
fn json(value: Option<Decimal>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What all messages have. Where the venue states no time, `timestamp` is the time of receipt, as tardis does it, and
/// `venue_ns` is 0.
fn envelope(
    kind: &str,
    event: &Event,
    listings: &Listings,
    id: InstrumentId,
    venue_ns: Nanos,
    body: &str,
) -> String {
    let (unified, symbol) = listings.names(id).unwrap_or_default();
    let venue = listings.venue_of(id).map_or("", |venue: VenueId| listings.venue(venue));
    let wall = event.at.wall;
    format!(
        r#"{{"type":"{kind}","symbol":{},"exchange":{},{body},"timestamp":"{}","localTimestamp":"{}","instrument":{},"seq":{},"venue_ns":{venue_ns},"receive_ns":{wall}}}"#,
        quoted(symbol),
        quoted(exchange(venue)),
        calendar::shown(if venue_ns == 0 { wall } else { venue_ns }),
        calendar::shown(wall),
        quoted(unified),
        event.seq.0,
    )
}

/// A row as an object.
fn object(to: &mut impl Write, kind: Kind, cells: &[Cell<'_>]) -> io::Result<()> {
    write!(to, r#"{{"type":"{}""#, kind.name())?;
    for ((name, _), cell) in kind.all_columns().zip(cells) {
        write!(to, r#","{name}":"#)?;
        match cell {
            Cell::Null => write!(to, "null")?,
            Cell::Int(value) => write!(to, "{value}")?,
            Cell::Count(value) => write!(to, "{value}")?,
            Cell::Flag(value) => write!(to, "{value}")?,
            Cell::Decimal(value) => write!(to, "\"{value}\"")?,
            Cell::Text(text) => write!(to, "{}", quoted(text))?,
        }
    }
    writeln!(to, "}}")
}
