//! An L2 book: depth as sorted arrays with the best level last, and the best bid and offer laid over it.
//!
//! Only applies what continuity (in `venue/`) has approved. Rule of the overlay: when the BBO is at least
//! as new as the depth, it *is* the touch; depth serves only levels strictly worse than it, so a stale
//! depth level is never offered as better than (or at) the BBO. When the depth is newer, the BBO is
//! ignored. Newness is the venue's sequence number, or venue time where there is none.

use super::digest::{Digest, scramble};
use crate::domain::event::{Bbo, BookState, LevelsChunk};
use crate::domain::order::Side;
use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};

/// Levels kept per side; the worst is dropped (and counted) beyond.
pub const DEPTH_MAX: usize = 4096;

/// Levels a fill may walk; more are "not enough depth".
pub const WALK_MAX: usize = 512;

/// Largest price that is accepted: keeps fixed-point sums of four prices inside an `i64`.
pub const PRICE_MAX: i64 = 1 << 48;

/// Binary fraction digits of [`Fill::vwap`].
pub const VWAP_SHIFT: u32 = 10;

/// Levels near the best that are searched linearly before a binary search.
const NEAR: usize = 12;

/// What taking a quantity now would cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fill {
    /// Average price × 2^[`VWAP_SHIFT`], rounded against the taker.
    pub vwap: i64,
    /// Best price.
    pub top: i64,
    /// Price of the last level touched.
    pub worst: i64,
    /// True when more than the touch is needed: then the age of the depth counts, not the BBO's.
    pub deep: bool,
}

/// `key` is the price for bids and its negative for asks, so that the best is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Level {
    key: i64,
    qty: i64,
}

impl Level {
    fn hash(self) -> u64 {
        scramble(self.key.cast_unsigned() ^ self.qty.cast_unsigned().rotate_left(32))
    }
}

/// One side of the depth.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ladder {
    levels: Vec<Level>,
    hash: u64,
    dropped: u64,
}

impl Ladder {
    fn new() -> Self {
        Self { levels: Vec::with_capacity(DEPTH_MAX), hash: 0, dropped: 0 }
    }

    fn clear(&mut self) {
        self.levels.clear();
        self.hash = 0;
    }

    /// Where `key` is, or where it belongs.
    fn find(&self, key: i64) -> Result<usize, usize> {
        let len = self.levels.len();
        let floor = len.saturating_sub(NEAR);
        for at in (floor..len).rev() {
            let other = self.levels[at].key;
            if other == key {
                return Ok(at);
            }
            if other < key {
                return Err(at + 1);
            }
        }
        self.levels[..floor].binary_search_by_key(&key, |level| level.key)
    }

    fn set(&mut self, key: i64, qty: i64) {
        let level = Level { key, qty };
        match self.find(key) {
            Ok(at) => {
                self.hash ^= self.levels[at].hash();
                if qty == 0 {
                    self.levels.remove(at);
                } else {
                    self.hash ^= level.hash();
                    self.levels[at].qty = qty;
                }
            }
            Err(_) if qty == 0 => {}
            Err(mut at) => {
                if self.levels.len() >= DEPTH_MAX {
                    self.dropped += 1;
                    if at == 0 {
                        return;
                    }
                    self.hash ^= self.levels.remove(0).hash();
                    at -= 1;
                }
                self.hash ^= level.hash();
                self.levels.insert(at, level);
            }
        }
    }
}

/// Depth and touch of one instrument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Book {
    bids: Ladder,
    asks: Ladder,
    /// Sequence number and venue time of the depth.
    update_id: u64,
    venue_ns: Nanos,
    state: BookState,
    /// A message is half applied.
    partial: bool,
    bbo: Option<Bbo>,
    /// The BBO is at least as new as the depth.
    overlay: bool,
    odd: u64,
}

impl Default for Book {
    fn default() -> Self {
        Self::new()
    }
}

impl Book {
    /// An empty book that waits for its snapshot; allocates its room.
    pub fn new() -> Self {
        Self {
            bids: Ladder::new(),
            asks: Ladder::new(),
            update_id: 0,
            venue_ns: 0,
            state: BookState::AwaitSnapshot,
            partial: false,
            bbo: None,
            overlay: false,
            odd: 0,
        }
    }

    /// Continuity changed its verdict. Whatever is not live is forgotten.
    pub fn set_state(&mut self, state: BookState) {
        self.state = state;
        if state != BookState::Live {
            self.reset();
        }
    }

    /// Applies a part of a depth message.
    pub fn apply(&mut self, chunk: &LevelsChunk) {
        if chunk.clear {
            self.bids.clear();
            self.asks.clear();
        }
        if chunk.update_id < self.update_id {
            // The venue restarted its numbering (or a new snapshot is older): the BBO is not comparable.
            self.bbo = None;
        }
        let bids = usize::from(chunk.bids).min(chunk.levels.len());
        let both = (bids + usize::from(chunk.asks)).min(chunk.levels.len());
        for (at, (price, qty)) in chunk.levels[..both].iter().enumerate() {
            if price.0 <= 0 || price.0 > PRICE_MAX || qty.0 < 0 {
                self.odd += 1;
            } else if at < bids {
                self.bids.set(price.0, qty.0);
            } else {
                self.asks.set(-price.0, qty.0);
            }
        }
        self.update_id = chunk.update_id;
        self.venue_ns = chunk.venue_ns;
        self.partial = !chunk.last;
        self.judge_overlay();
    }

    /// Takes a best bid and offer; one that is older than the last is ignored.
    pub fn set_bbo(&mut self, bbo: &Bbo) {
        let valid = |price: i64, qty: i64| (0..=PRICE_MAX).contains(&price) && qty >= 0;
        if !valid(bbo.bid.0, bbo.bid_qty.0) || !valid(bbo.ask.0, bbo.ask_qty.0) {
            self.odd += 1;
            return;
        }
        if let Some(last) = &self.bbo
            && is_older((bbo.update_id, bbo.venue_ns), (last.update_id, last.venue_ns))
        {
            return;
        }
        self.bbo = Some(*bbo);
        self.judge_overlay();
    }

    /// Forgets prices; the state stays.
    fn reset(&mut self) {
        self.bids.clear();
        self.asks.clear();
        self.update_id = 0;
        self.venue_ns = 0;
        self.partial = false;
        self.bbo = None;
        self.overlay = false;
    }

    fn judge_overlay(&mut self) {
        let depth = (self.update_id, self.venue_ns);
        self.overlay =
            self.bbo.is_some_and(|bbo| depth == (0, 0) || !is_older((bbo.update_id, bbo.venue_ns), depth));
    }

    /// State by continuity.
    pub fn state(&self) -> BookState {
        self.state
    }

    /// True when the book may be served: live, and no message half applied.
    pub fn is_served(&self) -> bool {
        self.state == BookState::Live && !self.partial
    }

    /// Best price and quantity that a taker of `side` meets (`Buy` meets asks); `None` when there is none.
    pub fn touch(&self, side: Side) -> Option<(i64, i64)> {
        if let (true, Some(bbo)) = (self.overlay, &self.bbo) {
            let (price, qty) = match side {
                Side::Buy => (bbo.ask.0, bbo.ask_qty.0),
                Side::Sell => (bbo.bid.0, bbo.bid_qty.0),
            };
            return (price > 0 && qty > 0).then_some((price, qty));
        }
        let best = self.ladder(side).levels.last()?;
        Some((best.key.abs(), best.qty))
    }

    /// What a taker of `side` pays for `need` contracts; `None` when the book has not that much.
    pub fn fill(&self, side: Side, need: i64) -> Option<Fill> {
        let (top, top_qty) = self.touch(side)?;
        let mut fill = Fill { vwap: top << VWAP_SHIFT, top, worst: top, deep: false };
        if need <= top_qty {
            return (need > 0).then_some(fill);
        }
        fill.deep = true;
        let sign = -side.sign();
        let mut left = need - top_qty;
        let mut excess: i128 = 0;
        let levels = &self.ladder(side).levels;
        let behind = levels.iter().rev().skip_while(|level| level.key >= sign * top);
        for level in behind.take(WALK_MAX) {
            let price = level.key.abs();
            let qty = level.qty.min(left);
            excess += i128::from((price - top).abs()) * i128::from(qty);
            fill.worst = price;
            left -= qty;
            if left == 0 {
                // Rounded up: away from the top is against the taker.
                let need = i128::from(need);
                let distance = ((excess << VWAP_SHIFT) + need - 1) / need;
                fill.vwap += side.sign() * i64::try_from(distance).ok()?;
                return Some(fill);
            }
        }
        None
    }

    /// Venue time of the touch: the newer of what it is made of.
    pub fn touch_ns(&self) -> Nanos {
        match &self.bbo {
            Some(bbo) if self.overlay => bbo.venue_ns.max(self.venue_ns),
            _ => self.venue_ns,
        }
    }

    /// Venue time of the depth behind the touch.
    pub fn depth_ns(&self) -> Nanos {
        self.venue_ns
    }

    /// Levels that a taker of `side` meets in the depth alone, best first: price and quantity.
    pub fn depth(&self, side: Side) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.ladder(side).levels.iter().rev().map(|level| (level.key.abs(), level.qty))
    }

    /// Levels dropped because a side was full.
    pub fn dropped(&self) -> u64 {
        self.bids.dropped + self.asks.dropped
    }

    /// Levels and touches refused because their numbers were impossible.
    pub fn odd(&self) -> u64 {
        self.odd
    }

    /// Adds the state to a digest; the depth has an incremental hash.
    pub fn digest(&self, to: &mut Digest) {
        to.mix(self.bids.hash);
        to.mix(self.asks.hash);
        to.mix(self.update_id);
        to.mix_signed(self.venue_ns);
        to.mix(self.state as u64);
        if let Some(bbo) = &self.bbo {
            [bbo.bid.0, bbo.bid_qty.0, bbo.ask.0, bbo.ask_qty.0].iter().for_each(|v| to.mix_signed(*v));
            to.mix(bbo.update_id);
        }
    }

    fn ladder(&self, side: Side) -> &Ladder {
        match side {
            Side::Buy => &self.asks,
            Side::Sell => &self.bids,
        }
    }
}

/// Sequence numbers decide where both have one, else venue time.
fn is_older(this: (u64, Nanos), that: (u64, Nanos)) -> bool {
    if this.0 > 0 && that.0 > 0 { this.0 < that.0 } else { this.1 < that.1 }
}

#[cfg(test)]
mod tests;
