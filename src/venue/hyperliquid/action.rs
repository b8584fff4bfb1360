//! Actions as the venue hashes them: MessagePack with the keys in the documented order, then the nonce and
//! the flags of vault and deadline. The egress gate hashes these bytes; nothing here signs.
//!
//! Source: the venue's Python SDK, `utils/signing.py` (`action_hash`, `order_wire_to_action`), and the
//! MessagePack specification (shortest form of every integer and string).

use crate::domain::effect::{Payload, PayloadFull};
use crate::domain::number::Num;
use std::fmt::Write as _;

type Result<T> = std::result::Result<T, PayloadFull>;

/// Text of an exact number, on the stack.
pub(super) struct Short {
    bytes: [u8; 40],
    len: usize,
}

impl Short {
    /// Plain decimal without trailing zeros.
    pub fn of(num: Num) -> Result<Self> {
        let mut text = Self { bytes: [0; 40], len: 0 };
        write!(text, "{num}").map_err(|_| PayloadFull)?;
        Ok(text)
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl std::fmt::Write for Short {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let to = self.bytes.get_mut(self.len..self.len + part.len()).ok_or(std::fmt::Error)?;
        to.copy_from_slice(part.as_bytes());
        self.len += part.len();
        Ok(())
    }
}

/// Writes MessagePack into the signed text of a payload.
pub(super) struct Pack<'a>(pub &'a mut Payload);

impl Pack<'_> {
    /// Begins a map of `pairs` ≤ 15 keys.
    pub fn map(&mut self, pairs: u8) -> Result<&mut Self> {
        self.0.push_sign(&[0x80 | pairs])?;
        Ok(self)
    }

    /// Begins an array of `len` ≤ 15 elements.
    pub fn array(&mut self, len: u8) -> Result<&mut Self> {
        self.0.push_sign(&[0x90 | len])?;
        Ok(self)
    }

    /// A text of at most 255 bytes.
    pub fn text(&mut self, text: &[u8]) -> Result<&mut Self> {
        let len = u8::try_from(text.len()).map_err(|_| PayloadFull)?;
        if len < 32 {
            self.0.push_sign(&[0xa0 | len])?;
        } else {
            self.0.push_sign(&[0xd9, len])?;
        }
        self.0.push_sign(text)?;
        Ok(self)
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: bool) -> Result<&mut Self> {
        self.0.push_sign(&[0xc2 | u8::from(value)])?;
        Ok(self)
    }

    /// A non-negative integer in its shortest form.
    pub fn uint(&mut self, value: u64) -> Result<&mut Self> {
        let bytes = value.to_be_bytes();
        let (mark, from) = match value {
            0..=0x7f => (None, 7),
            0x80..=0xff => (Some(0xcc), 7),
            0x100..=0xffff => (Some(0xcd), 6),
            0x1_0000..=0xffff_ffff => (Some(0xce), 4),
            _ => (Some(0xcf), 0),
        };
        if let Some(mark) = mark {
            self.0.push_sign(&[mark])?;
        }
        self.0.push_sign(&bytes[from..])?;
        Ok(self)
    }

    /// What follows the action: nonce (u64, big-endian), no vault, and the deadline where there is one.
    pub fn tail(&mut self, nonce: u64, expires_after: Option<u64>) -> Result<()> {
        self.0.push_sign(&nonce.to_be_bytes())?;
        self.0.push_sign(&[0])?;
        if let Some(deadline) = expires_after {
            self.0.push_sign(&[0])?;
            self.0.push_sign(&deadline.to_be_bytes())?;
        }
        Ok(())
    }
}

/// The price nearest to `price` that the venue accepts and that is no worse than asked for a buyer (rounded
/// down) or a seller (rounded up): at most five significant figures, or an integer, and at most `decimals`
/// decimals.
pub(super) fn accepted_price(price: Num, decimals: u8, buy: bool) -> Num {
    let price = price.normalized();
    let digits = i32::try_from(price.mantissa.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1));
    let excess = digits.unwrap_or(0) - SIGNIFICANT;
    let by_figures = (i32::from(price.scale) - excess.max(0)).clamp(0, i32::from(price.scale));
    let scale = u8::try_from(by_figures).unwrap_or(0).min(decimals).min(price.scale);
    let unit = 10i64.pow(u32::from(price.scale - scale));
    let down = price.mantissa.div_euclid(unit);
    let up = i64::from(!buy && price.mantissa.rem_euclid(unit) != 0);
    Num::new(down + up, scale).normalized()
}

/// Significant figures of a price.
const SIGNIFICANT: i32 = 5;
/// Decimals of a perpetual's price and size together.
pub(super) const DECIMALS_MAX: u8 = 6;

/// Price step at a price level: five significant figures, but integers always, and at most `decimals`
/// decimals. Without a level the finest step.
pub(super) fn tick_at(level: Option<Num>, decimals: u8) -> Num {
    let Some(level) = level.filter(|level| level.mantissa > 0) else { return Num::new(1, decimals) };
    let exponent =
        i32::try_from(level.mantissa.unsigned_abs().ilog10()).unwrap_or(0) - i32::from(level.scale);
    let wanted = (SIGNIFICANT - 1 - exponent).clamp(0, i32::from(decimals));
    Num::new(1, u8::try_from(wanted).unwrap_or(decimals))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn num(text: &str) -> Num {
        Num::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn prices_keep_five_figures_and_are_never_worse_than_asked() {
        for (price, decimals, buy, expected) in [
            ("61000.5", 1, true, "61000"),
            ("61000.5", 1, false, "61001"),
            ("123456", 1, true, "123456"),
            ("1234.56", 2, true, "1234.5"),
            ("1234.56", 2, false, "1234.6"),
            ("1234.5", 2, false, "1234.5"),
            ("0.01234567", 6, true, "0.012345"),
            ("0.0000123", 6, false, "0.000013"),
            ("2.50000", 6, true, "2.5"),
            ("99999.9", 1, false, "100000"),
        ] {
            assert_eq!(accepted_price(num(price), decimals, buy), num(expected), "{price}");
        }
    }

    #[test]
    fn the_step_follows_the_price() {
        for (level, decimals, expected) in [
            ("61000.5", 1, "1"),
            ("9999.9", 2, "0.1"),
            ("150.25", 4, "0.01"),
            ("2.5", 6, "0.0001"),
            ("0.0123", 6, "0.000001"),
            ("0.5", 6, "0.00001"),
            ("0.5", 3, "0.001"),
        ] {
            assert_eq!(tick_at(Some(num(level)), decimals), num(expected), "{level}");
        }
        assert_eq!(tick_at(None, 3), num("0.001"));
    }

    #[test]
    fn integers_and_texts_have_their_shortest_form() {
        let mut payload = Payload::new();
        let mut pack = Pack(&mut payload);
        for value in [0, 127, 128, 256, 65_536, 1 << 32] {
            pack.uint(value).unwrap();
        }
        pack.text(b"ab").unwrap().text(&[b'x'; 34]).unwrap().boolean(true).unwrap();
        let mut expected = vec![0, 127, 0xcc, 128, 0xcd, 1, 0, 0xce, 0, 1, 0, 0];
        expected.extend([0xcf, 0, 0, 0, 1, 0, 0, 0, 0, 0xa2, b'a', b'b', 0xd9, 34]);
        expected.extend([b'x'; 34]);
        expected.push(0xc3);
        assert_eq!(payload.sign_text(), expected);
    }
}
