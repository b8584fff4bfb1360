//! The latent price of a canonical instrument: one path on a fixed time grid that every venue computes for
//! itself from the seed, so that venues need no shared state.
//!
//! A relative deviation from `price0` in ppb does a random walk with jumps and is pulled back softly, so it
//! stays within the configured range. Integers only.

use super::super::config::SimInstrument;
use super::random::Random;
use crate::domain::time::{Nanos, SECOND};

/// Reads the path forwards, step by step.
#[derive(Clone, Debug)]
pub struct Latent {
    random: Random,
    /// Grid index of `deviation_ppb`; 0 = the start.
    step: u64,
    deviation_ppb: i64,
    /// Fraction of the deviation below one ppb, in thousandths: keeps slow walks from freezing.
    rest_milli: i64,
    step_sigma_ppb_milli: i64,
    jump_chance_ppb: u64,
    jump_ppb: (i64, i64),
    range_ppb: i64,
}

impl Latent {
    /// At the start of the path of `instrument` on a grid of `step_ns`.
    pub fn new(seed: u64, instrument: &SimInstrument, step_ns: Nanos) -> Self {
        let steps_per_second = (SECOND / step_ns.max(1)).max(1);
        // σ of one step = σ of a second / √(steps per second), in thousandths of a ppb.
        let root_milli = isqrt((steps_per_second as u64) * 1_000_000) as i64;
        let jump_chance_ppb = match instrument.jump_every_ns {
            0 => 0,
            every => (i128::from(step_ns) * 1_000_000_000 / i128::from(every)) as u64,
        };
        Self {
            random: Random::keyed(seed, &[b"latent", instrument.name().as_bytes()]),
            step: 0,
            deviation_ppb: 0,
            rest_milli: 0,
            step_sigma_ppb_milli: instrument.volatility_ppb * 1_000_000 / root_milli.max(1),
            jump_chance_ppb,
            jump_ppb: (instrument.jump_min_ppb, instrument.jump_max_ppb),
            range_ppb: instrument.range_ppb.clamp(1, 500_000_000),
        }
    }

    /// Grid index reached.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Deviation from `price0`, ppb.
    pub fn deviation_ppb(&self) -> i64 {
        self.deviation_ppb
    }

    /// Walks to grid index `step` (never back) and returns the deviation there, ppb.
    pub fn advance_to(&mut self, step: u64) -> i64 {
        while self.step < step {
            self.step += 1;
            self.walk();
        }
        self.deviation_ppb
    }

    fn walk(&mut self) {
        let milli = self.random.bell_milli() * self.step_sigma_ppb_milli / 1_000 + self.rest_milli;
        self.deviation_ppb += milli / 1_000;
        self.rest_milli = milli % 1_000;
        if self.jump_chance_ppb > 0 && self.random.below(1_000_000_000) < self.jump_chance_ppb {
            let size = self.random.between(self.jump_ppb.0, self.jump_ppb.1);
            // The farther away, the likelier the jump leads back: the path has no drift over a long demo.
            let up_ppm = 500_000 - self.deviation_ppb.saturating_mul(500_000) / self.range_ppb;
            let up = self.random.chance_ppm(up_ppm.clamp(0, 1_000_000) as u64);
            self.deviation_ppb += if up { size } else { -size };
        }
        self.deviation_ppb = self.deviation_ppb.clamp(-self.range_ppb, self.range_ppb);
    }
}

fn isqrt(value: u64) -> u64 {
    value.isqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::MILLI;

    #[test]
    fn the_path_is_the_same_however_it_is_read_and_stays_in_range() {
        let instrument = SimInstrument::default();
        let mut one = Latent::new(7, &instrument, 5 * MILLI);
        let mut two = one.clone();
        let path: Vec<i64> = (1..=60_000).map(|step| one.advance_to(step)).collect();
        for step in [1u64, 17, 4_000, 60_000] {
            assert_eq!(two.advance_to(step), path[step as usize - 1]);
        }
        assert!(path.iter().all(|d| d.abs() <= instrument.range_ppb));
        let jumps = path.windows(2).filter(|w| (w[1] - w[0]).abs() > 1_500_000).count();
        assert!((40..=120).contains(&jumps), "about one jump each 4 s in 300 s: {jumps}");
    }
}
