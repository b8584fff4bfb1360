//! The hottest messages of raw streams in the layout that the venue sends: best bid and ask, depth, trades. One
//! pass, no table of fields. Anything that deviates (order, spaces, escapes, signs, long numbers) is none of its
//! business: `None`, and the general parser decides. Property tests hold the two equal.

use super::continuity::DEPTH;
use crate::domain::order::Side;
use crate::venue::json::{Cursor, fixed};
use crate::venue::message::{Depth, Level, Message};

/// `bookTicker`, when the frame has exactly the usual layout.
#[inline]
pub fn book_ticker(frame: &[u8]) -> Option<Message<'_>> {
    let text = fixed::behind(frame, b"{\"e\":\"bookTicker\",\"u\":")?;
    let (text, time_ms) = times(text)?;
    let (id, text) = fixed::int(text, b",\"s\":\"")?;
    let (symbol, text) = fixed::name(text, b"\",\"b\":\"")?;
    let (bid, text) = fixed::quoted(text, b"\",\"B\":\"")?;
    let (bid_qty, text) = fixed::quoted(text, b"\",\"a\":\"")?;
    let (ask, text) = fixed::quoted(text, b"\",\"A\":\"")?;
    let (ask_qty, text) = fixed::quoted(text, b"\",\"T\":")?;
    // Nothing but the times that were read already.
    if text.len() != TIMES - b",\"T\":".len() {
        return None;
    }
    Some(Message::Bbo { symbol, id: id.unsigned_abs(), bid: (bid, bid_qty), ask: (ask, ask_qty), time_ms })
}

/// Bytes of `,"T":1626992741012,"E":1626992741017`.
const TIMES: usize = 36;

/// The times at the end of an event, read from the end: `T`, and the text without what stands behind them.
#[inline(always)]
fn times(text: &[u8]) -> Option<(&[u8], i64)> {
    let text = text.strip_suffix(b"}")?;
    // The `st` that is sent since 2026.
    let text = match text.split_last_chunk::<7>() {
        Some((before, [b',', b'"', b's', b't', b'"', b':', digit])) if digit.is_ascii_digit() => before,
        _ => text,
    };
    let rest = fixed::behind(text.last_chunk::<TIMES>()?, b",\"T\":")?;
    let (at, rest) = rest.split_first_chunk()?;
    fixed::millis(fixed::behind(rest, b",\"E\":")?.first_chunk()?)?;
    Some((text, fixed::millis(at)?))
}

/// `depthUpdate` of a difference stream, when the frame has exactly the usual layout; the levels go to the two
/// lists, which hold anything otherwise.
#[inline]
pub fn depth_update<'a>(
    frame: &'a [u8],
    bids: &'a mut Vec<Level>,
    asks: &'a mut Vec<Level>,
) -> Option<Message<'a>> {
    let mut c = Cursor::plain(frame);
    c.literal(b"{\"e\":\"depthUpdate\",\"E\":")?;
    c.bare_int()?;
    c.literal(b",\"T\":")?;
    let time_ms = c.bare_int()?;
    c.literal(b",\"s\":\"")?;
    let symbol = c.quoted_name()?;
    c.literal(b",\"U\":")?;
    let first = c.bare_int()?.unsigned_abs();
    c.literal(b",\"u\":")?;
    let last = c.bare_int()?.unsigned_abs();
    c.literal(b",\"pu\":")?;
    let prev = c.bare_int()?;
    c.literal(b",\"b\":")?;
    levels(&mut c, bids)?;
    c.literal(b",\"a\":")?;
    levels(&mut c, asks)?;
    close(c)?;
    if first > last {
        return None;
    }
    Some(Message::Depth(Depth {
        channel: DEPTH,
        symbol,
        snapshot: false,
        first,
        last,
        prev,
        checksum: None,
        bids,
        asks,
        time_ms,
    }))
}

/// `aggTrade`, when the frame has exactly the usual layout.
#[inline]
pub fn agg_trade(frame: &[u8]) -> Option<Message<'_>> {
    let mut c = Cursor::plain(frame);
    c.literal(b"{\"e\":\"aggTrade\",\"E\":")?;
    c.bare_int()?;
    c.literal(b",\"a\":")?;
    let id = c.bare_int()?.unsigned_abs();
    c.literal(b",\"s\":\"")?;
    let symbol = c.quoted_name()?;
    c.literal(b",\"p\":\"")?;
    let price = c.quoted_num()?;
    c.literal(b",\"q\":\"")?;
    let qty = c.quoted_num()?;
    if c.literal(b",\"nq\":\"").is_some() {
        c.quoted_num()?;
    }
    c.literal(b",\"f\":")?;
    c.bare_int()?;
    c.literal(b",\"l\":")?;
    c.bare_int()?;
    c.literal(b",\"T\":")?;
    let time_ms = c.bare_int()?;
    let aggressor = match c.literal(b",\"m\":true") {
        Some(()) => Side::Sell,
        None => {
            c.literal(b",\"m\":false")?;
            Side::Buy
        }
    };
    close(c)?;
    Some(Message::Trade { channel: "aggTrade", symbol, id, price, qty, aggressor, time_ms })
}

/// The end of an event, with the `st` that is sent since 2026.
#[inline(always)]
fn close(mut c: Cursor<'_>) -> Option<()> {
    if c.literal(b"}").is_none() {
        c.literal(b",\"st\":")?;
        c.bare_int()?;
        c.literal(b"}")?;
    }
    c.is_done().then_some(())
}

/// The levels of a side; they replace what `side` holds, or leave anything in it.
#[inline(always)]
pub fn levels(c: &mut Cursor<'_>, side: &mut Vec<Level>) -> Option<()> {
    side.clear();
    c.quoted_levels(side, |c, level| if level.0.mantissa > 0 { c.literal(b"]") } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::binance::decode::Parser;
    use proptest::prelude::*;

    const FRAMES: [&str; 4] = [
        r#"{"e":"bookTicker","u":600859600576,"s":"SUSHIUSDT","b":"7.6110","B":"2","a":"7.6120","A":"297","T":1626992741012,"E":1626992741017}"#,
        r#"{"e":"depthUpdate","E":1626992741017,"T":1626992741012,"s":"SUSHIUSDT","U":600859600570,"u":600859600576,"pu":600859600569,"b":[["7.6110","2"],["7.6","0"]],"a":[["7.6120","297.5"]]}"#,
        r#"{"e":"depthUpdate","E":1626992741017,"T":1626992741012,"s":"SUSHIUSDT","U":600859600570,"u":600859600576,"pu":600859600569,"b":[],"a":[["7.6120","297.5"],["7.7","12"]],"st":1}"#,
        r#"{"e":"aggTrade","E":1626992741017,"a":5933014,"s":"SUSHIUSDT","p":"7.6110","q":"100","nq":"100","f":100,"l":105,"T":1626992741012,"m":true}"#,
    ];

    /// What the short cuts make of a frame.
    fn fast(frame: &[u8]) -> Option<String> {
        let (mut bids, mut asks) = (Vec::new(), Vec::new());
        let message = book_ticker(frame).or_else(|| agg_trade(frame));
        message.or_else(|| depth_update(frame, &mut bids, &mut asks)).map(|message| format!("{message:?}"))
    }

    /// What the general parser makes of it, when it is one message.
    fn general(frame: &[u8]) -> Option<String> {
        let mut seen = Vec::new();
        Parser::default()
            .parse_general(Cursor::plain(frame), &mut |message: &Message<'_>| {
                seen.push(format!("{message:?}"))
            })
            .ok()?;
        seen.pop().filter(|_| seen.is_empty())
    }

    #[test]
    fn the_usual_layout_is_read_and_others_are_left_to_the_general_parser() {
        for frame in FRAMES.map(str::to_owned).into_iter().chain([FRAMES[0].replace('}', r#","st":1}"#)]) {
            let fast = fast(frame.as_bytes());
            assert!(fast.is_some(), "{frame}");
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
            ("600859600576", "0600859600576"),
            ("}", "} "),
            ("}", ",\"st\":1}x"),
            ("}", ",\"st\":1.5}"),
        ] {
            assert!(fast(FRAMES[0].replace(from, to).as_bytes()).is_none(), "{to}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_fast_reads_the_same_in_general(
            which in 0..FRAMES.len(),
            edits in proptest::collection::vec(
                (any::<prop::sample::Index>(), prop::sample::select(b"0123456789.\",:{}-e \\AB\x01[]".to_vec()), 0..3u8),
                0..4,
            ),
        ) {
            let mut frame = FRAMES[which].as_bytes().to_vec();
            for (at, byte, how) in edits {
                let at = at.index(frame.len());
                match how {
                    0 => frame[at] = byte,
                    1 => frame.insert(at, byte),
                    _ => { frame.remove(at); }
                }
            }
            if let Some(message) = fast(&frame) {
                prop_assert_eq!(Some(message), general(&frame));
            }
        }
    }
}
