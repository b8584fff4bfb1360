//! Native symbol → index of the venue's listing, without allocation and with a fixed hash.

use crate::domain::instrument::{Instrument, InstrumentId};
use crate::domain::params::ListingParams;
use serde::{Deserialize, Serialize};

/// The venue's listings with what the registry knows of them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(from = "Saved")]
pub struct Listings {
    #[serde(skip)]
    symbols: Symbols,
    params: Vec<ListingParams>,
    instruments: Vec<Instrument>,
}

/// What is read of [`Listings`]; the table follows from it.
#[derive(Deserialize)]
struct Saved {
    params: Vec<ListingParams>,
    instruments: Vec<Instrument>,
}

impl From<Saved> for Listings {
    fn from(Saved { params, instruments }: Saved) -> Self {
        Self { symbols: Symbols::new(&params), params, instruments }
    }
}

impl Listings {
    /// Nothing is known of them yet.
    pub fn new(params: &[ListingParams]) -> Self {
        Self {
            symbols: Symbols::new(params),
            params: params.to_vec(),
            instruments: vec![Instrument::default(); params.len()],
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.params.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    /// As configured.
    pub fn params(&self, index: usize) -> &ListingParams {
        &self.params[index]
    }

    /// Takes a definition; its index, when it is one of ours.
    pub fn define(&mut self, instrument: &Instrument) -> Option<usize> {
        let index = self.index(instrument.id)?;
        self.instruments[index] = *instrument;
        Some(index)
    }

    /// Index of a configured listing.
    pub fn index(&self, id: InstrumentId) -> Option<usize> {
        self.params.iter().position(|listing| listing.id == id)
    }

    /// Index of a configured symbol, defined or not.
    #[inline]
    pub fn find(&self, symbol: &[u8]) -> Option<usize> {
        self.symbols.find(symbol)
    }

    /// The definition, once there is one.
    #[inline]
    pub fn instrument(&self, index: usize) -> Option<&Instrument> {
        self.instruments.get(index).filter(|instrument| instrument.generation > 0)
    }

    /// The definition of a symbol, once there is one.
    #[inline]
    pub fn defined(&self, symbol: &[u8]) -> Option<&Instrument> {
        self.instrument(self.find(symbol)?)
    }

    /// Every defined listing.
    pub fn all(&self) -> impl Iterator<Item = &Instrument> {
        self.instruments.iter().filter(|instrument| instrument.generation > 0)
    }
}

/// A fixed open-addressing table over the listings of one venue.
#[derive(Debug)]
pub struct Symbols {
    names: Vec<Box<[u8]>>,
    /// Listing index + 1; 0 = free. Power of two, at most half full.
    slots: Vec<u16>,
}

impl Symbols {
    /// Indexes the listings in their order.
    pub fn new(listings: &[ListingParams]) -> Self {
        let mut table = Self {
            names: listings.iter().map(|listing| listing.symbol.as_bytes().into()).collect(),
            slots: vec![0; (listings.len() * 2).next_power_of_two().max(8)],
        };
        for (index, listing) in listings.iter().enumerate() {
            let mut at = table.home(listing.symbol.as_bytes());
            while table.slots[at] != 0 {
                at = (at + 1) & (table.slots.len() - 1);
            }
            table.slots[at] = index as u16 + 1;
        }
        table
    }

    /// The listing of that symbol.
    #[inline]
    pub fn find(&self, symbol: &[u8]) -> Option<usize> {
        let mut at = self.home(symbol);
        loop {
            match self.slots[at] {
                0 => return None,
                slot => {
                    let index = usize::from(slot) - 1;
                    if *self.names[index] == *symbol {
                        return Some(index);
                    }
                }
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// A multiplicative hash of eight bytes at a time.
    #[inline]
    fn home(&self, symbol: &[u8]) -> usize {
        let mut hash = symbol.len() as u64;
        for chunk in symbol.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash ^= hash >> 29;
        }
        hash as usize & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::text::Symbol;

    #[test]
    fn every_listing_is_found_and_nothing_else() {
        let listings: Vec<ListingParams> = (0..512)
            .map(|i| ListingParams {
                symbol: Symbol::new(&format!("C{i}USDT")).unwrap(),
                ..ListingParams::default()
            })
            .collect();
        let table = Symbols::new(&listings);
        for (index, listing) in listings.iter().enumerate() {
            assert_eq!(table.find(listing.symbol.as_bytes()), Some(index));
        }
        assert_eq!(table.find(b"C512USDT"), None);
        assert_eq!(table.find(b""), None);
        assert_eq!(Symbols::new(&[]).find(b"BTCUSDT"), None);
    }
}
