//! Venue error codes → what they mean for the next attempt ("Error Codes" page of the venue). One table,
//! so that no caller interprets a number of its own.

use crate::domain::order::RejectClass;

/// Code → class; codes that are not here are judged by the HTTP-like status.
///
/// −1000 ("unknown error") does not say whether the order executed, therefore it is an unknown outcome and
/// not a retry; the same goes for −1006 and −1007, which say so.
pub const TABLE: &[(i32, RejectClass)] = &[
    (-1000, RejectClass::UnknownOutcome),
    (-1001, RejectClass::Retry),
    (-1002, RejectClass::Fatal),
    (-1003, RejectClass::RateLimit),
    (-1006, RejectClass::UnknownOutcome),
    (-1007, RejectClass::UnknownOutcome),
    (-1008, RejectClass::VenueDown),
    (-1013, RejectClass::Never),
    (-1015, RejectClass::RateLimit),
    (-1016, RejectClass::VenueDown),
    (-1021, RejectClass::Clock),
    (-1022, RejectClass::Fatal),
    (-1111, RejectClass::Never),
    (-2010, RejectClass::Never),
    (-2011, RejectClass::NotFound),
    (-2013, RejectClass::NotFound),
    (-2014, RejectClass::Fatal),
    (-2015, RejectClass::Fatal),
    (-2017, RejectClass::Fatal),
    (-2018, RejectClass::Margin),
    (-2019, RejectClass::Margin),
    (-2020, RejectClass::Retry),
    (-2021, RejectClass::Never),
    (-2022, RejectClass::ReduceOnly),
    (-2024, RejectClass::ReduceOnly),
    (-2025, RejectClass::Retry),
    (-2026, RejectClass::Never),
    (-2027, RejectClass::Margin),
    (-2028, RejectClass::Margin),
    (-4001, RejectClass::PriceBand),
    (-4002, RejectClass::PriceBand),
    (-4003, RejectClass::Never),
    (-4004, RejectClass::Never),
    (-4005, RejectClass::Never),
    (-4013, RejectClass::PriceBand),
    (-4014, RejectClass::Never),
    (-4015, RejectClass::Never),
    (-4016, RejectClass::PriceBand),
    (-4023, RejectClass::Never),
    (-4024, RejectClass::PriceBand),
    (-4061, RejectClass::Fatal),
    (-4109, RejectClass::Fatal),
    (-4116, RejectClass::Duplicate),
    (-4118, RejectClass::ReduceOnly),
    (-4120, RejectClass::Never),
    (-4131, RejectClass::PriceBand),
    (-4164, RejectClass::Never),
    (-4400, RejectClass::Fatal),
    (-4401, RejectClass::Fatal),
    (-5021, RejectClass::Retry),
    (-5022, RejectClass::PostOnly),
    (-5028, RejectClass::Clock),
];

/// Class of a refusal by the venue's code and the reply's HTTP-like status (0 when there is none).
pub fn classify(code: i32, status: u16) -> RejectClass {
    if let Some((_, class)) = TABLE.iter().find(|(known, _)| *known == code) {
        return *class;
    }
    match status {
        418 | 429 => RejectClass::RateLimit,
        401 | 403 => RejectClass::Fatal,
        // A timeout or server error says nothing of the execution.
        0 | 408 | 500.. => RejectClass::UnknownOutcome,
        _ => RejectClass::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_codes_have_their_class() {
        for (code, status, class) in [
            (-1000, 400, RejectClass::UnknownOutcome),
            (-1007, 408, RejectClass::UnknownOutcome),
            (-1003, 429, RejectClass::RateLimit),
            (-1008, 503, RejectClass::VenueDown),
            (-1015, 400, RejectClass::RateLimit),
            (-1021, 400, RejectClass::Clock),
            (-1022, 400, RejectClass::Fatal),
            (-2015, 401, RejectClass::Fatal),
            (-4061, 400, RejectClass::Fatal),
            (-1111, 400, RejectClass::Never),
            (-4164, 400, RejectClass::Never),
            (-2019, 400, RejectClass::Margin),
            (-2022, 400, RejectClass::ReduceOnly),
            (-5022, 400, RejectClass::PostOnly),
            (-2011, 400, RejectClass::NotFound),
            (-2013, 400, RejectClass::NotFound),
            (-4116, 400, RejectClass::Duplicate),
            (-9999, 400, RejectClass::Never),
            (-9999, 418, RejectClass::RateLimit),
            (-9999, 503, RejectClass::UnknownOutcome),
            (0, 0, RejectClass::UnknownOutcome),
        ] {
            assert_eq!(classify(code, status), class, "{code} {status}");
        }
    }

    #[test]
    fn the_table_is_sorted_without_repetition() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 > pair[1].0));
    }
}
