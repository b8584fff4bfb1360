//! What `print` shows of a moment, as tables.

use super::filter::Filter;
use super::last::Last;
use super::quantity::{Moment, Row, Value, about_event, about_output};
use super::table::Table;
use super::words;
use crate::core::listing::Listing;
use crate::domain::event::SessionRole;
use crate::domain::instrument::{Instrument, InstrumentId, Price, Qty, VenueId};
use crate::domain::money::Money;
use crate::domain::number::Num;
use crate::domain::order::Side;
use crate::domain::params::RiskParams;
use crate::domain::time::Nanos;
use crate::replay::plain::{Plain, bps, excerpt};
use serde_json::{Value as Json, json};

/// Levels of a side that `print depth` shows.
const LEVELS: usize = 10;

/// What can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Best prices.
    Books,
    /// Levels.
    Depth,
    /// Positions.
    Positions,
    /// Orders that are not closed.
    Orders,
    /// Limits, with what is measured against them.
    Limits,
    /// Open trades.
    Trades,
    /// Directions of pairs, with every term of the edge.
    Pairs,
    /// Connections and sessions.
    Sessions,
    /// What may still be sent.
    Budgets,
    /// Accounts.
    Accounts,
    /// The last input with its events.
    Event,
    /// What the stages decided on it.
    Outputs,
}

impl What {
    /// All, with their names.
    pub const ALL: [(&'static str, Self); 12] = [
        ("books", Self::Books),
        ("depth", Self::Depth),
        ("positions", Self::Positions),
        ("orders", Self::Orders),
        ("limits", Self::Limits),
        ("trades", Self::Trades),
        ("pairs", Self::Pairs),
        ("sessions", Self::Sessions),
        ("budgets", Self::Budgets),
        ("accounts", Self::Accounts),
        ("event", Self::Event),
        ("outputs", Self::Outputs),
    ];

    /// By a name or its beginning, singular or plural.
    pub fn parse(word: &str) -> Option<Self> {
        let fits = |name: &str| {
            name == word
                || (!word.is_empty() && name.starts_with(word))
                || word.strip_suffix('s') == Some(name)
        };
        Self::ALL.iter().find(|(name, _)| fits(name)).map(|(_, what)| *what)
    }
}

/// Shows a moment.
pub struct Show<'a> {
    /// Which.
    pub moment: Moment<'a>,
    /// The run's limits.
    pub limits: &'a RiskParams,
}

fn text(value: impl ToString) -> Json {
    Json::String(value.to_string())
}

fn maybe(value: Option<impl ToString>) -> Json {
    value.map_or(Json::Null, text)
}

fn price(instrument: &Instrument, price: i64) -> Json {
    text(instrument.price_num(Price(price)))
}

fn qty(instrument: &Instrument, qty: i64) -> Json {
    text(instrument.qty_num(Qty(qty)))
}

/// Milliseconds, exact.
fn millis(nanos: Nanos) -> Json {
    text(Num::new(nanos, 6))
}

impl Show<'_> {
    /// A table of `what`, of what the filter chooses.
    pub fn table(&self, what: What, filter: &Filter) -> Table {
        match what {
            What::Books => self.books(filter),
            What::Depth => self.depth(filter),
            What::Positions => self.positions(filter),
            What::Orders => self.orders(filter),
            What::Limits => self.limits(filter),
            What::Trades => self.trades(filter),
            What::Pairs => self.pairs(filter),
            What::Sessions => self.sessions(filter),
            What::Budgets => self.budgets(filter),
            What::Accounts => self.accounts(filter),
            What::Event => self.events(filter),
            What::Outputs => self.outputs(filter),
        }
    }

    fn listings(&self, filter: &Filter) -> Vec<&Listing> {
        let ids = (0..self.moment.parts.scan.listings()).map(|at| InstrumentId(at as u16));
        let chosen = ids.filter(|id| filter.has_listing(*id));
        chosen.filter_map(|id| self.moment.parts.scan.scanner().listing(id)).collect()
    }

    fn instrument(&self, id: InstrumentId) -> Option<Instrument> {
        let listing = self.moment.parts.scan.scanner().listing(id)?;
        (listing.instrument.generation > 0).then_some(listing.instrument)
    }

    fn venue(&self, venue: VenueId) -> Json {
        text(self.moment.book.names.venue(venue))
    }

    fn venue_of(&self, id: InstrumentId) -> Json {
        text(self.moment.book.names.venue_of(id))
    }

    fn symbol(&self, id: InstrumentId) -> Json {
        maybe(self.moment.book.names.listings.get(id.index()).map(|(_, symbol)| symbol))
    }

    fn books(&self, filter: &Filter) -> Table {
        let columns = [
            "venue",
            "instrument",
            "state",
            "bid_qty",
            "bid",
            "ask",
            "ask_qty",
            "spread_bps",
            "age_ms",
            "levels",
        ];
        let mut table = Table::new("books", &columns);
        for listing in self.listings(filter) {
            let (of, book) = (&listing.instrument, &listing.book);
            let (bid, ask) = (book.touch(Side::Sell), book.touch(Side::Buy));
            let both = bid.zip(ask).map(|((bid, _), (ask, _))| (bid, ask));
            let crossed = book.is_served() && both.is_some_and(|(bid, ask)| bid >= ask);
            let state = if crossed { "Crossed".to_owned() } else { format!("{:?}", book.state()) };
            let spread = both
                .map(|(bid, ask)| bps(crate::core::edge::ppb_ceil((ask - bid).saturating_mul(2), bid + ask)));
            let age = book.is_served().then(|| listing.touch_age(self.moment.last.at.wall));
            table.rows.push(vec![
                self.venue(listing.params.venue),
                self.symbol(listing.params.id),
                text(state),
                bid.map_or(Json::Null, |(_, size)| qty(of, size)),
                bid.map_or(Json::Null, |(at, _)| price(of, at)),
                ask.map_or(Json::Null, |(at, _)| price(of, at)),
                ask.map_or(Json::Null, |(_, size)| qty(of, size)),
                maybe(spread),
                age.map_or(Json::Null, millis),
                json!(book.depth(Side::Buy).count() + book.depth(Side::Sell).count()),
            ]);
        }
        table
    }

    fn depth(&self, filter: &Filter) -> Table {
        let mut table =
            Table::new("levels", &["venue", "instrument", "level", "bid_qty", "bid", "ask", "ask_qty"]);
        for listing in self.listings(filter) {
            let of = &listing.instrument;
            let side = |side| listing.book.depth(side).take(LEVELS).collect::<Vec<_>>();
            let (bids, asks) = (side(Side::Sell), side(Side::Buy));
            for level in 0..bids.len().max(asks.len()) {
                let (bid, ask) = (bids.get(level), asks.get(level));
                table.rows.push(vec![
                    self.venue(listing.params.venue),
                    self.symbol(listing.params.id),
                    json!(level + 1),
                    bid.map_or(Json::Null, |(_, size)| qty(of, *size)),
                    bid.map_or(Json::Null, |(at, _)| price(of, *at)),
                    ask.map_or(Json::Null, |(at, _)| price(of, *at)),
                    ask.map_or(Json::Null, |(_, size)| qty(of, *size)),
                ]);
            }
        }
        table
    }

    fn positions(&self, filter: &Filter) -> Table {
        let columns = [
            "venue",
            "instrument",
            "contracts",
            "at_venue",
            "residual",
            "mark",
            "unrealised",
            "realised",
            "fees",
            "funding",
            "discrepant",
        ];
        let mut table = Table::new("positions", &columns);
        let positions = self.moment.parts.risk.rules().positions().positions();
        for view in positions.filter(|view| filter.has_listing(view.instrument.id)) {
            let (of, position) = (&view.instrument, &view.position);
            let residual =
                self.moment.parts.scan.scanner().listing(of.id).map_or(0, |listing| listing.residual);
            table.rows.push(vec![
                self.venue(of.venue),
                self.symbol(of.id),
                qty(of, position.qty),
                view.venue_qty.map_or(Json::Null, |stated| qty(of, stated)),
                qty(of, residual),
                position.mark.map_or(Json::Null, |mark| price(of, mark.0)),
                text(view.unrealised),
                text(position.realised),
                text(position.fees + position.fees_estimated),
                text(position.funding),
                json!(view.discrepant),
            ]);
        }
        table
    }

    fn orders(&self, filter: &Filter) -> Table {
        let columns = [
            "order",
            "venue",
            "instrument",
            "side",
            "qty",
            "price",
            "tif",
            "state",
            "filled",
            "leaves",
            "reduce_only",
        ];
        let mut table = Table::new("open orders", &columns);
        for order in self.moment.parts.decode.ledger().open_orders() {
            let spec = &order.spec;
            if !filter.has_listing(spec.instrument) {
                continue;
            }
            let of = self.instrument(spec.instrument);
            let size = |size: Qty| of.map_or(Json::Null, |of| qty(&of, size.0));
            table.rows.push(vec![
                text(spec.client_id),
                self.venue(spec.venue),
                self.symbol(spec.instrument),
                text(format!("{:?}", spec.side)),
                size(spec.qty),
                of.map_or(Json::Null, |of| price(&of, spec.price.0)),
                text(format!("{:?}", spec.tif)),
                text(words::order_state(&order.state)),
                size(order.filled),
                size(order.leaves),
                json!(spec.reduce_only),
            ]);
        }
        table
    }

    /// What is measured against each limit that holds over time; limits of one order are not there.
    fn limits(&self, filter: &Filter) -> Table {
        let mut table = Table::new("limits", &["limit", "of", "now", "most"]);
        let (rules, limits) = (self.moment.parts.risk.rules(), self.limits);
        let mut row =
            |limit: &str, of: Json, now: Json, most: Json| table.rows.push(vec![text(limit), of, now, most]);
        let dollars = |units: i64| text(RiskParams::money(units));
        row(
            "gross_exposure_usd",
            Json::Null,
            text(rules.exposure().gross()),
            dollars(limits.gross_exposure_max_usd),
        );
        for at in 0..self.moment.book.names.venues.len() {
            let venue = VenueId(at as u8);
            if filter.has_venue(venue) {
                let now = text(rules.exposure().venue(venue));
                row("venue_position_usd", self.venue(venue), now, dollars(limits.venue_position_max_usd));
            }
        }
        for listing in self.listings(filter) {
            let of = &listing.instrument;
            let held = rules.positions().worst_qty(of.id);
            let mark = rules.positions().get(of.id).mark;
            if let Some(mark) = mark.filter(|_| held != 0) {
                let place = text(format!("{}.{}", of.symbol, self.moment.book.names.venue_of(of.id)));
                let now = text(of.notional(Qty(held), mark));
                row("instrument_position_usd", place, now, dollars(limits.instrument_position_max_usd));
            }
        }
        let loss = rules.positions().daily();
        let loss = if loss < Money::ZERO { -loss } else { Money::ZERO };
        row("daily_loss_usd", Json::Null, text(loss), dollars(limits.daily_loss_max_usd));
        row("open_orders", Json::Null, json!(rules.open_orders()), json!(limits.open_orders_max));
        row(
            "baskets_in_flight",
            Json::Null,
            json!(rules.baskets_in_flight()),
            json!(limits.baskets_in_flight_max),
        );
        row(
            "consecutive_failures",
            Json::Null,
            json!(rules.failures()),
            json!(limits.consecutive_failures_max),
        );
        row("risk_state", Json::Null, text(words::state(&rules.state())), Json::Null);
        row(
            "scanner_mode",
            Json::Null,
            text(words::mode(&self.moment.parts.scan.scanner().totals().mode)),
            Json::Null,
        );
        for finding in rules.start_gate().findings().filter(|finding| filter.has_venue(finding.venue)) {
            row("start_gate", self.venue(finding.venue), text(finding.sentence()), Json::Null);
        }
        table
    }

    fn trades(&self, filter: &Filter) -> Table {
        let columns = [
            "trade",
            "buy",
            "sell",
            "instrument",
            "phase",
            "long",
            "short",
            "edge_bps",
            "realised_bps",
            "hedges",
            "closing",
            "working",
        ];
        let mut table = Table::new("open trades", &columns);
        for trade in self.moment.parts.scan.scanner().trades() {
            let [long, short] = trade.legs.map(|leg| InstrumentId(leg.listing));
            if !filter.has_way(long, short) {
                continue;
            }
            let held = |leg: usize| {
                let of = self.instrument(InstrumentId(trade.legs[leg].listing));
                of.map_or(Json::Null, |of| qty(&of, trade.legs[leg].position))
            };
            let working: Vec<String> =
                trade.legs.iter().filter_map(|leg| leg.working).map(|order| order.id.to_string()).collect();
            table.rows.push(vec![
                json!(trade.id.0),
                self.venue_of(long),
                self.venue_of(short),
                text(self.moment.book.names.canonical(trade.canonical)),
                text(format!("{:?}", trade.phase)),
                held(0),
                held(1),
                text(bps(trade.edge.net)),
                text(bps(trade.realised)),
                json!(trade.hedges),
                maybe(trade.closing.map(|why| format!("{why:?}"))),
                text(working.join(" ")),
            ]);
        }
        table
    }

    fn pairs(&self, filter: &Filter) -> Table {
        let columns = [
            "instrument",
            "buy",
            "sell",
            "basis_bps",
            "baseline_bps",
            "entry_bps",
            "exit_bps",
            "fees_bps",
            "half_spreads_bps",
            "slippage_bps",
            "allowance_bps",
            "failure_bps",
            "funding_bps",
            "net_bps",
            "threshold_bps",
            "samples",
            "trade",
            "why",
        ];
        let mut table = Table::new("pairs", &columns);
        for view in
            self.moment.parts.scan.scanner().views().filter(|view| filter.has_way(view.buy, view.sell))
        {
            let terms = view.terms;
            let mut row = vec![
                text(self.moment.book.names.canonical(view.canonical)),
                self.venue_of(view.buy),
                self.venue_of(view.sell),
                maybe(view.basis.map(bps)),
                maybe(view.baseline.map(bps)),
            ];
            let parts = [
                terms.entry_basis,
                terms.exit_basis,
                terms.fees,
                terms.exit_half_spreads,
                terms.slippage,
                terms.allowance,
                view.failure,
                terms.funding,
                terms.net,
                terms.threshold,
            ];
            let priced = terms != crate::domain::intent::EdgeTerms::default();
            row.extend(parts.map(|term| maybe(priced.then(|| bps(term)))));
            row.extend([
                json!(view.samples),
                maybe(view.trade.map(|trade| trade.0)),
                text(words::why(&view.why)),
            ]);
            table.rows.push(row);
        }
        table
    }

    fn sessions(&self, filter: &Filter) -> Table {
        let mut table = Table::new("connections", &["conn", "venue", "role", "epoch", "up", "session_ready"]);
        let route = &self.moment.parts.route;
        for (at, info) in self.moment.parts.conns.iter().enumerate() {
            if !filter.has_venue(info.venue) {
                continue;
            }
            let epoch = route.epochs().get(at).copied().unwrap_or(0);
            let (account, orders) = route.readiness(info.venue);
            let ready = match info.role {
                SessionRole::Market => Json::Null, // told by its books
                SessionRole::Account => json!(account),
                SessionRole::Orders => json!(orders),
            };
            let role = text(format!("{:?}", info.role).to_lowercase());
            table.rows.push(vec![
                json!(at),
                self.venue(info.venue),
                role,
                if epoch > 0 { json!(epoch) } else { Json::Null }, // there is none while it is down
                json!(epoch > 0),
                ready,
            ]);
        }
        table
    }

    fn budgets(&self, filter: &Filter) -> Table {
        let mut table = Table::new("budgets", &["venue", "opening_left", "urgent_left", "counts_cancels"]);
        let now = self.moment.last.at.mono;
        for (at, budget) in self.moment.parts.route.budgets().iter().enumerate() {
            let venue = VenueId(at as u8);
            if filter.has_venue(venue) {
                let mut budget = *budget; // what flows in until now is counted in a copy
                let left = [false, true].map(|urgent| json!(budget.available(now, urgent)));
                let [opening, urgent] = left;
                table.rows.push(vec![self.venue(venue), opening, urgent, json!(budget.counts_cancels())]);
            }
        }
        table
    }

    fn accounts(&self, filter: &Filter) -> Table {
        let columns = ["venue", "currency", "wallet", "available", "reserved", "used", "unrealised", "free"];
        let mut table = Table::new("accounts", &columns);
        let accounts = self.moment.parts.risk.rules().capital().accounts().iter();
        for account in accounts.filter(|account| filter.has_venue(account.venue)) {
            table.rows.push(vec![
                self.venue(account.venue),
                text(account.currency),
                maybe(account.wallet),
                maybe(account.available),
                text(account.reserved),
                text(account.used),
                text(account.unrealised),
                maybe(account.free()),
            ]);
        }
        table
    }

    /// The input itself first, then what decode made of it.
    fn events(&self, filter: &Filter) -> Table {
        let mut table = Table::blocks("events", &["kind", "venue", "instrument", "what", "frame"]);
        let (last, parts) = (self.moment.last, self.moment.parts);
        let instrument = |id| self.instrument(id);
        let plain = Plain { names: &self.moment.book.names, instrument: &instrument };
        if let Some((input, _)) = &last.input {
            let venue = super::input_venue(&parts.conns, input).map_or(Json::Null, |venue| self.venue(venue));
            table.rows.push(vec![
                text(format!("input {}", words::input(input))),
                venue,
                Json::Null,
                inner(plain.of(input)),
                whole(&last.bytes),
            ]);
        }
        for event in &last.events {
            let (venue, id) = about_event(parts, &event.body);
            if !filter.has_about(venue, id) {
                continue;
            }
            table.rows.push(vec![
                text(words::event(&event.body)),
                venue.map_or(Json::Null, |venue| self.venue(venue)),
                id.map_or(Json::Null, |id| self.symbol(id)),
                inner(plain.of(&event.body)),
                Json::Null,
            ]);
        }
        table
    }

    fn outputs(&self, filter: &Filter) -> Table {
        let mut table = Table::blocks("outputs", &["stage", "kind", "instruments", "what", "message"]);
        let instrument = |id| self.instrument(id);
        let plain = Plain { names: &self.moment.book.names, instrument: &instrument };
        for (key, output, raw) in &self.moment.last.outputs {
            let about = about_output(output);
            let fits = if about.is_empty() {
                filter.has_about(None, None)
            } else {
                about.iter().any(|id| filter.has_listing(*id))
            };
            if !fits {
                continue;
            }
            let names: Vec<String> = about.iter().map(|id| plain.listing(*id)).collect();
            table.rows.push(vec![
                text(format!("{:?}", key.stage).to_lowercase()),
                text(words::output(output)),
                text(names.join(" ")),
                inner(plain.of(output)),
                whole(raw),
            ]);
        }
        table
    }

    /// Values of a watched quantity.
    pub fn values(&self, text_of: &str, rows: &[(Row<'_>, Option<Value>)]) -> Table {
        let mut table = Table::new("values", &["watch", "of", "value"]);
        for (row, value) in rows {
            table.rows.push(vec![text(text_of), self.row(row), maybe(value.map(|value| self.value(value)))]);
        }
        table
    }

    /// What makes an expression hold.
    pub fn found(&self, found: &[(&str, Row<'_>, Option<Value>)]) -> Table {
        let mut table = Table::new("found", &["quantity", "of", "value"]);
        for (quantity, row, value) in found {
            table.rows.push(vec![text(quantity), self.row(row), maybe(value.map(|value| self.value(value)))]);
        }
        table
    }

    fn row(&self, row: &Row<'_>) -> Json {
        let names = &self.moment.book.names;
        match row {
            Row::Run => Json::Null,
            Row::Listing(listing) => {
                text(format!("{}.{}", listing.params.symbol, names.venue(listing.params.venue)))
            }
            Row::Pair(view) => {
                let (buy, sell) = (names.venue_of(view.buy), names.venue_of(view.sell));
                text(format!("{} {buy}>{sell}", names.canonical(view.canonical)))
            }
            Row::Event(event) => text(words::event(&event.body)),
            Row::Output(made) => text(words::output(&made.1)),
            Row::Order((id, ..)) => text(id),
            Row::Account(account) => text(format!("{} {}", names.venue(account.venue), account.currency)),
        }
    }

    /// A value as people write it.
    fn value(&self, value: Value) -> String {
        match value {
            Value::Number(number) => number.to_string(),
            Value::Flag(flag) => flag.to_string(),
            Value::Word(word) => word.to_owned(),
            Value::Venue(venue) => self.moment.book.names.venue(venue).to_owned(),
            Value::Instrument(id) => {
                let names = &self.moment.book.names;
                names.listings.get(id.index()).map_or_else(String::new, |(_, symbol)| symbol.clone())
            }
            Value::Instant(at) => crate::domain::calendar::shown(at.wall),
            Value::Duration(nanos) => format!("{}ms", Num::new(nanos, 6)),
            Value::Order(id) => id.to_string(),
        }
    }
}

/// Recorded bytes as one line of text, all of them.
fn whole(bytes: &[u8]) -> Json {
    if bytes.is_empty() { Json::Null } else { text(excerpt(bytes, usize::MAX)) }
}

/// What stands inside a variant: its name is told beside it.
fn inner(value: Json) -> Json {
    match value {
        Json::String(_) => Json::Null, // one that holds nothing
        Json::Object(fields) if fields.len() == 1 => {
            fields.into_iter().next().map_or(Json::Null, |(_, inner)| inner)
        }
        other => other,
    }
}

/// Counts by kind, in the order in which they came: `bbo, depth ×3`.
pub fn counted<'a>(kinds: impl Iterator<Item = &'a str>) -> Vec<(&'a str, u64)> {
    let mut found: Vec<(&str, u64)> = Vec::new();
    for kind in kinds {
        match found.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => found.push((kind, 1)),
        }
    }
    found
}

/// Kinds of the events and outputs of the last input.
pub fn made(last: &Last) -> [Vec<(&'static str, u64)>; 2] {
    [
        counted(last.events.iter().map(|event| words::event(&event.body))),
        counted(last.outputs.iter().map(|(_, output, _)| words::output(output))),
    ]
}
