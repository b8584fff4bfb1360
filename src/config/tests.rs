//! The example, units, and everything that must be refused with a place and a remedy.

use super::*;
use crate::domain::intent::BPS;
use crate::domain::params::{Extras, MarketCopies, PaperParams, RiskParams, ScanParams};
use crate::domain::standing::{Check, CheckSet};
use crate::domain::time::{MILLI, SECOND};
use std::os::unix::fs::PermissionsExt;

const EXAMPLE: &str = include_str!("../../docs/config.example.toml");

fn parse(text: &str) -> Config {
    Config::parse("x.toml", text).unwrap_or_else(|error| panic!("{error}"))
}

fn venues(more: &str) -> String {
    let venue =
        |dialect| format!("[[venues]]\ndialect = \"{dialect}\"\ntaker_fee_bps = 5\nmaker_fee_bps = 2\n");
    format!("{}{more}\n{}[[instruments]]\nname = \"BTC/USDT:USDT\"\n", venue("binance-usdm"), venue("okx"))
}

#[test]
fn the_example_is_valid_and_its_comments_show_the_defaults() {
    let settings = parse(EXAMPLE).settings(false).unwrap();
    assert_eq!(settings.params.paper, Some(PaperParams::default()));
    let symbols: Vec<String> =
        settings.params.listings.iter().map(|listing| listing.symbol.to_string()).collect();
    assert_eq!(symbols, ["BTCUSDT", "BTC-USDT-SWAP", "ETHUSDT", "ETH-USDT-SWAP"]);
    assert_eq!(
        settings.venues[1].sockets, ["wss://ws.okx.com:8443"; 2],
        "market data only on paper, and a second connection to hand it over to"
    );
    // The commented keys of [paper], [scan] and [risk] are real keys with the default values.
    let mut table = "";
    let mut shown = String::new();
    for line in EXAMPLE.lines() {
        if line.starts_with('[') {
            table = line;
            shown.push_str(&format!("{line}\n"));
            continue;
        }
        let bare = line.trim_start_matches("# ");
        let key = bare.split(' ').next().unwrap_or("");
        if matches!(table, "[paper]" | "[scan]" | "[risk]") && bare.contains(" = ") && !key.is_empty() {
            shown.push_str(&format!("{bare}\n"));
        }
    }
    let shown = shown.replace("[[venues]]\n", "").replace("[[instruments]]\n", "");
    let all = parse(&shown);
    assert_eq!(all.scan.params(), ScanParams::default());
    assert_eq!(all.risk.params(), RiskParams::default());
    assert_eq!(all.paper.params(), PaperParams::default());
    assert_eq!(shown.matches(" = ").count(), 36 + 15 + 2, "every key is shown");
}

#[test]
fn a_second_connection_goes_where_the_first_goes_and_is_kept_on_request() {
    let sockets = r#"sockets = ["wss://a.example", "wss://b.example", "wss://c.example", "wss://d.example"]"#;
    for (more, live, copies, count) in [
        (sockets.to_owned(), true, MarketCopies::Relay, 6),
        (format!("redundant = true\n{sockets}"), true, MarketCopies::Two, 6),
        (sockets.to_owned(), false, MarketCopies::Relay, 4),
    ] {
        let engine = "[engine]\nlive = true\njournal_dir = \"j\"\n";
        let text = format!("{}{}", if live { engine } else { "" }, venues(&more));
        let settings = parse(&text).settings(live).unwrap();
        assert_eq!(settings.params.venues[0].market_copies, copies, "{more}");
        let at = &settings.venues[0].sockets;
        assert_eq!(at.len(), count);
        assert_eq!(at[..2], at[count - 2..]);
    }
    let text = venues("").replace("dialect = \"okx\"", "dialect = \"bybit\"\nredundant = true");
    let settings = parse(&text).settings(false).unwrap();
    assert_eq!(settings.params.venues[1].market_copies, MarketCopies::Two);
    assert_eq!(settings.venues[1].sockets.len(), 2);
}

#[test]
fn units_are_translated_exactly() {
    let config = parse(
        "[scan]\nthreshold_bps = 1.5\nhold_max_ms = 0.25\nedge_persist_ms = 12.5\n[risk]\nmargin_free_min_percent = 12.5\n",
    );
    assert_eq!(config.scan.params().threshold_ppb, BPS + BPS / 2);
    assert_eq!(config.scan.params().hold_max_ns, MILLI / 4);
    assert_eq!(config.scan.params().edge_persist_ns, 12 * MILLI + MILLI / 2);
    assert_eq!(parse("").scan.params().edge_persist_ns, 0, "taken at once, as ever");
    assert_eq!(config.risk.params().margin_free_min_ppb, 125_000_000);
}

#[test]
fn extras_are_subscribed_on_demand_and_stated_always() {
    let extras = |more: &str| parse(&venues(more)).settings(false).unwrap().params.venues[1].extras;
    assert_eq!(extras(""), Extras::FREE);
    assert_eq!(extras("[market]\nextras = [\"ticker\", \"open_interest\", \"liquidations\"]"), Extras::ALL);
    let some = extras("[market]\nextras = [\"liquidations\"]");
    assert_eq!(some, Extras { liquidations: true, ..Extras::FREE });
    let error = Config::parse("x.toml", "[market]\nextras = [\"klines\"]\n").unwrap_err().to_string();
    assert!(error.contains("extras"), "{error}");
}

#[test]
fn errors_name_line_and_key() {
    for (text, expected) in [
        ("[engine]\nlive = false\nspeed = 3\n", "line 3, column 1: unknown field `speed`"),
        ("[scan]\nthreshold_ppb = 3\n", "line 2, column 1: unknown field `threshold_ppb`"),
        ("[[venues]]\ndialect = \"okx\"\n", "missing field `taker_fee_bps`"),
        ("[engine\n", "x.toml, line 1, column 8"),
        ("[engine]\nlive = \"hunter2\"\n", "line 2, column 8: `live`: a text where a boolean belongs"),
        ("engine = { live = 3 }\n", "`live`: "),
        ("[scan]\n\nhold_max_ms = true\n", "line 3, column 15: `hold_max_ms`: "),
        ("[engine]\njournal_dir = [\n\"hunter2==\",\n]\n", "`journal_dir`: "),
        ("[engine]\njournal_dir = \"hunter2=a\n", "line 2"),
    ] {
        let error = Config::parse("x.toml", text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?} gave: {error}");
        assert!(!error.contains("hunter2"), "values are not repeated");
    }
}

#[test]
fn secrets_in_the_file_are_refused_without_showing_them() {
    for text in [
        "[engine]\n\n[[venues]]\napi_secret = \"hunter2\"\n",
        "[engine]\n\n[[venues]]\napi-key = \"hunter2\"\n",
        "[engine]\n\n[[venues]]\nkeys = { Passphrase = \"hunter2\" }\n",
    ] {
        let error = Config::parse("x.toml", text).unwrap_err().to_string();
        assert!(error.contains("line 4") && error.contains("credentials_env"), "{error}");
        assert!(!error.contains("hunter2"));
    }
}

#[test]
fn contradictions_say_what_to_do() {
    for (more, expected) in [
        (
            "[scan]\nbasis_samples = 11\nbasis_samples_min = 31",
            "basis_samples_min (31) is more than basis_samples (11)",
        ),
        ("[scan]\nbasis_samples = 100", "must be odd"),
        ("[scan]\nedge_persist_ms = -1", "edge_persist_ms must not be negative"),
        (
            "[scan]\nnotional_usd = 6000",
            "notional_usd (6000) is more than [risk] order_notional_max_usd (5000)",
        ),
        ("[risk]\ngross_exposure_max_usd = 900", "is more than [risk] gross_exposure_max_usd (900)"),
        ("[risk]\nopen_orders_max = 0", "open_orders_max must be greater than 0"),
        ("[scan]\nthreshold_bps = 400", "not below edge_insane_bps"),
        ("[scan]\nmiss_prior_orders = 1000001", "miss_prior_orders is 1000001; it must be at most 1000000"),
        ("[scan]\nmiss_half_life_ms = 0", "miss_half_life_ms must be greater than 0"),
        ("miss_prior_percent = 101", "miss_prior_percent is 101; it must lie between 0 and 100"),
        ("[engine]\nmetrics_bind = \"0.0.0.0:9\"", "not on loopback"),
        ("[engine]\npinning = \"nowhere\"", "pinning"),
        ("[engine]\nwrite_ahead = \"written\"", "write_ahead needs a journal"),
        (
            "[engine]\njournal_dir = \"j\"\npinning = \"fused\"\nwrite_ahead = \"synced\"",
            "needs a thread for the recorder",
        ),
        ("[engine]\nlive = true", "journal_dir is needed"),
        ("[[instruments]]\nname = \"BTC\"", "BASE/QUOTE:SETTLE"),
        ("[[instruments]]\nname = \"BTCUSDT\"", "`BTC/USDT:USDT` is configured twice"),
        ("[[instruments]]\nname = \"BTC-USDT-SWAP.OKX\"", "`BTC/USDT:USDT` is configured twice"),
        (
            "[[instruments]]\nname = \"PEPE/USDT:USDT\"\nsymbols = { binance-usdm = \"1000PEPEUSDT\" }",
            "1000 PEPE where PEPE/USDT:USDT is one on 1",
        ),
        (
            "[[instruments]]\nname = \"ETH/USDC:USDC\"",
            "quoted in USDC, USDT: limits and totals would add them",
        ),
        (
            "[quotes]\nat_par = [\"USDT\"]\n[[instruments]]\nname = \"ETH/USDC:USDC\"",
            "at_par = [\"USDC\", \"USDT\"]",
        ),
        ("[[instruments]]\nname = \"1000PEPE/USDT:USDT\"", "okx lists PEPE by the single coin"),
        (
            "[[instruments]]\nname = \"ETH/USDT:USDT\"\nsymbols = { okx = \"ETH-USDC-SWAP\" }",
            "ETH-USDC-SWAP at okx does not fit: it means ETH/USDC:USDC",
        ),
        (
            "[[instruments]]\nname = \"ETH/USDT:USDT\"\nsymbols = { okx = \"E.T.H\" }\n[[instruments]]\nname = \"SOL/USDT:USDT\"\nsymbols = { okx = \"E.T.H\" }",
            "E.T.H at okx is another instrument's symbol already",
        ),
        ("[[instruments]]\nname = \"BTC/USD:BTC\"", "listed on 1 configured venue"),
        ("[[instruments]]\nname = \"BTC/USDT:USDT\"", "configured twice"),
        (
            "[[venues]]\ndialect = \"okx\"\ntaker_fee_bps = 5\nmaker_fee_bps = 2",
            "venue okx is configured twice",
        ),
        (
            "[[venues]]\ndialect = \"kraken\"\ntaker_fee_bps = 5\nmaker_fee_bps = 2",
            "known are binance-usdm, binance-coinm, okx",
        ),
        ("leverage = 500", "leverage is 500"),
        ("taker_fee_bps = 0", "duplicate"),
        ("http = \"http://example.com\"", "not encrypted"),
        ("sockets = [\"wss://a\", \"wss://b\"]", "give one for all connections, or 4"),
        ("credentials_env = \"a1b2-key\"", "must be the prefix"),
    ] {
        let found = match Config::parse("x.toml", &venues(more)) {
            Ok(config) => config.settings(false).err().unwrap_or_default().join("\n"),
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expected), "{more:?} gave: {found}");
    }
    let one = "[[venues]]\ndialect = \"okx\"\ntaker_fee_bps = 5\nmaker_fee_bps = 2\n";
    let found = parse(one).settings(false).unwrap_err().join("\n");
    assert!(found.contains("needs two or more") && found.contains("no instruments"), "{found}");
    assert!(parse(&venues("")).settings(false).is_ok());
}

#[test]
fn quote_currencies_are_joined_only_by_the_operators_word() {
    let mixed = "[quotes]\nat_par = [\"USDC\", \"USDT\"]\n[[instruments]]\nname = \"ETH/USDC:USDC\"";
    let settings = parse(&venues(mixed)).settings(false).unwrap();
    let names: Vec<&str> =
        settings.params.canonicals.iter().map(|canonical| canonical.name.as_str()).collect();
    assert_eq!(names, ["ETH/USDC:USDC", "BTC/USDT:USDT"]);
}

#[test]
fn ed25519_keys_and_logon_sessions_belong_together() {
    let load = |session: &str, secret: &'static str| {
        let venue = parse(&venues(&format!("credentials_env = \"B\"\n{session}"))).venues[0].clone();
        secrets::load(&venue, &|name| match name {
            "B_API_KEY" => Some("k".to_owned()),
            "B_API_SECRET" => Some(secret.to_owned()),
            _ => None,
        })
        .map(|_| ())
    };
    const SEED: &str = "ed25519:9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    assert_eq!(load("session = \"logon\"", SEED), Ok(()));
    assert_eq!(load("", "shared"), Ok(()));
    for (session, secret) in
        [("", SEED), ("session = \"logon\"", "shared"), ("session = \"logon\"", "ed25519:canary")]
    {
        let said = load(session, secret).unwrap_err();
        assert!(!said.contains("canary") && !said.contains("9d61"), "{said}");
    }
    let okx = venues("").replacen(
        "[[venues]]\ndialect = \"okx\"",
        "[[venues]]\nsession = \"logon\"\ndialect = \"okx\"",
        1,
    );
    assert!(parse(&okx).settings(false).unwrap_err().join("").contains("for Binance only"));
}

#[test]
fn key_files_are_for_their_owner_only() {
    let path = std::env::temp_dir().join(format!("perpring-keys-{}.toml", std::process::id()));
    std::fs::write(&path, "api_key = \"k\"\napi_secret = \"s\"\n").unwrap();
    let load = |mode: u32, dialect: &str| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let venue = venues(&format!("credentials_file = {:?}", path.display().to_string()));
        let mut venue = parse(&venue).venues[0].clone();
        venue.dialect = dialect.to_owned();
        secrets::load(&venue, &|_| None).map(|credentials| credentials.secret)
    };
    assert_eq!(load(0o600, "binance-usdm").as_deref(), Ok("s"));
    let refused = load(0o640, "binance-usdm").unwrap_err();
    assert!(refused.contains("chmod 600") && refused.contains("640"), "{refused}");
    assert!(load(0o600, "okx").unwrap_err().contains("passphrase"));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn proxies_come_without_credentials_or_from_the_environment() {
    let proxy = |more: &str| {
        let venue = parse(&venues(more)).venues[0].clone();
        secrets::proxy(&venue, &|name| (name == "P").then(|| "socks5://u:canary@h:1".to_owned()))
    };
    assert!(proxy("").unwrap().is_none());
    assert_eq!(
        proxy("proxy = \"http://127.0.0.1:3128\"").unwrap().unwrap().to_string(),
        "http://127.0.0.1:3128"
    );
    assert_eq!(proxy("proxy_env = \"P\"").unwrap().unwrap().to_string(), "socks5://h:1");
    for (more, expected) in [
        ("proxy = \"http://u:canary@h:1\"", "by proxy_env"),
        ("proxy = \"ftp://canary\"", "socks5://"),
        ("proxy_env = \"Q\"", "not set"),
        ("proxy = \"http://h:1\"\nproxy_env = \"P\"", "keep one"),
    ] {
        let said = proxy(more).unwrap_err();
        assert!(said.contains(expected) && !said.contains("canary"), "{said}");
    }
}

#[test]
fn a_wallet_is_an_address_and_a_private_key_and_usdc_stands_for_usdt_only_when_said() {
    let text = venues("credentials_env = \"HL\"").replace("\"binance-usdm\"", "\"hyperliquid\"");
    let venue = parse(&text).venues[0].clone();
    let load = |address: &str, key: &str| {
        let (address, key) = (address.to_owned(), key.to_owned());
        secrets::load(&venue, &move |name| {
            Some(if name == "HL_API_KEY" { address.clone() } else { key.clone() })
        })
        .map(|_| ())
    };
    let (address, key) = (format!("0x{}", "ab".repeat(20)), "12".repeat(32));
    assert_eq!(load(&address, &key), Ok(()));
    assert!(load(&address.to_uppercase(), &key).unwrap_err().contains("lower-case"));
    let refused = load(&address, "hunter2").unwrap_err();
    assert!(refused.contains("private key") && !refused.contains("hunter2"));
    // A USDT contract has no USDC twin unless the operator says at par.
    assert!(parse(&text).settings(false).unwrap_err().join(" ").contains("listed on 1 configured venue"));
    let at_par = text.replace("credentials_env", "settle_at_par = \"USDT\"\ncredentials_env");
    let settings = parse(&at_par).settings(false).unwrap();
    assert_eq!(settings.params.listings[0].symbol.as_str(), "BTC");
    assert_eq!(settings.params.venues[0].settle_at_par.as_str(), "USDT");
}

#[test]
fn a_budget_that_is_not_configured_is_what_the_venue_grants_every_account() {
    let text = venues("credentials_env = \"B\"");
    let budgets = |text: &str| -> Vec<u32> {
        let settings = parse(text).settings(false).unwrap();
        settings.params.venues.iter().map(|venue| venue.orders_per_10s_max).collect()
    };
    assert_eq!(budgets(&text), [200, 100]);
    assert_eq!(budgets(&text.replace("\"okx\"", "\"bybit\"")), [200, 18]);
    assert_eq!(
        budgets(&text.replace("credentials_env", "orders_per_10s_max = 7\ncredentials_env")),
        [7, 100]
    );
}

#[test]
fn how_often_legs_miss_is_what_the_dialect_says_unless_it_is_configured() {
    let text = venues("miss_prior_percent = 7.5")
        + "[[venues]]\ndialect = \"hyperliquid\"\ntaker_fee_bps = 4.5\n\
        maker_fee_bps = 1.5\nsettle_at_par = \"USDT\"\n";
    let settings = parse(&text).settings(false).unwrap();
    let priors: Vec<i64> = settings.params.venues.iter().map(|venue| venue.miss_prior_ppb).collect();
    assert_eq!(priors, [75_000_000, 50_000_000, 150_000_000]);
}

#[test]
fn a_haircut_needs_something_at_par() {
    let text = venues("settle_haircut_bps = 2.5");
    assert!(parse(&text).settings(false).unwrap_err().join(" ").contains("nothing settles at par"));
    let text = venues("settle_at_par = \"USDT\"\nsettle_haircut_bps = 2.5");
    let settings = parse(&text).settings(false).unwrap();
    assert_eq!(settings.params.venues[0].settle_haircut_ppb, 2 * BPS + BPS / 2);
}

#[test]
fn a_venue_whose_settings_cannot_be_read_back_takes_no_live_orders() {
    for dialect in crate::venue::DIALECTS {
        let name = dialect.name();
        let text = venues("credentials_env = \"B\"").replace("\"okx\"", &format!("\"{name}\""));
        let said = parse(&text).settings(true).err().unwrap_or_default().join("\n");
        let held = said.contains(&format!("venue {name}: its account settings cannot be read back"));
        assert_eq!(held, dialect.start_checks() == CheckSet::EMPTY, "{name}: {said}");
    }
}

#[test]
fn bybit_takes_live_orders_with_its_settings_required() {
    let text = venues("credentials_env = \"B\"").replace("\"okx\"", "\"bybit\"");
    let said = parse(&text).settings(true).map_or_else(|found| found.join("\n"), |_| String::new());
    assert!(!said.contains("venue bybit"), "{said}");
    let required = parse(&text).settings(false).unwrap().params.venues[1].start_checks;
    for check in [Check::PositionMode, Check::Leverage, Check::Fee, Check::Permission, Check::Clock] {
        assert!(required.contains(check), "{check:?}");
    }
}

#[test]
fn where_requests_are_earned_by_trading_order_quality_must_keep_them_earned() {
    let with = |dialect: &str, notional: i64, misses: i64| {
        let text = venues("").replace("\"okx\"\n", &format!("\"{dialect}\"\nsettle_at_par = \"USDT\"\n"));
        let scan = format!("[scan]\nnotional_usd = {notional}\nquality_miss_max_percent = {misses}\n");
        parse(&format!("{text}{scan}")).settings(false).err().unwrap_or_default().join("\n")
    };
    assert_eq!(with("hyperliquid", 1_000, 95), "");
    assert_eq!(with("hyperliquid", 40, 95), "");
    for (notional, misses) in [(1_000, 100), (39, 95)] {
        let said = with("hyperliquid", notional, misses);
        assert!(said.contains("use more than they earn"), "{said}");
        assert_eq!(with("deribit", notional, misses), "");
    }
}

/// The symbols of the listings, or what was found wrong.
fn symbols(dialects: [&str; 2], at_par: Option<&str>, instruments: &str) -> Result<Vec<String>, String> {
    let mut text = String::new();
    for (index, dialect) in dialects.iter().enumerate() {
        text += &format!("[[venues]]\ndialect = \"{dialect}\"\ntaker_fee_bps = 5\nmaker_fee_bps = 2\n");
        if let Some(currency) = at_par.filter(|_| index == 1) {
            text += &format!("settle_at_par = \"{currency}\"\n");
        }
    }
    let settings =
        parse(&format!("{text}{instruments}")).settings(false).map_err(|found| found.join("\n"))?;
    Ok(settings.params.listings.iter().map(|listing| listing.symbol.to_string()).collect())
}

#[test]
fn a_usdt_contract_is_traded_at_usdc_venues_only_where_they_are_said_to_settle_at_par() {
    const USDT: &str = "[[instruments]]\nname = \"BTC/USDT:USDT\"\n";
    for (dialect, symbol) in [("deribit", "BTC_USDC-PERPETUAL"), ("hyperliquid", "BTC")] {
        for others in ["binance-usdm", "bybit", "okx"] {
            let both = [others, dialect];
            let found = symbols(both, Some("USDT"), USDT).unwrap();
            assert_eq!(found[1], symbol, "{both:?}");
            for said in [None, Some("USDC")] {
                let why = symbols(both, said, USDT).unwrap_err();
                assert!(why.contains("listed on 1 configured venue"), "{both:?} {said:?}: {why}");
            }
            // The same with the symbol given: it is no word about the currency.
            let given = format!("{USDT}symbols = {{ {dialect} = \"{symbol}\" }}\n");
            assert_eq!(symbols(both, Some("USDT"), &given).unwrap()[1], symbol);
            let why = symbols(both, None, &given).unwrap_err();
            assert!(why.contains("does not fit: it means BTC/USDC:USDC"), "{both:?}: {why}");
        }
    }
    // The other venue's word is not this one's.
    let elsewhere = symbols(["deribit", "okx"], Some("USDT"), USDT).unwrap_err();
    assert!(elsewhere.contains("listed on 1 configured venue"), "{elsewhere}");
}

#[test]
fn at_par_neither_changes_other_contracts_nor_lets_two_share_a_symbol() {
    let listed = |name: &str| format!("[[instruments]]\nname = \"{name}\"\n");
    let inverse = symbols(["binance-coinm", "deribit"], Some("USDT"), &listed("BTC/USD:BTC"));
    assert_eq!(inverse.unwrap(), ["BTCUSD_PERP", "BTC-PERPETUAL"]);
    let usdc = symbols(["bybit", "deribit"], Some("USDT"), &listed("ETH/USDC:USDC"));
    assert_eq!(usdc.unwrap(), ["ETHPERP", "ETH_USDC-PERPETUAL"]);
    let both = format!(
        "[quotes]\nat_par = [\"USDC\", \"USDT\"]\n{}{}",
        listed("BTC/USDC:USDC"),
        listed("BTC/USDT:USDT")
    );
    let shared = symbols(["bybit", "deribit"], Some("USDT"), &both).unwrap_err();
    assert!(
        shared.contains("BTC_USDC-PERPETUAL at deribit is another instrument's symbol already"),
        "{shared}"
    );
    for (symbol, expected) in [
        ("BTC-PERPETUAL", "it means BTC/USD:BTC"),
        ("ETH_USDC-PERPETUAL", "it means ETH/USDC:USDC"),
        ("BTC_USDT-PERPETUAL", "it means BTC/USDT:USDT"),
    ] {
        let given = format!("{}symbols = {{ deribit = \"{symbol}\" }}\n", listed("BTC/USDT:USDT"));
        let why = symbols(["okx", "deribit"], Some("USDT"), &given).unwrap_err();
        assert!(why.contains(expected), "{symbol}: {why}");
    }
}

#[test]
fn a_contract_quoted_in_one_currency_and_settled_in_its_coin_is_not_taken_for_the_linear_one() {
    let odd = "[[instruments]]\nname = \"BTC/USDT:BTC\"\n";
    let why = symbols(["binance-coinm", "okx"], None, odd).unwrap_err();
    assert!(why.contains("listed on 0 configured venue"), "{why}");
}

#[test]
fn the_way_of_orders_is_the_dialects_usual_one_or_another_that_it_has() {
    use crate::domain::params::OrderFallback;
    use crate::domain::params::OrderRoute::{Http, Websocket};
    let aster = "[[venues]]\ndialect = \"aster\"\ntaker_fee_bps = 4\nmaker_fee_bps = 1\n";
    for (more, expected) in [
        ("", vec![Websocket, Websocket]),
        ("orders = \"http\"", vec![Http, Websocket]),
        (aster, vec![Websocket, Http, Websocket]),
    ] {
        let settings = parse(&venues(more)).settings(false).unwrap();
        let found: Vec<_> = settings.params.venues.iter().map(|venue| venue.orders).collect();
        assert_eq!(found, expected, "{more}");
    }
    let found = |more: &str| parse(&venues(more)).settings(false).unwrap_err().join("\n");
    let fallback = parse(&venues("orders_fallback = \"reductions\"")).settings(false).unwrap();
    let fallbacks: Vec<_> = fallback.params.venues.iter().map(|venue| venue.orders_fallback).collect();
    assert_eq!(fallbacks, [OrderFallback::Reductions, OrderFallback::Off]);
    for one_way in
        ["orders = \"http\"\norders_fallback = \"all\"", &format!("{aster}orders_fallback = \"all\"")]
    {
        let why = found(one_way);
        assert!(why.contains("orders_fallback = \"all\" needs a venue that takes orders both ways"), "{why}");
    }
    let why = found(&format!("{aster}orders = \"websocket\""));
    assert!(why.contains("venue aster: orders = \"websocket\" is not possible there"), "{why}");
    assert!(Config::parse("x.toml", &venues("orders = \"fax\"")).is_err());
    // Its connections carry 200 streams, of which a listing takes two.
    let many: String = (0..100).map(|i| format!("[[instruments]]\nname = \"C{i:03}/USDT:USDT\"\n")).collect();
    let why = found(&format!("{aster}{many}"));
    assert!(
        why.contains("venue aster: 101 instruments are listed there and its connections carry 100"),
        "{why}"
    );
    assert!(parse(&venues(&many)).settings(false).is_ok(), "the others have room");
}

#[test]
fn the_age_of_connections_is_set_by_venue_and_stays_below_a_day() {
    let of = |more: &str| parse(&venues(more)).settings(false);
    let usual = of("").unwrap().params;
    assert_eq!(usual.venues[0].connection_age_max(), 23 * 3_600 * SECOND);
    let set = of("connection_age_max_s = 120\n").unwrap().params;
    assert_eq!(set.venues[0].connection_age_max(), 120 * SECOND);
    assert_eq!(set.venues[1].connection_age_max(), 23 * 3_600 * SECOND, "the other venue's own");
    for wrong in [59, 82_801, -1] {
        let found = of(&format!("connection_age_max_s = {wrong}\n")).unwrap_err().join("\n");
        assert!(found.contains("connection_age_max_s") && found.contains("between 60 and 82800"), "{found}");
    }
}
