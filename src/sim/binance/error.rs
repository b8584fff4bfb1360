//! Binance error codes and messages, as documented for USDⓈ-M futures.

use crate::sim::exchange::{Refusal, Reject};

/// A refusal: HTTP status (also the `status` of a WebSocket API reply), code and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub status: u16,
    pub code: i64,
    pub msg: String,
}

impl ApiError {
    pub fn new(code: i64, msg: impl Into<String>) -> Self {
        let status = match code {
            -2014 | -2015 => 401,
            -1003 | -1015 => 429,
            -1007 => 408,
            -1008 => 503,
            _ => 400,
        };
        Self { status, code, msg: msg.into() }
    }

    /// A parameter that must be there is not.
    pub fn missing(name: &str) -> Self {
        Self::new(-1102, format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."))
    }

    /// The symbol is not listed.
    pub fn symbol() -> Self {
        Self::new(-1121, "Invalid symbol.")
    }

    /// `{"code":…,"msg":…}`.
    pub fn body(&self) -> String {
        serde_json::json!({"code": self.code, "msg": self.msg}).to_string()
    }
}

impl From<Reject> for ApiError {
    fn from(reject: Reject) -> Self {
        let (code, msg) = match reject {
            Reject::UnknownListing => (-1121, "Invalid symbol."),
            Reject::QtyTooSmall => (-4004, "Quantity less than min quantity."),
            Reject::QtyTooLarge => (-4005, "Quantity greater than max quantity."),
            Reject::BadPrice => (-4013, "Price less than min price."),
            Reject::PriceTooHigh => (-4016, "Limit price can't be higher than the price band."),
            Reject::PriceTooLow => (-4024, "Limit price can't be lower than the price band."),
            Reject::NotionalTooSmall => {
                (-4164, "Order's notional must be no smaller than 5 (unless you choose reduce only).")
            }
            Reject::Margin => (-2019, "Margin is insufficient."),
            Reject::ReduceOnly => (-2022, "ReduceOnly Order is rejected."),
            Reject::DuplicateClientId => (-4116, "ClientOrderId is duplicated."),
            Reject::WouldTake => (
                -5022,
                "Due to the order could not be executed as maker, the Post Only order will be rejected. The order will not be recorded in the order history",
            ),
            Reject::Unfillable => (
                -5021,
                "Due to the order could not be filled immediately, the FOK order has been rejected. The order will not be recorded in the order history",
            ),
            Reject::TooManyOpen => (-2025, "Reach max open order limit."),
            Reject::UnknownOrder => (-2011, "Unknown order sent."),
            Reject::NoChange => (-5027, "No need to modify the order."),
            Reject::Closed => (-4141, "Symbol is closed."),
            Reject::Asked(refusal) => asked(refusal),
        };
        Self::new(code, msg)
    }
}

/// A code of the venue's table for a reason that the exchange itself does not have.
fn asked(refusal: Refusal) -> (i64, &'static str) {
    match refusal {
        Refusal::Retry => (-1001, "Internal error; unable to process your request. Please try again."),
        Refusal::UnknownOutcome => (
            -1007,
            "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
        ),
        Refusal::RateLimit => (-1015, "Too many new orders."),
        Refusal::VenueDown => {
            (-1008, "Server is currently overloaded with other requests. Please try again in a few minutes.")
        }
        Refusal::Locked => (
            -4400,
            "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed, please try again later.",
        ),
        Refusal::Fatal => (-2015, "Invalid API-key, IP, or permissions for action."),
        Refusal::Clock => (-1021, "Timestamp for this request is outside of the recvWindow."),
        _ => (-1111, "Precision is over the maximum defined for this asset."),
    }
}
