//! From the file's tables to what an engine is launched with, and everything that contradicts itself.

use super::names::{self, Name};
use super::tables::{Config, InstrumentTable, VenueTable, nanos, ppb, ppb_of_percent};
use crate::core::miss::MISS_PRIOR_ORDERS_MAX;
use crate::domain::instrument::{
    CanonicalId, ContractKind, INSTRUMENTS_MAX, InstrumentId, VENUES_MAX, VenueId,
};
use crate::domain::intent::{ONE_PPB, Ppb};
use crate::domain::params::{
    Amending, CONNECTION_AGE_MAX, CanonicalParams, EngineParams, ListingParams, OrderFallback, OrderRoute,
    ScanParams, SessionKind, VenueParams,
};
use crate::domain::standing::CheckSet;
use crate::domain::text::{Currency, Text};
use crate::domain::time::SECOND;
use crate::net::endpoint::Endpoint;
use crate::runtime::profile::Profile;
use crate::stage::egress::WriteAhead;
use crate::venue::{DIALECTS, connections, dialect, market_copies};

/// Addresses of a venue.
#[derive(Clone, Debug, Default)]
pub struct VenueSettings {
    /// Base address of each connection.
    pub sockets: Vec<String>,
    /// Base address for HTTP.
    pub http: String,
}

/// A configuration without contradictions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Parameters with `boot_epoch` 0; `paper` is set unless live.
    pub params: EngineParams,
    /// By venue.
    pub venues: Vec<VenueSettings>,
}

/// A part of a unified name: base, quote, settlement.
/// Requests that an order costs where they have to be earned: itself, and a part of cancels, questions about
/// limits and switches.
const REQUESTS_PER_ORDER: i64 = 2;

type Parts<'a> = (&'a str, &'a str, &'a str);

impl Config {
    /// As it is for passing recorded inputs, of a `live` run or not: nothing leaves and nothing is recorded, so what only a
    /// run must say may be missing.
    #[must_use]
    pub fn for_replay(mut self, live: bool) -> Self {
        self.is_replay = true;
        self.engine.live |= live;
        self.engine.journal_dir.get_or_insert_default();
        self
    }

    /// Checks everything and translates it. With `live`, for real orders; else on paper, with market data
    /// connections only.
    ///
    /// # Errors
    /// Every finding as a sentence that says what to do.
    pub fn settings(&self, live: bool) -> Result<Settings, Vec<String>> {
        let mut findings = Vec::new();
        self.check_engine(live, &mut findings);
        self.check_scan(&mut findings);
        self.check_risk(&mut findings);
        let mut params = EngineParams {
            scan: self.scan.params(),
            risk: self.risk.params(),
            paper: (!live).then(|| self.paper.params()),
            ..EngineParams::default()
        };
        let mut venues = Vec::new();
        for (index, venue) in self.venues.iter().enumerate() {
            venues.push(check_venue(venue, live, &mut findings));
            if self.venues[..index].iter().any(|other| other.dialect == venue.dialect) {
                findings.push(format!("venue {} is configured twice: remove one", venue.dialect));
            }
            params.venues.push(VenueParams {
                dialect: venue.dialect.clone(),
                taker_fee_ppb: ppb(venue.taker_fee_bps),
                maker_fee_ppb: ppb(venue.maker_fee_bps),
                margin_ppb: ONE_PPB / i64::from(venue.leverage.max(1)),
                orders_per_10s_max: orders_per_10s(venue),
                ack_timeout_ns: nanos(venue.ack_timeout_ms),
                order_valid_ms: venue.order_valid_ms,
                start_checks: dialect(&venue.dialect).map_or(CheckSet::EMPTY, |of| of.start_checks()),
                dead_man_ns: venue.dead_man_s * SECOND,
                session: venue.session,
                orders: order_route(venue, &mut findings),
                orders_fallback: order_fallback(venue, &mut findings),
                settle_at_par: at_par(venue, &mut findings),
                market_copies: market_copies(&venue.dialect, venue.redundant),
                settle_haircut_ppb: ppb(venue.settle_haircut_bps),
                allowance_ppb: ppb(venue.allowance_bps),
                extras: self.market.extras(),
                miss_prior_ppb: miss_prior(venue),
                connection_age_max_ns: venue.connection_age_max_s.saturating_mul(SECOND),
                amending: dialect(&venue.dialect).map_or(Amending::None, |of| of.amending()),
            });
        }
        self.check_earning(&params.scan, &mut findings);
        if self.venues.len() < 2 && !self.is_replay {
            findings.push(format!(
                "{} venue(s) configured; arbitrage needs two or more: add [[venues]]",
                self.venues.len()
            ));
        }
        if self.venues.len() > VENUES_MAX {
            findings
                .push(format!("{} venues configured; at most {VENUES_MAX} are possible", self.venues.len()));
        }
        if self.instruments.is_empty() {
            findings.push("no instruments configured: add [[instruments]]".to_owned());
        }
        for instrument in &self.instruments {
            self.add_instrument(instrument, &mut params, &mut findings);
        }
        self.check_quotes(&params, &mut findings);
        for (index, venue) in self.venues.iter().enumerate() {
            let copies = market_copies(&venue.dialect, venue.redundant);
            let room = dialect(&venue.dialect)
                .map_or(usize::MAX, |of| of.listings_max(self.market.extras(), copies));
            let listed = params.listings.iter().filter(|listing| listing.venue.index() == index).count();
            if listed > room {
                findings.push(format!(
                    "venue {}: {listed} instruments are listed there and its connections carry {room}: name its venues \
                     at some of them",
                    venue.dialect
                ));
            }
        }
        if params.listings.len() > INSTRUMENTS_MAX {
            findings.push(format!(
                "{} listings in all; at most {INSTRUMENTS_MAX} are possible: remove instruments",
                params.listings.len()
            ));
        }
        if findings.is_empty() { Ok(Settings { params, venues }) } else { Err(findings) }
    }

    /// Where every request has to be earned by trading, order quality must stop a listing whose orders earn less
    /// than they use.
    fn check_earning(&self, scan: &ScanParams, findings: &mut Vec<String>) {
        let filled = ONE_PPB.saturating_sub(scan.quality_miss_max_ppb).max(0);
        let earned = scan.notional_usd.max(0).saturating_mul(filled);
        if earned < REQUESTS_PER_ORDER * ONE_PPB
            && self.venues.iter().any(|venue| venue.dialect == "hyperliquid")
        {
            findings.push(format!(
                "venue hyperliquid: it grants one request for each USDC traded, and orders of [scan] notional_usd {} of \
                 which quality_miss_max_percent may fill nothing would use more than they earn: lower the percentage or \
                 raise the notional",
                scan.notional_usd
            ));
        }
    }

    /// Limits and totals are sums over quote currencies: mixing them needs the operator's word.
    fn check_quotes(&self, params: &EngineParams, findings: &mut Vec<String>) {
        let mut quotes: Vec<&str> =
            params.canonicals.iter().map(|canonical| canonical.quote.as_str()).collect();
        quotes.sort_unstable();
        quotes.dedup();
        let at_par = |quote: &&&str| self.quotes.at_par.iter().any(|known| known == **quote);
        if quotes.len() > 1 && quotes.iter().filter(|quote| !at_par(quote)).count() > 0 {
            findings.push(format!(
                "instruments are quoted in {}: limits and totals would add them up one to one. If that is meant, write \
                 [quotes] at_par = {quotes:?}; else keep to one of them",
                quotes.join(", ")
            ));
        }
    }

    fn check_engine(&self, live: bool, findings: &mut Vec<String>) {
        let engine = &self.engine;
        if live && !engine.live {
            findings
                .push("[engine] live = true is needed for real orders: set it, or run on paper".to_owned());
        }
        if (live || engine.live) && engine.journal_dir.is_none() {
            findings.push(
                "[engine] journal_dir is needed for real orders: every run must be recorded".to_owned(),
            );
        }
        if engine.write_ahead != WriteAhead::Off && engine.journal_dir.is_none() {
            findings.push(
                "[engine] write_ahead needs a journal: set journal_dir, or write_ahead = \"off\"".to_owned(),
            );
        }
        if engine.write_ahead == WriteAhead::Synced && engine.pinning.as_deref() == Some("fused") {
            findings.push(
                "[engine] write_ahead = \"synced\" needs a thread for the recorder: use pinning = \"split\" or \
                 \"dedicated\", or write_ahead = \"written\""
                    .to_owned(),
            );
        }
        let keep = self.journal.housekeeping();
        if keep.space_stop_bytes > keep.space_alarm_bytes && keep.space_alarm_bytes > 0 {
            findings.push("[journal] space_stop_mib must not be above space_alarm_mib".to_owned());
        }
        if let Some(bind) = engine.metrics_bind.filter(|bind| !bind.ip().is_loopback()) {
            findings.push(format!(
                "[engine] metrics_bind {bind} is not on loopback: use 127.0.0.1 and a proxy that authenticates"
            ));
        }
        if let Some(Err(error)) = engine.pinning.as_deref().map(Profile::load) {
            findings.push(format!("[engine] pinning: {error}"));
        }
        let paper = self.paper.params();
        if !(0..=10_000_000_000).contains(&paper.latency_ns) {
            findings.push("[paper] latency_ms must lie between 0 and 10000".to_owned());
        }
        if !(1..=1_000_000_000).contains(&paper.balance) {
            findings.push("[paper] balance must lie between 1 and 1000000000".to_owned());
        }
    }

    fn check_scan(&self, findings: &mut Vec<String>) {
        let scan = self.scan.params();
        let mut positive = |key: &str, value: i64| {
            if value <= 0 {
                findings.push(format!("[scan] {key} must be greater than 0"));
            }
        };
        positive("notional_usd", scan.notional_usd);
        positive("basis_sample_ms", scan.basis_sample_ns);
        positive("basis_samples_min", scan.basis_samples_min.into());
        positive("hold_max_ms", scan.hold_max_ns);
        positive("book_age_max_ms", scan.book_age_max_ns);
        positive("retry_ms", scan.retry_ns);
        positive("trades_open_max", scan.trades_open_max.into());
        positive("mid_agreement_bps", scan.mid_agreement_ppb);
        positive("index_agreement_bps", scan.index_agreement_ppb);
        positive("index_age_max_ms", scan.index_age_max_ns);
        positive("clock_ahead_max_ms", scan.clock_ahead_max_ns);
        positive("clock_offset_max_ms", scan.clock_offset_max_ns);
        positive("clock_uncertainty_max_ms", scan.clock_uncertainty_max_ns);
        positive("quality_window_ms", scan.quality_window_ns);
        positive("quality_orders_min", scan.quality_orders_min.into());
        positive("edge_insane_bps", scan.edge_insane_ppb);
        positive("loss_max_bps", scan.loss_max_ppb);
        positive("miss_half_life_ms", scan.miss_half_life_ns);
        let mut not_negative = |key: &str, value: i64| {
            if value < 0 {
                findings.push(format!("[scan] {key} must not be negative"));
            }
        };
        not_negative("allowance_bps", scan.allowance_ppb);
        not_negative("edge_persist_ms", scan.edge_persist_ns);
        not_negative("near_miss_bps", scan.near_miss_ppb);
        not_negative("quality_miss_max_percent", scan.quality_miss_max_ppb);
        not_negative("level_shift_bps", scan.level_shift_ppb);
        not_negative("edge_insane_ms", scan.edge_insane_ns);
        not_negative("disarm_ms", scan.disarm_ns);
        not_negative("exit_tolerance_bps", scan.exit_tolerance_ppb);
        not_negative("limit_slack_bps", scan.limit_slack_ppb);
        not_negative("urgent_slack_bps", scan.urgent_slack_ppb);
        not_negative("cooldown_ms", scan.cooldown_ns);
        if scan.miss_prior_orders > MISS_PRIOR_ORDERS_MAX {
            findings.push(format!(
                "[scan] miss_prior_orders is {}; it must be at most {MISS_PRIOR_ORDERS_MAX}",
                scan.miss_prior_orders
            ));
        }
        if scan.basis_samples > 255 || scan.basis_samples.is_multiple_of(2) {
            findings.push(format!(
                "[scan] basis_samples is {}; it must be odd and at most 255",
                scan.basis_samples
            ));
        }
        if scan.basis_samples_min > scan.basis_samples {
            findings.push(format!(
                "[scan] basis_samples_min ({}) is more than basis_samples ({}): nothing would ever trade; lower it",
                scan.basis_samples_min, scan.basis_samples
            ));
        }
        if scan.threshold_ppb >= scan.edge_insane_ppb {
            findings.push(
                "[scan] threshold_bps is not below edge_insane_bps: every edge that is traded would count as broken \
                 data; lower it"
                    .to_owned(),
            );
        }
    }

    fn check_risk(&self, findings: &mut Vec<String>) {
        let (scan, risk) = (self.scan.params(), self.risk.params());
        let positive = [
            ("order_notional_max_usd", risk.order_notional_max_usd),
            ("open_orders_max", risk.open_orders_max.into()),
            ("order_rate_per_s_max", risk.order_rate_per_s_max.into()),
            ("book_age_max_ms", risk.book_age_max_ns),
            ("price_collar_bps", risk.price_collar_ppb),
            ("daily_loss_max_usd", risk.daily_loss_max_usd),
            ("drawdown_max_usd", risk.drawdown_max_usd),
            ("consecutive_failures_max", risk.consecutive_failures_max.into()),
            ("baskets_in_flight_max", risk.baskets_in_flight_max.into()),
            ("send_age_max_ms", risk.send_age_max_ns),
        ];
        for (key, value) in positive {
            if value <= 0 {
                findings.push(format!("[risk] {key} must be greater than 0: a limit of 0 denies everything"));
            }
        }
        if !(0..ONE_PPB).contains(&risk.margin_free_min_ppb) {
            findings.push("[risk] margin_free_min_percent must be at least 0 and below 100".to_owned());
        }
        let rising = [
            ("[scan] notional_usd", scan.notional_usd),
            ("[risk] order_notional_max_usd", risk.order_notional_max_usd),
            ("[risk] instrument_position_max_usd", risk.instrument_position_max_usd),
            ("[risk] venue_position_max_usd", risk.venue_position_max_usd),
            ("[risk] gross_exposure_max_usd", risk.gross_exposure_max_usd),
        ];
        for pair in rising.windows(2) {
            let [(low, low_value), (high, high_value)] = [pair[0], pair[1]];
            if low_value > high_value {
                findings.push(format!(
                    "{low} ({low_value}) is more than {high} ({high_value}): it could never be used; raise the limit or \
                     lower the other"
                ));
            }
        }
        if risk.gross_exposure_max_usd < scan.notional_usd.saturating_mul(2) {
            findings.push(
                "[risk] gross_exposure_max_usd is less than two legs of [scan] notional_usd: no trade could open"
                    .to_owned(),
            );
        }
    }

    fn add_instrument(
        &self,
        instrument: &InstrumentTable,
        params: &mut EngineParams,
        findings: &mut Vec<String>,
    ) {
        let dialects: Vec<&str> = self.venues.iter().map(|venue| venue.dialect.as_str()).collect();
        let unified = match names::resolve(&instrument.name, &dialects) {
            Ok(unified) => unified,
            Err(why) => return findings.push(why),
        };
        let name = &unified.to_string();
        let (base, quote, settle) = (&unified.base, &unified.quote, &unified.settle);
        let kind = if settle == quote { ContractKind::Linear } else { ContractKind::Inverse };
        let (Some(base), Some(quote), Some(settle)) = (Text::new(base), Text::new(quote), Text::new(settle))
        else {
            findings.push(format!("instrument `{name}`: currency codes have at most 8 ASCII characters"));
            return;
        };
        if settle != quote && settle != base {
            findings.push(format!("instrument `{name}`: it must settle in its quote or its base currency"));
            return;
        }
        if params.canonicals.iter().any(|canonical| canonical.name == *name) {
            findings.push(format!("instrument `{name}` is configured twice: remove one"));
            return;
        }
        for key in instrument.symbols.keys().chain(instrument.venues.iter().flatten()) {
            if !self.venues.iter().any(|venue| venue.dialect == *key) {
                findings
                    .push(format!("instrument `{name}` names the venue `{key}`, which is not configured"));
            }
        }
        let canonical = CanonicalId(params.canonicals.len() as u16);
        params.canonicals.push(CanonicalParams { name: name.clone(), base, quote, settle, kind });
        let mut listed = 0;
        for (index, venue) in self.venues.iter().enumerate() {
            if instrument.venues.as_ref().is_some_and(|venues| !venues.contains(&venue.dialect)) {
                continue;
            }
            let symbol = match symbol_of(instrument, &unified, venue) {
                Ok(Some(symbol)) => symbol,
                Ok(None) => continue,
                Err(why) => {
                    findings.push(format!("instrument `{name}`: {why}"));
                    continue;
                }
            };
            let Some(symbol) = Text::new(&symbol).filter(|symbol| !symbol.is_empty()) else {
                findings.push(format!(
                    "instrument `{name}`: the symbol at {} must be 1 to 32 ASCII characters",
                    venue.dialect
                ));
                continue;
            };
            let (id, venue_id) = (InstrumentId(params.listings.len() as u16), VenueId(index as u8));
            if params.listings.iter().any(|other| other.venue == venue_id && other.symbol == symbol) {
                findings.push(format!(
                    "instrument `{name}`: {symbol} at {} is another instrument's symbol already: correct one of them",
                    venue.dialect
                ));
            }
            params.listings.push(ListingParams { id, venue: venue_id, canonical, symbol });
            listed += 1;
        }
        if listed < 2 && self.venues.len() >= 2 && !(self.is_replay && listed > 0) {
            findings.push(format!(
                "instrument `{name}` is listed on {listed} configured venue(s); it takes two: add a venue, give its \
                 symbol, or remove the instrument"
            ));
        }
    }
}

/// The venue's own name for a contract, where it follows from the unified one.
pub(super) fn native_symbol(dialect: &str, (base, quote, settle): Parts<'_>) -> Option<String> {
    match names::pattern(dialect) {
        "binance-usdm" => (settle == quote && quote != "USD").then(|| format!("{base}{quote}")),
        "binance-coinm" => (settle == base && quote == "USD").then(|| format!("{base}{quote}_PERP")),
        "okx" => Some(format!("{base}-{quote}-SWAP")),
        "bybit" if settle != quote => None,
        "bybit" if settle == "USDC" => Some(format!("{base}PERP")),
        "bybit" => Some(format!("{base}{quote}")),
        "deribit" if settle == base && quote == "USD" => Some(format!("{base}-PERPETUAL")),
        "deribit" => (settle == "USDC" && quote == settle).then(|| format!("{base}_{quote}-PERPETUAL")),
        "hyperliquid" if settle != "USDC" || quote != settle => None,
        "hyperliquid" => Some(match names::units(base) {
            (1_000, coin) => format!("k{coin}"),
            _ => base.to_owned(),
        }),
        _ => None,
    }
}

/// The symbol at a venue: as given, when it means this instrument, or as it follows from the name.
fn symbol_of(
    instrument: &InstrumentTable,
    unified: &Name,
    venue: &VenueTable,
) -> Result<Option<String>, String> {
    let dialect = &venue.dialect;
    let there = unified.settled_at_par(dialect, venue.settle_at_par.as_deref());
    let unified = there.as_ref().unwrap_or(unified);
    let Some(given) = instrument.symbols.get(dialect) else { return names::listed(unified, dialect) };
    let symbol = names::symbol_at(dialect, given)?;
    let meaning = Name::native(dialect, &symbol);
    match meaning.and_then(|meaning| unified.differs(&meaning)) {
        None => Ok(Some(symbol)),
        Some(why) => Err(format!("the symbol {symbol} at {dialect} does not fit: {why}")),
    }
}

/// The way of orders, as configured or as usual at the venue.
fn order_route(venue: &VenueTable, findings: &mut Vec<String>) -> OrderRoute {
    let routes = dialect(&venue.dialect).map_or(&[OrderRoute::Websocket][..], |of| of.order_routes());
    let route = venue.orders.unwrap_or(routes[0]);
    if !routes.contains(&route) {
        findings.push(format!(
            "venue {}: orders = \"{}\" is not possible there: remove it, or write \"{}\"",
            venue.dialect,
            route.name(),
            routes[0].name()
        ));
    }
    route
}

/// What takes the other way while the order connection is down; the venue must have both.
fn order_fallback(venue: &VenueTable, findings: &mut Vec<String>) -> OrderFallback {
    let routes = dialect(&venue.dialect).map_or(&[OrderRoute::Websocket][..], |of| of.order_routes());
    let fallback = venue.orders_fallback;
    let both = routes.contains(&OrderRoute::Http) && venue.orders.unwrap_or(routes[0]) != OrderRoute::Http;
    if fallback != OrderFallback::Off && !both {
        findings.push(format!(
            "venue {}: orders_fallback = \"{}\" needs a venue that takes orders both ways, and orders = \
             \"websocket\": remove it",
            venue.dialect,
            fallback.name()
        ));
    }
    fallback
}

/// The currency that the venue's own one stands for.
fn at_par(venue: &VenueTable, findings: &mut Vec<String>) -> Currency {
    let text = venue.settle_at_par.as_deref().unwrap_or_default();
    Currency::new(text).unwrap_or_else(|| {
        findings.push(format!("venue {}: settle_at_par must be a currency code such as USDT", venue.dialect));
        Currency::EMPTY
    })
}

/// Orders in 10 s: as configured, else as the dialect grants them.
fn orders_per_10s(venue: &VenueTable) -> u32 {
    venue
        .orders_per_10s_max
        .or_else(|| dialect(&venue.dialect).map(|dialect| dialect.orders_per_10s()))
        .unwrap_or_default()
}

/// How often a leg misses, until own orders tell: as configured, else as the dialect says.
fn miss_prior(venue: &VenueTable) -> Ppb {
    let stated = || dialect(&venue.dialect).map_or(0, |dialect| dialect.miss_prior());
    venue.miss_prior_percent.map_or_else(stated, ppb_of_percent)
}

/// What the age may be at which connections are left, s.
const AGE_S: std::ops::RangeInclusive<i64> = 60..=CONNECTION_AGE_MAX / SECOND;

fn check_venue(venue: &VenueTable, live: bool, findings: &mut Vec<String>) -> VenueSettings {
    let name = &venue.dialect;
    let mut say = |what: String| findings.push(format!("venue {name}: {what}"));
    for (key, bps) in [("taker_fee_bps", venue.taker_fee_bps), ("maker_fee_bps", venue.maker_fee_bps)] {
        if !(-100.0..=100.0).contains(&bps) {
            say(format!("{key} is {bps}; fees lie between -100 and 100 basis points (5 = 0.05 %)"));
        }
    }
    if !(0.0..=100.0).contains(&venue.allowance_bps) {
        say(format!("allowance_bps is {}; it must lie between 0 and 100", venue.allowance_bps));
    }
    if let Some(percent) = venue.miss_prior_percent.filter(|percent| !(0.0..=100.0).contains(percent)) {
        say(format!("miss_prior_percent is {percent}; it must lie between 0 and 100"));
    }
    if !(1..=125).contains(&venue.leverage) {
        say(format!("leverage is {}; it must lie between 1 and 125", venue.leverage));
    }
    if !(0.0..=100.0).contains(&venue.settle_haircut_bps) {
        say(format!("settle_haircut_bps is {}; it must lie between 0 and 100", venue.settle_haircut_bps));
    }
    if venue.settle_haircut_bps != 0.0 && venue.settle_at_par.is_none() {
        say("settle_haircut_bps without settle_at_par: nothing settles at par here".to_owned());
    }
    if venue.orders_per_10s_max == Some(0) {
        say("orders_per_10s_max is 0: no order could be sent; raise it".to_owned());
    }
    if !(1.0..=60_000.0).contains(&venue.ack_timeout_ms) {
        say("ack_timeout_ms must lie between 1 and 60000".to_owned());
    }
    if !(1..=60_000).contains(&venue.order_valid_ms) {
        say("order_valid_ms must lie between 1 and 60000".to_owned());
    }
    if !AGE_S.contains(&venue.connection_age_max_s) {
        say(format!(
            "connection_age_max_s is {}; it must lie between {} and {} (23 h): venues cut connections that are a day old",
            venue.connection_age_max_s,
            AGE_S.start(),
            AGE_S.end()
        ));
    }
    let shortest = dialect(name).map_or(10, |of| of.dead_man_min_s());
    if venue.dead_man_s != 0 && !(shortest..=120).contains(&venue.dead_man_s) {
        say(format!("dead_man_s must be 0 (off) or lie between {shortest} and 120"));
    }
    if live && dialect(name).is_some_and(|dialect| dialect.start_checks() == CheckSet::EMPTY) {
        say("its account settings cannot be read back yet, so it trades on paper only: leave it out of a live run"
            .to_owned());
    }
    if venue.session == SessionKind::Logon && !name.starts_with("binance") {
        say("session = \"logon\" is for Binance only: remove it".to_owned());
    }
    let env_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if let Some(prefix) = &venue.credentials_env
        && (prefix.is_empty() || !prefix.bytes().all(env_name))
    {
        // Not shown: it may be a key that was put here by mistake.
        say("credentials_env must be the prefix of variable names (capitals, digits, _), such as BINANCE"
            .to_owned());
    }
    for url in venue.sockets.iter().chain(&venue.http) {
        match Endpoint::parse(url) {
            Err(error) => say(error.to_string()),
            Ok(at) if !at.tls && !["localhost", "127.0.0.1", "::1"].contains(&at.host.as_str()) => {
                say(format!(
                    "{url} is not encrypted: use wss:// or https:// (plain addresses only on loopback)"
                ));
            }
            Ok(_) => {}
        }
    }
    let Some(dialect) = dialect(name) else {
        let known: Vec<&str> = DIALECTS.iter().map(|dialect| dialect.name()).collect();
        say(format!("there is no such dialect; known are {}", known.join(", ")));
        return VenueSettings::default();
    };
    if venue.redundant && !dialect.relays() {
        say("redundant = true is not possible: this dialect has one connection for market data".to_owned());
    }
    let (used, all) = (dialect.connections(live), dialect.connections(true).len());
    let used_len = used.len();
    let mut sockets: Vec<String> = match venue.sockets.as_slice() {
        [] => used.into_iter().map(|spec| spec.url).collect(),
        [one] => vec![one.clone(); used.len()],
        // Market data connections come first, so paper takes the head.
        each if each.len() == all => each[..used.len()].to_vec(),
        each => {
            say(format!("sockets has {} addresses; give one for all connections, or {all}", each.len()));
            Vec::new()
        }
    };
    // A second connection goes where the first one goes.
    let seconds = connections(dialect, market_copies(name, venue.redundant), live).len() - used_len;
    let markets: Vec<String> = sockets.iter().take(seconds).cloned().collect();
    sockets.extend(markets);
    let http = venue.http.clone().unwrap_or_else(|| dialect.http_url().to_owned());
    VenueSettings { sockets, http }
}
