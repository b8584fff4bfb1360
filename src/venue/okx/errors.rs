//! What OKX error codes mean for the next attempt. One table for REST, order replies and WebSocket
//! events. Unlisted codes are refused for good (`Never`), but for the general 500xx family, which says
//! nothing about the outcome.

use crate::domain::order::RejectClass;

/// Class of an OKX error code (`sCode`, top-level `code`); 0 is no error.
///
/// Source: OKX v5 documentation, "Error code"; see also the protocol notes, section 9.
pub(super) fn classify(code: i32) -> RejectClass {
    use RejectClass::{
        Clock, Duplicate, Fatal, Margin, Never, None, NotFound, PriceBand, RateLimit, ReduceOnly, Retry,
        UnknownOutcome, VenueDown,
    };
    match code {
        0 => None,
        // Service unavailable, busy, system error: not accepted.
        50001 | 50013 | 50026 | 64000..=64007 => VenueDown,
        // "Timeout does not mean that the request was successful or failed".
        50004 | 51054 | 51149 | 63999 => UnknownOutcome,
        50011 | 50040 | 50061 | 60014 => RateLimit,
        // Deadline passed before it was looked at, funding being settled, too many pending, being amended.
        50036 | 50037 | 51025 | 51030 | 51174 | 51506 | 51507 | 64008 => Retry,
        50102 | 50112 | 60004 | 60006 => Clock,
        // Keys, permissions, frozen accounts.
        50005 | 50007..=50010 | 50012 | 50017..=50023 | 50027 | 50028 | 50030 | 50032 | 50035 | 50038 => {
            Fatal
        }
        50100 | 50101 | 50103..=50111 | 50113..=50123 => Fatal,
        // Account mode, compliance, position mode.
        51010 | 51018 | 51019 | 51024 | 51041 | 51155 | 59000..=59999 => Fatal,
        60001..=60003 | 60005 | 60007..=60011 | 60020..=60024 | 60026 | 60031 | 60032 => Fatal,
        51006 | 51031 | 51115 | 51116 | 51136..=51138 | 51250..=51253 => PriceBand,
        51004 | 51008 | 51119 | 51127 | 51131 | 51502 => Margin,
        51011 | 51016 => Duplicate,
        51023 | 51112 | 51148 | 51169..=51171 | 51205 => ReduceOnly,
        // Cancel, amend or query of an order that is finished, being finished or unknown.
        51400..=51405 | 51409 | 51410 | 51412 | 51416 | 51503 | 51509 | 51510 | 51603 | 51620 => NotFound,
        // Malformed requests.
        50000 | 50002 | 50003 | 50006 | 50014..=50016 | 50024 | 50025 | 50041 | 50044 => Never,
        // Anything else of the general family may come from anywhere on the way: ask.
        50029..=50099 => UnknownOutcome,
        _ => Never,
    }
}

/// Whether a login or subscription error can only be cured by changing the configuration.
pub(super) fn is_fatal(code: i32) -> bool {
    classify(code) == RejectClass::Fatal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_error_has_its_class() {
        use RejectClass as R;
        for (class, codes) in [
            (R::VenueDown, &[50001, 50013, 50026, 64003][..]),
            (R::UnknownOutcome, &[50004, 51149, 63999, 50099]),
            (R::RateLimit, &[50011, 50040, 50061, 60014]),
            (R::Clock, &[50102, 50112, 60004, 60006]),
            (
                R::Fatal,
                &[
                    50100, 50101, 50103, 50110, 50111, 50113, 50114, 50119, 51010, 60005, 60007, 60009,
                    60024, 60032, 51155, 50123,
                ],
            ),
            (R::PriceBand, &[51006, 51137, 51138]),
            (R::Margin, &[51008, 51131]),
            (R::Duplicate, &[51016]),
            (R::Never, &[51000, 51001, 51020, 51121, 60012, 60018, 12345]),
            (R::ReduceOnly, &[51169, 51170]),
            (R::NotFound, &[51400, 51401, 51402, 51403, 51404, 51405, 51503, 51603]),
            (R::None, &[0]),
        ] {
            for code in codes {
                assert_eq!(classify(*code), class, "{code}");
            }
        }
        assert!(is_fatal(60024) && !is_fatal(60006) && !is_fatal(60014));
    }
}
