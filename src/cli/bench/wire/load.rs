//! The load venue: a simulated venue that accepts orders as always, with a market made for measuring.
//!
//! Sessions, metadata, accounts, signatures and order checks are the simulated venue's. Prices are made here:
//! quotes that stand still with changing sizes at a fixed pace, and now and then, at a planned instant, a best
//! price that leaves by 60 bps and returns. The matching book stands 1 % away on the side where every order of
//! ours is accepted and expires unfilled, so each trigger costs one entry of two legs and nothing else.

use crate::domain::time::{MICRO, MILLI, Nanos};
use crate::sim::config::{SimConfig, SimListing};
use crate::sim::socket::WallClock;
use crate::sim::{HttpReply, HttpRequest, LedgerServer, Push, Server, SimConn};
use std::collections::VecDeque;
use std::fmt::Write;

/// The quantity that only a trigger has: the floor scans for it.
pub const MARKER: &str = "\"31337";
/// How long a trigger stands before it is taken back.
pub const STANDS_NS: Nanos = 20 * MILLI;
/// The venue spins this long before a planned send: a timer alone would be late by its slack.
const SPIN_NS: Nanos = 150 * MICRO;
/// It stays awake this long after every planned send of any venue: a remote venue's sleep costs the sender of an
/// order nothing, while a sleeping thread on this host would be woken inside the sender's write.
const AWAKE_NS: Nanos = 400 * MICRO;
/// Orders are accepted this long after they were read, so that matching disturbs no measurement.
const ACCEPT_AFTER_NS: Nanos = 2 * MILLI;
/// Levels a side of the depth.
const LEVELS: i64 = 20;
/// Background frames sent in one go after a delay, at most.
const CATCH_UP_MAX: usize = 64;
/// A trigger moves the price by this part.
const MOVE_PARTS: i64 = 6;
/// See [`MOVE_PARTS`].
const MOVE_OF: i64 = 1_000;

/// When triggers are sent. All venues of a round share it; each sends those of its own turn.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The first trigger.
    pub start: Nanos,
    /// Between triggers.
    pub every: Nanos,
    /// How many in all.
    pub count: usize,
}

impl Schedule {
    /// Planned time of the `k`-th trigger. Odd steps keep it from beating with the background.
    pub fn at(&self, k: usize) -> Nanos {
        self.start + self.every * k as i64 + 137 * MICRO * (k % 7) as i64
    }

    /// Instrument of the `k`-th trigger.
    pub fn instrument(k: usize, instruments: usize) -> usize {
        k % instruments.max(1)
    }
}

/// An order that arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// When its bytes had been read.
    pub at: Nanos,
    /// Its instrument; `None` = not told (the floor's orders are copies).
    pub instrument: Option<usize>,
    /// Request id, to find the reply.
    pub id: Vec<u8>,
    /// The venue accepted it: signature, parameters and margin were right.
    pub accepted: bool,
}

/// What the floor needs to take the engine's place.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    /// Path of the market connection.
    pub market_path: String,
    /// What was said on it.
    pub subscribes: Vec<Vec<u8>>,
    /// Path of the connection of orders.
    pub order_path: String,
    /// The last order.
    pub order: Vec<u8>,
}

struct Quote {
    mid: i64,
    half: i64,
    gap: i64,
    scale: usize,
    /// Last update number of anything, and of depth.
    update: u64,
    depth: u64,
    live: bool,
    /// Its snapshot was fetched.
    ready: bool,
}

/// See the module.
pub struct LoadServer {
    inner: Box<dyn LedgerServer>,
    clock: WallClock,
    turn: usize,
    turns: usize,
    okx: bool,
    listings: Vec<SimListing>,
    quotes: Vec<Quote>,
    conns: Vec<(SimConn, String)>,
    market: Option<SimConn>,
    background_ns: Nanos,
    next_background: Nanos,
    sent: u64,
    schedule: Option<Schedule>,
    next_trigger: usize,
    /// The trigger of whichever venue that it stays awake for next.
    next_awake: usize,
    revert: Option<(Nanos, usize)>,
    floor: bool,
    pending: VecDeque<(Nanos, SimConn, Vec<u8>)>,
    arrivals: Vec<Arrival>,
    habits: Habits,
    refusals: Vec<String>,
}

impl LoadServer {
    /// Around `inner`, which is the `venue`-th of `config`; sends one background frame each `background_ns`.
    pub fn new(
        inner: Box<dyn LedgerServer>,
        config: &SimConfig,
        venue: usize,
        clock: WallClock,
        background_ns: Nanos,
    ) -> Self {
        let listings = config.venues[venue].listings.clone();
        let quotes = listings.iter().map(|listing| quote(config, listing)).collect();
        Self {
            inner,
            clock,
            turn: venue,
            turns: config.venues.len(),
            okx: config.venues[venue].dialect == "okx",
            listings,
            quotes,
            conns: Vec::new(),
            market: None,
            background_ns,
            next_background: 0,
            sent: 0,
            schedule: None,
            next_trigger: 0,
            next_awake: 0,
            revert: None,
            floor: false,
            pending: VecDeque::new(),
            arrivals: Vec::new(),
            habits: Habits::default(),
            refusals: Vec::new(),
        }
    }

    /// A client that is not the engine connects next: its orders are stamped and dropped.
    pub fn serve_floor(&mut self, floor: bool) {
        self.floor = floor;
    }

    /// Changes the pace of the background.
    pub fn set_background(&mut self, every: Nanos) {
        self.background_ns = every;
    }

    /// Begins a round of triggers.
    pub fn begin(&mut self, schedule: Schedule) {
        self.next_trigger = (0..self.turns).find(|k| k % self.turns == self.turn).unwrap_or(0);
        self.next_awake = 0;
        self.schedule = Some(schedule);
        self.arrivals.clear();
    }

    /// Ends it: what arrived.
    pub fn finish(&mut self) -> Vec<Arrival> {
        self.schedule = None;
        std::mem::take(&mut self.arrivals)
    }

    /// Instruments whose market is being sent and whose snapshot was fetched.
    pub fn ready(&self) -> usize {
        self.quotes.iter().filter(|quote| quote.live && quote.ready).count()
    }

    /// Background frames so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// What the engine does here.
    pub fn habits(&self) -> Habits {
        self.habits.clone()
    }

    /// Replies that refused an order, the first few.
    pub fn refusals(&self) -> &[String] {
        &self.refusals
    }

    fn planned(&self) -> Option<Nanos> {
        let schedule = self.schedule?;
        (self.next_trigger < schedule.count).then(|| schedule.at(self.next_trigger))
    }

    /// Beginning of the time for which it stays awake: the latest that has not ended.
    fn awake(&self) -> Option<Nanos> {
        let schedule = self.schedule?;
        (self.next_awake < schedule.count).then(|| schedule.at(self.next_awake))
    }

    fn path(&self, conn: SimConn) -> &str {
        self.conns.iter().find(|(known, _)| *known == conn).map_or("", |(_, path)| path)
    }

    fn is_market(path: &str) -> bool {
        path.starts_with("/public") || path.starts_with("/ws/v5/public")
    }

    fn is_order(text: &[u8]) -> bool {
        contains(text, b"\"order.place\"") || contains(text, b"\"op\":\"order\"")
    }

    fn listing_of(&self, text: &[u8]) -> Option<usize> {
        if let Some(code) = after(text, b"\"instIdCode\":") {
            let digits: Vec<u8> =
                code.iter().copied().skip_while(|b| *b == b'"').take_while(u8::is_ascii_digit).collect();
            let code: u64 = std::str::from_utf8(&digits).ok()?.parse().ok()?;
            return self.listings.iter().position(|listing| listing.code == code);
        }
        let symbol = quoted(text, b"\"symbol\":\"").or_else(|| quoted(text, b"\"instId\":\""))?;
        self.listings.iter().position(|listing| listing.symbol.as_bytes() == symbol)
    }

    /// Passes on what the venue says, but for its own prices; learns the fate of orders.
    fn filter(&mut self, from: usize, out: &mut Vec<Push>) {
        for push in &mut out[from..] {
            let Push::Text(conn, text) = push else {
                continue;
            };
            if Some(*conn) == self.market
                || Self::is_market(self.conns.iter().find(|(c, _)| c == conn).map_or("", |(_, p)| p))
            {
                if contains(text, b"\"channel\":\"books\"") && contains(text, b"\"data\"") {
                    let index = quoted(text, b"\"instId\":\"")
                        .and_then(|symbol| self.listings.iter().position(|l| l.symbol.as_bytes() == symbol));
                    text.clear();
                    if let Some(index) = index {
                        *text = self.okx_depth(index, true);
                        (self.quotes[index].live, self.quotes[index].ready) = (true, true);
                        self.market = Some(*conn);
                    }
                } else if (contains(text, b"\"channel\":\"bbo-tbt\"") && contains(text, b"\"data\""))
                    || contains(text, b"\"depthUpdate\"")
                    || contains(text, b"\"bookTicker\"") && contains(text, b"\"e\"")
                {
                    text.clear();
                }
            } else if let Some(id) = quoted(text, b"\"id\":\"") {
                let accepted = contains(text, b"\"status\":200") || contains(text, b"\"sCode\":\"0\"");
                if let Some(arrival) = self.arrivals.iter_mut().rev().find(|arrival| arrival.id == id) {
                    arrival.accepted = accepted;
                    if !accepted && self.refusals.len() < 3 {
                        self.refusals.push(String::from_utf8_lossy(text).into_owned());
                    }
                }
            }
        }
        let floor = self.floor;
        let mut at = 0;
        out.retain(|push| {
            at += 1;
            at <= from
                || match push {
                    Push::Text(_, text) => !text.is_empty(),
                    // The floor does not log in: it may stay all the same.
                    Push::Close(_) => !floor,
                    Push::Ping(..) => true,
                }
        });
    }

    fn send(&mut self, text: Vec<u8>, out: &mut Vec<Push>) {
        if let Some(market) = self.market {
            out.push(Push::Text(market, text));
        }
    }

    fn price(&self, index: usize, ticks: i64) -> String {
        let scale = self.quotes[index].scale;
        if scale == 0 {
            return ticks.to_string();
        }
        let unit = 10i64.pow(scale as u32);
        format!("{}.{:0scale$}", ticks / unit, ticks % unit)
    }

    fn bbo(&mut self, index: usize, shift: i64, qty: &str) -> Vec<u8> {
        let ms = self.clock.now() / MILLI;
        let quote = &mut self.quotes[index];
        quote.update += 1;
        let (mid, half, update) = (quote.mid + shift, quote.half, quote.update);
        let (bid, ask) = (self.price(index, mid - half), self.price(index, mid + half));
        let symbol = &self.listings[index].symbol;
        if self.okx {
            format!(r#"{{"arg":{{"channel":"bbo-tbt","instId":"{symbol}"}},"data":[{{"asks":[["{ask}","{qty}","0","1"]],"bids":[["{bid}","{qty}","0","1"]],"ts":"{ms}","seqId":{update}}}]}}"#)
        } else {
            format!(r#"{{"e":"bookTicker","u":{update},"s":"{symbol}","b":"{bid}","B":"{qty}","a":"{ask}","A":"{qty}","T":{ms},"E":{ms}}}"#)
        }
        .into_bytes()
    }

    /// `[["price","qty"…],…]` of a side; `every`-th level only.
    fn side(&self, index: usize, sign: i64, every: i64) -> String {
        let quote = &self.quotes[index];
        let mut text = String::with_capacity(1_024);
        text.push('[');
        for level in (0..LEVELS).step_by(every as usize) {
            if text.len() > 1 {
                text.push(',');
            }
            let price = self.price(index, quote.mid + sign * (quote.half + level * quote.gap));
            let qty = 10_000 + (self.sent as i64 + level) % 5_000;
            let rest = if self.okx { r#","0","3"]"# } else { "]" };
            let _ = write!(text, r#"["{price}","{qty}"{rest}"#); // writing to a String cannot fail
        }
        text.push(']');
        text
    }

    fn okx_depth(&mut self, index: usize, snapshot: bool) -> Vec<u8> {
        let ms = self.clock.now() / MILLI;
        let every = if snapshot { 1 } else { 4 };
        let (asks, bids) = (self.side(index, 1, every), self.side(index, -1, every));
        let quote = &mut self.quotes[index];
        quote.update += 1;
        let previous = if snapshot { -1 } else { quote.depth as i64 };
        quote.depth = quote.update;
        let (action, symbol, update) =
            (if snapshot { "snapshot" } else { "update" }, &self.listings[index].symbol, quote.update);
        format!(r#"{{"arg":{{"channel":"books","instId":"{symbol}"}},"action":"{action}","data":[{{"asks":{asks},"bids":{bids},"ts":"{ms}","checksum":0,"seqId":{update},"prevSeqId":{previous}}}]}}"#).into_bytes()
    }

    fn depth(&mut self, index: usize) -> Vec<u8> {
        if self.okx {
            return self.okx_depth(index, false);
        }
        let ms = self.clock.now() / MILLI;
        let (asks, bids) = (self.side(index, 1, 4), self.side(index, -1, 4));
        let quote = &mut self.quotes[index];
        quote.update += 1;
        let (previous, update) = (quote.depth, quote.update);
        quote.depth = update;
        let (first, symbol) = (previous + 1, &self.listings[index].symbol);
        format!(r#"{{"e":"depthUpdate","E":{ms},"T":{ms},"s":"{symbol}","U":{first},"u":{update},"pu":{previous},"b":{bids},"a":{asks}}}"#).into_bytes()
    }

    fn background(&mut self, out: &mut Vec<Push>) {
        let index = (self.sent % self.quotes.len().max(1) as u64) as usize;
        self.sent += 1;
        // The instrument whose trigger stands is left alone.
        if !self.quotes[index].live || self.revert.is_some_and(|(_, triggered)| triggered == index) {
            return;
        }
        // Seven best prices to three changes of depth, shifted by one each time round.
        let lap = self.sent / self.quotes.len().max(1) as u64 + index as u64;
        let text = if lap % 10 < 7 {
            let qty = (10_000 + self.sent % 5_000).to_string();
            self.bbo(index, 0, &qty)
        } else {
            self.depth(index)
        };
        self.send(text, out);
    }
}

impl Server for LoadServer {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        self.conns.push((conn, path.to_owned()));
        let from = out.len();
        let accepted = self.inner.on_connect(conn, path, now, out);
        self.filter(from, out);
        accepted
    }

    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        if Self::is_order(text) {
            let at = self.clock.now();
            let id = quoted(text, b"\"id\":\"").unwrap_or_default().to_vec();
            let instrument = if self.floor { None } else { self.listing_of(text) };
            self.arrivals.push(Arrival { at, instrument, id, accepted: self.floor });
            if !self.floor {
                self.habits.order = text.to_vec();
                self.habits.order_path = self.path(conn).to_owned();
                self.pending.push_back((at + ACCEPT_AFTER_NS, conn, text.to_vec()));
            }
            return;
        }
        let subscribes = contains(text, b"ubscribe") || contains(text, b"SUBSCRIBE");
        if Self::is_market(self.path(conn)) && subscribes {
            if !self.floor {
                self.habits.market_path = self.path(conn).to_owned();
                self.habits.subscribes.push(text.to_vec());
            }
            self.market = Some(conn);
            if !self.okx {
                for index in 0..self.listings.len() {
                    let name = format!("\"{}@depth", self.listings[index].symbol.to_ascii_lowercase());
                    self.quotes[index].live |= contains(text, name.as_bytes());
                }
            }
        }
        let from = out.len();
        self.inner.on_text(conn, text, now, out);
        self.filter(from, out);
    }

    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        self.conns.retain(|(known, _)| *known != conn);
        if self.market == Some(conn) {
            self.market = None;
            self.quotes.iter_mut().for_each(|quote| (quote.live, quote.ready) = (false, false));
        }
        self.inner.on_closed(conn, now, out);
    }

    fn on_http(&mut self, request: &HttpRequest, now: Nanos, out: &mut Vec<Push>) -> HttpReply {
        let symbol = request.query.split('&').find_map(|pair| pair.strip_prefix("symbol="));
        if request.path.ends_with("/depth")
            && let Some(index) =
                self.listings.iter().position(|listing| Some(listing.symbol.as_str()) == symbol)
        {
            let ms = now / MILLI;
            let (asks, bids) = (self.side(index, 1, 1), self.side(index, -1, 1));
            self.quotes[index].ready = true;
            let update = self.quotes[index].depth;
            let body =
                format!(r#"{{"lastUpdateId":{update},"E":{ms},"T":{ms},"bids":{bids},"asks":{asks}}}"#);
            return HttpReply { status: 200, headers: Vec::new(), body: body.into_bytes() };
        }
        let from = out.len();
        let reply = self.inner.on_http(request, now, out);
        self.filter(from, out);
        reply
    }

    fn advance(&mut self, now: Nanos, out: &mut Vec<Push>) {
        if let Some(planned) = self.planned()
            && now >= planned - SPIN_NS
        {
            while self.clock.now() < planned {
                std::hint::spin_loop();
            }
            let index = Schedule::instrument(self.next_trigger, self.quotes.len());
            self.next_trigger += self.turns;
            // Dear on the first venue or cheap on the others: we sell on the first and buy on the other.
            let shift = self.quotes[index].mid * MOVE_PARTS / MOVE_OF * if self.turn == 0 { 1 } else { -1 };
            let text = self.bbo(index, shift, &MARKER[1..]);
            self.send(text, out);
            self.revert = Some((planned + STANDS_NS, index));
            return; // everything else may wait until it has left
        }
        while self.awake().is_some_and(|from| from + AWAKE_NS <= now) {
            self.next_awake += 1;
        }
        if self.awake().is_some_and(|from| from <= now) {
            std::thread::yield_now(); // the other venue may have to share the core
        }
        if let Some((_, index)) = self.revert.take_if(|(at, _)| *at <= now) {
            let text = self.bbo(index, 0, "12345");
            self.send(text, out);
        }
        let mut frames = 0;
        self.next_background = self.next_background.max(now - 100 * MILLI);
        while self.next_background <= now && frames < CATCH_UP_MAX {
            self.next_background += self.background_ns;
            self.background(out);
            frames += 1;
        }
        let from = out.len();
        while let Some((_, conn, text)) = self.pending.pop_front_if(|(due, ..)| *due <= now) {
            self.inner.on_text(conn, &text, now, out);
        }
        if self.inner.next_due() <= now {
            self.inner.advance(now, out);
        }
        if out.len() > from {
            self.filter(from, out);
        }
    }

    fn next_due(&self) -> Nanos {
        let due = self.inner.next_due().min(self.next_background);
        let due = due.min(self.planned().map_or(Nanos::MAX, |planned| planned - SPIN_NS));
        let due = due.min(self.awake().unwrap_or(Nanos::MAX));
        let due = due.min(self.revert.map_or(Nanos::MAX, |(at, _)| at));
        due.min(self.pending.front().map_or(Nanos::MAX, |(due, ..)| *due))
    }
}

fn quote(config: &SimConfig, listing: &SimListing) -> Quote {
    let price = config.instruments[listing.instrument].price0;
    let scale = u32::from(listing.tick.scale);
    let mid = i128::from(price.mantissa) * 10i128.pow(scale) / 10i128.pow(u32::from(price.scale));
    let mid = i64::try_from(mid).unwrap_or(i64::MAX);
    Quote {
        mid,
        half: (mid / 100_000).max(1),
        gap: (mid / 20_000).max(1),
        scale: usize::from(listing.tick.scale),
        update: 1_000,
        depth: 1_000,
        live: false,
        ready: false,
    }
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(text, what).is_some()
}

fn after<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    memchr::memmem::find(text, key).map(|at| &text[at + key.len()..])
}

fn quoted<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let rest = after(text, key)?;
    Some(&rest[..memchr::memchr(b'"', rest)?])
}
