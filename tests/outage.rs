//! What a venue does to an account while nobody listens is read from its own list of executions: booked as it was, to
//! the last unit, alarmed, and the other leg of the trade is closed.

use crate::simulated::{TempDir, assert_ledgers_equal, faulty_simulation, sim_config};
use perpring::domain::input::Command;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, SECOND};
use perpring::replay::check::check_dir;
use perpring::replay::verify::verify;
use perpring::sim::FaultPlan;
use perpring::sim::faults::FaultKind;
use perpring::topology::world;

/// Taken away while `venue` is closed.
fn finds_what_was_taken_during_an_outage(venue: &str) {
    finds_what_was_taken(
        venue,
        &format!(
            "[[fault]]\nkind = 'maintenance'\nvenue = '{venue}'\nat_s = [6, 16, 26]\nfor_ms = 3_000\n\
             [[fault]]\nkind = 'adl'\nvenue = '{venue}'\nat_s = [7, 17, 27]\n"
        ),
    );
}

/// Both legs are flat in the end at `venue` and its partner, whatever was taken away unheard by the faults of `plan`.
fn finds_what_was_taken(venue: &str, plan: &str) {
    let plan = FaultPlan::parse("faults", plan).expect("a plan");
    let other = if venue == "binance-usdm" { "okx" } else { "binance-usdm" };
    let dir = TempDir::new();
    let sim = sim_config(7, &[other, venue], |_| {});
    let risk = RiskParams {
        consecutive_failures_max: 1_000,
        daily_loss_max_usd: 1_000_000,
        ..RiskParams::default()
    };
    let (mut simulation, config) =
        faulty_simulation(&sim, world::demo_scan(), risk, 100 * MICRO, Some(dir.path()), &plan);
    simulation.run_for(34 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(20 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    let struck: u64 = simulation.servers().iter().map(|server| server.faults().of(FaultKind::Adl)).sum();
    assert!(struck > 0, "the venue took something away while it was not heard");
    assert_eq!(counts.foreign, struck, "{venue}: each is found, once: {counts:?}");
    let odd = simulation.engine().river().parts().decode.odd();
    assert_eq!(odd.at_mark, 0, "{venue}: nothing had to be guessed");
    assert_ledgers_equal(&mut simulation);
    let rules = simulation.engine().river().parts().risk.rules();
    assert_eq!(rules.open_orders(), 0);
    for row in rules.positions().positions() {
        assert_eq!((row.position.qty, row.venue_qty.unwrap_or(0)), (0, 0), "{}", row.instrument.symbol);
        assert!(!row.discrepant);
    }
    assert_eq!(counts.trades_opened, counts.trades_closed, "{counts:?}");
    let (engine, _) = simulation.into_parts();
    engine.into_parts().1.into_parts().0.expect("recorded").close().expect("temporary disk");
    assert_eq!(check_dir(dir.path(), &config.params).expect("a journal"), Vec::<String>::new());
    assert_eq!(verify(dir.path(), &mut |_| {}).expect("a journal").divergence, None);
}

#[test]
fn at_binance_a_position_taken_during_an_outage_is_found() {
    finds_what_was_taken_during_an_outage("binance-usdm");
}

#[test]
fn at_okx_a_position_taken_during_an_outage_is_found() {
    finds_what_was_taken_during_an_outage("okx");
}

#[test]
fn at_bybit_a_position_taken_during_an_outage_is_found() {
    finds_what_was_taken_during_an_outage("bybit");
}

#[test]
fn at_deribit_a_position_taken_during_an_outage_is_found() {
    finds_what_was_taken_during_an_outage("deribit");
}

#[test]
fn at_hyperliquid_a_position_taken_during_an_outage_is_found() {
    finds_what_was_taken_during_an_outage("hyperliquid");
}

/// The account's stream stands and answers, but says nothing of what is taken away; long after that it breaks.
#[test]
fn what_a_living_stream_did_not_tell_is_found_when_it_breaks_later() {
    for venue in ["okx", "bybit"] {
        finds_what_was_taken(
            venue,
            &format!(
                "[[fault]]\nkind = 'stale'\nvenue = '{venue}'\non = 'private'\nat_s = [6.5]\nfor_ms = 1_500\n\
                 [[fault]]\nkind = 'adl'\nvenue = '{venue}'\nat_s = [7]\n\
                 [[fault]]\nkind = 'maintenance'\nvenue = '{venue}'\nat_s = [30]\nfor_ms = 2_000\n"
            ),
        );
    }
}
