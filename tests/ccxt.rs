//! ccxt, a client library that nobody here wrote, trades on the simulated venues over real sockets, and what it
//! reports equals the venues' own ledgers. Needs `tests/setup-python.sh` to have run; says so and skips otherwise.

use perpring::sim::socket::{HostOptions, SimHost, WallClock};
use perpring::sim::{LedgerServer, SimConfig, server_at};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let python = target.join("venv/bin/python");
    let works = Command::new(&python)
        .args(["-c", "import ccxt"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !works {
        println!("skipped: no ccxt at {}; run tests/setup-python.sh", python.display());
    }
    works.then_some(python)
}

/// Runs the driver against a fresh venue; returns its report and the venue.
fn drive(
    dialect: &str,
    exchange: &str,
    symbol: &str,
    amount: &str,
) -> Option<(Value, Box<dyn LedgerServer>)> {
    let script = match exchange {
        "binancecoinm" => "ccxt_coinm.py",
        "deribit" => "ccxt_deribit.py",
        "hyperliquid" => "ccxt_hyperliquid.py",
        _ => "ccxt_drive.py",
    };
    run(script, dialect, exchange, false, symbol, amount)
}

/// Runs a script against a fresh venue. `socket` = it is told the address of the WebSockets too.
fn run(
    script: &str,
    dialect: &str,
    exchange: &str,
    socket: bool,
    symbol: &str,
    amount: &str,
) -> Option<(Value, Box<dyn LedgerServer>)> {
    let python = python()?;
    let clock = WallClock::start();
    let mut config = SimConfig::demo(7, &[dialect], 3).expect("a known dialect");
    config.start_wall_ns = clock.now();
    for instrument in &mut config.instruments {
        // In real time a jump may fall between a look at the book and the order.
        instrument.jump_every_ns = 0;
    }
    let server = server_at(&config, 0).expect("a sound configuration");
    let options = HostOptions { clock, ..HostOptions::new(dialect) };
    let host = SimHost::start(server, "127.0.0.1:0".parse().unwrap(), options).expect("a host on loopback");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/py").join(script);
    let (http, ws) = (format!("http://{}", host.addr()), format!("ws://{}", host.addr()));
    let mut arguments = vec![exchange, http.as_str(), ws.as_str(), symbol, amount];
    if !socket {
        arguments.remove(2);
    }
    let output = Command::new(python).arg(script).args(arguments).output().expect("python runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    let report = serde_json::from_slice(&output.stdout).expect("one JSON object");
    Some((report, host.stop().expect("a clean end")))
}

/// Balance, fees and fills as ccxt saw them, and as the venue booked them.
fn compare(report: &Value, server: &dyn LedgerServer) {
    compare_ids(report, server, |id| id.to_owned());
}

/// The same, with the ledger's numbers hidden in the venue's ids.
fn compare_ids(report: &Value, server: &dyn LedgerServer, number: impl Fn(&str) -> String) {
    let ledger = server.ledger();
    let account = ledger.account_ids().next().expect("an account");
    let totals = ledger.totals(account);
    let close = |name: &str, booked: f64| {
        let seen = report[name].as_f64().expect("a number");
        assert!((seen - booked).abs() < 1e-6, "{name}: ccxt saw {seen}, the ledger says {booked}");
    };
    close("balance", totals.wallet.to_f64());
    close("fees", totals.fees.to_f64());
    let numbers = |name: &str| -> Vec<String> {
        report[name].as_array().unwrap().iter().map(|id| number(id.as_str().unwrap())).collect()
    };
    let traded = numbers("traded");
    assert!(!ledger.fills().is_empty());
    for fill in ledger.fills() {
        assert!(traded.contains(&fill.order.0.to_string()), "{fill:?} is of no order that ccxt knows");
    }
    let mut trade_ids: Vec<String> =
        ledger.fills().iter().map(|fill| fill.fill.trade_id.to_string()).collect();
    trade_ids.sort();
    let mut seen = numbers("trade_ids");
    seen.sort();
    assert_eq!(seen, trade_ids);
    assert_eq!(ledger.position(account, perpring::sim::exchange::ListingId(0)).qty, 0);
}

#[test]
fn ccxt_trades_on_the_simulated_okx_and_agrees_with_its_ledger() {
    if let Some((report, server)) = drive("okx", "okx", "BTC/USDT:USDT", "2.5") {
        compare(&report, &*server);
    }
}

#[test]
fn ccxt_trades_on_the_simulated_binance_and_agrees_with_its_ledger() {
    if let Some((report, server)) = drive("binance-usdm", "binanceusdm", "BTC/USDT:USDT", "0.025") {
        compare(&report, &*server);
    }
}

#[test]
fn ccxt_trades_on_the_simulated_bybit_and_agrees_with_its_ledger() {
    if let Some((report, server)) = drive("bybit", "bybit", "BTC/USDT:USDT", "0.025") {
        // Its ids are UUIDs: the ledger's number stands in the last twelve digits.
        let order = |id: &str| u64::from_str_radix(&id[24..], 16).unwrap().to_string();
        compare_ids(&report, &*server, order);
    }
}

#[test]
fn ccxt_trades_on_the_simulated_hyperliquid_and_agrees_with_its_ledger() {
    if let Some((report, server)) = drive("hyperliquid", "hyperliquid", "BTC/USDC:USDC", "0.025") {
        compare(&report, &*server);
    }
}

#[test]
fn ccxt_trades_on_the_simulated_deribit_and_agrees_with_its_ledger() {
    if let Some((report, server)) = drive("deribit", "deribit", "BTC/USDC:USDC", "0.025") {
        // Its ids begin with the settlement currency.
        let number = |id: &str| id.strip_prefix("USDC-").expect("an id of a linear contract").to_owned();
        compare_ids(&report, &*server, number);
    }
}

#[test]
fn ccxt_trades_on_the_simulated_coin_margined_binance_and_agrees_with_its_ledger() {
    if let Some((report, server)) = drive("binance-coinm", "binancecoinm", "BTC/USD:BTC", "5") {
        compare(&report, &*server);
    }
}

/// ccxt.pro watches book, trades and orders over WebSocket while it trades; see the script.
fn follow(dialect: &str, exchange: &str, symbol: &str, amount: &str) {
    let Some((report, server)) = run("ccxt_pro.py", dialect, exchange, true, symbol, amount) else { return };
    assert_eq!(report["orders"].as_array().map(Vec::len), Some(3), "{report}");
    let ledger = server.ledger();
    let account = ledger.account_ids().next().expect("an account");
    assert!(!ledger.fills().is_empty());
    assert_eq!(ledger.position(account, perpring::sim::exchange::ListingId(0)).qty, 0);
}

#[test]
fn ccxt_pro_follows_the_simulated_binance() {
    follow("binance-usdm", "binanceusdm", "BTC/USDT:USDT", "0.025");
}

#[test]
fn ccxt_pro_follows_the_simulated_okx() {
    follow("okx", "okx", "BTC/USDT:USDT", "2.5");
}

#[test]
fn ccxt_pro_follows_the_simulated_bybit() {
    follow("bybit", "bybit", "BTC/USDT:USDT", "0.025");
}

#[test]
fn ccxt_pro_follows_the_simulated_deribit() {
    follow("deribit", "deribit", "BTC/USDC:USDC", "0.025");
}

#[test]
fn ccxt_pro_follows_the_simulated_hyperliquid() {
    follow("hyperliquid", "hyperliquid", "BTC/USDC:USDC", "0.025");
}
