//! Tests of the dialect as a whole, and what the tests of its parts share.

use super::adapter::BinanceAdapter;
use super::encode::BinanceEncoder;
use super::symbols::Listings;
use super::{Batch, USDM, conn, op};
use crate::domain::effect::{
    Hole, HoleKind, HttpId, MessageId, OutMeta, Payload, SecretSlot, SessionAction, SignScheme, Target,
    VenueCall,
};
use crate::domain::event::{BookReason, BookState, BookStatus, EventBody, Seq, SessionRole, SessionStatus};
use crate::domain::input::{ConnId, DownReason, FrameKind, FrameMeta};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty, Status, VenueId, VenueSpec};
use crate::domain::intent::OrderRef;
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::order::{ClientId, OrderReport, OrderSpec, RejectClass, ReportKind, Side, TimeInForce};
use crate::domain::params::{ListingParams, VenueParams};
use crate::domain::text::{Currency, Symbol};
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::{Adapter, Emit, Encoder, OddKind, Out, Rendered, VenueContext};

/// The n-th order of the first boot.
pub(super) fn client(sequence: u64) -> ClientId {
    ClientId::new(1, sequence)
}

pub(super) fn params() -> Vec<ListingParams> {
    ["BTCUSDT", "ETHUSDT"]
        .iter()
        .enumerate()
        .map(|(i, symbol)| ListingParams {
            id: InstrumentId(10 + i as u16),
            venue: VenueId(0),
            symbol: Symbol::new(symbol).unwrap(),
            ..ListingParams::default()
        })
        .collect()
}

pub(super) fn instrument(index: usize) -> Instrument {
    let listing = params()[index];
    Instrument {
        id: listing.id,
        symbol: listing.symbol,
        settle: Currency::new("USDT").unwrap(),
        spec: VenueSpec { multiplier: Num::new(1, 0), ..VenueSpec::default() },
        price_scale: 4,
        qty_scale: 3,
        tick: 1000,
        step: 1,
        qty_min: Qty(1),
        qty_max: Qty(i64::MAX),
        generation: 1,
        ..Instrument::default()
    }
}

pub(super) fn listings() -> Listings {
    let mut listings = Listings::new(&params());
    listings.define(&instrument(0));
    listings.define(&instrument(1));
    listings
}

const WALL: Nanos = 1_700_000_000 * SECOND;
pub(super) const BASE: u8 = 4;

pub(super) fn context(trading: bool) -> VenueContext {
    VenueContext {
        venue: VenueId(0),
        params: VenueParams { order_valid_ms: 2_000, ..VenueParams::default() },
        listings: params(),
        conn_base: ConnId(BASE),
        slot_base: SecretSlot(8),
        trading,
    }
}

/// An adapter with a clock and what it emitted since the last look.
struct Rig {
    adapter: BinanceAdapter,
    now: Nanos,
    out: Out,
}

impl Rig {
    fn new(trading: bool) -> Self {
        Self { adapter: BinanceAdapter::new(&USDM, &context(trading)), now: 0, out: Out::with_capacity(1024) }
    }

    /// Started, with connections up, listings defined and streams acknowledged; snapshots not answered.
    fn running(trading: bool) -> Self {
        let mut rig = Self::new(trading);
        rig.adapter.on_start(rig.at(), &mut rig.out);
        let seen = rig.take();
        rig.http(seen.http(op::EXCHANGE_INFO)[0].0, 200, r#"{"symbols":[]}"#);
        rig.http(seen.http(op::FUNDING_INFO)[0].0, 200, r#"[{"symbol":"ETHUSDT","fundingIntervalHours":4}]"#);
        rig.take();
        for index in [conn::PUBLIC, conn::MARKET] {
            rig.up(index);
        }
        for index in 0..2 {
            rig.adapter.on_instrument(&instrument(index), rig.at(), &mut rig.out);
        }
        for (conn, batch) in rig.wait(SECOND).batches() {
            rig.frame(conn, &format!(r#"{{"result":null,"id":{}}}"#, batch.request));
        }
        rig
    }

    fn at(&self) -> Stamp {
        Stamp { mono: self.now, wall: WALL + self.now }
    }

    fn up(&mut self, index: usize) {
        self.adapter.on_conn_up(ConnId(BASE + index as u8), 1, self.at(), &mut self.out);
    }

    fn down(&mut self, index: usize) {
        let conn = ConnId(BASE + index as u8);
        self.adapter.on_conn_down(conn, 1, DownReason::Closed, self.at(), &mut self.out);
    }

    fn frame(&mut self, index: usize, text: &str) {
        let meta = FrameMeta {
            conn: ConnId(BASE + index as u8),
            epoch: 1,
            kind: FrameKind::Text,
            last: true,
            drained: true,
        };
        self.adapter.on_frame(meta, text.as_bytes(), self.at(), &mut self.out);
    }

    fn http(&mut self, id: HttpId, status: u16, body: &str) {
        self.adapter.on_http(id, status, body.as_bytes(), self.at(), &mut self.out);
    }

    /// Lets time pass in milliseconds.
    fn wait(&mut self, time: Nanos) -> Seen {
        let end = self.now + time;
        while self.now < end {
            self.now += MILLI;
            self.adapter.on_tick(self.at(), &mut self.out);
        }
        self.take()
    }

    fn take(&mut self) -> Seen {
        let items = self.out.items().to_vec();
        self.out.clear();
        Seen(items)
    }
}

#[derive(Debug)]
struct Seen(Vec<Emit>);

impl Seen {
    fn events(&self) -> Vec<EventBody> {
        self.0
            .iter()
            .filter_map(|item| if let Emit::Event(event) = item { Some(*event) } else { None })
            .collect()
    }

    fn actions(&self) -> Vec<SessionAction> {
        self.0
            .iter()
            .filter_map(|item| if let Emit::Action(action) = item { Some(*action) } else { None })
            .collect()
    }

    fn odds(&self) -> Vec<OddKind> {
        self.0
            .iter()
            .filter_map(|item| if let Emit::Odd(odd) = item { Some(odd.kind) } else { None })
            .collect()
    }

    fn reports(&self) -> Vec<OrderReport> {
        self.0
            .iter()
            .filter_map(|item| if let Emit::Report(report) = item { Some(*report) } else { None })
            .collect()
    }

    fn http(&self, op: u16) -> Vec<(HttpId, VenueCall)> {
        self.actions()
            .iter()
            .filter_map(|action| match action {
                SessionAction::Http { id, what, .. } if what.op == op => Some((*id, *what)),
                _ => None,
            })
            .collect()
    }

    fn batches(&self) -> Vec<(usize, Batch)> {
        self.actions()
            .iter()
            .filter_map(|action| match action {
                SessionAction::Send { conn, what } => {
                    Some((usize::from(conn.0 - BASE), Batch::decode(what.arg)))
                }
                _ => None,
            })
            .collect()
    }

    fn books(&self) -> Vec<(u16, BookState, BookReason)> {
        self.events()
            .iter()
            .filter_map(|event| match event {
                EventBody::Book(BookStatus { instrument, state, reason }) => {
                    Some((instrument.0, *state, *reason))
                }
                _ => None,
            })
            .collect()
    }

    fn connects(&self) -> Vec<(u8, Option<SecretSlot>)> {
        self.actions()
            .iter()
            .filter_map(|action| match action {
                SessionAction::Connect { conn, slot } => Some((conn.0 - BASE, *slot)),
                _ => None,
            })
            .collect()
    }

    fn closes(&self) -> Vec<u8> {
        self.actions()
            .iter()
            .filter_map(
                |action| if let SessionAction::Close { conn } = action { Some(conn.0 - BASE) } else { None },
            )
            .collect()
    }

    fn sessions(&self) -> Vec<(SessionRole, bool)> {
        self.events()
            .iter()
            .filter_map(|event| match event {
                EventBody::Session(SessionStatus { role, ready, .. }) => Some((*role, *ready)),
                _ => None,
            })
            .collect()
    }
}

fn diff(symbol: &str, first: u64, last: u64, prev: i64, bids: &str) -> String {
    format!(
        r#"{{"e":"depthUpdate","E":5,"T":4,"s":"{symbol}","U":{first},"u":{last},"pu":{prev},"b":[{bids}],"a":[],"st":1}}"#
    )
}

fn snapshot(last: u64) -> String {
    format!(
        r#"{{"lastUpdateId":{last},"E":3,"T":2,"bids":[["100.00","1.000"],["99.90","2.000"]],"asks":[["100.10","3.000"]]}}"#
    )
}

/// A running rig whose first instrument's book is live at id 110.
fn live() -> Rig {
    let mut rig = Rig::running(false);
    rig.frame(conn::PUBLIC, &diff("BTCUSDT", 101, 105, 90, r#"["100.00","5.000"]"#));
    rig.frame(conn::PUBLIC, &diff("BTCUSDT", 108, 110, 105, r#"["99.90","0.000"]"#));
    let requests = rig.wait(100 * MILLI).http(op::DEPTH);
    let (id, call) = requests[0];
    assert_eq!(call.instrument, Some(InstrumentId(10)));
    rig.http(id, 200, &snapshot(105));
    rig
}

#[test]
fn the_start_asks_for_metadata_and_connections_and_subscribes_what_is_defined() {
    let mut rig = Rig::new(false);
    rig.adapter.on_start(rig.at(), &mut rig.out);
    let seen = rig.take();
    assert_eq!(seen.connects(), [(0, None), (1, None)]);
    assert_eq!((seen.http(op::EXCHANGE_INFO).len(), seen.http(op::FUNDING_INFO).len()), (1, 1));
    let info = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","filters":[
        {"filterType":"PRICE_FILTER","tickSize":"0.10"},{"filterType":"LOT_SIZE","stepSize":"0.001","minQty":"0.001","maxQty":"1000"},
        {"filterType":"MIN_NOTIONAL","notional":"100"}]}]}"#;
    let id = seen.http(op::EXCHANGE_INFO)[0].0;
    rig.http(id, 200, info);
    let seen = rig.take();
    assert_eq!(seen.odds(), [OddKind::UnknownSymbol], "ETHUSDT is not listed");
    let Some(Emit::Spec(spec)) = seen.0.iter().find(|item| matches!(item, Emit::Spec(_))) else {
        panic!("{seen:?}")
    };
    assert_eq!(
        (spec.instrument, spec.tick, spec.status),
        (InstrumentId(10), Num::new(1, 1), Status::Trading)
    );
    // The same again after the period says nothing new.
    let seen = rig.wait(1801 * SECOND);
    rig.http(seen.http(op::EXCHANGE_INFO)[0].0, 200, info);
    assert!(!rig.take().0.iter().any(|item| matches!(item, Emit::Spec(_))));
    // Nothing is subscribed before a definition, and everything defined in one message per connection.
    rig.up(conn::PUBLIC);
    rig.up(conn::MARKET);
    assert!(rig.wait(SECOND).batches().is_empty());
    rig.adapter.on_instrument(&instrument(0), rig.at(), &mut rig.out);
    rig.adapter.on_instrument(&instrument(1), rig.at(), &mut rig.out);
    let batches = rig.wait(SECOND).batches();
    assert_eq!(batches.iter().map(|(conn, batch)| (*conn, batch.mask)).collect::<Vec<_>>(), [(0, 3), (1, 3)]);
    rig.frame(0, &format!(r#"{{"result":null,"id":{}}}"#, batches[0].1.request));
    let seen = rig.take();
    assert_eq!(seen.books().len(), 2);
    assert!(seen.sessions().is_empty());
    rig.frame(1, &format!(r#"{{"result":null,"id":{}}}"#, batches[1].1.request));
    assert_eq!(rig.take().sessions(), [(SessionRole::Market, true)]);
}

#[test]
fn a_snapshot_and_what_was_buffered_make_the_book_live() {
    let mut rig = live();
    let seen = rig.take();
    let chunks: Vec<_> = seen
        .events()
        .into_iter()
        .filter_map(|event| if let EventBody::Levels(chunk) = event { Some(chunk) } else { None })
        .collect();
    // Snapshot, then 101..105 (contains 105) and 108..110.
    assert_eq!(
        chunks.iter().map(|c| (c.clear, c.last, c.bids, c.asks, c.update_id)).collect::<Vec<_>>(),
        [(true, true, 2, 1, 105), (false, true, 1, 0, 105), (false, true, 1, 0, 110)]
    );
    assert_eq!(chunks[0].levels[0], (Price(1_000_000), Qty(1000)));
    assert_eq!(chunks[0].levels[2], (Price(1_001_000), Qty(3000)));
    assert_eq!(chunks[0].venue_ns, 2 * MILLI);
    assert_eq!(seen.books().last(), Some(&(10, BookState::Live, BookReason::Sync)));
    rig.frame(conn::PUBLIC, &diff("BTCUSDT", 112, 115, 110, ""));
    let seen = rig.take();
    let [EventBody::Levels(chunk)] = seen.events()[..] else { panic!("{seen:?}") };
    assert_eq!((chunk.update_id, chunk.bids, chunk.last), (115, 0, true));
}

#[test]
fn long_messages_are_chunks_of_eight() {
    let mut rig = live();
    rig.take();
    let bids: Vec<String> = (0..20).map(|i| format!(r#"["{}.0","1"]"#, 50 + i)).collect();
    rig.frame(conn::PUBLIC, &diff("BTCUSDT", 112, 115, 110, &bids.join(",")));
    let seen = rig.take();
    let chunks: Vec<_> = seen
        .events()
        .into_iter()
        .filter_map(|event| if let EventBody::Levels(c) = event { Some((c.bids, c.last)) } else { None })
        .collect();
    assert_eq!(chunks, [(8, false), (8, false), (4, true)]);
}

#[test]
fn a_gap_resyncs_that_instrument_alone() {
    let mut rig = live();
    rig.take();
    rig.frame(conn::PUBLIC, &diff("BTCUSDT", 120, 125, 119, r#"["1.0","1.000"]"#));
    let seen = rig.take();
    assert_eq!(seen.books(), [(10, BookState::Invalid, BookReason::Gap)]);
    assert!(!seen.events().iter().any(|event| matches!(event, EventBody::Levels(_))));
    let requests = rig.wait(2 * SECOND).http(op::DEPTH);
    let own: Vec<_> = requests.iter().filter(|(_, call)| call.instrument == Some(InstrumentId(10))).collect();
    assert_eq!(own.len(), 1);
    // A snapshot that is older than what is buffered is asked for again.
    rig.http(own[0].0, 200, &snapshot(111));
    assert!(rig.take().books().is_empty());
    let requests = rig.wait(2 * SECOND).http(op::DEPTH);
    let (id, _) = requests.iter().find(|(_, call)| call.instrument == Some(InstrumentId(10))).unwrap();
    rig.http(*id, 200, &snapshot(122));
    assert_eq!(rig.take().books(), [(10, BookState::Live, BookReason::Sync)]);
}

#[test]
fn failed_snapshots_are_asked_for_again_with_growing_pauses() {
    let mut rig = Rig::running(false);
    rig.take();
    let mut times = Vec::new();
    for _ in 0..4000 {
        let seen = rig.wait(10 * MILLI);
        for (id, call) in seen.http(op::DEPTH) {
            if call.instrument == Some(InstrumentId(10)) {
                times.push(rig.now);
            }
            rig.http(id, 503, "{}");
        }
    }
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.len() >= 4 && pauses.windows(2).all(|pair| pair[1] >= pair[0]), "{pauses:?}");
    // A rate limit stops every request for a while.
    let mut rig = Rig::running(false);
    let (id, _) = rig.wait(3 * SECOND).http(op::DEPTH)[0];
    rig.http(id, 429, "{}");
    assert!(rig.wait(9 * SECOND).http(op::DEPTH).is_empty());
    assert!(!rig.wait(3 * SECOND).http(op::DEPTH).is_empty());
}

#[test]
fn broken_frames_void_the_book_that_they_name_or_all() {
    let mut rig = live();
    rig.take();
    rig.frame(conn::PUBLIC, r#"{"e":"depthUpdate","s":"ETHUSDT","U":1,"u":"#);
    let seen = rig.take();
    assert_eq!((seen.odds(), seen.books()), (vec![OddKind::Malformed], vec![]));
    for broken in [
        r#"{"e":"depthUpdate","E":5,"T":4,"s":"BTCUSDT","U":112,"u":115,"pu":110,"b":[["x","1"]],"a":[]}"#,
        r#"{"e":"depthUpdate","E":5,"T":4,"s":"BTCUSDT","U":116,"u":115,"pu":110,"b":[],"a":[]}"#,
        "\u{1}\u{2}garbage",
        "",
    ] {
        let mut rig = live();
        rig.take();
        rig.frame(conn::PUBLIC, broken);
        let seen = rig.take();
        assert_eq!(seen.odds(), [OddKind::Malformed], "{broken}");
        assert_eq!(seen.books(), [(10, BookState::Invalid, BookReason::Malformed)], "{broken}");
    }
    let mut rig = live();
    rig.take();
    rig.frame(conn::PUBLIC, r#"{"e":"newThing","s":"BTCUSDT"}"#);
    rig.frame(
        conn::PUBLIC,
        r#"{"e":"bookTicker","u":1,"s":"XYZUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1}"#,
    );
    let seen = rig.take();
    assert_eq!((seen.odds(), seen.books()), (vec![OddKind::Unknown, OddKind::UnknownSymbol], vec![]));
}

#[test]
fn numbers_that_do_not_fit_the_scale_quarantine_until_a_new_generation() {
    let mut rig = live();
    rig.take();
    rig.frame(conn::PUBLIC, &diff("BTCUSDT", 112, 115, 110, r#"["100.00001","1.000"]"#));
    let seen = rig.take();
    assert_eq!(seen.odds(), [OddKind::Inexact]);
    assert_eq!(seen.books(), [(10, BookState::Invalid, BookReason::Malformed)]);
    rig.frame(
        conn::PUBLIC,
        r#"{"e":"bookTicker","u":120,"s":"BTCUSDT","b":"100.0","B":"1","a":"100.1","A":"1","T":1,"E":1}"#,
    );
    assert!(rig.take().0.is_empty(), "nothing of a quarantined instrument is served");
    assert_eq!(rig.wait(31 * SECOND).http(op::EXCHANGE_INFO).len(), 1, "metadata is read again");
    rig.adapter.on_instrument(
        &Instrument { generation: 2, price_scale: 6, ..instrument(0) },
        rig.at(),
        &mut rig.out,
    );
    assert_eq!(rig.take().books(), [(10, BookState::AwaitSnapshot, BookReason::Sync)]);
    rig.frame(
        conn::PUBLIC,
        r#"{"e":"bookTicker","u":120,"s":"BTCUSDT","b":"100.00001","B":"1","a":"100.1","A":"1","T":1,"E":1}"#,
    );
    let seen = rig.take();
    let [EventBody::Bbo(bbo)] = seen.events()[..] else { panic!("{seen:?}") };
    assert_eq!((bbo.bid, bbo.bid_qty, bbo.update_id), (Price(100_000_010), Qty(1000), 120));
}

#[test]
fn trades_and_marks_are_normalised() {
    let mut rig = live();
    rig.take();
    let m = conn::MARKET;
    rig.frame(m, r#"{"e":"aggTrade","E":9,"a":7,"s":"BTCUSDT","p":"100.1","q":"0.02","nq":"0.02","f":1,"l":2,"T":8,"m":false,"st":1}"#);
    rig.frame(m, r#"{"e":"aggTrade","E":9,"a":8,"s":"BTCUSDT","p":"0","q":"0","f":1,"l":2,"T":8,"m":true}"#);
    rig.frame(m, r#"{"e":"markPriceUpdate","E":1790755199000,"s":"BTCUSDT","p":"83259.61836957","P":"1","i":"83301.3126087","r":"-0.00000189","T":1790755200000}"#);
    let seen = rig.take();
    let [EventBody::Trade(trade), EventBody::Mark(mark)] = seen.events()[..] else { panic!("{seen:?}") };
    assert_eq!(
        (trade.price, trade.qty, trade.aggressor, trade.id),
        (Price(1_001_000), Qty(20), Side::Buy, 7)
    );
    assert_eq!(mark.rate.unwrap().to_string(), "-0.00000189");
    assert_eq!((mark.funding_ns, mark.interval_ns), (1_790_755_200 * SECOND, 8 * 3600 * SECOND));
    assert!(seen.odds().is_empty());
}

#[test]
fn a_lost_connection_voids_the_books_and_comes_back_with_pauses() {
    let mut rig = live();
    rig.take();
    rig.down(conn::PUBLIC);
    let seen = rig.take();
    assert_eq!(
        seen.books(),
        [
            (10, BookState::Invalid, BookReason::Disconnected),
            (11, BookState::Invalid, BookReason::Disconnected)
        ]
    );
    assert_eq!(seen.sessions(), [(SessionRole::Market, false)]);
    assert_eq!(rig.wait(SECOND).connects(), [(0, None)]);
    rig.up(conn::PUBLIC);
    let batches = rig.wait(SECOND).batches();
    assert_eq!(batches.len(), 1);
    rig.frame(conn::PUBLIC, &format!(r#"{{"result":null,"id":{}}}"#, batches[0].1.request));
    let seen = rig.take();
    assert_eq!(seen.sessions(), [(SessionRole::Market, true)]);
    assert_eq!(seen.books().len(), 2);
}

#[test]
fn silence_after_an_acknowledgement_and_old_age_mean_a_new_connection() {
    let mut rig = Rig::running(false);
    rig.take();
    let mut closed = Vec::new();
    for _ in 0..30 {
        // The public connection talks, the other one is silent.
        rig.frame(
            conn::PUBLIC,
            r#"{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1}"#,
        );
        closed.extend(rig.wait(SECOND).closes());
    }
    assert_eq!(closed, [1]);

    let mut rig = Rig::running(false);
    rig.take();
    let mut closed = Vec::new();
    for _ in 0..24 * 360 {
        for (conn, event) in [
            (
                conn::PUBLIC,
                r#"{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1}"#,
            ),
            (
                conn::MARKET,
                r#"{"e":"aggTrade","E":9,"a":7,"s":"BTCUSDT","p":"100.1","q":"0.02","f":1,"l":2,"T":8,"m":false}"#,
            ),
        ] {
            rig.frame(conn, event);
        }
        rig.now += 10 * SECOND;
        rig.adapter.on_tick(rig.at(), &mut rig.out);
        closed.extend(rig.take().closes());
    }
    closed.sort_unstable();
    assert_eq!(closed, [0, 1], "each once, before 24 h");
}

#[test]
fn a_refused_subscription_is_told_and_tried_again() {
    let mut rig = Rig::new(false);
    rig.adapter.on_start(rig.at(), &mut rig.out);
    rig.up(conn::PUBLIC);
    rig.adapter.on_instrument(&instrument(0), rig.at(), &mut rig.out);
    let batches = rig.wait(SECOND).batches();
    rig.frame(
        conn::PUBLIC,
        &format!(r#"{{"error":{{"code":2,"msg":"Invalid request"}},"id":{}}}"#, batches[0].1.request),
    );
    assert_eq!(rig.take().odds(), [OddKind::Refused]);
    assert!(rig.wait(4 * SECOND).batches().is_empty());
    assert_eq!(rig.wait(2 * SECOND).batches().len(), 1);
}

const POSITIONS: &str = r#"[{"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"-0.250","entryPrice":"100.5","updateTime":7},
    {"symbol":"DOGEUSDT","positionSide":"BOTH","positionAmt":"5","entryPrice":"1","updateTime":7}]"#;
const BALANCES: &str = r#"[{"asset":"USDT","balance":"375.50","availableBalance":"300.25"},{"asset":"BNB","balance":"0.0","availableBalance":"0"}]"#;

/// A trading rig whose account session is ready.
fn trading() -> Rig {
    let mut fresh = Rig::new(true);
    fresh.adapter.on_start(fresh.at(), &mut fresh.out);
    let seen = fresh.take();
    assert_eq!(
        seen.connects(),
        [(0, None), (1, None), (3, None)],
        "the private connection waits for its key"
    );
    for index in 0..2 {
        fresh.adapter.on_instrument(&instrument(index), fresh.at(), &mut fresh.out);
    }
    let (id, _) = fresh
        .wait(20 * MILLI)
        .http(op::LISTEN_KEY)
        .first()
        .copied()
        .or(seen.http(op::LISTEN_KEY).first().copied())
        .unwrap();
    fresh.http(id, 200, r#"{"listenKey":"xxxx"}"#);
    assert_eq!(fresh.take().connects(), [(2, Some(SecretSlot(8)))]);
    fresh.up(conn::PRIVATE);
    let seen = fresh.take();
    let [orders, positions, balances] =
        [op::OPEN_ORDERS, op::POSITION_RISK, op::BALANCE].map(|op| seen.http(op).first().copied().unwrap().0);
    fresh.http(orders, 200, &format!(
        r#"[{{"orderId":5,"symbol":"BTCUSDT","status":"PARTIALLY_FILLED","clientOrderId":"{}","executedQty":"0.100","side":"SELL","updateTime":6}},
        {{"orderId":6,"symbol":"BTCUSDT","status":"NEW","clientOrderId":"web_1","executedQty":"0","side":"BUY","updateTime":6}}]"#,
        client(3)
    ));
    fresh.http(positions, 200, POSITIONS);
    assert!(fresh.out.items().iter().all(|item| !matches!(item, Emit::ReconcileEnd(_))));
    fresh.http(balances, 200, BALANCES);
    fresh
}

#[test]
fn the_account_is_reconciled_before_it_is_ready() {
    let mut rig = trading();
    let seen = rig.take();
    let reports = seen.reports();
    assert_eq!(
        (reports[0].client_id, reports[0].kind, reports[0].filled),
        (client(3), ReportKind::PartiallyFilled, Some(Qty(100)))
    );
    assert_eq!(
        (reports[1].client_id, reports[1].kind, reports[1].side),
        (ClientId::NONE, ReportKind::Open, Some(Side::Buy))
    );
    let positions: Vec<_> = seen
        .events()
        .into_iter()
        .filter_map(|event| {
            if let EventBody::Position(p) = event { Some((p.instrument.0, p.qty, p.snapshot)) } else { None }
        })
        .collect();
    assert_eq!(positions, [(10, -250, true), (11, 0, true)], "what is not listed is flat");
    let balances: Vec<_> = seen
        .events()
        .into_iter()
        .filter_map(|event| {
            if let EventBody::Balance(b) = event {
                Some((b.currency, b.wallet.to_string(), b.available.map(|a| a.to_string())))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(balances, [(Currency::new("USDT").unwrap(), "375.5".to_owned(), Some("300.25".to_owned()))]);
    let end = seen.0.iter().position(|item| matches!(item, Emit::ReconcileEnd(_))).unwrap();
    let ready = seen.0.iter().position(|item| matches!(item, Emit::Event(EventBody::Session(s)) if s.role == SessionRole::Account && s.ready)).unwrap();
    assert!(end < ready);
    // The key is kept alive; a venue that forgot it gets a new connection.
    let seen = rig.wait(29 * 60 * SECOND + SECOND);
    rig.http(
        seen.http(op::LISTEN_KEY_KEEP)[0].0,
        400,
        r#"{"code":-1125,"msg":"This listenKey does not exist."}"#,
    );
    assert_eq!(rig.take().closes(), [2]);
    rig.down(conn::PRIVATE);
    assert_eq!(rig.take().sessions(), [(SessionRole::Account, false)]);
    assert_eq!(rig.wait(SECOND).http(op::LISTEN_KEY).len(), 1);
}

#[test]
fn order_sessions_follow_their_connection() {
    let mut rig = trading();
    rig.take();
    rig.up(conn::API);
    assert_eq!(rig.take().sessions(), [(SessionRole::Orders, true)]);
    rig.down(conn::API);
    assert_eq!(rig.take().sessions(), [(SessionRole::Orders, false)]);
    assert_eq!(rig.wait(SECOND).connects(), [(3, None)]);
}

fn order_event(fields: &str) -> String {
    format!(
        r#"{{"e":"ORDER_TRADE_UPDATE","T":8,"E":9,"o":{{"s":"BTCUSDT","c":"{}","S":"BUY","o":"LIMIT","q":"1.000","p":"100.5","i":55,{fields}}}}}"#,
        client(3)
    )
}

#[test]
fn order_events_become_reports() {
    let mut rig = trading();
    rig.take();
    for (fields, kind, filled, fill) in [
        (
            r#""f":"IOC","x":"NEW","X":"NEW","l":"0","z":"0","L":"0","t":0,"m":false,"T":8"#,
            ReportKind::Open,
            0,
            None,
        ),
        (
            r#""f":"IOC","x":"TRADE","X":"PARTIALLY_FILLED","l":"0.250","z":"0.250","L":"100.4","n":"0.0125","N":"USDT","t":77,"m":false,"T":8"#,
            ReportKind::PartiallyFilled,
            250,
            Some((77, 250, 1_004_000, "0.0125")),
        ),
        (
            r#""f":"IOC","x":"TRADE","X":"FILLED","l":"0.750","z":"1.000","L":"100.4","t":78,"m":true,"T":8"#,
            ReportKind::Filled,
            1000,
            Some((78, 750, 1_004_000, "0")),
        ),
        (
            r#""f":"IOC","x":"EXPIRED","X":"EXPIRED","l":"0","z":"0.250","L":"0","t":0,"m":false,"T":8"#,
            ReportKind::Canceled,
            250,
            None,
        ),
        (
            r#""f":"GTC","x":"EXPIRED","X":"EXPIRED_IN_MATCH","l":"0","z":"0","L":"0","t":0,"m":false,"T":8"#,
            ReportKind::Expired,
            0,
            None,
        ),
        (
            r#""f":"GTX","x":"EXPIRED","X":"EXPIRED","l":"0","z":"0","L":"0","t":0,"m":false,"T":8"#,
            ReportKind::Rejected,
            0,
            None,
        ),
        (
            r#""f":"GTC","x":"CANCELED","X":"CANCELED","l":"0","z":"0.1","L":"0","t":0,"m":false,"T":8"#,
            ReportKind::Canceled,
            100,
            None,
        ),
    ] {
        rig.frame(conn::PRIVATE, &order_event(fields));
        let seen = rig.take();
        let [report] = seen.reports()[..] else { panic!("{seen:?}") };
        assert_eq!(
            (report.client_id, report.kind, report.filled),
            (client(3), kind, Some(Qty(filled))),
            "{fields}"
        );
        let found = report.fill.map(|f| (f.trade_id, f.qty.0, f.price.0, f.fee.unwrap().to_string()));
        assert_eq!(found, fill.map(|(id, qty, price, fee)| (id, qty, price, fee.to_owned())), "{fields}");
        assert_eq!(
            report.reject,
            if kind == ReportKind::Rejected { RejectClass::PostOnly } else { RejectClass::None }
        );
        assert!(seen.odds().is_empty());
    }
    rig.frame(
        conn::PRIVATE,
        &order_event(r#""f":"GTC","x":"STRANGE","X":"NEW","l":"0","z":"0","L":"0","t":0,"m":false,"T":8"#),
    );
    let seen = rig.take();
    assert_eq!((seen.reports().len(), seen.odds()), (1, vec![OddKind::UnknownExecution]));
}

#[test]
fn an_early_fill_notice_has_no_fee_and_no_total() {
    let mut rig = trading();
    rig.take();
    rig.frame(conn::PRIVATE, &format!(
        r#"{{"e":"TRADE_LITE","E":9,"T":8,"s":"BTCUSDT","c":"{}","S":"SELL","q":"1","p":"100.5","i":55,"l":"0.250","L":"100.4","t":77,"m":true}}"#,
        client(3)
    ));
    let seen = rig.take();
    let [report] = seen.reports()[..] else { panic!("{seen:?}") };
    let fill = report.fill.unwrap();
    assert_eq!(
        (report.filled, fill.fee, fill.trade_id, fill.qty, fill.maker),
        (None, None, 77, Qty(250), true)
    );
    assert_eq!((report.kind, report.side), (ReportKind::PartiallyFilled, Some(Side::Sell)));
}

#[test]
fn account_updates_tell_balances_positions_and_funding() {
    let mut rig = trading();
    rig.take();
    rig.frame(conn::PRIVATE, r#"{"e":"ACCOUNT_UPDATE","T":8,"E":9,"a":{"B":[{"a":"USDT","wb":"21.5","cw":"21.5","bc":"-0.25"}],"P":[{"s":"BTCUSDT","pa":"-5","ep":"1.15540","cr":"0","up":"0","mt":"cross","iw":"0","ps":"BOTH"}],"m":"FUNDING_FEE"}}"#);
    let seen = rig.take();
    let [EventBody::Position(position), EventBody::Balance(balance), EventBody::Funding(funding)] =
        seen.events()[..]
    else {
        panic!("{seen:?}")
    };
    assert_eq!(
        (position.qty, position.entry.to_string(), position.snapshot),
        (-5000, "1.1554".to_owned(), false)
    );
    assert_eq!(balance.wallet, Money::from_num(Num::new(215, 1)));
    assert_eq!(
        (funding.instrument, funding.amount),
        (Some(InstrumentId(10)), Money::from_num(Num::new(-25, 2)))
    );
    // An expired key means a new connection.
    rig.frame(conn::PRIVATE, r#"{"e":"listenKeyExpired","E":1,"listenKey":"xxxx"}"#);
    let seen = rig.take();
    assert_eq!((seen.closes(), seen.sessions()), (vec![2], vec![(SessionRole::Account, false)]));
}

#[test]
fn stopping_closes_everything_and_nothing_comes_back() {
    let mut rig = trading();
    rig.take();
    for index in [conn::PUBLIC, conn::MARKET, conn::API] {
        rig.up(index);
    }
    rig.take();
    rig.adapter.on_stop(rig.at(), &mut rig.out);
    assert_eq!(rig.take().closes(), [0, 1, 2, 3]);
    for index in 0..4 {
        rig.down(index);
    }
    rig.take();
    assert!(rig.wait(60 * SECOND).actions().is_empty());
}

// ---- the route side ----

fn encoder() -> BinanceEncoder {
    let mut encoder = BinanceEncoder::new(&USDM, &context(true));
    encoder.on_instrument(&instrument(0));
    encoder
}

fn meta() -> OutMeta {
    OutMeta {
        message: MessageId(1),
        cause: Seq(1),
        cause_mono: 0,
        age_max: 0,
        target: Target::Socket(ConnId(0)),
        epoch: 0,
        urgent: false,
        order: None,
    }
}

fn splice(bytes: &[u8], from: usize, holes: &[Hole], fill: &dyn Fn(HoleKind) -> String) -> String {
    let (mut text, mut at) = (Vec::new(), 0);
    for hole in holes {
        let to = usize::from(hole.at) - from;
        text.extend_from_slice(&bytes[at..to]);
        text.extend_from_slice(fill(hole.kind).as_bytes());
        at = to;
    }
    text.extend_from_slice(&bytes[at..]);
    String::from_utf8(text).unwrap()
}

/// The signed text and the message, as the gateway makes them.
fn finish(payload: &Payload, key: &str, secret: &str) -> (String, String) {
    let keyed = |kind| match kind {
        HoleKind::ApiKey => key.to_owned(),
        HoleKind::Slot(slot) => format!("<slot {}>", slot.0),
        _ => panic!("{kind:?} inside the signed text"),
    };
    let signed = splice(payload.sign_text(), usize::from(payload.text_len), payload.signed_holes(), &keyed);
    let tag = ring::hmac::sign(
        &ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes()),
        signed.as_bytes(),
    );
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = splice(payload.text(), 0, payload.text_holes(), &|kind| match kind {
        HoleKind::Signature => hex.clone(),
        other => keyed(other),
    });
    (signed, text)
}

fn hmac(secret: &str, text: &str) -> String {
    let tag =
        ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes()), text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn spec() -> OrderSpec {
    OrderSpec {
        client_id: client(3),
        instrument: InstrumentId(10),
        side: Side::Sell,
        qty: Qty(10),
        price: Price(520_000_000),
        tif: TimeInForce::Gtc,
        ..OrderSpec::default()
    }
}

#[test]
fn signatures_equal_the_documented_vectors() {
    // Both vectors are the venue documentation's; the second has the shape that the encoder renders.
    assert_eq!(
        hmac(
            "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943"
        ),
        "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
    );
    let secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
    let key = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
    let mut payload = Payload::new();
    let now = Stamp { mono: 0, wall: 1_645_423_376_532 * MILLI };
    assert_eq!(encoder().order(&spec(), &meta(), now, &mut payload), Ok(Rendered::Socket(ConnId(BASE + 3))));
    let (signed, text) = finish(&payload, key, secret);
    assert_eq!(payload.scheme, SignScheme::HmacSha256Hex);
    assert_eq!(
        signed,
        format!(
            "apiKey={key}&newClientOrderId={}&newOrderRespType=ACK&price=52000&quantity=0.01&recvWindow=2000&side=SELL&symbol=BTCUSDT&timeInForce=GTC&timestamp=1645423376532&type=LIMIT",
            client(3)
        )
    );
    // Brought to the vector's parameters, our text is the vector's.
    let vector = signed
        .replace(&format!("newClientOrderId={}&", client(3)), "")
        .replace("price=52000&", "price=52000.00&")
        .replace("quantity=0.01&", "quantity=0.01000000&")
        .replace("recvWindow=2000", "recvWindow=100");
    assert_eq!(hmac(secret, &vector), "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["method"], "order.place");
    assert_eq!(json["id"], format!("p{}", client(3)));
    assert_eq!(json["params"]["signature"], hmac(secret, &signed));
    assert_eq!(json["params"]["timestamp"], 1_645_423_376_532i64);
    assert_eq!(json["params"]["price"], "52000");
}

#[test]
fn the_signed_text_is_what_the_parameters_say_in_alphabetical_order() {
    let mut encoder = encoder();
    let mut payload = Payload::new();
    let now = Stamp { mono: 0, wall: WALL };
    let reference = OrderRef { client_id: client(3), instrument: InstrumentId(10), ..OrderRef::default() };
    let tifs = [TimeInForce::Ioc, TimeInForce::Fok, TimeInForce::Gtc, TimeInForce::PostOnly];
    let check = |payload: &Payload, method: &str| {
        let (signed, text) = finish(payload, "KEY", "SECRET");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["method"], method);
        assert!(json["id"].as_str().unwrap().len() <= 36);
        let params: Vec<String> = json["params"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| *name != "signature")
            .map(|(name, value)| {
                format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            })
            .collect();
        let mut sorted = params.clone();
        sorted.sort();
        assert_eq!(signed, sorted.join("&"));
        assert_eq!(json["params"]["signature"], hmac("SECRET", &signed));
        json
    };
    for (tif, name) in tifs.into_iter().zip(["IOC", "FOK", "GTC", "GTX"]) {
        encoder
            .order(
                &OrderSpec { tif, reduce_only: tif == TimeInForce::Ioc, ..spec() },
                &meta(),
                now,
                &mut payload,
            )
            .unwrap();
        let json = check(&payload, "order.place");
        assert_eq!(json["params"]["timeInForce"], name);
        assert_eq!(json["params"]["reduceOnly"].as_str(), (tif == TimeInForce::Ioc).then_some("true"));
    }
    encoder.cancel(&reference, &meta(), now, &mut payload).unwrap();
    assert_eq!(check(&payload, "order.cancel")["params"]["origClientOrderId"], client(3).to_string());
    encoder.query(&reference, &meta(), now, &mut payload).unwrap();
    check(&payload, "order.status");
    assert!(
        encoder
            .order(&OrderSpec { instrument: InstrumentId(11), ..spec() }, &meta(), now, &mut payload)
            .is_err(),
        "undefined"
    );
}

#[test]
fn http_requests_and_paths_are_as_documented() {
    let mut encoder = encoder();
    let mut payload = Payload::new();
    let now = Stamp { mono: 0, wall: WALL };
    let mut http = |op, instrument| {
        let redact = encoder.http(VenueCall { op, arg: 0, instrument }, now, &mut payload).unwrap();
        let (signed, text) = finish(&payload, "KEY", "SECRET");
        (signed, text, redact)
    };
    assert_eq!(http(op::EXCHANGE_INFO, None).1, "GET /fapi/v1/exchangeInfo\n\n");
    assert_eq!(http(op::DEPTH, Some(InstrumentId(11))).1, "GET /fapi/v1/depth?symbol=ETHUSDT&limit=1000\n\n");
    let (_, text, redact) = http(op::LISTEN_KEY, None);
    assert_eq!(text, "POST /fapi/v1/listenKey\nX-MBX-APIKEY: KEY\n\n");
    assert_eq!(
        redact.map(|redact| (redact.slot, redact.key.as_str().to_owned())),
        Some((SecretSlot(8), "listenKey".to_owned()))
    );
    assert_eq!(http(op::LISTEN_KEY_KEEP, None).1, "PUT /fapi/v1/listenKey\nX-MBX-APIKEY: KEY\n\n");
    for (op, path) in [
        (op::OPEN_ORDERS, "v1/openOrders"),
        (op::POSITION_RISK, "v3/positionRisk"),
        (op::BALANCE, "v3/balance"),
    ] {
        let (signed, text, redact) = http(op, None);
        assert_eq!(signed, format!("recvWindow=5000&timestamp={}", WALL / MILLI));
        let signature = hmac("SECRET", &signed);
        assert_eq!(text, format!("GET /fapi/{path}?{signed}&signature={signature}\nX-MBX-APIKEY: KEY\n\n"));
        assert_eq!(redact, None);
    }
    for (index, path) in
        ["/public/ws", "/market/ws", "/private/ws/<slot 9>", "/ws-fapi/v1"].into_iter().enumerate()
    {
        encoder.connect(ConnId(BASE + index as u8), Some(SecretSlot(9)), &mut payload).unwrap();
        assert_eq!(finish(&payload, "KEY", "SECRET").1, path);
    }
}

#[test]
fn the_largest_subscription_fits_and_names_its_streams() {
    let mut context = context(false);
    context.listings = (0..512)
        .map(|i| ListingParams {
            symbol: Symbol::new(&format!("{i:0>28}USDT")).unwrap(),
            id: InstrumentId(i),
            ..params()[0]
        })
        .collect();
    let mut encoder = BinanceEncoder::new(&USDM, &context);
    let mut payload = Payload::new();
    let batch = Batch { start: 492, mask: 0xf_ffff, request: 0xfff_ffff };
    assert_eq!(Batch::decode(batch.encode()), batch);
    for index in [conn::PUBLIC, conn::MARKET] {
        let call = VenueCall { op: op::SUBSCRIBE, arg: batch.encode(), instrument: None };
        encoder.send(ConnId(BASE + index as u8), call, Stamp::default(), &mut payload).unwrap();
        let json: serde_json::Value = serde_json::from_slice(payload.text()).unwrap();
        assert_eq!(json["params"].as_array().unwrap().len(), 40);
        assert_eq!(json["id"], 0xfff_ffff);
        let first = json["params"][0].as_str().unwrap();
        assert!(first.ends_with(if index == conn::PUBLIC {
            "492usdt@bookTicker"
        } else {
            "492usdt@aggTrade"
        }));
    }
}
