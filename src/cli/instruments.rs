//! `perpring instruments`: what the venues' public metadata says of instruments — scales, limits, funding
//! interval, status — asked for over HTTP by the same adapters that trade. Fees are the account's own and stand in
//! the configuration; without one they are unknown.
#![allow(clippy::disallowed_methods)] // housekeeping: the requests are stamped with the wall clock

use super::Failure;
use super::error::{CliError, EXIT_CLEAN, EXIT_FINDING, dialect};
use crate::config::names::{self, Name};
use crate::config::{Config, secrets};
use crate::core::registry::Registry;
use crate::domain::effect::{Payload, SecretSlot, SessionAction};
use crate::domain::input::ConnId;
use crate::domain::instrument::{CanonicalId, ContractKind, Instrument, InstrumentId, Status, VenueId};
use crate::domain::intent::Ppb;
use crate::domain::params::{CanonicalParams, EngineParams, ListingParams, VenueParams};
use crate::domain::text::Text;
use crate::domain::time::{Nanos, SECOND, Stamp};
use crate::net::http::HttpClient;
use crate::net::proxy::Proxy;
use crate::net::tls::Trust;
use crate::stage::errand::perform;
use crate::venue::{Emit, Out, VenueContext};
use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Rounds of requests after which a venue has said what it has to say.
const ROUNDS_MAX: u32 = 8;
/// Longest time for a request.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Arguments of `instruments`.
#[derive(Args, Debug)]
pub struct InstrumentsArgs {
    /// Only this venue, such as `binance-usdm`.
    #[arg(long)]
    venue: Option<String>,
    /// A configuration: its venues, addresses, fees and instruments.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Base address for HTTP instead of the venue's own (needs `--venue`).
    #[arg(long, value_name = "URL", requires = "venue")]
    http: Option<String>,
    /// One JSON array instead of a table.
    #[arg(long)]
    json: bool,
    /// Instruments in any form (`BTC/USDT:USDT`, `BTCUSDT-PERP.BINANCE`, native); without them the configured ones.
    names: Vec<String>,
}

/// What is asked of one venue.
struct Ask {
    dialect: String,
    http: String,
    fees: Option<(Ppb, Ppb)>,
    trust: Trust,
    proxy: Option<Arc<Proxy>>,
    /// Unified name and native symbol.
    wanted: Vec<(Name, String)>,
}

/// Runs the command: 0 when every instrument is known to its venue, 1 when one is not.
pub fn run(args: &InstrumentsArgs) -> Result<u8, Failure> {
    let config = args.config.as_deref().map(Config::load).transpose()?;
    let mut rows = Vec::new();
    for ask in asks(args, config.as_ref())? {
        rows.append(&mut query(&ask)?);
    }
    if args.json {
        say!("{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        say!("{}", table(&rows))?;
    }
    let unknown = rows.iter().any(|row| row["status"] == "unknown");
    Ok(if unknown { EXIT_FINDING } else { EXIT_CLEAN })
}

/// Which venues to ask for what.
fn asks(args: &InstrumentsArgs, config: Option<&Config>) -> Result<Vec<Ask>, CliError> {
    if let Some(venue) = &args.venue {
        dialect(venue)?;
    }
    let chosen = |name: &str| args.venue.as_deref().is_none_or(|venue| venue == name);
    let mut asks = Vec::new();
    match config {
        Some(config) => {
            let settings = config.settings(false).map_err(|found| CliError::Argument(found.join("\n")))?;
            let file = config.engine.ca_file.as_deref();
            for (index, venue) in
                settings.params.venues.iter().enumerate().filter(|(_, venue)| chosen(&venue.dialect))
            {
                let mut wanted = Vec::new();
                for listing in
                    settings.params.listings.iter().filter(|listing| listing.venue.index() == index)
                {
                    let canonical = &settings.params.canonicals[listing.canonical.index()];
                    let name = Name::unified(&canonical.name);
                    wanted.extend(name.map(|name| (name, listing.symbol.to_string())));
                }
                if !args.names.is_empty() {
                    wanted = named(args, &venue.dialect)?;
                }
                asks.push(Ask {
                    dialect: venue.dialect.clone(),
                    http: args.http.clone().unwrap_or_else(|| settings.venues[index].http.clone()),
                    fees: Some((venue.taker_fee_ppb, venue.maker_fee_ppb)),
                    trust: trust(file)?,
                    proxy: secrets::proxy(&config.venues[index], &|name| std::env::var(name).ok())
                        .map_err(CliError::Argument)?,
                    wanted,
                });
            }
        }
        None if args.names.is_empty() => {
            return Err(CliError::Argument(
                "which instruments? Name them, such as BTC/USDT:USDT, or give a configuration by --config"
                    .to_owned(),
            ));
        }
        None => {
            for venue in crate::venue::DIALECTS.iter().filter(|venue| chosen(venue.name())) {
                let wanted = named(args, venue.name())?;
                let http = args.http.clone().unwrap_or_else(|| venue.http_url().to_owned());
                if !wanted.is_empty() {
                    asks.push(Ask {
                        dialect: venue.name().to_owned(),
                        http,
                        fees: None,
                        trust: trust(None)?,
                        proxy: None,
                        wanted,
                    });
                }
            }
        }
    }
    if asks.is_empty() {
        return Err(CliError::Argument("no venue has a name for these instruments".to_owned()));
    }
    Ok(asks)
}

fn trust(file: Option<&std::path::Path>) -> Result<Trust, CliError> {
    let mut trust = Trust::system();
    if let Some(file) = file {
        trust.add_pem_file(file).map_err(|error| CliError::Argument(error.to_string()))?;
    }
    Ok(trust)
}

/// The named instruments that have a name at `venue`.
fn named(args: &InstrumentsArgs, venue: &str) -> Result<Vec<(Name, String)>, CliError> {
    let mut wanted = Vec::new();
    for text in &args.names {
        let all: Vec<&str> = match &args.venue {
            Some(only) => vec![only],
            None => crate::venue::DIALECTS.iter().map(|dialect| dialect.name()).collect(),
        };
        let name = names::resolve(text, &all).map_err(CliError::Argument)?;
        // What a venue cannot list under a name of its own it does not list.
        if let Ok(Some(symbol)) = names::listed(&name, venue) {
            wanted.push((name, symbol));
        }
    }
    Ok(wanted)
}

/// Parameters of an engine with one venue.
fn parameters(ask: &Ask) -> EngineParams {
    let mut params = EngineParams {
        venues: vec![VenueParams { dialect: ask.dialect.clone(), ..VenueParams::default() }],
        ..EngineParams::default()
    };
    for (index, (name, symbol)) in ask.wanted.iter().enumerate() {
        let text = |part: &str| Text::new(part).unwrap_or_default();
        let inverse = name.settle == name.base && name.settle != name.quote;
        params.canonicals.push(CanonicalParams {
            name: name.to_string(),
            base: text(&name.base),
            quote: text(&name.quote),
            settle: text(&name.settle),
            kind: if inverse { ContractKind::Inverse } else { ContractKind::Linear },
        });
        params.listings.push(ListingParams {
            id: InstrumentId(index as u16),
            venue: VenueId(0),
            canonical: CanonicalId(index as u16),
            symbol: Text::new(symbol).unwrap_or_default(),
        });
    }
    params
}

/// Drives the venue's own adapter until it has asked for and read all metadata.
fn query(ask: &Ask) -> Result<Vec<Value>, Failure> {
    let params = parameters(ask);
    let context = VenueContext {
        venue: VenueId(0),
        params: params.venues[0].clone(),
        listings: params.listings.clone(),
        conn_base: ConnId(0),
        slot_base: SecretSlot(0),
        trading: false,
    };
    let venue = dialect(&ask.dialect)?;
    let (mut adapter, mut encoder) = (venue.adapter(&context), venue.encoder(&context));
    let mut registry = Registry::new(&params);
    let client = HttpClient::through(&ask.trust, TIMEOUT, ask.proxy.clone());
    let (mut out, mut payload) = (Out::with_capacity(64), Payload::new());
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
    let mut now = Stamp { mono: 0, wall };
    adapter.on_start(now, &mut out);
    let mut answered = false;
    for _ in 0..ROUNDS_MAX {
        let items = out.items().to_vec();
        out.clear();
        let mut asked = false;
        for item in items {
            match item {
                Emit::Action(SessionAction::Http { id, what, .. }) => {
                    asked = true;
                    encoder.http(what, now, &mut payload)?;
                    let reply = perform(&client, &ask.http, payload.text())
                        .map_err(|why| format!("{}: {why}", ask.dialect))?;
                    answered |= reply.status == 200;
                    adapter.on_http(id, reply.status, &reply.body, now, &mut out);
                }
                Emit::Spec(spec) => {
                    let mut defined = Vec::new();
                    registry.on_spec(&spec, &mut defined).map_err(|why| format!("{}: {why}", ask.dialect))?;
                    for instrument in defined {
                        adapter.on_instrument(&instrument, now, &mut out);
                    }
                }
                _ => {}
            }
        }
        if !asked && out.items().is_empty() {
            break;
        }
        now = Stamp { mono: now.mono + SECOND, wall: now.wall + SECOND };
        adapter.on_tick(now, &mut out);
    }
    if !answered {
        return Err(format!("{}: {} gave no metadata over HTTP", ask.dialect, ask.http).into());
    }
    let rows = ask.wanted.iter().enumerate().map(|(index, (name, symbol))| {
        let id = InstrumentId(index as u16);
        let instrument = registry.get(id).filter(|instrument| instrument.generation > 0);
        row(ask, name, symbol, instrument, adapter.funding_interval(id))
    });
    Ok(rows.collect())
}

fn row(ask: &Ask, name: &Name, symbol: &str, found: Option<&Instrument>, interval: Option<Nanos>) -> Value {
    let bps = |ppb: Ppb| ppb as f64 / 100_000.0;
    let mut row = json!({
        "venue": ask.dialect,
        "instrument": name.to_string(),
        "symbol": symbol,
        "status": "unknown",
        "taker_fee_bps": ask.fees.map(|(taker, _)| bps(taker)),
        "maker_fee_bps": ask.fees.map(|(_, maker)| bps(maker)),
        "funding_interval_hours": interval.filter(|_| name.expiry.is_none()).map(|time| time as f64 / 3.6e12),
    });
    if let Some(Instrument { spec, price_scale, qty_scale, .. }) = found {
        row["status"] = if spec.status == Status::Trading { "trading" } else { "suspended" }.into();
        row["kind"] = if spec.kind == ContractKind::Inverse { "inverse" } else { "linear" }.into();
        for (key, num) in [
            ("multiplier", spec.multiplier),
            ("tick", spec.tick),
            ("step", spec.step),
            ("qty_min", spec.qty_min),
            ("qty_max", spec.qty_max),
            ("notional_min", spec.notional_min),
        ] {
            row[key] = num.to_string().into();
        }
        row["price_scale"] = (*price_scale).into();
        row["qty_scale"] = (*qty_scale).into();
    }
    row
}

fn table(rows: &[Value]) -> String {
    const COLUMNS: [(&str, &str); 11] = [
        ("venue", "VENUE"),
        ("instrument", "INSTRUMENT"),
        ("symbol", "SYMBOL"),
        ("status", "STATUS"),
        ("kind", "KIND"),
        ("multiplier", "MULTIPLIER"),
        ("tick", "TICK"),
        ("step", "STEP"),
        ("qty_min", "MIN"),
        ("taker_fee_bps", "TAKER BPS"),
        ("funding_interval_hours", "FUNDING H"),
    ];
    let cell = |row: &Value, key: &str| match &row[key] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut lines = vec![COLUMNS.map(|(_, title)| title.to_owned()).to_vec()];
    lines.extend(rows.iter().map(|row| COLUMNS.map(|(key, _)| cell(row, key)).to_vec()));
    let widths: Vec<usize> =
        (0..COLUMNS.len()).map(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or(0)).collect();
    let padded = lines.iter().map(|line| {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    });
    padded.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::Venues;
    use crate::sim::SimConfig;

    fn args(venue: &str, http: &str, names: &[&str]) -> InstrumentsArgs {
        InstrumentsArgs {
            venue: Some(venue.to_owned()),
            config: None,
            http: Some(http.to_owned()),
            json: true,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn simulated_venues_state_their_instruments() {
        let dialects = ["binance-usdm", "binance-coinm", "okx", "hyperliquid"];
        let mut sim = SimConfig::demo(7, &dialects, 1).unwrap();
        sim.venues[0].funding_interval_ns = 4 * 3_600 * SECOND;
        let venues = Venues::start(sim, false).unwrap();
        let http = venues.addresses.http.clone();
        let ask = |at: usize, names: &[&str]| {
            let asks = asks(&args(dialects[at], &http[at], names), None).unwrap();
            query(&asks[0]).unwrap()
        };
        let rows = ask(0, &["BTCUSDT-PERP.BINANCE", "DOGE/USDT:USDT"]);
        assert_eq!((&rows[0]["symbol"], &rows[0]["tick"]), (&"BTCUSDT".into(), &"0.1".into()));
        assert_eq!(
            (&rows[0]["status"], &rows[0]["funding_interval_hours"]),
            (&"trading".into(), &4.0.into())
        );
        assert_eq!(rows[1]["status"], "unknown", "not listed there");
        assert_eq!(rows[0]["taker_fee_bps"], Value::Null, "the account's own fees are not public");
        let rows = ask(1, &["BTCUSD_PERP"]);
        assert_eq!((&rows[0]["kind"], &rows[0]["multiplier"]), (&"inverse".into(), &"100".into()));
        let rows = ask(2, &["BTC/USDT:USDT"]);
        assert_eq!((&rows[0]["symbol"], &rows[0]["multiplier"]), (&"BTC-USDT-SWAP".into(), &"0.01".into()));
        assert!(
            table(&rows).lines().nth(1).unwrap().starts_with("okx    BTC/USDT:USDT  BTC-USDT-SWAP  trading")
        );
        let rows = ask(3, &["BTC/USDC:USDC"]);
        assert_eq!(rows[0]["funding_interval_hours"], Value::from(1.0), "every hour, as the venue documents");
        venues.stop().unwrap();
        let refused = asks(&args("okx", &http[2], &["1000PEPE/USDT:USDT"]), None).err().unwrap().to_string();
        assert!(refused.contains("no venue"), "{refused}");
    }
}
