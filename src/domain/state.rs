//! State of the stages as text and back: what a snapshot holds.
//!
//! JSON with field names, so that a person can read a state, two states can be compared field by field, and a later
//! version that knows more fields can still read an older state (`#[serde(default)]`). Equal states give equal
//! text: no map of random order, no address, no time of day may be part of a state. Never called on a hot path.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Display;

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

/// Maps whose keys are no text, as sequences of key and value, for `#[serde(with = "pairs")]`.
pub mod pairs {
    use serde::de::{Deserialize, Deserializer};
    use serde::ser::{Serialize, Serializer};
    use std::collections::BTreeMap;

    /// Writes the pairs in the order of their keys.
    pub fn serialize<S: Serializer, K: Serialize, V: Serialize>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    /// Reads them.
    pub fn deserialize<'de, D, K, V>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        D: Deserializer<'de>,
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(from)?.into_iter().collect())
    }
}

/// Tables most of whose rows are blank, for `#[serde(with = "sparse")]`: their length, and the other rows with their place.
pub mod sparse {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::{Serialize, Serializer};

    /// Writes the rows that are not blank.
    pub fn serialize<S, T>(rows: &[T], to: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        T: Serialize + Default + PartialEq,
    {
        let blank = T::default();
        let used: Vec<(usize, &T)> = rows.iter().enumerate().filter(|(_, row)| **row != blank).collect();
        (rows.len(), used).serialize(to)
    }

    /// Reads a table, blank where nothing is said.
    pub fn deserialize<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: Deserialize<'de> + Default,
    {
        let (length, used) = <(usize, Vec<(usize, T)>)>::deserialize(from)?;
        let mut rows: Vec<T> = std::iter::repeat_with(T::default).take(length).collect();
        for (at, row) in used {
            let place = rows.get_mut(at);
            *place.ok_or_else(|| D::Error::custom(format!("row {at} of {length}")))? = row;
        }
        Ok(rows)
    }
}

/// Fields that text has and binary records have not, for `#[serde(default, with = "text_only")]`: what was added to a
/// record after the first journals, and follows from their inputs.
pub mod text_only {
    use serde::de::{Deserialize, Deserializer};
    use serde::ser::{Serialize, Serializer};

    /// Writes the field, or nothing.
    pub fn serialize<S: Serializer, T: Serialize>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { value.serialize(to) } else { to.serialize_unit() }
    }

    /// Reads the field, or nothing.
    pub fn deserialize<'de, D, T>(from: D) -> Result<T, D::Error>
    where
        D: Deserializer<'de>,
        T: Deserialize<'de> + Default,
    {
        if from.is_human_readable() {
            return T::deserialize(from);
        }
        <()>::deserialize(from)?;
        Ok(T::default())
    }
}

/// Writes a state field by field, where serde's derive does not reach: a trait object knows itself how to save itself.
pub struct Writer {
    what: &'static str,
    text: String,
}

impl Writer {
    /// For the state of `what`.
    pub fn new(what: &'static str) -> Self {
        Self { what, text: String::from("{") }
    }

    /// Adds a plain value.
    pub fn field<T: Serialize>(&mut self, name: &str, value: &T) -> Result<(), StateError> {
        let text = serde_json::to_string(value);
        self.put(name, &text.map_err(|source| StateError { what: self.what, done: "written", source })?);
        Ok(())
    }

    /// Adds something that saves itself.
    pub fn part(&mut self, name: &str, part: &(impl State + ?Sized)) -> Result<(), StateError> {
        self.put(name, &part.save()?);
        Ok(())
    }

    /// Adds things that save themselves, in their order.
    pub fn boxes<T: State + ?Sized>(&mut self, name: &str, boxes: &[Box<T>]) -> Result<(), StateError> {
        let saved: Vec<String> = boxes.iter().map(|one| one.save()).collect::<Result<_, _>>()?;
        self.put(name, &format!("[{}]", saved.join(",")));
        Ok(())
    }

    fn put(&mut self, name: &str, value: &str) {
        let comma = if self.text.len() > 1 { "," } else { "" };
        self.text.push_str(&format!("{comma}\"{name}\":{value}"));
    }

    /// The text.
    pub fn end(self) -> String {
        self.text + "}"
    }
}

/// Reads what a [`Writer`] wrote.
pub struct Fields<'a> {
    what: &'static str,
    fields: BTreeMap<&'a str, &'a RawValue>,
}

impl<'a> Fields<'a> {
    /// Of the state of `what`.
    pub fn read(what: &'static str, saved: &'a str) -> Result<Self, StateError> {
        match serde_json::from_str(saved) {
            Ok(fields) => Ok(Self { what, fields }),
            Err(source) => Err(StateError { what, done: "read", source }),
        }
    }

    fn failed(&self, why: impl Display) -> StateError {
        let source = serde::de::Error::custom(why);
        StateError { what: self.what, done: "read", source }
    }

    fn raw(&self, name: &str) -> Result<&'a str, StateError> {
        let found = self.fields.get(name).map(|raw| raw.get());
        found.ok_or_else(|| self.failed(format_args!("it has no field {name}")))
    }

    /// A plain value.
    pub fn field<T: Deserialize<'a>>(&self, name: &str) -> Result<T, StateError> {
        serde_json::from_str(self.raw(name)?).map_err(|why| self.failed(format_args!("{name}: {why}")))
    }

    /// Puts the state of something back.
    pub fn part(&self, name: &str, part: &mut (impl State + ?Sized)) -> Result<(), StateError> {
        part.load(self.raw(name)?)
    }

    /// Puts the states of things back. After an error some may have their new state already.
    pub fn boxes<T: State + ?Sized>(&self, name: &str, boxes: &mut [Box<T>]) -> Result<(), StateError> {
        let saved: Vec<&RawValue> = self.field(name)?;
        if saved.len() != boxes.len() {
            let (found, wanted) = (saved.len(), boxes.len());
            return Err(self.failed(format_args!("{found} {name}, and not {wanted}")));
        }
        boxes.iter_mut().zip(saved).try_for_each(|(one, saved)| one.load(saved.get()))
    }
}

/// Implements [`State`] for a struct that holds trait objects. It names every field, so that none is forgotten: those
/// that are saved, the `boxes` that save themselves, and those that are `kept` because they are blank between two inputs
/// or follow from the configuration.
macro_rules! state_with_boxes {
    ($type:ident { $($field:ident),+ $(,)? } boxes $boxes:ident kept { $($kept:ident),* $(,)? }) => {
        impl $crate::domain::state::State for $type {
            fn save(&self) -> Result<String, $crate::domain::state::StateError> {
                let Self { $($field,)+ $boxes, $($kept: _,)* } = self;
                let mut to = $crate::domain::state::Writer::new(stringify!($type));
                $(to.field(stringify!($field), $field)?;)+
                to.boxes(stringify!($boxes), $boxes)?;
                Ok(to.end())
            }

            fn load(&mut self, saved: &str) -> Result<(), $crate::domain::state::StateError> {
                let from = $crate::domain::state::Fields::read(stringify!($type), saved)?;
                $(let $field = from.field(stringify!($field))?;)+
                from.boxes(stringify!($boxes), &mut self.$boxes)?;
                $(self.$field = $field;)+
                Ok(())
            }
        }
    };
}
pub(crate) use state_with_boxes;

#[cfg(test)]
mod tests {
    use super::*;

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

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Table {
        #[serde(with = "sparse")]
        rows: Vec<(i64, bool)>,
        #[serde(default, with = "text_only")]
        late: Option<u8>,
        last: u8,
    }

    #[test]
    fn a_table_is_saved_without_its_blank_rows() {
        let mut rows = vec![(0, false); 1_000];
        rows[998] = (-7, true);
        let table = Table { rows, late: Some(3), last: 9 };
        let text = table.save().expect("saves");
        assert_eq!(text, r#"{"rows":[1000,[[998,[-7,true]]]],"late":3,"last":9}"#);
        let mut other = Table { rows: Vec::new(), late: None, last: 0 };
        other.load(&text).expect("loads");
        assert_eq!(other, table);
        let error =
            other.load(r#"{"rows":[2,[[2,[1,true]]]],"last":9}"#).expect_err("no such row").to_string();
        assert!(error.contains("row 2 of 2"), "{error}");
    }

    #[test]
    fn a_field_for_text_only_takes_no_byte_of_a_binary_record() {
        let table = Table { rows: Vec::new(), late: Some(3), last: 9 };
        let mut scratch = [0; 16];
        let bytes = postcard::to_slice(&table, &mut scratch).expect("fits");
        assert_eq!(bytes, [0, 0, 9], "no row of none, and the last field");
        assert_eq!(postcard::from_bytes::<Table>(bytes).expect("reads"), Table { late: None, ..table });
    }

    trait Part: State {}
    impl Part for u8 {}

    struct Whole {
        number: i128,
        parts: Vec<Box<dyn Part>>,
        scratch: Vec<u8>,
    }

    state_with_boxes!(Whole { number } boxes parts kept { scratch });

    #[test]
    fn trait_objects_are_saved_by_themselves_and_must_be_as_many() {
        let whole = |number, parts: &[u8]| Whole {
            number,
            parts: parts.iter().map(|part| Box::new(*part) as Box<dyn Part>).collect(),
            scratch: vec![1],
        };
        let text = whole(i128::MIN, &[3, 4]).save().expect("saves");
        assert_eq!(text, format!(r#"{{"number":{},"parts":[3,4]}}"#, i128::MIN));
        let mut other = whole(0, &[0, 0]);
        other.load(&text).expect("loads");
        assert_eq!(other.save().expect("saves"), text);
        assert_eq!(other.scratch, [1]);
        for (saved, why) in [
            (r#"{"number":1,"parts":[1]}"#, "1 parts, and not 2"),
            (r#"{"parts":[1,2]}"#, "no field number"),
            (r#"{"number":"x","parts":[1,2]}"#, "number: "),
        ] {
            let error = other.load(saved).expect_err("refused").to_string();
            assert!(error.contains(why), "{error}");
            assert_eq!(other.number, i128::MIN, "{error}");
        }
    }
}
