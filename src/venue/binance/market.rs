//! Market data of the venue: subscriptions in batches, best bid and ask, depth, trades, marks. Numbers that
//! are not exact at an instrument's scale quarantine that instrument; a stream that stays silent after its
//! acknowledgement is asked for again, because the venue acknowledges streams that do not exist.

use super::continuity::REST_DEPTH;
use super::decode::{Parser, int};
use super::feed::{Feed, FixedLevel};
use super::link::Link;
use super::metadata::FUNDING_INTERVAL;
use super::symbols::Listings;
use super::{Batch, conn, op};
use crate::domain::effect::{SessionAction, VenueCall};
use crate::domain::event::{
    Bbo, BookReason, EventBody, Liquidation, Mark, OpenInterest, PublicTrade, Ticker,
};
use crate::domain::instrument::Instrument;
use crate::domain::params::Extras;
use crate::domain::state::room;
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::copies::{COPIES, CopyCounts, Latest};
use crate::venue::extras::{Told, liquidation};
use crate::venue::json::Cursor;
use crate::venue::message::{DecodeError, Depth, Message};
use crate::venue::silence::Silence;
use crate::venue::{OddKind, Out};
use serde::{Deserialize, Serialize};

/// Levels of one message: room without allocation.
const SCRATCH: usize = 4096;

/// Kinds of connections that carry market data.
pub const LINKS: usize = 2;
/// Connections that carry market data, second ones included: a *slot* is the kind plus `LINKS` times the copy.
pub const SLOTS: usize = LINKS * COPIES;
/// A stream that nothing has come on for this long after a second connection has it: nothing happened meanwhile.
const NOTHING_MISSED: Nanos = 2 * SECOND;
/// Pause between two messages on one connection: 5 a second of the 10 allowed.
const SEND_PAUSE: Nanos = 200 * MILLI;
/// Listings become known one by one: wait this long to ask for many at once.
const GATHER: Nanos = 5 * MILLI;
/// No data on a whole connection for this long after an acknowledgement: reconnect.
const SILENCE: Nanos = 20 * SECOND;
/// A connection is dead, not its market, when the other one brought so many messages meanwhile.
const MISSED_MIN: u32 = 8;
/// No acknowledgement for this long: reconnect.
const ACK_TIMEOUT: Nanos = 10 * SECOND;
/// A stream that says nothing for this long after its acknowledgement (or for less, once it is known to be busy) is
/// asked for again, then with doubled patience (illiquid or suspended instruments do stay silent).
const STREAM_SILENCE: Nanos = 60 * SECOND;
/// Pause after the venue refused a subscription.
const REFUSED_PAUSE: Nanos = 5 * SECOND;
/// Snapshots that may be asked for at once, and the time in which one more is earned: 20 of 2400 weight
/// units a minute each, half of what the venue allows.
const SNAPSHOT_CREDIT_MAX: i64 = 20;
const SNAPSHOT_CREDIT_TIME: Nanos = SECOND;
/// Bit of the numbers of requests that nobody waits for.
const EXTRAS_REQUEST: u32 = 1 << 27;

/// A stream subscription of one listing on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Sub {
    #[default]
    No,
    Asked {
        request: u32,
        at: Nanos,
    },
    Acked {
        at: Nanos,
    },
}

/// What is known of one listing.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Item {
    feed: Feed,
    subs: [Sub; SLOTS],
    /// Acknowledged since the connection stands, and when; asking again for a silent stream does not undo it.
    acked: [Option<Nanos>; SLOTS],
    /// Not before this moment.
    sub_at: [Nanos; SLOTS],
    heard_at: [Nanos; SLOTS],
    patience: [u32; SLOTS],
    silence: [Silence; SLOTS],
    best: Latest,
    trade: Latest,
    mark: Latest,
    ticker: Latest,
    forced: Latest,
    interval_ns: Nanos,
    /// Open interest and last price as last told.
    told: Told,
}

impl Item {
    /// Some connection of that kind has the streams.
    fn is_acked(&self, kind: usize) -> bool {
        (0..COPIES).any(|copy| self.acked[kind + copy * LINKS].is_some())
    }
}

/// What to think of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// Nothing.
    None,
    /// It is silent for longer than it ever is: it may be dead, or the market may be.
    Silent,
    /// It is silent while the other one of its kind is not.
    Dead,
}

/// Market data of the venue.
#[derive(Debug, Serialize, Deserialize)]
pub struct Market {
    /// Second connections may bring the same streams.
    merges: bool,
    counts: CopyCounts,
    /// Of each connection as a whole.
    silence: [Silence; SLOTS],
    /// Messages of the other connection since the last one of this.
    missed: [u32; SLOTS],
    #[serde(skip)]
    parser: Parser,
    #[serde(skip, default = "room::<_, SCRATCH>")]
    scratch: Vec<FixedLevel>,
    items: Vec<Item>,
    requests: u32,
    /// The streams of no listing in particular were asked for on the present connection, by the request of that number.
    wide: [Option<u32>; SLOTS],
    credit: i64,
    credit_at: Nanos,
    extras: Extras,
}

/// What a frame needs of its connection's owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Something odd was in it.
    pub odd: Option<OddKind>,
    /// A message of a core stream was in it: best prices, depth, trades, marks. What comes beside them must not hide
    /// that they are silent.
    pub core: bool,
    /// An acknowledgement or refusal was in it: readiness may have changed.
    pub control: bool,
    /// Metadata no longer fits what the venue sends.
    pub stale_metadata: bool,
    /// The venue announced a change of one of our contracts.
    pub announced: bool,
    /// The venue is about to end the connection.
    pub leaving: bool,
}

impl Market {
    /// For so many listings, of which a second connection may bring the same streams.
    pub fn new(listings: usize, extras: Extras, merges: bool) -> Self {
        let feed = || if merges { Feed::merged() } else { Feed::default() };
        let mut items = Vec::with_capacity(listings);
        items.resize_with(listings, || Item {
            feed: feed(),
            interval_ns: FUNDING_INTERVAL,
            ..Item::default()
        });
        Self {
            merges,
            counts: CopyCounts::default(),
            silence: [Silence::default(); SLOTS],
            missed: [0; SLOTS],
            parser: Parser::default(),
            scratch: Vec::with_capacity(SCRATCH),
            items,
            requests: 0,
            wide: [None; SLOTS],
            credit: SNAPSHOT_CREDIT_MAX,
            credit_at: 0,
            extras,
        }
    }

    /// The registry defined a listing.
    pub fn on_instrument(&mut self, index: usize, instrument: &Instrument, now: Nanos, out: &mut Out) {
        let item = &mut self.items[index];
        item.feed.stop(instrument.id, BookReason::Generation, out);
        for at in &mut item.sub_at {
            *at = (*at).max(now + GATHER);
        }
        if item.is_acked(conn::PUBLIC) {
            item.feed.start(instrument.id, now, out);
        }
    }

    /// The time between settlements of a listing.
    pub fn set_interval(&mut self, index: usize, interval_ns: Nanos) {
        self.items[index].interval_ns = interval_ns;
    }

    /// The time between settlements of a listing.
    pub fn interval(&self, index: usize) -> Nanos {
        self.items[index].interval_ns
    }

    /// A market connection stands.
    pub fn on_up(&mut self, slot: usize, now: Nanos) {
        self.silence[slot].begin(now);
        self.missed[slot] = 0;
    }

    /// What the silence of a connection means, where a second one may take its place.
    pub fn suspicion(&self, slot: usize, now: Nanos) -> Suspicion {
        let is_subscribed = || self.items.iter().any(|item| item.acked[slot].is_some());
        if now < self.silence[slot].until(SILENCE) || !is_subscribed() {
            Suspicion::None
        } else if self.missed[slot] >= MISSED_MIN {
            Suspicion::Dead
        } else {
            Suspicion::Silent
        }
    }

    /// A connection is left for its silence.
    pub fn doubt(&mut self, slot: usize) {
        self.silence[slot].doubt();
    }

    /// A market connection was lost.
    pub fn on_down(&mut self, slot: usize, listings: &Listings, now: Nanos, out: &mut Out) {
        let (kind, copy) = (slot % LINKS, slot / LINKS);
        self.wide[slot] = None;
        for (index, item) in self.items.iter_mut().enumerate() {
            item.subs[slot] = Sub::No;
            item.acked[slot] = None;
            item.sub_at[slot] = 0;
            item.heard_at[slot] = 0;
            item.patience[slot] = 0;
            if kind == conn::PUBLIC {
                item.best.forget(copy);
                let others = item.is_acked(kind);
                item.feed.on_down(copy, others, listings.params(index).id, now, out);
            }
        }
    }

    /// Whether a connection brings everything that the other one of its kind does, so that the other may end.
    pub fn carries(&mut self, slot: usize, now: Nanos) -> bool {
        let (kind, copy) = (slot % LINKS, slot / LINKS);
        let twin = kind + (1 - copy) * LINKS;
        self.items.iter_mut().all(|item| {
            let (Some(_), acked) = (item.acked[twin], item.acked[slot]) else { return true };
            let Some(acked) = acked else { return false };
            let is_quiet = item.heard_at[twin] < acked && now >= acked + NOTHING_MISSED;
            if is_quiet && kind == conn::PUBLIC {
                item.feed.vouch(copy);
            }
            let is_heard = item.heard_at[slot] >= acked || is_quiet;
            is_heard && (kind != conn::PUBLIC || !item.feed.is_live() || item.feed.is_carried_by(copy))
        })
    }

    /// What became of the messages of two connections; `None` where there is only one.
    pub fn counts(&self) -> Option<&CopyCounts> {
        self.merges.then_some(&self.counts)
    }

    /// True when every defined listing is subscribed on connections of both kinds.
    pub fn is_ready(&self, listings: &Listings) -> bool {
        let mut defined = 0;
        let all =
            self.items.iter().enumerate().filter(|(index, _)| listings.instrument(*index).is_some()).all(
                |(_, item)| {
                    defined += 1;
                    (0..LINKS).all(|kind| item.is_acked(kind))
                },
            );
        all && defined > 0
    }

    /// A message of a market connection.
    pub fn on_frame(
        &mut self,
        (slot, link): (usize, &mut Link),
        frame: &[u8],
        listings: &Listings,
        now: Nanos,
        out: &mut Out,
    ) -> Heard {
        let (mut heard, conn) = (Heard::default(), link.conn);
        let Self { parser, scratch, items, counts, merges, extras, .. } = self;
        let mut place = Place { slot, merges: *merges, counts, extras: *extras, now };
        let result = parser.parse(frame, |message| {
            if let Err(odd) = on_message(&mut place, message, items, scratch, listings, out, &mut heard) {
                heard.odd = Some(odd);
                heard.stale_metadata |= odd == OddKind::Inexact;
            }
        });
        if heard.core {
            link.heard_at = now;
            self.hear(slot, now);
        }
        out.marked(conn, self.parser.marks());
        if let Err(error) = result {
            out.unread(conn, error);
            heard.odd = Some(OddKind::Malformed);
            if slot % LINKS == conn::PUBLIC {
                self.malformed(slot / LINKS, frame, listings, now, out);
            }
        }
        if heard.odd == Some(OddKind::Unknown) {
            out.untyped(conn);
        }
        if heard.announced {
            heard.announced = named_symbol(frame).is_some_and(|symbol| listings.find(symbol).is_some());
        }
        if heard.control {
            self.on_control(slot, frame, listings, now, out, &mut heard);
        }
        heard
    }

    /// A message of a core stream came on a connection.
    fn hear(&mut self, slot: usize, now: Nanos) {
        if self.merges {
            self.silence[slot].heard(now);
            self.missed[slot] = 0;
            let twin = (slot + LINKS) % SLOTS;
            self.missed[twin] = self.missed[twin].saturating_add(1);
        }
    }

    /// A frame that could not be read may have been anyone's difference: the instrument that it seems to
    /// name is void, or all of them when it names none. Where another connection carries the book, the next
    /// difference tells whether something is missing.
    fn malformed(&mut self, copy: usize, frame: &[u8], listings: &Listings, now: Nanos, out: &mut Out) {
        let named = named_symbol(frame).and_then(|symbol| listings.find(symbol));
        for (index, item) in self.items.iter_mut().enumerate() {
            if named.is_none_or(|named| named == index) && !item.feed.is_carried_by(1 - copy) {
                item.feed.invalidate(listings.params(index).id, BookReason::Malformed, now, out);
            }
        }
    }

    /// An acknowledgement or refusal of a subscription.
    fn on_control(
        &mut self,
        slot: usize,
        frame: &[u8],
        listings: &Listings,
        now: Nanos,
        out: &mut Out,
        heard: &mut Heard,
    ) {
        let Ok((request, accepted)) = control(frame) else {
            heard.odd = Some(OddKind::Malformed);
            return;
        };
        if !accepted {
            heard.odd = Some(OddKind::Refused);
            // Refused as a whole: the next batch asks for them again.
            self.wide[slot] = self.wide[slot].filter(|own| Some(*own) != request);
        }
        for (index, item) in self.items.iter_mut().enumerate() {
            let asked = matches!(item.subs[slot], Sub::Asked { request: own, .. } if Some(own) == request);
            if !asked {
                continue;
            }
            if accepted {
                item.subs[slot] = Sub::Acked { at: now };
                item.silence[slot].begin(now);
                item.acked[slot] = item.acked[slot].or(Some(now));
                if slot % LINKS == conn::PUBLIC {
                    item.feed.start(listings.params(index).id, now, out);
                }
            } else {
                item.subs[slot] = Sub::No;
                item.acked[slot] = None;
                item.sub_at[slot] = now + REFUSED_PAUSE;
            }
        }
    }

    /// Timers of one connection: subscriptions, silence. True when the connection must be made anew.
    pub fn sweep(
        &mut self,
        slot: usize,
        link: &mut Link,
        listings: &Listings,
        now: Nanos,
        out: &mut Out,
    ) -> bool {
        if !link.is_up() {
            return false;
        }
        let mut acked = None;
        for item in &mut self.items {
            match item.subs[slot] {
                Sub::Asked { at, .. } if now >= at + ACK_TIMEOUT => return true,
                Sub::Acked { at } => {
                    acked = acked.max(Some(at));
                    let learnt = item.silence[slot].limit(STREAM_SILENCE);
                    let usual = if self.merges { learnt } else { STREAM_SILENCE };
                    let patience = usual << item.patience[slot].min(6);
                    if now >= at.max(item.heard_at[slot]) + patience {
                        item.subs[slot] = Sub::No;
                        item.patience[slot] += 1;
                    }
                }
                _ => {}
            }
        }
        if self.merges && slot % LINKS == conn::PUBLIC {
            for (index, item) in self.items.iter_mut().enumerate() {
                item.feed.check_hole(listings.params(index).id, now, out);
            }
        }
        if acked.is_some_and(|at| now >= at.max(link.heard_at) + SILENCE) {
            return true;
        }
        if now >= link.send_at {
            self.subscribe(slot, link, listings, now, out);
        }
        false
    }

    /// Asks for the streams of up to [`Batch::SPAN`] neighbouring listings.
    fn subscribe(&mut self, slot: usize, link: &mut Link, listings: &Listings, now: Nanos, out: &mut Out) {
        let wanted = |at: usize, item: &Item| {
            listings.instrument(at).is_some() && item.subs[slot] == Sub::No && now >= item.sub_at[slot]
        };
        let Some(start) = self.items.iter().enumerate().position(|(at, item)| wanted(at, item)) else {
            return;
        };
        self.requests = (self.requests + 1) & (EXTRAS_REQUEST - 1);
        let wide = slot % LINKS == conn::MARKET && self.wide[slot].is_none();
        let mut batch = Batch { start: start as u16, mask: 0, request: self.requests, wide };
        if wide {
            self.wide[slot] = Some(batch.request);
        }
        let end = (start + Batch::SPAN).min(self.items.len());
        for at in start..end {
            if wanted(at, &self.items[at]) {
                batch.mask |= 1 << (at - start);
                self.items[at].subs[slot] = Sub::Asked { request: batch.request, at: now };
            }
        }
        link.send_at = now + SEND_PAUSE;
        let what = VenueCall { op: op::SUBSCRIBE, arg: batch.encode(), instrument: None };
        out.action(SessionAction::Send { conn: link.conn, what });
        if slot % LINKS == conn::MARKET && (self.extras.ticker || self.extras.liquidations) {
            // Nobody waits for its acknowledgement: a number of its own.
            link.send_at += SEND_PAUSE;
            let batch = Batch { request: EXTRAS_REQUEST | batch.request, ..batch };
            let what = VenueCall { op: op::SUBSCRIBE_EXTRAS, arg: batch.encode(), instrument: None };
            out.action(SessionAction::Send { conn: link.conn, what });
        }
    }

    /// The next listing that needs a depth snapshot, while the request budget lasts. The caller asks for
    /// it and says so by [`Market::requested`].
    pub fn next_snapshot(&mut self, from: usize, now: Nanos) -> Option<usize> {
        let earned = (now - self.credit_at) / SNAPSHOT_CREDIT_TIME;
        if earned > 0 {
            self.credit = (self.credit + earned).min(SNAPSHOT_CREDIT_MAX);
            self.credit_at += earned * SNAPSHOT_CREDIT_TIME;
        }
        if self.credit <= 0 {
            return None;
        }
        (from..self.items.len()).find(|index| self.items[*index].feed.wants_snapshot(now))
    }

    /// A snapshot was asked for.
    pub fn requested(&mut self, index: usize, id: u32, now: Nanos) {
        self.credit -= 1;
        self.items[index].feed.requested(id, now);
    }

    /// The reply to a snapshot request; what is odd about it.
    pub fn on_snapshot(
        &mut self,
        index: usize,
        id: u32,
        reply: Option<&[u8]>,
        listings: &Listings,
        now: Nanos,
        out: &mut Out,
    ) -> Option<OddKind> {
        let Self { parser, scratch, items, .. } = self;
        let feed = &mut items.get_mut(index)?.feed;
        if !feed.take_request(id) {
            return None;
        }
        let (Some(body), Some(instrument)) = (reply, listings.instrument(index)) else {
            feed.failed(now);
            return None;
        };
        let mut odd = Some(OddKind::Malformed);
        let parsed = parser.parse(body, |message| {
            if let Message::Depth(depth) = message
                && depth.channel == REST_DEPTH
            {
                odd = feed.on_snapshot(instrument, depth, scratch, now, out).err();
            }
        });
        if parsed.is_err() || odd == Some(OddKind::Malformed) {
            feed.failed(now);
            odd = Some(OddKind::Malformed);
        }
        odd
    }

    /// The reply to a question for a listing's open interest.
    pub fn on_interest(
        &mut self,
        body: &[u8],
        listings: &Listings,
        now: Stamp,
        out: &mut Out,
    ) -> Result<(), OddKind> {
        let Self { parser, items, extras, .. } = self;
        let mut said = Err(OddKind::Unknown);
        let parsed = parser.parse(body, |message| {
            let Message::OpenInterest { symbol, qty, time_ms } = *message else { return };
            said = listings.find(symbol).ok_or(OddKind::UnknownSymbol).map(|index| {
                let venue_ns = if time_ms > 0 { time_ms.saturating_mul(MILLI) } else { now.wall };
                let stated = OpenInterest { instrument: listings.params(index).id, qty, venue_ns };
                items[index].told.interest(*extras, stated, out);
            });
        });
        parsed.map_err(|_| OddKind::Malformed).and(said)
    }

    /// True while the depth of this listing may be served.
    pub fn is_live(&self, index: usize) -> bool {
        self.items[index].feed.is_live()
    }
}

/// Which connection a message came on, and who counts its copies.
struct Place<'a> {
    slot: usize,
    merges: bool,
    counts: &'a mut CopyCounts,
    extras: Extras,
    now: Nanos,
}

impl Place<'_> {
    /// Whether a message that stands alone is the first copy.
    #[inline]
    fn is_first(&mut self, latest: &mut Latest, key: u64) -> bool {
        !self.merges || latest.admit(self.slot / LINKS, key, self.now, self.counts)
    }
}

#[inline]
fn on_message(
    place: &mut Place<'_>,
    message: &Message<'_>,
    items: &mut [Item],
    scratch: &mut Vec<FixedLevel>,
    listings: &Listings,
    out: &mut Out,
    heard: &mut Heard,
) -> Result<(), OddKind> {
    match message {
        Message::Ignored { kind } => {
            heard.control |= matches!(*kind, "ack" | "refusal");
            heard.announced |= *kind == "contractInfo";
            heard.leaving |= *kind == "serverShutdown";
            return Ok(());
        }
        Message::Private { .. } | Message::Unknown => return Err(OddKind::Unknown),
        _ => {}
    }
    let index = listings.find(message.symbol()).ok_or(OddKind::UnknownSymbol)?;
    let item = &mut items[index];
    if is_core(message) {
        heard.core = true;
        item.heard_at[place.slot] = place.now;
        if place.merges {
            item.silence[place.slot].heard(place.now);
        }
    }
    // Subscriptions follow definitions, so an undefined listing gets nothing that matters.
    let Some(instrument) = listings.instrument(index) else { return Ok(()) };
    match *message {
        Message::Bbo { id, bid, ask, time_ms, .. } => {
            if item.feed.is_quarantined() || !place.is_first(&mut item.best, id) {
                return Ok(());
            }
            let fixed = (|| {
                Some(Bbo {
                    instrument: instrument.id,
                    bid: instrument.price(bid.0)?,
                    bid_qty: instrument.qty(bid.1)?,
                    ask: instrument.price(ask.0)?,
                    ask_qty: instrument.qty(ask.1)?,
                    update_id: id,
                    venue_ns: time_ms.saturating_mul(MILLI),
                })
            })();
            match fixed {
                Some(bbo) => out.event(EventBody::Bbo(bbo)),
                None => item.feed.quarantine(instrument.id, out)?,
            }
        }
        Message::Depth(ref depth) => on_depth(place, item, instrument, depth, scratch, out)?,
        Message::Trade { id, price, qty, aggressor, time_ms, .. } => {
            // `X: "NA"` carries zero price and quantity: not a trade.
            if qty.is_zero() || price.is_zero() || !place.is_first(&mut item.trade, id) {
                return Ok(());
            }
            let (Some(price), Some(qty)) = (instrument.price(price), instrument.qty(qty)) else {
                return item.feed.quarantine(instrument.id, out);
            };
            let venue_ns = time_ms.saturating_mul(MILLI);
            out.event(EventBody::Trade(PublicTrade {
                instrument: instrument.id,
                id,
                price,
                qty,
                aggressor,
                venue_ns,
            }));
        }
        Message::Mark { mark, index, rate, funding_ms, time_ms, .. } => {
            if !place.is_first(&mut item.mark, time_ms.unsigned_abs()) {
                return Ok(());
            }
            out.event(EventBody::Mark(Mark {
                instrument: instrument.id,
                mark,
                index,
                rate,
                funding_ns: funding_ms.saturating_mul(MILLI),
                interval_ns: item.interval_ns,
                buy_max: None,
                sell_min: None,
                venue_ns: time_ms.saturating_mul(MILLI),
                accrues: false,
            }));
        }
        Message::Ticker { last, bid, ask, time_ms, .. } => {
            if !place.is_first(&mut item.ticker, time_ms.unsigned_abs()) {
                return Ok(());
            }
            let venue_ns = time_ms.saturating_mul(MILLI);
            let stated = Ticker { instrument: instrument.id, last, bid, ask, venue_ns };
            item.told.ticker(place.extras, stated, out);
        }
        Message::Liquidation { side, price, qty, time_ms, .. } => {
            // One a second and contract at most, so the time tells them apart.
            if !place.is_first(&mut item.forced, time_ms.unsigned_abs()) {
                return Ok(());
            }
            let venue_ns = time_ms.saturating_mul(MILLI);
            let forced = Liquidation { instrument: instrument.id, side, price, qty, venue_ns };
            liquidation(place.extras, forced, out);
        }
        _ => {}
    }
    Ok(())
}

/// Whether a message is of the streams that every listing has, and not of the extras.
const fn is_core(message: &Message<'_>) -> bool {
    matches!(message, Message::Bbo { .. } | Message::Depth(_) | Message::Trade { .. } | Message::Mark { .. })
}

#[inline]
fn on_depth(
    place: &mut Place<'_>,
    item: &mut Item,
    instrument: &Instrument,
    depth: &Depth<'_>,
    scratch: &mut Vec<FixedLevel>,
    out: &mut Out,
) -> Result<(), OddKind> {
    if depth.snapshot {
        // Neither partial streams nor snapshots are asked for on the stream.
        return Err(OddKind::Unknown);
    }
    let copy = place.slot / LINKS;
    item.feed.on_difference(copy, place.counts, instrument, depth, scratch, place.now, out)
}

/// Request number (`None` for `null`) and whether it was accepted, of `{"result":null,"id":1}` or
/// `{"error":{…},"id":1}`.
fn control(frame: &[u8]) -> Result<(Option<u32>, bool), DecodeError> {
    let mut cursor = Cursor::new(frame);
    let (mut id, mut accepted) = (None, true);
    cursor.object(|key, cursor| match key {
        b"id" => {
            let (text, _) = cursor.scalar()?;
            id = int(text, "id").ok().and_then(|id| u32::try_from(id).ok());
            Ok(())
        }
        b"error" | b"code" => {
            accepted = false;
            cursor.skip()
        }
        _ => cursor.skip(),
    })?;
    Ok((id, accepted))
}

/// The symbol that a broken frame seems to name: the text after the first `"s":"`.
fn named_symbol(frame: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(frame, b"\"s\":\"")? + 5;
    let len = memchr::memchr(b'"', &frame[at..])?;
    Some(&frame[at..at + len])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_and_refusals_name_their_request() {
        assert_eq!(control(br#"{"result":null,"id":7}"#).unwrap(), (Some(7), true));
        assert_eq!(
            control(br#"{"error":{"code":2,"msg":"Invalid request"},"id":8}"#).unwrap(),
            (Some(8), false)
        );
        assert_eq!(control(br#"{"code":3,"msg":"x","id":null}"#).unwrap(), (None, false));
    }

    #[test]
    fn a_broken_frame_may_still_name_its_symbol() {
        assert_eq!(named_symbol(br#"{"e":"depthUpdate","s":"BTCUSDT","U":"#), Some(&b"BTCUSDT"[..]));
        assert_eq!(named_symbol(b"\x00\xff"), None);
        assert_eq!(named_symbol(br#"{"s":"BTC"#), None);
    }
}
