//! The desk's memory of its last orders: what of each was counted already, so that a fill which arrives
//! after the end of its order, or after the end of its trade, is counted once and not lost.

use crate::core::digest::Digest;
use crate::domain::instrument::Price;
use crate::domain::order::{ClientId, OrderUpdate, Side};
use serde::{Deserialize, Serialize};

/// Orders remembered; older ones are strays, but for those that a trade still waits for.
pub const RECENT_MAX: usize = 1024;

/// What is remembered of an order.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Seen {
    id: ClientId,
    listing: u16,
    side: Side,
    qty: i64,
    filled: i64,
    limit: Price,
    /// Counted in the quality of its listing.
    judged: bool,
}

/// What an update adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// Listing of the order.
    pub listing: u16,
    /// Its side.
    pub side: Side,
    /// Contracts filled since the last update.
    pub filled: i64,
    /// The order's limit price: the price of a fill that came without one.
    pub limit: Price,
}

/// A ring over the order sequence.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recent {
    ring: Vec<Seen>,
}

impl Default for Recent {
    fn default() -> Self {
        Self::new()
    }
}

impl Recent {
    /// An empty memory; allocates its room.
    pub fn new() -> Self {
        Self { ring: vec![Seen::default(); RECENT_MAX] }
    }

    /// Remembers a new order.
    pub fn remember(&mut self, id: ClientId, listing: u16, side: Side, qty: i64, limit: Price) {
        self.ring[place(id)] = Seen { id, listing, side, qty, limit, ..Seen::default() };
    }

    /// Whether an order is remembered.
    pub fn knows(&self, id: ClientId) -> bool {
        self.ring[place(id)].id == id
    }

    /// True once for an order that is remembered: it is judged then. A late fill changes nothing of that.
    pub fn judge(&mut self, id: ClientId) -> bool {
        let seen = &mut self.ring[place(id)];
        id != ClientId::NONE && seen.id == id && !std::mem::replace(&mut seen.judged, true)
    }

    /// Counts an update; `None` when the order is not remembered. A cumulative fill never falls and never
    /// exceeds the order.
    pub fn take(&mut self, update: &OrderUpdate) -> Option<News> {
        let seen = &mut self.ring[place(update.client_id)];
        if update.client_id == ClientId::NONE || seen.id != update.client_id {
            return None;
        }
        let filled = update.filled.0.clamp(seen.filled, seen.qty.max(seen.filled));
        let news =
            News { listing: seen.listing, side: seen.side, filled: filled - seen.filled, limit: seen.limit };
        seen.filled = filled;
        Some(news)
    }

    /// Restates the quantities of a listing's orders.
    pub fn rescale(&mut self, listing: u16, restate: impl Fn(i64) -> i64) {
        for seen in self.ring.iter_mut().filter(|seen| seen.listing == listing) {
            seen.qty = restate(seen.qty);
            seen.filled = restate(seen.filled);
        }
    }

    /// Adds the state to a digest.
    pub fn digest(&self, to: &mut Digest) {
        self.ring.iter().for_each(|seen| to.mix_signed(seen.filled.wrapping_mul(2) + i64::from(seen.judged)));
    }
}

fn place(id: ClientId) -> usize {
    (id.sequence() % RECENT_MAX as u64) as usize
}
