//! Two market connections: handing over at a notice of the venue and before a day is over, and two at all times,
//! on the two parallel captures of 2021-07-22.

use super::*;
use crate::domain::event::{BookState, SessionRole};
use std::collections::BTreeMap;
use std::io::Read as _;

/// The second market connection, without orders.
const SECOND_PUBLIC: ConnId = ConnId(4);
const MARKETS: [ConnId; 2] = [PUBLIC, SECOND_PUBLIC];

/// Levels by price, per side.
type Levels = [BTreeMap<i64, i64>; 2];

/// What the scanner makes of the events of one listing.
#[derive(Clone, Default)]
struct Seen {
    state: BookState,
    book: Levels,
    invalid: usize,
    /// The book after each change, as a sum.
    sums: BTreeMap<u64, u32>,
}

impl Seen {
    fn sum(&self) -> u32 {
        crc32fast::hash(format!("{:?}", self.book).as_bytes())
    }
}

/// An engine's view of the venue: listings by id, connections that are wanted.
struct World {
    rig: Rig,
    seen: BTreeMap<u16, Seen>,
    up: Vec<ConnId>,
    closed: Vec<ConnId>,
    sessions: Vec<(SessionRole, bool)>,
    /// Subscriptions that were asked for: connection, first listing, how many.
    asked: Vec<(ConnId, usize, usize)>,
    resynced: usize,
}

impl World {
    /// Started, with `instruments` defined.
    fn start(context: &VenueContext, instruments: &[Instrument]) -> Self {
        let mut rig = Rig::of(context);
        rig.adapter.on_start(at(rig.now), &mut rig.out);
        let mut world = Self {
            rig,
            seen: BTreeMap::new(),
            up: Vec::new(),
            closed: Vec::new(),
            sessions: Vec::new(),
            asked: Vec::new(),
            resynced: 0,
        };
        for instrument in instruments {
            world.seen.insert(instrument.id.0, Seen::default());
            world.rig.adapter.on_instrument(instrument, at(world.rig.now), &mut world.rig.out);
        }
        world
    }

    /// Reads what was emitted; connections that are asked for stand at once, and subscriptions are acknowledged.
    fn look(&mut self) {
        for item in self.rig.take() {
            match item {
                Emit::Event(EventBody::Book(status)) => {
                    let seen = self.seen.get_mut(&status.instrument.0).unwrap();
                    seen.state = status.state;
                    seen.invalid += usize::from(status.state == BookState::Invalid);
                }
                Emit::Event(EventBody::Levels(chunk)) => {
                    let seen = self.seen.get_mut(&chunk.instrument.0).unwrap();
                    if chunk.clear {
                        seen.book = Levels::default();
                    }
                    let bids = usize::from(chunk.bids);
                    for (i, (price, qty)) in chunk.levels[..bids + usize::from(chunk.asks)].iter().enumerate()
                    {
                        let side = &mut seen.book[usize::from(i >= bids)];
                        if qty.0 == 0 {
                            side.remove(&price.0);
                        } else {
                            side.insert(price.0, qty.0);
                        }
                    }
                    if chunk.last {
                        let sum = seen.sum();
                        seen.sums.insert(chunk.update_id, sum);
                    }
                }
                Emit::Event(EventBody::Session(status)) => self.sessions.push((status.role, status.ready)),
                Emit::Action(SessionAction::Connect { conn, .. }) => {
                    self.up.push(conn);
                    self.rig.epoch += 1;
                    self.rig.adapter.on_conn_up(conn, self.rig.epoch, at(self.rig.now), &mut self.rig.out);
                }
                Emit::Action(SessionAction::Close { conn }) => {
                    self.closed.push(conn);
                    self.lose(conn);
                }
                Emit::Action(SessionAction::Send { conn, what }) => self.answer(conn, what),
                _ => {}
            }
        }
    }

    fn answer(&mut self, conn: ConnId, what: crate::domain::effect::VenueCall) {
        match what.op {
            super::super::calls::SUBSCRIBE_MARKET => {
                let (first, count) = super::super::calls::unpack_range(what.arg);
                self.asked.push((conn, first, count));
                let acks = count * super::super::calls::MARKET_CHANNELS.len() + usize::from(first == 0);
                for _ in 0..acks {
                    self.say(conn, r#"{"event":"subscribe","arg":{"channel":"books"},"connId":"a"}"#);
                }
            }
            super::super::calls::SUBSCRIBE_BOOK => self.resynced += 1,
            super::super::calls::PING => self.say(conn, "pong"),
            _ => {}
        }
    }

    fn say(&mut self, conn: ConnId, text: &str) {
        let meta = FrameMeta { conn, epoch: self.rig.epoch, ..FrameMeta::default() };
        self.rig.adapter.on_frame(meta, text.as_bytes(), at(self.rig.now), &mut self.rig.out);
    }

    /// The connection is gone.
    fn lose(&mut self, conn: ConnId) {
        self.up.retain(|up| *up != conn);
        let (epoch, reason) = (self.rig.epoch, crate::domain::input::DownReason::Closed);
        self.rig.adapter.on_conn_down(conn, epoch, reason, at(self.rig.now), &mut self.rig.out);
    }

    /// Time passes up to an instant.
    fn until(&mut self, now: Nanos) {
        while self.rig.now < now {
            self.rig.now = (self.rig.now + SECOND / 100).min(now);
            self.rig.adapter.on_tick(at(self.rig.now), &mut self.rig.out);
            while !self.rig.out.items().is_empty() {
                self.look();
            }
        }
    }

    fn invalid(&self) -> usize {
        self.seen.values().map(|seen| seen.invalid).sum()
    }

    fn all_live(&self) -> bool {
        self.seen.values().all(|seen| seen.state == BookState::Live)
    }
}

fn copied(market_copies: MarketCopies) -> VenueContext {
    let mut context = context(false);
    context.params.market_copies = market_copies;
    context
}

fn two() -> [Instrument; 2] {
    [instrument(BTC, "BTC-USDT-SWAP", 10459, 1), instrument(ETH, "ETH-USDT-SWAP", 10461, 1)]
}

/// The venue tells its books every 100 ms to whoever is connected, after a snapshot.
struct Venue {
    world: World,
    seq: u64,
    told: Vec<ConnId>,
}

impl Venue {
    fn live(copies: MarketCopies) -> Self {
        let mut venue = Self { world: World::start(&copied(copies), &two()), seq: 100, told: Vec::new() };
        venue.rounds(10, &[]);
        assert!(venue.world.all_live());
        venue
    }

    fn rounds(&mut self, count: usize, lost: &[ConnId]) {
        for _ in 0..count {
            let now = self.world.rig.now + SECOND / 10;
            self.world.until(now);
            self.told.retain(|told| self.world.up.contains(told));
            let prev = self.seq as i64;
            self.seq += 4;
            for conn in self.world.up.clone() {
                for symbol in ["BTC-USDT-SWAP", "ETH-USDT-SWAP"] {
                    if !self.told.contains(&conn) {
                        self.world.say(conn, &book(symbol, "snapshot", self.seq, -1));
                    } else if !lost.contains(&conn) {
                        self.world.say(conn, &book(symbol, "update", self.seq, prev));
                    }
                }
                if !self.told.contains(&conn) {
                    self.told.push(conn);
                }
            }
            self.world.look();
        }
    }
}

#[test]
fn at_a_notice_and_before_a_day_is_over_a_second_connection_takes_over_and_no_book_goes_invalid() {
    let mut venue = Venue::live(MarketCopies::Relay);
    let mut first = 0;
    for way in 0..4 {
        let (old, new) = (MARKETS[first], MARKETS[1 - first]);
        assert_eq!(venue.world.up, [old]);
        if way < 2 {
            venue.world.say(old, r#"{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect.","connId":"a"}"#);
        } else {
            // Frames must have come at all times for the connection to count as alive.
            venue.world.rig.now += 23 * 3600 * SECOND + 900 * SECOND;
            venue.world.say(old, "pong");
        }
        venue.rounds(30, &[]);
        assert_eq!(venue.world.up, [new]);
        assert_eq!(std::mem::take(&mut venue.world.closed), [old]);
        first = 1 - first;
    }
    assert_eq!((venue.world.invalid(), venue.world.resynced), (0, 0));
    assert_eq!(venue.world.sessions, [(SessionRole::Market, true)], "market data never went away");
    let told: Vec<u64> = venue.world.seen[&BTC.0].sums.keys().copied().collect();
    assert_eq!(told, (104..=venue.seq).step_by(4).collect::<Vec<_>>(), "every change");
}

#[test]
fn the_old_connection_stays_until_the_new_one_has_every_book() {
    let mut venue = Venue::live(MarketCopies::Relay);
    venue.world.say(PUBLIC, r#"{"event":"notice","code":"64008","msg":"m","connId":"a"}"#);
    // The new one stands, but no snapshot comes on it.
    venue.told.push(SECOND_PUBLIC);
    for _ in 0..20 {
        venue.told.push(SECOND_PUBLIC);
        venue.rounds(1, &[SECOND_PUBLIC]);
    }
    assert_eq!((venue.world.up.len(), venue.world.closed.len(), venue.world.invalid()), (2, 0, 0));
    // The venue cuts the old one after all: as without a second one, but that is there already.
    venue.world.lose(PUBLIC);
    venue.world.look();
    assert_eq!(venue.world.invalid(), 2);
    venue.told.clear();
    venue.rounds(3, &[]);
    assert!(venue.world.all_live() && venue.world.up == [SECOND_PUBLIC]);
}

#[test]
fn with_one_connection_a_notice_closes_it_at_once_as_it_always_did() {
    let mut venue = Venue::live(MarketCopies::One);
    venue.world.say(PUBLIC, r#"{"event":"notice","code":"64008","msg":"m","connId":"a"}"#);
    venue.world.look();
    assert_eq!((venue.world.closed.as_slice(), venue.world.invalid()), (&[PUBLIC][..], 2));
}

#[test]
fn what_both_connections_lost_is_a_gap_and_the_book_is_asked_for_anew() {
    let mut venue = Venue::live(MarketCopies::Two);
    assert_eq!(venue.world.up.len(), 2);
    venue.seq += 4;
    venue.rounds(1, &[SECOND_PUBLIC]);
    assert_eq!(venue.world.invalid(), 0, "the other one may still bring it");
    venue.rounds(4, &[SECOND_PUBLIC]);
    assert_eq!((venue.world.invalid(), venue.world.resynced), (2, 4), "two books on two connections");
}

#[test]
fn a_hole_before_what_a_lost_connection_brought_is_told_though_the_other_one_is_silent() {
    let mut venue = Venue::live(MarketCopies::Two);
    // The second one alone is heard, with a change missing; then it is gone and the first one says nothing.
    venue.seq += 4;
    venue.rounds(1, &[PUBLIC]);
    venue.world.lose(SECOND_PUBLIC);
    venue.world.look();
    assert_eq!(venue.world.invalid(), 0, "the first one may still bring it");
    let now = venue.world.rig.now + SECOND / 2;
    venue.world.until(now);
    assert_eq!(venue.world.invalid(), 2);
    assert!(venue.world.resynced >= 2, "both books are asked for anew where there is a connection");
    venue.told.clear();
    venue.rounds(3, &[]);
    assert!(venue.world.all_live());
}

/// One line of a capture: when it came, and the frame with numbers that production sends and 2021 did not.
#[derive(Clone)]
struct Line {
    at: Nanos,
    venue_ms: u64,
    symbol: String,
    update: bool,
    text: String,
}

/// The two captures. They have no `seqId`: a change is known again by its time and checksum, both captures cut
/// their changes at the same places, and so the changes of an instrument are numbered in the order of their
/// times. The checksums stay and are verified by the adapter: they prove the books, and with them the numbers.
fn captures() -> Option<[Vec<Line>; 2]> {
    let read = |number: usize| {
        let path = shared(&format!("corpus/okx/capture/cryptofeed_OKEX.ws.{number}.0__2021-07-22.txt.gz"))?;
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        let frames: Vec<(Nanos, serde_json::Value)> = text
            .lines()
            .filter_map(|line| {
                let (head, frame) = line.split_once(": ").filter(|(head, _)| !head.contains("wss"))?;
                let frame: serde_json::Value = serde_json::from_str(frame).unwrap();
                let is_book = frame["arg"]["channel"] == "books-l2-tbt" && frame["data"].is_array();
                is_book.then(|| ((head.parse::<f64>().unwrap() * 1e6) as Nanos * 1_000, frame))
            })
            .collect();
        Some(frames)
    };
    let both = [read(1)?, read(2)?];
    let key = |frame: &serde_json::Value| {
        let row = &frame["data"][0];
        let ms: u64 = row["ts"].as_str().unwrap().parse().unwrap();
        (frame["arg"]["instId"].as_str().unwrap().to_owned(), ms, row["checksum"].as_i64().unwrap())
    };
    let mut changes: BTreeMap<String, BTreeMap<u64, i64>> = BTreeMap::new();
    for (_, frame) in both.iter().flatten() {
        let (symbol, ms, checksum) = key(frame);
        if frame["action"] == "update" {
            let known = changes.entry(symbol).or_default().insert(ms, checksum);
            assert!(known.is_none_or(|known| known == checksum), "the same change on both");
        }
    }
    let number = |symbol: &str, ms: u64| 1_000 + 7 * changes[symbol].range(..=ms).count() as u64;
    let lines = both.map(|frames| {
        frames
            .into_iter()
            .map(|(at, mut frame)| {
                let (symbol, venue_ms, _) = key(&frame);
                let update = frame["action"] == "update";
                let seq = number(&symbol, venue_ms);
                frame["data"][0]["seqId"] = seq.into();
                frame["data"][0]["prevSeqId"] = if update { (seq - 7).into() } else { (-1).into() };
                frame["arg"]["channel"] = "books".into();
                Line { at, venue_ms, symbol, update, text: frame.to_string() }
            })
            .collect()
    });
    Some(lines)
}

/// Runs lines in the order in which they came; `cut` takes a connection away for good before its n-th line.
fn run(lines: &[Vec<Line>; 2], copies: MarketCopies, cut: Option<(usize, usize)>) -> World {
    let mut symbols: Vec<&str> = lines.iter().flatten().map(|line| line.symbol.as_str()).collect();
    symbols.sort_unstable();
    symbols.dedup();
    let mut context = copied(copies);
    context.listings = (0..symbols.len())
        .map(|i| ListingParams {
            id: InstrumentId(i as u16),
            venue: VenueId(1),
            canonical: CanonicalId(i as u16),
            symbol: Symbol::new(symbols[i]).unwrap(),
        })
        .collect();
    // Scales at which every number of the captures is exact.
    let instruments: Vec<Instrument> = (0..symbols.len())
        .map(|i| Instrument {
            price_scale: 10,
            qty_scale: 8,
            tick: 1,
            ..instrument(InstrumentId(i as u16), symbols[i], i as u64, 1)
        })
        .collect();
    let mut world = World::start(&context, &instruments);
    let start = lines.iter().flatten().map(|line| line.at).min().unwrap() - SECOND;
    world.until(world.rig.now + SECOND);
    assert_eq!(world.up.len(), if copies == MarketCopies::One { 1 } else { 2 });
    let offset = world.rig.now - start;
    let mut next = [0; 2];
    loop {
        let copy = (0..2)
            .filter(|copy| next[*copy] < lines[*copy].len())
            .min_by_key(|copy| lines[*copy][next[*copy]].at);
        let Some(copy) = copy else { break };
        let line = &lines[copy][next[copy]];
        if cut == Some((copy, next[copy])) {
            world.lose(MARKETS[copy]);
            while !world.rig.out.items().is_empty() {
                world.look();
            }
        }
        next[copy] += 1;
        world.until(line.at + offset);
        if cut.is_none_or(|(gone, from)| gone != copy || next[copy] <= from) {
            world.say(MARKETS[copy], &line.text);
            world.look();
        }
    }
    world.until(world.rig.now + SECOND);
    world
}

/// The captures from the snapshots of the second one on: both connections have every book.
fn both_live(lines: &[Vec<Line>; 2]) -> [usize; 2] {
    let ready = lines[1].iter().filter(|line| !line.update).map(|line| line.at).max().unwrap() + SECOND / 2;
    [0, 1].map(|copy: usize| lines[copy].iter().position(|line| line.at > ready).unwrap())
}

/// Every book that was told is that of the first capture at the same change, and it ends as that does.
fn assert_same(world: &World, alone: &World, what: &str) {
    assert_eq!(world.invalid(), 0, "{what}");
    assert!(world.all_live());
    for (id, seen) in &world.seen {
        let other = &alone.seen[id];
        assert_eq!(seen.book, other.book, "{what}");
        for (seq, sum) in &seen.sums {
            assert_eq!(other.sums.get(seq), Some(sum), "{what}: listing {id} at {seq}");
        }
    }
}

#[test]
fn two_parallel_captures_make_the_books_of_either_alone_and_more_of_them_first() {
    let Some(lines) = captures() else { return };
    let alone = run(&[lines[0].clone(), vec![]], MarketCopies::One, None);
    assert_eq!((alone.invalid(), alone.seen.len()), (0, 10));
    let second = run(&[lines[1].clone(), vec![]], MarketCopies::One, None);
    assert_same(&second, &alone, "the second alone");
    let merged = run(&lines, MarketCopies::Two, None);
    assert_same(&merged, &alone, "both");
    for (id, seen) in &merged.seen {
        assert_eq!(seen.sums.len(), alone.seen[id].sums.len(), "every change, once");
    }
    let counts = merged.rig.adapter.copies().unwrap();
    println!("{counts:?}");
    let [first, second] = counts.wins;
    let told: usize = merged.seen.values().map(|seen| seen.sums.len() - 1).sum();
    assert_eq!((first + second) as usize, told, "each change was won once");
    assert!(first > 0 && second > 0 && counts.leads.iter().sum::<u64>() > 1_000);
    // The winner was ahead by less than PATIENCE, else the loser of a message could not fill it in.
    assert_eq!(counts.leads[19..], [0; 5], "none by 262 ms or more");
}

#[test]
fn either_capture_may_be_cut_at_any_place_and_no_book_goes_invalid() {
    let Some(lines) = captures() else { return };
    let alone = run(&[lines[0].clone(), vec![]], MarketCopies::One, None);
    let from = both_live(&lines);
    let mut cuts = 0;
    for copy in 0..2 {
        for place in (from[copy]..lines[copy].len()).step_by(97) {
            let world = run(&lines, MarketCopies::Two, Some((copy, place)));
            assert_same(&world, &alone, &format!("connection {copy} is cut before its line {place}"));
            cuts += 1;
        }
    }
    assert!(cuts > 20, "{cuts}");
}

#[test]
fn segments_lost_on_either_capture_but_never_on_both_leave_no_gap() {
    let Some(lines) = captures() else { return };
    let alone = run(&[lines[0].clone(), vec![]], MarketCopies::One, None);
    let from = both_live(&lines);
    let ready = [0, 1].map(|copy: usize| lines[copy][from[copy]].venue_ms).into_iter().max().unwrap();
    let mut random = 7u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut holes = 0;
    for round in 0..12 {
        // The second connection is late at times: what the first one lost comes after what follows it.
        let late = if round % 2 == 0 { 0 } else { SECOND * 8 / 100 };
        // In the venue's time, so that a change is lost on one connection at most.
        let mut segments = Vec::new();
        let mut begin = ready;
        while begin < ready + 60_000 {
            let end = begin + 1 + draw(1_500);
            segments.push((begin, end, draw(3) as usize));
            begin = end;
        }
        let mut lost = 0;
        let thinned = [0, 1].map(|copy: usize| {
            let is_lost = |line: &&Line| {
                segments
                    .iter()
                    .any(|(begin, end, loser)| *loser == copy && (*begin..*end).contains(&line.venue_ms))
            };
            let kept: Vec<Line> = lines[copy].iter().filter(|line| !is_lost(line)).cloned().collect();
            let kept: Vec<Line> =
                kept.into_iter().map(|line| Line { at: line.at + late * copy as Nanos, ..line }).collect();
            lost += lines[copy].len() - kept.len();
            kept
        });
        let world = run(&thinned, MarketCopies::Two, None);
        assert_same(&world, &alone, "segments are lost");
        assert!(lost > 300, "{lost}");
        assert_eq!(world.resynced, 0);
        holes += world.rig.adapter.copies().unwrap().holes;
    }
    assert!(holes > 10, "some changes came before those that were lost and filled in");
}
