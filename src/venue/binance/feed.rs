//! Depth of one instrument: bounded buffering, snapshot, chain, resync of that instrument only. Emits
//! levels and book states; asks for snapshots through its owner and never serves an unproven book.

use super::continuity::{DepthRule, Ids};
use crate::domain::event::{BookReason, BookState, BookStatus, CHUNK_LEVELS, EventBody, LevelsChunk};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty};
use crate::domain::state::roomy;
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::venue::copies::{CopyCounts, Merge, PATIENCE, Place, Span};
use crate::venue::message::{Depth, Verdict};
use crate::venue::{Emit, OddKind, Out};
use serde::{Deserialize, Serialize};

/// Differences that wait for a snapshot: 6 s of a 100 ms stream.
const BUFFER_EVENTS: usize = 64;
/// Levels of all of them together.
const BUFFER_LEVELS: usize = 2048;
/// Without any difference, the snapshot is asked for after this.
const QUIET: Nanos = 2 * SECOND;
/// First and longest pause between snapshots of one instrument.
const RESYNC_MIN: Nanos = 250 * MILLI;
const RESYNC_MAX: Nanos = 30 * SECOND;
/// A snapshot that does not come in this time was lost.
const SNAPSHOT_TIMEOUT: Nanos = 10 * SECOND;

/// A level at the instrument's scales.
pub type FixedLevel = (Price, Qty);

/// Where the depth of an instrument stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// Not subscribed, or metadata not known.
    #[default]
    Off,
    /// Buffering until a snapshot fits.
    Await,
    /// Continuous since a snapshot.
    Live,
    /// Numbers did not fit the instrument's scale: waits for a new generation.
    Quarantined,
}

/// A buffered difference; its levels stand in `Feed::levels[from..]`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Head {
    ids: Ids,
    copy: usize,
    from: u32,
    bids: u32,
    asks: u32,
    time_ms: i64,
}

/// Depth of one instrument.
#[derive(Debug, Serialize, Deserialize)]
pub struct Feed {
    stage: Stage,
    rule: DepthRule,
    /// Takes the place of `rule` where a second connection may bring the same stream.
    merge: Option<Merge>,
    /// When the other connection must have filled in what one lost.
    hole_until: Nanos,
    #[serde(deserialize_with = "roomy::<_, _, BUFFER_EVENTS>")]
    heads: Vec<Head>,
    #[serde(deserialize_with = "roomy::<_, _, BUFFER_LEVELS>")]
    levels: Vec<FixedLevel>,
    /// The snapshot request under way.
    request: Option<u32>,
    request_until: Nanos,
    retry_at: Nanos,
    since: Nanos,
    live_at: Nanos,
    attempts: u32,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            stage: Stage::Off,
            rule: DepthRule::default(),
            merge: None,
            hole_until: Nanos::MAX,
            heads: Vec::with_capacity(BUFFER_EVENTS),
            levels: Vec::with_capacity(BUFFER_LEVELS),
            request: None,
            request_until: 0,
            retry_at: 0,
            since: 0,
            live_at: 0,
            attempts: 0,
        }
    }
}

impl Ids {
    /// What the event covers; one that does not say what it follows is never next.
    fn span(self) -> Span {
        Span { prev: u64::try_from(self.prev).unwrap_or(u64::MAX), last: self.last }
    }
}

impl Feed {
    /// Of a stream that a second connection may bring too.
    pub fn merged() -> Self {
        Self { merge: Some(Merge::default()), ..Self::default() }
    }

    /// The stream is subscribed: begins to buffer.
    pub fn start(&mut self, instrument: InstrumentId, now: Nanos, out: &mut Out) {
        if self.stage == Stage::Off {
            self.stage = Stage::Await;
            self.restart(now);
            self.attempts = 0;
            self.retry_at = now;
            status(instrument, BookState::AwaitSnapshot, BookReason::Sync, out);
        }
    }

    /// The stream is gone, or metadata changed: nothing is known until [`Feed::start`].
    pub fn stop(&mut self, instrument: InstrumentId, reason: BookReason, out: &mut Out) {
        if matches!(self.stage, Stage::Live | Stage::Await) {
            status(instrument, BookState::Invalid, reason, out);
        }
        // A quarantine outlives the connection: only new metadata lifts it.
        if self.stage != Stage::Quarantined || reason == BookReason::Generation {
            self.stage = Stage::Off;
        }
        self.lose();
        self.forget();
        self.request = None;
    }

    /// A connection that carries the stream is gone; `others`: another one has it subscribed.
    pub fn on_down(
        &mut self,
        copy: usize,
        others: bool,
        instrument: InstrumentId,
        now: Nanos,
        out: &mut Out,
    ) {
        let is_carried = self.merge.as_mut().is_some_and(|merge| merge.drop_copy(copy));
        match self.stage {
            _ if !others => self.stop(instrument, BookReason::Disconnected, out),
            Stage::Live if !is_carried => self.invalidate(instrument, BookReason::Disconnected, now, out),
            _ => {}
        }
    }

    /// Whether the book would go on if only this connection were left.
    pub fn is_carried_by(&self, copy: usize) -> bool {
        self.merge.is_some_and(|merge| merge.carries(copy))
    }

    /// Nothing has come on any connection since this one was subscribed.
    pub fn vouch(&mut self, copy: usize) {
        if let Some(merge) = &mut self.merge {
            merge.vouch(copy);
        }
    }

    /// The book is void when what one connection lost has not come on the other one in time.
    pub fn check_hole(&mut self, instrument: InstrumentId, now: Nanos, out: &mut Out) {
        if now >= self.hole_until {
            self.invalidate(instrument, BookReason::Gap, now, out);
        }
    }

    /// True while the book may be served.
    pub fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    /// True while numbers of this instrument are refused.
    pub fn is_quarantined(&self) -> bool {
        self.stage == Stage::Quarantined
    }

    /// True while a snapshot is missing.
    pub fn is_waiting(&self) -> bool {
        self.stage == Stage::Await
    }

    /// True when a snapshot should be asked for now.
    pub fn wants_snapshot(&mut self, now: Nanos) -> bool {
        if self.stage != Stage::Await {
            return false;
        }
        if self.request.is_some() && now >= self.request_until {
            self.failed(now);
        }
        self.request.is_none()
            && now >= self.retry_at
            && (!self.heads.is_empty() || now >= self.since + QUIET)
    }

    /// A snapshot was asked for.
    pub fn requested(&mut self, id: u32, now: Nanos) {
        self.request = Some(id);
        self.request_until = now + SNAPSHOT_TIMEOUT;
    }

    /// True when `id` is the request under way; it is then answered.
    pub fn take_request(&mut self, id: u32) -> bool {
        let hit = self.request == Some(id);
        if hit {
            self.request = None;
        }
        hit
    }

    /// The snapshot could not be had: tries again later.
    pub fn failed(&mut self, now: Nanos) {
        self.request = None;
        self.attempts += 1;
        self.retry_at = now + pause(self.attempts);
    }

    /// A gap or a frame that could not be read: the book is void until the next snapshot.
    pub fn invalidate(&mut self, instrument: InstrumentId, reason: BookReason, now: Nanos, out: &mut Out) {
        if self.stage != Stage::Live {
            self.forget();
            return;
        }
        status(instrument, BookState::Invalid, reason, out);
        self.stage = Stage::Await;
        self.restart(now);
        self.attempts = if now - self.live_at >= 10 * SECOND { 0 } else { self.attempts + 1 };
        self.retry_at = now + pause(self.attempts);
    }

    /// A difference of the stream, on a connection that carries it.
    #[inline]
    pub fn on_difference(
        &mut self,
        copy: usize,
        counts: &mut CopyCounts,
        instrument: &Instrument,
        depth: &Depth<'_>,
        scratch: &mut Vec<FixedLevel>,
        now: Nanos,
        out: &mut Out,
    ) -> Result<(), OddKind> {
        let ids = Ids::of(depth);
        match self.stage {
            Stage::Off | Stage::Quarantined => return Ok(()),
            Stage::Live => match self.judge(copy, ids, now, counts) {
                Verdict::Apply => {
                    let Some(bids) = fix(instrument, depth, scratch) else {
                        return self.quarantine(instrument.id, out);
                    };
                    let (bids, asks) = scratch.split_at(bids);
                    emit_levels(instrument.id, bids, asks, false, ids.last, depth.time_ms, out);
                    if self.hole_until != Nanos::MAX {
                        self.rejoin(instrument.id, now, counts, out);
                    }
                    return Ok(());
                }
                Verdict::Skip => return Ok(()),
                Verdict::Buffer => {}
                _ => self.invalidate(instrument.id, BookReason::Gap, now, out),
            },
            Stage::Await => {}
        }
        self.buffer(copy, instrument, depth, scratch, out)
    }

    /// What to do with a difference of a live book.
    #[inline]
    fn judge(&mut self, copy: usize, ids: Ids, now: Nanos, counts: &mut CopyCounts) -> Verdict {
        let Some(merge) = &mut self.merge else { return self.rule.difference(ids) };
        match merge.change(copy, ids.span(), true, now, counts) {
            Place::Next => Verdict::Apply,
            Place::Known | Place::Apart => Verdict::Skip,
            Place::Ahead => {
                self.hole_until = self.hole_until.min(now + PATIENCE);
                Verdict::Buffer
            }
            Place::Gap => Verdict::Gap,
        }
    }

    /// Applies what was kept until the other connection filled in what came before it.
    fn rejoin(&mut self, instrument: InstrumentId, now: Nanos, counts: &mut CopyCounts, out: &mut Out) {
        let Some(merge) = &mut self.merge else { return };
        let mut done = 0;
        for head in &self.heads {
            match merge.kept(head.copy, head.ids.span(), true, now, counts) {
                Place::Next => {
                    let from = head.from as usize;
                    let (bids, rest) = self.levels[from..].split_at(head.bids as usize);
                    let asks = &rest[..head.asks as usize];
                    emit_levels(instrument, bids, asks, false, head.ids.last, head.time_ms, out);
                }
                Place::Ahead => break,
                Place::Known | Place::Apart | Place::Gap => {}
            }
            done += 1;
        }
        self.heads.drain(..done);
        if self.heads.is_empty() {
            self.hole_until = Nanos::MAX;
            self.forget();
        }
    }

    /// The snapshot that was asked for.
    pub fn on_snapshot(
        &mut self,
        instrument: &Instrument,
        depth: &Depth<'_>,
        scratch: &mut Vec<FixedLevel>,
        now: Nanos,
        out: &mut Out,
    ) -> Result<(), OddKind> {
        if self.stage != Stage::Await {
            return Ok(());
        }
        let first =
            self.heads.iter().position(|head| head.ids.last >= depth.last).unwrap_or(self.heads.len());
        if self.heads.get(first).is_some_and(|head| !head.ids.joins(depth.last)) {
            // Older than what is buffered: a newer one is needed.
            self.failed(now);
            return Ok(());
        }
        let Some(bids) = fix(instrument, depth, scratch) else {
            return self.quarantine(instrument.id, out);
        };
        let (bids, asks) = scratch.split_at(bids);
        emit_levels(instrument.id, bids, asks, true, depth.last, depth.time_ms, out);
        self.rule.snapshot(depth.last);
        for head in &self.heads[first..] {
            // Buffered differences are a chain (see `buffer`), so every one of them applies or repeats.
            if self.rule.difference(head.ids) == Verdict::Apply {
                let from = head.from as usize;
                let (bids, rest) = self.levels[from..].split_at(head.bids as usize);
                let asks = &rest[..head.asks as usize];
                emit_levels(instrument.id, bids, asks, false, head.ids.last, head.time_ms, out);
            }
        }
        if let (Some(merge), last) = (&mut self.merge, self.heads.last()) {
            merge.begin(last.map_or(depth.last, |head| head.ids.last.max(depth.last)));
        }
        self.forget();
        self.stage = Stage::Live;
        self.live_at = now;
        status(instrument.id, BookState::Live, BookReason::Sync, out);
        Ok(())
    }

    /// Refuses every number of this instrument until its metadata is defined anew.
    pub fn quarantine(&mut self, instrument: InstrumentId, out: &mut Out) -> Result<(), OddKind> {
        if self.stage != Stage::Quarantined {
            self.stage = Stage::Quarantined;
            self.lose();
            self.forget();
            self.request = None;
            status(instrument, BookState::Invalid, BookReason::Malformed, out);
        }
        Err(OddKind::Inexact)
    }

    /// Keeps a difference for the snapshot. What is kept is always one unbroken chain that ends now.
    fn buffer(
        &mut self,
        copy: usize,
        instrument: &Instrument,
        depth: &Depth<'_>,
        scratch: &mut Vec<FixedLevel>,
        out: &mut Out,
    ) -> Result<(), OddKind> {
        let ids = Ids::of(depth);
        if let Some(last) = self.heads.last() {
            if last.ids == ids || (self.merge.is_some() && ids.last <= last.ids.last) {
                return Ok(());
            }
            if u64::try_from(ids.prev) != Ok(last.ids.last) {
                self.forget();
            }
        }
        let Some(bids) = fix(instrument, depth, scratch) else {
            return self.quarantine(instrument.id, out);
        };
        if self.heads.len() == BUFFER_EVENTS || self.levels.len() + scratch.len() > BUFFER_LEVELS {
            self.forget();
        }
        if scratch.len() > BUFFER_LEVELS {
            return Ok(());
        }
        self.heads.push(Head {
            ids,
            copy,
            from: self.levels.len() as u32,
            bids: bids as u32,
            asks: (scratch.len() - bids) as u32,
            time_ms: depth.time_ms,
        });
        self.levels.extend_from_slice(scratch);
        Ok(())
    }

    fn lose(&mut self) {
        self.hole_until = Nanos::MAX;
        self.rule.reset();
        if let Some(merge) = &mut self.merge {
            merge.lose();
        }
    }

    fn restart(&mut self, now: Nanos) {
        self.lose();
        self.forget();
        self.request = None;
        self.since = now;
    }

    fn forget(&mut self) {
        self.heads.clear();
        self.levels.clear();
    }
}

fn pause(attempts: u32) -> Nanos {
    if attempts == 0 { 0 } else { (RESYNC_MIN << (attempts - 1).min(8)).min(RESYNC_MAX) }
}

fn status(instrument: InstrumentId, state: BookState, reason: BookReason, out: &mut Out) {
    out.emit(Emit::Event(EventBody::Book(BookStatus { instrument, state, reason })));
}

/// Levels at the instrument's scales, bids first; the number of bids. `None` when one is not exact.
#[inline]
fn fix(instrument: &Instrument, depth: &Depth<'_>, scratch: &mut Vec<FixedLevel>) -> Option<usize> {
    scratch.clear();
    for (price, qty) in depth.bids.iter().chain(depth.asks) {
        scratch.push((instrument.price(*price)?, instrument.qty(*qty)?));
    }
    Some(depth.bids.len())
}

/// One message as chunks: the first may clear, the last one completes.
#[inline]
fn emit_levels(
    instrument: InstrumentId,
    mut bids: &[FixedLevel],
    mut asks: &[FixedLevel],
    mut clear: bool,
    update_id: u64,
    time_ms: i64,
    out: &mut Out,
) {
    loop {
        let from_bids = bids.len().min(CHUNK_LEVELS);
        let from_asks = asks.len().min(CHUNK_LEVELS - from_bids);
        let mut chunk = LevelsChunk {
            instrument,
            clear,
            bids: from_bids as u8,
            asks: from_asks as u8,
            update_id,
            venue_ns: time_ms.saturating_mul(MILLI),
            ..LevelsChunk::default()
        };
        chunk.levels[..from_bids].copy_from_slice(&bids[..from_bids]);
        chunk.levels[from_bids..from_bids + from_asks].copy_from_slice(&asks[..from_asks]);
        bids = &bids[from_bids..];
        asks = &asks[from_asks..];
        clear = false;
        chunk.last = bids.is_empty() && asks.is_empty();
        out.event(EventBody::Levels(chunk));
        if chunk.last {
            return;
        }
    }
}
