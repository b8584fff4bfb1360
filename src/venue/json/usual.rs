//! Values in the form that venues usually write them: no spaces, no escapes, a number of at most 15 bytes. Each
//! function either reads what stands at the cursor in one step, or says `None` and leaves the cursor where it is;
//! the caller then reads value by value. So nothing here decides what a text means, only how fast.

use super::Cursor;
use crate::domain::digits::{self, Run};
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
        let (run, next) = self.run()?;
        if next != b'"' {
            return None;
        }
        self.at += usize::from(run.len) + 1;
        Some(Num::new(run.mantissa, run.scale))
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
        let (run, next) = self.run()?;
        if matches!(next, b'.' | b'e' | b'E') || (self.bytes[self.at] == b'0' && led_by_zero(run)) {
            return None;
        }
        self.at += usize::from(run.len);
        Some(Num::new(run.mantissa, run.scale))
    }

    /// Passes over an integer of up to seven digits without quotes, such as a number of orders.
    #[inline(always)]
    pub fn short_int(&mut self) -> Option<()> {
        let text = self.bytes.get(self.at..)?.first_chunk::<8>()?;
        let count = digits::leading(*text);
        let whole = count == 1 || ((2..8).contains(&count) && text[0] != b'0');
        if !whole || matches!(text[count], b'.' | b'e' | b'E') {
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

    /// An array's first two elements, `["61800.2","0.5"`, and nothing of what is behind them.
    #[inline(always)]
    pub fn quoted_pair(&mut self) -> Option<(Num, Num)> {
        let mut ahead = *self;
        ahead.literal(b"[\"")?;
        let first = ahead.quoted_num()?;
        ahead.literal(b",\"")?;
        let second = ahead.quoted_num()?;
        self.at = ahead.at;
        Some((first, second))
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

    /// The decimal that stands next, and the byte behind it; 0 = the end of the text.
    #[inline(always)]
    fn run(&self) -> Option<(Run, u8)> {
        let rest = self.bytes.get(self.at..)?;
        let text = rest.first_chunk::<16>().copied().unwrap_or_else(|| padded(rest));
        let run = digits::run(&text)?;
        Some((run, text[usize::from(run.len & 15)]))
    }
}

/// The last bytes of a text, and zeros.
#[inline(never)]
fn padded(rest: &[u8]) -> [u8; 16] {
    let mut text = [0; 16];
    for (to, from) in text.iter_mut().zip(rest) {
        *to = *from;
    }
    text
}

/// More than one digit before the point: with a zero first, that is no JSON.
#[inline(always)]
const fn led_by_zero(run: Run) -> bool {
    run.len > run.scale + if run.scale > 0 { 2 } else { 1 }
}
