//! A kill while the river is stuck: the kill threads cancel what rests at real sockets of simulated venues.
#![allow(clippy::disallowed_methods)] // signs and waits like any client

use crate::simulated::TempDir;
use perpring::cli::demo::{Venues, plan};
use perpring::domain::effect::{HoleKind, OutMsg, Payload, SignScheme};
use perpring::domain::event::{Event, Seq};
use perpring::domain::input::{Command, InputClass, RawInput, Scope};
use perpring::domain::intent::{Denial, Intent, NearMiss};
use perpring::domain::output::OutputKey;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{Nanos, Stamp};
use perpring::net::http::HttpClient;
use perpring::ops::view::Board;
use perpring::replay::source::RunConfig;
use perpring::runtime::clock::ClockOrigin;
use perpring::runtime::idle::IdleMode;
use perpring::sim::config::SimConfig;
use perpring::stage::egress::{KillLatch, Vault};
use perpring::stage::errand::{Errands, perform};
use perpring::stage::gateway::{Gateway, Orders};
use perpring::stage::river::{Parts, Tap};
use perpring::topology::kill::{KILL_FILE, Killers};
use perpring::topology::probe::Probe;
use perpring::topology::threaded::record::Chores;
use perpring::topology::threaded::{Feed, Sizes, start_sized};
use perpring::topology::world;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A recorder that hangs when told to: everything behind it fills up and stands still.
#[derive(Default)]
struct Hanging {
    hang: Arc<AtomicBool>,
    inputs: Arc<AtomicU64>,
}

impl Tap for Hanging {
    fn input(&mut self, _: Seq, _: Stamp, _: InputClass, _: &RawInput<'_>) {
        self.inputs.fetch_add(1, Ordering::AcqRel);
        while self.hang.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    }
    fn event(&mut self, _: &Event) {}
    fn intent(&mut self, _: OutputKey, _: &Intent) {}
    fn approved(&mut self, _: OutputKey, _: &Intent) {}
    fn denied(&mut self, _: OutputKey, _: &Denial) {}
    fn message(&mut self, _: OutputKey, _: &OutMsg) {}
    fn near_miss(&mut self, _: OutputKey, _: &NearMiss) {}
    fn state(&mut self, _: OutputKey, _: u64) {}
    fn end(&mut self, _: Seq) {}
}

impl Chores for Hanging {
    fn publish(&mut self, _: &mut Probe, _: Nanos, _: &Board) {}
}

const VENUES: [&str; 4] = ["binance-usdm", "okx", "bybit", "hyperliquid"];

struct Client {
    http: HttpClient,
    vault: Vault,
    bases: Vec<String>,
}

impl Client {
    fn ask(&mut self, venue: usize, payload: &Payload) -> serde_json::Value {
        let mut sealed = Vec::new();
        self.vault.seal(venue, payload, &mut sealed).expect("credentials");
        let reply = perform(&self.http, &self.bases[venue], &sealed).expect("a reply");
        let (status, body) = (reply.status, reply.body);
        let body = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(status, 200, "{body}");
        body
    }

    fn plain(&mut self, venue: usize, path: &str) -> serde_json::Value {
        let mut payload = Payload::new();
        write!(payload, "GET {path}\n\n").expect("short");
        self.ask(venue, &payload)
    }

    fn binance(&mut self, method: &str, path: &str, query: &str) -> serde_json::Value {
        let mut payload = Payload::new();
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let text = format!("{query}timestamp={ms}");
        write!(payload, "{method} {path}?{text}&signature=").expect("short");
        payload.push_hole(HoleKind::Signature).expect("short");
        payload.push(b"\nX-MBX-APIKEY: ").expect("short");
        payload.push_hole(HoleKind::ApiKey).expect("short");
        payload.push(b"\n\n").expect("short");
        payload.push_sign(text.as_bytes()).expect("short");
        payload.scheme = SignScheme::HmacSha256Hex;
        self.ask(0, &payload)
    }

    fn okx(&mut self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let mut payload = Payload::new();
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let stamp = format!("{}.{:03}", ms / 1000, ms % 1000);
        let stamp = iso(&stamp);
        write!(payload, "{method} {path}\nOK-ACCESS-KEY: ").expect("short");
        payload.push_hole(HoleKind::ApiKey).expect("short");
        payload.push(b"\nOK-ACCESS-SIGN: ").expect("short");
        payload.push_hole(HoleKind::Signature).expect("short");
        write!(payload, "\nOK-ACCESS-TIMESTAMP: {stamp}\nOK-ACCESS-PASSPHRASE: ").expect("short");
        payload.push_hole(HoleKind::Passphrase).expect("short");
        write!(payload, "\nContent-Type: application/json\n\n{body}").expect("short");
        payload.push_sign(format!("{stamp}{method}{path}{body}").as_bytes()).expect("short");
        payload.scheme = SignScheme::HmacSha256Base64;
        self.ask(1, &payload)
    }

    fn deribit(&mut self, target: &str) -> serde_json::Value {
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let mut payload = Payload::new();
        write!(payload, "GET {target}\nAuthorization: deri-hmac-sha256 id=").expect("short");
        payload.push_hole(HoleKind::ApiKey).expect("short");
        write!(payload, ",ts={ms},nonce=n,sig=").expect("short");
        payload.push_hole(HoleKind::Signature).expect("short");
        payload.push(b"\n\n").expect("short");
        payload.push_sign(format!("{ms}\nn\nGET\n{target}\n\n").as_bytes()).expect("short");
        payload.scheme = SignScheme::HmacSha256Hex;
        self.ask(0, &payload)
    }

    fn hyperliquid(&mut self, payload: &Payload) -> serde_json::Value {
        self.ask(3, payload)
    }

    /// Places a limit order that rests: JSON for the venue, MessagePack for the signature.
    fn hyperliquid_order(&mut self, asset: u8, price: &str, size: &str, nonce: u64) -> serde_json::Value {
        let mut payload = Payload::new();
        payload.push(b"POST /exchange\nContent-Type: application/json\n\n").expect("short");
        write!(
            payload,
            "{{\"action\":{{\"type\":\"order\",\"orders\":[{{\"a\":{asset},\"b\":true,\"p\":\"{price}\",\"s\":\"{size}\",\
             \"r\":false,\"t\":{{\"limit\":{{\"tif\":\"Gtc\"}}}}}}],\"grouping\":\"na\"}},\"nonce\":{nonce},\"signature\":"
        )
        .expect("short");
        payload.push_hole(HoleKind::Signature).expect("short");
        payload.push(b",\"vaultAddress\":null}").expect("short");
        let text = |text: &str| [&[0xa0 | text.len() as u8], text.as_bytes()].concat();
        let parts = [
            vec![0x83],
            text("type"),
            text("order"),
            text("orders"),
            vec![0x91, 0x86],
            text("a"),
            vec![asset],
            text("b"),
            vec![0xc3],
            text("p"),
            text(price),
            text("s"),
            text(size),
            text("r"),
            vec![0xc2],
            text("t"),
            vec![0x81],
            text("limit"),
            vec![0x81],
            text("tif"),
            text("Gtc"),
            text("grouping"),
            text("na"),
            nonce.to_be_bytes().to_vec(),
            vec![0],
        ];
        payload.push_sign(&parts.concat()).expect("short");
        payload.scheme = SignScheme::AgentMainnet;
        self.hyperliquid(&payload)
    }

    fn bybit(&mut self, method: &str, path: &str, signed: &str) -> serde_json::Value {
        let mut payload = Payload::new();
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let (query, body) =
            if method == "GET" { (format!("?{signed}"), "") } else { (String::new(), signed) };
        write!(payload, "{method} {path}{query}\nX-BAPI-API-KEY: ").expect("short");
        payload.push_hole(HoleKind::ApiKey).expect("short");
        write!(payload, "\nX-BAPI-TIMESTAMP: {ms}\nX-BAPI-RECV-WINDOW: 5000\nX-BAPI-SIGN: ").expect("short");
        payload.push_hole(HoleKind::Signature).expect("short");
        write!(payload, "\nContent-Type: application/json\n\n{body}").expect("short");
        payload.push_sign(ms.to_string().as_bytes()).expect("short");
        payload.push_sign_hole(HoleKind::ApiKey).expect("short");
        payload.push_sign(format!("5000{signed}").as_bytes()).expect("short");
        payload.scheme = SignScheme::HmacSha256Hex;
        self.ask(2, &payload)
    }

    /// Open orders at the venues, as they say themselves.
    fn open(&mut self) -> [usize; 4] {
        let mut payload = Payload::new();
        payload
            .push(b"POST /info\nContent-Type: application/json\n\n{\"type\":\"openOrders\",\"user\":\"")
            .expect("short");
        payload.push_hole(HoleKind::ApiKey).expect("short");
        payload.push(b"\"}").expect("short");
        let hyperliquid = self.hyperliquid(&payload);
        let binance = self.binance("GET", "/fapi/v1/openOrders", "");
        let okx = self.okx("GET", "/api/v5/trade/orders-pending?instType=SWAP", "");
        let bybit = self.bybit("GET", "/v5/order/realtime", "category=linear&settleCoin=USDT&limit=50");
        let count = |list: &serde_json::Value| list.as_array().expect("a list").len();
        [count(&binance), count(&okx["data"]), count(&bybit["result"]["list"]), count(&hyperliquid)]
    }
}

/// `2020-12-08T09:08:57.715Z` of seconds with milliseconds.
fn iso(seconds: &str) -> String {
    let out = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%S.%3NZ"])
        .output()
        .expect("date");
    String::from_utf8(out.stdout).expect("ASCII").trim().to_owned()
}

#[test]
fn a_kill_cancels_what_rests_at_every_venue_while_the_river_is_stuck() {
    let dir = TempDir::new();
    std::fs::create_dir_all(dir.path()).expect("temporary disk");
    let venues =
        Venues::start(SimConfig::demo(7, &VENUES, 2).expect("a world"), false).expect("venues on loopback");
    let params = world::engine_params(&venues.config, 7, world::demo_scan(), RiskParams::default());
    let config = RunConfig { trading: true, params };
    let (board, latch) = (Board::default(), Arc::new(KillLatch::default()));
    let credentials = world::credentials(&venues.config);
    let killers = Killers::start(
        &config.params,
        &venues.addresses,
        &credentials,
        &venues.trust,
        &latch,
        Some(dir.path()),
        &board,
    )
    .expect("threads");

    // An engine whose recorder hangs, and with it everything: gateway and decode share a thread.
    let tls = venues.trust.client_config().expect("roots");
    let client = HttpClient::new(&venues.trust, Duration::from_secs(5));
    let errands = Errands::start(tls, vec![client.clone()], Vec::new()).expect("threads");
    let parts = Parts::new(&config.params, true).expect("known dialects");
    let gateway = Gateway::new(
        &parts.conns,
        &venues.addresses,
        errands,
        Vault::new(credentials.clone()),
        Arc::clone(&latch),
        Orders::Live,
    )
    .expect("a poll");
    let tap = Hanging::default();
    let (hang, inputs) = (Arc::clone(&tap.hang), Arc::clone(&tap.inputs));
    let (commands, received) = mpsc::channel();
    let feed =
        Feed::Live { gateway, commands: (commands.clone(), received), opening: config.to_bytes().into() };
    let plan = plan(Some("split"), Some(IdleMode::Yield)).expect("yielding threads fit anywhere");
    let sizes = Sizes { fan: 64, ..Sizes::default() };
    let origin = ClockOrigin::begin();
    let threaded = start_sized(&plan, parts, feed, tap, origin, &board, sizes).expect("threads");
    let deadline = Instant::now() + Duration::from_secs(60);
    while inputs.load(Ordering::Acquire) < 100 {
        assert!(Instant::now() < deadline, "the engine reads the market");
        std::thread::yield_now();
    }
    hang.store(true, Ordering::Release);

    // Orders that rest far below the market: 30 at OKX, more than one batch.
    let mut client =
        Client { http: client, vault: Vault::new(credentials), bases: venues.addresses.http.clone() };
    let symbol = |venue: usize| venues.config.venues[venue].listings[0].symbol.clone();
    let [ours, theirs, third] = [0, 1, 2].map(symbol);
    let price = client.plain(0, &format!("/fapi/v1/ticker/price?symbol={ours}"));
    let price: f64 = price["price"].as_str().expect("text").parse().expect("a price");
    let price = (price * 0.97).floor();
    let before = client.open();
    for _ in 0..3 {
        let query = format!("symbol={ours}&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.05&price={price}&");
        client.binance("POST", "/fapi/v1/order", &query);
    }
    for _ in 0..30 {
        let body = format!(
            "{{\"instId\":\"{theirs}\",\"tdMode\":\"cross\",\"side\":\"buy\",\"ordType\":\"limit\",\"px\":\"{price}\",\"sz\":\"1\"}}"
        );
        let reply = client.okx("POST", "/api/v5/trade/order", &body);
        assert_eq!(reply["code"], "0", "{reply}");
    }
    for _ in 0..7 {
        let body = format!(
            "{{\"category\":\"linear\",\"symbol\":\"{third}\",\"side\":\"Buy\",\"orderType\":\"Limit\",\"qty\":\"0.01\",\"price\":\"{price}\",\"timeInForce\":\"GTC\"}}"
        );
        let reply = client.bybit("POST", "/v5/order/create", &body);
        assert_eq!(reply["retCode"], 0, "{reply}");
    }
    let asset = venues.config.venues[3].listings[0].code as u8;
    let nonce = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    for more in 0..20 {
        let reply = client.hyperliquid_order(asset, &price.to_string(), "0.01", nonce - 1_000 + more);
        let status = &reply["response"]["data"]["statuses"][0];
        assert!(status["resting"]["oid"].is_u64(), "{reply}");
    }
    let after = client.open();
    assert_eq!(after, [before[0] + 3, before[1] + 30, before[2] + 7, before[3] + 20], "they rest");

    // The river hears nothing: it is stuck. The threads do it by themselves.
    let stuck_at = inputs.load(Ordering::Acquire);
    latch.kill();
    killers.wake();
    commands.send(Command::Kill(Scope::Global)).expect("the engine lives");
    let record = || std::fs::read_to_string(dir.path().join(KILL_FILE)).unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(30);
    while record().matches("\"clear\"").count() < VENUES.len() {
        assert!(Instant::now() < deadline, "cancelled by itself:\n{}", record());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(client.open(), [0; VENUES.len()], "the venues say so themselves");
    assert_eq!(inputs.load(Ordering::Acquire), stuck_at, "the river stood still all the time");
    hang.store(false, Ordering::Release);
    killers.end();
    let ended = threaded.end();
    assert_eq!(ended.failure, None);
    let record = record();
    for venue in VENUES {
        let clear = |line: &&str| line.contains(venue) && line.contains("\"verdict\":\"clear\"");
        assert_eq!(record.lines().filter(clear).count(), 1, "{record}");
    }
    assert!(!record.contains("signature") && !record.contains("timestamp"), "{record}");
    let notes = board.read().notes.join("\n");
    assert_eq!(notes.matches("the venue has no open order").count(), VENUES.len(), "{notes}");
    venues.stop().expect("venues stop");
}

/// Without a river at all: the request that cancels everything, and the list that proves it.
#[test]
fn a_kill_cancels_what_rests_at_deribit() {
    let dir = TempDir::new();
    std::fs::create_dir_all(dir.path()).expect("temporary disk");
    let venues = Venues::start(SimConfig::demo(7, &["deribit"], 2).expect("a world"), false)
        .expect("a venue on loopback");
    let params = world::engine_params(&venues.config, 7, world::demo_scan(), RiskParams::default());
    let (board, latch) = (Board::default(), Arc::new(KillLatch::default()));
    let credentials = world::credentials(&venues.config);
    let killers = Killers::start(
        &params,
        &venues.addresses,
        &credentials,
        &venues.trust,
        &latch,
        Some(dir.path()),
        &board,
    )
    .expect("threads");
    let http = HttpClient::new(&venues.trust, Duration::from_secs(5));
    let mut client =
        Client { http, vault: Vault::new(credentials.clone()), bases: venues.addresses.http.clone() };
    let symbol = venues.config.venues[0].listings[0].symbol.clone();
    let ticker = client.plain(0, &format!("/api/v2/public/ticker?instrument_name={symbol}"));
    let price = (ticker["result"]["mark_price"].as_f64().expect("a price") * 0.97).floor();
    for _ in 0..3 {
        let order = format!("instrument_name={symbol}&amount=0.05&type=limit&price={price}");
        let reply = client.deribit(&format!("/api/v2/private/buy?{order}"));
        assert_eq!(reply["result"]["order"]["order_state"], "open", "{reply}");
    }
    let open = |client: &mut Client| {
        client.deribit("/api/v2/private/get_open_orders")["result"].as_array().expect("a list").len()
    };
    assert_eq!(open(&mut client), 3, "they rest");
    latch.kill();
    killers.wake();
    let record = || std::fs::read_to_string(dir.path().join(KILL_FILE)).unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !record().contains("\"verdict\":\"clear\"") {
        assert!(Instant::now() < deadline, "cancelled by itself:\n{}", record());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(open(&mut client), 0, "the venue says so itself");
    killers.end();
    let record = record();
    assert!(record.contains("\"request\":\"GET /api/v2/private/cancel_all\""), "{record}");
    let secrets = credentials[0].as_ref().expect("an account");
    for secret in [secrets.api_key.as_str(), secrets.secret.as_str(), "deri-hmac"] {
        assert!(!record.contains(secret), "{record}");
    }
    assert!(
        board.read().notes.iter().any(|note| note.contains("deribit: killed, the venue has no open order"))
    );
    venues.stop().expect("the venue stops");
}
