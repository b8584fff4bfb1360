//! The scan part of a rehearsal: an entry that nobody makes.

use super::Scanner;
use crate::domain::intent::Basket;
use crate::domain::time::Stamp;

impl Scanner {
    /// The basket with which a pair would enter if its edge were large enough now; `None` while it has no
    /// price, no size or no free slot. Reads the same books, contracts and tables as a real entry, and
    /// changes nothing: no trade, no id. `turn` goes round pairs and directions.
    pub fn imagined_entry(&self, turn: usize) -> Option<Basket> {
        let at = turn % self.pairs.len().max(1);
        let pair = self.pairs.get(at)?;
        let way = (turn / self.pairs.len()) & 1;
        let legs = pair.listings.map(|listing| &self.listings[usize::from(listing)]);
        let edge = pair.imagine(way, legs, self.now, &self.params)?;
        self.desk.imagine(pair, way, edge, &self.listings, self.now, &self.params)
    }

    /// The instant of the last event.
    pub fn now(&self) -> Stamp {
        self.now
    }
}
