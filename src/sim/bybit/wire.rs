//! Small pieces of Bybit's way of writing: ids, numbers, errors, and HTTP envelopes.

use crate::domain::money::Money;
use crate::domain::time::{MILLI, Nanos};
use crate::sim::HttpReply;
use crate::sim::exchange::{Fill, Listing, ListingId, OrderId, Refusal, Reject};
use serde_json::{Value, json};
use std::borrow::Cow;

/// An error code with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: i32,
    pub(super) message: Cow<'static, str>,
}

impl Fault {
    pub(super) fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// 10005: the key may not do this.
    pub(super) fn permission() -> Self {
        Self::new(10005, "Permission denied, please check your API key permissions.")
    }

    /// 10006: too many requests of a kind in a second.
    pub(super) fn visits() -> Self {
        Self::new(10006, "Too many visits. Exceeded the API Rate Limit.")
    }

    /// 10001: a parameter that is missing or wrong.
    pub(super) fn parameter(name: &str) -> Self {
        Self::new(10001, format!("params error: {name} invalid"))
    }
}

/// Why the exchange refused a request, in Bybit's codes.
pub(super) fn reject_fault(reject: Reject) -> Fault {
    match reject {
        Reject::UnknownListing => Fault::parameter("symbol"),
        Reject::QtyTooSmall => Fault::new(10001, "The number of contracts exceeds minimum limit allowed"),
        Reject::QtyTooLarge => Fault::new(10001, "The number of contracts exceeds maximum limit allowed"),
        Reject::BadPrice => Fault::parameter("price"),
        Reject::PriceTooHigh | Reject::PriceTooLow => {
            Fault::new(110_003, "Order price exceeds the allowable range.")
        }
        Reject::NotionalTooSmall => Fault::new(110_094, "Order does not meet minimum order value 5USDT"),
        Reject::Margin => Fault::new(110_007, "ab not enough for new order"),
        Reject::ReduceOnly => {
            Fault::new(110_017, "current position is zero, cannot fix reduce-only order qty")
        }
        Reject::DuplicateClientId => Fault::new(110_072, "OrderLinkedID is duplicate"),
        Reject::WouldTake | Reject::Unfillable => Fault::new(110_001, "Order does not exist"),
        Reject::TooManyOpen => Fault::new(110_020, "Not allowed to have more than 500 active orders"),
        Reject::UnknownOrder | Reject::NoChange => {
            Fault::new(110_001, "order not exists or too late to cancel")
        }
        Reject::Closed => Fault::new(110_074, "This contract is not live."),
        Reject::Asked(refusal) => asked(refusal),
    }
}

/// A code of Bybit's table for a reason that the exchange itself does not have.
fn asked(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Retry => {
            Fault::new(110_079, "The order is processing and can not be operated, please try again later.")
        }
        Refusal::UnknownOutcome => Fault::new(10000, "Server Timeout"),
        Refusal::RateLimit => Fault::new(10006, "Too many visits. Exceeded the API Rate Limit."),
        Refusal::VenueDown => Fault::new(10016, "Server error."),
        Refusal::Fatal => Fault::new(10005, "Permission denied, please check your API key permissions."),
        Refusal::Clock => {
            Fault::new(10002, "invalid request, please check your server timestamp or recv_window param")
        }
        _ => Fault::parameter("qty"),
    }
}

/// An order's UUID: its number stands in the last twelve digits.
pub(super) fn order_uuid(id: OrderId) -> String {
    let mixed = id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:08x}-{:04x}-4000-8000-{:012x}", mixed >> 32, mixed >> 16 & 0xffff, id.0)
}

/// The order's number of a UUID that [`order_uuid`] wrote.
pub(super) fn order_of_uuid(text: &str) -> Option<OrderId> {
    let id = OrderId(u64::from_str_radix(text.rsplit('-').next()?, 16).ok()?);
    (order_uuid(id) == text).then_some(id)
}

/// An execution's UUID: its trade number stands in the last twelve digits; both sides of a trade differ.
pub(super) fn exec_uuid(listing: ListingId, fill: &Fill) -> String {
    trade_uuid(listing, fill.trade_id, if fill.maker { 0x9000 } else { 0x8000 })
}

/// A trade's UUID.
pub(super) fn trade_uuid(listing: ListingId, trade: u64, kind: u16) -> String {
    let mixed = trade.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:08x}-{:04x}-5000-{kind:04x}-{trade:012x}", mixed >> 32, listing.0)
}

/// Parts in 10⁹ as a decimal fraction: 500 000 → `0.0005`.
pub(super) fn ppb(value: i64) -> String {
    Money(i128::from(value) * 1_000_000_000).to_string()
}

/// Milliseconds since the epoch.
pub(super) fn ms(at: Nanos) -> i64 {
    at / MILLI
}

/// The same as text.
pub(super) fn ms_text(at: Nanos) -> String {
    ms(at).to_string()
}

/// A price between ticks (mark, index): two places finer than the tick.
pub(super) fn fine(listing: &Listing, price: Money) -> String {
    use crate::sim::exchange::MoneyText;
    price.cut((listing.tick.scale + 2).min(18)).to_string()
}

/// `{"retCode":0,"retMsg":"OK","result":…}`.
pub(super) fn success(result: &Value, now: Nanos) -> HttpReply {
    reply(200, &json!({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": ms(now)}))
}

/// The same with an error; HTTP says 200 all the same.
pub(super) fn failure(fault: &Fault, now: Nanos) -> HttpReply {
    let (code, message) = (fault.code, &fault.message);
    reply(200, &json!({"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": ms(now)}))
}

/// Any JSON.
pub(super) fn reply(status: u16, body: &Value) -> HttpReply {
    HttpReply { status, headers: Vec::new(), body: body.to_string().into_bytes() }
}
