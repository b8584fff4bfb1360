//! What an address may still do: one request for each unit of the quote currency that it ever traded, and some to
//! begin with.

use crate::domain::money::{MONEY_UNIT, Money};
use crate::domain::time::{Nanos, SECOND};
use crate::sim::config::{SimAccount, SimVenueConfig};
use serde_json::{Value, json};

/// An exhausted address may act once in this time.
const TRICKLE: Nanos = 10 * SECOND;
/// Volume from which on an address may use its dead man's switch.
const SWITCH_VOLUME: Money = Money::from_units(1_000_000);
/// Cancels have so many more requests, and at most as many again.
const CANCELS_MORE: i64 = 100_000;

/// One address.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Address {
    first: i64,
    used: i64,
    volume: Money,
    free_at: Nanos,
}

impl Address {
    pub(super) fn new(venue: &SimVenueConfig, account: &SimAccount) -> Self {
        Self {
            first: venue.address_requests.into(),
            volume: Money::from_units(account.settings.traded_usd),
            ..Self::default()
        }
    }

    pub(super) fn on_traded(&mut self, notional: Money) {
        self.volume += notional.abs();
    }

    fn granted(&self) -> i64 {
        let whole = i64::try_from(self.volume.0 / MONEY_UNIT).unwrap_or(i64::MAX);
        self.first.saturating_add(whole)
    }

    fn traded(&self) -> String {
        format!("{:.2}", self.volume.to_f64())
    }

    /// Counts `count` requests; the error is the venue's refusal.
    pub(super) fn take(&mut self, count: i64, cancels: bool, now: Nanos) -> Result<(), String> {
        let granted = self.granted();
        let limit = if cancels { (granted + CANCELS_MORE).min(granted * 2) } else { granted };
        if self.used + count > limit {
            if now < self.free_at {
                return Err(format!(
                    "Too many cumulative requests sent ({} > {limit}) for cumulative volume traded ${}. Place taker \
                     orders to free up 1 request per USDC traded.",
                    self.used + count,
                    self.traded(),
                ));
            }
            self.free_at = now + TRICKLE;
        }
        self.used += count;
        Ok(())
    }

    /// Whether the dead man's switch may be used; the error is the venue's refusal.
    pub(super) fn may_schedule(&self) -> Result<(), String> {
        if self.volume >= SWITCH_VOLUME {
            return Ok(());
        }
        Err(format!(
            "Cannot set scheduled cancel time until enough volume traded. Required: $1000000. Traded: ${}.",
            self.traded()
        ))
    }

    /// `userRateLimit`.
    pub(super) fn shown(&self) -> Value {
        json!({
            "cumVlm": super::rows::amount(self.volume),
            "nRequestsUsed": self.used,
            "nRequestsCap": self.granted(),
            "nRequestsSurplus": 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exhausted_address_acts_once_in_ten_seconds_and_cancels_for_longer() {
        let venue = SimVenueConfig { address_requests: 3, ..SimVenueConfig::default() };
        let mut address = Address::new(&venue, &SimAccount::default());
        assert!((0..3).all(|_| address.take(1, false, 0).is_ok()));
        assert!(address.take(1, false, SECOND).is_ok(), "one passes");
        let said = address.take(1, false, 2 * SECOND).unwrap_err();
        assert!(said.starts_with("Too many cumulative requests sent (5 > 3)"), "{said}");
        assert!(address.take(2, true, 2 * SECOND).is_ok(), "twice as many cancels");
        assert!(address.take(1, true, 2 * SECOND).is_err());
        assert!(address.take(1, false, 11 * SECOND).is_ok());
        address.on_traded(Money::from_units(-9));
        assert!((0..5).all(|_| address.take(1, false, 12 * SECOND).is_ok()), "what is traded is granted");
        assert_eq!(
            (address.shown()["nRequestsCap"].as_i64(), address.shown()["nRequestsUsed"].as_i64()),
            (Some(12), Some(12))
        );
        assert!(address.may_schedule().unwrap_err().contains("Required: $1000000. Traded: $9.00."));
        address.on_traded(SWITCH_VOLUME);
        assert_eq!(address.may_schedule(), Ok(()));
    }
}
