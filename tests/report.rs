//! The keys of `demo --json` are those of `docs/REPORT.md`: none missing, none undocumented.

use perpring::cli::Signals;
use perpring::cli::demo::{DemoArgs, trade};
use perpring::runtime::idle::IdleMode;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// Documented keys, and whether each may be absent.
fn documented() -> Vec<(String, bool)> {
    let text = include_str!("../docs/REPORT.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    rows.map(|(key, meaning)| (key.to_owned(), meaning.contains("(optional)"))).collect()
}

/// Every key below `value` by its path; all paths of latencies have the keys of one.
fn collect(value: &Value, path: &str, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                keys.insert(below.clone());
                let repeated = below.starts_with("latency_ns.") && !below.starts_with("latency_ns.decode");
                if !repeated {
                    collect(value, &below, keys);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, &format!("{path}[]"), keys)),
        _ => {}
    }
}

#[test]
fn every_documented_key_is_in_the_report_and_every_key_is_documented() {
    let args = DemoArgs {
        duration: Some(Duration::from_secs(3)),
        instruments: 1,
        pinning: Some("fused".into()),
        idle: Some(IdleMode::Yield),
        json: true,
        ..DemoArgs::default()
    };
    let report = trade(&args, &Signals::default()).expect("a demo on loopback");
    let json = serde_json::to_value(&report).expect("plain data");
    let mut keys = BTreeSet::new();
    collect(&json, "", &mut keys);
    let documented = documented();
    assert!(documented.len() > 60, "the table was not found");
    for (key, optional) in &documented {
        assert!(*optional || keys.contains(key), "docs/REPORT.md tells of `{key}`, which is not in {json}");
    }
    for key in &keys {
        assert!(documented.iter().any(|row| row.0 == *key), "`{key}` is not in docs/REPORT.md");
    }
    let decode = &json["latency_ns"]["decode"];
    for (path, summary) in json["latency_ns"].as_object().expect("by path") {
        let names = |value: &Value| {
            let keys = value.as_object().expect("a summary").keys();
            keys.filter(|key| *key != "p9999").cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(summary), names(decode), "{path}");
    }
}
