//! State of the stages as text and back: what a snapshot holds.
//!
//! JSON with field names, so that a person can read a state, two states can be compared field by field, and a later
//! version that knows more fields can still read an older state (`#[serde(default)]`). Equal states give equal
//! text: no map of random order, no address, no time of day may be part of a state. Never called on a hot path.

use serde::Serialize;
use serde::de::DeserializeOwned;

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
}
