//! Amounts of a currency and quantities of a base asset, exact to 10⁻¹⁸.

use super::number::Num;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// Fractional digits of [`Money`] and [`Amount`].
pub const MONEY_SCALE: u8 = 18;

/// 10^18: one unit of currency.
pub const MONEY_UNIT: i128 = 1_000_000_000_000_000_000;

/// A signed amount of some currency in 10⁻¹⁸ units. Which currency is said beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Money(pub i128);

/// A signed quantity of a base asset in 10⁻¹⁸ units: what two venues' contracts are compared by.
pub type Amount = Money;

impl Money {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// Whole units.
    pub const fn from_units(units: i64) -> Self {
        Self(units as i128 * MONEY_UNIT)
    }

    /// Exact: a [`Num`] has at most 18 decimals.
    pub fn from_num(num: Num) -> Self {
        let up = MONEY_SCALE - num.scale.min(MONEY_SCALE);
        Self(i128::from(num.mantissa) * 10i128.pow(u32::from(up)))
    }

    /// The absolute amount.
    pub const fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// For reports only: never feeds a decision.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / MONEY_UNIT as f64
    }
}

impl Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Neg for Money {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for Money {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

/// Plain decimal without trailing zeros.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let digits = self.0.unsigned_abs();
        let unit = MONEY_UNIT.unsigned_abs();
        let (whole, fraction) = (digits / unit, digits % unit);
        if fraction == 0 {
            return f.pad(&format!("{sign}{whole}"));
        }
        let text = format!("{sign}{whole}.{fraction:018}");
        f.pad(text.trim_end_matches('0'))
    }
}
