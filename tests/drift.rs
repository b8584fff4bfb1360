//! The sentinel: a new field, an unknown value, an unknown type and another pace are reported by name with their
//! number; what the simulated venues and the captures hold is documented.

use crate::extras::{VENUES, record};
use crate::oracle::shared;
use crate::simulated::TempDir;
use perpring::cli::decode;
use perpring::core::sentinel::{Finding, What};
use perpring::domain::event::{EventBody, SessionRole};
use perpring::domain::input::{Command, ConnId, FrameKind, FrameMeta, Input, RawInput};
use perpring::domain::params::Extras;
use perpring::domain::standing::{Check, StartCheck};
use perpring::domain::time::Nanos;
use perpring::ops::drift::{DriftReport, sentence};
use perpring::ops::metrics::exposition;
use perpring::ops::view::{Names, View};
use perpring::replay::source::{Inputs, RunConfig};
use perpring::stage::decode::Decode;
use perpring::stage::river::Parts;
use perpring::venue::drift::channel_of;
use perpring::venue::shape::departures;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A decode stage in the middle of a run of all venues, and the last frame of every public channel.
struct World {
    decode: Decode,
    names: Names,
    /// Connections that carry no market data.
    private: Vec<ConnId>,
    /// The last message of OKX of an order of ours.
    order: Option<(FrameMeta, String)>,
    mono: Nanos,
    frames: BTreeMap<(String, String), (FrameMeta, String)>,
    /// The last message of every private channel that is documented.
    account: BTreeMap<(String, String), (FrameMeta, String)>,
}

impl World {
    fn new(venues: &[&str]) -> Self {
        let dir = TempDir::new();
        let (RunConfig { trading, params }, _) = record(dir.path(), venues, Extras::ALL);
        let Parts { mut decode, conns, .. } = Parts::new(&params, trading).expect("known dialects");
        let (names, mut frames, mut last, mut order) = (Names::of(&params), BTreeMap::new(), 0, None);
        let mut account = BTreeMap::new();
        let mut inputs = Inputs::open(dir.path()).expect("a journal");
        while let Some((_, raw)) = inputs.next().expect("undamaged") {
            last = raw.mono;
            let (seq, at) = decode.sequence(&raw);
            decode.on_input(&raw, seq, at, &mut |_| {});
            let Input::Frame(meta) = raw.input else { continue };
            let info = conns[meta.conn.index()];
            if memchr::memmem::find(raw.bytes, br#""channel":"orders","instType""#).is_some() {
                order = Some((meta, String::from_utf8_lossy(raw.bytes).into_owned()));
            }
            let venue = names.venue(info.venue);
            let shapes = perpring::venue::dialect(venue).expect("known").private_shapes();
            if info.role != SessionRole::Market
                && let Some((channel, _)) = departures(shapes, raw.bytes)
            {
                let text = String::from_utf8(raw.bytes.to_vec()).expect("text");
                account.insert((venue.to_owned(), channel.to_owned()), (meta, text));
            }
            if info.role == SessionRole::Market && meta.kind == FrameKind::Text {
                let text = String::from_utf8(raw.bytes.to_vec()).expect("text");
                let channel = String::from_utf8_lossy(channel_of(raw.bytes)).into_owned();
                frames.insert((names.venue(info.venue).to_owned(), channel), (meta, text));
            }
        }
        let private = (0..).map(ConnId).zip(&conns).filter(|(_, info)| info.role != SessionRole::Market);
        let private = private.map(|(conn, _)| conn).collect();
        Self { decode, names, private, order, mono: last, frames, account }
    }

    fn feed(&mut self, meta: FrameMeta, text: &str) {
        self.mono += 1_000;
        self.input(Input::Frame(meta), text);
    }

    /// Feeds an input; the checks of the start gate that it states.
    fn input(&mut self, input: Input, text: &str) -> Vec<StartCheck> {
        let raw = RawInput { mono: self.mono, input, bytes: text.as_bytes() };
        let (seq, at) = self.decode.sequence(&raw);
        let mut checks = Vec::new();
        self.decode.on_input(&raw, seq, at, &mut |event| {
            if let EventBody::Check(check) = event.body {
                checks.push(check);
            }
        });
        checks
    }

    /// The last frame of a channel.
    fn frame(&self, venue: &str, channel: &str) -> (FrameMeta, String) {
        let key = (venue.to_owned(), channel.to_owned());
        self.frames.get(&key).unwrap_or_else(|| panic!("{key:?} among {:?}", self.frames.keys())).clone()
    }

    /// Feeds the last frame of a channel with a change in it.
    fn feed_changed(&mut self, venue: &str, channel: &str, from: &str, to: &str) {
        let (meta, text) = self.frame(venue, channel);
        assert!(text.contains(from), "{from} in {text}");
        self.feed(meta, &text.replacen(from, to, 1));
    }

    fn findings(&self) -> &[Finding] {
        self.decode.sentinel().findings()
    }

    /// Venue, channel, kind, name, value and count of every finding.
    fn told(&self) -> Vec<String> {
        let reports = self.findings().iter().map(|finding| DriftReport::of(finding, &self.names));
        reports
            .map(|of| {
                format!("{} {} {} {} {} {}", of.venue, of.channel, of.kind, of.name, of.value, of.count)
            })
            .collect()
    }
}

/// Channels of the world's public frames that are rows of a market, not words of a session.
const MARKET: [(&str, &[&str]); 5] = [
    (
        "binance-usdm",
        &["24hrTicker", "aggTrade", "bookTicker", "depthUpdate", "forceOrder", "markPriceUpdate"],
    ),
    (
        "okx",
        &[
            "bbo-tbt",
            "books",
            "funding-rate",
            "index-tickers",
            "liquidation-orders",
            "mark-price",
            "open-interest",
            "price-limit",
            "tickers",
            "trades",
        ],
    ),
    ("bybit", &["allLiquidation", "orderbook", "priceLimit", "publicTrade", "tickers"]),
    ("deribit", &["book", "quote", "ticker", "trades"]),
    ("hyperliquid", &["activeAssetCtx", "bbo", "l2Book", "trades"]),
];

#[test]
fn simulated_venues_hold_to_their_documentation_and_a_new_field_is_named_in_every_channel() {
    let mut world = World::new(&VENUES);
    assert_eq!(world.told(), Vec::<String>::new());
    let mut expected = Vec::new();
    for (venue, channels) in MARKET {
        for channel in channels {
            let (meta, text) = world.frame(venue, channel);
            // Into the row; Binance's messages are rows themselves.
            let at =
                ["\"data\":[{", "\"data\":{"].iter().find_map(|at| text.find(at).map(|from| from + at.len()));
            let at = at.unwrap_or(1);
            world.feed(meta, &format!("{}\"fresh\":{{\"a\":[1]}},{}", &text[..at], &text[at..]));
            world.feed(meta, &text);
            expected.push(format!("{venue} {channel} field fresh  1"));
        }
    }
    assert_eq!(world.told(), expected);
    assert!(
        world.findings().iter().all(|finding| finding.sample().windows(7).any(|part| part == b"\"fresh\""))
    );
    // Again and again, and at the end of the envelope: the same names, counted.
    for _ in 0..5 {
        let (meta, text) = world.frame("okx", "trades");
        world.feed(meta, &text.replacen("\"px\"", "\"fresh\":0,\"px\"", 1));
        let (meta, text) = world.frame("deribit", "quote");
        world.feed(meta, &format!("{},\"fresh\":0}}", text.trim_end().strip_suffix('}').expect("an object")));
    }
    let of = |venue: &str, channel: &str| {
        let start = format!("{venue} {channel} ");
        world.told().into_iter().find(|told| told.starts_with(&start)).expect("found before")
    };
    assert_eq!(of("okx", "trades"), "okx trades field fresh  6");
    assert_eq!(of("deribit", "quote"), "deribit quote field fresh  6");
}

#[test]
fn single_letters_and_several_new_fields_at_once_are_named() {
    let mut world = World::new(&["binance-usdm", "okx"]);
    world.feed_changed("binance-usdm", "aggTrade", "\"p\":", "\"Z\":\"Z\",\"zz\":1,\"p\":");
    world.feed_changed("binance-usdm", "forceOrder", "\"ap\":", "\"k\":7,\"ap\":");
    world.feed_changed(
        "okx",
        "tickers",
        "\"last\":",
        "\"n1\":1,\"n2\":2,\"n3\":3,\"n4\":4,\"n5\":5,\"last\":",
    );
    world.feed_changed("okx", "tickers", "\"arg\":", "\"n6\":1,\"arg\":");
    let fields = |channel: &str| -> Vec<String> {
        let of = world.findings().iter().filter(|finding| finding.key.channel.as_str() == channel);
        let mut names: Vec<String> = of.map(|finding| finding.key.name.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(fields("aggTrade"), ["Z", "zz"]);
    assert_eq!(fields("forceOrder"), ["k"]);
    assert_eq!(
        fields("tickers"),
        ["n1", "n2", "n3", "n4", "n6"],
        "four of one frame; the fifth once these are known"
    );
}

#[test]
fn unknown_values_and_types_are_named() {
    let mut world = World::new(&["okx", "deribit"]);
    for _ in 0..3 {
        world.feed_changed("okx", "trades", "\"side\":\"", "\"side\":\"un");
        world.feed_changed("deribit", "ticker", "\"state\":\"open\"", "\"state\":\"frozen\"");
    }
    world.feed_changed("okx", "mark-price", "\"channel\":\"mark-price\"", "\"channel\":\"fair-price\"");
    world.feed_changed("deribit", "quote", "\"best_bid_price\"", "\"bid_price\"");
    world.feed_changed("deribit", "trades", "\"trade_id\"", "\"match_id\"");
    let told = world.told();
    for expected in [
        "okx trades broken side  3",
        "deribit ticker value state frozen 3",
        "okx fair-price type fair-price  1",
        "deribit quote field bid_price  1",
        "deribit trades broken trade_id  1",
    ] {
        assert!(told.iter().any(|told| told == expected), "{expected} in {told:?}");
    }
    assert_eq!(told.len(), 5, "{told:?}");
    // Damage is no drift.
    let (meta, text) = world.frame("okx", "trades");
    world.feed(meta, &text[..text.len() / 2]);
    assert_eq!(world.told(), told);
    // What people and monitors see of it.
    let view = View {
        names: Arc::new(world.names.clone()),
        drift: world.findings().to_vec(),
        drift_kinds: world.decode.sentinel().kinds(),
        ..View::default()
    };
    let page = exposition(&view);
    for row in [
        "perpring_drift_total{kind=\"broken\"} 4",
        "perpring_drift_finding_total{venue=\"deribit\",channel=\"ticker\",kind=\"value\",name=\"state\",value=\"frozen\"} 3",
    ] {
        assert!(page.contains(row), "{row} is not in {page}");
    }
    let side = world.findings().iter().find(|finding| finding.key.name.as_str() == "side").expect("told");
    let sentence = sentence(side, &world.names);
    assert!(
        sentence.starts_with("drift: okx trades: the field `side` is missing or cannot be read"),
        "{sentence}"
    );
    assert!(sentence.contains("\"side\":\"un"), "{sentence}");
}

/// Private channels, and a field of each whose values are of a list.
const ACCOUNT: [(&str, &[(&str, &str)]); 5] = [
    ("binance-usdm", &[("ACCOUNT_UPDATE", "ps"), ("ORDER_TRADE_UPDATE", "X"), ("TRADE_LITE", "S")]),
    (
        "bybit",
        &[
            ("execution", "execType"),
            ("order", "orderStatus"),
            ("position", "side"),
            ("wallet", "accountType"),
        ],
    ),
    (
        "deribit",
        &[
            ("user.changes", "kind"),
            ("user.orders", "order_state"),
            ("user.portfolio", "margin_model"),
            ("user.trades", "liquidity"),
        ],
    ),
    ("hyperliquid", &[("orderUpdates", "status"), ("userFills", "side"), ("userFundings", "")]),
    ("okx", &[("account", ""), ("orders", "state"), ("positions", "mgnMode")]),
];

/// What a test writes where an account's data would stand.
const SECRET: &str = "hunter";

#[test]
fn a_new_field_and_an_unknown_value_of_every_private_channel_are_named_and_nothing_else_of_them_is() {
    let mut world = World::new(&VENUES);
    assert_eq!(world.told(), Vec::<String>::new());
    let channels: Vec<(&str, &str)> = world.account.keys().map(|(venue, name)| (&**venue, &**name)).collect();
    let listed: Vec<(&str, &str)> =
        ACCOUNT.iter().flat_map(|(venue, names)| names.iter().map(|(name, _)| (*venue, *name))).collect();
    assert_eq!(channels, listed);
    let mut expected = Vec::new();
    for (venue, channels) in ACCOUNT {
        for (channel, field) in channels {
            let (meta, text) = world.account[&(venue.to_owned(), (*channel).to_owned())].clone();
            let rows = ["\"data\":[{", "\"data\":{", "\"o\":{", "\"a\":{"];
            let at = rows.iter().find_map(|row| text.find(row).map(|from| from + row.len())).unwrap_or(1);
            world.feed(
                meta,
                &format!("{}\"fresh\":{{\"{SECRET}\":[\"{SECRET}\"]}},{}", &text[..at], &text[at..]),
            );
            expected.push(format!("{venue} {channel} field fresh  1"));
            if field.is_empty() {
                continue;
            }
            let key = format!("\"{field}\":\"");
            // Of `S` and the like there may be several: the last one is of the innermost row.
            let from = text.rfind(&key).unwrap_or_else(|| panic!("{key} in {text}")) + key.len();
            let until = from + text[from..].find('"').expect("its end");
            for _ in 0..2 {
                world.feed(meta, &format!("{}{SECRET}{}", &text[..from], &text[until..]));
            }
            expected.push(format!("{venue} {channel} value {field}  2"));
        }
    }
    assert_eq!(world.told(), expected);
    assert!(world.findings().iter().all(|finding| finding.sample().is_empty()));
    // A key that may be data has no name.
    let (meta, text) = world.account[&("okx".to_owned(), "orders".to_owned())].clone();
    world.feed(meta, &text.replacen("\"data\":[{", "\"data\":[{\"1234567890\":1,", 1));
    assert!(world.told().contains(&"okx orders field ?  1".to_owned()), "{:?}", world.told());
    let view = View {
        names: Arc::new(world.names.clone()),
        drift: world.findings().to_vec(),
        drift_kinds: world.decode.sentinel().kinds(),
        ..View::default()
    };
    let sentences =
        world.findings().iter().map(|finding| sentence(finding, &world.names)).collect::<String>();
    let page = exposition(&view) + &sentences;
    assert!(page.contains("name=\"fresh\"") && !page.contains(SECRET) && !page.contains("1234567890"));
}

#[test]
fn every_dialect_lists_what_its_private_channels_hold_and_captures_hold_nothing_else() {
    for dialect in ["binance-usdm", "binance-coinm", "aster", "okx", "bybit", "deribit", "hyperliquid"] {
        let shapes = perpring::venue::dialect(dialect).expect("a dialect").private_shapes();
        assert!(!shapes.is_empty(), "{dialect}");
        if !CAPTURED.contains(&dialect) {
            continue;
        }
        for path in corpus(dialect) {
            let text = std::fs::read(&path).unwrap_or_default();
            for frame in text.split(|byte| *byte == b'\n').chain([&text[..]]) {
                let Some((channel, marks)) = departures(shapes, frame) else { continue };
                let odd: Vec<_> = marks.of(frame).map(|(_, mark)| format!("{mark:?}")).collect();
                assert!(odd.is_empty(), "{}: {channel}: {odd:?}", path.display());
            }
        }
    }
}

#[test]
fn no_value_of_a_private_message_is_told_or_sampled() {
    let mut world = World::new(&["okx", "bybit"]);
    let private = world.private.clone();
    assert_eq!(private.len(), 4, "account and orders of both");
    let mut fields = 0;
    for conn in private {
        for epoch in 0..4 {
            let meta = FrameMeta { conn, epoch, last: true, ..FrameMeta::default() };
            world.feed(meta, r#"{"arg":{"channel":"secret-channel"},"data":[{"secret":"hunter2"}]}"#);
            world.feed(meta, r#"{"event":"error","code":"hunter2","topic":"order","id":7}"#);
            fields = world.told().len();
        }
    }
    let named = ["bybit order field event ", "bybit order field code "];
    assert!(fields == 2 && world.told().iter().all(|told| named.iter().any(|name| told.starts_with(name))));
    assert!(world.findings().iter().all(|finding| finding.sample().is_empty()));
}

#[test]
fn half_the_pace_of_a_channel_is_told() {
    let mut world = World::new(&["binance-usdm", "okx"]);
    let (meta, text) = world.frame("binance-usdm", "markPriceUpdate");
    let from = text.find("\"E\":").expect("a time") + 4;
    let until = from + text[from..].find(',').expect("more fields");
    let mut time: i64 = text[from..until].parse().expect("milliseconds");
    let mut run = |world: &mut World, count: u32, interval: i64| {
        for _ in 0..count {
            time += interval;
            world.feed(meta, &format!("{}{time}{}", &text[..from], &text[until..]));
        }
    };
    run(&mut world, 256 * 18, 1_000);
    assert_eq!(world.told(), Vec::<String>::new());
    run(&mut world, 256 * 5, 2_000);
    let [finding] = world.findings() else { panic!("{:?}", world.told()) };
    assert_eq!((finding.key.what, finding.key.channel.as_str()), (What::Cadence, "mark"));
    let [before, now] = finding.pace.map(|ns| ns / 1_000_000);
    assert!((930..=1_070).contains(&before) && (1_860..=2_140).contains(&now), "{before} {now}");
}

/// Venues with captures.
const CAPTURED: [&str; 5] = ["binance-usdm", "okx", "bybit", "deribit", "hyperliquid"];

/// Every capture and payload of a venue.
fn corpus(folder: &str) -> Vec<PathBuf> {
    let Some(shared) = shared() else { return Vec::new() };
    let mut found = Vec::new();
    let mut folders = vec![shared.join("corpus").join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() {
                // Documentation examples and tests of other projects prove nothing of the wire.
                folders.extend((name != "fixtures").then_some(path));
            } else if !name.ends_with(".md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// What the captures hold beyond the lists; docs/VENUES.md explains it.
const EXPLAINED: [&str; 0] = [];

#[test]
fn captures_hold_nothing_that_is_not_listed() {
    for folder in CAPTURED {
        let (mut coinm, mut usual): (Vec<PathBuf>, Vec<PathBuf>) = (Vec::new(), Vec::new());
        for path in corpus(folder) {
            let of_coinm = path.to_string_lossy().contains("coinm");
            if of_coinm { coinm.push(path) } else { usual.push(path) }
        }
        for (venue, files) in [(folder, usual), ("binance-coinm", coinm)] {
            if files.is_empty() {
                continue;
            }
            let (mut out, mut err) = (Vec::new(), Vec::new());
            decode::run(venue, &files, false, true, &mut out, &mut err).expect("readable");
            let last = out.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().expect("a summary");
            let summary: serde_json::Value = serde_json::from_slice(last).expect("an object");
            let found = summary["undocumented"].as_object().expect("by name");
            let unexplained: Vec<_> =
                found.iter().filter(|(name, _)| !EXPLAINED.contains(&name.as_str())).collect();
            assert!(unexplained.is_empty(), "{venue}: {unexplained:?}");
        }
    }
}

#[test]
fn a_message_of_our_account_of_an_unknown_kind_is_set_aside_and_closes_its_venue_until_the_operator_resumes()
{
    let mut world = World::new(&["binance-usdm", "okx"]);
    let (meta, text) = world.order.clone().expect("an order of ours");
    let from = text.find("\"state\":\"").expect("the state of an order") + "\"state\":\"".len();
    let until = from + text[from..].find('"').expect("its end");
    let strange = format!("{}exploded{}", &text[..from], &text[until..]);
    for count in 1..=2 {
        let checks = world.input(Input::Frame(meta), &strange);
        let [check] = checks[..] else { panic!("{checks:?}") };
        assert_eq!((check.venue.0, check.check, check.passed), (1, Check::Executions, false));
        assert_eq!((check.stated, check.wanted), (count, 0));
    }
    assert_eq!(world.decode.odd().executions, 2, "people see the number");
    assert!(world.input(Input::Frame(meta), &text).is_empty(), "a message that is understood opens nothing");
    let checks = world.input(Input::Command(Command::Resume), "");
    assert_eq!(checks.iter().map(|check| (check.venue.0, check.passed)).collect::<Vec<_>>(), [(1, true)]);
    assert!(world.input(Input::Command(Command::Resume), "").is_empty());
}
