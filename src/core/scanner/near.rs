//! Near-misses on their way to the record.

use super::{ScanOut, Scanner};
use crate::domain::event::FlowBody;

/// One event tells of no more near-misses once it has made so many items, so that `out` keeps its room for intents.
const ITEMS_MAX: usize = 256;

impl Scanner {
    /// Tells what a pair that was just evaluated nearly entered.
    pub(super) fn tell_near_misses(&mut self, at: usize, out: &mut ScanOut) {
        for way in 0..2 {
            if out.items.len() < ITEMS_MAX
                && let Some(near) = self.pairs[at].near_miss(way, self.now.mono, &self.params)
            {
                out.items.push(FlowBody::NearMiss(near));
            }
        }
    }
}
