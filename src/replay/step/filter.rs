//! Names of venues, instruments and pairs as they stand in brackets, behind `print`, and on the right of `venue ==`.

use crate::domain::instrument::{InstrumentId, VENUES_MAX, VenueId};
use crate::domain::params::EngineParams;
use crate::ops::view::Names;

/// The venues and listings that a name means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    venues: [bool; VENUES_MAX],
    listings: Vec<bool>,
}

impl Places {
    /// Whether a listing is meant.
    pub fn has_listing(&self, id: InstrumentId) -> bool {
        self.listings.get(id.index()).copied().unwrap_or(false)
    }

    /// Whether a venue is meant, as a whole.
    pub fn has_venue(&self, id: VenueId) -> bool {
        self.venues.get(id.index()).copied().unwrap_or(false)
    }
}

/// One word of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// What lies there.
    Place(Places),
    /// A direction of a pair: bought at the first, sold at the second.
    Way(Places, Places),
}

/// What is chosen: all words must fit. Without words: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    words: Vec<Word>,
}

impl Filter {
    /// A listing of a venue.
    pub fn has_listing(&self, id: InstrumentId) -> bool {
        self.words.iter().all(|word| match word {
            Word::Place(places) => places.has_listing(id),
            Word::Way(buy, sell) => buy.has_listing(id) || sell.has_listing(id),
        })
    }

    /// What concerns a venue as a whole.
    pub fn has_venue(&self, id: VenueId) -> bool {
        self.words.iter().all(|word| match word {
            Word::Place(places) => places.has_venue(id),
            Word::Way(buy, sell) => buy.has_venue(id) || sell.has_venue(id),
        })
    }

    /// A direction of a pair: a name fits when one of the legs does.
    pub fn has_way(&self, buy: InstrumentId, sell: InstrumentId) -> bool {
        self.words.iter().all(|word| match word {
            Word::Place(places) => places.has_listing(buy) || places.has_listing(sell),
            Word::Way(first, second) => first.has_listing(buy) && second.has_listing(sell),
        })
    }

    /// What may name a listing, or a venue only, or nothing.
    pub fn has_about(&self, venue: Option<VenueId>, instrument: Option<InstrumentId>) -> bool {
        match (venue, instrument) {
            (_, Some(id)) => self.has_listing(id),
            (Some(id), None) => self.has_venue(id),
            (None, None) => self.words.is_empty(),
        }
    }
}

/// What a run's venues and instruments are called.
#[derive(Clone, Debug)]
pub struct Book {
    /// Names by number.
    pub names: Names,
    /// By listing: unified name, base asset.
    unified: Vec<(String, String)>,
}

/// A name that nothing of the run has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no venue, instrument or direction of this run; there are {known}")]
pub struct NoSuchName {
    /// As given.
    pub name: String,
    /// What there is.
    pub known: String,
}

impl Book {
    /// Of a run.
    pub fn new(params: &EngineParams) -> Self {
        let unified = |listing: &crate::domain::params::ListingParams| {
            let canonical = params.canonicals.get(listing.canonical.index());
            canonical.map_or_else(Default::default, |of| (of.name.clone(), of.base.to_string()))
        };
        Self { names: Names::of(params), unified: params.listings.iter().map(unified).collect() }
    }

    /// Words separated by spaces or commas.
    pub fn filter(&self, text: &str) -> Result<Filter, NoSuchName> {
        let words = text.split([' ', ',', '\t']).filter(|word| !word.is_empty());
        words
            .map(|word| match word.split_once('>') {
                Some((buy, sell)) => Ok(Word::Way(self.places(buy)?, self.places(sell)?)),
                None => self.places(word).map(Word::Place),
            })
            .collect::<Result<_, _>>()
            .map(|words| Filter { words })
    }

    /// What a name means: a venue (`okx`; `binance` = all that begin so), a unified or native name, a base asset,
    /// or one of those at one venue: `BTC.okx`.
    pub fn places(&self, name: &str) -> Result<Places, NoSuchName> {
        if let Some(found) = self.exactly(name) {
            return Ok(found);
        }
        let at = name.rsplit_once('.').and_then(|(instrument, venue)| {
            let (mut what, place) = (self.exactly(instrument)?, self.exactly(venue)?);
            what.venues = [false; VENUES_MAX];
            what.listings.iter_mut().zip(&place.listings).for_each(|(is, there)| *is &= there);
            what.listings.contains(&true).then_some(what)
        });
        at.ok_or_else(|| NoSuchName { name: name.to_owned(), known: self.known() })
    }

    fn exactly(&self, name: &str) -> Option<Places> {
        let is_venue = |venue: &str| {
            let rest = venue.get(..name.len()).filter(|head| head.eq_ignore_ascii_case(name));
            rest.is_some() && matches!(venue.as_bytes().get(name.len()), None | Some(b'-'))
        };
        let mut places = Places { listings: vec![false; self.unified.len()], ..Places::default() };
        if name.is_empty() {
            return None;
        }
        for (at, venue) in self.names.venues.iter().enumerate().take(VENUES_MAX) {
            places.venues[at] = is_venue(venue);
        }
        for (at, (venue, symbol)) in self.names.listings.iter().enumerate() {
            let (unified, base) = &self.unified[at];
            let is_named = [symbol, unified, base].iter().any(|known| known.eq_ignore_ascii_case(name));
            places.listings[at] = is_named || places.has_venue(*venue);
        }
        (places.venues.contains(&true) || places.listings.contains(&true)).then_some(places)
    }

    /// Every venue, base asset, unified and native name.
    pub fn all_names(&self) -> Vec<&str> {
        let venues = self.names.venues.iter().map(String::as_str);
        let unified = self.unified.iter().flat_map(|(unified, base)| [base.as_str(), unified.as_str()]);
        venues.chain(unified).chain(self.names.listings.iter().map(|(_, symbol)| symbol.as_str())).collect()
    }

    /// Everything that a filter may name.
    fn known(&self) -> String {
        let mut instruments: Vec<&str> = self.unified.iter().map(|(name, _)| name.as_str()).collect();
        instruments.dedup();
        instruments.sort_unstable();
        instruments.dedup();
        format!("the venues {}; the instruments {}", self.names.venues.join(", "), instruments.join(", "))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::instrument::CanonicalId;
    use crate::domain::params::{CanonicalParams, ListingParams, VenueParams};
    use crate::domain::text::{Currency, Symbol};

    /// Two venues, BTC on both and ETH on the second.
    pub fn book() -> Book {
        let canonical = |base: &str| CanonicalParams {
            name: format!("{base}/USDT:USDT"),
            base: Currency::new(base).expect("short"),
            ..CanonicalParams::default()
        };
        let listing = |id, venue, canonical, symbol| ListingParams {
            id: InstrumentId(id),
            venue: VenueId(venue),
            canonical: CanonicalId(canonical),
            symbol: Symbol::new(symbol).expect("short"),
        };
        let venue = |dialect: &str| VenueParams { dialect: dialect.to_owned(), ..VenueParams::default() };
        Book::new(&EngineParams {
            venues: vec![venue("binance-usdm"), venue("okx")],
            canonicals: vec![canonical("BTC"), canonical("ETH")],
            listings: vec![
                listing(0, 0, 0, "BTCUSDT"),
                listing(1, 1, 0, "BTC-USDT-SWAP"),
                listing(2, 1, 1, "ETH-USDT-SWAP"),
            ],
            ..EngineParams::default()
        })
    }

    fn listings(text: &str) -> Vec<u16> {
        let filter = book().filter(text).expect("known names");
        (0..3).filter(|id| filter.has_listing(InstrumentId(*id))).collect()
    }

    #[test]
    fn names_mean_venues_instruments_and_what_is_both() {
        assert_eq!(listings(""), [0, 1, 2]);
        assert_eq!(listings("binance"), [0]);
        assert_eq!(listings("btc"), [0, 1]);
        assert_eq!(listings("BTC/USDT:USDT okx"), [1]);
        assert_eq!(listings("ETH-USDT-SWAP"), [2]);
        assert_eq!(listings("BTC.okx"), [1]);
        assert_eq!(listings("okx, binance"), [] as [u16; 0]);
    }

    #[test]
    fn directions_tell_where_is_bought() {
        let (a, b) = (InstrumentId(0), InstrumentId(1));
        let ways = |text| {
            let filter = book().filter(text).expect("known names");
            [filter.has_way(a, b), filter.has_way(b, a)]
        };
        assert_eq!(ways("binance>okx"), [true, false]);
        assert_eq!(ways("BTC okx>binance"), [false, true]);
        assert_eq!(ways("okx"), [true, true]);
        assert_eq!(ways("ETH"), [false, false]);
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_is() {
        for text in ["kraken", "okx>", "ETH.binance", ".", "binance-", "okx>kraken"] {
            let why = book().filter(text).expect_err(text).to_string();
            assert!(why.contains("okx") && why.contains("ETH/USDT:USDT"), "{why}");
        }
    }
}
