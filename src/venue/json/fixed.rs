//! Messages of a fixed layout in one step per value: each function takes a text that begins with a value, and gives
//! the value and what follows the literal behind it. `None` says nothing about the text; the caller then reads it
//! value by value.
//!
//! Best prices are read so. Beside a [`Cursor`](super::Cursor) in the same layout it saves a third to a half: a slice
//! that shrinks needs one comparison of lengths where a position needs two, no value is taken this near to the end
//! that it had to be copied first, and times are read from the end of the message, while the prices are still waited for.

use super::usual::led;
use crate::domain::digits;
use crate::domain::number::Num;

/// What is left, behind `literal`.
#[inline(always)]
pub fn behind<'a>(text: &'a [u8], literal: &[u8]) -> Option<&'a [u8]> {
    text.strip_prefix(literal)
}

/// An unsigned decimal in quotes, of which `then` begins with the closing one.
#[inline(always)]
pub fn quoted<'a>(text: &'a [u8], then: &[u8]) -> Option<(Num, &'a [u8])> {
    let run = digits::run(text.first_chunk()?);
    if !run.is_some() {
        return None;
    }
    Some((Num::new(run.mantissa(), run.scale()), behind(text.get(run.len()..)?, then)?))
}

/// An unsigned decimal without quotes; `then` begins with what may stand behind a number.
#[inline(always)]
pub fn bare<'a>(text: &'a [u8], then: &[u8]) -> Option<(Num, &'a [u8])> {
    // No JSON with another digit behind a zero.
    let zero = text.first() == Some(&b'0');
    let (num, rest) = quoted(text, then)?;
    let led_by_zero = zero && text.len() - rest.len() > led(num.scale) + then.len();
    (!led_by_zero).then_some((num, rest))
}

/// An unsigned integer without quotes; `then` begins with what may stand behind a number.
#[inline(always)]
pub fn int<'a>(text: &'a [u8], then: &[u8]) -> Option<(i64, &'a [u8])> {
    let (num, rest) = bare(text, then)?;
    (num.scale == 0).then_some((num.mantissa, rest))
}

/// An unsigned decimal without quotes that is the whole of `text`.
#[inline(always)]
pub fn whole(text: &[u8]) -> Option<Num> {
    let run = digits::whole(text)?;
    let led_by_zero = text.first() == Some(&b'0') && run.len() > led(run.scale());
    (!led_by_zero).then_some(Num::new(run.mantissa(), run.scale()))
}

/// Thirteen digits: milliseconds since 1970, from 2001 to 2286.
#[inline(always)]
pub fn millis(text: &[u8; 13]) -> Option<i64> {
    let run = digits::whole(text)?;
    (run.scale() == 0 && text[0] != b'0').then_some(run.mantissa())
}

/// A string that is not empty, of which `then` begins with the closing quote.
#[inline(always)]
pub fn name<'a>(text: &'a [u8], then: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (mut rest, mut len) = (text, 0);
    loop {
        let (word, more) = rest.split_first_chunk::<8>()?;
        let stop = digits::string_stop(*word);
        len += stop;
        if stop < 8 {
            break;
        }
        rest = more;
    }
    let (name, rest) = text.split_at_checked(len)?;
    (!name.is_empty()).then_some((name, behind(rest, then)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::json::Cursor;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_taken_here_is_what_a_cursor_reads(
            text in "-?0?[0-9]{0,17}[.]?[0-9]{0,17}([eE\"][0-9]?)?[,}]{1,18}",
            then in prop::sample::select(vec![",", "}", "\""]),
        ) {
            let text = text.as_bytes();
            let left = |rest: &[u8]| text.len() - rest.len();
            if let Some((num, rest)) = quoted(text, then.as_bytes()) {
                let string = [b"\"", &text[..left(rest) - 1], b"\""].concat();
                prop_assert_eq!(Cursor::plain(&string).num("x"), Ok(num));
            }
            if then != "\"" {
                for (num, rest) in [bare(text, then.as_bytes()), int(text, then.as_bytes()).map(|(int, rest)| (Num::new(int, 0), rest))].into_iter().flatten() {
                    let mut cursor = Cursor::plain(&text[..left(rest) - 1]);
                    prop_assert_eq!(cursor.num("x"), Ok(num));
                    prop_assert_eq!(cursor.end(), Ok(()));
                }
            }
        }

        #[test]
        fn a_whole_number_is_what_a_cursor_reads(text in "[0-9]{0,9}[.]?[0-9]{0,9}[eE,-]?") {
            let mut cursor = Cursor::plain(text.as_bytes());
            let expected = cursor.num("x").and_then(|num| cursor.end().map(|()| num)).ok();
            if let Some(num) = whole(text.as_bytes()) {
                prop_assert_eq!(Some(num), expected);
            }
        }

        #[test]
        fn thirteen_digits_are_milliseconds(text in "[0-9]{12}[0-9.e]") {
            let text: &[u8; 13] = text.as_bytes().first_chunk().unwrap();
            let mut cursor = Cursor::plain(text);
            let expected = cursor.int("x").and_then(|int| cursor.end().map(|()| int)).ok();
            prop_assert_eq!(millis(text), expected.filter(|_| text[0] != b'0'));
        }

        #[test]
        fn a_name_is_what_a_cursor_reads(text in "[A-Z\\\\é\x01-]{0,20}", spaces in 0..12usize) {
            let ended = format!("{text}\"{}", " ".repeat(spaces));
            let quoted = format!("\"{text}\"");
            if let Some((name, rest)) = name(ended.as_bytes(), b"\"") {
                prop_assert_eq!(Cursor::plain(quoted.as_bytes()).string(), Ok(name));
                prop_assert_eq!(rest.len(), spaces);
            }
        }
    }

    #[test]
    fn usual_values_are_taken() {
        let text = b"61800.25\",\"x\":17,\"BTC-PERPETUAL\":0.5,1790000000000 ";
        let (price, rest) = quoted(text, b"\",\"x\":").unwrap();
        let (count, rest) = int(rest, b",\"").unwrap();
        let (name, rest) = name(rest, b"\":").unwrap();
        let (half, rest) = bare(rest, b",").unwrap();
        assert_eq!(
            (price, count, name, half),
            (Num::new(6_180_025, 2), 17, &b"BTC-PERPETUAL"[..], Num::new(5, 1))
        );
        assert_eq!(millis(rest.first_chunk().unwrap()), Some(1_790_000_000_000));
        assert_eq!(whole(b"40.0"), Some(Num::new(400, 1)));
        assert_eq!(
            (whole(b"040"), int(b"040,              ", b","), bare(b"1e5,            ", b",")),
            (None, None, None)
        );
    }
}
