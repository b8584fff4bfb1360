//! An incremental 64-bit digest of a stage's state changes, to compare a run with its replay.
//!
//! Not cryptographic; two stages that made the same changes in the same order have the same digest.

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

    /// The digest so far.
    pub const fn value(&self) -> u64 {
        self.0
    }
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
