//! Decoders and adapters of every dialect that is registered: a new venue is fuzzed as soon as it exists.

use perpring::cli::book::Book;
use perpring::domain::effect::{HttpId, OrderCall, SecretSlot, SessionAction};
use perpring::domain::input::{ConnId, FrameMeta};
use perpring::domain::instrument::{CanonicalId, Instrument, InstrumentId, Qty, Status, VenueId, VenueSpec};
use perpring::domain::number::Num;
use perpring::domain::order::ClientId;
use perpring::domain::params::{ListingParams, VenueParams};
use perpring::domain::text::Text;
use perpring::domain::time::{MILLI, SECOND, Stamp};
use perpring::sim::SimConfig;
use perpring::venue::full::Full;
use perpring::venue::message::{DecodeError, Decoder, Message};
use perpring::venue::{Adapter, DIALECTS, Dialect, Emit, Out, VenueContext};

/// Every message of a frame as text, or the error.
fn messages(decoder: &mut dyn Decoder, frame: &[u8]) -> (Vec<String>, Result<(), DecodeError>) {
    let mut found = Vec::new();
    let end = decoder.decode(frame, &mut |message| found.push(format!("{message:?}")));
    (found, end)
}

/// A decoder never panics, remembers nothing, and says the same on its short cuts, on its general path and behind
/// the full JSON parser.
pub fn decode(data: &[u8]) {
    for dialect in DIALECTS {
        let name = dialect.name();
        let mut decoder = dialect.decoder();
        let first = messages(&mut *decoder, data);
        let again = messages(&mut *decoder, data);
        assert!(first == again, "{name}: a frame leaves something behind: {first:?}, then {again:?}");
        differential(*dialect, data, &first);
        behind_the_full_parser(*dialect, data, &first);
        book(&mut *decoder, data);
    }
}

/// Short cuts know one layout to the byte, so blanks between the values send the same message down the
/// general path; a frame that was understood means the same either way.
fn differential(dialect: &dyn Dialect, data: &[u8], fast: &(Vec<String>, Result<(), DecodeError>)) {
    let Some(spaced) = spaced(data) else { return };
    let general = messages(&mut *dialect.decoder(), &spaced);
    let same = fast.0 == general.0 && fast.1.is_ok() == general.1.is_ok();
    assert!(same, "{}: short cut {fast:?}, general path {general:?}", dialect.name());
}

/// What the full parser writes anew means the same to the very error; what it does not take, nobody takes.
fn behind_the_full_parser(dialect: &dyn Dialect, data: &[u8], hot: &(Vec<String>, Result<(), DecodeError>)) {
    let name = dialect.name();
    let mut full = Full::new();
    let Ok(plain) = full.plain(data) else {
        let words = matches!(data, b"ping" | b"pong" | b"Websocket connection established.");
        let refused = hot.0.is_empty() && matches!(hot.1, Err(DecodeError::Json { .. }));
        assert!(refused || words, "{name}: no JSON, but {hot:?}");
        return;
    };
    let behind = messages(&mut *dialect.decoder(), plain);
    let same = match (&hot.1, &behind.1) {
        (Err(DecodeError::Json { .. }), Err(DecodeError::Json { .. })) => true,
        (one, other) => one == other,
    };
    assert!(same && hot.0 == behind.0, "{name}: hot path {hot:?}, full parser {behind:?}");
}

/// The same JSON text with a blank behind every structural comma and colon, and at its end; `None` where the
/// text is none (ping and pong words).
fn spaced(data: &[u8]) -> Option<Vec<u8>> {
    if !matches!(data.first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut out = Vec::with_capacity(data.len() * 2);
    let (mut quoted, mut escaped) = (false, false);
    for byte in data {
        out.push(*byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b':' if !quoted => out.push(b' '),
            _ => {}
        }
    }
    out.push(b' ');
    Some(out)
}

/// Whatever was decoded may be offered to a book, and has an oracle line or none.
fn book(decoder: &mut dyn Decoder, data: &[u8]) {
    let mut book = Book::new(decoder.continuity());
    let mut depths = Vec::new();
    let _ = decoder.decode(data, &mut |message| {
        if let Message::Depth(depth) = message {
            depths.push(perpring::cli::book::OwnedDepth::from(depth));
        }
    });
    for depth in depths.iter().chain(&depths) {
        book.on_depth(&depth.borrow("X"), &mut |_| {});
    }
    let (bids, asks) = book.levels();
    let mut line = String::new();
    let _ = decoder.decode(data, &mut |_| {});
    let depth = depths.first().map(|depth| depth.borrow("X"));
    if let Some(depth) = depth {
        decoder.oracle_line(&Message::Depth(depth), &mut line);
    }
    assert!(book.bids().count() == bids && book.asks().count() == asks);
}

/// An adapter fed with lines of `data` as frames and replies, beside a twin that gets the same, or the same as the
/// full parser writes it. (Where replies over HTTP have escapes, those stand as they are: both get the same.)
pub fn adapter(data: &[u8]) {
    for dialect in DIALECTS {
        let mut twins = [Rig::new(*dialect), Rig::new(*dialect)];
        for (index, piece) in data.split(|byte| *byte == b'\n').enumerate().take(40) {
            let mut full = Full::new();
            let plain = if piece.contains(&b'\\') { piece } else { full.plain(piece).unwrap_or(piece) };
            let [one, other] = &mut twins;
            let (one, other) = (one.feed(index, piece), other.feed(index, plain));
            // Not `==` on the whole: told apart by position, so that the first difference is shown.
            assert_eq!(one.len(), other.len(), "{}: piece {index}", dialect.name());
            for (one, other) in one.iter().zip(&other) {
                assert_eq!(one, other, "{}: twins differ at piece {index}", dialect.name());
            }
        }
    }
}

/// A trading adapter of one listing, connected.
struct Rig {
    adapter: Box<dyn Adapter>,
    out: Out,
    conns: u8,
    asked: Vec<HttpId>,
    now: i64,
}

impl Rig {
    fn new(dialect: &dyn Dialect) -> Self {
        let simulated = SimConfig::demo(1, &[dialect.name()], 1).ok();
        let symbol =
            simulated.map_or_else(|| "BTCUSDT".to_owned(), |sim| sim.venues[0].listings[0].symbol.clone());
        let listing = ListingParams {
            id: InstrumentId(0),
            venue: VenueId(0),
            canonical: CanonicalId(0),
            symbol: Text::new(&symbol).expect("a symbol fits"),
        };
        let context = VenueContext {
            venue: VenueId(0),
            params: VenueParams::default(),
            listings: vec![listing],
            conn_base: ConnId(0),
            slot_base: SecretSlot(0),
            trading: true,
        };
        let mut rig = Self {
            adapter: dialect.adapter(&context),
            out: Out::with_capacity(1024),
            conns: dialect.connections(true).len() as u8,
            asked: Vec::new(),
            now: SECOND,
        };
        rig.adapter.on_start(rig.stamp(), &mut rig.out);
        rig.adapter.on_instrument(&instrument(&listing), rig.stamp(), &mut rig.out);
        for conn in 0..rig.conns {
            rig.adapter.on_conn_up(ConnId(conn), 1, rig.stamp(), &mut rig.out);
        }
        for _ in 0..100 {
            rig.now += 10 * MILLI;
            rig.adapter.on_tick(rig.stamp(), &mut rig.out);
        }
        rig.take();
        rig
    }

    fn stamp(&self) -> Stamp {
        Stamp { mono: self.now, wall: 1_700_000_000 * SECOND + self.now }
    }

    fn take(&mut self) -> Vec<Emit> {
        let items = self.out.items().to_vec();
        self.out.clear();
        for item in &items {
            if let Emit::Action(SessionAction::Http { id, .. }) = item {
                self.asked.push(*id);
            }
        }
        items
    }

    /// Every fourth piece answers an order over HTTP, every third of the others the oldest open request; the rest
    /// arrive on one connection after another.
    fn feed(&mut self, index: usize, piece: &[u8]) -> Vec<Emit> {
        self.now += MILLI;
        self.adapter.on_tick(self.stamp(), &mut self.out);
        if index % 4 == 3 {
            let call = [OrderCall::Place, OrderCall::Cancel, OrderCall::Query][index / 4 % 3];
            let status = [200, 400, 503, 0][index / 12 % 4];
            let id = HttpId::of_order(call, ClientId::new(1, 7));
            self.adapter.on_http(id, status, piece, self.stamp(), &mut self.out);
        } else if index % 3 == 2 && !self.asked.is_empty() {
            let id = self.asked.remove(0);
            self.adapter.on_http(id, 200, piece, self.stamp(), &mut self.out);
        } else {
            let conn = ConnId((index % usize::from(self.conns.max(1))) as u8);
            let meta = FrameMeta { conn, epoch: 1, last: true, drained: true, ..FrameMeta::default() };
            self.adapter.on_frame(meta, piece, self.stamp(), &mut self.out);
        }
        self.take()
    }
}

fn instrument(listing: &ListingParams) -> Instrument {
    Instrument {
        symbol: listing.symbol,
        spec: VenueSpec {
            multiplier: Num::new(1, 0),
            tick: Num::new(1, 1),
            step: Num::new(1, 3),
            status: Status::Trading,
            code: 10_459,
            ..VenueSpec::default()
        },
        price_scale: 3,
        qty_scale: 3,
        tick: 100,
        step: 1,
        qty_min: Qty(1),
        qty_max: Qty(i64::MAX),
        generation: 1,
        ..Instrument::default()
    }
}
