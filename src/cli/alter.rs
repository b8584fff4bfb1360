//! The configuration of a recorded run with changes: another file, single parameters.

use super::{CliError, Failure};
use crate::config::{Config, Settings};
use crate::replay::source::RunConfig;
use serde_json::Value;
use std::path::Path;

/// The settings of `file`, of a `live` run or not, for passing recorded inputs again.
pub fn settings_of(file: &Path, live: bool) -> Result<Settings, Failure> {
    Ok(Config::load(file)?.for_replay(live).settings(live).map_err(|findings| {
        CliError::Argument(format!("{}:\n  {}", file.display(), findings.join("\n  ")))
    })?)
}

/// Changes one parameter, by its path in the recorded configuration; a venue is named by its place or its dialect.
pub fn set(config: &RunConfig, change: &str) -> Result<RunConfig, CliError> {
    let wrong = |why: String| CliError::Argument(format!("--set {change}: {why}"));
    let (path, value) = change.split_once('=').ok_or_else(|| wrong("write KEY=VALUE".to_owned()))?;
    let mut json = serde_json::to_value(config).map_err(|why| wrong(why.to_string()))?;
    let mut place = &mut json["params"];
    for key in path.trim().split('.') {
        let known = match &*place {
            Value::Object(fields) => fields.keys().cloned().collect::<Vec<_>>().join(", "),
            Value::Array(items) => {
                let dialects = items.iter().filter_map(dialect).map(|name| format!(", {name}"));
                format!("0 to {}{}", items.len().saturating_sub(1), dialects.collect::<String>())
            }
            _ => "nothing below it".to_owned(),
        };
        let next = match place {
            Value::Object(fields) => fields.get_mut(key),
            Value::Array(items) => {
                let named = items.iter().position(|item| dialect(item) == Some(key));
                key.parse::<usize>().ok().or(named).and_then(|at| items.get_mut(at))
            }
            _ => None,
        };
        place = next.ok_or_else(|| wrong(format!("there is no `{key}`; there is {known}")))?;
    }
    // What is no JSON is a text.
    *place = serde_json::from_str(value.trim()).unwrap_or_else(|_| Value::String(value.trim().to_owned()));
    serde_json::from_value(json).map_err(|why| wrong(why.to_string()))
}

fn dialect(item: &Value) -> Option<&str> {
    item.get("dialect").and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::params::{EngineParams, VenueParams};

    #[test]
    fn a_parameter_is_set_by_its_path_or_refused_with_what_there_is() {
        let venue = VenueParams { dialect: "okx".to_owned(), ..VenueParams::default() };
        let params = EngineParams { venues: vec![venue], ..EngineParams::default() };
        let config = RunConfig { trading: true, params };
        let changed = set(&config, "scan.threshold_ppb=123").expect("a known key");
        assert_eq!(changed.params.scan.threshold_ppb, 123);
        for by in ["0", "okx"] {
            let changed = set(&config, &format!("venues.{by}.taker_fee_ppb = 7")).expect("a known key");
            assert_eq!(changed.params.venues[0].taker_fee_ppb, 7);
        }
        for (change, part) in [
            ("scan.treshold_ppb=1", "threshold_ppb"),
            ("venues.3.taker_fee_ppb=1", "0 to 0, okx"),
            ("venues.bybit.taker_fee_ppb=1", "0 to 0, okx"),
            ("scan", "KEY=VALUE"),
            ("scan.threshold_ppb=much", "expected i64"),
            ("boot_epoch.x=1", "nothing below"),
        ] {
            let said = set(&config, change).expect_err(change).to_string();
            assert!(said.contains(part), "{change}: {said}");
        }
    }
}
