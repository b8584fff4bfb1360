//! One walk over a journal: inputs become events, events become rows, then the outputs.

use super::listings::Listings;
use super::rows::{Place, Rows};
use super::table::{Cell, Kind};
use super::targets::Targets;
use super::{ExportError, Report, Request};
use crate::core::book::Book;
use crate::domain::codec::decode_output;
use crate::domain::event::{CHUNK_LEVELS, Event, EventBody, LevelsChunk, Seq};
use crate::domain::input::Input;
use crate::domain::instrument::{InstrumentId, Price, Qty, VenueId};
use crate::domain::order::Side;
use crate::domain::output::Output;
use crate::domain::time::{Nanos, Stamp};
use crate::journal::{JournalError, Reader, Stream, read_mark};
use crate::replay::cursor::Cursor;
use crate::replay::source::{APART_MAX, Inputs, ReplayError};
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

    /// Whether it wants to see the events before the range.
    fn needs_past(&self) -> bool {
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
    /// Where the message went whose fate is told now.
    target: Option<VenueId>,
}

impl Followed {
    fn rows(&self) -> Rows<'_> {
        let Self { listings, conns, snapshots, target, .. } = self;
        Rows { listings, conns, snapshots, target: *target }
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
    /// The input behind which it begins.
    after: Seq,
    /// The input with which it ends, as far as is known.
    end: u64,
    followed: Followed,
    targets: Option<Targets>,
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
    let mut cursor = Cursor::open(&request.dir)?;
    let begins_after = cursor.begins_after();
    if !taker.needs_past() {
        go_before(&mut cursor, request, progress)?;
    }
    let mark = read_mark(&request.dir, Stream::Inputs, cursor.manifest().run_id.0);
    let end = mark.map_or(0, |mark| mark.seq).min(request.to.map_or(u64::MAX, |to| to.0));
    let mut listings = Listings::new(&cursor.config().params);
    let (after, at) = (cursor.seq(), cursor.now());
    let parts = cursor.into_river().into_parts();
    let count = listings.len();
    let first = request.from.unwrap_or_default().max(Seq(begins_after.0 + 1));
    let keeps_books = first > Seq(1) && request.kinds.contains(&Kind::Depth);
    let mut books = if keeps_books { vec![Book::new(); count] } else { Vec::new() };
    // Where the walk begins later than the run, the stages know contracts and books.
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
        target: None,
    };
    let wants_targets = request.kinds.contains(&Kind::Outcomes);
    let targets = wants_targets.then(|| Targets::open(&request.dir, first)).transpose()?;
    let mut walk = Walk { request, after, end, followed, targets, report: Report::default() };
    for kind in &request.kinds {
        walk.report.rows.insert(kind.name(), 0);
    }
    walk.inputs(parts, taker, progress)?;
    if let Some(damage) = walk.targets.take().and_then(Targets::damage) {
        walk.report.cut.get_or_insert(format!("damaged journal: {damage}"));
    }
    if request.kinds.iter().any(|kind| kind.is_output()) {
        walk.outputs(taker)?;
    }
    Ok(walk.report)
}

/// Brings the cursor before the range, from the nearest snapshot.
fn go_before(
    cursor: &mut Cursor,
    request: &Request,
    progress: &mut dyn FnMut(f64, u64),
) -> Result<(), ExportError> {
    let Some(before) = request.from.map(|from| Seq(from.0.saturating_sub(1))) else { return Ok(()) };
    if before <= cursor.seq() {
        return Ok(());
    }
    cursor.seek_while(before, &mut (), &mut |seq| {
        progress(0.0, seq.0);
        request.heed().is_ok()
    })?;
    request.heed()?;
    match cursor.hole() {
        Some((expected, found)) if cursor.seq() < before => Err(ReplayError::Place {
            dir: request.dir.clone(),
            why: format!("input {expected} is missing before the range, {found} follows"),
        }
        .into()),
        _ => Ok(()),
    }
}

impl Walk<'_> {
    fn inputs(
        &mut self,
        parts: Parts,
        taker: &mut dyn Taker,
        progress: &mut dyn FnMut(f64, u64),
    ) -> Result<(), ExportError> {
        let mut decode = parts.decode;
        let mut inputs = Inputs::open_after(&self.request.dir, self.after)?;
        let hole = inputs.hole();
        let whole = self.end.saturating_sub(self.after.0).max(1) as f64;
        loop {
            if self.report.inputs.is_multiple_of(TELL_EVERY) {
                self.request.heed()?;
                progress((self.report.inputs as f64 / whole).min(1.0), self.report.inputs);
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
            if self.request.to.is_some_and(|to| recorded > to) {
                break;
            }
            let (seq, at) = decode.sequence(&raw);
            if let Input::Anchor(anchor) = raw.input {
                self.followed.anchors.push((seq.0, anchor));
            }
            self.report.inputs += 1;
            self.followed.last = seq;
            if self.request.covers(seq) {
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
        if let (EventBody::Outcome(outcome), Some(targets)) = (&event.body, &mut self.targets)
            && self.request.covers(event.seq)
        {
            self.followed.target = targets.of(outcome.message, event.seq, &self.followed.rows())?;
        }
        let rows = self.followed.rows();
        if self.request.kinds.contains(&kind) && self.request.selects(rows.about(&event.body)) {
            if self.request.covers(event.seq) {
                count(&mut self.report, kind, row_count(&event.body));
                taker.event(kind, event, &rows)?;
            } else if !self.followed.begun {
                taker.before(event);
            }
        }
        self.followed.leave(event);
        Ok(())
    }

    /// The range begins: what is known by then, contracts first, then the books as snapshots.
    fn begin(&mut self, seq: Seq, at: Stamp, taker: &mut dyn Taker) -> Result<(), ExportError> {
        if std::mem::replace(&mut self.followed.begun, true) {
            return Ok(());
        }
        let ids = || (0..self.followed.listings.len()).map(|index| InstrumentId(index as u16));
        let contracts: Vec<EventBody> = ids()
            .filter_map(|id| self.followed.listings.at(id, seq.0))
            .map(|contract| EventBody::Instrument(*contract))
            .collect();
        for body in contracts {
            self.state(Kind::Instruments, &Event { seq, at, body }, taker)?;
        }
        let books = std::mem::take(&mut self.followed.books);
        for (index, book) in books.iter().enumerate().filter(|(_, book)| book.is_served()) {
            for chunk in chunks(InstrumentId(index as u16), book) {
                self.state(Kind::Depth, &Event { seq, at, body: EventBody::Levels(chunk) }, taker)?;
            }
        }
        Ok(())
    }

    /// What nobody sent: it says what was known before.
    fn state(&mut self, kind: Kind, event: &Event, taker: &mut dyn Taker) -> Result<(), ExportError> {
        let rows = self.followed.rows();
        if !self.request.kinds.contains(&kind) || !self.request.selects(rows.about(&event.body)) {
            return Ok(());
        }
        let made = row_count(&event.body);
        count(&mut self.report, kind, made);
        *self.report.stated.entry(kind.name()).or_default() += made;
        if kind == Kind::Depth {
            self.followed.meet(event);
        }
        taker.event(kind, event, &self.followed.rows())?;
        self.followed.leave(event);
        Ok(())
    }

    fn outputs(&mut self, taker: &mut dyn Taker) -> Result<(), ExportError> {
        let mut reader = Reader::open(&self.request.dir, Stream::Outputs)?;
        let (after, last) = (self.after.0, self.followed.last.0);
        let first = self.request.from.map_or(0, |from| from.0);
        let mut sought = if first > 1 { reader.seek(first) } else { Ok(()) };
        let mut read: u64 = 0;
        loop {
            read += 1;
            if read.is_multiple_of(TELL_EVERY) {
                self.request.heed()?;
            }
            let record = match std::mem::replace(&mut sought, Ok(())).and_then(|()| reader.next()) {
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
            if seq > last.saturating_add(APART_MAX) {
                return Ok(()); // stages on threads interleave, but not so far
            }
            if seq <= after || seq > last || !self.request.covers(Seq(seq)) {
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
