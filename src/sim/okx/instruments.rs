//! Instrument metadata and what else a client must know before it can trade.

use super::wire::with_blanks;
use crate::domain::time::Nanos;
use crate::sim::exchange::{Exchange, Listing, Standing};
use serde_json::{Value, json};

/// An instrument as `public/instruments` and the `instruments` channel show it.
pub(super) fn instrument(exchange: &Exchange, listing: &Listing, now: Nanos) -> Value {
    let family = format!("{}-{}", listing.base, listing.quote);
    let plain = |num: crate::domain::number::Num| crate::domain::money::Money::from_num(num).to_string();
    let most = super::wire::size(listing, listing.qty_max);
    let long = format!("{most}.0000000000000000");
    let value = json!({
        "category": "1",
        "contTdSwTime": "1611916860000",
        "ctMult": "1",
        "ctType": "linear",
        "ctVal": plain(listing.multiplier),
        "ctValCcy": listing.base,
        "futureSettlement": false,
        "groupId": "4",
        "instCategory": "1",
        "instFamily": family,
        "instId": listing.symbol,
        "instIdCode": listing.code,
        "instType": "SWAP",
        "lever": exchange.settings().leverage.to_string(),
        "listTime": "1573557408000",
        "lotSz": plain(listing.stated_step()),
        "maxIcebergSz": long,
        "maxLmtAmt": "20000000",
        "maxLmtSz": most,
        "maxMktSz": most,
        "maxStopSz": most,
        "maxTriggerSz": long,
        "maxTwapSz": long,
        "minSz": super::wire::size(listing, listing.stated_min()),
        "openType": "call_auction",
        "ruleType": "normal",
        "settleCcy": listing.settle,
        "state": match listing.terms(now).standing {
            Standing::Open => "live",
            Standing::Suspended => "suspend",
            Standing::Delisted => "expired",
        },
        "tickSz": plain(listing.stated_tick()),
        "tradeQuoteCcyList": [],
        "uly": family,
        "upcChg": [],
    });
    with_blanks(
        value,
        &[
            "alias",
            "auctionEndTime",
            "baseCcy",
            "expTime",
            "maxMktAmt",
            "maxPlatOILmt",
            "optType",
            "posLmtAmt",
            "posLmtPct",
            "preMktSwTime",
            "quoteCcy",
            "stk",
        ],
    )
}

/// A currency as `asset/currencies` shows it: nothing can be deposited or withdrawn here.
pub(super) fn currency(name: &str) -> Value {
    let value = json!({
        "canDep": false, "canInternal": false, "canWd": false,
        "ccy": name,
        "chain": format!("{name}-Simulated"),
        "mainNet": true,
        "maxFee": "0", "maxFeeForCtAddr": "0", "maxWd": "0",
        "minDep": "0", "minDepArrivalConfirm": "1", "minFee": "0", "minFeeForCtAddr": "0", "minInternal": "0",
        "minWd": "0", "minWdUnlockConfirm": "1",
        "name": name,
        "needTag": false,
        "usedWdQuota": "0",
        "wdQuota": "0",
        "wdTickSz": "8",
    });
    with_blanks(value, &["ctAddr", "depQuotaFixed", "depQuoteDailyLayer2", "logoLink", "usedDepQuotaFixed"])
}
