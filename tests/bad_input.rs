//! What venues should never send, and configurations that cannot work: the rest goes on, nothing is lost.

use crate::simulated::{START, TempDir, sim_config, simulation};
use perpring::core::pair::WhyNot;
use perpring::domain::input::Command;
use perpring::domain::instrument::VenueId;
use perpring::domain::money::Money;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, Nanos, SECOND};
use perpring::journal::{JournalOptions, Reader, Stream};
use perpring::replay::source::RunConfig;
use perpring::replay::verify::verify;
use perpring::sim::{HttpReply, HttpRequest, LedgerServer, Push, Server, SimConn, VenueLedger, server_at};
use perpring::stage::egress::{Credentials, Vault};
use perpring::stage::record::Recorder;
use perpring::stage::river::{Parts, River};
use perpring::topology::fused::Fused;
use perpring::topology::keeper::Keeper;
use perpring::topology::launch::manifest;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A simulated venue whose messages pass through `spoil` on their way out.
struct Spoilt<F> {
    inner: Box<dyn LedgerServer>,
    spoil: F,
}

impl<F: FnMut(Nanos, &mut Vec<Push>) + Send> Server for Spoilt<F> {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        self.inner.on_connect(conn, path, now, out)
    }
    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        self.inner.on_text(conn, text, now, out);
    }
    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        self.inner.on_closed(conn, now, out);
    }
    fn on_http(&mut self, request: &HttpRequest, now: Nanos, out: &mut Vec<Push>) -> HttpReply {
        self.inner.on_http(request, now, out)
    }
    fn advance(&mut self, now: Nanos, out: &mut Vec<Push>) {
        self.inner.advance(now, out);
        (self.spoil)(now, out);
    }
    fn next_due(&self) -> Nanos {
        self.inner.next_due()
    }
}

impl<F: FnMut(Nanos, &mut Vec<Push>) + Send> LedgerServer for Spoilt<F> {
    fn ledger(&self) -> &VenueLedger {
        self.inner.ledger()
    }
    fn ledger_mut(&mut self) -> &mut VenueLedger {
        self.inner.ledger_mut()
    }
}

#[test]
fn orders_that_nobody_answers_are_unknown_queried_and_settled_by_the_venues_word() {
    settles_what_a_mute_venue_did(1, &["\"op\":\"order\"", "\"channel\":\"orders\""]);
}

#[test]
fn fills_that_the_user_stream_lost_are_asked_for_and_booked() {
    settles_what_a_mute_venue_did(0, &["\"ORDER_TRADE_UPDATE\"", "\"TRADE_LITE\""]);
}

/// Venue `muted` (0 = Binance, 1 = OKX) pushes nothing that holds one of `signs` for half a minute.
fn settles_what_a_mute_venue_did(muted: usize, signs: &'static [&'static str]) {
    let sim = sim_config(7, &["binance-usdm", "okx"], |_| {});
    let params = world::engine_params(&sim, 7, world::demo_scan(), RiskParams::default());
    let config = RunConfig { trading: true, params };
    let parts = Parts::new(&config.params, true).expect("known dialects");
    let conns = parts.conns.clone();
    let engine = Fused::new(River::new(parts), Keeper::new(None));
    let spoil = move |now: Nanos, out: &mut Vec<Push>| {
        if (START + 15 * SECOND..START + 45 * SECOND).contains(&now) {
            out.retain(|push| {
                let Push::Text(_, text) = push else { return true };
                signs.iter().all(|sign| memchr::memmem::find(text, sign.as_bytes()).is_none())
            });
        }
    };
    let mute = Spoilt { inner: server_at(&sim, muted).expect("a valid world"), spoil };
    let other = server_at(&sim, 1 - muted).expect("a valid world");
    let servers: Vec<Box<dyn LedgerServer>> =
        if muted == 0 { vec![Box::new(mute), other] } else { vec![other, Box::new(mute)] };
    let vault = Vault::new(world::credentials(&sim));
    let mut simulation =
        Simulation::new(engine, servers, conns, vault, START, 100 * MICRO, config.to_bytes());
    simulation.run_for(60 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(20 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.unknown > 0, "{counts:?}");
    // What the venue's books say is what we hold: nothing was assumed.
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    for (index, server) in simulation.servers().iter().enumerate() {
        let ledger = server.ledger();
        let account = ledger.account_ids().next().expect("one account");
        let ours = positions.positions().filter(|row| row.instrument.venue.index() == index);
        let fees = ours.map(|row| row.position.fees).fold(Money::ZERO, |sum, fees| sum + fees);
        assert_eq!(fees, ledger.totals(account).fees, "{}", ledger.venue());
    }
    assert_eq!(simulation.engine().river().parts().risk.rules().open_orders(), 0);
}

const RUBBISH: [&str; 10] = [
    "{\"e\":\"bookTicker\",\"u\":1",
    "{\"e\":\"bookTicker\",\"u\":\"x\",\"s\":\"BTCUSDT\",\"b\":{},\"B\":[],\"a\":1,\"A\":null,\"T\":true,\"E\":0}",
    "{\"e\":\"somethingNew\",\"E\":1,\"s\":\"BTCUSDT\"}",
    "{\"e\":\"bookTicker\",\"u\":9,\"s\":\"NOPEUSDT\",\"b\":\"1\",\"B\":\"1\",\"a\":\"2\",\"A\":\"1\",\"T\":1,\"E\":1}",
    "{\"arg\":{\"channel\":\"books\",\"instId\":\"BTC-USDT-SWAP\"},\"action\":\"update\",\"data\":[{\"asks\":[[\"a\",\"b\"]]",
    "{\"arg\":{\"channel\":\"unheard-of\",\"instId\":\"BTC-USDT-SWAP\"},\"data\":[{}]}",
    "\u{0}\u{1}\u{2}\u{7f}",
    "[]",
    "null",
    "",
];

/// Puts rubbish behind every 97th message until `until`; every other time the true message is lost as well.
fn rubbish(until: Nanos) -> impl FnMut(Nanos, &mut Vec<Push>) + Send {
    const EVERY: usize = 97;
    let mut count = 0;
    move |now, out| {
        if now > until {
            return;
        }
        for push in std::mem::take(out) {
            count += 1;
            let number = count / EVERY;
            match push {
                Push::Text(conn, bytes) if count.is_multiple_of(EVERY) => {
                    if number.is_multiple_of(2) {
                        out.push(Push::Text(conn, bytes));
                    }
                    out.push(Push::Text(conn, RUBBISH[number % RUBBISH.len()].as_bytes().to_vec()));
                }
                other => out.push(other),
            }
        }
    }
}

#[test]
fn rubbish_on_the_wire_is_counted_quarantined_and_survived() {
    let dir = TempDir::new();
    let sim = sim_config(7, &["binance-usdm", "okx"], |_| {});
    let params = world::engine_params(&sim, 7, world::demo_scan(), RiskParams::default());
    let config = RunConfig { trading: true, params };
    let bytes = config.to_bytes();
    let options = JournalOptions { segment_bytes: 4 << 20, helper: false, ..JournalOptions::default() };
    let recorder =
        Recorder::create(dir.path(), &manifest(&bytes, START, Default::default()), &options).expect("fresh");
    let parts = Parts::new(&config.params, true).expect("known dialects");
    let conns = parts.conns.clone();
    let engine = Fused::new(River::new(parts), Keeper::new(Some(recorder)));
    let servers: Vec<Box<dyn LedgerServer>> = (0..2)
        .map(|venue| {
            let inner = server_at(&sim, venue).expect("a valid world");
            Box::new(Spoilt { inner, spoil: rubbish(START + 40 * SECOND) }) as Box<dyn LedgerServer>
        })
        .collect();
    let vault = Vault::new(world::credentials(&sim));
    let mut simulation = Simulation::new(engine, servers, conns, vault, START, 100 * MICRO, &bytes);
    simulation.run_for(40 * SECOND);
    let odd = simulation.engine().river().parts().decode.odd();
    println!("{odd:?}");
    assert!(odd.malformed > 10 && odd.unknown > 0, "{odd:?}");
    // Once the wire is clean again, everything recovers and trades.
    let before = *simulation.engine().keeper().watch().counts();
    simulation.run_for(80 * SECOND);
    let after = *simulation.engine().keeper().watch().counts();
    println!("{before:?}\n{after:?}");
    assert!(after.trades_opened > before.trades_opened, "trading goes on");
    crate::simulated::close(simulation);
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert_eq!(report.divergence, None);
}

#[test]
fn a_wrong_signature_stops_that_venue_and_nothing_else() {
    let sim = sim_config(7, &["binance-usdm", "okx"], |_| {});
    let params = world::engine_params(&sim, 7, world::demo_scan(), RiskParams::default());
    let config = RunConfig { trading: true, params };
    let parts = Parts::new(&config.params, true).expect("known dialects");
    let conns = parts.conns.clone();
    let engine = Fused::new(River::new(parts), Keeper::new(None));
    let servers = (0..2).map(|venue| server_at(&sim, venue).expect("a valid world")).collect();
    let mut credentials = world::credentials(&sim);
    if let Some(okx) = &mut credentials[1] {
        okx.secret = "not the secret".into();
    }
    let mut simulation = Simulation::new(
        engine,
        servers,
        conns,
        Vault::new(credentials),
        START,
        100 * MICRO,
        config.to_bytes(),
    );
    simulation.run_for(30 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert_eq!(counts.orders_sent, 0, "no order can be hedged there");
    assert!(counts.frames > 10_000, "{counts:?}");
    let parts = simulation.engine().river().parts();
    let held = |why| matches!(why, WhyNot::VenueHeld);
    assert!(parts.scan.scanner().views().any(|view| held(view.why)), "its account was never read back");
    assert!(!parts.risk.rules().start_gate().is_open(VenueId(1)));
    assert!(parts.risk.rules().start_gate().is_open(VenueId(0)), "the other one was");
    let odd = simulation.engine().river().parts().decode.odd();
    assert!(odd.refused > 0, "{odd:?}");
}

#[test]
fn with_three_venues_a_wrong_signature_at_one_leaves_the_others_trading() {
    let sim = sim_config(7, &["binance-usdm", "okx", "okx"], |_| {});
    let params = world::engine_params(&sim, 7, world::demo_scan(), RiskParams::default());
    let config = RunConfig { trading: true, params };
    let parts = Parts::new(&config.params, true).expect("known dialects");
    let conns = parts.conns.clone();
    let engine = Fused::new(River::new(parts), Keeper::new(None));
    let servers = (0..3).map(|venue| server_at(&sim, venue).expect("a valid world")).collect();
    let mut credentials = world::credentials(&sim);
    if let Some(third) = &mut credentials[2] {
        third.secret = "not the secret".into();
    }
    let vault = Vault::new(credentials);
    let mut simulation =
        Simulation::new(engine, servers, conns, vault, START, 100 * MICRO, config.to_bytes());
    simulation.run_for(40 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.trades_opened > 3 && counts.trades_closed > 3, "{counts:?}");
    assert!(simulation.engine().river().parts().decode.odd().refused > 0);
    let fills: Vec<usize> = simulation.servers().iter().map(|server| server.ledger().fills().len()).collect();
    assert!(fills[0] > 0 && fills[1] > 0 && fills[2] == 0, "{fills:?}");
}

/// The market data of one instrument at one venue turns into `garbage`; counts what was spoilt.
fn spoil_instrument(
    mark: &'static [u8],
    from: Nanos,
    until: Nanos,
    garbage: &'static [u8],
    spoilt: Arc<AtomicU64>,
) -> impl FnMut(Nanos, &mut Vec<Push>) + Send {
    move |now, out| {
        if !(from..until).contains(&now) {
            return;
        }
        for push in out {
            if let Push::Text(_, text) = push
                && memchr::memmem::find(text, mark).is_some()
                && memchr::memmem::find(text, b"\"channel\":\"b").is_some()
            {
                *text = garbage.to_vec();
                spoilt.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[test]
fn an_instrument_whose_messages_are_garbage_is_not_traded_and_the_others_are() {
    const GARBAGE: &[u8] =
        b"{\"arg\":{\"channel\":\"books\",\"instId\":\"BTC-USDT-SWAP\"},\"data\":[{\"asks\":7";
    let dir = TempDir::new();
    let sim = sim_config(7, &["binance-usdm", "okx"], |_| {});
    let params = world::engine_params(&sim, 7, world::demo_scan(), RiskParams::default());
    let config = RunConfig { trading: true, params };
    let bytes = config.to_bytes();
    let options = JournalOptions { segment_bytes: 4 << 20, helper: false, ..JournalOptions::default() };
    let recorder =
        Recorder::create(dir.path(), &manifest(&bytes, START, Default::default()), &options).expect("fresh");
    let parts = Parts::new(&config.params, true).expect("known dialects");
    let conns = parts.conns.clone();
    let engine = Fused::new(River::new(parts), Keeper::new(Some(recorder)));
    let (from, until) = (START + 15 * SECOND, START + 55 * SECOND);
    let spoilt = Arc::new(AtomicU64::new(0));
    let spoil = spoil_instrument(b"BTC-USDT-SWAP", from, until, GARBAGE, Arc::clone(&spoilt));
    let servers: Vec<Box<dyn LedgerServer>> = vec![
        server_at(&sim, 0).expect("a valid world"),
        Box::new(Spoilt { inner: server_at(&sim, 1).expect("a valid world"), spoil }),
    ];
    let vault = Vault::new(world::credentials(&sim));
    let mut simulation = Simulation::new(engine, servers, conns, vault, START, 100 * MICRO, &bytes);
    simulation.run_for(60 * SECOND);
    // What was open then is closed within the holding time; from there on only the other instrument trades.
    let quiet = from + 6 * SECOND..until;
    let mut fills = [0, 0];
    for server in simulation.servers() {
        for fill in server.ledger().fills().iter().filter(|fill| quiet.contains(&fill.at)) {
            fills[usize::from(fill.listing.0)] += 1;
        }
    }
    assert!(fills[0] == 0 && fills[1] > 0, "{fills:?}");
    // Every one of the bad messages is in the journal, and the run replays.
    crate::simulated::close(simulation);
    let mut reader = Reader::open(dir.path(), Stream::Inputs).expect("a journal");
    let mut recorded = 0;
    while let Some(record) = reader.next().expect("undamaged") {
        recorded += u64::from(record.body.ends_with(GARBAGE));
    }
    assert_eq!(recorded, spoilt.load(Ordering::Relaxed));
    assert!(recorded > 100, "{recorded}");
    assert_eq!(verify(dir.path(), &mut |_| {}).expect("a readable journal").divergence, None);
}

#[test]
fn canary_secrets_appear_nowhere() {
    let dir = TempDir::new();
    let sim = sim_config(7, &["binance-usdm", "okx", "bybit"], |config| {
        for venue in &mut config.venues {
            for account in &mut venue.accounts {
                account.api_key = "canary-api-key-1234567890".into();
                account.secret = "canary-secret-1234567890".into();
                account.passphrase = "canary-passphrase".into();
            }
        }
    });
    let (mut simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(30 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    assert!(counts.fills > 0, "the secrets were used: {counts:?}");
    crate::simulated::close(simulation);
    for entry in std::fs::read_dir(dir.path()).expect("the journal") {
        let path = entry.expect("readable").path();
        let bytes = std::fs::read(&path).expect("readable");
        let found = memchr::memmem::find(&bytes, b"canary");
        assert_eq!(found, None, "{} holds a secret", path.display());
    }
    // Listen keys, and a key that a venue repeats (Bybit): what was sent is blanked, and the stream's path
    // holds none.
    let mut reader = Reader::open(dir.path(), Stream::Inputs).expect("a journal");
    let mut blanked = [0; 2];
    while let Some(record) = reader.next().expect("undamaged") {
        for (count, key) in blanked.iter_mut().zip([&b"\"listenKey\":\""[..], b"\"apiKey\":\""]) {
            if let Some(at) = memchr::memmem::find(record.body, key) {
                let value = &record.body[at + key.len()..];
                let end = value.iter().position(|b| *b == b'"').expect("a closed string");
                assert!(end > 10 && value[..end].iter().all(|b| *b == b'x'), "a key was recorded");
                *count += 1;
            }
        }
    }
    assert!(blanked[0] > 0 && blanked[1] > 0, "{blanked:?}");
    // Nothing that holds a secret shows it when printed.
    let credentials =
        Credentials { api_key: "canary".into(), secret: "canary".into(), passphrase: "canary".into() };
    let shown = format!("{credentials:?} {:?}", Vault::new(vec![Some(credentials_copy(&credentials))]));
    assert!(!shown.contains("canary"), "{shown}");
}

fn credentials_copy(from: &Credentials) -> Credentials {
    Credentials {
        api_key: from.api_key.clone(),
        secret: from.secret.clone(),
        passphrase: from.passphrase.clone(),
    }
}
