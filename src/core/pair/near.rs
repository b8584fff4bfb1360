//! Near-misses: directions whose edge came close to the threshold or passed it, and that did not enter all the same.
//! Sampled for the record, so that a journal shows what nearly happened; nothing depends on them.

use super::{Pair, WhyNot};
use crate::core::digest::Digest;
use crate::domain::instrument::InstrumentId;
use crate::domain::intent::NearMiss;
use crate::domain::params::ScanParams;
use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// What was told of a pair in the present second of event time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    second: Nanos,
    count: u16,
    /// By direction, the reason that was told last.
    why: [Option<u8>; 2],
}

impl Told {
    /// Whether this one is told: at most `most` a second, and none again while its reason is the same.
    fn take(&mut self, way: usize, why: WhyNot, now: Nanos, most: u16) -> bool {
        let second = now.div_euclid(SECOND);
        if second != self.second {
            *self = Self { second, ..Self::default() };
        }
        if self.count >= most || self.why[way] == Some(why as u8) {
            return false;
        }
        self.count += 1;
        self.why[way] = Some(why as u8);
        true
    }

    /// Adds the state to a digest; nothing where nothing was ever told, so that older journals keep theirs.
    pub fn digest(&self, to: &mut Digest) {
        if *self != Self::default() {
            to.mix_signed(self.second);
            to.mix(u64::from(self.count));
            self.why.iter().for_each(|why| to.mix(why.map_or(0, |why| u64::from(why) + 1)));
        }
    }
}

impl Pair {
    /// The near-miss that a direction was when it was last evaluated, if it is to be told at `now`.
    pub fn near_miss(&mut self, way: usize, now: Nanos, params: &ScanParams) -> Option<NearMiss> {
        // Entries at random have no threshold to miss.
        if params.near_miss_per_s == 0 || params.random_entry_ns > 0 {
            return None;
        }
        let (terms, why) = (self.ways[way].terms, self.ways[way].why);
        let is_near = why.is_near_miss()
            && terms.net >= params.threshold_ppb.saturating_sub(params.near_miss_ppb.max(0));
        if !is_near || !self.told.take(way, why, now, params.near_miss_per_s) {
            return None;
        }
        let [long, short] = [way, 1 - way].map(|leg| InstrumentId(self.listings[leg]));
        Some(NearMiss { canonical: self.canonical, long, short, why: why as u8, edge: terms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_a_second_and_no_more_than_so_many() {
        let mut told = Told::default();
        let mut take = |way, why, now| told.take(way, why, now, 2);
        assert!(take(0, WhyNot::BelowThreshold, 5 * SECOND));
        assert!(!take(0, WhyNot::BelowThreshold, 5 * SECOND + 1), "the same again");
        assert!(take(0, WhyNot::Unproven, 5 * SECOND + 2), "another reason");
        assert!(!take(1, WhyNot::Cooldown, 6 * SECOND - 1), "two were told");
        assert!(take(1, WhyNot::Cooldown, 6 * SECOND), "a new second");
    }
}
