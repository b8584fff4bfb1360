//! Limits of the price that a venue states on a channel of their own, and maybe only when they change: how long they
//! hold.
//!
//! Silence on such a channel means "unchanged" or "dead", and nothing in it tells which. Two things do: limits follow
//! the mark, so where the mark has moved and they have not, their channel is dead; and what a connection did not state
//! itself it says nothing about. A mark therefore repeats the limits only if its own connection stated limits since it
//! stands, and only while it is within [`FOLLOW_PPB`] of the mark at which they were stated. What is not repeated grows
//! old, and is unknown after `BAND_AGE_MAX` of the core.

use super::copies::COPIES;
use crate::domain::number::Num;
use serde::{Deserialize, Serialize};

/// How far the mark may be from where it was when the limits were stated, ppb: 2 bp, which is the guard that the core
/// keeps to a venue's limits.
const FOLLOW_PPB: i128 = 200_000;

/// Highest price to buy at and lowest to sell at.
type Limits = (Option<Num>, Option<Num>);

/// The limits of one listing.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct PriceLimits {
    limits: Limits,
    /// The mark at which they were stated: the last one before, or the first one after.
    stated_at: Option<Num>,
    mark: Option<Num>,
    /// Stated by a connection since it stands, by copy.
    is_stated: [bool; COPIES],
}

impl PriceLimits {
    /// A connection stated limits, maybe as the second one.
    pub fn hear(&mut self, copy: usize) {
        self.is_stated[copy] = true;
    }

    /// The limits now.
    pub fn state(&mut self, limits: Limits) {
        (self.limits, self.stated_at) = (limits, self.mark);
    }

    /// A mark that came on a connection: the limits that may be told with it.
    pub fn beside(&mut self, copy: usize, mark: Option<Num>) -> Limits {
        self.mark = mark.or(self.mark);
        self.stated_at = self.stated_at.or(self.mark);
        let (true, Some(mark), Some(stated_at)) = (self.is_stated[copy], mark, self.stated_at) else {
            return (None, None);
        };
        if is_near(mark, stated_at) { self.limits } else { (None, None) }
    }

    /// A connection is gone, or may have lost a statement.
    pub fn forget(&mut self, copy: usize) {
        self.is_stated[copy] = false;
        if self.is_stated == [false; COPIES] {
            *self = Self::default();
        }
    }
}

/// Whether two positive prices are within [`FOLLOW_PPB`] of the second one.
fn is_near(price: Num, base: Num) -> bool {
    let power = |of: Num, other: Num| 10i128.checked_pow(u32::from(other.scale.saturating_sub(of.scale)));
    let scaled = |of: Num, other| i128::from(of.mantissa).checked_mul(power(of, other)?);
    let far = || {
        let (price, base) = (scaled(price, base)?, scaled(base, price)?);
        Some((price - base).abs().checked_mul(1_000_000_000)? > base.checked_mul(FOLLOW_PPB)?)
    };
    far() == Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn num(text: &str) -> Option<Num> {
        Some(Num::parse(text.as_bytes()).unwrap())
    }

    const NONE: Limits = (None, None);

    #[test]
    fn limits_that_did_not_follow_the_mark_are_not_repeated() {
        let (mut limits, both) = (PriceLimits::default(), (num("105"), num("95")));
        limits.beside(0, num("100"));
        limits.hear(0);
        limits.state(both);
        assert_eq!(limits.beside(0, num("100")), both);
        assert_eq!(limits.beside(0, num("100.02")), both, "2 bp");
        assert_eq!(limits.beside(0, num("100.0201")), NONE);
        assert_eq!(limits.beside(0, num("99.97999")), NONE);
        assert_eq!(limits.beside(0, num("100")), both, "a mark that came back is one they are right for");
        assert_eq!(limits.beside(0, None), NONE);
        limits.beside(0, num("110"));
        limits.state((num("115.5"), None));
        assert_eq!(limits.beside(0, num("110.00001")), (num("115.5"), None));
        assert_eq!(limits.beside(0, num("100")), NONE);
    }

    #[test]
    fn limits_before_the_first_mark_hold_at_it() {
        let mut limits = PriceLimits::default();
        limits.hear(1);
        limits.state((num("1.5"), None));
        assert_eq!(limits.beside(1, num("1")), (num("1.5"), None));
        assert_eq!(limits.beside(1, num("1.001")), NONE);
        assert_eq!(limits.beside(1, Some(Num::new(i64::MAX, 0))), NONE, "no overflow");
    }

    #[test]
    fn only_a_connection_that_stated_limits_repeats_them() {
        let (mut limits, both) = (PriceLimits::default(), (num("105"), num("95")));
        limits.hear(0);
        limits.state(both);
        assert_eq!(limits.beside(0, num("100")), both);
        assert_eq!(limits.beside(1, num("100")), NONE, "its channel may never have come");
        limits.hear(1);
        assert_eq!(limits.beside(1, num("100")), both);
        limits.forget(0);
        assert_eq!((limits.beside(0, num("100")), limits.beside(1, num("100"))), (NONE, both));
        limits.forget(1);
        limits.hear(0);
        assert_eq!(limits.beside(0, num("100")), NONE, "what the ones that are gone said");
    }
}
