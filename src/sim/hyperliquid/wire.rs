//! Small pieces of Hyperliquid's way of writing: numbers, its price rule, HTTP replies.

use crate::domain::number::Num;
use crate::domain::time::{MILLI, Nanos};
use crate::sim::HttpReply;
use crate::sim::exchange::{Listing, Side, Steps, Ticks};
use serde_json::Value;

/// Decimals of a price and of the size of the same asset together.
const DECIMALS: u8 = 6;
/// Significant figures of a price that is no integer.
const FIGURES: usize = 5;

/// A price as the venue writes it: one decimal at least.
pub(super) fn price(listing: &Listing, ticks: Ticks) -> String {
    with_point(listing.price_text(ticks))
}

/// A size as the venue writes it.
pub(super) fn size(listing: &Listing, steps: Steps) -> String {
    with_point(listing.qty_text(steps))
}

/// Without trailing zeros, but with one decimal.
pub(super) fn with_point(text: String) -> String {
    let Some((whole, fraction)) = text.split_once('.') else { return text + ".0" };
    let fraction = fraction.trim_end_matches('0');
    format!("{whole}.{}", if fraction.is_empty() { "0" } else { fraction })
}

/// Milliseconds since the epoch.
pub(super) fn ms(at: Nanos) -> i64 {
    at / MILLI
}

/// Any JSON with a status.
pub(super) fn reply(status: u16, body: Value) -> HttpReply {
    HttpReply { status, headers: Vec::new(), body: body.to_string().into_bytes() }
}

/// A number in the form in which the venue hashes it: plain, without trailing zeros.
pub(super) fn normal(text: &str) -> String {
    match text.split_once('.') {
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
        }
        None => text.to_owned(),
    }
}

/// The venue's price rule: positive, at most six decimals less those of the size, and at most five
/// significant figures unless it is an integer. In ticks of the simulated book; what is finer is rounded in
/// the counterparty's favour, which never makes it match more.
pub(super) fn parse_price(listing: &Listing, text: &str, side: Side) -> Option<Ticks> {
    let num = Num::parse(text.as_bytes()).ok()?;
    let shown = normal(text);
    let (whole, fraction) = shown.split_once('.').unwrap_or((&shown, ""));
    let figures = format!("{whole}{fraction}").trim_start_matches('0').len();
    let decimals = usize::from(DECIMALS.saturating_sub(listing.stated_step().scale));
    if num.mantissa <= 0 || fraction.len() > decimals || (!fraction.is_empty() && figures > FIGURES) {
        return None;
    }
    listing.parse_price(text).or_else(|| {
        Some(listing.to_ticks(crate::domain::money::Money::from_num(num), side)).filter(|ticks| *ticks > 0)
    })
}
