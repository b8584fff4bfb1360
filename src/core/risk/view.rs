//! What risk knows of a venue, for explanations. Read-only.

use super::Risk;
use crate::domain::instrument::VenueId;
use serde::Serialize;

/// Whether a venue may be traded at, as far as risk knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VenueStanding {
    /// The account's stream is up and read.
    pub account_ready: bool,
    /// The order session is up.
    pub orders_ready: bool,
    /// Killed by the operator.
    pub killed: bool,
    /// Live orders on our account that this run did not place.
    pub strays: u32,
    /// The start gate lets opening orders through.
    pub gate_open: bool,
}

impl Risk {
    /// Where a venue stands.
    pub fn venue(&self, venue: VenueId) -> VenueStanding {
        let state = self.venues.get(venue.index()).copied().unwrap_or_default();
        VenueStanding {
            account_ready: state.account_ready,
            orders_ready: state.orders_ready,
            killed: state.killed,
            strays: state.strays,
            gate_open: self.start.is_open(venue),
        }
    }
}
