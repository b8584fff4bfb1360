//! Small pieces of OKX's way of writing: numbers without trailing zeros, errors, and HTTP envelopes.

use crate::domain::money::Money;
use crate::domain::time::{MICRO, MILLI, Nanos};
use crate::sim::HttpReply;
use crate::sim::exchange::{Exchange, Listing, MoneyText, Refusal, Reject, Steps, Ticks};
use serde_json::{Value, json};
use std::borrow::Cow;

/// An error code with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: &'static str,
    pub(super) message: Cow<'static, str>,
}

impl Fault {
    pub(super) fn new(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// 51000: a parameter with a wrong value.
    pub(super) fn parameter(name: &str) -> Self {
        Self::new("51000", format!("Parameter {name} error"))
    }

    /// 50014: a parameter that is missing.
    pub(super) fn missing(name: &str) -> Self {
        Self::new("50014", format!("Parameter {name} can not be empty."))
    }

    /// 51001: no such instrument.
    pub(super) fn instrument() -> Self {
        Self::new("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
    }
}

/// Why the exchange refused to place or amend an order, in OKX's codes.
pub(super) fn reject_fault(reject: Reject, listing: &Listing, exchange: &Exchange) -> Fault {
    let (buy, sell) = price_limits(exchange, listing);
    match reject {
        Reject::UnknownListing => Fault::instrument(),
        Reject::QtyTooSmall => {
            Fault::new("51020", "Your order should meet or exceed the minimum order amount.")
        }
        Reject::QtyTooLarge => {
            Fault::new("51101", "Entered amount exceeds the max pending order amount (Cont) per transaction.")
        }
        Reject::BadPrice => Fault::parameter("px"),
        Reject::PriceTooHigh | Reject::PriceTooLow => Fault::new(
            "51006",
            format!(
                "Order price is not within the price limit (Maximum buy price: {buy} minimum sell price: {sell})"
            ),
        ),
        Reject::NotionalTooSmall => {
            Fault::new("51020", "Your order should meet or exceed the minimum order amount.")
        }
        Reject::Margin => {
            Fault::new("51008", format!("Order failed. Insufficient {} margin in account", listing.settle))
        }
        Reject::ReduceOnly => Fault::new(
            "51169",
            "Order failed because you don't have any positions in this direction for this contract to reduce or close.",
        ),
        Reject::DuplicateClientId => Fault::new("51016", "Duplicated client order ID"),
        Reject::WouldTake => Fault::new(
            "51511",
            "Operation failed as the order price doesn't meet the requirement for Post Only.",
        ),
        Reject::Unfillable => Fault::new("51030", "Order failed as there is no liquidity to fill it."),
        Reject::TooManyOpen => {
            Fault::new("51174", "The number of pending orders for this contract exceeds its upper limit.")
        }
        Reject::UnknownOrder => Fault::new(
            "51503",
            "Order modification failed as the order has been filled, canceled or does not exist.",
        ),
        Reject::NoChange => Fault::new("51500", "You must enter a price, quantity or TP/SL"),
        Reject::Closed => Fault::new("51022", "Contract suspended"),
        Reject::Asked(refusal) => asked(refusal),
    }
}

/// A code of OKX's table for a reason that the exchange itself does not have.
fn asked(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Retry => Fault::new("51025", "Order count exceeds the limit"),
        Refusal::UnknownOutcome => Fault::new("51149", "Order timed out. Please try again."),
        Refusal::RateLimit => {
            Fault::new("50061", "You've reached the maximum order rate limit for this account.")
        }
        Refusal::VenueDown => Fault::new("50026", "System error. Please try again later."),
        Refusal::Fatal => Fault::new("51010", "Request unsupported under current account mode"),
        Refusal::Clock => Fault::new("50102", "Timestamp request expired"),
        _ => Fault::parameter("sz"),
    }
}

/// Highest price to buy at and lowest to sell at.
pub(super) fn price_limits(exchange: &Exchange, listing: &Listing) -> (String, String) {
    use crate::sim::exchange::Side;
    let width = listing.mark.0 / 1_000_000_000 * i128::from(exchange.price_band_ppb());
    let buy = listing.to_ticks(Money(listing.mark.0 + width), Side::Buy);
    let sell = listing.to_ticks(Money(listing.mark.0 - width), Side::Sell).max(1);
    (price(listing, buy), price(listing, sell))
}

/// A price as OKX writes it.
pub(super) fn price(listing: &Listing, ticks: Ticks) -> String {
    trim(listing.price_text(ticks))
}

/// A quantity in contracts as OKX writes it.
pub(super) fn size(listing: &Listing, steps: Steps) -> String {
    trim(listing.qty_text(steps))
}

/// An amount with at most `decimals` places.
pub(super) fn amount(money: Money, decimals: u8) -> String {
    money.cut(decimals).to_string()
}

/// Parts in 10⁹ as a decimal fraction: 500 000 → `0.0005`.
pub(super) fn ppb(value: i64) -> String {
    Money(i128::from(value) * 1_000_000_000).to_string()
}

/// Milliseconds since the epoch.
pub(super) fn ms(at: Nanos) -> String {
    (at / MILLI).to_string()
}

/// Microseconds since the epoch.
pub(super) fn us(at: Nanos) -> String {
    (at / MICRO).to_string()
}

/// A JSON string literal.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Without trailing zeros after the point.
pub(super) fn trim(mut text: String) -> String {
    if text.contains('.') {
        let kept = text.trim_end_matches('0').trim_end_matches('.').len();
        text.truncate(kept);
    }
    text
}

/// `{"code":"0","data":[…],"msg":""}`.
pub(super) fn success(data: Vec<Value>) -> HttpReply {
    reply(200, json!({"code": "0", "data": data, "msg": ""}))
}

/// `{"code":"…","data":[],"msg":"…"}` with an HTTP status.
pub(super) fn failure(status: u16, fault: &Fault) -> HttpReply {
    reply(status, json!({"code": fault.code, "data": [], "msg": fault.message}))
}

/// Any JSON.
pub(super) fn reply(status: u16, body: Value) -> HttpReply {
    HttpReply { status, headers: Vec::new(), body: body.to_string().into_bytes() }
}

/// The object with further fields that are empty: OKX sends `""` for what does not apply.
pub(super) fn with_blanks(mut object: Value, names: &[&str]) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.extend(names.iter().map(|name| ((*name).to_owned(), Value::from(""))));
    }
    object
}
