//! Actions: who acts, whether the nonce may be used, and what the matching engine makes of it.
//!
//! `status: ok` says only that the action was read and allowed; each order has a status of its own.

use super::HyperliquidServer;
use super::signature::signer;
use super::wire::{ms, parse_price, size, with_point};
use super::{NONCES_MAX, TRIGGERS_PER_DAY_MAX};
use crate::domain::time::{MILLI, Nanos, SECOND};
use crate::sim::exchange::{
    AccountId, ListingId, NewOrder, OrderId, OrderKey, OrderKind, OrderStatus, Refusal, Reject, SelfTrade,
    Side, Tif,
};
use serde_json::{Value, json};

const DAY_MS: i64 = 86_400_000;
/// Requests that an action costs which came after its deadline.
const LATE_COSTS: i64 = 5;

fn refused(text: impl Into<String>) -> Value {
    json!({"status": "err", "response": text.into()})
}

impl HyperliquidServer {
    /// The reply to a signed request.
    pub(super) fn act(&mut self, request: &Value, now: Nanos) -> Value {
        let action = &request["action"];
        let Some(address) = signer(request) else {
            return refused("Failed to deserialize the JSON body into the target type");
        };
        let own = |account: &(usize, &String)| {
            let keys = &self.venue.exchange().settings().accounts[account.0];
            *account.1 == address || keys.api_key == address
        };
        let Some((index, _)) = self.agents.iter().enumerate().find(own) else {
            return refused(format!("User or API Wallet {address} does not exist."));
        };
        let account = AccountId(index as u16 + 1);
        if address == self.agents[index] && !self.may_sign(account, now) {
            return refused(format!("User or API Wallet {address} does not exist."));
        }
        if !request["vaultAddress"].is_null() {
            return refused(format!("Vault not registered: {}", request["vaultAddress"]));
        }
        if let Err(text) = self.use_nonce(address, request["nonce"].as_u64().unwrap_or(0), now) {
            return refused(text);
        }
        let kind = action["type"].as_str().unwrap_or_default();
        let late = request["expiresAfter"].as_u64().is_some_and(|deadline| (deadline as i64) < ms(now));
        let rows = ["orders", "cancels", "modifies"].iter().find_map(|name| action[*name].as_array());
        let rows = rows.map_or(1, Vec::len) as i64;
        let count = if late { LATE_COSTS } else { rows };
        let cancels = matches!(kind, "cancel" | "cancelByCloid");
        if let Err(text) = self.addresses.entry(account).or_default().take(count, cancels, now) {
            return refused(text);
        }
        if late {
            return refused("Action expired: expiresAfter has passed");
        }
        let statuses = |name: &str, statuses: Vec<Value>| json!({"status": "ok", "response": {"type": name, "data": {"statuses": statuses}}});
        let list = |name: &str| action[name].as_array().cloned().unwrap_or_default();
        match kind {
            "order" => {
                statuses("order", list("orders").iter().map(|o| self.place(account, o, now)).collect())
            }
            "cancel" => {
                let one = |server: &mut Self, row: &Value| {
                    let key = OrderKey::Id(OrderId(row["o"].as_u64().unwrap_or(0)));
                    server.cancel(account, row["a"].as_u64(), &key, now)
                };
                statuses("cancel", list("cancels").iter().map(|row| one(self, row)).collect())
            }
            "cancelByCloid" => {
                let one = |server: &mut Self, row: &Value| {
                    let key = OrderKey::Client(row["cloid"].as_str().unwrap_or_default().to_owned());
                    server.cancel(account, row["asset"].as_u64(), &key, now)
                };
                statuses("cancel", list("cancels").iter().map(|row| one(self, row)).collect())
            }
            "batchModify" => {
                statuses("order", list("modifies").iter().map(|row| self.modify(account, row, now)).collect())
            }
            "modify" => match self.modify(account, action, now)["error"].as_str() {
                Some(text) => refused(text),
                None => json!({"status": "ok", "response": {"type": "default"}}),
            },
            "scheduleCancel" => match self.schedule(account, action["time"].as_u64(), now) {
                Ok(()) => json!({"status": "ok", "response": {"type": "default"}}),
                Err(text) => refused(text),
            },
            "updateLeverage" => json!({"status": "ok", "response": {"type": "default"}}),
            _ => refused("Failed to deserialize the JSON body into the target type"),
        }
    }

    /// Whether the agent of an account is approved.
    pub(super) fn may_sign(&self, account: AccountId, now: Nanos) -> bool {
        let settings = self.venue.exchange().account_settings(account);
        settings.may_trade && now < self.started + settings.agent_valid_ns
    }

    /// The 100 highest nonces of a signer are kept: a new one must be above the lowest of them, unused,
    /// and near the present.
    fn use_nonce(&mut self, address: String, nonce: u64, now: Nanos) -> Result<(), String> {
        let range = ms(now) - 2 * DAY_MS..ms(now) + DAY_MS;
        let used = self.nonces.entry(address).or_default();
        let low = if used.len() < NONCES_MAX { 0 } else { used[0] };
        if !range.contains(&(nonce as i64)) || nonce < low {
            return Err(format!("Invalid nonce: {nonce} is outside of the allowed window"));
        }
        match used.binary_search(&nonce) {
            Ok(_) => Err(format!("Invalid nonce: duplicate nonce {nonce}")),
            Err(at) => {
                used.insert(at, nonce);
                if used.len() > NONCES_MAX {
                    used.remove(0);
                }
                Ok(())
            }
        }
    }

    fn schedule(&mut self, account: AccountId, time: Option<u64>, now: Nanos) -> Result<(), String> {
        self.addresses.entry(account).or_default().may_schedule()?;
        let switch = self.switches.entry(account).or_default();
        let day = ms(now).div_euclid(DAY_MS);
        if switch.day != day {
            (switch.day, switch.triggers) = (day, 0);
        }
        let Some(time) = time else {
            switch.due = None;
            return Ok(());
        };
        let at = (time as i64).saturating_mul(MILLI);
        if at < now + 5 * SECOND {
            return Err("Scheduled cancel time too early, must be at least 5 seconds from now.".into());
        }
        if switch.triggers >= TRIGGERS_PER_DAY_MAX {
            return Err("Cannot schedule cancel: too many triggers today".into());
        }
        switch.due = Some(at);
        Ok(())
    }

    fn asset(&self, asset: Option<u64>) -> Option<ListingId> {
        self.venue.exchange().find_code(asset?)
    }

    fn place(&mut self, account: AccountId, row: &Value, now: Nanos) -> Value {
        let shown = row["a"].as_u64().unwrap_or(0);
        let placed = self
            .read(account, row)
            .and_then(|new| self.venue.exchange_mut().place(&new, now).map_err(reject_text));
        match placed {
            Ok(id) => self.placed(account, id, shown),
            Err(text) => json!({"error": format!("{text} asset={shown}")}),
        }
    }

    /// Ends an open order and places another one, which has a number of its own. What can be seen of the new one by itself
    /// is looked at before the old one is ended, what the matching engine finds afterwards.
    fn modify(&mut self, account: AccountId, row: &Value, now: Nanos) -> Value {
        let shown = row["order"]["a"].as_u64().unwrap_or(0);
        let error = |text: String| json!({"error": format!("{text} asset={shown}")});
        let key = match &row["oid"] {
            Value::String(id) => OrderKey::Client(id.clone()),
            id => OrderKey::Id(OrderId(id.as_u64().unwrap_or(0))),
        };
        let new = match self.read(account, &row["order"]) {
            Ok(new) => new,
            Err(text) => return error(text.to_owned()),
        };
        let exchange = self.venue.exchange_mut();
        let old = exchange.order(account, &key).filter(|old| old.status.is_open());
        let Some(old) = old.filter(|old| (old.listing, old.side) == (new.listing, new.side)) else {
            return error("Cannot modify canceled or filled order.".to_owned());
        };
        let old = OrderKey::Id(old.id);
        if exchange.cancel(account, Some(new.listing), &old, now).is_err() {
            return error("Cannot modify canceled or filled order.".to_owned());
        }
        match exchange.place(&new, now) {
            Ok(id) => self.placed(account, id, shown),
            Err(reject) => error(format!("Error placing new order during modify: {}", reject_text(reject))),
        }
    }

    /// An order as a request writes it, or what is wrong with it.
    fn read(&self, account: AccountId, row: &Value) -> Result<NewOrder, &'static str> {
        let Some(listing) = self.asset(row["a"].as_u64()) else { return Err("Invalid asset.") };
        let contract = self.venue.exchange().listing(listing);
        let side = if row["b"] == true { Side::Buy } else { Side::Sell };
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let Some(limit) = parse_price(contract, text("p"), side) else {
            return Err("Price must be divisible by tick size.");
        };
        let Some(qty) = contract.parse_qty(text("s")) else { return Err("Order has invalid size.") };
        let tif = match row["t"]["limit"]["tif"].as_str() {
            Some("Ioc" | "FrontendMarket") => Tif::Ioc,
            Some("Gtc") => Tif::Gtc,
            Some("Alo") => Tif::PostOnly,
            _ => return Err("Order type is not supported."),
        };
        Ok(NewOrder {
            account,
            listing,
            side,
            kind: OrderKind::Limit,
            tif,
            price: limit,
            qty,
            reduce_only: row["r"] == true,
            client_id: text("c").to_owned(),
            self_trade: SelfTrade::ExpireMaker,
            expires_at: 0,
        })
    }

    /// The status of an order that was accepted.
    fn placed(&self, account: AccountId, id: OrderId, asset: u64) -> Value {
        let exchange = self.venue.exchange();
        let Some(order) = exchange.order(account, &OrderKey::Id(id)) else { return json!("success") };
        let contract = exchange.listing(order.listing);
        let mut value = json!({"oid": id.0});
        if order.client_id.starts_with("0x") {
            value["cloid"] = json!(order.client_id);
        }
        if order.status.is_open() {
            return json!({"resting": value});
        }
        if order.filled == 0 {
            let text = "Order could not immediately match against any resting orders.";
            return json!({"error": format!("{text} asset={asset}")});
        }
        value["totalSz"] = json!(size(contract, order.filled));
        value["avgPx"] = json!(with_point(contract.average_text(order.notional, order.filled, 8)));
        json!({"filled": value})
    }

    fn cancel(&mut self, account: AccountId, asset: Option<u64>, key: &OrderKey, now: Nanos) -> Value {
        let listing = self.asset(asset);
        let done = listing.is_some() && self.venue.exchange_mut().cancel(account, listing, key, now).is_ok();
        if done {
            return json!("success");
        }
        let text = "Order was never placed, already canceled, or filled.";
        json!({"error": format!("{text} asset={}", asset.unwrap_or(0))})
    }
}

fn reject_text(reject: Reject) -> &'static str {
    match reject {
        Reject::UnknownListing | Reject::Closed => "Invalid asset.",
        Reject::QtyTooSmall => "Order has zero size.",
        Reject::QtyTooLarge => "Order value too large. Max is $5000000.",
        Reject::BadPrice => "Order has invalid price.",
        Reject::PriceTooHigh | Reject::PriceTooLow => {
            "Order price cannot be more than 80% away from the reference price"
        }
        Reject::NotionalTooSmall => "Order must have minimum value of $10.",
        Reject::Margin => "Insufficient margin to place order.",
        Reject::ReduceOnly => "Reduce only order would increase position.",
        Reject::DuplicateClientId => "Duplicate cloid.",
        Reject::WouldTake => "Post only order would have immediately matched.",
        Reject::Unfillable => "Order could not immediately match against any resting orders.",
        Reject::TooManyOpen => "Too many open orders.",
        Reject::UnknownOrder => "Order was never placed, already canceled, or filled.",
        Reject::NoChange => "Cannot modify order without a change.",
        Reject::Asked(refusal) => asked(refusal),
    }
}

/// A text of the venue for a reason that the exchange itself does not have.
fn asked(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Retry => "No liquidity available for market order.",
        Refusal::RateLimit => {
            "Too many cumulative requests sent (10001 > 10000) for cumulative volume traded $0.00."
        }
        Refusal::VenueDown => "Trading is halted.",
        _ => "Order has invalid price.",
    }
}

/// The status of an order as its updates and queries state it.
pub(super) fn status(order: &crate::sim::exchange::Order) -> &'static str {
    use crate::sim::exchange::EndReason;
    match order.status {
        OrderStatus::New | OrderStatus::PartiallyFilled => "open",
        OrderStatus::Filled => "filled",
        OrderStatus::Rejected => "rejected",
        _ => match order.ended {
            EndReason::Remainder | EndReason::Unfillable if order.filled == 0 => "iocCancelRejected",
            EndReason::SelfTrade => "selfTradeCanceled",
            EndReason::NothingToReduce => "reduceOnlyCanceled",
            EndReason::Countdown => "scheduledCancel",
            EndReason::Delisted => "delistedCanceled",
            EndReason::WouldTake => "badAloPxRejected",
            _ => "canceled",
        },
    }
}
