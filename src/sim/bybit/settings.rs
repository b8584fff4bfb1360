//! What the account service says: kind of account, key, fees, protection against disconnects; and the budgets of
//! requests per account and path, which every reply states.

use super::trade::text;
use super::wire::{Fault, ms, order_uuid, ppb};
use super::{BybitServer, private};
use crate::domain::time::{Nanos, SECOND};
use crate::sim::exchange::{AccountId, Exchange, ListingId, Order, OrderKey, RateWindow};
use serde_json::{Value, json};

/// The private topic whose subscribers count for the protection against disconnects.
pub(super) const PROTECTED: &str = "dcp.future";
/// Its time where the account has not changed it, s.
const WINDOW_S: i64 = 10;
/// Orders that one request cancels at most.
const CANCEL_MAX: usize = 500;

/// Requests per second and account of the other private paths, with their method.
pub(super) const PATHS: [(&str, &str, u32); 14] = [
    ("GET", "account/wallet-balance", 50),
    ("GET", "account/info", 50),
    ("GET", "account/fee-rate", 10),
    ("GET", "account/query-dcp-info", 5),
    ("GET", "user/query-api", 10),
    ("GET", "position/list", 50),
    ("GET", "order/realtime", 50),
    ("GET", "order/history", 50),
    ("GET", "execution/list", 50),
    ("POST", "order/create", 0),
    ("POST", "order/cancel", 0),
    ("POST", "order/amend", 0),
    ("POST", "order/cancel-all", 10),
    ("POST", "order/disconnected-cancel-all", 5),
];

/// What is left of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spent {
    limit: u32,
    left: u32,
    /// When it is whole again if it was exceeded, else now, ms.
    reset_ms: i64,
}

impl Spent {
    /// As replies state it; nothing where nothing is limited.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        if self.limit == 0 {
            return Vec::new();
        }
        vec![
            ("X-Bapi-Limit", self.limit.to_string()),
            ("X-Bapi-Limit-Status", self.left.to_string()),
            ("X-Bapi-Limit-Reset-Timestamp", self.reset_ms.to_string()),
        ]
    }
}

impl BybitServer {
    fn budget(&mut self, account: AccountId, path: &'static str) -> &mut RateWindow {
        let settings = self.venue.exchange().settings();
        let listed = PATHS.iter().find(|(_, name, _)| *name == path).map_or(0, |(_, _, limit)| *limit);
        let (limit, window) = match listed {
            // Of orders: as configured.
            0 => (settings.orders_per_window_max, settings.order_window_ns),
            limit => (limit, SECOND),
        };
        self.budgets.entry((account, path)).or_insert_with(|| RateWindow::new(limit, window))
    }

    /// What is left of a budget.
    pub(super) fn spent(&mut self, account: AccountId, path: &'static str, now: Nanos) -> Spent {
        let budget = self.budget(account, path);
        let (limit, used) = (budget.limit(), budget.used(now));
        let reset_ms = if used > limit { ms(budget.ends(now)) } else { ms(now) };
        Spent { limit, left: limit.saturating_sub(used), reset_ms }
    }

    /// Counts a request against its budget.
    pub(super) fn spend(
        &mut self,
        account: AccountId,
        path: &'static str,
        now: Nanos,
    ) -> Result<Spent, Fault> {
        let within = self.budget(account, path).take(1, now);
        if within { Ok(self.spent(account, path, now)) } else { Err(Fault::visits()) }
    }

    /// Seconds without a protected connection after which an account's orders are cancelled.
    pub(super) fn window_of(&self, account: AccountId) -> i64 {
        self.windows.get(&account).copied().unwrap_or(WINDOW_S)
    }

    /// `query-dcp-info`: empty for accounts that were not granted it.
    pub(super) fn protection(&self, account: AccountId) -> Value {
        let granted = self.venue.exchange().account_settings(account).disconnect_protection;
        let row = json!({
            "product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": self.window_of(account).to_string(),
        });
        json!({"dcpInfos": if granted { vec![row] } else { Vec::new() }})
    }

    /// `disconnected-cancel-all`: what holds from the next disconnection on.
    pub(super) fn protect(&mut self, account: AccountId, args: &Value) -> Result<Value, Fault> {
        if !self.venue.exchange().account_settings(account).disconnect_protection {
            return Err(Fault::permission());
        }
        let seconds = text(args, "timeWindow").and_then(|seconds| seconds.parse().ok());
        let seconds = seconds.filter(|seconds| (3..=300).contains(seconds));
        let seconds: i64 = seconds.ok_or_else(|| Fault::parameter("timeWindow"))?;
        match text(args, "product").as_deref() {
            Some("DERIVATIVES") => drop(self.windows.insert(account, seconds)),
            // Nothing of the others is listed here.
            None | Some("OPTIONS" | "SPOT") => {}
            Some(_) => return Err(Fault::parameter("product")),
        }
        Ok(json!({}))
    }

    /// `cancel-all` of some listings.
    pub(super) fn cancel_listed(&mut self, account: AccountId, ids: &[ListingId], now: Nanos) -> Value {
        let exchange = self.venue.exchange();
        let open = ids.iter().flat_map(|id| exchange.open_orders(account, Some(*id)).cloned());
        let open: Vec<_> = open.take(CANCEL_MAX).collect();
        let ended =
            |order: &Order| json!({"orderId": order_uuid(order.id), "orderLinkId": private::link_id(order)});
        let rows: Vec<Value> = open.iter().map(ended).collect();
        for order in &open {
            // It was open a moment ago, and this is that moment.
            let _ = self.venue.exchange_mut().cancel(account, None, &OrderKey::Id(order.id), now);
        }
        self.collect();
        json!({"list": rows, "success": "1"})
    }
}

/// `account/info`.
pub(super) fn info(exchange: &Exchange, account: AccountId) -> Value {
    let settings = exchange.account_settings(account);
    json!({
        "unifiedMarginStatus": if settings.level < 2 { 1 } else { 5 },
        "marginMode": if settings.isolated { "ISOLATED_MARGIN" } else { "REGULAR_MARGIN" },
        "dcpStatus": "OFF", "timeWindow": 0, "smpGroup": 0, "isMasterTrader": false, "spotHedgingStatus": "OFF",
        "updatedTime": "1697078946000",
    })
}

/// `user/query-api`, which repeats the key.
pub(super) fn key(exchange: &Exchange, account: AccountId) -> Value {
    let keys = exchange.keys(account);
    let trades = keys.settings.may_trade;
    let contract = if trades { vec!["Order", "Position"] } else { Vec::new() };
    json!({
        "id": "13770661", "note": "simulated", "apiKey": keys.api_key, "readOnly": i32::from(!trades), "secret": "",
        "permissions": {
            "ContractTrade": contract, "Spot": [], "Wallet": [], "Options": [], "Derivatives": [],
            "CopyTrading": [], "BlockTrade": [], "Exchange": [], "NFT": [], "Affiliate": [], "Earn": [],
        },
        "ips": ["*"], "type": 1, "deadlineDay": 66, "expiredAt": "2027-12-22T07:20:25Z",
        "createdAt": "2026-10-16T02:24:40Z", "unified": 0, "uta": i32::from(keys.settings.level >= 2),
        "userID": 24_617_703, "inviterID": 0, "vipLevel": "No VIP", "mktMakerLevel": "0", "affiliateID": 0,
        "rsaPublicKey": "", "isMaster": true, "parentUid": "0", "kycLevel": "LEVEL_DEFAULT", "kycRegion": "",
    })
}

/// `account/fee-rate` of some listings.
pub(super) fn fees(exchange: &Exchange, ids: &[ListingId]) -> Value {
    let settings = exchange.settings();
    let row = |id: &ListingId| {
        json!({
            "symbol": exchange.listing(*id).symbol,
            "takerFeeRate": ppb(settings.taker_fee_ppb), "makerFeeRate": ppb(settings.maker_fee_ppb),
        })
    };
    json!({"list": ids.iter().map(row).collect::<Vec<_>>()})
}
