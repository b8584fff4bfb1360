//! Aster: the engine trades between the simulated Aster and another venue over HTTP, its ledgers equal the venues',
//! and the account's settings, which stand in three places there, are read back one by one.

use crate::simulated::{TempDir, assembled, assert_ledgers_equal, sim_config, simulation};
use perpring::core::pair::WhyNot;
use perpring::domain::input::Command;
use perpring::domain::instrument::VenueId;
use perpring::domain::params::{OrderRoute, RiskParams};
use perpring::domain::standing::Check;
use perpring::domain::time::{MICRO, SECOND};
use perpring::replay::verify::verify;
use perpring::sim::exchange::OrderStatus;
use perpring::sim::{HttpRequest, SimAccountSettings, SimConn, server_at};
use perpring::topology::world;

const BOTH: [&str; 2] = ["aster", "okx"];

#[test]
fn aster_is_traded_equals_its_ledger_and_replays() {
    let dir = TempDir::new();
    let sim = sim_config(7, &BOTH, |_| {});
    let (mut simulation, config) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    assert_eq!(config.params.venues[0].orders, OrderRoute::Http);
    assert_eq!(config.params.venues[1].orders, OrderRoute::Websocket);
    simulation.run_for(60 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(5 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.trades_opened >= 5, "{counts:?}");
    assert_eq!(counts.trades_opened, counts.trades_closed);
    let odd = simulation.engine().river().parts().decode.odd();
    assert_eq!(
        (odd.malformed, odd.unknown, odd.inexact, odd.symbols, odd.refused),
        (0, 0, 0, 0, 0),
        "{odd:?}"
    );
    assert_ledgers_equal(&mut simulation);
    let mut orders = 0;
    for server in simulation.servers() {
        orders +=
            server.ledger().orders().iter().filter(|row| row.order.status != OrderStatus::Rejected).count();
    }
    assert_eq!(counts.orders_sent, orders as u64, "every order that was sent is in the venues' books");
    crate::simulated::close(simulation);
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert_eq!((report.divergence, report.unrecorded), (None, 0));
}

#[test]
fn each_wrong_setting_is_read_back_from_its_place_and_holds_the_venue() {
    type Set = fn(&mut SimAccountSettings);
    let cases: [(Set, Option<Check>); 6] = [
        (|_| {}, None),
        (|s| s.long_short = true, Some(Check::PositionMode)),
        (|s| s.multi_asset = true, Some(Check::AssetMode)),
        (|s| s.may_trade = false, Some(Check::Permission)),
        (|s| s.isolated = true, Some(Check::MarginMode)),
        (|s| s.leverage = 20, Some(Check::Leverage)),
    ];
    for (set, check) in cases {
        let sim = sim_config(7, &BOTH, |sim| set(&mut sim.venues[0].accounts[0].settings));
        let params = world::engine_params(&sim, 7, world::demo_scan(), RiskParams::default());
        let servers = (0..2).map(|venue| server_at(&sim, venue).expect("a valid world")).collect();
        let (mut simulation, _) = assembled(&sim, params, servers, 100 * MICRO, None);
        simulation.run_for(10 * SECOND);
        let sent = simulation.engine().keeper().watch().counts().orders_sent;
        let parts = simulation.engine().river().parts();
        let gate = parts.risk.rules().start_gate();
        let found =
            |check: Check| gate.findings().any(|finding| finding.check == check && finding.values.is_some());
        match check {
            None => {
                assert_eq!(gate.findings().count(), 0, "nothing is wrong");
                assert!(sent > 0, "and it trades");
            }
            Some(check) => {
                assert!(found(check), "{check:?} was stated as it is");
                assert!(
                    gate.findings().all(|finding| finding.venue == VenueId(0)),
                    "the other venue is well"
                );
                assert_eq!(sent, 0, "{check:?}");
                assert!(parts.scan.scanner().views().any(|view| view.why == WhyNot::VenueHeld));
            }
        }
    }
}

#[test]
fn the_simulated_venue_has_what_the_documentation_has_and_no_more() {
    let sim = sim_config(7, &["aster"], |_| {});
    let mut server = server_at(&sim, 0).expect("a valid world");
    let (start, mut out) = (sim.start_wall_ns, Vec::new());
    server.advance(start, &mut out);
    for (number, path) in ["/ws", "/ws/unknownListenKey", "/stream?streams=btcusdt@depth"].iter().enumerate()
    {
        assert!(server.on_connect(SimConn(number as u32), path, start, &mut out), "{path}");
    }
    for path in ["/ws-fapi/v1", "/ws-dapi/v1"] {
        assert!(!server.on_connect(SimConn(9), path, start, &mut out), "there is no WebSocket API: {path}");
    }
    // A connection carries 200 streams.
    let names: Vec<String> = (0..200).map(|number| format!("\"c{number}usdt@depth\"")).collect();
    let ask = |names: &str, id: u32| format!(r#"{{"method":"SUBSCRIBE","params":[{names}],"id":{id}}}"#);
    server.on_text(SimConn(0), ask(&names.join(","), 1).as_bytes(), start, &mut out);
    out.clear();
    server.on_text(SimConn(0), ask("\"btcusdt@depth\"", 2).as_bytes(), start, &mut out);
    let said = format!("{out:?}");
    assert!(out.len() == 1 && !said.is_empty());
    let text = match &out[0] {
        perpring::sim::Push::Text(_, text) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("{other:?}"),
    };
    assert!(text.contains("too many streams"), "{text}");
    let mut get = |path: &str| {
        let request = HttpRequest { method: "GET".into(), path: path.into(), ..HttpRequest::default() };
        server.on_http(&request, start, &mut Vec::new()).status
    };
    assert_eq!(get("/fapi/v1/exchangeInfo"), 200);
    for path in ["/fapi/v1/accountConfig", "/fapi/v1/symbolConfig", "/fapi/v3/positionRisk", "/dapi/v1/time"]
    {
        assert_eq!(get(path), 404, "{path}");
    }
    assert_ne!(get("/fapi/v4/account"), 404);
}
