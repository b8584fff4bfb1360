//! The order of a block, as the venue documents it: first the actions that send neither a GTC nor an IOC order (so
//! post-only orders too), then cancels, then those that send at least one GTC or IOC order; each kind as it came.
//!
//! The makers of the simulated market re-quote until the block, so what they take away is gone before our orders come.

use super::HyperliquidServer;
use super::Travel;
use crate::domain::time::Nanos;
use serde_json::{Value, json};

/// The place of an action among the others of its block.
fn rank(action: &Value) -> u8 {
    let rows = |name: &str| action[name].as_array().into_iter().flatten();
    let orders = rows("orders").chain(rows("modifies").map(|row| &row["order"]));
    let mut orders = orders.chain(action.get("order"));
    match action["type"].as_str().unwrap_or_default() {
        "cancel" | "cancelByCloid" => 1,
        _ if orders.any(|order| order["t"]["limit"]["tif"] != "Alo") => 2,
        _ => 0,
    }
}

impl HyperliquidServer {
    /// Matches what has come since the last block, and replies.
    pub(super) fn run_block(&mut self, at: Nanos) {
        let mut actions = std::mem::take(&mut self.pending);
        actions.sort_by_key(|(.., payload)| rank(&payload["action"]));
        for (conn, id, payload) in actions {
            let reply = self.act(&payload, at);
            self.reply(conn, id, json!({"type": "action", "payload": reply}), at);
            self.collect();
        }
    }

    /// Something has come to the end of its way.
    pub(super) fn arrive(&mut self, travel: Travel, now: Nanos, out: &mut Vec<crate::sim::Push>) {
        match travel {
            Travel::Action { conn, id, payload } => self.pending.push((conn, id, payload)),
            Travel::Message(conn, text) => self.say(conn, text, now, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn post_only_orders_come_first_then_cancels_then_the_rest() {
        let order = |tifs: &[&str]| {
            let rows: Vec<Value> = tifs.iter().map(|tif| json!({"t": {"limit": {"tif": tif}}})).collect();
            json!({"type": "order", "orders": rows})
        };
        let modify = |tif: &str| json!({"order": {"t": {"limit": {"tif": tif}}}});
        for (action, wanted) in [
            (order(&["Alo", "Alo"]), 0),
            (json!({"type": "scheduleCancel"}), 0),
            (json!({"type": "batchModify", "modifies": [modify("Alo")]}), 0),
            (json!({"type": "cancel", "cancels": []}), 1),
            (json!({"type": "cancelByCloid", "cancels": []}), 1),
            (order(&["Ioc"]), 2),
            (order(&["Alo", "Gtc"]), 2),
            (json!({"type": "batchModify", "modifies": [modify("Alo"), modify("Ioc")]}), 2),
            (json!({"type": "modify", "oid": 1, "order": modify("Gtc")["order"]}), 2),
            (json!({"type": "order", "orders": [{"t": {"trigger": {}}}]}), 2),
        ] {
            assert_eq!(rank(&action), wanted, "{action}");
        }
    }
}
