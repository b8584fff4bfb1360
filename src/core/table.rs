//! A fixed-size map from 128-bit ids to small values: preallocated, deterministic, no random state.
//!
//! Open addressing with linear probing and backward-shift deletion, at most half full. For ids such as
//! client order ids and (venue, instrument, trade id) keys; zero is no id.

use serde::{Deserialize, Serialize};

/// Map of at most a fixed number of ids.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub struct IdMap {
    slots: Vec<(u128, u32)>,
    len: usize,
}

/// A map as it is saved: what it holds, not where, which depends on what it held before.
#[derive(Serialize, Deserialize)]
struct Saved {
    slots: usize,
    /// By rising id.
    held: Vec<(u128, u32)>,
}

impl From<IdMap> for Saved {
    fn from(map: IdMap) -> Self {
        let mut held: Vec<_> = map.slots.iter().copied().filter(|(id, _)| *id != 0).collect();
        held.sort_unstable();
        Self { slots: map.slots.len(), held }
    }
}

impl From<Saved> for IdMap {
    fn from(saved: Saved) -> Self {
        let mut map = Self::new(saved.slots.max(2 * saved.held.len()) / 2);
        for (id, value) in saved.held.into_iter().filter(|(id, _)| *id != 0) {
            // There is room: as many slots as the map had.
            let _ = map.set(id, value);
        }
        map
    }
}

/// The map holds as many ids as it was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("id table is full")]
pub struct IdMapFull;

impl IdMap {
    /// Room for `capacity` ids (rounded up to a power of two).
    pub fn new(capacity: usize) -> Self {
        Self { slots: vec![(0, 0); capacity.max(1).next_power_of_two() * 2], len: 0 }
    }

    /// Ids held.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when no id is held.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of `id`.
    pub fn get(&self, id: u128) -> Option<u32> {
        let (key, value) = self.slots[self.find(id)];
        (id != 0 && key == id).then_some(value)
    }

    /// Sets the value of `id` (never 0); fails only when the id is new and the table is full.
    pub fn set(&mut self, id: u128, value: u32) -> Result<(), IdMapFull> {
        debug_assert_ne!(id, 0, "zero marks an empty slot");
        let at = self.find(id);
        if self.slots[at].0 != id {
            if self.len * 2 >= self.slots.len() {
                return Err(IdMapFull);
            }
            self.len += 1;
        }
        self.slots[at] = (id, value);
        Ok(())
    }

    /// Forgets `id`.
    pub fn remove(&mut self, id: u128) -> Option<u32> {
        let mut hole = self.find(id);
        if id == 0 || self.slots[hole].0 != id {
            return None;
        }
        let value = self.slots[hole].1;
        let mask = self.slots.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let (key, _) = self.slots[at];
            if key == 0 {
                break;
            }
            // Move back what would be unreachable over the hole.
            let home = hash(key) as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
        }
        self.slots[hole] = (0, 0);
        self.len -= 1;
        Some(value)
    }

    /// Where `id` stands, or the empty slot where it would. Half the slots are always empty, so it ends.
    fn find(&self, id: u128) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = hash(id) as usize & mask;
        while self.slots[at].0 != id && self.slots[at].0 != 0 {
            at = (at + 1) & mask;
        }
        at
    }
}

/// Finaliser of MurmurHash3 over both halves.
const fn hash(id: u128) -> u64 {
    let mut value = (id as u64) ^ ((id >> 64) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    value ^= value >> 33;
    value = value.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    value ^= value >> 33;
    value = value.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    value ^ (value >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::state::State as _;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_like_a_map(steps in proptest::collection::vec((any::<bool>(), 1u128..40, any::<u32>()), 0..400)) {
            let mut map = IdMap::new(64);
            let mut model = BTreeMap::new();
            for (set, id, value) in steps {
                if set {
                    map.set(id, value).unwrap();
                    model.insert(id, value);
                } else {
                    prop_assert_eq!(map.remove(id), model.remove(&id));
                }
                prop_assert_eq!(map.len(), model.len());
                for id in 1..40 {
                    prop_assert_eq!(map.get(id), model.get(&id).copied());
                }
            }
        }
    }

    #[test]
    fn what_is_saved_does_not_depend_on_the_way_to_it() {
        let (mut one, mut other) = (IdMap::new(16), IdMap::new(16));
        (1..=16).for_each(|id| one.set(id, id as u32).unwrap());
        (2..=16).step_by(2).for_each(|id| assert!(one.remove(id).is_some()));
        (1..=15).rev().step_by(2).for_each(|id| other.set(id, id as u32).unwrap());
        let text = one.save().expect("saves");
        assert_eq!(other.save().expect("saves"), text);
        let mut third = IdMap::new(1);
        third.load(&text).expect("loads");
        assert_eq!(third.save().expect("saves"), text);
        assert_eq!((third.len(), third.get(15), third.get(16)), (8, Some(15), None));
        (20..28).for_each(|id| third.set(id, 0).unwrap());
        assert_eq!(third.set(28, 0), Err(IdMapFull), "as much room as before");
    }

    #[test]
    fn a_full_table_refuses_new_ids_and_keeps_old_ones() {
        let mut map = IdMap::new(4);
        for id in 1..=4 {
            map.set(id, 7).unwrap();
        }
        assert_eq!(map.set(5, 7), Err(IdMapFull));
        assert_eq!(map.set(4, 8), Ok(()));
        assert_eq!((map.get(4), map.get(5), map.get(0)), (Some(8), None, None));
    }
}
