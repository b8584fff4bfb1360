//! What Deribit error codes mean for the next attempt. One table for all JSON-RPC replies. Unlisted codes are
//! refused for good (`Never`).

use crate::domain::order::RejectClass;

/// `order_not_found`.
pub(super) const NO_SUCH_ORDER: i32 = 10_004;
/// `too_many_requests`: the venue ends the session as well.
pub(super) const TOO_MANY: i32 = 10_028;

/// Class of a Deribit error code; 0 is no error.
///
/// Source: Deribit API v2 documentation, "RPC error codes"; see also the protocol notes, section 8.
pub(super) fn classify(code: i32) -> RejectClass {
    use RejectClass::{
        Fatal, Margin, Never, None, NotFound, PostOnly, PriceBand, RateLimit, ReduceOnly, Retry,
        UnknownOutcome, VenueDown,
    };
    match code {
        0 => None,
        // too_many_requests, matching_engine_queue_full: slow down.
        TOO_MANY | 10_047 => RateLimit,
        // retry, settlement_in_progress, too_many_open_orders.
        10_040 | 10_041 | 11_035 => Retry,
        // Maintenance, closed books, locks, another server.
        10_012 | 10_019 | 10_048 | 11_051 | 11_088 | 13_019 | 13_025 | 13_028 => VenueDown,
        // error, internal_server_error, something_went_wrong, timed_out: nobody knows what became of it.
        -32_000 | 10_001 | 11_094 | 13_008 | 13_888 => UnknownOutcome,
        // not_enough_funds, and the limits of portfolio margin.
        10_009 | 10_013..=10_018 => Margin,
        // price_too_low, price_too_high and their relatives for index bands, price_not_allowed.
        10_003 | 10_005..=10_008 | 10_011 => PriceBand,
        11_054 => PostOnly,
        11_056 | 11_057 => ReduceOnly,
        // order_not_found, already_closed, already_filled, not_open_order.
        NO_SUCH_ORDER | 10_010 | 11_008 | 11_044 => NotFound,
        // Credentials, scopes, subaccounts, verification.
        10_000 | 13_004 | 13_009 | 13_010 | 13_012 | 13_020 | 13_021 | 13_031 | 13_666 | 13_780 => Fatal,
        _ => Never,
    }
}

/// Whether a login or subscription error can only be cured by changing the configuration. `unauthorized` and
/// `not_found` of a token (13009, 13010) are cured by logging in again.
pub(super) fn is_fatal(code: i32) -> bool {
    classify(code) == RejectClass::Fatal && !matches!(code, 13_009 | 13_010)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_error_has_its_class() {
        use RejectClass as R;
        for (class, codes) in [
            (R::RateLimit, &[10_028, 10_047][..]),
            (R::Retry, &[10_040, 10_041, 11_035]),
            (R::VenueDown, &[11_051, 13_028, 11_088]),
            (R::UnknownOutcome, &[11_094, -32_000]),
            (R::Margin, &[10_009]),
            (R::PriceBand, &[10_003, 10_005, 10_006, 10_007]),
            (R::PostOnly, &[11_054]),
            (R::ReduceOnly, &[11_056, 11_057]),
            (R::NotFound, &[10_004, 11_044]),
            (R::Fatal, &[13_004, 13_009, 13_010, 13_021, 13_666]),
            (R::Never, &[-32_602, -32_601, -32_700, 10_002, 10_043, 10_022, 11_029, 11_030, 99]),
            (R::None, &[0]),
        ] {
            for code in codes {
                assert_eq!(classify(*code), class, "{code}");
            }
        }
        assert!(is_fatal(13_004) && !is_fatal(13_009) && !is_fatal(10_028));
    }
}
