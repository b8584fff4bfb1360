//! An incremental 64-bit digest of a stage's state changes, to compare a run with its replay.
//!
//! Not cryptographic; two stages that made the same changes in the same order have the same digest.

use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};

/// A running digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

impl Digest {
    /// The digest of no change.
    pub const fn new() -> Self {
        Self(0x243F_6A88_85A3_08D3)
    }

    /// Mixes one value in; order matters.
    pub const fn mix(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 29);
    }

    /// Mixes a wide value in.
    pub const fn mix_wide(&mut self, value: i128) {
        self.mix(value as u64);
        self.mix((value >> 64) as u64);
    }

    /// Mixes a signed value in.
    pub const fn mix_signed(&mut self, value: i64) {
        self.mix(value.cast_unsigned());
    }

    /// Mixes an optional instant in; absent and zero differ.
    pub const fn mix_instant(&mut self, at: Option<Nanos>) {
        match at {
            Some(at) => {
                self.mix(1);
                self.mix_signed(at);
            }
            None => self.mix(0),
        }
    }

    /// The digest so far.
    pub const fn value(&self) -> u64 {
        self.0
    }
}

/// A bijective scramble of 64 bits (the finaliser of splitmix64): equal inputs, equal outputs. For hashes of
/// sets, and for choices that must look arbitrary and yet repeat.
pub const fn scramble(value: u64) -> u64 {
    let mut x = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_value_both_matter() {
        let digest = |values: &[u64]| {
            let mut digest = Digest::new();
            values.iter().for_each(|value| digest.mix(*value));
            digest.value()
        };
        assert_eq!(digest(&[1, 2]), digest(&[1, 2]));
        assert_ne!(digest(&[1, 2]), digest(&[2, 1]));
        assert_ne!(digest(&[1]), digest(&[1, 0]));
    }
}
