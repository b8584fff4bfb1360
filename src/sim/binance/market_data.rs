//! Who listens to which stream, and the publication of market events and timed streams to them.

use super::stream::{
    Day, Pending, Stream, agg_trade, book_ticker, contract_info, force_order, mark_price, trade,
};
use crate::domain::time::{MILLI, Nanos};
use crate::sim::exchange::{Exchange, ListingId, Side, SimEvent, SimEventBody, Terms};
use crate::sim::{Push, SimConn};
use std::collections::BTreeMap;

/// All timed streams run on multiples of this.
pub(super) const TICK_NS: Nanos = 50 * MILLI;

/// A subscription: the name as the client wrote it, and whether frames are wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listener {
    conn: SimConn,
    name: String,
    combined: bool,
}

/// Streams and their listeners.
#[derive(Clone, Debug, Default)]
pub(super) struct MarketData {
    listeners: BTreeMap<Stream, Vec<Listener>>,
    /// Per diff or partial stream that somebody listens to.
    pending: BTreeMap<Stream, Pending>,
    days: Vec<Day>,
    /// What was told of each listing.
    told: Vec<Terms>,
}

impl MarketData {
    pub fn new(exchange: &Exchange) -> Self {
        // Aggregate ids start high, as at a venue with a history.
        let day = Day { aggregates: 300_000_000, ..Day::default() };
        let count = exchange.listings().len();
        Self { days: vec![day; count], told: vec![Terms::default(); count], ..Self::default() }
    }

    /// The day of a listing.
    pub fn day(&self, listing: ListingId) -> &Day {
        &self.days[listing.index()]
    }

    /// Adds a listener (once per connection).
    pub fn subscribe(
        &mut self,
        stream: Stream,
        conn: SimConn,
        name: &str,
        combined: bool,
        exchange: &Exchange,
    ) {
        let listeners = self.listeners.entry(stream).or_default();
        if listeners.iter().all(|listener| listener.conn != conn) {
            listeners.push(Listener { conn, name: name.into(), combined });
        }
        if let Stream::Depth(listing, _) | Stream::Partial(listing, ..) = stream {
            self.pending.entry(stream).or_insert_with(|| Pending::after(exchange.last_update(listing)));
        }
    }

    /// Removes a listener.
    pub fn unsubscribe(&mut self, stream: Stream, conn: SimConn) {
        if let Some(listeners) = self.listeners.get_mut(&stream) {
            listeners.retain(|listener| listener.conn != conn);
            if listeners.is_empty() {
                self.listeners.remove(&stream);
                self.pending.remove(&stream);
            }
        }
    }

    /// Removes a connection from all streams.
    pub fn forget(&mut self, conn: SimConn) {
        let streams: Vec<Stream> = self.listeners.keys().copied().collect();
        for stream in streams {
            self.unsubscribe(stream, conn);
        }
    }

    /// Publishes a market event; events of accounts are not for here.
    pub fn on_event(&mut self, event: &SimEvent, exchange: &Exchange, out: &mut Vec<Push>) {
        let at = event.at;
        match &event.body {
            SimEventBody::Level { listing, side, level, update } => {
                let ours = Stream::Depth(*listing, 0)..=Stream::Depth(*listing, u16::MAX);
                for (_, pending) in self.pending.range_mut(ours) {
                    pending.note(*side, *level, *update);
                }
                let ours = Stream::Partial(*listing, 0, 0)..=Stream::Partial(*listing, u16::MAX, u8::MAX);
                for (_, pending) in self.pending.range_mut(ours) {
                    pending.note(*side, *level, *update);
                }
            }
            SimEventBody::Bbo { listing, bid, ask, update } => {
                let streams = [Stream::BookTicker(*listing), Stream::BookTickerAll];
                if streams.iter().any(|stream| self.listeners.contains_key(stream))
                    && let Some(text) = book_ticker(exchange.listing(*listing), *bid, *ask, *update, at)
                {
                    for stream in streams {
                        self.send(stream, &text, out);
                    }
                }
            }
            SimEventBody::Trade(public) => {
                let listing = exchange.listing(public.listing);
                let day = &mut self.days[public.listing.index()];
                day.note(listing, public, at);
                let number = day.aggregates;
                if self.listeners.contains_key(&Stream::AggTrade(public.listing)) {
                    self.send(Stream::AggTrade(public.listing), &agg_trade(listing, public, number, at), out);
                }
                if self.listeners.contains_key(&Stream::Trade(public.listing)) {
                    self.send(Stream::Trade(public.listing), &trade(listing, public, at), out);
                }
                let forced = Stream::ForceOrder(public.listing);
                if public.is_liquidation() && self.listeners.contains_key(&forced) {
                    self.send(forced, &force_order(listing, public, at), out);
                }
            }
            SimEventBody::Order { .. }
            | SimEventBody::Account { .. }
            | SimEventBody::FundingSettled { .. } => {}
        }
    }

    /// Sends the diff streams of speed 0 after a batch of events.
    pub fn on_batch(&mut self, exchange: &Exchange, at: Nanos, out: &mut Vec<Push>) {
        self.flush(|speed| speed == 0, exchange, at, out);
    }

    /// Sends what is due at `at`, a multiple of [`TICK_NS`].
    pub fn on_tick(&mut self, exchange: &Exchange, at: Nanos, out: &mut Vec<Push>) {
        self.flush(|speed| speed != 0 && at % (Nanos::from(speed) * MILLI) == 0, exchange, at, out);
        for (index, listing) in exchange.listings().iter().enumerate() {
            let terms = listing.terms(at);
            if std::mem::replace(&mut self.told[index], terms) != terms {
                self.send(Stream::ContractInfo, &contract_info(listing, at), out);
            }
        }
        if at % (1_000 * MILLI) != 0 {
            return;
        }
        let three = at % (3_000 * MILLI) == 0;
        let due: Vec<Stream> = self
            .listeners
            .range(Stream::Mark(ListingId(0), 0)..)
            .map(|(stream, _)| *stream)
            .filter(|stream| !matches!(stream, Stream::Mark(_, 3) | Stream::MarkAll(3)) || three)
            .collect();
        for stream in due {
            let text = match stream {
                Stream::Mark(listing, _) => mark_price(exchange.listing(listing), at),
                Stream::MarkAll(_) => {
                    let all: Vec<String> =
                        exchange.listings().iter().map(|listing| mark_price(listing, at)).collect();
                    format!("[{}]", all.join(","))
                }
                Stream::Ticker(listing) => self.day(listing).frame(exchange.listing(listing), false, at),
                Stream::MiniTicker(listing) => self.day(listing).frame(exchange.listing(listing), true, at),
                _ => continue,
            };
            self.send(stream, &text, out);
        }
    }

    fn flush(&mut self, due: impl Fn(u16) -> bool, exchange: &Exchange, at: Nanos, out: &mut Vec<Push>) {
        let mut frames = Vec::new();
        for (stream, pending) in &mut self.pending {
            let text = match *stream {
                Stream::Depth(listing, speed) if due(speed) => {
                    pending.flush(exchange.listing(listing), None, at)
                }
                Stream::Partial(listing, speed, levels) if due(speed) => {
                    let book = exchange.book(listing);
                    let depth = usize::from(levels);
                    let (bids, asks) = (book.levels(Side::Buy, depth), book.levels(Side::Sell, depth));
                    pending.flush(exchange.listing(listing), Some((&bids, &asks)), at)
                }
                _ => None,
            };
            frames.extend(text.map(|text| (*stream, text)));
        }
        for (stream, text) in frames {
            self.send(stream, &text, out);
        }
    }

    fn send(&self, stream: Stream, text: &str, out: &mut Vec<Push>) {
        for listener in self.listeners.get(&stream).into_iter().flatten() {
            let frame = if listener.combined {
                format!("{{\"stream\":\"{}\",\"data\":{text}}}", listener.name).into_bytes()
            } else {
                text.as_bytes().to_vec()
            };
            out.push(Push::Text(listener.conn, frame));
        }
    }
}
