//! The simulation's own random source: SplitMix64, keyed by names so that every stream is independent.
//!
//! Integer only, so that a seed gives the same world on every machine.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream that belongs to `seed` and the parts of a name.
    pub fn keyed(seed: u64, name: &[&[u8]]) -> Self {
        // FNV-1a over the parts, each closed by a byte that keeps ("ab","c") and ("a","bc") apart.
        let mut hash = 0xcbf2_9ce4_8422_2325u64 ^ mix(seed);
        for part in name {
            for byte in part.iter().chain(&[0xff]) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        Self { state: mix(hash) }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// Uniform in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).max(0) as u64 + 1) as i64
    }

    /// True with a probability of `ppm` in a million.
    pub fn chance_ppm(&mut self, ppm: u64) -> bool {
        self.below(1_000_000) < ppm
    }

    /// Bell-shaped around 0 with a standard deviation of 1 000: the sum of twelve uniform parts.
    pub fn bell_milli(&mut self) -> i64 {
        let (a, b, c) = (self.bits(), self.bits(), self.bits());
        let sum: i64 =
            [a, b, c].iter().flat_map(|bits| (0..4).map(move |i| ((bits >> (16 * i)) & 0xffff) as i64)).sum();
        // Twelve uniforms on 0..1 have a mean of 6 and a variance of 1.
        (sum - 6 * 65_535) * 1_000 / 65_536
    }
}

/// A well-mixed function of its argument: one SplitMix64 output.
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bell_has_mean_zero_and_unit_deviation() {
        let mut random = Random::keyed(7, &[b"bell"]);
        let draws: Vec<i64> = (0..20_000).map(|_| random.bell_milli()).collect();
        let mean = draws.iter().sum::<i64>() / 20_000;
        let variance = draws.iter().map(|d| d * d).sum::<i64>() / 20_000;
        assert!(mean.abs() < 30, "mean {mean}");
        assert!((950_000..1_050_000).contains(&variance), "variance {variance}");
    }

    #[test]
    fn names_are_kept_apart() {
        let first = |name: &[&[u8]]| Random::keyed(1, name).bits();
        assert_ne!(first(&[b"ab", b"c"]), first(&[b"a", b"bc"]));
        assert_eq!(first(&[b"ab"]), first(&[b"ab"]));
    }
}
