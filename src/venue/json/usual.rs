//! Values in the form that venues usually write them: no spaces, no escapes, a number of at most 15 bytes. Each
//! function either reads what stands at the cursor in one step, or says `None` and leaves the cursor where it is;
//! the caller then reads value by value. So nothing here decides what a text means, only how fast.

use super::Cursor;
use crate::domain::digits;
use crate::domain::number::Num;

impl<'a> Cursor<'a> {
    /// Exactly these bytes.
    #[inline(always)]
    pub fn literal(&mut self, text: &[u8]) -> Option<()> {
        let next = self.bytes.get(self.at..)?.starts_with(text);
        self.at += if next { text.len() } else { 0 };
        next.then_some(())
    }

    /// An unsigned decimal behind an opening quote, and the closing one.
    #[inline(always)]
    pub fn quoted_num(&mut self) -> Option<Num> {
        let run = digits::run_at(self.bytes, self.at);
        if !run.is_some() || run.next() != b'"' {
            return None;
        }
        self.at += run.len() + 1;
        Some(Num::new(run.mantissa(), run.scale()))
    }

    /// An unsigned integer behind an opening quote, and the closing one.
    #[inline(always)]
    pub fn quoted_int(&mut self) -> Option<i64> {
        let start = self.at;
        match self.quoted_num()? {
            Num { mantissa, scale: 0 } => Some(mantissa),
            _ => {
                self.at = start;
                None
            }
        }
    }

    /// An unsigned decimal without quotes.
    #[inline(always)]
    pub fn bare_num(&mut self) -> Option<Num> {
        let rest = self.bytes.get(self.at..)?;
        let run = digits::run_at(self.bytes, self.at);
        // No JSON with another digit behind a zero; no usual form with an exponent.
        let led_by_zero = rest.first() == Some(&b'0') && run.len() > led(run.scale());
        if !run.is_some() || led_by_zero || matches!(run.next(), b'e' | b'E') {
            return None;
        }
        self.at += run.len();
        Some(Num::new(run.mantissa(), run.scale()))
    }

    /// Passes over an integer of up to seven digits without quotes, such as a number of orders.
    #[inline(always)]
    pub fn short_int(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        let count = match rest.first_chunk() {
            Some(text) => digits::leading(*text),
            None => rest.iter().take_while(|byte| byte.is_ascii_digit()).count(),
        };
        let whole = count == 1 || ((2..8).contains(&count) && rest[0] != b'0');
        if !whole || matches!(rest.get(count), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at += count;
        Some(())
    }

    /// Passes over a string of up to seven bytes behind its opening quote, and the closing one.
    #[inline(always)]
    pub fn short_string(&mut self) -> Option<()> {
        let text = self.bytes.get(self.at..)?.first_chunk::<8>()?;
        let stop = digits::string_stop(*text);
        if stop == 8 || text[stop] != b'"' {
            return None;
        }
        self.at += stop + 1;
        Some(())
    }

    /// An unsigned integer without quotes.
    #[inline(always)]
    pub fn bare_int(&mut self) -> Option<i64> {
        let start = self.at;
        match self.bare_num()? {
            Num { mantissa, scale: 0 } => Some(mantissa),
            _ => {
                self.at = start;
                None
            }
        }
    }

    /// A string that is not empty, behind an opening quote, and the closing one.
    #[inline(always)]
    pub fn quoted_name(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let mut len = 0;
        loop {
            let stop = digits::string_stop(*rest.get(len..)?.first_chunk::<8>()?);
            len += stop;
            if stop < 8 {
                break;
            }
        }
        if len == 0 || rest[len] != b'"' {
            return None;
        }
        self.at += len + 1;
        Some(&rest[..len])
    }

    /// An array of arrays that begin with two numbers in quotes, `[["61800.2","0.5"],…]`: appended as levels. `end`
    /// gets each level and takes what is behind its second number, with the bracket that closes it. `None` may
    /// leave some levels behind.
    #[inline(always)]
    pub fn quoted_levels(
        &mut self,
        to: &mut Vec<(Num, Num)>,
        end: impl Fn(&mut Self, &(Num, Num)) -> Option<()>,
    ) -> Option<()> {
        let mut ahead = *self;
        ahead.literal(b"[")?;
        if ahead.literal(b"]").is_none() {
            ahead.literal(b"[\"")?;
            loop {
                let price = ahead.quoted_num()?;
                ahead.literal(b",\"")?;
                let level = (price, ahead.quoted_num()?);
                end(&mut ahead, &level)?;
                to.push(level);
                if ahead.literal(b",[\"").is_none() {
                    break;
                }
            }
            ahead.literal(b"]")?;
        }
        self.at = ahead.at;
        Some(())
    }

    /// The next eight bytes, which are not passed.
    #[inline(always)]
    pub fn ahead(&self) -> Option<[u8; 8]> {
        self.bytes.get(self.at..)?.first_chunk().copied()
    }

    /// What follows, as it stands.
    #[inline(always)]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Passes over `count` bytes that were looked at.
    #[inline(always)]
    pub fn advance(&mut self, count: usize) {
        self.at += count;
    }

    /// Nothing follows, not even a space.
    #[inline(always)]
    pub fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// An unsigned decimal, quoted or bare; spaces before it are passed over.
    #[inline(always)]
    pub(super) fn usual_num(&mut self) -> Option<Num> {
        if self.peek() != b'"' {
            return self.bare_num();
        }
        self.at += 1;
        let num = self.quoted_num();
        if num.is_none() {
            self.at -= 1;
        }
        num
    }
}

/// Bytes of a number with one digit before the point.
#[inline(always)]
pub(super) const fn led(scale: u8) -> usize {
    scale as usize + if scale > 0 { 2 } else { 1 }
}
