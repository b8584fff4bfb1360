//! Rolling median of the last n samples: a ring for age, a sorted array for rank.
//!
//! Allocates once. A push is one binary search and one short move each for the leaving and the coming
//! sample, which for n ≤ 255 beats any tree.

use super::digest::Digest;
use serde::{Deserialize, Serialize};

/// Most samples in a window.
pub const WINDOW_MAX: usize = 255;

/// The last `capacity` samples and their median.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Median {
    ring: Vec<i64>,
    sorted: Vec<i64>,
    next: usize,
    capacity: usize,
}

impl Median {
    /// An empty window of `capacity` samples, clamped to 1 … [`WINDOW_MAX`].
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, WINDOW_MAX);
        Self { ring: Vec::with_capacity(capacity), sorted: Vec::with_capacity(capacity), next: 0, capacity }
    }

    /// Adds a sample; the oldest leaves when the window is full.
    pub fn push(&mut self, sample: i64) {
        if self.ring.len() < self.capacity {
            self.ring.push(sample);
        } else {
            let oldest = std::mem::replace(&mut self.ring[self.next], sample);
            let at = self.sorted.partition_point(|v| *v < oldest);
            self.sorted.remove(at);
        }
        self.next = (self.next + 1) % self.capacity;
        let at = self.sorted.partition_point(|v| *v <= sample);
        self.sorted.insert(at, sample);
    }

    /// The median; of an even number of samples the lower of the two in the middle. `None` when empty.
    pub fn value(&self) -> Option<i64> {
        self.sorted.get(self.sorted.len().wrapping_sub(1) / 2).copied()
    }

    /// Samples held.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// True when every further sample pushes one out.
    pub fn is_full(&self) -> bool {
        self.ring.len() == self.capacity
    }

    /// Forgets all samples, keeps the room.
    pub fn clear(&mut self) {
        self.ring.clear();
        self.sorted.clear();
        self.next = 0;
    }

    /// Adds the state to a digest.
    pub fn digest(&self, to: &mut Digest) {
        to.mix(self.next as u64);
        self.ring.iter().for_each(|v| to.mix_signed(*v));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_sorting_the_last_n(samples in proptest::collection::vec(-50i64..50, 1..600), n in 1usize..300) {
            let mut window = Median::new(n);
            let n = n.min(WINDOW_MAX);
            for (i, sample) in samples.iter().enumerate() {
                window.push(*sample);
                let mut naive = samples[(i + 1).saturating_sub(n)..=i].to_vec();
                naive.sort_unstable();
                prop_assert_eq!(window.value(), Some(naive[(naive.len() - 1) / 2]));
                prop_assert_eq!(window.len(), naive.len());
            }
            window.clear();
            prop_assert_eq!(window.value(), None);
            window.push(7);
            prop_assert_eq!(window.value(), Some(7));
        }
    }
}
