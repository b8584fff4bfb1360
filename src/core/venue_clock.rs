//! What time it is at a venue: its clock against ours, from questions and answers in the sequence of inputs.
//!
//! The venue stated its time somewhere between our question and its answer, so the midpoint is wrong by at
//! most half the round trip. Of the last samples the one with the least uncertainty counts; it grows with
//! age, because clocks drift. Kept against `mono`, so that a step of our own wall clock does not matter.

use super::digest::Digest;
use crate::domain::instrument::{VENUES_MAX, VenueId};
use crate::domain::standing::ClockSample;
use crate::domain::time::{Nanos, Stamp};
use serde::{Deserialize, Serialize};

/// Samples that are remembered.
const SAMPLES: usize = 16;
/// Two clocks part by at most this much, ppb of the time passed (50 ppm, a poor quartz).
const DRIFT_PPB: i64 = 50_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sample {
    /// The venue's time less our `mono`, ns.
    beyond_mono: Nanos,
    /// Half the round trip and half the resolution, ns.
    uncertainty: Nanos,
    /// `mono` of the answer.
    at: Nanos,
}

impl Sample {
    fn uncertainty_at(&self, mono: Nanos) -> Nanos {
        let age = mono.saturating_sub(self.at).max(0);
        // Asked for both legs of every pair that is evaluated: a division of 128 bits only from an age of two days on.
        let drift = match age.checked_mul(DRIFT_PPB) {
            Some(product) => product / 1_000_000_000,
            None => (i128::from(age) * i128::from(DRIFT_PPB) / 1_000_000_000) as i64,
        };
        self.uncertainty.saturating_add(drift)
    }
}

/// A venue's clock against ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// The venue's wall time less ours, ns.
    pub offset: Nanos,
    /// The truth lies within this on either side, ns.
    pub uncertainty: Nanos,
}

impl Estimate {
    /// Whether it is near enough and known well enough.
    pub fn is_within(&self, offset_max: Nanos, uncertainty_max: Nanos) -> bool {
        self.offset.saturating_abs() <= offset_max && self.uncertainty <= uncertainty_max
    }
}

/// One venue's clock.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct VenueClock {
    samples: [Option<Sample>; SAMPLES],
    next: u8,
    best: Option<Sample>,
}

impl VenueClock {
    /// Takes a sample; one that contradicts itself is ignored.
    pub fn on_sample(&mut self, sample: &ClockSample) {
        let round_trip = sample.received.saturating_sub(sample.sent);
        if round_trip < 0 || sample.stated <= 0 {
            return;
        }
        let middle = sample.sent.saturating_add(round_trip / 2);
        let half_unit = sample.resolution.max(0) / 2;
        self.samples[usize::from(self.next)] = Some(Sample {
            beyond_mono: sample.stated.saturating_add(half_unit).saturating_sub(middle),
            uncertainty: (round_trip / 2).saturating_add(half_unit),
            at: sample.received,
        });
        self.next = (self.next + 1) % SAMPLES as u8;
        let known = self.samples.iter().flatten();
        self.best = known.min_by_key(|known| known.uncertainty_at(sample.received)).copied();
    }

    /// The clock at an instant of ours; `None` before the first sample.
    pub fn estimate(&self, now: Stamp) -> Option<Estimate> {
        let best = self.best?;
        let venue = now.mono.saturating_add(best.beyond_mono);
        Some(Estimate { offset: venue.saturating_sub(now.wall), uncertainty: best.uncertainty_at(now.mono) })
    }

    /// The same instant with the venue's wall time: what its requests are stamped and signed with. Ours
    /// while the venue's is unknown.
    pub fn stamp(&self, now: Stamp) -> Stamp {
        let offset = self.estimate(now).map_or(0, |estimate| estimate.offset);
        Stamp { wall: now.wall.saturating_add(offset), ..now }
    }
}

/// The clocks of all venues.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct VenueClocks {
    clocks: [VenueClock; VENUES_MAX],
}

impl VenueClocks {
    /// Takes a sample.
    pub fn on_sample(&mut self, sample: &ClockSample) {
        if let Some(clock) = self.clocks.get_mut(sample.venue.index()) {
            clock.on_sample(sample);
        }
    }

    /// A venue's clock at an instant of ours.
    pub fn estimate(&self, venue: VenueId, now: Stamp) -> Option<Estimate> {
        self.clocks.get(venue.index())?.estimate(now)
    }

    /// The same instant in the venue's time.
    pub fn stamp(&self, venue: VenueId, now: Stamp) -> Stamp {
        self.clocks.get(venue.index()).map_or(now, |clock| clock.stamp(now))
    }

    /// Adds the state to a digest.
    pub fn digest(&self, to: &mut Digest) {
        for best in self.clocks.iter().filter_map(|clock| clock.best) {
            to.mix_signed(best.beyond_mono);
            to.mix_signed(best.uncertainty);
            to.mix_signed(best.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{MILLI, SECOND};
    use proptest::prelude::*;

    const WALL: Nanos = 1_700_000_000 * SECOND;

    fn sample(sent: Nanos, received: Nanos, stated: Nanos) -> ClockSample {
        ClockSample { sent, received, stated, resolution: MILLI, ..ClockSample::default() }
    }

    fn at(mono: Nanos) -> Stamp {
        Stamp { mono, wall: WALL + mono }
    }

    #[test]
    fn the_quickest_answer_counts_until_age_makes_another_better() {
        let mut clock = VenueClock::default();
        assert_eq!(clock.estimate(at(0)), None);
        // 300 ms ahead; 100 ms of round trip, then 10 ms, then 400 ms.
        for (sent, trip) in [(0, 100), (SECOND, 10), (2 * SECOND, 400)] {
            let received = sent + trip * MILLI;
            clock.on_sample(&sample(sent, received, WALL + sent + trip * MILLI / 2 + 300 * MILLI));
        }
        let seen = clock.estimate(at(2 * SECOND)).unwrap();
        assert_eq!(seen.offset, 300 * MILLI + MILLI / 2);
        assert!(seen.uncertainty >= 5 * MILLI + MILLI / 2 && seen.uncertainty < 6 * MILLI, "{seen:?}");
        let later = clock.estimate(at(1_000 * SECOND)).unwrap();
        assert!(later.uncertainty > 50 * MILLI, "knowledge ages: {later:?}");
        clock.on_sample(&sample(
            1_000 * SECOND,
            1_000 * SECOND + 60 * MILLI,
            WALL + 1_000 * SECOND + 30 * MILLI,
        ));
        assert_eq!(clock.estimate(at(1_001 * SECOND)).unwrap().offset, MILLI / 2, "set back since");
    }

    #[test]
    fn a_step_of_our_own_clock_changes_what_the_venue_is_ahead_by_and_not_its_time() {
        let mut clock = VenueClock::default();
        clock.on_sample(&sample(0, 2 * MILLI, WALL + MILLI));
        let stepped = Stamp { mono: SECOND, wall: WALL + SECOND + 700 * MILLI };
        assert_eq!(clock.estimate(stepped).unwrap().offset, MILLI / 2 - 700 * MILLI);
        assert_eq!(clock.stamp(stepped).wall, WALL + SECOND + MILLI / 2);
    }

    #[test]
    fn nonsense_is_ignored() {
        let mut clock = VenueClock::default();
        clock.on_sample(&sample(5, 4, WALL));
        clock.on_sample(&sample(5, 6, 0));
        assert_eq!(clock.estimate(at(0)), None);
        clock.on_sample(&sample(i64::MIN, i64::MAX, i64::MAX));
        let _ = clock.estimate(at(i64::MAX / 2));
    }

    proptest! {
        #[test]
        fn the_truth_lies_within_the_uncertainty(
            true_offset in -5_000_000_000i64..5_000_000_000,
            trips in proptest::collection::vec((0i64..400_000_000, 0i64..400_000_000, 0i64..2_000_000_000), 1..40),
        ) {
            let mut clock = VenueClock::default();
            let mut mono = 0;
            for (there, back, gap) in trips {
                mono += gap;
                let venue = WALL + mono + there + true_offset;
                let stated = venue - venue.rem_euclid(MILLI);
                clock.on_sample(&sample(mono, mono + there + back, stated));
                mono += there + back;
                let seen = clock.estimate(at(mono)).unwrap();
                prop_assert!((seen.offset - true_offset).abs() <= seen.uncertainty, "{seen:?} {true_offset}");
            }
        }
    }
}
