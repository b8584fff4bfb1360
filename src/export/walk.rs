//! One walk over a journal: inputs become events, events become rows, then the outputs.

use super::listings::Listings;
use super::rows::{Place, Rows};
use super::table::{Cell, Kind};
use super::{Bound, ExportError, Report, Request};
use crate::core::book::Book;
use crate::domain::codec::decode_output;
use crate::domain::event::{CHUNK_LEVELS, Event, EventBody, LevelsChunk, Seq};
use crate::domain::input::Input;
use crate::domain::instrument::{InstrumentId, Price, Qty, VenueId};
use crate::domain::order::Side;
use crate::domain::output::Output;
use crate::domain::time::{Nanos, Stamp};
use crate::journal::{JournalError, Manifest, Reader, Stream, read_mark};
use crate::replay::cursor::Cursor;
use crate::replay::source::{Inputs, ReplayError};
use crate::stage::river::Parts;

/// Takes what a walk finds.
pub trait Taker {
    /// A row of `kind`.
    fn row(&mut self, kind: Kind, cells: &[Cell<'_>]) -> Result<(), ExportError>;

    /// An event of `kind`; its rows, unless the format has a shape of its own for it.
    fn event(&mut self, kind: Kind, event: &Event, rows: &Rows<'_>) -> Result<(), ExportError> {
        rows.event(kind, event, &mut |kind, cells: &[Cell<'_>]| self.row(kind, cells))
    }

    /// An event before the range: what is known when it begins.
    fn before(&mut self, event: &Event) {
        let _ = event;
    }

    /// Whether depth must begin with a snapshot when the range begins inside the run.
    fn needs_books(&self) -> bool {
        false
    }
}

/// Inputs between two tellings of progress.
const TELL_EVERY: u64 = 16_384;

/// What is followed besides the events themselves.
struct Followed {
    listings: Listings,
    conns: Vec<VenueId>,
    /// By listing: inside a snapshot.
    snapshots: Vec<bool>,
    /// By listing, until the range begins.
    books: Vec<Book>,
    begun: bool,
    /// `wall − mono` from these inputs on.
    anchors: Vec<(u64, Nanos)>,
    /// The last input.
    last: Seq,
}

impl Followed {
    fn rows(&self) -> Rows<'_> {
        Rows { listings: &self.listings, conns: &self.conns, snapshots: &self.snapshots }
    }

    /// Before an event is taken.
    fn meet(&mut self, event: &Event) {
        match &event.body {
            EventBody::Instrument(instrument) => self.listings.define(event.seq.0, instrument),
            EventBody::Levels(chunk) if chunk.clear => self.set_snapshot(chunk.instrument, true),
            _ => {}
        }
    }

    /// After it was taken.
    fn leave(&mut self, event: &Event) {
        if let EventBody::Levels(chunk) = &event.body
            && chunk.last
        {
            self.set_snapshot(chunk.instrument, false);
        }
    }

    fn set_snapshot(&mut self, id: InstrumentId, on: bool) {
        if let Some(snapshot) = self.snapshots.get_mut(id.index()) {
            *snapshot = on;
        }
    }

    /// Books before the range.
    fn keep(&mut self, event: &Event) {
        match &event.body {
            EventBody::Levels(chunk) => {
                if let Some(book) = self.books.get_mut(chunk.instrument.index()) {
                    book.apply(chunk);
                }
            }
            EventBody::Book(status) => {
                if let Some(book) = self.books.get_mut(status.instrument.index()) {
                    book.set_state(status.state);
                }
            }
            _ => {}
        }
    }

    /// `wall − mono` at input `seq`.
    fn anchor(&self, seq: u64) -> Nanos {
        let at = self.anchors.partition_point(|(from, _)| *from <= seq);
        at.checked_sub(1).map_or(0, |at| self.anchors[at].1)
    }
}

/// A walk in progress.
struct Walk<'a> {
    request: &'a Request,
    /// The input behind which the journal begins.
    after: Seq,
    followed: Followed,
    report: Report,
}

/// Walks over the journal once and gives `taker` what `request` wants.
///
/// # Errors
/// [`ExportError`]; damage is none: what came before it was taken, and [`Report::cut`] says so.
pub fn walk(
    request: &Request,
    taker: &mut dyn Taker,
    progress: &mut dyn FnMut(f64, u64),
) -> Result<Report, ExportError> {
    let cursor = Cursor::open(&request.dir)?;
    let mut listings = Listings::new(&cursor.config().params);
    let (after, at) = (cursor.seq(), cursor.now());
    let parts = cursor.into_river().into_parts();
    let count = listings.len();
    let keeps_books = (request.from.is_some() || after > Seq(0)) && taker.needs_books();
    let mut books = if keeps_books { vec![Book::new(); count] } else { Vec::new() };
    // A journal that begins later than its run knows contracts and books from its beginning on.
    for at in (0..count).filter(|_| after > Seq(0)) {
        let Some(known) = parts.scan.scanner().listing(InstrumentId(at as u16)) else { continue };
        if known.instrument.generation > 0 {
            listings.define(0, &known.instrument);
        }
        if let Some(book) = books.get_mut(at) {
            *book = known.book.clone();
        }
    }
    let followed = Followed {
        listings,
        conns: parts.conns.iter().map(|conn| conn.venue).collect(),
        snapshots: vec![false; count],
        books,
        begun: false,
        anchors: if after > Seq(0) { vec![(0, at.wall - at.mono)] } else { Vec::new() },
        last: after,
    };
    let mut walk = Walk { request, after, followed, report: Report::default() };
    for kind in &request.kinds {
        walk.report.rows.insert(kind.name(), 0);
    }
    walk.inputs(parts, taker, progress)?;
    if request.kinds.iter().any(|kind| kind.is_output()) {
        walk.outputs(taker)?;
    }
    Ok(walk.report)
}

impl Walk<'_> {
    fn inputs(
        &mut self,
        parts: Parts,
        taker: &mut dyn Taker,
        progress: &mut dyn FnMut(f64, u64),
    ) -> Result<(), ExportError> {
        let mut decode = parts.decode;
        let mut inputs = Inputs::open(&self.request.dir)?;
        let dir = &self.request.dir;
        let mark = read_mark(dir, Stream::Inputs, Manifest::read(dir)?.run_id.0);
        let (hole, bytes) = (inputs.hole(), mark.map_or(0, |mark| mark.position).max(1) as f64);
        loop {
            if self.report.inputs.is_multiple_of(TELL_EVERY) {
                progress((inputs.position() as f64 / bytes).min(1.0), self.report.inputs);
            }
            let (recorded, raw) = match inputs.next() {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(ReplayError::Journal(JournalError::Damaged(damage))) => {
                    self.report.cut = Some(format!("damaged journal: {damage}"));
                    break;
                }
                Err(other) => return Err(other.into()),
            };
            if matches!(self.request.to, Some(Bound::Seq(to)) if recorded.0 > to) {
                break;
            }
            let (seq, at) = decode.sequence(&raw);
            if let Input::Anchor(anchor) = raw.input {
                self.followed.anchors.push((seq.0, anchor));
            }
            self.report.inputs += 1;
            self.followed.last = seq;
            if self.request.covers(seq.0, at.wall) {
                self.begin(seq, at, taker)?;
            }
            let mut taken = Ok(());
            decode.on_input(&raw, seq, at, &mut |event| {
                if taken.is_ok() {
                    taken = self.event(event, taker);
                }
            });
            taken?;
        }
        if let Some((expected, found)) = hole.get() {
            self.report.cut = Some(format!("input {expected} is missing, {found} follows"));
        }
        Ok(())
    }

    fn event(&mut self, event: &Event, taker: &mut dyn Taker) -> Result<(), ExportError> {
        let Some(kind) = Kind::of(&event.body) else { return Ok(()) };
        self.followed.meet(event);
        if !self.followed.begun && !self.followed.books.is_empty() {
            self.followed.keep(event);
        }
        let rows = self.followed.rows();
        if self.request.kinds.contains(&kind) && self.request.selects(rows.about(&event.body)) {
            if self.request.covers(event.seq.0, event.at.wall) {
                count(&mut self.report, kind, row_count(&event.body));
                taker.event(kind, event, &rows)?;
            } else if !self.followed.begun {
                taker.before(event);
            }
        }
        self.followed.leave(event);
        Ok(())
    }

    /// The range begins: the books of that moment as snapshots. They count as no rows, because nobody sent them.
    fn begin(&mut self, seq: Seq, at: Stamp, taker: &mut dyn Taker) -> Result<(), ExportError> {
        if std::mem::replace(&mut self.followed.begun, true) || !self.request.kinds.contains(&Kind::Depth) {
            return Ok(());
        }
        let books = std::mem::take(&mut self.followed.books);
        for (index, book) in books.iter().enumerate().filter(|(_, book)| book.is_served()) {
            let id = InstrumentId(index as u16);
            for chunk in chunks(id, book) {
                let event = Event { seq, at, body: EventBody::Levels(chunk) };
                self.followed.meet(&event);
                let rows = self.followed.rows();
                if self.request.selects(rows.about_order(id)) {
                    taker.event(Kind::Depth, &event, &rows)?;
                }
                self.followed.leave(&event);
            }
        }
        Ok(())
    }

    fn outputs(&mut self, taker: &mut dyn Taker) -> Result<(), ExportError> {
        let mut reader = Reader::open(&self.request.dir, Stream::Outputs)?;
        let (after, last) = (self.after.0, self.followed.last.0);
        loop {
            let record = match reader.next() {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(()),
                Err(JournalError::Damaged(damage)) => {
                    self.report.cut.get_or_insert(format!("damaged journal: {damage}"));
                    return Ok(());
                }
                Err(other) => return Err(other.into()),
            };
            let seq = record.seq;
            let place = Place { seq, wall: record.time_ns + self.followed.anchor(seq) };
            if seq <= after || seq > last || !self.request.covers(seq, place.wall) {
                continue;
            }
            let (key, output, raw) = decode_output(Seq(seq), record.body).map_err(|why| {
                let dir = self.request.dir.clone();
                ReplayError::Record { dir, stream: "output", seq, why: why.to_string() }
            })?;
            let (rows, request, report) = (self.followed.rows(), self.request, &mut self.report);
            let wanted = |kind| request.kinds.contains(&kind);
            let mut sink = |kind, cells: &[Cell<'_>]| {
                count(report, kind, 1);
                taker.row(kind, cells)
            };
            match &output {
                Output::Intent(intent) if wanted(Kind::Intents) => {
                    rows.intent(place, key, "Wanted", intent, &|about| request.selects(about), &mut sink)?;
                }
                Output::Approved(intent) if wanted(Kind::Intents) => {
                    rows.intent(place, key, "Approved", intent, &|about| request.selects(about), &mut sink)?;
                }
                Output::Message(shape) | Output::Amendment(shape)
                    if wanted(Kind::Messages) && request.selects(rows.about_message(shape)) =>
                {
                    let text = &raw[..usize::from(shape.text_len).min(raw.len())];
                    rows.message(place, shape, text, &mut sink)?;
                }
                Output::NearMiss(near)
                    if wanted(Kind::NearMisses)
                        && [near.long, near.short]
                            .iter()
                            .any(|leg| request.selects(rows.about_order(*leg))) =>
                {
                    rows.near_miss(place, near, &mut sink)?;
                }
                _ => {}
            }
        }
    }
}

fn count(report: &mut Report, kind: Kind, rows: u64) {
    *report.rows.entry(kind.name()).or_default() += rows;
}

/// Rows that an event makes.
fn row_count(event: &EventBody) -> u64 {
    match event {
        EventBody::Levels(chunk) => super::rows::levels(chunk).len().max(1) as u64,
        _ => 1,
    }
}

/// A book as a snapshot.
fn chunks(instrument: InstrumentId, book: &Book) -> Vec<LevelsChunk> {
    let side = |side: Side| book.depth(side).map(|(price, qty)| (Price(price), Qty(qty)));
    // A seller meets the bids.
    let sides = [side(Side::Sell).collect::<Vec<_>>(), side(Side::Buy).collect()];
    let mut made: Vec<LevelsChunk> = Vec::new();
    for (at, levels) in sides.iter().enumerate() {
        for part in levels.chunks(CHUNK_LEVELS) {
            let mut chunk = LevelsChunk { instrument, venue_ns: book.depth_ns(), ..LevelsChunk::default() };
            chunk.levels[..part.len()].copy_from_slice(part);
            *(if at == 0 { &mut chunk.bids } else { &mut chunk.asks }) = part.len() as u8;
            made.push(chunk);
        }
    }
    if made.is_empty() {
        made.push(LevelsChunk { instrument, venue_ns: book.depth_ns(), ..LevelsChunk::default() });
    }
    let end = made.len() - 1;
    made[0].clear = true;
    made[end].last = true;
    made
}
