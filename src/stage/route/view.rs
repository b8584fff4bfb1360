//! What route would say to an order now, for explanations. Read-only.

use super::{CREDIT_MAX, Route};
use crate::domain::effect::MessageId;
use crate::domain::instrument::VenueId;
use crate::domain::params::OrderRoute;
use crate::domain::time::Nanos;
use serde::Serialize;

/// What decides whether an order can leave for a venue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteStanding {
    /// The order session is up.
    pub orders_ready: bool,
    /// The account's stream is up.
    pub account_ready: bool,
    /// An order can leave, over the session or the way beside it.
    pub reachable: bool,
    /// Orders take HTTP now.
    pub over_http: bool,
    /// Orders that the budget lets out now.
    pub budget: u32,
    /// Messages without an outcome.
    pub outstanding: u32,
    /// How many of those there may be.
    pub credit: u32,
    /// Age at which the egress gate refuses the order, ns; 0 = never.
    pub age_max_ns: Nanos,
}

impl Route {
    /// How many messages are without an outcome, and the number of the last message.
    pub fn on_their_way(&self) -> (u32, MessageId) {
        (self.outstanding, MessageId(self.next_message))
    }

    /// Where a venue stands for an order at `now` (`mono`); `urgent`: it ends a risk.
    pub fn standing(&self, venue: VenueId, urgent: bool, now: Nanos) -> RouteStanding {
        let at = venue.index();
        let is = |ready: &[bool]| ready.get(at).copied().unwrap_or(false);
        RouteStanding {
            orders_ready: is(&self.orders_ready),
            account_ready: is(&self.account_ready),
            reachable: self.is_reachable(at, urgent),
            over_http: self.ways.get(at).is_some_and(|ways| ways.now == OrderRoute::Http),
            // Looking at a budget lets it flow in: a copy.
            budget: self.budgets.get(at).copied().map_or(0, |mut budget| budget.available(now, urgent)),
            outstanding: self.outstanding,
            credit: CREDIT_MAX,
            age_max_ns: if urgent { 0 } else { self.send_age_max_ns },
        }
    }
}
