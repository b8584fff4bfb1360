//! What the scanner says for explanations: how a pair would be decided now, and how a trade stands to its exit.
//! Read-only; works on copies and allocates.

use super::Scanner;
use crate::core::book::Fill;
use crate::core::pair::{Outlook, Pair};
use crate::core::trade::Trade;
use crate::core::trade::desk::Floor;
use crate::core::trade::measure::{executable_exit, funding_due};
use crate::core::venue_clock::Estimate;
use crate::domain::instrument::InstrumentId;
use crate::domain::intent::{Basket, Ppb};
use crate::domain::time::Nanos;

/// A direction of a pair, as it would be decided now.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Where it would buy, where it would sell.
    pub legs: [InstrumentId; 2],
    /// Decision, edge and gates.
    pub outlook: Outlook,
    /// What the gates said when it was last evaluated for real, and at which input.
    pub last: (crate::core::pair::WhyNot, crate::domain::event::Seq),
    /// What it would send if nothing stood in its way; `None` without price or size.
    pub entry: Option<Basket>,
    /// What the clocks of both venues show beyond ours, where known.
    pub clocks: [Option<Estimate>; 2],
    /// Entries are made at random: the honesty test of a simulation.
    pub random: bool,
}

/// How an open trade stands to the ways of leaving it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// What closing it now would cost as a basis; `None` while a book does not tell.
    pub basis: Option<Ppb>,
    /// The basis at which it counts as converged.
    pub tolerated: Ppb,
    /// Executed entry basis.
    pub realised: Ppb,
    /// How far the exit basis may lie beyond the entry before the loss ends it.
    pub loss_max: Ppb,
    /// What is left of its holding time; negative = over.
    pub hold_left: Nanos,
}

impl Scanner {
    /// Pairs, by their number: the listings of each in its own order. Direction 0 buys the first.
    pub fn pairs(&self) -> impl Iterator<Item = [InstrumentId; 2]> + '_ {
        self.pairs.iter().map(|pair| pair.listings.map(InstrumentId))
    }

    /// How a direction of a pair would be decided now; `None` where there is no such pair or direction.
    pub fn explain(&self, at: usize, way: usize) -> Option<Explained> {
        let pair: &Pair = self.pairs.get(at).filter(|_| way < 2)?;
        let mut listings = self.listings.clone();
        pair.listings.iter().for_each(|listing| listings[usize::from(*listing)].refresh());
        let legs = pair.listings.map(|listing| &listings[usize::from(listing)]);
        let order = [way, 1 - way].map(|at| legs[at]);
        let (then, outlook) = pair.outlook(way, legs, &self.gate(at, pair.evaluated), self.now, &self.params);
        let entry = outlook.terms.zip(outlook.fills).and_then(|(edge, fills)| {
            let mut basket = self.desk.imagine(&then, way, edge, &listings, self.now, &self.params)?;
            for (leg, (listing, Fill { deep, .. })) in order.iter().zip(&fills).enumerate() {
                let depth = if *deep { listing.depth_age(self.now.wall) } else { 0 };
                basket.book_age_ns[leg] = depth.max(listing.touch_age(self.now.wall));
            }
            Some(basket)
        });
        Some(Explained {
            legs: order.map(|leg| leg.params.id),
            outlook,
            last: (pair.ways[way].why, pair.evaluated),
            entry,
            clocks: order.map(|leg| self.start.clocks().estimate(leg.params.venue, self.now)),
            random: self.params.random_entry_ns > 0,
        })
    }

    /// How an open trade stands to the ways of leaving it.
    pub fn leaving(&self, trade: &Trade) -> Leaving {
        let mut then = self.clone();
        let floor = Floor {
            listings: &mut then.listings,
            pairs: &mut then.pairs,
            modes: &self.modes,
            params: &self.params,
            now: self.now,
            out: &mut Vec::new(),
        };
        let tolerated = trade.expected_exit().saturating_add(self.params.exit_tolerance_ppb);
        Leaving {
            basis: executable_exit(trade, &floor),
            tolerated: tolerated.saturating_sub(funding_due(trade, &floor)),
            realised: trade.realised,
            loss_max: self.params.loss_max_ppb,
            hold_left: trade.hold_until.saturating_sub(self.now.mono),
        }
    }
}
