//! The instrument registry: chooses scales for what venues state and numbers metadata generations.
//!
//! All listings of a canonical instrument share one price scale, so that comparing venues is integer
//! comparison: the decimals of the finest tick seen so far plus two (VWAPs and mids lie between ticks).
//! A quantity scale is a listing's own: the decimals of its step and minimum plus one (positions and
//! books may be finer than today's step). The spare digits give way, the quantity's first, until price
//! scale + quantity scale + multiplier decimals ≤ 18, where notionals are exact; what does not fit then is
//! refused.

use crate::domain::instrument::{INSTRUMENTS_MAX, Instrument, InstrumentId, Qty, VenueSpec};
use crate::domain::money::MONEY_SCALE;
use crate::domain::number::Num;
use crate::domain::params::EngineParams;
use serde::{Deserialize, Serialize};

/// Digits that a price has beyond the finest tick, where there is room.
const PRICE_SPARE: u8 = 2;
/// Digits that a quantity has beyond the step, where there is room.
const QTY_SPARE: u8 = 1;

/// Why a specification cannot be used; trading on the listing stays off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The listing is not configured.
    #[error("listing {} is not in the configuration", .0.0)]
    UnknownListing(InstrumentId),
    /// A figure that must be positive is not.
    #[error("listing {}: {field} is {value}; it must be positive: check the venue's instrument list", .id.0)]
    NotPositive {
        /// The listing.
        id: InstrumentId,
        /// Which figure.
        field: &'static str,
        /// What the venue states.
        value: Num,
    },
    /// The kind differs from the configured canonical instrument's.
    #[error("listing {}: linear or inverse differs from its canonical instrument: correct the configuration", .0.0)]
    WrongKind(InstrumentId),
    /// More decimals than can be kept exactly.
    #[error("listing {}: tick, step and multiplier have {digits} decimals together, at most {MONEY_SCALE} are exact", .id.0)]
    TooFine {
        /// The listing.
        id: InstrumentId,
        /// Decimals of price, quantity and multiplier without spare digits.
        digits: u8,
    },
    /// A figure does not fit 64 bits at its scale.
    #[error("listing {}: {field} does not fit 64 bits at its scale", .id.0)]
    TooLarge {
        /// The listing.
        id: InstrumentId,
        /// Which figure.
        field: &'static str,
    },
}

/// Known listings and their generations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registry {
    /// By [`InstrumentId`]; generation 0 until the venue has stated its specification.
    instruments: Vec<Instrument>,
    /// Finest tick decimals seen, by canonical.
    tick_decimals: Vec<u8>,
    /// Room to prepare a generation before any of it is published.
    draft: Vec<Instrument>,
}

impl Registry {
    /// The configured listings, none of them known yet.
    pub fn new(params: &EngineParams) -> Self {
        let instruments: Vec<Instrument> = params
            .listings
            .iter()
            .take(INSTRUMENTS_MAX)
            .enumerate()
            .map(|(index, listing)| {
                let canonical = params.canonicals.get(listing.canonical.index());
                Instrument {
                    id: InstrumentId(index as u16),
                    venue: listing.venue,
                    canonical: listing.canonical,
                    symbol: listing.symbol,
                    base: canonical.map(|c| c.base).unwrap_or_default(),
                    quote: canonical.map(|c| c.quote).unwrap_or_default(),
                    settle: canonical.map(|c| c.settle).unwrap_or_default(),
                    spec: VenueSpec {
                        kind: canonical.map(|c| c.kind).unwrap_or_default(),
                        ..VenueSpec::default()
                    },
                    ..Instrument::default()
                }
            })
            .collect();
        let draft = Vec::with_capacity(instruments.len());
        Self { tick_decimals: vec![0; params.canonicals.len()], instruments, draft }
    }

    /// Takes in what a venue states and appends the listings that (re)begin: none when nothing is new, the
    /// listing alone in its generation when only its status changed or the generation's scales hold, else
    /// every known listing of the canonical instrument in a new generation. After an error nothing has
    /// changed.
    pub fn on_spec(&mut self, spec: &VenueSpec, out: &mut Vec<Instrument>) -> Result<(), RegistryError> {
        let known = self
            .instruments
            .get(spec.instrument.index())
            .ok_or(RegistryError::UnknownListing(spec.instrument))?;
        let spec = validated(spec, known)?;
        if known.generation > 0 && known.spec == spec {
            return Ok(());
        }
        if known.generation > 0
            && (VenueSpec { status: known.spec.status, band: known.spec.band, ..spec }) == known.spec
        {
            // Only whether it trades, or how far from the mark, changed: prices, quantities and books stay what they are.
            let changed = Instrument { spec, ..*known };
            self.instruments[spec.instrument.index()] = changed;
            out.push(changed);
            return Ok(());
        }
        let (first, canonical) = (known.generation == 0, known.canonical);
        let decimals = spec.tick.scale.max(self.tick_decimals.get(canonical.index()).copied().unwrap_or(0));

        self.draft.clear();
        self.draft.extend(self.instruments.iter().filter(|i| i.canonical == canonical).filter_map(|i| {
            let stated =
                if i.id == spec.instrument { Some(spec) } else { (i.generation > 0).then_some(i.spec) };
            stated.map(|spec| Instrument { spec, ..*i })
        }));
        scale_all(&mut self.draft, decimals)?;

        let generation = self.draft.iter().map(|i| i.generation).max().unwrap_or(0);
        let disturbed = self
            .draft
            .iter()
            .any(|i| i.generation > 0 && scales(i) != scales(&self.instruments[i.id.index()]));
        let begins_anew = !first || disturbed;
        let generation = if begins_anew { generation.saturating_add(1) } else { generation.max(1) };
        if let Some(known) = self.tick_decimals.get_mut(canonical.index()) {
            *known = decimals;
        }
        for instrument in &mut self.draft {
            if begins_anew || instrument.id == spec.instrument {
                instrument.generation = generation;
                self.instruments[instrument.id.index()] = *instrument;
                out.push(*instrument);
            }
        }
        Ok(())
    }

    /// A listing; `None` until its specification is known.
    pub fn get(&self, id: InstrumentId) -> Option<&Instrument> {
        self.instruments.get(id.index()).filter(|instrument| instrument.generation > 0)
    }

    /// All configured listings; those with generation 0 are not known yet.
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }
}

/// The specification without trailing zeros, when it makes sense.
fn validated(spec: &VenueSpec, known: &Instrument) -> Result<VenueSpec, RegistryError> {
    let id = spec.instrument;
    for (field, value) in [("tick", spec.tick), ("step", spec.step), ("multiplier", spec.multiplier)] {
        if value.mantissa <= 0 {
            return Err(RegistryError::NotPositive { id, field, value });
        }
    }
    let optional =
        [("qty_min", spec.qty_min), ("qty_max", spec.qty_max), ("notional_min", spec.notional_min)];
    for (field, value) in optional {
        if value.mantissa < 0 {
            return Err(RegistryError::NotPositive { id, field, value });
        }
    }
    if spec.kind != known.spec.kind {
        return Err(RegistryError::WrongKind(id));
    }
    Ok(VenueSpec {
        multiplier: spec.multiplier.normalized(),
        tick: spec.tick.normalized(),
        step: spec.step.normalized(),
        qty_min: spec.qty_min.normalized(),
        qty_max: spec.qty_max.normalized(),
        notional_min: spec.notional_min.normalized(),
        ..*spec
    })
}

/// Chooses the common price scale, each quantity scale, and derives the integers.
fn scale_all(listings: &mut [Instrument], tick_decimals: u8) -> Result<(), RegistryError> {
    let mut price_scale = tick_decimals + PRICE_SPARE;
    for listing in &*listings {
        let rest = qty_decimals(&listing.spec) + listing.spec.multiplier.scale;
        let digits = tick_decimals + rest;
        if digits > MONEY_SCALE {
            return Err(RegistryError::TooFine { id: listing.id, digits });
        }
        price_scale = price_scale.min(MONEY_SCALE - rest);
    }
    for listing in listings {
        let spec = &listing.spec;
        let id = listing.id;
        let room = MONEY_SCALE - price_scale - spec.multiplier.scale;
        let qty_scale = (qty_decimals(spec) + QTY_SPARE).min(room);
        let at = |num: Num, scale: u8, field: &'static str| {
            num.at_scale(scale).ok_or(RegistryError::TooLarge { id, field })
        };
        listing.tick = at(spec.tick, price_scale, "tick")?;
        listing.step = at(spec.step, qty_scale, "step")?;
        // Without a stated minimum one step is the least.
        listing.qty_min = Qty(at(spec.qty_min, qty_scale, "qty_min")?.max(listing.step));
        listing.qty_max = match spec.qty_max {
            none if none.is_zero() => Qty(i64::MAX),
            // A maximum beyond 64 bits does not bind; a finer one than the step is never reached.
            max if max.scale <= qty_scale => Qty(max.at_scale(qty_scale).unwrap_or(i64::MAX)),
            max => {
                let unit = 10i64.pow(u32::from(max.scale - qty_scale).min(18));
                Qty(max.mantissa / unit)
            }
        };
        (listing.price_scale, listing.qty_scale) = (price_scale, qty_scale);
    }
    Ok(())
}

fn qty_decimals(spec: &VenueSpec) -> u8 {
    spec.step.scale.max(spec.qty_min.scale)
}

/// What makes older prices and quantities void.
fn scales(instrument: &Instrument) -> (u8, u8) {
    (instrument.price_scale, instrument.qty_scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instrument::{CanonicalId, ContractKind, Status, VenueId};
    use crate::domain::params::{CanonicalParams, ListingParams};

    fn num(text: &str) -> Num {
        Num::parse(text.as_bytes()).unwrap()
    }

    fn registry() -> Registry {
        let listing = |id: u16, canonical: u16| ListingParams {
            id: InstrumentId(id),
            venue: VenueId(id as u8 % 2),
            canonical: CanonicalId(canonical),
            ..ListingParams::default()
        };
        Registry::new(&EngineParams {
            canonicals: vec![CanonicalParams::default(), CanonicalParams::default()],
            listings: vec![listing(0, 0), listing(1, 0), listing(2, 1)],
            ..EngineParams::default()
        })
    }

    fn spec(id: u16, tick: &str, step: &str, multiplier: &str) -> VenueSpec {
        VenueSpec {
            instrument: InstrumentId(id),
            tick: num(tick),
            step: num(step),
            qty_min: num(step),
            multiplier: num(multiplier),
            status: Status::Trading,
            ..VenueSpec::default()
        }
    }

    fn feed(registry: &mut Registry, spec: &VenueSpec) -> Vec<(u16, u16, u8, u8)> {
        let mut out = Vec::new();
        registry.on_spec(spec, &mut out).unwrap();
        out.iter().map(|i| (i.id.0, i.generation, i.price_scale, i.qty_scale)).collect()
    }

    #[test]
    fn listings_share_the_finest_price_scale_and_generations_rise_only_when_something_changed() {
        let mut registry = registry();
        assert_eq!(feed(&mut registry, &spec(0, "0.10", "0.001", "1")), [(0, 1, 3, 4)]);
        assert_eq!(
            feed(&mut registry, &spec(0, "0.1", "0.0010", "1.0")),
            [],
            "the same figures, other zeros"
        );
        assert_eq!(feed(&mut registry, &spec(1, "0.1", "0.01", "0.01")), [(1, 1, 3, 3)], "scales hold");
        assert_eq!(feed(&mut registry, &spec(2, "0.0001", "1", "1")), [(2, 1, 6, 1)], "another canonical");
        assert_eq!(feed(&mut registry, &spec(1, "0.01", "0.01", "0.01")), [(0, 2, 4, 4), (1, 2, 4, 3)]);
        assert_eq!(
            feed(&mut registry, &spec(1, "0.1", "0.01", "0.01")),
            [(0, 3, 4, 4), (1, 3, 4, 3)],
            "never coarser"
        );
        let suspended = VenueSpec { status: Status::Suspended, ..spec(0, "0.1", "0.001", "1") };
        assert_eq!(feed(&mut registry, &suspended), [(0, 3, 4, 4)], "the status alone begins nothing");
        assert_eq!(registry.get(InstrumentId(0)).unwrap().spec.status, Status::Suspended);
        let resumed = VenueSpec { step: num("0.01"), status: Status::Trading, ..suspended };
        assert_eq!(feed(&mut registry, &resumed), [(0, 4, 4, 4), (1, 4, 4, 3)], "a new step does");
        assert_eq!(feed(&mut registry, &VenueSpec { status: Status::Suspended, ..resumed }).len(), 1);
        assert_eq!(registry.get(InstrumentId(1)).unwrap().spec.status, Status::Trading);
    }

    #[test]
    fn a_finer_tick_of_a_second_venue_begins_a_generation_for_the_first() {
        let mut registry = registry();
        feed(&mut registry, &spec(0, "0.1", "0.001", "1"));
        assert_eq!(feed(&mut registry, &spec(1, "0.01", "1", "0.01")), [(0, 2, 4, 4), (1, 2, 4, 1)]);
        let listing = registry.get(InstrumentId(0)).unwrap();
        assert_eq!(
            (listing.tick, listing.step, listing.qty_min, listing.qty_max),
            (1000, 10, Qty(10), Qty(i64::MAX))
        );
    }

    #[test]
    fn spare_digits_give_way_and_what_is_too_fine_is_refused_without_a_change() {
        let mut registry = registry();
        // 8 + 6 decimals leave 4: two for the price, one for the quantity.
        assert_eq!(feed(&mut registry, &spec(2, "0.00000001", "0.000001", "1")), [(2, 1, 10, 7)]);
        let mut out = Vec::new();
        let too_fine = spec(2, "0.0000000001", "0.000001", "0.001");
        assert_eq!(
            registry.on_spec(&too_fine, &mut out),
            Err(RegistryError::TooFine { id: InstrumentId(2), digits: 19 })
        );
        assert!(out.is_empty());
        assert_eq!(registry.get(InstrumentId(2)).unwrap().price_scale, 10);
        // 9 + 8 + 1 = 18: no spare digit left.
        assert_eq!(feed(&mut registry, &spec(2, "0.000000001", "0.00000001", "0.1")), [(2, 2, 9, 8)]);
    }

    #[test]
    fn impossible_figures_are_refused_by_name() {
        let mut registry = registry();
        let mut out = Vec::new();
        let error = registry.on_spec(&spec(0, "0", "1", "1"), &mut out).unwrap_err();
        assert_eq!(error, RegistryError::NotPositive { id: InstrumentId(0), field: "tick", value: num("0") });
        let inverse = VenueSpec { kind: ContractKind::Inverse, ..spec(0, "0.1", "1", "1") };
        assert_eq!(registry.on_spec(&inverse, &mut out), Err(RegistryError::WrongKind(InstrumentId(0))));
        let error = registry.on_spec(&spec(9, "1", "1", "1"), &mut out).unwrap_err();
        assert_eq!(error, RegistryError::UnknownListing(InstrumentId(9)));
        assert!(registry.get(InstrumentId(0)).is_none() && out.is_empty());
    }

    #[test]
    fn every_scaled_figure_is_exact() {
        let mut registry = registry();
        let stated = VenueSpec { qty_max: num("120"), qty_min: num("0.005"), ..spec(0, "0.1", "0.001", "1") };
        let mut out = Vec::new();
        registry.on_spec(&stated, &mut out).unwrap();
        let listing = out[0];
        assert_eq!(listing.price_num(crate::domain::instrument::Price(listing.tick)), num("0.1"));
        assert_eq!(listing.qty_num(Qty(listing.step)), num("0.001"));
        assert_eq!(
            (listing.qty_num(listing.qty_min), listing.qty_num(listing.qty_max)),
            (num("0.005"), num("120"))
        );
    }
}
