//! Prices a direction for a rehearsal: reads what a real evaluation reads, keeps nothing.

use super::Pair;
use super::expected_funding;
use crate::core::edge::{EdgeInput, PairMid, terms};
use crate::core::listing::{Listing, Served};
use crate::domain::intent::EdgeTerms;
use crate::domain::order::Side;
use crate::domain::params::ScanParams;
use crate::domain::time::Stamp;

impl Pair {
    /// The edge of a direction as if all that may keep it from entering allowed it; `None` while it has no
    /// size or no price. Walks both books although their costs may be cached: after a trigger they are not.
    pub fn imagine(
        &self,
        way: usize,
        legs: [&Listing; 2],
        now: Stamp,
        params: &ScanParams,
    ) -> Option<EdgeTerms> {
        if legs.iter().any(|leg| leg.served != Served::Yes) {
            return None;
        }
        let size = self.size?;
        let (long, short) = (way, 1 - way);
        let buy = legs[long].book.fill(Side::Buy, size.qty[long].0)?;
        let sell = legs[short].book.fill(Side::Sell, size.qty[short].0)?;
        let baseline = self.window.value().unwrap_or(0);
        Some(terms(&EdgeInput {
            buy,
            sell,
            mid: PairMid { first: legs[0].mid2, second: legs[1].mid2 }.fixed(),
            exit_basis: if way == 0 { baseline } else { -baseline },
            fees: self.fees,
            exit_half_spreads: legs[0].half_spread + legs[1].half_spread,
            allowance: self.allowance.saturating_add(self.failure(legs)),
            funding: expected_funding(legs[long], legs[short], now, params.hold_max_ns),
            threshold: params.threshold_ppb,
        }))
    }
}
