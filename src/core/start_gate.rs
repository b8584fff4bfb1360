//! The start gate: a venue takes no opening order before its settings were read back as configured.
//!
//! Fails closed: what is required and not stated holds the venue as a wrong statement does, and every
//! reason has a name. A correction at the venue opens the gate when it is read again; nothing opens it
//! otherwise. On paper it only warns. Reductions and hedges do not ask it.

use super::digest::Digest;
use super::venue_clock::VenueClocks;
use crate::domain::instrument::{InstrumentId, VENUES_MAX, VenueId};
use crate::domain::params::EngineParams;
use crate::domain::standing::{CHECKS, Check, CheckSet, ClockSample, StartCheck};
use crate::domain::time::{Nanos, Stamp};
use serde::{Deserialize, Serialize};

/// Why a venue is held, or would be if the run were not on paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Venue.
    pub venue: VenueId,
    /// Which setting.
    pub check: Check,
    /// The listing concerned; `None` = the account.
    pub listing: Option<InstrumentId>,
    /// What the venue states and what is wanted; `None` = it has not stated it.
    pub values: Option<(i64, i64)>,
}

impl Finding {
    /// As a sentence without venue and listing.
    pub fn sentence(&self) -> String {
        let Self { check, .. } = self;
        match self.values {
            Some((stated, wanted)) => format!(
                "{} is {}, must be {}{}",
                check.as_str(),
                check.value(stated),
                check.relation(),
                check.value(wanted)
            ),
            None => format!("{} was not read back yet", check.as_str()),
        }
    }
}

type Stated = [Option<StartCheck>; CHECKS];

/// What all venues have stated.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartGate {
    required: [CheckSet; VENUES_MAX],
    accounts: [Stated; VENUES_MAX],
    listings: Vec<(VenueId, Stated)>,
    open: [bool; VENUES_MAX],
    clocks: VenueClocks,
    offset_max: Nanos,
    uncertainty_max: Nanos,
    holds: bool,
    revision: u32,
}

impl StartGate {
    /// Closed for every venue of which something is required.
    pub fn new(params: &EngineParams) -> Self {
        let mut required = [CheckSet::EMPTY; VENUES_MAX];
        for (set, venue) in required.iter_mut().zip(&params.venues) {
            *set = venue.start_checks;
        }
        Self {
            open: std::array::from_fn(|at| at < params.venues.len() && required[at] == CheckSet::EMPTY),
            required,
            accounts: [[None; CHECKS]; VENUES_MAX],
            listings: params.listings.iter().map(|listing| (listing.venue, [None; CHECKS])).collect(),
            clocks: VenueClocks::default(),
            offset_max: params.scan.clock_offset_max_ns,
            uncertainty_max: params.scan.clock_uncertainty_max_ns,
            holds: params.paper.is_none(),
            revision: 0,
        }
    }

    /// A venue states a setting.
    pub fn on_check(&mut self, check: &StartCheck) {
        let at = check.check as usize;
        let stated = match check.listing {
            Some(listing) => match self.listings.get_mut(listing.index()) {
                Some((venue, stated)) if *venue == check.venue => stated,
                _ => return,
            },
            None => match self.accounts.get_mut(check.venue.index()) {
                Some(stated) => stated,
                None => return,
            },
        };
        if stated[at].replace(*check) == Some(*check) {
            return;
        }
        self.revision = self.revision.wrapping_add(1);
        let open = self.findings_of(check.venue).next().is_none();
        self.open[check.venue.index()] = open;
    }

    /// A venue states its time, which is a check as well.
    pub fn on_clock(&mut self, sample: &ClockSample, now: Stamp) {
        self.clocks.on_sample(sample);
        let Some(estimate) = self.clocks.estimate(sample.venue, now) else { return };
        let near = estimate.offset.saturating_abs() <= self.offset_max;
        let (stated, wanted) = if near {
            (estimate.uncertainty, self.uncertainty_max)
        } else {
            (estimate.offset.saturating_abs(), self.offset_max)
        };
        let passed = estimate.is_within(self.offset_max, self.uncertainty_max);
        // A clock that is well is not news each time.
        let stated = if passed { 0 } else { stated };
        let check = Check::Clock;
        self.on_check(&StartCheck { venue: sample.venue, check, listing: None, passed, stated, wanted });
    }

    /// The clocks.
    pub const fn clocks(&self) -> &VenueClocks {
        &self.clocks
    }

    /// False while the venue's clock is known to be off, or not known well enough any more.
    pub fn is_clock_fit(&self, venue: VenueId, now: Stamp) -> bool {
        let estimate = self.clocks.estimate(venue, now);
        estimate.is_none_or(|estimate| estimate.is_within(self.offset_max, self.uncertainty_max))
    }

    /// Whether the venue may take opening orders.
    pub fn is_open(&self, venue: VenueId) -> bool {
        !self.holds || self.open.get(venue.index()).copied().unwrap_or(false)
    }

    /// Whether findings hold a venue; on paper they only warn.
    pub const fn holds(&self) -> bool {
        self.holds
    }

    /// Changes with every change of the findings.
    pub const fn revision(&self) -> u32 {
        self.revision
    }

    /// Everything that is wrong or missing, venue by venue.
    pub fn findings(&self) -> impl Iterator<Item = Finding> + '_ {
        (0..VENUES_MAX).flat_map(|venue| self.findings_of(VenueId(venue as u8)))
    }

    fn findings_of(&self, venue: VenueId) -> impl Iterator<Item = Finding> + '_ {
        let required = self.required[venue.index()];
        Check::ALL.into_iter().flat_map(move |check| {
            let at = check as usize;
            let wrong = |stated: &Option<StartCheck>| stated.filter(|stated| !stated.passed);
            let account = self.accounts[venue.index()][at];
            let own = self.listings.iter().enumerate().filter(move |(_, (of, _))| *of == venue);
            // Stated for the account, or else for every listing.
            let needed = required.contains(check) && account.is_none();
            let by_listing = own.clone().filter_map(move |(index, (_, stated))| {
                let listing = Some(InstrumentId(index as u16));
                match (wrong(&stated[at]), stated[at]) {
                    (Some(wrong), _) => {
                        Some(Finding { venue, check, listing, values: Some((wrong.stated, wrong.wanted)) })
                    }
                    (None, None) if needed => Some(Finding { venue, check, listing, values: None }),
                    _ => None,
                }
            });
            let any = own.clone().any(|(_, (_, stated))| stated[at].is_some());
            let missing = (needed && !any).then_some(Finding { venue, check, listing: None, values: None });
            let whole = wrong(&account).map(|wrong| Finding {
                venue,
                check,
                listing: None,
                values: Some((wrong.stated, wrong.wanted)),
            });
            // Nobody stated it: one finding, not one per listing.
            let listings = by_listing.filter(move |finding| any || finding.values.is_some());
            whole.into_iter().chain(missing).chain(listings)
        })
    }

    /// Adds the state to a digest.
    pub fn digest(&self, to: &mut Digest) {
        self.clocks.digest(to);
        to.mix(u64::from(self.revision));
        self.open.iter().for_each(|open| to.mix(u64::from(*open)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::params::{ListingParams, PaperParams, VenueParams};
    use crate::domain::time::{MILLI, SECOND};

    const WALL: Nanos = 1_700_000_000 * SECOND;

    fn params() -> EngineParams {
        let listing = |id: u16, venue: u8| ListingParams {
            id: InstrumentId(id),
            venue: VenueId(venue),
            ..ListingParams::default()
        };
        EngineParams {
            venues: vec![
                VenueParams {
                    start_checks: CheckSet::of(&[Check::PositionMode, Check::Leverage]),
                    ..VenueParams::default()
                },
                VenueParams::default(),
            ],
            listings: vec![listing(0, 0), listing(1, 0), listing(2, 1)],
            ..EngineParams::default()
        }
    }

    fn check(check: Check, listing: Option<u16>, stated: i64, wanted: i64) -> StartCheck {
        let listing = listing.map(InstrumentId);
        StartCheck { venue: VenueId(0), check, listing, passed: stated == wanted, stated, wanted }
    }

    fn sentences(gate: &StartGate) -> Vec<(Option<u16>, String)> {
        gate.findings().map(|finding| (finding.listing.map(|id| id.0), finding.sentence())).collect()
    }

    #[test]
    fn a_venue_opens_only_when_everything_required_was_stated_as_wanted() {
        let mut gate = StartGate::new(&params());
        assert!(!gate.is_open(VenueId(0)));
        assert!(gate.is_open(VenueId(1)), "nothing is required of it");
        assert_eq!(gate.findings().count(), 2);
        gate.on_check(&check(Check::PositionMode, None, 1, 1));
        gate.on_check(&check(Check::Leverage, Some(0), 5, 5));
        assert_eq!(sentences(&gate), [(Some(1), "leverage was not read back yet".to_owned())]);
        gate.on_check(&check(Check::Leverage, Some(1), 20, 5));
        assert_eq!(sentences(&gate), [(Some(1), "leverage is 20, must be 5".to_owned())]);
        assert!(!gate.is_open(VenueId(0)));
        gate.on_check(&check(Check::Leverage, Some(1), 5, 5));
        assert!(gate.is_open(VenueId(0)) && gate.findings().next().is_none());
        gate.on_check(&check(Check::PositionMode, None, 2, 1));
        assert_eq!(sentences(&gate), [(None, "position mode is long and short, must be one-way".to_owned())]);
        assert!(!gate.is_open(VenueId(0)), "a change for the worse closes it");
    }

    #[test]
    fn what_is_not_required_still_holds_when_it_is_wrong() {
        let mut gate = StartGate::new(&params());
        let wrong = StartCheck { venue: VenueId(1), ..check(Check::ForeignOrders, None, 3, 0) };
        gate.on_check(&wrong);
        assert!(!gate.is_open(VenueId(1)));
        assert!(!gate.is_open(VenueId(7)), "unknown venues stay closed");
        gate.on_check(&StartCheck { venue: VenueId(200), ..wrong });
        gate.on_check(&StartCheck { listing: Some(InstrumentId(0)), ..wrong });
    }

    #[test]
    fn paper_is_warned_and_not_held() {
        let mut gate = StartGate::new(&EngineParams { paper: Some(PaperParams::default()), ..params() });
        gate.on_check(&check(Check::PositionMode, None, 2, 1));
        assert!(gate.is_open(VenueId(0)) && !gate.holds());
        assert!(gate.findings().count() >= 1);
    }

    #[test]
    fn a_clock_too_far_or_too_vague_is_a_finding() {
        let mut gate = StartGate::new(&params());
        let now = Stamp { mono: SECOND, wall: WALL + SECOND };
        let sample = |offset: Nanos, trip: Nanos| ClockSample {
            venue: VenueId(1),
            sent: now.mono - trip,
            received: now.mono,
            stated: now.wall - trip / 2 + offset,
            resolution: 0,
        };
        assert!(
            gate.is_clock_fit(VenueId(1), now),
            "unknown is not held against a venue of which it is not required"
        );
        gate.on_clock(&sample(0, 900 * MILLI), now);
        assert_eq!(sentences(&gate).last().unwrap().1, "clock is 450 ms off, must be at most 250 ms off");
        assert!(!gate.is_open(VenueId(1)) && !gate.is_clock_fit(VenueId(1), now));
        gate.on_clock(&sample(-3 * SECOND, 10 * MILLI), now);
        assert_eq!(sentences(&gate).last().unwrap().1, "clock is 3000 ms off, must be at most 1000 ms off");
        gate.on_clock(&sample(40 * MILLI, 2 * MILLI), now);
        assert!(gate.is_open(VenueId(1)) && gate.is_clock_fit(VenueId(1), now));
    }
}
