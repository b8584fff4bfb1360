//! The hottest message, `bookTicker` of a raw stream, in the byte layout that the venue sends: one pass, no
//! table of fields. Anything that deviates by a byte (order, spaces, escapes, signs, long numbers) is none of
//! its business: it returns `None` and the general parser decides. A property test holds the two equal.

use crate::domain::number::Num;
use crate::venue::message::Message;

/// Most digits that always fit an `i64`.
const DIGITS_MAX: usize = 18;

/// The message, when the frame has exactly the usual layout.
#[inline]
pub fn book_ticker(frame: &[u8]) -> Option<Message<'_>> {
    let mut scan = Scan { rest: frame };
    scan.literal(b"{\"e\":\"bookTicker\",\"u\":")?;
    let id = scan.integer()?;
    scan.literal(b",\"s\":\"")?;
    let symbol = scan.name()?;
    scan.literal(b",\"b\":\"")?;
    let bid = scan.decimal()?;
    scan.literal(b",\"B\":\"")?;
    let bid_qty = scan.decimal()?;
    scan.literal(b",\"a\":\"")?;
    let ask = scan.decimal()?;
    scan.literal(b",\"A\":\"")?;
    let ask_qty = scan.decimal()?;
    scan.literal(b",\"T\":")?;
    let time = scan.integer()?;
    scan.literal(b",\"E\":")?;
    scan.integer()?;
    if scan.rest != b"}" {
        // Sent since 2026.
        scan.literal(b",\"st\":")?;
        scan.integer()?;
        scan.literal(b"}")?;
        if !scan.rest.is_empty() {
            return None;
        }
    }
    let time_ms = i64::try_from(time).ok()?;
    Some(Message::Bbo { symbol, id, bid: (bid, bid_qty), ask: (ask, ask_qty), time_ms })
}

struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    #[inline(always)]
    fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(text)?;
        Some(())
    }

    /// Digits up to something else.
    #[inline(always)]
    fn integer(&mut self) -> Option<u64> {
        let (mut value, mut count) = (0u64, 0);
        while let Some(digit) =
            self.rest.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
        {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            count += 1;
        }
        self.rest = &self.rest[count..];
        (1..=DIGITS_MAX).contains(&count).then_some(value)
    }

    /// Digits with at most one point between them, and the closing quote.
    #[inline(always)]
    fn decimal(&mut self) -> Option<Num> {
        let (mut mantissa, mut at, mut point) = (0i64, 0, None);
        loop {
            let byte = *self.rest.get(at)?;
            match byte {
                b'0'..=b'9' => mantissa = mantissa.wrapping_mul(10).wrapping_add(i64::from(byte - b'0')),
                b'.' if point.is_none() && at > 0 => point = Some(at),
                b'"' => break,
                _ => return None,
            }
            at += 1;
        }
        let scale = point.map_or(0, |point| at - point - 1);
        let digits = at - usize::from(point.is_some());
        if digits == 0 || digits > DIGITS_MAX || (point.is_some() && scale == 0) {
            return None;
        }
        self.rest = &self.rest[at + 1..];
        Some(Num::new(mantissa, scale as u8))
    }

    /// A non-empty string without escapes, and the closing quote.
    #[inline(always)]
    fn name(&mut self) -> Option<&'a [u8]> {
        let len = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
        if len == 0 || self.rest[len] != b'"' {
            return None;
        }
        let text = &self.rest[..len];
        self.rest = &self.rest[len + 1..];
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::binance::decode::Parser;
    use proptest::prelude::*;

    const FRAME: &str = r#"{"e":"bookTicker","u":600859600576,"s":"SUSHIUSDT","b":"7.6110","B":"2","a":"7.6120","A":"297","T":1626992741012,"E":1626992741017}"#;

    /// What the general parser makes of it, when it is one best bid and ask.
    fn general(frame: &[u8]) -> Option<String> {
        let mut seen = None;
        Parser::default()
            .parse_general(frame, |message| {
                seen = matches!(message, Message::Bbo { .. }).then(|| format!("{message:?}"))
            })
            .ok()?;
        seen
    }

    #[test]
    fn the_usual_layout_is_read_and_others_are_left_to_the_general_parser() {
        for frame in [FRAME.to_owned(), FRAME.replace('}', r#","st":1}"#)] {
            let fast = book_ticker(frame.as_bytes()).map(|message| format!("{message:?}"));
            assert!(fast.is_some());
            assert_eq!(fast, general(frame.as_bytes()));
        }
        for (from, to) in [
            ("\"u\":", "\"u\": "),
            ("SUSHI", "SU\\u0053HI"),
            ("7.6110", "-7.6110"),
            ("7.6110", "7.6e1"),
            ("7.6110", ".6"),
            ("7.6110", "7."),
            ("7.6110", ""),
            ("297", "1234567890123456789"),
            ("}", "} "),
            ("}", ",\"st\":1}x"),
        ] {
            assert!(book_ticker(FRAME.replace(from, to).as_bytes()).is_none(), "{to}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_fast_reads_the_same_in_general(
            edits in proptest::collection::vec(
                (any::<prop::sample::Index>(), prop::sample::select(b"0123456789.\",:{}-e \\AB\x01".to_vec()), 0..3u8),
                0..4,
            ),
        ) {
            let mut frame = FRAME.as_bytes().to_vec();
            for (at, byte, how) in edits {
                let at = at.index(frame.len());
                match how {
                    0 => frame[at] = byte,
                    1 => frame.insert(at, byte),
                    _ => { frame.remove(at); }
                }
            }
            if let Some(message) = book_ticker(&frame) {
                prop_assert_eq!(Some(format!("{message:?}")), general(&frame));
            }
        }
    }
}
