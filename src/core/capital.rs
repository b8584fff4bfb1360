//! Margin per venue and currency: reserved for orders, used by positions, free for new ones.
//!
//! A basket's margin is reserved whole or not at all. Every order carries its own reservation: a fill
//! moves its part from reserved to the position, an end gives the rest back, and Unknown keeps it. So when
//! all orders are closed nothing is reserved. An account of which the venue has said nothing has nothing
//! free.

use super::limits::{Checked, Judge, RiskCheck, Violation};
use super::position::mul_div_up;
use crate::domain::event::BalanceReport;
use crate::domain::instrument::{INSTRUMENTS_MAX, InstrumentId, VenueId};
use crate::domain::intent::{ONE_PPB, Ppb};
use crate::domain::money::Money;
use crate::domain::params::EngineParams;
use crate::domain::text::Currency;
use serde::{Deserialize, Serialize};

/// Index of an account in [`Capital`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountId(pub u16);

/// A currency balance at a venue and what of it is bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Venue.
    pub venue: VenueId,
    /// Settlement currency.
    pub currency: Currency,
    /// Wallet balance that the venue stated; `None` = unknown.
    pub wallet: Option<Money>,
    /// Free margin as the venue stated it with the last balance, where it did.
    pub available: Option<Money>,
    /// Margin that fills have bound since `available` was stated.
    pub bound_since: Money,
    /// Reserved for open orders.
    pub reserved: Money,
    /// Margin of our positions.
    pub used: Money,
    /// Unrealised profit of our positions.
    pub unrealised: Money,
}

impl Account {
    /// Margin free for new orders; `None` when the venue has not stated the balance. The venue's own
    /// figure and ours must both allow it; unrealised losses count, gains do not.
    pub fn free(&self) -> Option<Money> {
        let ours = self.wallet? - self.used + self.unrealised.min(Money::ZERO);
        let stated = self.available.map_or(ours, |available| available - self.bound_since);
        Some(ours.min(stated) - self.reserved)
    }
}

/// All accounts of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Capital {
    accounts: Vec<Account>,
    /// Account of each listing's settlement currency.
    by_listing: Vec<AccountId>,
    free_min_ppb: Ppb,
}

impl Capital {
    /// An account for every (venue, settlement currency) of the configured listings.
    pub fn new(params: &EngineParams) -> Self {
        let mut accounts: Vec<Account> = Vec::new();
        let by_listing = params
            .listings
            .iter()
            .take(INSTRUMENTS_MAX)
            .map(|listing| {
                let currency =
                    params.canonicals.get(listing.canonical.index()).map(|c| c.settle).unwrap_or_default();
                let venue = listing.venue;
                let at = accounts.iter().position(|a| a.venue == venue && a.currency == currency);
                AccountId(at.unwrap_or_else(|| {
                    accounts.push(Account { venue, currency, ..Account::default() });
                    accounts.len() - 1
                }) as u16)
            })
            .collect();
        Self { accounts, by_listing, free_min_ppb: params.risk.margin_free_min_ppb }
    }

    /// The account that a listing settles in.
    pub fn account_of(&self, listing: InstrumentId) -> Option<AccountId> {
        self.by_listing.get(listing.index()).copied()
    }

    /// An account.
    pub fn get(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(usize::from(id.0))
    }

    /// All accounts.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The venue states a balance. A figure of free margin holds until the next statement without one.
    pub fn on_balance(&mut self, report: &BalanceReport) {
        let found =
            self.accounts.iter_mut().find(|a| a.venue == report.venue && a.currency == report.currency);
        if let Some(account) = found {
            account.wallet = Some(report.wallet);
            account.available = report.available;
            account.bound_since = Money::ZERO;
        }
    }

    /// Whether all wishes (account, margin), one per leg, together leave the required rest free in every account.
    /// Nothing is free where the balance is not known.
    pub fn check(&self, wishes: &[(AccountId, Money)], judge: &mut impl Judge) -> Result<(), Violation> {
        for (wish, (id, margin)) in wishes.iter().enumerate() {
            if *margin == Money::ZERO {
                continue;
            }
            let account = self.get(*id);
            let free = account.and_then(Account::free);
            let least = account.and_then(|account| account.wallet).map_or(Money::ZERO, |wallet| {
                mul_div_up(wallet.max(Money::ZERO), self.free_min_ppb, ONE_PPB)
            });
            let before: Money = wishes[..wish]
                .iter()
                .filter(|(other, _)| other == id)
                .fold(Money::ZERO, |sum, (_, m)| sum + *m);
            let left = free.map(|free| free - before - *margin);
            let (value, passed) = (left.unwrap_or(Money::ZERO), left.is_some_and(|left| left >= least));
            judge.see(Checked::leg(RiskCheck::Margin, wish, value, least, passed))?;
        }
        Ok(())
    }

    /// Reserves margin for an order (after [`Capital::check`], or without it for urgent orders).
    pub fn reserve(&mut self, id: AccountId, margin: Money) {
        if let Some(account) = self.accounts.get_mut(usize::from(id.0)) {
            account.reserved += margin;
        }
    }

    /// Gives back margin of an order: `filled` says that a position holds it from now on.
    pub fn release(&mut self, id: AccountId, margin: Money, filled: bool) {
        if let Some(account) = self.accounts.get_mut(usize::from(id.0)) {
            account.reserved -= margin;
            if filled && account.available.is_some() {
                account.bound_since += margin;
            }
        }
    }

    /// A position's margin or unrealised profit changed by this much.
    pub fn revalue(&mut self, id: AccountId, used: Money, unrealised: Money) {
        if let Some(account) = self.accounts.get_mut(usize::from(id.0)) {
            account.used += used;
            account.unrealised += unrealised;
        }
    }

    /// Everything reserved, all accounts together (a sum over currencies: only zero or not matters).
    pub fn reserved(&self) -> Money {
        self.accounts.iter().fold(Money::ZERO, |sum, account| sum + account.reserved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::limits::Decide;
    use crate::domain::instrument::CanonicalId;
    use crate::domain::intent::DenyReason;
    use crate::domain::params::{CanonicalParams, ListingParams, RiskParams};

    fn capital() -> Capital {
        let usdt = Currency::new("USDT").unwrap();
        let listing = |id: u16, venue: u8| ListingParams {
            id: InstrumentId(id),
            venue: VenueId(venue),
            canonical: CanonicalId(0),
            ..ListingParams::default()
        };
        Capital::new(&EngineParams {
            canonicals: vec![CanonicalParams { settle: usdt, ..CanonicalParams::default() }],
            listings: vec![listing(0, 0), listing(1, 1), listing(2, 0)],
            risk: RiskParams { margin_free_min_ppb: ONE_PPB / 5, ..RiskParams::default() },
            ..EngineParams::default()
        })
    }

    fn balance(wallet: i64, available: Option<i64>) -> BalanceReport {
        BalanceReport {
            venue: VenueId(0),
            currency: Currency::new("USDT").unwrap(),
            wallet: Money::from_units(wallet),
            available: available.map(Money::from_units),
            venue_ns: 0,
        }
    }

    fn units(units: i64) -> Money {
        Money::from_units(units)
    }

    #[test]
    fn listings_of_a_venue_share_the_account_of_their_settlement_currency() {
        let capital = capital();
        assert_eq!(capital.account_of(InstrumentId(0)), capital.account_of(InstrumentId(2)));
        assert_ne!(capital.account_of(InstrumentId(0)), capital.account_of(InstrumentId(1)));
        assert_eq!(capital.account_of(InstrumentId(9)), None);
    }

    #[test]
    fn an_unknown_balance_has_nothing_free() {
        let capital = capital();
        assert!(capital.check(&[(AccountId(0), Money(1))], &mut Decide).is_err());
        assert_eq!(
            capital.check(&[(AccountId(0), Money::ZERO)], &mut Decide),
            Ok(()),
            "reduce-only needs none"
        );
    }

    #[test]
    fn the_rest_stays_free_and_wishes_on_one_account_add_up() {
        let mut capital = capital();
        capital.on_balance(&balance(1000, None));
        let id = AccountId(0);
        assert_eq!(capital.check(&[(id, units(800))], &mut Decide), Ok(()));
        assert_eq!(
            capital.check(&[(id, units(400)), (id, units(401))], &mut Decide),
            Err(Violation::leg(DenyReason::MarginInsufficient, 1, units(199), units(200)))
        );
        capital.reserve(id, units(500));
        assert!(capital.check(&[(id, units(301))], &mut Decide).is_err());
        capital.release(id, units(200), false);
        capital.release(id, units(300), true);
        assert_eq!(capital.reserved(), Money::ZERO);
        capital.revalue(id, units(300), units(-100));
        assert_eq!(capital.get(id).unwrap().free(), Some(units(600)));
        capital.revalue(id, Money::ZERO, units(400));
        assert_eq!(capital.get(id).unwrap().free(), Some(units(700)), "gains are not margin");
    }

    #[test]
    fn the_venues_own_figure_binds_until_it_states_another() {
        let mut capital = capital();
        let id = AccountId(0);
        capital.on_balance(&balance(1000, Some(600)));
        assert_eq!(capital.get(id).unwrap().free(), Some(units(600)));
        capital.reserve(id, units(100));
        capital.release(id, units(100), true);
        assert_eq!(
            capital.get(id).unwrap().free(),
            Some(units(500)),
            "the venue has not counted the fill yet"
        );
        capital.on_balance(&balance(1000, None));
        assert_eq!(capital.get(id).unwrap().free(), Some(units(1000)));
    }
}
