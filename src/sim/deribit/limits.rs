//! Limits of the venue, as buckets that leak: requests to the matching engine by account, credits of everything else
//! by who asks.

use super::trade::is_matching;
use crate::domain::time::{Nanos, SECOND};
use crate::sim::SimConn;
use crate::sim::config::SimVenueConfig;
use crate::sim::exchange::AccountId;
use std::collections::BTreeMap;

/// Requests other than to the matching engine: a second, and at once.
const OTHER: (i64, i64) = (20, 100);
/// `private/cancel_all` and its family: a second, and at once.
const CANCEL_ALL: (i64, i64) = (5, 20);
/// Credits of a request, in which the others are counted.
const REQUEST: i64 = 500;

/// Who pays for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Payer {
    /// A connection without login.
    Conn(SimConn),
    /// HTTP without login: one address.
    Http,
    /// An account.
    Account(AccountId),
}

/// Which of a payer's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Matching,
    CancelAll,
    Other,
}

/// A bucket: how full it is, in 10⁻⁹, and when it was.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    level: i64,
    at: Nanos,
}

/// All buckets of the venue.
pub(super) struct Limits {
    /// Requests to the matching engine, a second and at once; 0 = no limit.
    matching: (i64, i64),
    buckets: BTreeMap<(Payer, Kind), Bucket>,
}

impl Limits {
    /// As configured; the burst is that of the documented tier.
    pub(super) fn new(config: &SimVenueConfig) -> Self {
        let window = config.order_window_ns.max(1);
        let rate = i64::from(config.orders_per_window_max) * SECOND / window;
        let burst = match rate {
            ..=5 => 20,
            6..=10 => 30,
            11..=20 => 50,
            _ => 100,
        };
        Self { matching: (rate, burst), buckets: BTreeMap::new() }
    }

    /// Counts a request; false when it overflows.
    pub(super) fn take(&mut self, payer: Payer, method: &str, now: Nanos) -> bool {
        let (kind, cost) = match method {
            _ if method.starts_with("private/cancel_all") => (Kind::CancelAll, 1),
            _ if is_matching(method) => (Kind::Matching, 1),
            "public/get_instruments" => (Kind::Other, 10_000),
            _ if method.contains("subscribe") => (Kind::Other, 3_000),
            _ => (Kind::Other, REQUEST),
        };
        let (rate, burst) = match kind {
            Kind::Matching if self.matching.0 == 0 => return true,
            Kind::Matching => self.matching,
            Kind::CancelAll => CANCEL_ALL,
            Kind::Other => (OTHER.0 * REQUEST, OTHER.1 * REQUEST),
        };
        let bucket = self.buckets.entry((payer, kind)).or_default();
        let leaked = (now - bucket.at).max(0).saturating_mul(rate);
        bucket.level = bucket.level.saturating_sub(leaked).max(0);
        bucket.at = now;
        if bucket.level + cost * SECOND > burst * SECOND {
            return false;
        }
        bucket.level += cost * SECOND;
        true
    }

    /// As the extended account summary states them.
    pub(super) fn stated(&self) -> String {
        let text = |(rate, burst): (i64, i64)| format!(r#"{{"rate":{rate},"burst":{burst}}}"#);
        let matching = text(self.matching);
        format!(
            r#"{{"matching_engine":{{"cancel_all":{},"spot":{matching},"trading":{{"total":{matching}}}}},"limits_per_currency":false,"non_matching_engine":{}}}"#,
            text(CANCEL_ALL),
            text(OTHER),
        )
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_bucket_overflows_at_its_burst_and_leaks_at_its_rate() {
        let config =
            SimVenueConfig { orders_per_window_max: 5, order_window_ns: SECOND, ..SimVenueConfig::default() };
        let mut limits = Limits::new(&config);
        let payer = Payer::Account(AccountId(1));
        let mut order = |at| limits.take(payer, "private/buy", at);
        assert!((0..20).all(|_| order(0)) && !order(0) && !order(SECOND / 5 - 1));
        assert!(order(SECOND / 5) && !order(SECOND / 5));
        assert!(limits.take(payer, "private/cancel_all", SECOND / 5), "a bucket of its own");
        assert!(limits.take(payer, "public/test", SECOND / 5));
        assert!(limits.stated().contains(r#""trading":{"total":{"rate":5,"burst":20}}"#));
        let payer = Payer::Conn(SimConn(1));
        assert!((0..16).all(|_| limits.take(payer, "public/subscribe", 0)));
        assert!(!limits.take(payer, "public/subscribe", 0) && limits.take(payer, "public/test", 0));
    }
}
