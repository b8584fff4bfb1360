//! State of the stages as text and back: what a snapshot holds.
//!
//! JSON with field names, so that a person can read a state, two states can be compared field by field, and a later
//! version that knows more fields can still read an older state (`#[serde(default)]`). Equal states give equal
//! text: no map of random order, no address, no time of day may be part of a state. Never called on a hot path.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// A state could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("the state of {what} cannot be {done}: {source}")]
pub struct StateError {
    /// Whose state.
    pub what: &'static str,
    /// What was tried: written, read.
    pub done: &'static str,
    /// What stands in the way.
    pub source: serde_json::Error,
}

/// Something whose state can be saved and put back. Every type that serde can write and read is such; a trait object has
/// it as a supertrait.
pub trait State {
    /// The state as canonical JSON.
    fn save(&self) -> Result<String, StateError>;
    /// Replaces the state by a saved one; after an error nothing is replaced.
    fn load(&mut self, saved: &str) -> Result<(), StateError>;
}

impl<T: Serialize + DeserializeOwned> State for T {
    fn save(&self) -> Result<String, StateError> {
        let what = std::any::type_name::<T>();
        serde_json::to_string(self).map_err(|source| StateError { what, done: "written", source })
    }

    fn load(&mut self, saved: &str) -> Result<(), StateError> {
        let what = std::any::type_name::<T>();
        *self = serde_json::from_str(saved).map_err(|source| StateError { what, done: "read", source })?;
        Ok(())
    }
}

/// An empty vector with room for `ROOM` items: scratch space is no state, but is made with its room, because nothing
/// allocates later. For `#[serde(skip, default = "room::<_, 64>")]`.
pub fn room<T, const ROOM: usize>() -> Vec<T> {
    Vec::with_capacity(ROOM)
}

/// Reads a vector and gives it room for `ROOM` items. For `#[serde(deserialize_with = "roomy::<_, _, 64>")]`.
pub fn roomy<'de, D: Deserializer<'de>, T: Deserialize<'de>, const ROOM: usize>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    let mut items = Vec::deserialize(from)?;
    items.reserve_exact(ROOM.saturating_sub(items.len()));
    Ok(items)
}

/// Arrays of any length as sequences, for `#[serde(with = "array")]`: serde itself knows them up to 32 items.
pub mod array {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::{Serialize, Serializer};

    /// Writes all items in order.
    pub fn serialize<S: Serializer, T: Serialize, const N: usize>(
        items: &[T; N],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(items)
    }

    /// Reads exactly `N` items.
    pub fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de>, const N: usize>(
        from: D,
    ) -> Result<[T; N], D::Error> {
        let items = Vec::deserialize(from)?;
        let length = items.len();
        items.try_into().map_err(|_| D::Error::invalid_length(length, &format!("{N} items").as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn what_was_saved_is_put_back_to_the_last_digit() {
        let state = (0.1_f64 + 0.2, i128::MIN, u64::MAX, vec![Some(3_i64), None]);
        let mut other = (0.0, 0, 0, Vec::new());
        other.load(&state.save().expect("saves")).expect("loads");
        assert_eq!(other, state);
    }

    #[test]
    fn a_state_that_cannot_be_read_replaces_nothing() {
        let mut kept = vec![1_u8];
        let error = kept.load("[1,").expect_err("cut off").to_string();
        assert!(error.contains("cannot be read"), "{error}");
        assert_eq!(kept, [1]);
    }

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Long {
        #[serde(with = "super::array")]
        items: [u16; 40],
    }

    #[test]
    fn an_array_of_any_length_is_put_back_and_one_of_another_length_is_refused() {
        let long = Long { items: std::array::from_fn(|i| i as u16) };
        let mut other = Long { items: [0; 40] };
        other.load(&long.save().expect("saves")).expect("loads");
        assert_eq!(other, long);
        let error = other.load(r#"{"items":[1,2]}"#).expect_err("too short").to_string();
        assert!(error.contains("invalid length 2, expected 40 items"), "{error}");
        assert_eq!(other, long);
    }
}
