//! Two connections that carry the same market data: which copy of a message counts.
//!
//! The first copy wins, message by message; the later one is dropped and counted, and what one connection lost
//! is filled in from the other. Rules of numbers and instants only: no venue, no levels, no clock. [`Latest`] is
//! for messages that stand alone, [`Merge`] for the changes of a book, [`Kept`] for changes that came too early.

use super::message::Level;
use crate::domain::state::roomy;
use crate::domain::time::{MICRO, MILLI, Nanos};
use serde::{Deserialize, Serialize};

/// Connections that may carry the same market data.
pub const COPIES: usize = 2;
/// How long what one connection lost may take on the other: in parallel captures of OKX (2021) the two were up to
/// 200 ms apart.
pub const PATIENCE: Nanos = 300 * MILLI;
/// Buckets of [`CopyCounts::leads`].
pub const LEADS: usize = 24;
/// Winners that a later copy is measured against.
const RECENT: usize = 8;
/// Changes of one book that wait, and levels of all of them together.
const KEPT_CHANGES: usize = 64;
const KEPT_LEVELS: usize = 2048;

/// What became of the messages of two connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyCounts {
    /// Messages that counted, by the connection that brought them.
    pub wins: [u64; COPIES],
    /// Later copies that were dropped, by the connection that brought them.
    pub duplicates: [u64; COPIES],
    /// How much earlier the winner was: bucket `i` counts leads below 2^i µs and not below half of that; the
    /// last one is open.
    pub leads: [u64; LEADS],
    /// Messages that one connection lost and the other filled in.
    pub holes: u64,
}

impl CopyCounts {
    fn lead(&mut self, lead: Nanos) {
        let micros = u64::try_from(lead / MICRO).unwrap_or(0);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.leads[bucket.min(LEADS - 1)] += 1;
    }
}

/// When the latest winners came.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Recent {
    seen: [(u64, Nanos); RECENT],
    next: usize,
}

impl Recent {
    fn add(&mut self, key: u64, now: Nanos) {
        self.seen[self.next % RECENT] = (key, now);
        self.next = self.next.wrapping_add(1);
    }

    fn lead(&self, key: u64, now: Nanos) -> Option<Nanos> {
        self.seen.iter().find(|(seen, _)| *seen == key && key != 0).map(|(_, at)| now - at)
    }
}

/// Messages that stand alone (best prices, trades, marks), told apart by a number that never falls: the venue's
/// update id, trade id or time.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latest {
    key: u64,
    copy: usize,
    recent: Recent,
}

impl Latest {
    /// Whether this message counts. What one connection says twice, or in another order, is its own affair: it
    /// counts as it would if there were no other.
    #[inline]
    pub fn admit(&mut self, copy: usize, key: u64, now: Nanos, counts: &mut CopyCounts) -> bool {
        if copy != self.copy && key <= self.key {
            counts.duplicates[copy] += 1;
            if let Some(lead) = self.recent.lead(key, now) {
                counts.lead(lead);
            }
            return false;
        }
        self.recent.add(key, now);
        // Never back: numbers that began anew on one connection are not to let the other one's old ones in.
        (self.key, self.copy) = (self.key.max(key), copy);
        counts.wins[copy] += 1;
        true
    }

    /// A connection is gone: where it led, the other goes on from wherever it stands.
    pub fn forget(&mut self, copy: usize) {
        if self.copy == copy {
            self.key = 0;
        }
    }
}

/// Identities that are remembered of messages that have no order.
const SEEN: usize = 256;

/// Messages that stand alone and are told apart by an identity without order, such as a trade's: each counts once,
/// whoever brings it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The latest, as a ring; room for [`SEEN`] where there may be two connections.
    #[serde(deserialize_with = "roomy::<_, _, SEEN>")]
    ids: Vec<(u64, i64)>,
    next: usize,
    /// Time of the newest that was forgotten, ms: what the other connection has of before was told.
    forgotten_ms: i64,
    copy: usize,
}

impl Seen {
    /// With all the room that it will ever need.
    pub fn new() -> Self {
        Self { ids: Vec::with_capacity(SEEN), forgotten_ms: i64::MIN, ..Self::default() }
    }

    /// Whether this message counts.
    pub fn admit(&mut self, copy: usize, (id, time_ms): (u64, i64), counts: &mut CopyCounts) -> bool {
        let is_past = copy != self.copy && time_ms <= self.forgotten_ms;
        if is_past || self.ids.iter().any(|(seen, _)| *seen == id) {
            counts.duplicates[copy] += 1;
            return false;
        }
        if self.ids.len() < SEEN {
            self.ids.push((id, time_ms));
        } else {
            let (_, forgotten) = std::mem::replace(&mut self.ids[self.next], (id, time_ms));
            self.forgotten_ms = self.forgotten_ms.max(forgotten);
            self.next = (self.next + 1) % SEEN;
        }
        self.copy = copy;
        counts.wins[copy] += 1;
        true
    }
}

/// Messages that stand alone and have neither number nor time: one connection is followed while it brings them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Leader {
    copy: usize,
    heard_at: Nanos,
}

impl Leader {
    /// Whether this message counts: it is the leader's, or the leader was silent for more than `patience`.
    pub fn admit(&mut self, copy: usize, patience: Nanos, now: Nanos, counts: &mut CopyCounts) -> bool {
        if copy != self.copy && now - self.heard_at <= patience {
            counts.duplicates[copy] += 1;
            return false;
        }
        *self = Self { copy, heard_at: now };
        counts.wins[copy] += 1;
        true
    }

    /// A connection is gone: the other one leads.
    pub fn forget(&mut self, copy: usize) {
        if self.copy == copy {
            self.copy = 1 - copy;
        }
    }
}

/// What to do with a change of a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is the next one: apply it.
    Next,
    /// The book has it already.
    Known,
    /// Changes before it are missing, and the other connection may still bring them: keep it.
    Ahead,
    /// The other connection cuts its changes elsewhere: this one cannot be joined without a new snapshot.
    Apart,
    /// Changes are missing and nobody will bring them: the book is void.
    Gap,
}

/// A change: everything behind `prev`, up to `last`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The change before it.
    pub prev: u64,
    /// Its own number.
    pub last: u64,
}

/// One book out of the numbered changes of two connections.
///
/// A connection *carries* the book while its own chain of changes is unbroken and begins at or before what the
/// book has: whatever it brings next can be joined.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Merge {
    /// What the book has; `None` = there is no book.
    last: Option<u64>,
    /// What each connection brought last.
    at: [Option<Span>; COPIES],
    /// The connection still counts as before a restart of the numbers that the other one has seen.
    old: [bool; COPIES],
    recent: Recent,
}

impl Merge {
    /// The book stands at `last`, whoever said so.
    pub fn begin(&mut self, last: u64) {
        self.last = Some(last);
        self.old = [false; COPIES];
    }

    /// The book is void.
    pub fn lose(&mut self) {
        self.last = None;
        self.old = [false; COPIES];
    }

    /// Whether there is a book.
    pub fn is_live(&self) -> bool {
        self.last.is_some()
    }

    /// Whether the connection would carry the book on if the other one broke now.
    pub fn carries(&self, copy: usize) -> bool {
        let (Some(have), Some(at)) = (self.last, self.at[copy]) else { return false };
        self.old[copy] || at.last <= have
    }

    /// What a connection brings next begins afresh.
    pub fn forget(&mut self, copy: usize) {
        self.at[copy] = None;
        self.old[copy] = false;
    }

    /// The connection is subscribed and nothing has happened since: it stands where the book does.
    pub fn vouch(&mut self, copy: usize) {
        if let (Some(last), None) = (self.last, self.at[copy]) {
            self.at[copy] = Some(Span { prev: last, last });
        }
    }

    /// A snapshot on a connection's own stream. True: it is to become the book.
    pub fn snapshot(&mut self, copy: usize, last: u64) -> bool {
        let before = self.at[copy].replace(Span { prev: last, last });
        // Nobody asked for it: the venue started anew. A connection that was behind says what is known.
        let restarted = !self.old[copy] && before.is_some_and(|before| last < before.last);
        let other = 1 - copy;
        let takes = self.last.is_none_or(|have| last > have) || restarted || !self.carries(other);
        self.old[copy] = false;
        if takes {
            self.old[other] = restarted && self.at[other].is_some_and(|at| at.last > last);
            self.last = Some(last);
        }
        takes
    }

    /// The same of a stream that consists of snapshots, counted.
    pub fn whole(&mut self, copy: usize, last: u64, now: Nanos, counts: &mut CopyCounts) -> bool {
        let takes = self.snapshot(copy, last);
        if takes {
            self.recent.add(last, now);
            counts.wins[copy] += 1;
        } else {
            counts.duplicates[copy] += 1;
            if let Some(lead) = self.recent.lead(last, now) {
                counts.lead(lead);
            }
        }
        takes
    }

    /// A change. With `overlap`, one that the book has in part may be applied whole: its levels are those of its
    /// end (Binance joins a snapshot in this way).
    #[inline]
    pub fn change(
        &mut self,
        copy: usize,
        span: Span,
        overlap: bool,
        now: Nanos,
        counts: &mut CopyCounts,
    ) -> Place {
        let place = self.place(copy, span, overlap);
        match place {
            Place::Next => {
                self.recent.add(span.last, now);
                counts.wins[copy] += 1;
            }
            Place::Known => {
                counts.duplicates[copy] += 1;
                if let Some(lead) = self.recent.lead(span.last, now) {
                    counts.lead(lead);
                }
            }
            Place::Ahead | Place::Apart | Place::Gap => {}
        }
        place
    }

    fn place(&mut self, copy: usize, span: Span, overlap: bool) -> Place {
        let Some(have) = self.last else {
            self.at[copy] = Some(span);
            return Place::Gap;
        };
        let before = self.at[copy];
        let is_intact = before.is_some_and(|before| before.last == span.prev);
        let is_helped = self.carries(1 - copy);
        let unless_helped = |place| if is_helped { place } else { Place::Gap };
        if before == Some(span) {
            return Place::Known;
        }
        if span.last < span.prev {
            return self.restart(copy, span, have, is_intact, is_helped);
        }
        if self.old[copy] {
            // The book has all of what was before the restart.
            self.old[copy] = is_intact;
            self.at[copy] = is_intact.then_some(span);
            return if is_intact { Place::Known } else { unless_helped(Place::Known) };
        }
        if before.is_some_and(|before| span.last <= before.last) {
            // It stepped back: nothing that it says can be placed until it has caught up.
            self.at[copy] = None;
            return unless_helped(Place::Known);
        }
        self.at[copy] = Some(span);
        if span.last <= have {
            return Place::Known;
        }
        if span.prev == have || (overlap && span.prev < have) {
            self.last = Some(span.last);
            return Place::Next;
        }
        unless_helped(if span.prev < have { Place::Apart } else { Place::Ahead })
    }

    /// The venue numbers anew from here.
    fn restart(&mut self, copy: usize, span: Span, have: u64, is_intact: bool, is_helped: bool) -> Place {
        let was_old = std::mem::take(&mut self.old[copy]);
        if span.prev == have {
            self.at[copy] = Some(span);
            self.last = Some(span.last);
            self.old[1 - copy] = is_helped;
            return Place::Next;
        }
        self.at[copy] = (was_old && is_intact).then_some(span);
        if is_helped || self.at[copy].is_some() { Place::Known } else { Place::Gap }
    }

    /// Whether a change that was kept is next by now.
    fn rejoin(&mut self, span: Span, overlap: bool) -> Place {
        let Some(have) = self.last else { return Place::Gap };
        if span.last <= have {
            Place::Known
        } else if span.prev == have || (overlap && span.prev < have) {
            self.last = Some(span.last);
            Place::Next
        } else if span.prev < have {
            Place::Apart
        } else {
            Place::Ahead
        }
    }

    /// The same, counted.
    pub fn kept(
        &mut self,
        copy: usize,
        span: Span,
        overlap: bool,
        now: Nanos,
        counts: &mut CopyCounts,
    ) -> Place {
        let place = self.rejoin(span, overlap);
        if place == Place::Next {
            self.recent.add(span.last, now);
            counts.wins[copy] += 1;
            counts.holes += 1;
        }
        place
    }

    /// A connection is gone. True while the other one carries the book.
    pub fn drop_copy(&mut self, copy: usize) -> bool {
        self.forget(copy);
        self.carries(1 - copy)
    }
}

/// A change that was kept, but for its place and levels.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct KeptAbout {
    /// Number of the book after it, as the scanner compares it.
    pub update_id: u64,
    /// The venue's checksum, where there is one.
    pub checksum: Option<i32>,
    /// The venue's time, ms.
    pub time_ms: i64,
}

/// A change that was kept.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct KeptChange {
    /// The connection that brought it.
    pub copy: usize,
    /// What it covers.
    pub span: Span,
    /// What is told of it but its levels.
    pub about: KeptAbout,
    from: usize,
    bids: usize,
    asks: usize,
}

/// Changes of one book that came before what they follow.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    #[serde(deserialize_with = "roomy::<_, _, KEPT_CHANGES>")]
    changes: Vec<KeptChange>,
    #[serde(deserialize_with = "roomy::<_, _, KEPT_LEVELS>")]
    levels: Vec<Level>,
    /// When waiting ends.
    until: Nanos,
}

impl Default for Kept {
    /// Without any room.
    fn default() -> Self {
        Self { changes: Vec::new(), levels: Vec::new(), until: Nanos::MAX }
    }
}

impl Kept {
    /// With all the room that it will ever need.
    pub fn new() -> Self {
        Self {
            changes: Vec::with_capacity(KEPT_CHANGES),
            levels: Vec::with_capacity(KEPT_LEVELS),
            until: Nanos::MAX,
        }
    }

    /// Keeps a change; false when there is no room.
    pub fn keep(
        &mut self,
        copy: usize,
        span: Span,
        about: KeptAbout,
        (bids, asks): (&[Level], &[Level]),
        now: Nanos,
    ) -> bool {
        let len = bids.len() + asks.len();
        if self.changes.is_empty() {
            self.levels.clear();
        }
        if self.changes.len() == KEPT_CHANGES || self.levels.len() + len > KEPT_LEVELS {
            return false;
        }
        if self.changes.is_empty() {
            self.until = now + PATIENCE;
        }
        let (from, bids_len, asks_len) = (self.levels.len(), bids.len(), asks.len());
        self.levels.extend_from_slice(bids);
        self.levels.extend_from_slice(asks);
        self.changes.push(KeptChange { copy, span, about, from, bids: bids_len, asks: asks_len });
        true
    }

    /// The first one whose turn it is, by `place`; those that the book has by now are thrown away.
    pub fn take(&mut self, mut place: impl FnMut(&KeptChange) -> Place) -> Option<KeptChange> {
        let mut found = None;
        self.changes.retain(|change| {
            if found.is_some() {
                return true;
            }
            match place(change) {
                Place::Next => {
                    found = Some(*change);
                    false
                }
                Place::Ahead => true,
                Place::Known | Place::Apart | Place::Gap => false,
            }
        });
        if self.changes.is_empty() {
            self.until = Nanos::MAX;
        }
        found
    }

    /// Bids and asks of a change that was just taken.
    pub fn levels(&self, change: &KeptChange) -> (&[Level], &[Level]) {
        let end = change.from + change.bids + change.asks;
        self.levels.get(change.from..end).map_or((&[], &[]), |levels| levels.split_at(change.bids))
    }

    /// Throws everything away.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.levels.clear();
        self.until = Nanos::MAX;
    }

    /// When what is kept has waited long enough; `Nanos::MAX` when nothing waits.
    pub fn until(&self) -> Nanos {
        self.until
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(prev: u64, last: u64) -> Span {
        Span { prev, last }
    }

    /// A book of which only the numbers are known, fed by two connections.
    #[derive(Default)]
    struct Rig {
        merge: Merge,
        kept: Vec<(usize, Span)>,
        applied: Vec<u64>,
        counts: CopyCounts,
        gaps: usize,
    }

    impl Rig {
        fn live(at: u64) -> Self {
            let mut rig = Self::default();
            for copy in 0..COPIES {
                rig.merge.snapshot(copy, at);
            }
            rig
        }

        fn offer(&mut self, copy: usize, span: Span) -> Place {
            let place = self.merge.change(copy, span, false, 0, &mut self.counts);
            match place {
                Place::Next => self.applied.push(span.last),
                Place::Ahead => self.kept.push((copy, span)),
                Place::Gap => self.gaps += 1,
                Place::Known | Place::Apart => {}
            }
            while let Some(at) = (0..self.kept.len()).find(|at| {
                let (copy, span) = self.kept[*at];
                self.merge.kept(copy, span, false, 0, &mut self.counts) == Place::Next
            }) {
                self.applied.push(self.kept.remove(at).1.last);
            }
            place
        }
    }

    #[test]
    fn the_first_copy_counts_and_the_second_is_dropped_and_counted() {
        let mut rig = Rig::live(10);
        assert_eq!(rig.offer(0, span(10, 12)), Place::Next);
        assert_eq!(rig.offer(1, span(10, 12)), Place::Known);
        assert_eq!(rig.offer(1, span(12, 15)), Place::Next);
        assert_eq!(rig.offer(0, span(12, 15)), Place::Known);
        assert_eq!(rig.applied, [12, 15]);
        assert_eq!((rig.counts.wins, rig.counts.duplicates), ([1, 1], [1, 1]));
        assert_eq!(rig.counts.leads[0], 2);
    }

    #[test]
    fn one_connection_alone_has_a_gap_where_it_lost_something() {
        let mut merge = Merge::default();
        let counts = &mut CopyCounts::default();
        assert!(merge.snapshot(0, 10));
        assert_eq!(merge.change(0, span(10, 12), false, 0, counts), Place::Next);
        assert_eq!(merge.change(0, span(12, 12), false, 0, counts), Place::Gap, "it stepped back");
        assert!(!merge.carries(0));
        assert!(merge.snapshot(0, 20));
        assert_eq!(merge.change(0, span(21, 22), false, 0, counts), Place::Gap);
    }

    #[test]
    fn what_one_lost_the_other_fills_in_and_both_carry_again() {
        let mut rig = Rig::live(10);
        assert_eq!(rig.offer(0, span(12, 15)), Place::Ahead, "10 to 12 is lost on the first");
        assert!(!rig.merge.carries(0) && rig.merge.carries(1));
        assert_eq!(rig.offer(0, span(15, 16)), Place::Ahead);
        assert_eq!(rig.offer(1, span(10, 12)), Place::Next);
        assert_eq!(rig.applied, [12, 15, 16]);
        assert!(rig.merge.carries(0) && rig.merge.carries(1));
        assert_eq!(rig.counts.holes, 2);
        assert!(rig.merge.drop_copy(1), "the first one carries on alone");
        assert_eq!(rig.offer(0, span(16, 20)), Place::Next);
        assert_eq!(rig.offer(0, span(21, 22)), Place::Gap, "nobody is left to fill this in");
    }

    #[test]
    fn numbers_that_start_anew_do_so_once_whoever_says_so_first() {
        let mut rig = Rig::live(1_000);
        assert_eq!(rig.offer(0, span(1_000, 1_010)), Place::Next);
        assert_eq!(rig.offer(0, span(1_010, 3)), Place::Next, "maintenance");
        assert_eq!(rig.offer(0, span(3, 5)), Place::Next);
        assert_eq!(rig.offer(1, span(1_000, 1_010)), Place::Known, "the other one is late");
        assert!(rig.merge.carries(1));
        assert_eq!(rig.offer(1, span(1_010, 3)), Place::Known);
        assert_eq!(rig.offer(1, span(3, 5)), Place::Known);
        assert_eq!(rig.offer(1, span(5, 9)), Place::Next);
        assert_eq!(rig.offer(0, span(5, 9)), Place::Known);
        assert_eq!(rig.applied, [1_010, 3, 5, 9]);
    }

    #[test]
    fn changes_cut_elsewhere_are_never_mixed_unless_their_levels_are_of_their_end() {
        let counts = &mut CopyCounts::default();
        let mut merge = Merge::default();
        merge.snapshot(0, 10);
        merge.snapshot(1, 10);
        assert_eq!(merge.change(0, span(10, 14), false, 0, counts), Place::Next);
        assert_eq!(merge.change(1, span(10, 16), false, 0, counts), Place::Apart);
        assert!(!merge.carries(1));
        assert_eq!(merge.change(0, span(14, 20), false, 0, counts), Place::Next);
        merge.forget(1);
        assert!(!merge.snapshot(1, 18), "older than the book, which the first one carries");
        assert!(merge.snapshot(1, 30), "newer");
        let mut merge = Merge::default();
        merge.begin(10);
        assert_eq!(merge.change(1, span(8, 16), true, 0, counts), Place::Next);
    }

    #[test]
    fn a_message_that_stands_alone_counts_once() {
        let counts = &mut CopyCounts::default();
        let mut latest = Latest::default();
        assert!(latest.admit(0, 5, 1_000, counts));
        assert!(!latest.admit(1, 5, 65_000, counts), "64 µs later");
        assert!(latest.admit(0, 5, 70_000, counts), "another trade of that instant");
        assert!(latest.admit(1, 6, 80_000, counts));
        assert!(!latest.admit(0, 4, 80_000, counts));
        assert_eq!((counts.wins, counts.duplicates, counts.leads[7]), ([2, 1], [1, 1], 1));
        latest.forget(1);
        assert!(latest.admit(0, 1, 90_000, counts), "nobody else is there");
    }

    #[test]
    fn a_snapshot_after_a_restart_is_known_to_the_connection_that_is_late() {
        let counts = &mut CopyCounts::default();
        let mut merge = Merge::default();
        merge.snapshot(0, 1_000);
        merge.snapshot(1, 1_000);
        assert!(merge.snapshot(0, 1), "the service began anew");
        assert_eq!(merge.change(0, span(1, 2), false, 0, counts), Place::Next);
        assert_eq!(merge.change(1, span(1_000, 1_001), false, 0, counts), Place::Known, "of before");
        assert!(!merge.snapshot(1, 1), "the book is further by now");
        assert_eq!(merge.change(1, span(1, 2), false, 0, counts), Place::Known);
        assert_eq!(merge.change(1, span(2, 3), false, 0, counts), Place::Next);
        assert_eq!(merge.change(0, span(2, 3), false, 0, counts), Place::Known);
    }

    #[test]
    fn a_trade_counts_once_whoever_brings_it_and_one_that_only_one_brings_counts_too() {
        let counts = &mut CopyCounts::default();
        let mut seen = Seen::new();
        assert!(seen.admit(0, (900, 5), counts) && seen.admit(0, (7, 5), counts));
        assert!(!seen.admit(1, (900, 5), counts));
        assert!(seen.admit(1, (33, 5), counts), "lost on the first");
        assert!(!seen.admit(0, (33, 5), counts));
        let burst = (0..2 * SEEN as u64).map(|id| 10_000 + id).collect::<Vec<_>>();
        assert!(burst.iter().all(|id| seen.admit(0, (*id, 6), counts)), "all of one instant");
        assert!(burst.iter().all(|id| !seen.admit(1, (*id, 6), counts)), "also those that were forgotten");
        assert!(seen.admit(1, (1, 7), counts));
    }

    #[test]
    fn what_has_no_number_is_taken_from_one_connection_until_that_is_silent() {
        let counts = &mut CopyCounts::default();
        let mut leader = Leader::default();
        assert!(leader.admit(0, 5, 0, counts) && !leader.admit(1, 5, 1, counts));
        assert!(leader.admit(1, 5, 6, counts) && !leader.admit(0, 5, 7, counts));
        leader.forget(1);
        assert!(leader.admit(0, 5, 8, counts) && !leader.admit(1, 5, 9, counts));
    }

    proptest! {
        /// Two connections, each behind the other at times, lose messages but never the same one: the book gets
        /// every change once and in order.
        #[test]
        fn what_is_not_lost_twice_is_not_lost(
            steps in proptest::collection::vec((0u8..4, any::<bool>()), 1..300),
        ) {
            let mut rig = Rig::live(0);
            let total = 100u64;
            let mut next = [0u64; COPIES];
            let lost_on = |index: u64| steps.get((index as usize / 4) % steps.len()).map_or(0, |step| step.0);
            let mut deliver = |rig: &mut Rig, copy: usize| {
                let index = next[copy];
                if index < total {
                    next[copy] += 1;
                    if usize::from(lost_on(index)) != copy {
                        rig.offer(copy, span(index, index + 1));
                    }
                }
            };
            for (_, first) in &steps {
                deliver(&mut rig, usize::from(*first));
            }
            for _ in 0..total {
                deliver(&mut rig, 0);
                deliver(&mut rig, 1);
            }
            prop_assert_eq!(rig.gaps, 0);
            // What came last may still wait for its forerunner only if that was lost on the one that ends.
            prop_assert_eq!(rig.applied, (1..=total).collect::<Vec<_>>());
        }
    }
}
