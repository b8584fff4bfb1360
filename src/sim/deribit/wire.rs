//! Small pieces of Deribit's way of writing: numbers as JSON numbers, errors, JSON-RPC envelopes.

use crate::domain::money::Money;
use crate::domain::time::{MICRO, MILLI, Nanos};
use crate::sim::exchange::{Listing, MoneyText, Refusal, Reject, Steps, Ticks};
use serde_json::Value;

/// An error code with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: i32,
    pub(super) message: &'static str,
    /// `data.reason`, where the venue explains.
    pub(super) reason: String,
}

impl Fault {
    pub(super) fn new(code: i32, message: &'static str) -> Self {
        Self { code, message, reason: String::new() }
    }

    /// −32602: a parameter that is missing or wrong.
    pub(super) fn parameter(name: &str) -> Self {
        Self { reason: name.to_owned(), ..Self::new(-32_602, "Invalid params") }
    }
}

/// Why the exchange refused an order, in Deribit's codes.
pub(super) fn reject_fault(reject: Reject) -> Fault {
    match reject {
        Reject::UnknownListing => Fault::new(10_020, "invalid_or_unsupported_instrument"),
        Reject::QtyTooSmall | Reject::NotionalTooSmall => Fault::new(10_002, "qty_too_low"),
        Reject::QtyTooLarge => Fault::new(10_021, "invalid_amount"),
        Reject::BadPrice => Fault::new(10_023, "invalid_price"),
        Reject::PriceTooHigh => Fault::new(10_007, "price_too_high"),
        Reject::PriceTooLow => Fault::new(10_005, "price_too_low"),
        Reject::Margin => Fault::new(10_009, "not_enough_funds"),
        Reject::ReduceOnly => Fault::new(11_056, "reduce_only_order_would_increase_position"),
        Reject::WouldTake => Fault::new(11_054, "post_only_reject"),
        Reject::Unfillable => Fault::new(11_030, "other_reject"),
        Reject::TooManyOpen => Fault::new(11_035, "too_many_open_orders"),
        Reject::DuplicateClientId | Reject::NoChange => Fault::new(11_029, "invalid_arguments"),
        Reject::UnknownOrder => Fault::new(11_044, "not_open_order"),
        Reject::Closed => Fault::new(10_020, "invalid_or_unsupported_instrument"),
        Reject::Asked(refusal) => asked(refusal),
    }
}

/// A code of Deribit's table for a reason that the exchange itself does not have.
fn asked(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::Retry => Fault::new(10_040, "retry"),
        Refusal::UnknownOutcome => Fault::new(11_094, "internal_server_error"),
        Refusal::RateLimit => Fault::new(10_047, "matching_engine_queue_full"),
        Refusal::VenueDown => Fault::new(11_051, "system_maintenance"),
        Refusal::Fatal => Fault::new(13_021, "forbidden"),
        _ => Fault::new(11_029, "invalid_arguments"),
    }
}

/// A price as a JSON number.
pub(super) fn price(listing: &Listing, ticks: Ticks) -> String {
    pointed(&listing.price_text(ticks))
}

/// An amount (base coins) as a JSON number.
pub(super) fn size(listing: &Listing, steps: Steps) -> String {
    pointed(&listing.face(steps).to_string())
}

/// Money as a JSON number, at most 12 decimals.
pub(super) fn amount(money: Money) -> String {
    pointed(&money.cut(12).to_string())
}

/// A rate in 10⁻⁹ as the venue's floats come: with an exponent.
pub(super) fn rate(ppb: i64) -> String {
    if ppb == 0 { "0.0".to_owned() } else { format!("{}.{}e-7", ppb / 100, (ppb % 100).abs()) }
}

/// `10` → `10.0`: the venue writes floats.
pub(super) fn pointed(number: &str) -> String {
    let trimmed = match number.split_once('.') {
        Some((whole, fraction)) => (whole, fraction.trim_end_matches('0')),
        None => (number, ""),
    };
    let fraction = if trimmed.1.is_empty() { "0" } else { trimmed.1 };
    format!("{}.{fraction}", trimmed.0)
}

/// Milliseconds since the epoch.
pub(super) fn ms(at: Nanos) -> i64 {
    at / MILLI
}

/// A JSON string literal.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A parameter as text: clients write numbers and booleans bare or in quotes.
pub(super) fn text(params: &Value, name: &str) -> Option<String> {
    match params.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Whether a listing is among those that `currency` asks for: `any` or none means all.
pub(super) fn settles_in(listing: &Listing, params: &Value) -> bool {
    text(params, "currency").is_none_or(|currency| currency == "any" || currency == listing.settle)
}

/// A reply: `outcome` is the result as JSON, or why there is none.
pub(super) fn reply(
    id: Option<&Value>,
    outcome: &Result<String, Fault>,
    arrived: Nanos,
    done: Nanos,
) -> String {
    let id = id.map_or_else(String::new, |id| format!(r#""id":{id},"#));
    let body = match outcome {
        Ok(result) => format!(r#""result":{result}"#),
        Err(fault) => {
            let data = if fault.reason.is_empty() {
                String::new()
            } else {
                format!(r#""data":{{"reason":{}}},"#, quoted(&fault.reason))
            };
            format!(r#""error":{{{data}"message":"{}","code":{}}}"#, fault.message, fault.code)
        }
    };
    let (from, to) = (arrived / MICRO, done / MICRO);
    format!(
        r#"{{"jsonrpc":"2.0",{id}{body},"usIn":{from},"usOut":{to},"usDiff":{},"testnet":true}}"#,
        to - from
    )
}

/// A message of a subscription.
pub(super) fn notification(channel: &str, data: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"{channel}","data":{data}}}}}"#)
}
