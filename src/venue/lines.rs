//! One book out of the depth messages of one or two connections, the same way for every dialect that gets its
//! snapshots on the connection: what counts, what waits, what is asked for anew, and what the scanner is told.
//!
//! Each connection has its [`Line`] with the venue's own sequence rule; where there may be two, [`Merge`] joins them.

use super::Out;
use super::copies::{COPIES, CopyCounts, Kept, KeptAbout, Merge, Place, Span};
use super::message::{Continuity, Depth, Level, Verdict};
use super::session::{NEVER, Terms};
use crate::domain::event::{BookReason, BookState, BookStatus, CHUNK_LEVELS, EventBody, LevelsChunk};
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty};
use crate::domain::time::{MILLI, Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// A book that was good for this long starts its back-off anew.
const GOOD_AFTER: Nanos = 60 * SECOND;
/// Patience for the snapshot after subscribing a book.
const SNAPSHOT_WITHIN: Nanos = 10 * SECOND;

/// A sequence rule that another connection may help over a gap.
pub(super) trait Chain: Continuity + Default {
    /// The venue sends whole books all the time: the next one is waited for before a lost book is asked for anew.
    const SNAPSHOTS_COME: bool = false;
    /// Number of the book after a message, by which it is compared with best prices.
    fn update_id(depth: &Depth<'_>) -> u64 {
        depth.last
    }
    /// Declares the book void until the next snapshot.
    fn invalidate(&mut self);
    /// Goes on from a message that did not follow: another connection brought what lies between.
    fn rejoin(&mut self, depth: &Depth<'_>);
}

/// A book on one market connection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line<C> {
    /// Its channels are subscribed on the present connection.
    pub subscribed: bool,
    /// The venue's rule.
    continuity: C,
    /// When to subscribe the book anew; [`NEVER`] while all is well.
    pub resync_due: Nanos,
    /// Resubscriptions since the book was last good for long.
    resyncs: u32,
}

impl<C: Chain> Line<C> {
    fn new() -> Self {
        Self { subscribed: false, continuity: C::default(), resync_due: NEVER, resyncs: 0 }
    }
}

/// A depth message but for its levels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    /// It replaces the book.
    pub snapshot: bool,
    /// Its number in its stream.
    pub last: u64,
    /// Number of the book after it, checksum and time.
    pub about: KeptAbout,
}

/// Why a message could not be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The book is void.
    Void(BookReason),
    /// A number does not fit the instrument's scales.
    Inexact,
}

/// The book of one listing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Book<C> {
    id: InstrumentId,
    terms: Terms,
    /// By market connection.
    pub lines: [Line<C>; COPIES],
    /// What the lines make together; `None` where there is never more than one.
    merge: Option<Merge>,
    /// Changes that wait for what one line lost.
    kept: Kept,
    /// As last told to the scanner.
    pub state: BookState,
    live_since: Nanos,
}

impl<C: Chain> Book<C> {
    /// Of a listing that a second connection may bring too, or not.
    pub fn new(id: InstrumentId, has_second: bool, terms: Terms) -> Self {
        let keeps = has_second && !C::SNAPSHOTS_COME;
        Self {
            id,
            terms,
            lines: [Line::new(), Line::new()],
            merge: has_second.then(Merge::default),
            kept: if keeps { Kept::new() } else { Kept::default() },
            state: BookState::AwaitSnapshot,
            live_since: 0,
        }
    }

    fn tell(&mut self, state: BookState, reason: BookReason, out: &mut Out) {
        self.state = state;
        out.event(EventBody::Book(BookStatus { instrument: self.id, state, reason }));
    }

    /// Whether the book may be served.
    pub fn is_live(&self) -> bool {
        self.state == BookState::Live
    }

    /// Whether a second connection may bring it too.
    pub fn is_merged(&self) -> bool {
        self.merge.is_some()
    }

    /// Whether the book would go on if only this connection were left.
    pub fn is_carried_by(&self, copy: usize) -> bool {
        self.merge.is_some_and(|merge| merge.carries(copy))
    }

    /// Whether a connection brings all of the book that the other one does.
    pub fn is_followed_by(&self, copy: usize) -> bool {
        let line = &self.lines[copy];
        !self.lines[1 - copy].subscribed || (line.subscribed && (!self.is_live() || self.is_carried_by(copy)))
    }

    /// Its channels were asked for on a connection.
    pub fn subscribe(&mut self, copy: usize, now: Nanos, out: &mut Out) {
        let line = &mut self.lines[copy];
        line.subscribed = true;
        line.resync_due = now + SNAPSHOT_WITHIN;
        if self.state != BookState::Live {
            self.tell(BookState::AwaitSnapshot, BookReason::Sync, out);
        }
    }

    /// A connection is gone: a book that the other one does not carry is void. True when it is to be asked for on
    /// the other one at once.
    pub fn on_down(&mut self, copy: usize, now: Nanos, out: &mut Out) -> bool {
        let line = &mut self.lines[copy];
        line.continuity.invalidate();
        line.resync_due = NEVER;
        let was_subscribed = std::mem::take(&mut line.subscribed);
        if self.merge.as_mut().is_some_and(|merge| merge.drop_copy(copy)) {
            return false;
        }
        self.lose();
        if was_subscribed && self.state != BookState::Invalid {
            self.tell(BookState::Invalid, BookReason::Disconnected, out);
        }
        // Whatever was asked for on the one that is gone is asked for on the other.
        let other = &mut self.lines[1 - copy];
        let is_needed = other.subscribed && other.resync_due == NEVER;
        if is_needed {
            other.resync_due = now;
        }
        is_needed
    }

    /// Whether the book has to be subscribed anew on a connection.
    pub fn is_due(&self, copy: usize, now: Nanos) -> bool {
        self.lines[copy].resync_due <= now
    }

    /// It was.
    pub fn resync(&mut self, copy: usize, now: Nanos) {
        let line = &mut self.lines[copy];
        line.continuity.invalidate();
        line.resyncs = line.resyncs.saturating_add(1);
        line.resync_due = now + SNAPSHOT_WITHIN + self.terms.back_off(line.resyncs, u64::from(self.id.0));
        if let Some(merge) = &mut self.merge {
            merge.forget(copy);
        }
    }

    /// When what one connection lost must have come on the other; [`NEVER`] while nothing is missing.
    pub fn hole_until(&self) -> Nanos {
        self.kept.until()
    }

    /// The connection that is to be asked for a hole that was not filled in.
    pub fn culprit(&self) -> usize {
        (0..COPIES)
            .find(|copy| {
                self.lines[*copy].subscribed && self.merge.is_some_and(|merge| !merge.carries(*copy))
            })
            .unwrap_or(0)
    }

    /// What the book was made of is void.
    fn lose(&mut self) {
        self.kept.clear();
        if let Some(merge) = &mut self.merge {
            merge.lose();
        }
    }

    /// Quarantines the book and plans its resynchronisation, on the connection to blame and on the other. Says when
    /// that is due.
    pub fn void(&mut self, copy: usize, reason: BookReason, now: Nanos, out: &mut Out) -> Nanos {
        self.lose();
        self.lines[copy].continuity.invalidate();
        // What one connection can not ask for any more, the other one must.
        let is_gone = !self.lines[copy].subscribed && self.lines[1 - copy].subscribed;
        let copy = if is_gone { 1 - copy } else { copy };
        let is_lost = self.state == BookState::Invalid;
        let was_good = self.is_live() && now - self.live_since >= GOOD_AFTER;
        let line = &mut self.lines[copy];
        line.continuity.invalidate();
        if !line.subscribed || (is_lost && line.resync_due != NEVER) {
            return NEVER;
        }
        if was_good {
            line.resyncs = 0;
        }
        let due = now
            + match line.resyncs {
                _ if C::SNAPSHOTS_COME => SNAPSHOT_WITHIN,
                0 => 0,
                n => self.terms.back_off(n, u64::from(self.id.0)),
            };
        line.resync_due = due;
        // Neither may be able to answer: the first snapshot counts.
        let other = &mut self.lines[1 - copy];
        if other.subscribed && other.resync_due == NEVER {
            other.resync_due = due;
        }
        if !is_lost {
            self.tell(BookState::Invalid, reason, out);
        }
        due
    }

    /// What a connection brings cannot be joined: it is asked for anew, later. Says when.
    pub fn set_apart(&mut self, copy: usize, now: Nanos) -> Nanos {
        let line = &mut self.lines[copy];
        line.continuity.invalidate();
        if let Some(merge) = &mut self.merge {
            merge.forget(copy);
        }
        if line.resync_due == NEVER {
            line.resync_due = now + self.terms.back_off(line.resyncs + 1, u64::from(self.id.0));
        }
        line.resync_due
    }

    /// A depth message: `apply` tells its levels, and those of what it was waited for by. Says when to look at the
    /// book again.
    ///
    /// # Errors
    /// Why it is void now; [`Book::void`] is to be called.
    #[inline]
    pub fn on_depth(
        &mut self,
        copy: usize,
        depth: &Depth<'_>,
        now: Nanos,
        counts: &mut CopyCounts,
        out: &mut Out,
        mut apply: impl FnMut(Change, (&[Level], &[Level]), &mut Out) -> Result<(), Loss>,
    ) -> Result<Nanos, Loss> {
        match self.place(copy, depth, now, counts) {
            Verdict::Snapshot | Verdict::Apply => {}
            Verdict::Buffer => return Ok(self.kept.until()),
            Verdict::Skip => return Ok(self.lines[copy].resync_due),
            Verdict::Gap => return Err(Loss::Void(BookReason::Gap)),
        }
        let Depth { snapshot, last, .. } = *depth;
        apply(Change { snapshot, last, about: about::<C>(depth) }, (depth.bids, depth.asks), out)?;
        while let Some(merge) = self.merge.as_mut().filter(|_| !self.kept.is_empty()) {
            // What waited for what was just applied.
            let next = self.kept.take(|kept| merge.kept(kept.copy, kept.span, false, now, counts));
            let Some(next) = next else { break };
            let change = Change { snapshot: false, last: next.span.last, about: next.about };
            apply(change, self.kept.levels(&next), out)?;
        }
        if snapshot {
            self.lines[copy].resync_due = NEVER;
            // Another connection may have brought it while the book stands.
            if self.state != BookState::Live {
                self.live_since = now;
                self.tell(BookState::Live, BookReason::Sync, out);
            }
        }
        Ok(NEVER)
    }

    /// What to do with a depth message that came on a connection.
    fn place(&mut self, copy: usize, depth: &Depth<'_>, now: Nanos, counts: &mut CopyCounts) -> Verdict {
        let Self { merge, kept, lines, id, terms, .. } = self;
        let line = &mut lines[copy];
        let own = line.continuity.on_depth(depth);
        let Some(merge) = merge else { return own };
        if own == Verdict::Snapshot {
            line.resync_due = NEVER;
            let takes = if C::SNAPSHOTS_COME {
                merge.whole(copy, depth.last, now, counts)
            } else {
                merge.snapshot(copy, depth.last)
            };
            return if takes { Verdict::Snapshot } else { Verdict::Skip };
        }
        if !matches!(own, Verdict::Apply | Verdict::Gap) {
            return own;
        }
        let mut apart = || {
            // Only a new snapshot may meet the other connection where it stands.
            if line.resync_due == NEVER {
                line.resync_due = now + terms.back_off(line.resyncs + 1, u64::from(id.0));
            }
            Verdict::Skip
        };
        if depth.snapshot && merge.carries(1 - copy) {
            // It lacks changes that came before it.
            return apart();
        }
        // A change without numbers cannot be placed among those of another connection.
        let Ok(prev) = u64::try_from(depth.prev) else { return Verdict::Gap };
        let is_live = merge.is_live();
        let span = Span { prev, last: depth.last };
        let place = merge.change(copy, span, false, now, counts);
        match place {
            Place::Apart => {
                let verdict = apart();
                line.continuity.rejoin(depth);
                return verdict;
            }
            Place::Gap => {}
            Place::Next | Place::Known | Place::Ahead => line.continuity.rejoin(depth),
        }
        match place {
            Place::Next => Verdict::Apply,
            Place::Known | Place::Apart => Verdict::Skip,
            Place::Ahead => {
                kept.keep(copy, span, about::<C>(depth), (depth.bids, depth.asks), now);
                Verdict::Buffer
            }
            // There is no book, but this connection goes on: what it brings will be joined to the next one.
            Place::Gap if !is_live && own == Verdict::Apply => Verdict::Skip,
            Place::Gap => Verdict::Gap,
        }
    }
}

fn about<C: Chain>(depth: &Depth<'_>) -> KeptAbout {
    KeptAbout { update_id: C::update_id(depth), checksum: depth.checksum, time_ms: depth.time_ms }
}

/// Tells the levels of a message, bids before asks, in chunks; `scratch` keeps the room.
///
/// # Errors
/// Nothing is told when a number does not fit the instrument's scales.
#[inline]
pub(super) fn tell_levels(
    instrument: &Instrument,
    change: Change,
    (bids, asks): (&[Level], &[Level]),
    scratch: &mut Vec<(Price, Qty)>,
    out: &mut Out,
) -> Result<(), Loss> {
    scratch.clear();
    for (price, qty) in bids.iter().chain(asks) {
        let (Some(price), Some(qty)) = (instrument.price(*price), instrument.qty(*qty)) else {
            return Err(Loss::Inexact);
        };
        scratch.push((price, qty));
    }
    let mut chunk = LevelsChunk {
        instrument: instrument.id,
        clear: change.snapshot,
        update_id: change.about.update_id,
        venue_ns: change.about.time_ms.saturating_mul(MILLI),
        ..LevelsChunk::default()
    };
    let mut from = 0;
    while !chunk.last {
        let count = CHUNK_LEVELS.min(scratch.len() - from);
        let of_bids = bids.len().saturating_sub(from).min(count);
        chunk.bids = of_bids as u8;
        chunk.asks = (count - of_bids) as u8;
        chunk.levels[..count].copy_from_slice(&scratch[from..from + count]);
        from += count;
        chunk.last = from == scratch.len();
        out.event(EventBody::Levels(chunk));
        chunk.clear = false;
    }
    Ok(())
}
