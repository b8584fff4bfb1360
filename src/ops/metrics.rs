//! The exposition for monitors: the board as Prometheus text (format 0.0.4), and the verdicts whether the
//! engine lives and is fit to trade. Reads published figures only; no figure here is or holds a secret.

use super::drift::reports;
use super::http::{Endpoints, HttpError, HttpServer, Verdict};
use super::view::{Board, View};
use super::watch::{Counts, MarketState};
use crate::core::mode::Mode;
use crate::core::sentinel::What;
use crate::domain::intent::ONE_PPB;
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::time::SECOND;
use crate::journal::Space;
use crate::venue::copies::{COPIES, CopyCounts};
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A count: name without prefix and `_total`, help, value.
pub type Count = (&'static str, &'static str, fn(&Counts) -> u64);

/// All counts, for the exposition and the counters file.
pub const COUNTS: [Count; 16] = [
    ("frames", "WebSocket frames read", |c| c.frames),
    ("events", "Typed events decoded", |c| c.events),
    ("intents", "Baskets and cancels that scan wanted", |c| c.intents),
    ("orders_sent", "Orders handed to a socket or an HTTP thread", |c| c.orders_sent),
    ("fills", "Fills of our orders", |c| c.fills),
    ("misses", "Entries of which no leg filled", |c| c.misses),
    ("trades_opened", "Entries of which a leg filled", |c| c.trades_opened),
    ("trades_closed", "Opened trades that are flat again", |c| c.trades_closed),
    ("denials", "Baskets denied by risk or route", |c| c.denials),
    ("refused", "Messages refused by the egress gate", |c| c.refused),
    ("unknown", "Orders whose fate is or was unknown", |c| c.unknown),
    ("rejects", "Orders rejected by a venue", |c| c.rejects),
    ("tickers", "Last prices stated by venues", |c| c.tickers),
    ("open_interests", "Statements of open interest", |c| c.open_interests),
    ("liquidations", "Liquidations published by venues", |c| c.liquidations),
    ("foreign", "Fills on our accounts that are not ours (alarm: deleveraging, liquidation, by hand)", |c| {
        c.foreign
    }),
];

/// No publication for this long means that the engine hangs.
const SILENCE_MAX: Duration = Duration::from_secs(5);

const NS: f64 = SECOND as f64;
const PPB: f64 = 1e9;

/// Serves the board on a loopback address; port 0 chooses a free one.
///
/// # Errors
/// [`HttpError`]: not loopback, or the port is taken.
pub fn serve(address: SocketAddr, board: &Board) -> Result<HttpServer, HttpError> {
    let [metrics, live, ready] = [board.clone(), board.clone(), board.clone()];
    let mut pulse = Pulse::new(now());
    HttpServer::start(
        address,
        Endpoints {
            // A copy, so that no stage finds the board taken while text is made.
            metrics: Box::new(move || {
                let view = metrics.read().clone();
                exposition(&view)
            }),
            live: Box::new(move || pulse.check(live.read().seconds, now())),
            ready: Box::new(move || is_ready(&ready.read())),
        },
    )
}

/// For the patience with the engine; nothing of the engine sees it.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

/// Notices that the published clock stands still.
struct Pulse {
    seconds: f64,
    changed: Instant,
}

impl Pulse {
    fn new(now: Instant) -> Self {
        Self { seconds: -1.0, changed: now }
    }

    /// Probes that come rarely see the change late, never too early.
    fn check(&mut self, seconds: f64, now: Instant) -> Verdict {
        if seconds != self.seconds {
            (self.seconds, self.changed) = (seconds, now);
        }
        let silence = now.saturating_duration_since(self.changed);
        if silence <= SILENCE_MAX {
            return Ok(());
        }
        Err(format!("the engine has published nothing for {} s; restart it", silence.as_secs()))
    }
}

/// Whether sessions are ready, books are live and entries are allowed.
///
/// # Errors
/// What is missing.
pub fn is_ready(view: &View) -> Verdict {
    let names = &view.names;
    if view.mode != Mode::Normal {
        return Err(format!("trading is {}", mode_text(view.mode)));
    }
    if let Some(down) = view.sessions.iter().find(|session| !session.ready) {
        return Err(format!("{}: no {} session", names.venue(down.venue), role_text(down.role)));
    }
    let silent = |venue: usize| !view.sessions.iter().any(|session| session.venue.index() == venue);
    if let Some(venue) = (0..names.venues.len()).find(|venue| silent(*venue)) {
        return Err(format!("{}: no session yet", names.venues[venue]));
    }
    if let Some(finding) = view.findings.iter().find(|finding| finding.holds) {
        let more = view.findings.iter().filter(|finding| finding.holds).count() - 1;
        let rest = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        return Err(format!("{finding}{rest}"));
    }
    if view.book_ages.is_empty() {
        return Err("no books yet".into());
    }
    match view.book_ages.iter().position(Option::is_none) {
        Some(dead) => {
            let (venue, symbol) = listing(view, dead);
            Err(format!("{venue}: the book of {symbol} is not live"))
        }
        None => Ok(()),
    }
}

/// Mode for people and labels.
pub fn mode_text(mode: Mode) -> &'static str {
    match mode {
        Mode::Normal => "normal",
        Mode::Reducing => "reducing",
        Mode::Halted => "halted",
    }
}

fn role_text(role: crate::domain::event::SessionRole) -> &'static str {
    use crate::domain::event::SessionRole;
    match role {
        SessionRole::Market => "market",
        SessionRole::Account => "account",
        SessionRole::Orders => "orders",
    }
}

fn listing(view: &View, index: usize) -> (&str, &str) {
    let row = view.names.listings.get(index);
    row.map_or(("?", "?"), |(venue, symbol)| (view.names.venue(*venue), symbol))
}

/// The board as Prometheus text. Money is in quote currency, time in seconds, rates are ratios.
pub fn exposition(view: &View) -> String {
    let mut page = Page(String::with_capacity(16 << 10));
    page.single("uptime_seconds", "gauge", "Time since the start", view.seconds);
    for (name, help, of) in &COUNTS {
        page.single(&format!("{name}_total"), "counter", help, of(&view.counts) as f64);
    }
    page.single("failures_total", "counter", "Failures of connections and requests", view.notes_total as f64);
    page.single("journal_records_total", "counter", "Records in the journal", view.journal.0 as f64);
    if let Some((space, kept)) = &view.kept {
        page.family(
            "journal_space",
            "gauge",
            "1 for the room that the journal's disk has; short = no new trades",
        );
        for (name, level) in [("enough", Space::Enough), ("low", Space::Low), ("short", Space::Short)] {
            page.row("journal_space", &[("room", name)], truth(*space == level));
        }
        let free = "Free bytes of the journal's file system";
        page.single("journal_free_bytes", "gauge", free, kept.free_bytes as f64);
        let packed = "Segments of the journal compressed";
        page.single("journal_packed_total", "counter", packed, kept.archived.packed as f64);
        let removed = "Segments of the journal removed by retention";
        page.single("journal_removed_total", "counter", removed, kept.removed as f64);
    }
    page.single("journal_bytes_total", "counter", "Body bytes in the journal", view.journal.1 as f64);
    page.family("odd_messages_total", "counter", "Messages that venues should not have sent, by kind");
    let odd = &view.odd;
    for (kind, count) in [
        ("malformed", odd.malformed),
        ("unknown", odd.unknown),
        ("symbol", odd.symbols),
        ("inexact", odd.inexact),
        ("execution", odd.executions),
        ("refused", odd.refused),
        ("specification", odd.specs),
        ("order", odd.orders),
        ("execution_at_mark", odd.at_mark),
        ("order_unresolved", odd.unresolved),
    ] {
        page.row("odd_messages_total", &[("kind", kind)], count as f64);
    }
    drift(&mut page, view);
    page.single("insane_edges_total", "counter", "Edges too good for too long", view.alarms as f64);
    page.single("orders_open", "gauge", "Orders that are not terminal", view.open_orders as f64);
    page.single("trades_open", "gauge", "Trades open now", f64::from(view.trades_open));
    page.single("trades_unbalanced", "gauge", "Open trades with unequal legs", f64::from(view.unbalanced));
    page.single("trades_unbalanced_max", "gauge", "Largest number of them", f64::from(view.unbalanced_max));
    page.single("unhedged_notional", "gauge", "Notional that no other leg hedges", view.unhedged.to_f64());
    page.single("unhedged_seconds", "gauge", "How long a leg has stood alone, at most", view.alone_s);
    page.single("unhedged_notional_max", "gauge", "Largest such notional", view.unhedged_max.to_f64());
    page.family("stalls_total", "counter", "Times that a stage found no room or no segment");
    for (stage, count) in
        [("gateway", view.stalls.gateway), ("decode", view.stalls.decode), ("journal", view.stalls.journal)]
    {
        page.row("stalls_total", &[("stage", stage)], count as f64);
    }
    let late = "Turns of the gateway's duty cycle that began more than 3 ms after the one before";
    page.single("duty_cycle_stalls_total", "counter", late, view.stalls.duty_cycle as f64);
    let worst = view.stalls.duty_cycle_worst_ns as f64 / 1e9;
    page.single("duty_cycle_worst_seconds", "gauge", "Longest time between two turns of it", worst);
    let lag = f64::from(view.stalls.recorder_lag_max) / 100.0;
    page.single("recorder_lag_max_ratio", "gauge", "How full the recorder's fullest ring ever was", lag);
    page.family("trading_state", "gauge", "1 for the mode in force");
    for mode in [Mode::Normal, Mode::Reducing, Mode::Halted] {
        page.row("trading_state", &[("state", mode_text(mode))], truth(view.mode == mode));
    }
    venues(&mut page, view);
    markets(&mut page, view);
    copies(&mut page, view);
    positions(&mut page, view);
    pairs(&mut page, view);
    latency(&mut page, view);
    page.0
}

fn drift(page: &mut Page, view: &View) {
    page.family("drift_total", "counter", "Departures of public messages from the documentation, by kind");
    for (what, count) in What::ALL.into_iter().zip(view.drift_kinds) {
        page.row("drift_total", &[("kind", what.as_str())], count as f64);
    }
    page.single("drift_untold_total", "counter", "Departures beyond the table", view.drift_untold as f64);
    page.family("drift_finding_total", "counter", "Departures by name; pace: windows at another interval");
    for (finding, of) in view.drift.iter().zip(reports(view)) {
        let value = if finding.key.what == What::Cadence { "" } else { of.value.as_str() };
        let labels = [
            ("venue", of.venue.as_str()),
            ("channel", &of.channel),
            ("kind", of.kind),
            ("name", &of.name),
            ("value", value),
        ];
        page.row("drift_finding_total", &labels, of.count as f64);
    }
    page.family("drift_interval_seconds", "gauge", "Median interval of a channel that changed its pace");
    for finding in view.drift.iter().filter(|finding| finding.key.what == What::Cadence) {
        let (venue, channel) = (view.names.venue(finding.key.venue), finding.key.channel.to_string());
        for (when, interval) in ["before", "now"].into_iter().zip(finding.pace) {
            let labels = [("venue", venue), ("channel", channel.as_str()), ("when", when)];
            page.row("drift_interval_seconds", &labels, interval as f64 / NS);
        }
    }
}

/// What a second connection for market data is good for. Numbered from 0: the first and the second one.
fn copies(page: &mut Page, view: &View) {
    let name = |venue| view.names.venue(venue);
    type Column = fn(&CopyCounts) -> &[u64; COPIES];
    let columns: [(&str, &str, Column); 2] = [
        ("market_copies_won_total", "Messages that came first on this connection", |counts| &counts.wins),
        ("market_copies_dropped_total", "Messages that the other connection had brought", |counts| {
            &counts.duplicates
        }),
    ];
    for (family, help, of) in columns {
        page.family(family, "counter", help);
        for (venue, counts) in &view.copies {
            for (connection, count) in ["0", "1"].into_iter().zip(of(counts)) {
                let labels = [("venue", name(*venue)), ("connection", connection)];
                page.row(family, &labels, *count as f64);
            }
        }
    }
    page.family(
        "market_copies_filled_total",
        "counter",
        "Book changes that waited for what one connection lost",
    );
    for (venue, counts) in &view.copies {
        page.row("market_copies_filled_total", &[("venue", name(*venue))], counts.holes as f64);
    }
    page.family(
        "market_copy_leads_total",
        "counter",
        "Dropped messages by how much later they came, in powers of two",
    );
    for (venue, counts) in &view.copies {
        for (bucket, count) in counts.leads.iter().enumerate().filter(|(_, count)| **count > 0) {
            let is_last = bucket + 1 == counts.leads.len();
            let below = if is_last { "inf".to_owned() } else { format!("{}us", 1u64 << bucket) };
            page.row("market_copy_leads_total", &[("venue", name(*venue)), ("below", &below)], *count as f64);
        }
    }
}

fn venues(page: &mut Page, view: &View) {
    page.family("session_ready", "gauge", "1 while the session is logged in and subscribed");
    for session in &view.sessions {
        let labels = [("venue", view.names.venue(session.venue)), ("role", role_text(session.role))];
        page.row("session_ready", &labels, truth(session.ready));
    }
    page.family("start_finding", "gauge", "1 with a setting that holds its venue (on paper: that would)");
    for finding in &view.findings {
        let symbol = finding.symbol.as_deref().unwrap_or("account");
        let labels = [("venue", finding.venue.as_str()), ("symbol", symbol), ("check", finding.check)];
        page.row("start_finding", &labels, 1.0);
    }
    page.family("order_miss_ratio", "gauge", "Part of the window's orders that filled nothing");
    for (index, quality) in view.quality.iter().enumerate().filter(|(_, quality)| quality.orders > 0) {
        let (venue, symbol) = listing(view, index);
        let ratio = f64::from(quality.missed) / f64::from(quality.orders);
        page.row("order_miss_ratio", &[("venue", venue), ("symbol", symbol)], ratio);
    }
    page.family("order_miss_probability", "gauge", "Learnt probability that a leg of an entry misses");
    for (index, quality) in view.quality.iter().enumerate() {
        let (venue, symbol) = listing(view, index);
        let probability = quality.miss_ppb as f64 / ONE_PPB as f64;
        page.row("order_miss_probability", &[("venue", venue), ("symbol", symbol)], probability);
    }
    page.family("order_quality_paused", "gauge", "1 while a listing takes no entries for its misses");
    for (index, quality) in view.quality.iter().enumerate() {
        let (venue, symbol) = listing(view, index);
        page.row("order_quality_paused", &[("venue", venue), ("symbol", symbol)], truth(quality.paused));
    }
    page.family("book_live", "gauge", "1 while the book is served");
    for (index, age) in view.book_ages.iter().enumerate() {
        let (venue, symbol) = listing(view, index);
        page.row("book_live", &[("venue", venue), ("symbol", symbol)], truth(age.is_some()));
    }
    page.family("feed_age_seconds", "gauge", "Age of the best prices of a live book");
    for (index, age) in view.book_ages.iter().enumerate() {
        if let Some(age) = age {
            let (venue, symbol) = listing(view, index);
            page.row("feed_age_seconds", &[("venue", venue), ("symbol", symbol)], *age as f64 / NS);
        }
    }
    type Column = fn(&super::view::AccountView) -> Option<Money>;
    let columns: [(&str, &str, Column); 2] = [
        ("wallet", "Wallet balance as the venue states it", |account| account.wallet),
        ("margin_free", "Margin free for new orders", |account| account.free),
    ];
    for (name, help, of) in columns {
        page.family(name, "gauge", help);
        for account in &view.accounts {
            if let Some(amount) = of(account) {
                let currency = account.currency.to_string();
                let labels = [("venue", view.names.venue(account.venue)), ("currency", &currency)];
                page.row(name, &labels, amount.to_f64());
            }
        }
    }
}

fn markets(page: &mut Page, view: &View) {
    type Column = fn(&MarketState) -> Option<Num>;
    let columns: [(&str, &str, Column); 2] = [
        ("last_price", "Price of the last trade as the venue states it", |market| market.last),
        ("open_interest", "Open interest in the unit of the venue's orders", |market| market.open_interest),
    ];
    for (name, help, of) in columns {
        page.family(name, "gauge", help);
        for (index, market) in view.markets.iter().enumerate() {
            if let Some(value) = of(market) {
                let (venue, symbol) = listing(view, index);
                page.row(name, &[("venue", venue), ("symbol", symbol)], number(value));
            }
        }
    }
    page.family("liquidations_seen_total", "counter", "Positions that the venue closed by force, by side");
    for (index, market) in view.markets.iter().enumerate() {
        let (venue, symbol) = listing(view, index);
        for (position, count) in ["long", "short"].into_iter().zip(market.liquidations) {
            let labels = [("venue", venue), ("symbol", symbol), ("position", position)];
            page.row("liquidations_seen_total", &labels, count as f64);
        }
    }
}

fn number(num: Num) -> f64 {
    num.to_string().parse().unwrap_or(f64::NAN)
}

fn positions(page: &mut Page, view: &View) {
    type Column = fn(&crate::core::position::PositionView) -> f64;
    let columns: [(&str, &str, Column); 3] = [
        ("position_contracts", "Signed position in the venue's contracts", |row| {
            let num = crate::domain::number::Num::new(row.position.qty, row.instrument.qty_scale);
            number(num)
        }),
        ("position_unrealised", "Profit if closed at the mark", |row| row.unrealised.to_f64()),
        ("position_discrepant", "1 while the venue contradicts our position", |row| truth(row.discrepant)),
    ];
    for (name, help, of) in columns {
        page.family(name, "gauge", help);
        for row in &view.positions {
            let symbol = row.instrument.symbol.to_string();
            let labels = [("venue", view.names.venue(row.instrument.venue)), ("symbol", &symbol)];
            page.row(name, &labels, of(row));
        }
    }
    page.family("pnl", "gauge", "Profit and loss of the run; fees count against it");
    let totals = &view.totals;
    for (part, amount) in [
        ("realised", totals.realised),
        ("unrealised", totals.unrealised),
        ("fees", totals.fees),
        ("funding", totals.funding),
        ("net", totals.net()),
    ] {
        page.row("pnl", &[("part", part)], amount.to_f64());
    }
}

fn pairs(page: &mut Page, view: &View) {
    type Column = fn(&crate::core::scanner::PairView) -> Option<f64>;
    let columns: [(&str, &str, &str, Column); 6] = [
        ("pair_basis_ratio", "gauge", "Mid basis, sell minus buy", |pair| {
            pair.basis.map(|ppb| ppb as f64 / PPB)
        }),
        ("pair_baseline_ratio", "gauge", "Rolling median of the basis", |pair| {
            pair.baseline.map(|ppb| ppb as f64 / PPB)
        }),
        ("pair_edge_ratio", "gauge", "Net edge when last priced", |pair| Some(pair.terms.net as f64 / PPB)),
        ("pair_threshold_ratio", "gauge", "Net edge needed", |pair| Some(pair.terms.threshold as f64 / PPB)),
        ("pair_hits_total", "counter", "Entries with any fill", |pair| Some(f64::from(pair.hits))),
        ("pair_misses_total", "counter", "Entries without a fill", |pair| Some(f64::from(pair.misses))),
    ];
    let labels = |pair: &crate::core::scanner::PairView| {
        let names = &view.names;
        [names.canonical(pair.canonical), names.venue_of(pair.buy), names.venue_of(pair.sell)]
            .map(str::to_owned)
    };
    for (name, kind, help, of) in columns {
        page.family(name, kind, help);
        for pair in &view.pairs {
            if let Some(value) = of(pair) {
                let [instrument, buy, sell] = labels(pair);
                page.row(name, &[("instrument", &instrument), ("buy", &buy), ("sell", &sell)], value);
            }
        }
    }
    page.family("pair_why", "gauge", "1 with the reason why the pair does not trade");
    for pair in &view.pairs {
        let [instrument, buy, sell] = labels(pair);
        let why = pair.why.as_str();
        page.row(
            "pair_why",
            &[("instrument", &instrument), ("buy", &buy), ("sell", &sell), ("why", why)],
            1.0,
        );
    }
}

fn latency(page: &mut Page, view: &View) {
    page.family("latency_seconds", "summary", "Latency; quantiles without enough samples are left out");
    for (path, summary) in &view.latency {
        let quantiles = [
            ("0.5", summary.p50),
            ("0.9", summary.p90),
            ("0.99", summary.p99),
            ("0.999", summary.p999),
            ("0.9999", summary.p9999),
        ];
        for (quantile, value) in quantiles {
            if let Some(value) = value {
                page.row("latency_seconds", &[("path", path), ("quantile", quantile)], value as f64 / NS);
            }
        }
        page.row("latency_seconds_count", &[("path", path)], summary.count as f64);
    }
    page.family("latency_max_seconds", "gauge", "Largest latency of the run");
    for (path, summary) in &view.latency {
        if let Some(max) = summary.max {
            page.row("latency_max_seconds", &[("path", path)], max as f64 / NS);
        }
    }
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// Text being made. Writing to a string cannot fail.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP perpring_{name} {help}\n# TYPE perpring_{name} {kind}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.family(name, kind, help);
        self.row(name, &[], value);
    }

    fn row(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.0, "perpring_{name}");
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { "{" } else { "," });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::core::position::PositionView;
    use crate::core::scanner::PairView;
    use crate::domain::event::{SessionRole, SessionStatus};
    use crate::domain::instrument::{CanonicalId, InstrumentId, VenueId};
    use crate::ops::latency::{ALL, Latency};
    use crate::ops::view::{AccountView, Names};
    use std::collections::{BTreeMap, BTreeSet};
    use std::io::Read;
    use std::sync::Arc;

    /// A board as in the middle of a run of two venues and two instruments.
    pub fn sample() -> View {
        let mut view =
            View { seconds: 12.5, trades_open: 3, unbalanced: 1, unbalanced_max: 2, ..View::default() };
        let venues = ["binance-usdm", "okx"].map(str::to_owned).to_vec();
        let canonicals = ["BTC/USDT:USDT", "ETH/USDT:USDT"].map(str::to_owned).to_vec();
        let symbols = ["BTCUSDT", "ETHUSDT", "BTC-USDT-SWAP", "ETH-USDT-SWAP"];
        let listings =
            symbols.iter().enumerate().map(|(i, s)| (VenueId(i as u8 / 2), (*s).to_owned())).collect();
        view.names = Arc::new(Names { venues, canonicals, listings });
        view.counts = Counts { frames: 81_234, fills: 40, orders_sent: 44, ..Counts::default() };
        for pair in 0..4_u16 {
            let mut row =
                PairView { canonical: CanonicalId(pair / 2), hits: 9, misses: 1, ..PairView::default() };
            (row.buy, row.sell) =
                (InstrumentId(pair / 2 + 2 * (pair % 2)), InstrumentId(pair / 2 + 2 - 2 * (pair % 2)));
            (row.basis, row.baseline) = (Some(2_345_678), Some(1_000_000));
            (row.terms.net, row.terms.threshold) = (-123_456, 200_000);
            row.why = crate::core::pair::WhyNot::BelowThreshold;
            view.pairs.push(row);
        }
        view.book_ages = vec![Some(1_500_000), Some(250_000_000), Some(0), Some(7_000)];
        for id in 0..4_u16 {
            let mut instrument = crate::domain::instrument::Instrument::default();
            (instrument.id, instrument.venue, instrument.qty_scale) =
                (InstrumentId(id), VenueId(id as u8 / 2), 3);
            instrument.symbol = crate::domain::text::Text::new(symbols[usize::from(id)]).expect("short");
            instrument.base =
                crate::domain::text::Text::new(["BTC", "ETH"][usize::from(id % 2)]).expect("short");
            let position = crate::core::position::Position {
                qty: 1_500 * (i64::from(id) - 1),
                ..crate::core::position::Position::default()
            };
            view.positions.push(PositionView {
                instrument,
                position,
                unrealised: Money::ZERO,
                venue_qty: None,
                discrepant: false,
            });
        }
        let money = |text: &str| {
            Some(Money::from_num(crate::domain::number::Num::parse(text.as_bytes()).expect("number")))
        };
        for venue in [VenueId(0), VenueId(1)] {
            let currency = crate::domain::text::Text::new("USDT").expect("short");
            view.accounts.push(AccountView {
                venue,
                currency,
                wallet: money("100000"),
                free: money("87654.321"),
            });
            for role in [SessionRole::Market, SessionRole::Account, SessionRole::Orders] {
                view.sessions.push(SessionStatus { venue, role, ready: true });
            }
        }
        view.totals.realised = money("12.5").expect("some");
        view.totals.fees = money("3.25").expect("some");
        let mut latency = Latency::new();
        (0..2_000).for_each(|i| ALL.iter().for_each(|path| latency.record(*path, 1_000 + 100 * i)));
        view.latency = latency.summaries();
        let mut counts = crate::venue::copies::CopyCounts { wins: [70, 30], ..Default::default() };
        (counts.duplicates, counts.leads[7]) = ([29, 68], 97);
        view.copies = vec![(VenueId(1), counts)];
        view.journal = (99, 1 << 20);
        view.notes = vec!["okx: cannot connect to 127.0.0.1:1".into()];
        view.notes_total = 1;
        view
    }

    /// Families by name with kind, and rows by full name.
    fn parse(text: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
        let (mut kinds, mut helped, mut rows) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("help has words");
                assert!(!words.is_empty() && helped.insert(name.to_owned()), "{name} has one help");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a kind");
                assert!(helped.contains(name) && ["counter", "gauge", "summary"].contains(&kind), "{line}");
                kinds.insert(name.to_owned(), kind.to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let name = series.split('{').next().expect("a name");
                let family =
                    name.strip_suffix("_count").filter(|n| kinds.get(*n).is_some_and(|k| k == "summary"));
                let kind = kinds.get(family.unwrap_or(name)).unwrap_or_else(|| panic!("{name} has no TYPE"));
                assert!(
                    name.starts_with("perpring_") && (kind == "counter") == name.ends_with("_total"),
                    "{line}"
                );
                if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
                    let inner = labels.strip_prefix('{').and_then(|l| l.strip_suffix('}')).expect("braces");
                    for label in inner.split("\",") {
                        let (label, text) = label.split_once("=\"").expect("label=\"text\"");
                        assert!(label.bytes().all(|b| b.is_ascii_lowercase()) && !text.is_empty(), "{line}");
                    }
                }
                let value: f64 = value.parse().expect("a number");
                assert!(rows.insert(series.to_owned(), value).is_none(), "twice: {series}");
            }
        }
        (kinds, rows)
    }

    #[test]
    fn the_text_parses_and_every_metric_is_described() {
        let (kinds, rows) = parse(&exposition(&sample()));
        assert!(kinds.len() > 35 && rows.len() > 100, "{} families, {} rows", kinds.len(), rows.len());
        let is = |series: &str, value: f64| assert_eq!(rows.get(series), Some(&value), "{series}");
        is("perpring_frames_total", 81_234.0);
        is("perpring_trading_state{state=\"normal\"}", 1.0);
        is("perpring_feed_age_seconds{venue=\"binance-usdm\",symbol=\"ETHUSDT\"}", 0.25);
        is("perpring_position_contracts{venue=\"okx\",symbol=\"ETH-USDT-SWAP\"}", 3.0);
        is("perpring_pnl{part=\"net\"}", 9.25);
        is(
            "perpring_pair_edge_ratio{instrument=\"BTC/USDT:USDT\",buy=\"binance-usdm\",sell=\"okx\"}",
            -0.000_123_456,
        );
        is("perpring_market_copies_won_total{venue=\"okx\",connection=\"0\"}", 70.0);
        is("perpring_market_copies_dropped_total{venue=\"okx\",connection=\"1\"}", 68.0);
        is("perpring_market_copy_leads_total{venue=\"okx\",below=\"128us\"}", 97.0);
        is("perpring_latency_seconds_count{path=\"market_data\"}", 2_000.0);
        assert!(rows.contains_key("perpring_latency_seconds{path=\"market_data\",quantile=\"0.99\"}"));
        assert!(
            !rows.contains_key("perpring_latency_seconds{path=\"market_data\",quantile=\"0.9999\"}"),
            "too few"
        );
        parse(&exposition(&View::default()));
    }

    #[test]
    fn labels_are_escaped() {
        let mut page = Page(String::new());
        page.row("x", &[("a", "say \"hi\"\\\n")], 1.5);
        assert_eq!(page.0, "perpring_x{a=\"say \\\"hi\\\"\\\\\\n\"} 1.5\n");
    }

    #[test]
    fn readiness_needs_sessions_books_and_the_normal_mode() {
        assert_eq!(is_ready(&sample()), Ok(()));
        let refused = |change: fn(&mut View), why: &str| {
            let mut view = sample();
            change(&mut view);
            let said = is_ready(&view).expect_err("not ready");
            assert!(said.contains(why), "{said}");
        };
        refused(|view| view.sessions[4].ready = false, "okx: no account session");
        refused(|view| view.sessions.truncate(3), "okx: no session yet");
        refused(|view| view.book_ages[1] = None, "ETHUSDT");
        refused(|view| view.book_ages.clear(), "no books");
        refused(|view| view.mode = Mode::Halted, "halted");
        let finding = |holds| super::super::view::FindingView {
            venue: "okx".into(),
            symbol: Some("BTC-USDT-SWAP".into()),
            check: "leverage",
            what: "leverage is 20, must be 5".into(),
            holds,
        };
        let mut view = sample();
        view.findings = vec![finding(false)];
        assert_eq!(is_ready(&view), Ok(()), "paper is only warned");
        let other = super::super::view::FindingView { symbol: None, ..finding(true) };
        view.findings = vec![finding(true), other];
        let said = is_ready(&view).expect_err("held");
        assert_eq!(said, "okx BTC-USDT-SWAP: leverage is 20, must be 5 (and 1 more)");
        let (_, rows) = parse(&exposition(&view));
        let row = "perpring_start_finding{venue=\"okx\",symbol=\"BTC-USDT-SWAP\",check=\"leverage\"}";
        assert_eq!(rows.get(row), Some(&1.0));
    }

    #[test]
    fn a_clock_that_stands_still_is_death() {
        let start = now();
        let mut pulse = Pulse::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(pulse.check(1.0, at(0)).is_ok());
        assert!(pulse.check(1.0, at(5)).is_ok());
        assert!(pulse.check(1.0, at(6)).is_err());
        assert!(pulse.check(1.2, at(7)).is_ok());
    }

    #[test]
    fn the_server_tells_what_the_board_tells() {
        let board = Board::default();
        let server = serve("127.0.0.1:0".parse().expect("address"), &board).expect("a free port");
        let ask = |path: &str| {
            let mut client = std::net::TcpStream::connect(server.address()).expect("listening");
            std::io::Write::write_all(&mut client, format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes())
                .expect("sent");
            let mut reply = String::new();
            client.read_to_string(&mut reply).expect("a reply");
            reply
        };
        assert!(ask("/readyz").starts_with("HTTP/1.1 503"));
        assert!(ask("/livez").starts_with("HTTP/1.1 200"));
        *board.read() = sample();
        assert!(ask("/readyz").starts_with("HTTP/1.1 200"));
        let reply = ask("/metrics");
        parse(reply.split_once("\r\n\r\n").expect("a body").1);
    }
}
