//! The venues' own ids of our orders, as they stand in recorded messages: the core keeps none.

use crate::domain::order::ClientId;
use serde_json::{Map, Value};

/// Keys under which venues state their id of an order, beside our id in the same object.
const KEYS: [&str; 5] = ["orderId", "ordId", "order_id", "oid", "i"];

/// The venue's id of `order` in a message; `None` where the message does not name both.
pub(super) fn venue_id(message: &[u8], order: ClientId) -> Option<String> {
    let value: Value = serde_json::from_slice(message).ok()?;
    find(&value, &order.to_string())
}

/// The orders with ids as ours are that a message calls `wanted`.
pub(super) fn called(message: &[u8], wanted: &str) -> Vec<ClientId> {
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_slice(message) {
        collect(&value, wanted, &mut found);
    }
    found
}

fn collect(value: &Value, wanted: &str, found: &mut Vec<ClientId>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, wanted, found)),
        Value::Object(fields) => {
            if own(fields).as_deref() == Some(wanted) {
                let ours = |value: &Value| {
                    let text = value.as_str()?;
                    ClientId::parse(text.strip_prefix("0x").unwrap_or(text).as_bytes())
                };
                found.extend(fields.values().filter_map(ours));
            }
            fields.values().for_each(|value| collect(value, wanted, found));
        }
        _ => {}
    }
}

/// The venue's id that stands in an object.
fn own(fields: &Map<String, Value>) -> Option<String> {
    KEYS.iter().find_map(|key| shown(fields.get(*key)?))
}

fn find(value: &Value, ours: &str) -> Option<String> {
    match value {
        Value::Array(items) => items.iter().find_map(|item| find(item, ours)),
        Value::Object(fields) => {
            let names_it = |value: &Value| {
                value.as_str().is_some_and(|text| text.strip_prefix("0x").unwrap_or(text) == ours)
            };
            let here = if fields.values().any(names_it) { own(fields) } else { None };
            here.or_else(|| fields.values().find_map(|value| find(value, ours)))
        }
        _ => None,
    }
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialects_way_of_naming_an_order_is_read() {
        let id = ClientId::new(7, 12);
        for (message, wanted) in [
            (format!(r#"{{"e":"ORDER_TRADE_UPDATE","o":{{"s":"BTCUSDT","c":"{id}","i":88}}}}"#), "88"),
            (format!(r#"{{"data":[{{"clOrdId":"{id}","ordId":"3125"}}]}}"#), "3125"),
            (format!(r#"{{"data":[{{"orderLinkId":"{id}","orderId":"9f-a"}}]}}"#), "9f-a"),
            (format!(r#"{{"params":{{"data":{{"label":"{id}","order_id":"ETH-5"}}}}}}"#), "ETH-5"),
            (format!(r#"{{"data":[{{"order":{{"oid":77,"cloid":"0x{id}"}},"status":"open"}}]}}"#), "77"),
        ] {
            assert_eq!(venue_id(message.as_bytes(), id).as_deref(), Some(wanted), "{message}");
            assert_eq!(called(message.as_bytes(), wanted), [id], "{message}");
            assert_eq!(called(message.as_bytes(), "7"), [], "{message}");
        }
        assert_eq!(venue_id(br#"{"ordId":"1","clOrdId":"else"}"#, id), None, "another's");
        assert_eq!(venue_id(b"no JSON", id), None);
        assert_eq!(called(br#"{"i":88,"price":"88"}"#, "88"), [], "of no order of ours");
    }
}
