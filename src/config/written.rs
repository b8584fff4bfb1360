//! The file that says what a recorded run was configured with: for the commands that pass its inputs again.

use super::names::{self, Name};
use super::tables::{MarketTable, RiskTable, ScanTable, bps, millis, percents};
use crate::domain::intent::ONE_PPB;
use crate::domain::params::{EngineParams, MarketCopies, VenueParams};
use crate::domain::time::SECOND;
use std::collections::BTreeSet;
use toml::{Table, Value};

/// A configuration file with these parameters. What a journal does not hold (addresses, credentials, threads, where to
/// record) is left out; what no file can say is what is missing from the parameters that it is read back as.
pub fn written(params: &EngineParams) -> String {
    let mut file = String::new();
    for of in &params.venues {
        section(&mut file, "[[venues]]", &venue(of));
    }
    for at in 0..params.canonicals.len() {
        section(&mut file, "[[instruments]]", &instrument(params, at));
    }
    let quotes: BTreeSet<&str> = params.canonicals.iter().map(|canonical| canonical.quote.as_str()).collect();
    if quotes.len() > 1 {
        let quotes: Vec<Value> = quotes.into_iter().map(Value::from).collect();
        section(&mut file, "[quotes]", &table([("at_par", quotes.into())]));
    }
    // All venues subscribe the same.
    let extras = params.venues.first().map(|venue| MarketTable::written(venue.extras)).unwrap_or_default();
    if !extras.is_empty() {
        section(&mut file, "[market]", &table([("extras", extras.into())]));
    }
    section(&mut file, "[scan]", &ScanTable::written(&params.scan));
    section(&mut file, "[risk]", &RiskTable::written(&params.risk));
    if let Some(paper) = params.paper {
        let keys = [("latency_ms", millis(paper.latency_ns).into()), ("balance", paper.balance.into())];
        section(&mut file, "[paper]", &table(keys));
    }
    file
}

/// A table with its header; what it is called stands first.
fn section(file: &mut String, header: &str, table: &Table) {
    file.push_str(&format!("\n{header}\n"));
    let is_name = |key: &str| matches!(key, "dialect" | "name");
    let (names, others): (Vec<_>, Vec<_>) = table.iter().partition(|(key, _)| is_name(key));
    for (key, value) in names.into_iter().chain(others) {
        file.push_str(&format!("{key} = {value}\n"));
    }
}

fn table<const N: usize>(keys: [(&str, Value); N]) -> Table {
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn venue(of: &VenueParams) -> Table {
    // Margin is configured as what it is a part of.
    let leverage = (ONE_PPB + of.margin_ppb / 2) / of.margin_ppb.max(1);
    let mut keys = table([
        ("dialect", of.dialect.clone().into()),
        ("taker_fee_bps", bps(of.taker_fee_ppb).into()),
        ("maker_fee_bps", bps(of.maker_fee_ppb).into()),
        ("allowance_bps", bps(of.allowance_ppb).into()),
        ("miss_prior_percent", percents(of.miss_prior_ppb).into()),
        ("leverage", leverage.into()),
        ("orders_per_10s_max", of.orders_per_10s_max.into()),
        ("ack_timeout_ms", millis(of.ack_timeout_ns).into()),
        ("order_valid_ms", of.order_valid_ms.into()),
        ("dead_man_s", (of.dead_man_ns / SECOND).into()),
        ("session", word(of.session)),
        ("orders", word(of.orders)),
        ("orders_fallback", word(of.orders_fallback)),
        ("redundant", (of.market_copies == MarketCopies::Two).into()),
        ("connection_age_max_s", (of.connection_age_max() / SECOND).into()),
        ("settle_haircut_bps", bps(of.settle_haircut_ppb).into()),
    ]);
    if !of.settle_at_par.is_empty() {
        keys.insert("settle_at_par".to_owned(), of.settle_at_par.as_str().into());
    }
    keys
}

/// A value of a fixed set, as files write it.
fn word(value: impl serde::Serialize) -> Value {
    Value::try_from(value).unwrap_or_else(|_| Value::from(""))
}

fn instrument(params: &EngineParams, at: usize) -> Table {
    let name = &params.canonicals[at].name;
    let unified = Name::unified(name);
    let (mut venues, mut symbols) = (Vec::new(), Table::new());
    for listing in params.listings.iter().filter(|listing| listing.canonical.index() == at) {
        let Some(venue) = params.venues.get(listing.venue.index()) else { continue };
        venues.push(Value::from(venue.dialect.as_str()));
        let par = Some(venue.settle_at_par.as_str()).filter(|par| !par.is_empty());
        let there = unified.as_ref().and_then(|of| of.settled_at_par(&venue.dialect, par));
        let follows = there.as_ref().or(unified.as_ref()).map(|of| names::listed(of, &venue.dialect));
        let symbol = listing.symbol.to_string();
        if !matches!(follows, Some(Ok(Some(follows))) if follows == symbol) {
            symbols.insert(venue.dialect.clone(), symbol.into());
        }
    }
    let mut keys = table([("name", name.as_str().into()), ("venues", venues.into())]);
    if !symbols.is_empty() {
        keys.insert("symbols".to_owned(), symbols.into());
    }
    keys
}
