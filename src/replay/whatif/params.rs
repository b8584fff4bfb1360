//! What may differ between a recorded run and a counterfactual one: rules, limits and fees, never what was heard.

use crate::domain::params::{EngineParams, ScanParams, VenueParams};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// A parameter that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigChange {
    /// Its name with its unit, such as `scan.threshold_ppb` or `venues.okx.taker_fee_ppb`.
    pub key: String,
    /// As the run had it.
    pub old: String,
    /// As it would be.
    pub new: String,
}

/// The recorded parameters with rules, limits, fees and allowances of `new`. What shapes sessions stays as it was
/// recorded: other connections would have heard something else.
///
/// # Errors
/// A venue or an instrument that only one of both has.
pub fn transplant(recorded: &EngineParams, new: &EngineParams) -> Result<EngineParams, String> {
    let dialects = |of: &EngineParams| of.venues.iter().map(|venue| venue.dialect.clone()).collect();
    same("venue", dialects(recorded), dialects(new))?;
    same("instrument", listings(recorded), listings(new))?;
    // What no configuration file can state stays, too.
    let scan = ScanParams { random_entry_ns: recorded.scan.random_entry_ns, ..new.scan.clone() };
    let mut params = EngineParams { scan, risk: new.risk.clone(), ..recorded.clone() };
    for venue in &mut params.venues {
        let Some(of) = new.venues.iter().find(|of| of.dialect == venue.dialect) else { continue };
        *venue = VenueParams {
            taker_fee_ppb: of.taker_fee_ppb,
            maker_fee_ppb: of.maker_fee_ppb,
            margin_ppb: of.margin_ppb,
            orders_per_10s_max: of.orders_per_10s_max,
            ack_timeout_ns: of.ack_timeout_ns,
            order_valid_ms: of.order_valid_ms,
            settle_at_par: of.settle_at_par,
            settle_haircut_ppb: of.settle_haircut_ppb,
            allowance_ppb: of.allowance_ppb,
            miss_prior_ppb: of.miss_prior_ppb,
            ..venue.clone()
        };
    }
    Ok(params)
}

/// The parameters `new` in the order in which the recorded run numbers venues, instruments and listings, where both have the
/// same; else as they are.
pub fn arranged(recorded: &EngineParams, new: EngineParams) -> EngineParams {
    let place = |venue: &VenueParams| recorded.venues.iter().position(|of| of.dialect == venue.dialect);
    let is_same = new.venues.len() == recorded.venues.len()
        && new.venues.iter().all(|venue| place(venue).is_some())
        && listings(recorded) == listings(&new);
    if !is_same {
        return new;
    }
    let mut venues = new.venues;
    venues.sort_by_key(place);
    for (venue, of) in venues.iter_mut().zip(&recorded.venues) {
        // Said in one of two ways.
        if venue.connection_age_max() == of.connection_age_max() {
            venue.connection_age_max_ns = of.connection_age_max_ns;
        }
    }
    let EngineParams { canonicals, listings, .. } = recorded.clone();
    EngineParams { venues, canonicals, listings, ..new }
}

/// Listings by venue, native and unified name.
fn listings(params: &EngineParams) -> BTreeSet<String> {
    let named = params.listings.iter().filter_map(|listing| {
        let venue = &params.venues.get(listing.venue.index())?.dialect;
        let canonical = &params.canonicals.get(listing.canonical.index())?.name;
        Some(format!("{canonical} ({} at {venue})", listing.symbol))
    });
    named.collect()
}

fn same(what: &str, recorded: BTreeSet<String>, new: BTreeSet<String>) -> Result<(), String> {
    let list = |of: Vec<&String>| of.into_iter().cloned().collect::<Vec<_>>().join(", ");
    let missing: Vec<_> = recorded.difference(&new).collect();
    if !missing.is_empty() {
        let missing = list(missing);
        return Err(format!(
            "the journal has the {what} {missing}, and the new configuration does not: a counterfactual runs over what \
             was recorded, so add it"
        ));
    }
    let strange: Vec<_> = new.difference(&recorded).collect();
    if !strange.is_empty() {
        let strange = list(strange);
        return Err(format!(
            "the new configuration has the {what} {strange}, and nothing of it was recorded: remove it"
        ));
    }
    Ok(())
}

/// Every parameter that differs, by name.
pub fn changes(old: &EngineParams, new: &EngineParams) -> Vec<ConfigChange> {
    let mut changes = Vec::new();
    let json = |params: &EngineParams| serde_json::to_value(params).unwrap_or_default();
    differ("", &json(old), &json(new), &mut changes);
    // The model's own terms, and the number of the run.
    changes.retain(|change| !change.key.starts_with("paper") && change.key != "boot_epoch");
    changes
}

fn differ(path: &str, old: &Value, new: &Value, into: &mut Vec<ConfigChange>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, old) in old {
                differ(&below(key), old, new.get(key).unwrap_or(&Value::Null), into);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (old, new)) in a.iter().zip(b).enumerate() {
                let name = old.get("dialect").and_then(Value::as_str);
                differ(&below(name.unwrap_or(&at.to_string())), old, new, into);
            }
        }
        _ if old == new => {}
        _ => into.push(ConfigChange { key: path.to_owned(), old: old.to_string(), new: new.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instrument::{CanonicalId, InstrumentId, VenueId};
    use crate::domain::params::{CanonicalParams, ListingParams};
    use crate::domain::text::Text;

    fn params(venues: &[&str], symbol: &str) -> EngineParams {
        let venue = |dialect: &&str| VenueParams { dialect: (*dialect).to_owned(), ..VenueParams::default() };
        let listing = |at| ListingParams {
            id: InstrumentId(at as u16),
            venue: VenueId(at as u8),
            canonical: CanonicalId(0),
            symbol: Text::new(symbol).expect("short"),
        };
        EngineParams {
            venues: venues.iter().map(venue).collect(),
            canonicals: vec![CanonicalParams { name: "A/B:B".to_owned(), ..CanonicalParams::default() }],
            listings: (0..venues.len()).map(listing).collect(),
            ..EngineParams::default()
        }
    }

    #[test]
    fn rules_and_fees_are_taken_over_by_venue_and_what_was_heard_stays() {
        let recorded = EngineParams { boot_epoch: 7, ..params(&["okx", "bybit"], "AB") };
        let mut new = params(&["bybit", "okx"], "AB");
        new.scan.threshold_ppb += 5;
        new.venues[0].taker_fee_ppb = 42;
        new.venues[0].dead_man_ns = 9;
        new.scan.edge_persist_ns = 11;
        new.scan.random_entry_ns = 13;
        let params = transplant(&recorded, &new).expect("the same venues");
        assert_eq!(params.venues[1].taker_fee_ppb, 42, "bybit's, in the place that the journal has it");
        assert_eq!((params.boot_epoch, params.venues[1].dead_man_ns, params.scan.random_entry_ns), (7, 0, 0));
        let keys: Vec<String> = changes(&recorded, &params).into_iter().map(|change| change.key).collect();
        assert_eq!(keys, ["scan.edge_persist_ns", "scan.threshold_ppb", "venues.bybit.taker_fee_ppb"]);
    }

    #[test]
    fn what_a_file_lists_in_another_order_is_numbered_as_the_run_numbers_it() {
        let recorded = params(&["okx", "bybit"], "AB");
        let mut new = params(&["bybit", "okx"], "AB");
        new.venues[0].taker_fee_ppb = 42;
        new.venues[0].connection_age_max_ns = recorded.venues[0].connection_age_max();
        let keys: Vec<String> =
            changes(&recorded, &arranged(&recorded, new)).into_iter().map(|change| change.key).collect();
        assert_eq!(keys, ["venues.bybit.taker_fee_ppb"]);
        let other = params(&["bybit", "deribit"], "AB");
        assert_eq!(arranged(&recorded, other.clone()), other);
    }

    #[test]
    fn other_venues_and_instruments_are_refused_by_name() {
        let recorded = params(&["okx", "bybit"], "AB");
        for (new, named) in [
            (params(&["okx", "deribit"], "AB"), "the journal has the venue bybit"),
            (params(&["okx", "bybit", "deribit"], "AB"), "the new configuration has the venue deribit"),
            (params(&["okx", "bybit"], "XY"), "A/B:B (AB at bybit), A/B:B (AB at okx)"),
        ] {
            let why = transplant(&recorded, &new).expect_err("another world");
            assert!(why.contains(named), "{why}");
        }
    }
}
