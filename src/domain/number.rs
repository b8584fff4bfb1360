//! Exact decimal numbers as venues write them. Parse exactly or refuse; never a float.

use super::digits;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most fractional digits a [`Num`] can carry.
pub const SCALE_MAX: u8 = 18;

/// 10^0 … 10^18.
pub const POW10: [i64; 19] = {
    let mut table = [1i64; 19];
    let mut i = 1;
    while i < 19 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// An exact decimal: `mantissa × 10^-scale`, `scale ≤ 18`.
///
/// The scale is kept as the venue sent it (`"0.10"` is 10 at scale 2) as long as it fits, because OKX
/// checksums are over the sent text. Comparison is therefore by [`Num::normalized`], not derived.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Num {
    /// Digits as an integer.
    pub mantissa: i64,
    /// Fractional digits, at most [`SCALE_MAX`].
    pub scale: u8,
}

/// Why a text is not a [`Num`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumError {
    /// No digits at all.
    #[error("empty number")]
    Empty,
    /// A byte that cannot stand in a decimal number.
    #[error("not a decimal number")]
    Syntax,
    /// More significant digits or decimals than can be kept exactly.
    #[error("more digits than can be kept exactly")]
    TooLong,
}

impl Num {
    /// Zero.
    pub const ZERO: Self = Self { mantissa: 0, scale: 0 };

    /// `mantissa × 10^-scale`.
    pub const fn new(mantissa: i64, scale: u8) -> Self {
        Self { mantissa, scale }
    }

    /// Parses `[-]digits[.digits][e[±]digits]`. Leading zeros are accepted; `+`, spaces, a lone point
    /// and an empty text are refused; so is anything that does not fit 18 digits after dropping
    /// trailing zeros.
    #[inline]
    pub fn parse(text: &[u8]) -> Result<Self, NumError> {
        match digits::whole(text) {
            Some(run) => Ok(Self { mantissa: run.mantissa(), scale: run.scale() }),
            None => Self::parse_bytewise(text),
        }
    }

    /// [`Num::parse`] for any text: signs, sixteen bytes and more, and whatever is none.
    fn parse_bytewise(text: &[u8]) -> Result<Self, NumError> {
        let (negative, digits) = match text {
            [] => return Err(NumError::Empty),
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let mut mantissa: i64 = 0;
        let mut scale: u8 = 0;
        let mut count = 0usize;
        let mut point = false;
        for (i, byte) in digits.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    // 18 digits always fit an i64; the slow path decides about longer ones.
                    if count == 18 {
                        return Self::parse_long(negative, digits);
                    }
                    mantissa = mantissa * 10 + i64::from(byte - b'0');
                    count += 1;
                    scale += u8::from(point);
                }
                b'.' if !point && count > 0 && i + 1 < digits.len() => point = true,
                b'e' | b'E' if count > 0 => return Self::parse_long(negative, digits),
                _ => return Err(NumError::Syntax),
            }
        }
        if count == 0 {
            return Err(NumError::Syntax);
        }
        Ok(Self { mantissa: if negative { -mantissa } else { mantissa }, scale })
    }

    /// Exponents, many leading zeros or more than 18 digits.
    fn parse_long(negative: bool, text: &[u8]) -> Result<Self, NumError> {
        let (digits, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
            Some(at) => (&text[..at], parse_exponent(&text[at + 1..])?),
            None => (text, 0),
        };
        let mut mantissa: i128 = 0;
        let mut scale: i32 = 0;
        let mut significant = 0;
        let mut seen = 0usize;
        let mut point = false;
        for (i, byte) in digits.iter().enumerate() {
            match byte {
                b'0'..=b'9' => {
                    if significant > 0 || *byte != b'0' {
                        significant += 1;
                    }
                    // 37 digits fit an i128; what is longer can only be exact if zero, so refuse.
                    if significant > 37 {
                        return Err(NumError::TooLong);
                    }
                    mantissa = mantissa * 10 + i128::from(byte - b'0');
                    seen += 1;
                    scale += i32::from(point);
                }
                b'.' if !point && seen > 0 && i + 1 < digits.len() => point = true,
                _ => return Err(NumError::Syntax),
            }
        }
        if seen == 0 {
            return Err(NumError::Syntax);
        }
        scale = scale.saturating_sub(exponent);
        if mantissa == 0 {
            return Ok(Self::ZERO);
        }
        while mantissa % 10 == 0 && (scale > i32::from(SCALE_MAX) || i64::try_from(mantissa).is_err()) {
            mantissa /= 10;
            scale -= 1;
        }
        while scale < 0 {
            mantissa = mantissa.checked_mul(10).ok_or(NumError::TooLong)?;
            scale += 1;
            if mantissa > i128::from(i64::MAX) {
                return Err(NumError::TooLong);
            }
        }
        let mantissa = i64::try_from(mantissa).map_err(|_| NumError::TooLong)?;
        let scale = u8::try_from(scale).ok().filter(|s| *s <= SCALE_MAX).ok_or(NumError::TooLong)?;
        Ok(Self { mantissa: if negative { -mantissa } else { mantissa }, scale })
    }

    /// The integer at `scale` fractional digits, or `None` when it is not exact or does not fit.
    pub fn at_scale(self, scale: u8) -> Option<i64> {
        if scale >= self.scale {
            self.mantissa.checked_mul(*POW10.get(usize::from(scale - self.scale))?)
        } else {
            let unit = *POW10.get(usize::from(self.scale - scale))?;
            (self.mantissa % unit == 0).then(|| self.mantissa / unit)
        }
    }

    /// The same number without trailing fractional zeros.
    pub fn normalized(self) -> Self {
        let Self { mut mantissa, mut scale } = self;
        while scale > 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            scale -= 1;
        }
        Self { mantissa, scale }
    }

    /// True for zero of any scale.
    pub fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// Writes the number with exactly the stored fractional digits (`"0.10"` stays `0.10`).
    pub fn write_as_sent(self, out: &mut impl fmt::Write) -> fmt::Result {
        if self.mantissa < 0 {
            out.write_char('-')?;
        }
        let digits = self.mantissa.unsigned_abs();
        if self.scale == 0 {
            return write!(out, "{digits}");
        }
        let unit = POW10[usize::from(self.scale.min(SCALE_MAX))].unsigned_abs();
        write!(out, "{}.{:0width$}", digits / unit, digits % unit, width = usize::from(self.scale))
    }
}

/// Plain text without exponent, `+` or trailing fractional zeros; zero is `0`.
impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.normalized().write_as_sent(f)
    }
}

impl PartialEq for Num {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.normalized(), other.normalized());
        (a.mantissa, a.scale) == (b.mantissa, b.scale)
    }
}

impl Eq for Num {}

fn parse_exponent(text: &[u8]) -> Result<i32, NumError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumError::Syntax);
    }
    let significant = digits.iter().position(|b| *b != b'0').map_or(&digits[..0], |at| &digits[at..]);
    if significant.len() > 3 {
        return Err(NumError::TooLong);
    }
    let value = significant.iter().fold(0i32, |v, b| v * 10 + i32::from(b - b'0'));
    Ok(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(input: &str) -> Result<String, NumError> {
        Num::parse(input.as_bytes()).map(|n| n.to_string())
    }

    #[test]
    fn venue_strings_are_kept_exactly_or_refused() {
        for (input, expected) in [
            ("61800.20", "61800.2"),
            ("0", "0"),
            ("0.000", "0"),
            ("-0.00000189", "-0.00000189"),
            ("007.5", "7.5"),
            ("1e-8", "0.00000001"),
            ("1.0002e6", "1000200"),
            ("1E+2", "100"),
            ("0e99", "0"),
            ("100000000.0000000000000000", "100000000"),
            ("0.0001000000000000", "0.0001"),
            ("0.000000000000000001", "0.000000000000000001"),
            ("2385812703.752047677463", "2385812703.752047677463"),
            ("0000000000000000000000000001", "1"),
            ("9223372036854775807", "9223372036854775807"),
        ] {
            let parsed = text(input);
            if input == "2385812703.752047677463" {
                assert_eq!(parsed, Err(NumError::TooLong), "22 significant digits do not fit an i64");
            } else {
                assert_eq!(parsed.as_deref(), Ok(expected), "{input}");
            }
        }
        for input in
            ["", "-", ".", ".5", "5.", "+1", " 1", "1 ", "1e", "1e+", "e5", "0x10", "1.2.3", "NaN", "1,5"]
        {
            assert!(text(input).is_err(), "{input:?} must be refused");
        }
        for input in ["9223372036854775808", "0.0000000000000000001", "1e19", "1e-19", "1e999999"] {
            assert_eq!(text(input), Err(NumError::TooLong), "{input}");
        }
    }

    #[test]
    fn sent_text_survives_for_checksums() {
        for input in ["0.10", "7.6110", "-1.50", "12", "0.00000000"] {
            let mut out = String::new();
            Num::parse(input.as_bytes()).unwrap().write_as_sent(&mut out).unwrap();
            assert_eq!(out, input);
        }
    }

    proptest! {
        #[test]
        fn display_round_trips(mantissa in any::<i64>(), scale in 0u8..=18) {
            prop_assume!(mantissa != i64::MIN);
            let num = Num::new(mantissa, scale);
            prop_assert_eq!(Num::parse(num.to_string().as_bytes()), Ok(num));
        }

        #[test]
        fn rescaling_is_exact_or_none(mantissa in -1_000_000_000i64..1_000_000_000, scale in 0u8..=9, to in 0u8..=12) {
            let num = Num::new(mantissa, scale);
            match num.at_scale(to) {
                Some(value) => prop_assert_eq!(Num::new(value, to), num),
                None => {
                    let up = i128::from(mantissa) * 10i128.pow(u32::from(to.saturating_sub(scale)));
                    prop_assert!(to < num.normalized().scale || i64::try_from(up).is_err());
                }
            }
        }

        #[test]
        fn sixteen_bytes_at_once_are_the_same_number(text in "-?[0-9]{0,10}[.]?[0-9]{0,10}(e-?[0-9])?") {
            let show = |parsed: Result<Num, NumError>| parsed.map(|num| (num.mantissa, num.scale));
            prop_assert_eq!(show(Num::parse(text.as_bytes())), show(Num::parse_bytewise(text.as_bytes())));
        }

        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Num::parse(&bytes);
        }
    }
}
