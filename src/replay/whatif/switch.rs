//! Another configuration from the midst of a run: the state of the stages as it was recorded, with what the parameters make
//! of it.
//!
//! Wherever stages that have seen nothing differ between both configurations, it is the parameters that made the
//! difference: there the new value is taken, and everywhere else what the run has come to.

use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;

/// The state `reached`, as it is with the parameters of the fresh state `new` in place of those of the fresh state `old`.
///
/// # Errors
/// In words: where it cannot be told what the parameters made and what the run did.
pub fn switched(reached: &str, old: &str, new: &str) -> Result<String, String> {
    let raw = |text: &str| serde_json::from_str::<Box<RawValue>>(text).map_err(|why| why.to_string());
    let (reached, old, new) = (raw(reached)?, raw(old)?, raw(new)?);
    merged("state", &reached, &old, &new).map(|merged| merged.get().to_owned())
}

type Fields = BTreeMap<String, Box<RawValue>>;

fn merged(path: &str, reached: &RawValue, old: &RawValue, new: &RawValue) -> Result<Box<RawValue>, String> {
    if old.get() == new.get() {
        return Ok(reached.to_owned());
    }
    let failed = |why: serde_json::Error| format!("{path}: {why}");
    let fields = |of: &RawValue| serde_json::from_str::<Fields>(of.get()).ok();
    if let (Some(mut reached), Some(old), Some(new)) = (fields(reached), fields(old), fields(new)) {
        for (name, value) in &mut reached {
            if let (Some(old), Some(new)) = (old.get(name), new.get(name)) {
                *value = merged(&format!("{path}.{name}"), value, old, new)?;
            }
        }
        return to_raw_value(&reached).map_err(failed);
    }
    let items = |of: &RawValue| serde_json::from_str::<Vec<Box<RawValue>>>(of.get()).ok();
    match (items(reached), items(old), items(new)) {
        (Some(mut reached), Some(old), Some(new)) => {
            if reached.len() != old.len() || old.len() != new.len() {
                return Err(format!(
                    "{path} has grown since the beginning and depends on the parameters, too"
                ));
            }
            for (at, value) in reached.iter_mut().enumerate() {
                *value = merged(&format!("{path}[{at}]"), value, &old[at], &new[at])?;
            }
            to_raw_value(&reached).map_err(failed)
        }
        _ => Ok(new.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_from_the_new_state_and_everything_else_as_the_run_has_it() {
        let old = r#"{"limit":5,"seen":0,"rows":[{"fee":1,"sum":"0"},{"fee":1,"sum":"0"}]}"#;
        let new = r#"{"limit":9,"seen":0,"rows":[{"fee":1,"sum":"0"},{"fee":2,"sum":"0"}]}"#;
        let reached = format!(
            r#"{{"limit":5,"seen":{},"rows":[{{"fee":1,"sum":"7"}},{{"fee":1,"sum":"8"}}]}}"#,
            i128::MAX
        );
        let switched = switched(&reached, old, new).expect("one shape");
        assert_eq!(
            switched,
            format!(
                r#"{{"limit":9,"rows":[{{"fee":1,"sum":"7"}},{{"fee":2,"sum":"8"}}],"seen":{}}}"#,
                i128::MAX
            )
        );
    }

    #[test]
    fn what_has_grown_and_depends_on_parameters_is_refused_by_name() {
        let why = switched(r#"{"rows":[1,2]}"#, r#"{"rows":[1]}"#, r#"{"rows":[3]}"#).expect_err("unclear");
        assert!(why.contains("state.rows"), "{why}");
    }
}
