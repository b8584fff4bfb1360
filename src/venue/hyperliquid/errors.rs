//! What Hyperliquid's error texts and order statuses mean for the next attempt. The venue has no error
//! codes: texts are recognised by their fixed parts. What is not listed is refused for good.

use crate::domain::order::{RejectClass, ReportKind};

/// The part of the text for an IOC order that met nothing: not an error, but a miss.
const MISSED: &[u8] = b"could not immediately match";

/// Fixed parts of error texts in the order in which they are tried, and their meaning.
///
/// Source: the venue's documentation ("Error responses", "Rate limits and user limits") and captured replies.
const TEXTS: [(&[u8], RejectClass); 41] = [
    (b"Order was never placed", RejectClass::NotFound),
    (b"already canceled, or filled", RejectClass::NotFound),
    // What was to be replaced had ended: nothing is wrong with what was to replace it.
    (b"Cannot modify canceled or filled order", RejectClass::Retry),
    (b"Post only order would have immediately matched", RejectClass::PostOnly),
    (b"Reduce only order would increase position", RejectClass::ReduceOnly),
    (b"educe only", RejectClass::ReduceOnly),
    (b"nsufficient margin", RejectClass::Margin),
    (b"nsufficient spot balance", RejectClass::Margin),
    (b"nsufficient balance", RejectClass::Margin),
    (b"exceeds maximum position", RejectClass::Margin),
    (b"Price too far from oracle", RejectClass::PriceBand),
    (b"away from the reference price", RejectClass::PriceBand),
    (b"too far from", RejectClass::PriceBand),
    // Keys, accounts, permissions.
    (b"does not exist", RejectClass::Fatal),
    (b"Must deposit before performing actions", RejectClass::Fatal),
    (b"ault not registered", RejectClass::Fatal),
    (b"not registered", RejectClass::Fatal),
    (b"nauthorized", RejectClass::Fatal),
    (b"nvalid signature", RejectClass::Fatal),
    (b"to recover signer", RejectClass::Fatal),
    (b"expired agent", RejectClass::Fatal),
    // The nonce is the clock.
    (b"once", RejectClass::Clock),
    (b"uplicate cloid", RejectClass::Duplicate),
    (b"loid already", RejectClass::Duplicate),
    // The deadline passed before it was looked at.
    (b"expiresAfter", RejectClass::Retry),
    (b"expired", RejectClass::Retry),
    (b"open interest", RejectClass::Retry),
    (b"Too many open orders", RejectClass::Retry),
    (b"No liquidity available", RejectClass::Retry),
    // Addresses have a budget of requests, addresses and connections have rates.
    (b"Too many cumulative requests", RejectClass::RateLimit),
    (b"oo many", RejectClass::RateLimit),
    (b"ate limit", RejectClass::RateLimit),
    (b"429", RejectClass::RateLimit),
    // Not accepted.
    (b"Cannot process API request", RejectClass::VenueDown),
    (b"ongest", RejectClass::VenueDown),
    (b"verload", RejectClass::VenueDown),
    (b"rading is halted", RejectClass::VenueDown),
    (b"nly post-only orders", RejectClass::VenueDown),
    // Nobody knows.
    (b"imed out", RejectClass::UnknownOutcome),
    (b"imeout", RejectClass::UnknownOutcome),
    (b"nternal", RejectClass::UnknownOutcome),
];

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Class of an error text.
pub(super) fn classify(text: &[u8]) -> RejectClass {
    TEXTS.iter().find(|(part, _)| contains(text, part)).map_or(RejectClass::Never, |(_, class)| *class)
}

/// What an error text in the reply to a placement says of the order. An IOC order that met nothing was
/// accepted and is over.
pub(super) fn of_placement(text: &[u8]) -> (ReportKind, RejectClass) {
    if contains(text, MISSED) {
        (ReportKind::Canceled, RejectClass::None)
    } else {
        (ReportKind::Rejected, classify(text))
    }
}

/// What an order's status says; `None` for one that is not documented. `rest` = something is unfilled.
pub(super) fn of_status(status: &[u8], rest: bool) -> Option<(ReportKind, RejectClass)> {
    use RejectClass as R;
    let rejected = |class| Some((ReportKind::Rejected, class));
    match status {
        b"open" | b"triggered" => Some((ReportKind::Open, R::None)),
        // An IOC order whose rest was dropped has filled as far as it ever will.
        b"filled" if rest => Some((ReportKind::Canceled, R::None)),
        b"filled" => Some((ReportKind::Filled, R::None)),
        b"canceled"
        | b"marginCanceled"
        | b"vaultWithdrawalCanceled"
        | b"openInterestCapCanceled"
        | b"selfTradeCanceled"
        | b"reduceOnlyCanceled"
        | b"siblingFilledCanceled"
        | b"delistedCanceled"
        | b"liquidatedCanceled"
        | b"scheduledCancel"
        | b"iocCancelRejected" => Some((ReportKind::Canceled, R::None)),
        b"badAloPxRejected" => rejected(R::PostOnly),
        b"perpMarginRejected" | b"perpMaxPositionRejected" | b"insufficientSpotBalanceRejected" => {
            rejected(R::Margin)
        }
        b"reduceOnlyRejected" => rejected(R::ReduceOnly),
        b"oracleRejected" => rejected(R::PriceBand),
        b"positionIncreaseAtOpenInterestCapRejected"
        | b"positionFlipAtOpenInterestCapRejected"
        | b"tooAggressiveAtOpenInterestCapRejected"
        | b"openInterestIncreaseRejected"
        | b"marketOrderNoLiquidityRejected" => rejected(R::Retry),
        b"rejected" | b"tickRejected" | b"minTradeNtlRejected" | b"badTriggerPxRejected" => {
            rejected(R::Never)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_text_has_its_class() {
        use RejectClass as R;
        for (class, texts) in [
            (
                R::Never,
                &[
                    "Order must have minimum value of $10. asset=1",
                    "Order has invalid price.",
                    "Order value too large. Max is $5000000.",
                    "Price must be divisible by tick size. asset=0",
                    "what nobody has seen",
                ][..],
            ),
            (R::NotFound, &["Order was never placed, already canceled, or filled. asset=0"]),
            (
                R::Fatal,
                &[
                    "User or API Wallet 0x4b6c5b1287e38b78e61d5dbca726d5e267eda747 does not exist.",
                    "Must deposit before performing actions. User: 0x1",
                ],
            ),
            (R::Margin, &["Insufficient margin to place order. asset=5"]),
            (R::ReduceOnly, &["Reduce only order would increase position. asset=0"]),
            (
                R::PostOnly,
                &[
                    "Post only order would have immediately matched, bbo was 1@2. asset=0",
                    "Error placing new order during modify: Post only order would have immediately matched.",
                ],
            ),
            (
                R::PriceBand,
                &[
                    "Order price cannot be more than 80% away from the reference price",
                    "Price too far from oracle asset=1",
                ],
            ),
            (R::Clock, &["Invalid nonce", "Invalid nonce: duplicate nonce"]),
            (
                R::RateLimit,
                &["Too many cumulative requests sent (10001 > 10000) for cumulative volume traded $0.00."],
            ),
            (R::VenueDown, &["Cannot process API request", "Trading is halted. asset=3"]),
            (
                R::Retry,
                &[
                    "Action expired: expiresAfter 1 < 2",
                    "Too many open orders",
                    "Cannot modify canceled or filled order",
                ],
            ),
        ] {
            for text in texts {
                assert_eq!(classify(text.as_bytes()), class, "{text}");
            }
        }
        let missed = b"Order could not immediately match against any resting orders. asset=5";
        assert_eq!(of_placement(missed), (ReportKind::Canceled, R::None));
    }

    #[test]
    fn statuses_end_orders_and_unknown_ones_do_nothing() {
        assert_eq!(of_status(b"filled", false), Some((ReportKind::Filled, RejectClass::None)));
        assert_eq!(of_status(b"filled", true), Some((ReportKind::Canceled, RejectClass::None)));
        assert_eq!(of_status(b"minTradeNtlRejected", true), Some((ReportKind::Rejected, RejectClass::Never)));
        assert_eq!(of_status(b"somethingNew", true), None);
    }
}
