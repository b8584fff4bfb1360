//! What must not start, and an orderly end without any venue.

use super::*;

fn file(dir: &super::super::demo::TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Venues on a port of loopback where nobody listens.
fn config(engine: &str, venue: &str) -> String {
    format!(
        "[engine]\nidle = \"park\"\npinning = \"fused\"\n{engine}\n\
         [[venues]]\ndialect = \"binance-usdm\"\ntaker_fee_bps = 5\nmaker_fee_bps = 2\nsockets = [\"ws://127.0.0.1:1\"]\nhttp = \"http://127.0.0.1:1\"\n{venue}\n\
         [[venues]]\ndialect = \"okx\"\ntaker_fee_bps = 5\nmaker_fee_bps = 2\nsockets = [\"ws://127.0.0.1:1\"]\nhttp = \"http://127.0.0.1:1\"\n{venue}\n\
         [[instruments]]\nname = \"BTC/USDT:USDT\"\n"
    )
}

fn args(config: PathBuf) -> RunArgs {
    RunArgs { config, live: false, resume: false, forget_previous_run: false, duration: None }
}

#[test]
fn without_venues_a_run_says_so_and_ends_in_order() {
    let dir = super::super::demo::tempdir().unwrap();
    let journal = dir.join("journal");
    let path = file(
        &dir,
        "perpring.toml",
        &config(&format!("journal_dir = {:?}", journal.display().to_string()), ""),
    );
    let args = RunArgs { duration: Some(Duration::from_millis(1500)), ..args(path) };
    let report = trade(&args, &Signals::default()).unwrap();
    assert!(!report.failed, "{}", report.text);
    assert!(report.text.contains("paper run") && report.text.contains("orders 0"), "{}", report.text);
    assert!(report.text.contains("note: "), "unreachable venues must show: {}", report.text);
    let runs: Vec<_> =
        std::fs::read_dir(&journal).unwrap().flatten().filter(|entry| entry.path().is_dir()).collect();
    assert_eq!(runs.len(), 1, "one directory for a run");
    let verified = crate::replay::verify::verify(&runs[0].path(), &mut |_| {}).unwrap();
    assert!(verified.divergence.is_none(), "a paper run replays");
    assert!(verified.inputs > 0);
}

#[test]
fn the_stop_flag_ends_a_run_at_once() {
    let dir = super::super::demo::tempdir().unwrap();
    let args = args(file(&dir, "perpring.toml", &config("", "")));
    let signals = Signals::default();
    signals.stop.store(true, Ordering::Release);
    let report = trade(&args, &signals).unwrap();
    assert!(!report.failed && report.text.contains("nothing was recorded"), "{}", report.text);
}

#[test]
fn live_needs_the_configurations_word_a_journal_and_every_credential() {
    let refusal = |engine: &str, venue: &str, lookup: &dyn Fn(&str) -> Option<String>| {
        let config = Config::parse("x.toml", &config(engine, venue)).unwrap();
        prepare(&config, true, lookup).err().map(|error| error.to_string())
    };
    let nothing = |_: &str| None;
    let all = |_: &str| Some("value".to_owned());
    let env = "credentials_env = \"DESK\"";
    let live = "live = true\njournal_dir = \"journals\"";
    for (engine, venue, lookup, expected) in [
        ("", env, &all as &dyn Fn(&str) -> Option<String>, "live = true is needed"),
        ("live = true", env, &all, "journal_dir is needed"),
        (live, "", &all, "venue okx has no credentials"),
        (live, env, &nothing, "DESK_API_KEY is not set"),
    ] {
        let text = refusal(engine, venue, lookup).expect(expected);
        assert!(text.contains(expected) && text.contains("live run is refused"), "{text}");
    }
    assert_eq!(refusal(live, env, &all), None);
    let parsed = Config::parse("x.toml", &config("", env)).unwrap();
    let (settings, credentials) = prepare(&parsed, false, &nothing).unwrap();
    assert!(
        settings.params.paper.is_some() && credentials.iter().all(Option::is_none),
        "paper reads no secret"
    );
}

/// Real sockets, real market data frames, paper orders: fills happen, the venues never see an order, and the
/// record replays. Venue numbers matter: on paper a venue's order connection has no place of its own.
#[test]
fn a_paper_run_trades_without_any_order_leaving() {
    use crate::cli::demo::Venues;
    use crate::sim::config::SimConfig;
    let dir = super::super::demo::tempdir().unwrap();
    let venues = Venues::start(SimConfig::demo(7, &["binance-usdm", "okx"], 2).unwrap(), false).unwrap();
    let mut text = format!(
        "[engine]\nidle = \"park\"\npinning = \"fused\"\njournal_dir = {:?}\n\
         [scan]\nbasis_sample_ms = 20\nbasis_samples = 51\nbasis_samples_min = 31\nthreshold_bps = -100\n\
         hold_max_ms = 500\ncooldown_ms = 100\n",
        dir.join("journals").display().to_string()
    );
    let mut first = 0;
    for (index, venue) in venues.config.venues.iter().enumerate() {
        let socket = &venues.addresses.sockets[first];
        first += crate::venue::connections(
            crate::venue::dialect(&venue.dialect).unwrap(),
            crate::venue::market_copies(&venue.dialect, false),
            true,
        )
        .len();
        text += &format!(
            "[[venues]]\ndialect = {:?}\ntaker_fee_bps = 5\nmaker_fee_bps = 2\nsockets = [{socket:?}]\nhttp = {:?}\n",
            venue.dialect, venues.addresses.http[index]
        );
    }
    for (index, instrument) in venues.config.instruments.iter().enumerate() {
        text += &format!("[[instruments]]\nname = {:?}\n[instruments.symbols]\n", instrument.name());
        for venue in &venues.config.venues {
            for listing in venue.listings.iter().filter(|listing| listing.instrument == index) {
                text += &format!("{:?} = {:?}\n", venue.dialect, listing.symbol);
            }
        }
    }
    let config = file(&dir, "perpring.toml", &text);
    let args = RunArgs { duration: Some(Duration::from_secs(6)), ..args(config) };
    // A starved machine may spend a run on warming up: what is proven needs fills, not speed.
    let mut report = trade(&args, &Signals::default()).unwrap();
    for _ in 0..4 {
        if !report.text.contains("fills 0") {
            break;
        }
        std::fs::remove_dir_all(dir.join("journals")).unwrap();
        report = trade(&args, &Signals::default()).unwrap();
    }
    for server in venues.stop().unwrap() {
        assert_eq!(server.ledger().fills().len(), 0, "an order reached a venue: {}", report.text);
    }
    assert!(!report.failed, "{}", report.text);
    assert!(!report.text.contains("fills 0"), "nothing was executed on paper: {}", report.text);
    let journal = std::fs::read_dir(dir.join("journals"))
        .unwrap()
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
        .flatten()
        .next()
        .unwrap()
        .path();
    let verified = crate::replay::verify::verify(&journal, &mut |_| {}).unwrap();
    assert!(
        verified.divergence.is_none() && verified.total() > 0,
        "a paper run replays: {:?}",
        verified.divergence
    );
    let (_, _, config) = crate::replay::source::read_config(&journal).unwrap();
    let violations = crate::replay::check::check_dir(&journal, &config.params).unwrap();
    assert_eq!(violations, Vec::<String>::new());
}
