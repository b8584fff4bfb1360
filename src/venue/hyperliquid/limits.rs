//! What may still be asked of the venue: the weight of our HTTP requests by IP address, and the actions that
//! the account's address has left. Integers and event time only.
//!
//! An IP address has 1200 units of weight a minute, which are split so that questions that can wait never
//! take what cannot:
//!
//! | share | what for | up to |
//! |---|---|---|
//! | bulk | settings of one listing after the other | 480 |
//! | data | metadata, clock, settings of the account | 720 |
//! | account | positions, open orders, fills | 1080 |
//! | urgent | queries of orders (counted when they are answered), the kill thread (20 a round, 1 a batch) | 1200 |
//!
//! An address has one action for each USDC it ever traded, and 10,000 to begin with. Source: the venue's
//! "Rate limits and user limits".

use crate::domain::money::Money;
use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// The window slides by this much.
const PART: Nanos = 5 * SECOND;
/// Parts of a minute, and the one that has begun.
const PARTS: usize = 13;

/// Weight of a question that the venue calls cheap.
pub(super) const CHEAP: u32 = 2;
/// Weight of any other documented question.
pub(super) const PLAIN: u32 = 20;
/// Weight of `userRole`.
pub(super) const DEAR: u32 = 60;
/// Rows of a list of fills that weigh one more.
pub(super) const ROWS_PER_WEIGHT: u32 = 20;

/// Actions that are kept for hedges, exits and cancels: with fewer left nothing is opened.
pub(super) const KEPT: i64 = 1_000;
/// Volume from which on the venue lets an account use its dead man's switch, USDC. Source: its refusal,
/// "Cannot set scheduled cancel time until enough volume traded. Required: $1000000."
pub(super) const SWITCH_VOLUME: Money = Money::from_units(1_000_000);

/// Whose weight a question uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Bulk,
    Data,
    Account,
}

impl Share {
    /// What all questions together may have used when one of this share is asked.
    const fn max(self) -> u32 {
        match self {
            Self::Bulk => 480,
            Self::Data => 720,
            Self::Account => 1_080,
        }
    }
}

/// Weight used over the last minute.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Weights {
    parts: [u32; PARTS],
    /// Number of the part under way.
    current: Nanos,
}

impl Weights {
    /// Counts `weight`, whatever is left.
    pub fn add(&mut self, now: Nanos, weight: u32) {
        self.slide(now);
        let part = &mut self.parts[self.current.rem_euclid(PARTS as Nanos) as usize];
        *part = part.saturating_add(weight);
    }

    /// Counts `weight` if its share allows it.
    ///
    /// # Errors
    /// When to try again.
    pub fn take(&mut self, now: Nanos, weight: u32, share: Share) -> Result<(), Nanos> {
        self.slide(now);
        let used = self.parts.iter().fold(0, |sum: u32, part| sum.saturating_add(*part));
        if used.saturating_add(weight) > share.max() {
            return Err((self.current + 1) * PART);
        }
        self.add(now, weight);
        Ok(())
    }

    fn slide(&mut self, now: Nanos) {
        let part = now.div_euclid(PART);
        let passed = (part - self.current).clamp(0, PARTS as Nanos);
        for back in 0..passed {
            self.parts[(part - back).rem_euclid(PARTS as Nanos) as usize] = 0;
        }
        self.current = self.current.max(part);
    }
}

/// Actions of the address.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Actions {
    /// As the venue last stated: granted and not used.
    stated: Option<i64>,
    /// Answered since.
    own: i64,
    /// Volume ever traded, as last stated.
    volume: Money,
}

impl Actions {
    /// The venue states what is left, and the volume traded.
    pub fn on_stated(&mut self, left: i64, volume: Money) {
        *self = Self { stated: Some(left), own: 0, volume };
    }

    /// One of ours was answered.
    pub fn on_answered(&mut self) {
        self.own = self.own.saturating_add(1);
    }

    /// What is left; nothing while nobody knows.
    pub fn left(&self) -> i64 {
        self.stated.map_or(0, |left| left.saturating_sub(self.own))
    }

    /// Whether something may be opened.
    pub fn is_enough(&self) -> bool {
        self.left() >= KEPT
    }

    /// Whether the dead man's switch may be used; `None` while nobody knows.
    pub fn has_switch(&self) -> Option<bool> {
        self.stated.map(|_| self.volume >= SWITCH_VOLUME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_can_wait_never_takes_what_cannot() {
        let mut weights = Weights::default();
        let take = |weights: &mut Weights, share| {
            (0..100).take_while(|_| weights.take(0, 20, share).is_ok()).count()
        };
        assert_eq!(take(&mut weights, Share::Bulk), 24);
        assert_eq!(take(&mut weights, Share::Data), 12);
        assert_eq!(take(&mut weights, Share::Account), 18);
        assert_eq!(weights.take(SECOND, 2, Share::Account), Err(5 * SECOND));
        assert_eq!(weights.take(64 * SECOND, 2, Share::Bulk), Err(65 * SECOND));
        assert_eq!(weights.take(65 * SECOND, 2, Share::Bulk), Ok(()));
    }

    #[test]
    fn nothing_is_left_while_nobody_knows_and_own_actions_count_until_the_next_word() {
        let mut actions = Actions::default();
        assert!(!actions.is_enough() && actions.has_switch().is_none());
        actions.on_stated(KEPT + 2, Money::from_units(999_999));
        assert!(actions.is_enough() && actions.has_switch() == Some(false));
        (0..3).for_each(|_| actions.on_answered());
        assert!(!actions.is_enough() && actions.left() == KEPT - 1);
        actions.on_stated(i64::MAX, SWITCH_VOLUME);
        assert!(actions.is_enough() && actions.has_switch() == Some(true));
        actions.on_stated(-5, Money::ZERO);
        assert!(actions.left() < 0 && !actions.is_enough());
    }

    proptest! {
        #[test]
        fn no_minute_sees_more_than_a_share_allows(
            tries in proptest::collection::vec((0i64..9_000_000_000, 1u32..61), 1..400),
        ) {
            let mut weights = Weights::default();
            let (mut now, mut taken): (Nanos, Vec<(Nanos, u32)>) = (0, Vec::new());
            for (gap, weight) in tries {
                now += gap;
                if weights.take(now, weight, Share::Data).is_ok() {
                    taken.push((now, weight));
                }
                let minute = taken.iter().filter(|(at, _)| *at > now - 60 * SECOND);
                prop_assert!(minute.map(|(_, weight)| weight).sum::<u32>() <= 720);
            }
        }
    }
}
