//! Amounts of a currency and quantities of a base asset, exact to 10⁻¹⁸.

use super::number::Num;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};

/// Fractional digits of [`Money`] and [`Amount`].
pub const MONEY_SCALE: u8 = 18;

/// 10^18: one unit of currency.
pub const MONEY_UNIT: i128 = 1_000_000_000_000_000_000;

/// A signed amount of some currency in 10⁻¹⁸ units. Which currency is said beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Exact decimal text for people, the integer for the journal.
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i128::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom(format!("`{text}` is not an amount")))
    }
}

/// Parses `[-]digits[.digits]` with at most 18 decimals.
impl std::str::FromStr for Money {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty()
            || fraction.len() > 18
            || !format!("{whole}{fraction}").bytes().all(|b| b.is_ascii_digit())
        {
            return Err(());
        }
        let value: i128 = format!("{whole}{fraction:0<18}").parse().map_err(|_| ())?;
        Ok(Self(if negative { -value } else { value }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_and_journal_forms_round_trip(value in any::<i64>(), big in any::<i64>()) {
            let money = Money(i128::from(value) * i128::from(big));
            prop_assert_eq!(money.to_string().parse(), Ok(money));
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
            let mut scratch = [0; 32];
            let bytes = postcard::to_slice(&money, &mut scratch).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Money>(bytes).unwrap(), money);
        }
    }
}
