//! The whole engine, in one process under one simulated clock, trades between Binance and Deribit: its books equal
//! the venues' own to the last unit, no token enters the journal, and a replay gives the same outputs.

use crate::safety::findings;
use crate::simulated::{START, TempDir, assembled, sim_config, simulation};
use perpring::core::pair::WhyNot;
use perpring::domain::effect::{MessageId, OutMeta, Payload, Target};
use perpring::domain::event::Seq;
use perpring::domain::input::{Command, ConnId, Scope};
use perpring::domain::instrument::{Price, VenueId};
use perpring::domain::money::Money;
use perpring::domain::order::{ClientId, OrderSpec, Side, TimeInForce};
use perpring::domain::params::{EngineParams, RiskParams, ScanParams};
use perpring::domain::standing::Check;
use perpring::domain::time::{MICRO, MILLI, SECOND, Stamp};
use perpring::journal::{Reader, Stream};
use perpring::replay::verify::verify;
use perpring::sim::{HttpRequest, LedgerServer, SimAccountSettings, SimConfig, SimConn, server_at};
use perpring::stage::egress::Vault;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use perpring::venue::{Rendered, dialect};
use std::path::Path;

const BOTH: [&str; 2] = ["binance-usdm", "deribit"];

/// Values of `key` in everything that was recorded.
fn recorded_values(dir: &Path, key: &str) -> Vec<Vec<u8>> {
    let needle = format!("\"{key}\":\"");
    let mut found = Vec::new();
    let mut reader = Reader::open(dir, Stream::Inputs).expect("a journal");
    while let Some(record) = reader.next().expect("undamaged") {
        let body = record.body;
        for at in memchr::memmem::find_iter(body, needle.as_bytes()) {
            let value = &body[at + needle.len()..];
            let end = value.iter().position(|byte| *byte == b'"').expect("a closed string");
            found.push(value[..end].to_vec());
        }
    }
    found
}

#[test]
fn trades_with_deribit_equal_the_ledgers_and_replay() {
    let dir = TempDir::new();
    let sim = sim_config(7, &BOTH, |_| {});
    let (mut simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(60 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(5 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    let odd = simulation.engine().river().parts().decode.odd();
    println!("{odd:?}");
    assert!(counts.trades_opened >= 5, "{counts:?}");
    assert_eq!(counts.trades_opened, counts.trades_closed);
    assert_eq!((odd.malformed, odd.unknown, odd.inexact, odd.symbols), (0, 0, 0, 0), "{odd:?}");
    let positions = simulation.engine().river().parts().risk.rules().positions().clone();
    for (index, server) in simulation.servers().iter().enumerate() {
        let venue = VenueId(index as u8);
        let ledger = server.ledger();
        let account = ledger.account_ids().next().expect("one account");
        let (mut fees, mut realised) = (Money::ZERO, Money::ZERO);
        for row in positions.positions().filter(|row| row.instrument.venue == venue) {
            assert_eq!(row.position.qty, 0, "flat at the end");
            fees += row.position.fees;
            realised += row.position.realised;
        }
        let theirs = ledger.totals(account);
        assert_eq!((fees, realised), (theirs.fees, theirs.realised), "{}", ledger.venue());
        assert!(fees > Money::ZERO, "{} had its part", ledger.venue());
    }
    crate::simulated::close(simulation);
    for key in ["access_token", "refresh_token"] {
        let values = recorded_values(dir.path(), key);
        assert!(values.len() >= 2, "two connections logged in");
        assert!(values.iter().flatten().all(|byte| *byte == b'x'), "{key} is in the journal");
    }
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert!(report.divergence.is_none(), "{:?}", report.divergence);
}

/// Deribit's place among the two.
const VENUE: VenueId = VenueId(1);

/// A simulation of `sim` whose engine has its parameters changed by `tune`, and whose Deribit was visited by others.
fn tuned(
    sim: &SimConfig,
    tune: impl FnOnce(&mut EngineParams),
    visit: impl FnOnce(&mut dyn LedgerServer),
) -> Simulation {
    let mut params = world::engine_params(sim, 7, world::demo_scan(), RiskParams::default());
    tune(&mut params);
    let mut servers: Vec<_> =
        (0..sim.venues.len()).map(|venue| server_at(sim, venue).expect("a valid world")).collect();
    visit(&mut *servers[VENUE.index()]);
    assembled(sim, params, servers, 100 * MICRO, None).0
}

#[test]
fn each_wrong_setting_is_found_named_and_holds_deribit() {
    type Set = fn(&mut SimAccountSettings);
    let at_the_venue: [(Set, Check, &str); 5] = [
        (|_| {}, Check::Clock, ""),
        (|s| s.portfolio = true, Check::MarginModel, "margin model is portfolio, must be standard"),
        (|s| s.multi_asset = true, Check::AssetMode, "asset mode is multi-asset, must be single-asset"),
        (|s| s.may_trade = false, Check::Permission, "permission to trade is not granted, must be granted"),
        (
            |s| s.self_trade = "reject_taker".into(),
            Check::SelfTrade,
            "self-trade prevention is another rule, must be cancel maker",
        ),
    ];
    for (set, check, sentence) in at_the_venue {
        let sim = sim_config(7, &BOTH, |sim| set(&mut sim.venues[1].accounts[0].settings));
        let mut simulation = tuned(&sim, |_| {}, |_| {});
        simulation.run_for(10 * SECOND);
        let sent = simulation.engine().keeper().watch().counts().orders_sent;
        if sentence.is_empty() {
            assert_eq!(findings(&mut simulation, VENUE.0), [], "nothing is wrong");
            assert!(sent > 0, "and it trades");
            let now = Stamp { mono: simulation.now() - START, wall: simulation.now() };
            let gate = simulation.engine().river().parts().risk.rules().start_gate();
            let clock = gate.clocks().estimate(VENUE, now).expect("its clock is known");
            assert!(clock.uncertainty < 2 * MILLI, "{clock:?}");
            continue;
        }
        assert_eq!(findings(&mut simulation, VENUE.0), [(check, sentence.to_owned())]);
        assert_eq!(sent, 0, "{sentence}");
        let parts = simulation.engine().river().parts();
        assert!(parts.scan.scanner().views().any(|view| view.why == WhyNot::VenueHeld));
    }
    type Tune = fn(&mut EngineParams);
    let in_the_configuration: [(Tune, Check, &str); 2] = [
        (|p| p.venues[1].margin_ppb = 50_000_000, Check::Leverage, "leverage is 10, must be 20"),
        (|p| p.venues[1].taker_fee_ppb = 400_000, Check::Fee, "taker fee is 5 bps, must be at most 4 bps"),
    ];
    for (tune, check, sentence) in in_the_configuration {
        let mut simulation = tuned(&sim_config(7, &BOTH, |_| {}), tune, |_| {});
        simulation.run_for(5 * SECOND);
        assert_eq!(findings(&mut simulation, VENUE.0), [(check, sentence.to_owned())]);
        assert_eq!(simulation.engine().keeper().watch().counts().orders_sent, 0);
    }
}

/// What a person does over HTTP with the account's key.
fn visit(server: &mut dyn LedgerServer, target: &str, token: Option<&str>) -> serde_json::Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers =
        token.map(|token| ("authorization".to_owned(), format!("Bearer {token}"))).into_iter().collect();
    let request = HttpRequest {
        method: "GET".into(),
        path: path.into(),
        query: query.into(),
        headers,
        body: Vec::new(),
    };
    let reply = server.on_http(&request, START, &mut Vec::new());
    serde_json::from_slice(&reply.body).expect("JSON")
}

#[test]
fn an_order_of_someone_else_holds_deribit() {
    let sim = sim_config(7, &BOTH, |_| {});
    let (symbol, account) = (sim.venues[1].listings[0].symbol.clone(), sim.venues[1].accounts[0].clone());
    let mut simulation = tuned(
        &sim,
        |_| {},
        |server| {
            server.advance(START, &mut Vec::new());
            let (id, secret) = (&account.api_key, &account.secret);
            let login = format!(
                "/api/v2/public/auth?grant_type=client_credentials&client_id={id}&client_secret={secret}"
            );
            let login = visit(server, &login, None);
            let token = login["result"]["access_token"].as_str().expect("a token").to_owned();
            let mark = visit(server, &format!("/api/v2/public/ticker?instrument_name={symbol}"), None);
            let price = (mark["result"]["mark_price"].as_f64().expect("a price") * 0.96).floor();
            let order =
                format!("instrument_name={symbol}&amount=0.01&type=limit&price={price}&label=by-hand");
            let reply = visit(server, &format!("/api/v2/private/buy?{order}"), Some(&token));
            assert_eq!(reply["result"]["order"]["order_state"], "open", "{reply}");
        },
    );
    simulation.run_for(10 * SECOND);
    let found = (Check::ForeignOrders, "open orders of others is 1, must be 0".to_owned());
    assert_eq!(findings(&mut simulation, VENUE.0), [found]);
    assert_eq!(simulation.engine().keeper().watch().counts().orders_sent, 0);
}

/// The base tier: 5 requests a second and 20 at once. One too many would end the session.
#[test]
fn what_is_wanted_beyond_the_venues_limit_is_denied_here_and_ends_no_session() {
    let sim = sim_config(7, &BOTH, |sim| {
        sim.venues[1].orders_per_window_max = 5;
        sim.venues[1].order_window_ns = SECOND;
    });
    let greedy = |params: &mut EngineParams| {
        params.scan = ScanParams {
            random_entry_ns: 50 * MILLI,
            hold_max_ns: 50 * MILLI,
            cooldown_ns: 0,
            ..params.scan.clone()
        };
        params.risk.order_rate_per_s_max = 1_000;
        params.risk.consecutive_failures_max = 1_000_000;
        params.risk.daily_loss_max_usd = 1_000_000;
    };
    let mut simulation = tuned(&sim, greedy, |_| {});
    simulation.run_for(60 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.orders_sent > 300 && counts.denials > 0, "{counts:?}");
    let parts = simulation.engine().river().parts();
    assert_eq!(parts.decode.odd().refused, 0, "{:?}", parts.decode.odd());
    let mut budget = parts.route.budgets()[VENUE.index()];
    assert!(budget.counts_cancels());
    assert_eq!(budget.available(i64::MAX / 2, true), 19, "the venue's burst, less one that may be bunched");
}

/// Places an order that rests and lets the engine forget it; then what `end` does, and whether it is open still.
fn rests_until(
    tune: impl FnOnce(&mut EngineParams),
    end: impl FnOnce(&mut dyn LedgerServer, i64),
) -> Option<bool> {
    let sim = sim_config(7, &BOTH, |sim| {
        sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = 0);
    });
    let mut params = None;
    let mut simulation = tuned(
        &sim,
        |tuned| {
            // Nothing trades: the order under test is alone.
            tuned.scan.threshold_ppb = 90_000_000;
            tune(tuned);
            params = Some(tuned.clone());
        },
        |_| {},
    );
    simulation.run_for(40 * SECOND);
    let params = params.expect("built");
    let (_, contexts) = perpring::stage::decode::plan(&params, true).expect("known dialects");
    let context = &contexts[VENUE.index()];
    let listing = context.listings[0];
    let parts = simulation.engine().river().parts();
    let instrument = parts.risk.rules().positions().instrument(listing.id).copied().expect("defined");
    let mid = parts.scan.scanner().mid(listing.id).expect("a live book");
    let mut encoder = dialect("deribit").expect("known").encoder(context);
    encoder.on_instrument(&instrument);
    let order = OrderSpec {
        client_id: ClientId::new(7, 1 << 40),
        venue: VENUE,
        instrument: listing.id,
        side: Side::Buy,
        qty: instrument.qty_for_base(Money(10_000_000_000_000_000), mid),
        price: Price((mid.0 * 97 / 100) / instrument.tick * instrument.tick),
        tif: TimeInForce::Gtc,
        reduce_only: false,
    };
    let now = simulation.now();
    let meta = OutMeta {
        amends: false,
        replaces: ClientId::NONE,
        message: MessageId(1),
        cause: Seq(1),
        cause_mono: 0,
        age_max: 0,
        target: Target::Socket(ConnId(0)),
        epoch: 0,
        urgent: false,
        order: Some(order),
    };
    let mut payload = Payload::new();
    let Ok(Rendered::Socket(conn)) = encoder.order(&order, &meta, Stamp { mono: 0, wall: now }, &mut payload)
    else {
        panic!("orders go over a socket");
    };
    let mut sealed = Vec::new();
    Vault::new(world::credentials(&sim)).seal(VENUE.index(), &payload, &mut sealed).expect("a known key");
    let (_, mut servers) = simulation.into_parts();
    let server = &mut *servers[VENUE.index()];
    server.on_text(SimConn(1 << 8 | u32::from(conn.0)), &sealed, now, &mut Vec::new());
    server.advance(now + SECOND, &mut Vec::new());
    end(server, now);
    let rows = server.ledger().orders();
    let ours = rows.iter().rev().find(|row| row.order.client_id == order.client_id.to_string());
    ours.map(|row| row.order.status.is_open())
}

#[test]
fn an_order_that_rests_when_the_engine_dies_is_cancelled_because_its_connection_is_cut() {
    let within =
        |seconds: i64| move |params: &mut EngineParams| params.venues[1].dead_man_ns = seconds * SECOND;
    // Nobody closes the connection: it is half open, and only the heartbeats tell.
    let after = |seconds: i64| {
        move |server: &mut dyn LedgerServer, now: i64| {
            server.advance(now + seconds * SECOND, &mut Vec::new());
        }
    };
    assert_eq!(rests_until(within(30), after(2)), Some(true), "it rests");
    assert_eq!(rests_until(within(30), after(31)), Some(false), "gone within the dead man's time");
    assert_eq!(rests_until(within(120), after(31)), Some(true), "which is as configured");
    assert_eq!(rests_until(within(0), after(120)), Some(true), "zero is off");
}

#[test]
fn a_kill_cancels_everything_at_deribit_in_one_request() {
    let dir = TempDir::new();
    let sim = sim_config(7, &BOTH, |_| {});
    let (mut simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(20 * SECOND);
    simulation.command(Command::Kill(Scope::Global));
    simulation.run_for(5 * SECOND);
    crate::simulated::close(simulation);
    let mut answered = 0;
    let mut reader = Reader::open(dir.path(), Stream::Inputs).expect("a journal");
    while let Some(record) = reader.next().expect("undamaged") {
        // The venue's reply: how many orders it cancelled.
        answered += usize::from(memchr::memmem::find(record.body, b"\"id\":10,\"result\":0,").is_some());
    }
    assert_eq!(answered, 1);
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert!(report.divergence.is_none(), "{:?}", report.divergence);
}
