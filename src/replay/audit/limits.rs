//! Limits of an audit: those that the run was configured with, some of them replaced by the reader.

use crate::domain::intent::BPS;
use crate::domain::money::Money;
use crate::domain::time::MILLI;
use crate::replay::check::CheckLimits;
use serde::Deserialize;

/// Limits in place of the run's own (TOML); what is not named stays as the run had it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instead {
    /// Notional of one order, quote currency.
    pub order_notional_max_usd: Option<i64>,
    /// Absolute position of a listing.
    pub instrument_position_max_usd: Option<i64>,
    /// Sum of absolute positions of a venue.
    pub venue_position_max_usd: Option<i64>,
    /// Sum of all absolute positions.
    pub gross_exposure_max_usd: Option<i64>,
    /// Open orders when an entry is approved.
    pub open_orders_max: Option<u32>,
    /// Entry orders in any second.
    pub order_rate_per_s_max: Option<u32>,
    /// Distance of a limit price from the mid, bps.
    pub price_collar_bps: Option<i64>,
    /// Age of a leg's book, ms.
    pub book_age_max_ms: Option<i64>,
    /// Unhedged notional of a trade; without it, it is only reported.
    pub unhedged_notional_max_usd: Option<i64>,
    /// How long a trade may be unhedged, ms; without it, it is only reported.
    pub unhedged_max_ms: Option<i64>,
}

impl Instead {
    /// Reads the TOML of a file of limits.
    ///
    /// # Errors
    /// A sentence that says where the text is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// `limits` with these in place of theirs.
    pub fn over(&self, mut limits: CheckLimits) -> CheckLimits {
        let money = |own: &mut Money, units: Option<i64>| *own = units.map_or(*own, Money::from_units);
        money(&mut limits.order_notional_max, self.order_notional_max_usd);
        money(&mut limits.instrument_position_max, self.instrument_position_max_usd);
        money(&mut limits.venue_position_max, self.venue_position_max_usd);
        money(&mut limits.gross_exposure_max, self.gross_exposure_max_usd);
        limits.open_orders_max = self.open_orders_max.unwrap_or(limits.open_orders_max);
        limits.order_rate_per_s_max = self.order_rate_per_s_max.unwrap_or(limits.order_rate_per_s_max);
        limits.price_collar_ppb = self.price_collar_bps.map_or(limits.price_collar_ppb, |bps| bps * BPS);
        limits.book_age_max_ns = self.book_age_max_ms.map_or(limits.book_age_max_ns, |ms| ms * MILLI);
        limits.unhedged_notional_max =
            self.unhedged_notional_max_usd.map(Money::from_units).or(limits.unhedged_notional_max);
        limits.unhedged_ns_max = self.unhedged_max_ms.map(|ms| ms * MILLI).or(limits.unhedged_ns_max);
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::params::EngineParams;

    #[test]
    fn only_what_is_named_is_replaced_and_what_is_not_known_is_refused() {
        let own = CheckLimits::of(&EngineParams::default());
        let instead = Instead::parse("order_notional_max_usd = 7\nunhedged_max_ms = 3\n").expect("valid");
        let limits = instead.over(own.clone());
        assert_eq!(limits.order_notional_max, Money::from_units(7));
        assert_eq!(limits.unhedged_ns_max, Some(3 * MILLI));
        assert_eq!(limits.venue_position_max, own.venue_position_max);
        assert!(Instead::parse("order_max = 7").unwrap_err().contains("order_max"));
    }
}
