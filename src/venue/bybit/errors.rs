//! What Bybit error codes mean for the next attempt. One table for HTTP, order replies and session answers.
//! Unlisted codes are refused for good (`Never`), but for the general 10xxx family, which says nothing
//! about the outcome.

use crate::domain::order::RejectClass;

/// Class of a `retCode`; 0 is no error.
///
/// Source: Bybit v5 documentation, "Error codes"; see also the protocol notes, section 9.
pub(super) fn classify(code: i32) -> RejectClass {
    use RejectClass::{
        Clock, Duplicate, Fatal, Margin, Never, None, NotFound, PriceBand, RateLimit, ReduceOnly, Retry,
        UnknownOutcome, VenueDown,
    };
    match code {
        0 => None,
        // "Server timeout": the request may have been executed.
        10000 | 170007 | 20003 => UnknownOutcome,
        10002 => Clock,
        10006 | 10018 | 10403 | 10404 | 10429 => RateLimit,
        10016 | 10019 | 170001 => VenueDown,
        // Keys, permissions, addresses, account modes, compliance.
        10003..=10005 | 10007..=10010 | 10017 | 10020 | 10024 | 10027..=10029 | 33004 => Fatal,
        20001 | 110023..=110025 | 110028..=110030 | 110066 | 110100 => Fatal,
        10014 | 20006 | 110072 => Duplicate,
        // Malformed: parameters, unknown operations.
        10001 | 20000 | 20002 | 20004 | 20005 => Never,
        110001 | 110008..=110010 | 110019 | 170213 => NotFound,
        110003 | 110093 | 170132 | 170133 | 170193 | 170194 => PriceBand,
        110004..=110007 | 110012..=110014 | 110044 | 110045 | 110051..=110053 | 170033 | 170131 => Margin,
        110017 => ReduceOnly,
        // Too many orders, being processed, being settled: later.
        110020..=110022 | 110079 | 170005 | 170222 => Retry,
        10011..=10999 => UnknownOutcome,
        _ => Never,
    }
}

/// Whether an error can only be cured by changing the configuration.
pub(super) fn is_fatal(code: i32) -> bool {
    classify(code) == RejectClass::Fatal
}

/// Class of the `rejectReason` of an order that matching refused or cancelled.
pub(super) fn reason(text: &[u8]) -> RejectClass {
    match text {
        b"EC_PostOnlyWillTakeLiquidity" => RejectClass::PostOnly,
        b"EC_NoError" | b"" | b"EC_PerCancelRequest" | b"EC_NoImmediateQtyToFill" => RejectClass::None,
        b"EC_OrigClOrdIDDoesNotExist" => RejectClass::NotFound,
        b"EC_DuplicatedClOrdID" => RejectClass::Duplicate,
        _ => RejectClass::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_error_has_its_class() {
        use RejectClass as R;
        for (class, codes) in [
            (R::None, &[0][..]),
            (R::UnknownOutcome, &[10000, 10998]),
            (R::Clock, &[10002]),
            (R::RateLimit, &[10006, 10018, 10403, 10429]),
            (R::VenueDown, &[10016, 10019]),
            (R::Fatal, &[10003, 10004, 10005, 10007, 10008, 10009, 10010, 10024, 10027, 10028, 33004, 20001]),
            (R::Duplicate, &[110_072, 20006]),
            (R::NotFound, &[110_001, 110_008, 110_010]),
            (R::PriceBand, &[110_003]),
            (R::Margin, &[110_004, 110_006, 110_007, 110_012, 110_044, 110_045]),
            (R::ReduceOnly, &[110_017]),
            (R::Retry, &[110_020, 110_079, 170_005]),
            (R::Never, &[10001, 110_094, 170_130, 999_999]),
        ] {
            for code in codes {
                assert_eq!(classify(*code), class, "{code}");
            }
        }
        assert!(is_fatal(10004) && !is_fatal(10002) && !is_fatal(10006));
    }
}
