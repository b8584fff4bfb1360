//! Recorded feeds become journals: every recorder's format gives the same history, the whole engine runs over it and
//! replays identically, and what is wrong is said with its place. On real captures, an independent program agrees on
//! edges, episodes and clock offsets; that part skips when the shared captures are absent.

use super::oracle::shared;
use super::whatif::{cut, of_part_and_whole, ordering};
use perpring::cli::demo::{TempDir, tempdir};
use perpring::cli::import::{Job, Source, run};
use perpring::domain::event::Seq;
use perpring::domain::params::{EngineParams, ScanParams};
use perpring::replay::source::read_config;
use perpring::replay::whatif::{Question, whatif};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// 2023-11-14T22:13:20Z, ms.
const BEGIN_MS: i64 = 1_700_000_000_000;
const STEP_MS: i64 = 50;
const STEPS: i64 = 120;
/// The recorder hears of everything this long after the venue stated it.
const DELAY_MS: i64 = 3;

/// A message with its receive time; what the recorder asked for over HTTP has a path.
struct Message {
    time_ms: i64,
    path: Option<&'static str>,
    text: String,
}

const CONTRACTS: &str = r#"{"timezone":"UTC","serverTime":1700000000000,"rateLimits":[],"symbols":[{"symbol":"BTCUSDT","pair":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","marginAsset":"USDT","pricePrecision":1,"quantityPrecision":3,"filters":[{"filterType":"PRICE_FILTER","minPrice":"0.1","maxPrice":"1000000","tickSize":"0.1"},{"filterType":"LOT_SIZE","minQty":"0.001","maxQty":"1000","stepSize":"0.001"},{"filterType":"MIN_NOTIONAL","notional":"5"}]}]}"#;

/// Six seconds of an invented market: the price is 60000, but from 4.5 s on for half a second it is `jump` higher.
fn market(jump: i64) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut prev = 990;
    for step in 0..STEPS {
        let time_ms = BEGIN_MS + step * STEP_MS;
        let stated = time_ms - DELAY_MS;
        let mut add =
            |later: i64, text: String| messages.push(Message { time_ms: time_ms + later, path: None, text });
        let id = 1_000 + 10 * step;
        let price = 60_000 + if (90..100).contains(&step) { jump } else { 0 };
        if step % 5 == 0 {
            let (low, high) = (price - 5, price + 5);
            add(
                0,
                format!(
                    r#"{{"e":"depthUpdate","E":{stated},"T":{stated},"s":"BTCUSDT","U":{},"u":{id},"pu":{prev},"b":[["{low}.0","3.000"]],"a":[["{high}.0","3.000"]]}}"#,
                    prev + 1,
                ),
            );
            prev = id;
        }
        add(
            0,
            format!(
                r#"{{"e":"bookTicker","u":{},"s":"BTCUSDT","b":"{}.9","B":"5.000","a":"{price}.1","A":"5.000","T":{stated},"E":{stated}}}"#,
                id + 1,
                price - 1,
            ),
        );
        if step == 0 {
            let text = r#"{"lastUpdateId":1000,"E":1,"T":1,"bids":[["59999.0","9.000"]],"asks":[["60001.0","9.000"]]}"#;
            let path = Some("/fapi/v1/depth?symbol=BTCUSDT&limit=1000");
            messages.push(Message { time_ms: time_ms + 20, path, text: text.to_owned() });
        } else if step % 20 == 1 {
            add(
                1,
                format!(
                    r#"{{"e":"markPriceUpdate","E":{stated},"s":"BTCUSDT","p":"60000.0","i":"60000.0","P":"60000.0","r":"0.00000000","T":{}}}"#,
                    BEGIN_MS + 8 * 3_600_000,
                ),
            );
        }
    }
    messages
}

/// The four formats.
const FORMATS: [&str; 4] = ["hftbacktest", "cryptofeed", "tardis", "json-lines"];

/// The messages as a recorder writes them.
fn recorded(format: &str, messages: &[Message]) -> String {
    let mut text = String::new();
    if format == "cryptofeed" {
        let (at, metadata) = (BEGIN_MS / 1_000 - 1, CONTRACTS);
        let _ = writeln!(text, "configuration: {{}}\nwss://x/ws <-> {at}.5\nwss://x/ws <- {at}.6: {{}}");
        let _ = writeln!(text, "https://x/fapi/v1/exchangeInfo -> {at}.7: {metadata}");
    }
    for Message { time_ms, path, text: message } in messages {
        let (seconds, millis) = (time_ms / 1_000, time_ms % 1_000);
        let _ = match (format, path) {
            ("cryptofeed", Some(path)) => {
                writeln!(text, "https://x{path} -> {seconds}.{millis:03}: {message}")
            }
            ("cryptofeed", None) => writeln!(text, "{seconds}.{millis:03}: {message}"),
            ("hftbacktest", _) => writeln!(text, "{time_ms}000000 {message}"),
            ("tardis", _) => writeln!(
                text,
                r#"{{"localTimestamp":"2023-11-14T22:13:{:02}.{millis:03}0000Z","message":{message}}}"#,
                seconds - BEGIN_MS / 1_000 + 20
            ),
            _ => writeln!(text, r#"{{"receive_ns":{time_ms}000000,"frame":{message}}}"#),
        };
    }
    text
}

fn gz(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A file in a fresh directory.
fn file(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn job(dir: &TempDir, sources: &[(&str, &[PathBuf])]) -> Job {
    let metadata = file(dir, "contracts.json", CONTRACTS);
    Job {
        sources: sources
            .iter()
            .map(|(dialect, files)| Source { dialect: (*dialect).to_owned(), files: files.to_vec() })
            .collect(),
        metadata: sources.iter().map(|(dialect, _)| ((*dialect).to_owned(), metadata.clone())).collect(),
        config: None,
        output: dir.join("journal"),
    }
}

/// Imports; the report, the exit code and the remarks.
fn import(job: &Job) -> (Value, u8, String) {
    let mut err = Vec::new();
    let (report, code) = run(job, false, &mut err).unwrap();
    (serde_json::to_value(report).unwrap(), code, String::from_utf8(err).unwrap())
}

fn refused(job: &Job) -> String {
    let error = run(job, false, &mut Vec::new()).unwrap_err().to_string();
    assert!(!job.output.exists(), "nothing is written: {error}");
    error
}

/// The journal is whole, and every output is made again.
fn replays(dir: &Path) {
    let verified = perpring::journal::verify(dir).unwrap();
    assert!(verified.streams.iter().all(|stream| stream.closed && stream.damage.is_empty()), "{verified:?}");
    let replayed = perpring::replay::verify::verify(dir, &mut |_| {}).unwrap();
    assert!(replayed.divergence.is_none() && replayed.total() > 0, "{replayed:?}");
}

#[test]
fn every_format_gives_the_same_history_and_the_engine_trades_in_it() {
    let mut first: Option<Value> = None;
    for format in FORMATS {
        let dir = tempdir().unwrap();
        let own = recorded(format, &market(0));
        let own = match format {
            "hftbacktest" => file(&dir, "own.gz", gz(&own)),
            "tardis" => file(&dir, "own.zst", zstd::encode_all(own.as_bytes(), 1).unwrap()),
            _ => file(&dir, "own", own),
        };
        let other = file(&dir, "other", recorded("hftbacktest", &market(600)));
        let mut job = job(&dir, &[("binance-usdm", &[own]), ("aster", &[other])]);
        if format == "cryptofeed" {
            job.metadata.retain(|(dialect, _)| dialect == "aster");
        }
        let (mut report, code, remarks) = import(&job);
        assert_eq!((code, remarks.as_str()), (0, ""), "{format}");
        replays(&job.output);
        assert_eq!(report["trades"], 1, "{format}: {report:#}");
        let way = &report["pairs"][0];
        assert_eq!((&way["buy"], &way["engine_pair"]), (&"BTC/USDT:USDT@binance-usdm".into(), &true.into()));
        // 100 bps of 60300 less four fees of 5, 5, 4 and 4 bps, the allowance and two half-spreads.
        let best = way["edge_bps"]["max"].as_f64().unwrap();
        assert!((best - (600.0 - 0.2) / 60_300.0 * 1e4 + 18.0 + 0.5 + 0.033).abs() < 0.05, "{best}");
        let episodes = &way["episodes"][1];
        assert_eq!((&episodes["above"], &episodes["count"]), (&"zero".into(), &1.into()));
        assert!((episodes["total_ms"].as_f64().unwrap() - 500.0).abs() < 1e-6, "{episodes}");
        for venue in report["venues"].as_array().unwrap() {
            assert_eq!(venue["clock_offset_ms"]["median"], 3.0, "{venue}");
            assert_eq!((&venue["snapshots"], &venue["live_at_end"]), (&1.into(), &1.into()), "{venue}");
        }
        let manifest = std::fs::read_to_string(job.output.join("manifest.json")).unwrap();
        assert!(manifest.contains("imported_from_000") && manifest.contains("sha256"), "{manifest}");
        // Apart from names and what only this recorder writes, nothing tells the formats apart.
        for key in ["files", "lines", "recorder"] {
            report["venues"][0].as_object_mut().unwrap().remove(key);
            report["venues"][1].as_object_mut().unwrap().remove(key);
        }
        report["venues"][0]["events"].as_object_mut().unwrap().remove("ignored");
        for key in ["journal", "inputs", "from_ns"] {
            report.as_object_mut().unwrap().remove(key);
        }
        let first = first.get_or_insert_with(|| report.clone());
        assert_eq!(*first, report, "{format}");
    }
}

#[test]
fn a_configuration_says_what_is_worth_a_trade_and_the_report_says_why_there_was_none() {
    let dir = tempdir().unwrap();
    let own = file(&dir, "own", recorded("hftbacktest", &market(0)));
    let other = file(&dir, "other", recorded("json-lines", &market(600)));
    let venue = |dialect: &str, fee: f64| {
        format!("[[venues]]\ndialect = \"{dialect}\"\ntaker_fee_bps = {fee:?}\nmaker_fee_bps = 0.0\n")
    };
    let rest = "[scan]\nthreshold_bps = 90.0\n[[instruments]]\nname = \"BTC/USDT:USDT\"\n";
    // In another order than the recordings are given in.
    let text = format!("{}{}{rest}", venue("aster", 4.0), venue("binance-usdm", 5.0));
    let config = Some(file(&dir, "config.toml", text));
    let job = Job { config, ..job(&dir, &[("binance-usdm", &[own]), ("aster", &[other])]) };
    let (report, code, _) = import(&job);
    assert_eq!((code, &report["trades"]), (0, &0.into()));
    assert_eq!(report["venues"][0]["venue"], "aster");
    let way = &report["pairs"][1];
    assert_eq!((&way["buy"], &way["fees_bps"]), (&"BTC/USDT:USDT@binance-usdm".into(), &18.0.into()));
    let best = way["edge_bps"]["max"].as_f64().unwrap();
    assert!(best > 75.0 && best < 90.0, "{best}");
    assert!(way["why_not"]["below threshold"].as_u64().unwrap() > 0, "{way:#}");
    let why = report["why_not"].as_array().unwrap();
    assert!(why.iter().any(|why| why.as_str().unwrap().contains("90.00 are needed")), "{why:?}");
    replays(&job.output);
    let config = Some(file(&dir, "other.toml", "[[venues]]\ndialect = \"okx\"\n"));
    let wrong = Job { config, output: dir.join("wrong"), ..job };
    assert!(refused(&wrong).contains("other.toml"));
}

#[test]
fn two_imports_of_one_history_write_the_same_inputs() {
    let dumps: Vec<Vec<u8>> = (0..2)
        .map(|_| {
            let dir = tempdir().unwrap();
            let own = file(&dir, "own", recorded("json-lines", &market(0)));
            let other = file(&dir, "other", recorded("tardis", &market(600)));
            let job = job(&dir, &[("binance-usdm", &[own]), ("aster", &[other])]);
            import(&job);
            let mut reader =
                perpring::journal::Reader::open(&job.output, perpring::journal::Stream::Inputs).unwrap();
            let mut dump = Vec::new();
            while let Some(record) = reader.next().unwrap() {
                let _ = writeln!(dump, "{} {} {} {:?}", record.seq, record.kind, record.time_ns, record.body);
            }
            dump
        })
        .collect();
    assert!(dumps[0].len() > 10_000 && dumps[0] == dumps[1]);
}

#[test]
fn an_imported_history_is_a_backtest_whose_model_nothing_has_measured() {
    let dir = tempdir().unwrap();
    let own = file(&dir, "own", recorded("json-lines", &market(0)));
    let other = file(&dir, "other", recorded("tardis", &market(600)));
    let job = job(&dir, &[("binance-usdm", &[own]), ("aster", &[other])]);
    let (report, ..) = import(&job);
    let (_, _, config) = read_config(&job.output).unwrap();
    let paper = config.params.paper.unwrap();
    let question = Question { params: config.params, paper, from: Seq(1), to: Seq(u64::MAX) };
    let back = whatif(&job.output, &question, &mut |_, _| {}).unwrap();
    assert!(back.recorded_on_paper && back.recorded.trades > 0, "{back}");
    assert_eq!(report["trades"], back.recorded.trades);
    // The same model over the same market: the same run.
    assert_eq!(
        (back.new_modelled.net, back.new_modelled.fees),
        (back.recorded.net, back.recorded.fees),
        "{back}"
    );
    assert_eq!((back.divergence.clone(), back.trades.len()), (None, 0), "{back}");
    assert_eq!((back.recorded.uncertainty, back.new_modelled.uncertainty), (None, None));
    // So is a part of it, wherever it begins: with an order on its way, or a trade open.
    let (_, _, config) = read_config(&job.output).unwrap();
    let half = ScanParams { notional_usd: config.params.scan.notional_usd / 2, ..config.params.scan.clone() };
    let half = EngineParams { scan: half, ..config.params.clone() };
    let first = ordering(&job.output)[0];
    for after in [first - 20, first, first + 10] {
        let part = cut(&job.output, after);
        let same = of_part_and_whole(&job.output, part.path(), &config.params);
        assert_eq!((same.divergence.clone(), same.recorded.net), (None, same.new_modelled.net), "{same}");
        assert_eq!(same.recorded.trades + same.recorded.carried, back.recorded.trades, "{after}: {same}");
        of_part_and_whole(&job.output, part.path(), &half);
    }
}

#[test]
fn a_history_without_any_pair_is_asked_with_the_recorded_layout_and_says_that_it_has_none() {
    let dir = tempdir().unwrap();
    let own = file(&dir, "own", recorded("hftbacktest", &market(0)));
    let ether = |text: &str| text.replace("BTC", "ETH");
    let other = file(&dir, "other", ether(&recorded("hftbacktest", &market(0))));
    let contracts = file(&dir, "ether.json", ether(CONTRACTS));
    let mut job = job(&dir, &[("binance-usdm", &[own]), ("aster", &[other])]);
    job.metadata[1].1 = contracts;
    assert_eq!(import(&job).1, 0);
    let journal = job.output.display().to_string();
    let program = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_perpring")).args(args).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, printed) = program(&["whatif", &journal, "--print-config"]);
    assert_eq!(code, Some(0), "{printed}");
    let config = file(&dir, "recorded.toml", &printed).display().to_string();
    for args in [&["--config", config.as_str()][..], &["--set", "scan.threshold_ppb=1"]] {
        let (code, text) = program(&[&["whatif", &journal], args].concat());
        assert!(code == Some(0) && text.contains("no divergence"), "{text}");
    }
    // Another layout is refused as ever.
    let other = file(&dir, "other.toml", printed.replace("ETH", "SOL")).display().to_string();
    let (code, text) = program(&["whatif", &journal, "--config", &other]);
    assert!(code == Some(2) && text.contains("the journal has the instrument ETH/USDT:USDT"), "{text}");
    let (code, text) = program(&["why-not", "BTC-USDT binance/aster", &journal, "--at", "+3s"]);
    assert!(code == Some(2) && text.contains("its pairs are: none, for a pair takes"), "{text}");
}

#[test]
fn damaged_lines_are_told_with_their_place_and_nothing_after_them_is_lost() {
    let dir = tempdir().unwrap();
    let whole = recorded("hftbacktest", &market(0));
    let mut lines: Vec<&str> = whole.lines().collect();
    let count = lines.len() as u64;
    let repeated = lines[40];
    let early =
        format!("{}000000 {}", BEGIN_MS, lines[60].split_once(' ').unwrap().1.replace("bookTicker", "news"));
    lines.insert(60, &early);
    let torn = format!("{} {{\"e\":\"bookTicker\",\"u\":", lines[50].split_once(' ').unwrap().0);
    lines.insert(50, &torn);
    lines.insert(45, "what is this");
    lines.insert(41, repeated);
    let own = file(&dir, "own", lines.join("\n"));
    let job = job(&dir, &[("binance-usdm", &[own])]);
    let (report, code, remarks) = import(&job);
    assert_eq!(code, 1);
    let venue = &report["venues"][0];
    for key in ["duplicates", "untimed", "undecodable", "backwards"] {
        assert_eq!(venue[key], 1, "{key}: {venue:#}");
    }
    for place in
        ["own: line 42: the same again", "own: line 47: no receive time", "own: line 53: not valid JSON"]
    {
        assert!(remarks.contains(place), "{place}: {remarks}");
    }
    assert!(remarks.contains("own: line 64: received before"), "{remarks}");
    assert_eq!(venue["frames"], count - 1 + 1, "all but the snapshot, and the odd one: {venue:#}");
    assert_eq!((&venue["gaps"], &venue["live_at_end"]), (&0.into(), &1.into()));
    replays(&job.output);
}

#[test]
fn a_hole_in_the_depth_is_a_gap_and_a_reconnect_is_one_too() {
    let dir = tempdir().unwrap();
    let hole: Vec<Message> = market(0)
        .into_iter()
        .filter(|message| !(message.text.contains("depthUpdate") && message.text.contains("\"u\":1300,")))
        .collect();
    let own = file(&dir, "own", recorded("hftbacktest", &hole));
    let mut text = recorded("cryptofeed", &market(0));
    let again = format!(
        "wss://x/ws <-> {}.5\n{}.6: {{\"e\":\"news\"}}\n",
        BEGIN_MS / 1_000 + 9,
        BEGIN_MS / 1_000 + 9
    );
    text.push_str(&again);
    let other = file(&dir, "other", text);
    let job = job(&dir, &[("binance-usdm", &[own]), ("aster", &[other])]);
    let (report, code, remarks) = import(&job);
    assert_eq!(code, 1);
    for venue in report["venues"].as_array().unwrap() {
        assert_eq!((&venue["gaps"], &venue["live_at_end"]), (&1.into(), &0.into()), "{venue:#}");
    }
    assert_eq!(report["venues"][1]["reconnects"], 1);
    assert!(remarks.contains("the book of BTCUSDT breaks off"), "{remarks}");
    replays(&job.output);
}

#[test]
fn what_cannot_be_imported_is_refused_with_what_to_do() {
    let dir = tempdir().unwrap();
    let good = file(&dir, "good", recorded("hftbacktest", &market(0)));
    let one = |path: &PathBuf| job(&dir, &[("binance-usdm", std::slice::from_ref(path))]);
    let said = |job: &Job, words: &str| {
        let error = refused(job);
        assert!(error.contains(words), "{words:?} in {error:?}");
    };
    said(&one(&file(&dir, "empty", "")), "empty: holds no recorded message");
    said(&one(&dir.join("absent")), "cannot read");
    said(&one(&PathBuf::from("-")), "standard input");
    said(
        &one(&file(&dir, "prose", "it was a dark\nand stormy night\n")),
        "prose: none of its first 2 messages",
    );
    let bare: String = market(0).iter().map(|message| format!("{}\n", message.text)).collect();
    said(&one(&file(&dir, "bare", bare)), "bare: its lines have no receive time");
    let cut = gz(&recorded("hftbacktest", &market(0)));
    said(&one(&file(&dir, "head.gz", &cut[..30])), "head.gz");
    said(
        &job(&dir, &[("binance-coinm", std::slice::from_ref(&good))]),
        "nothing that was recorded of binance-coinm can be traded (BTCUSDT of binance-coinm: no contract that",
    );
    said(&job(&dir, &[("okx", std::slice::from_ref(&good))]), "is one that okx sends: is it the right venue");
    said(&job(&dir, &[("kraken", std::slice::from_ref(&good))]), "unknown venue");
    let twice = [("aster", std::slice::from_ref(&good)), ("aster", std::slice::from_ref(&good))];
    said(&job(&dir, &twice), "named twice");
    let none = Job { metadata: Vec::new(), ..one(&good) };
    said(&none, "--metadata binance-usdm=FILE");
    let wrong = file(&dir, "wrong.json", CONTRACTS.replace("BTCUSDT", "ETHUSDT"));
    said(&Job { metadata: vec![("binance-usdm".into(), wrong)], ..one(&good) }, "do not state BTCUSDT");
    let stray = Job { metadata: vec![("okx".into(), good.clone())], ..one(&good) };
    said(&stray, "no recording of okx");
}

#[test]
fn a_recording_that_is_cut_off_is_imported_up_to_there() {
    let dir = tempdir().unwrap();
    // Several members, of which the last is damaged: what comes before is beyond doubt.
    let whole = recorded("hftbacktest", &market(0));
    let half = whole[..whole.len() / 2].rfind('\n').unwrap() + 1;
    let rest = gz(&whole[half..]);
    let cut = [gz(&whole[..half]), rest[..rest.len() / 2].to_vec()].concat();
    let own = file(&dir, "own.gz", cut);
    let job = job(&dir, &[("binance-usdm", &[own])]);
    let (report, code, _) = import(&job);
    assert_eq!(code, 2);
    assert!(report["unreadable"][0].as_str().unwrap().contains("own.gz"), "{report:#}");
    assert!(report["venues"][0]["frames"].as_u64().unwrap() >= 70, "{report:#}");
    replays(&job.output);
}

#[test]
fn the_command_line_groups_files_by_venue() {
    let dir = tempdir().unwrap();
    let own = file(&dir, "own", recorded("json-lines", &market(0)));
    let other = file(&dir, "other", recorded("tardis", &market(600)));
    let metadata = file(&dir, "contracts.json", CONTRACTS);
    let output = dir.join("journal");
    let import = Command::new(env!("CARGO_BIN_EXE_perpring"))
        .args(["import", "--venue", "binance"])
        .arg(&own)
        .args(["--venue", "aster"])
        .arg(&other)
        .arg("--metadata")
        .arg(format!("binance={}", metadata.display()))
        .arg(format!("--metadata=aster={}", metadata.display()))
        .arg("-o")
        .arg(&output)
        .output()
        .unwrap();
    let text = String::from_utf8(import.stdout).unwrap();
    assert_eq!(import.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&import.stderr));
    assert!(text.contains("trades on paper: 1") && text.contains("aster: "), "{text}");
    let replay =
        Command::new(env!("CARGO_BIN_EXE_perpring")).args(["replay", "--verify"]).arg(&output).output();
    let replay = String::from_utf8(replay.unwrap().stdout).unwrap();
    assert!(replay.contains("identical"), "{replay}");
}

/// Two figures of the two programs agree within `tolerance`.
fn near(what: &str, ours: &Value, theirs: &Value, tolerance: f64) {
    let (a, b) = (ours.as_f64(), theirs.as_f64());
    let agree = a.zip(b).is_some_and(|(a, b)| (a - b).abs() <= tolerance);
    assert!(agree, "{what}: {ours} here, {theirs} by the independent program (± {tolerance})");
}

#[test]
fn on_real_captures_an_independent_program_agrees_on_edges_episodes_and_clocks() {
    let Some(shared) = shared() else { return };
    let corpus = shared.join("corpus/binance-usdm");
    let [usdm, coinm] = ["usdm_btcusdt_20240808.gz", "coinm_btcusd_perp_20240808.gz"]
        .map(|name| corpus.join("capture").join(name));
    if !usdm.exists() || !coinm.exists() {
        println!("skipped: the captures of 2024-08-08 are not at {}", corpus.display());
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/py/import_oracle.py");
    let oracle = Command::new("python3")
        .arg(script)
        .arg(format!("usdm:linear:1:0.001:5={}", usdm.display()))
        .arg(format!("coinm:inverse:100:1:5={}", coinm.display()))
        .output();
    let Ok(oracle) = oracle else {
        println!("skipped: no python3 on this machine");
        return;
    };
    assert!(oracle.status.success(), "{}", String::from_utf8_lossy(&oracle.stderr));
    let oracle: Value = serde_json::from_slice(&oracle.stdout).unwrap();

    let dir = tempdir().unwrap();
    let contracts = |name: &str| corpus.join("rest").join(name);
    let mut job = job(&dir, &[("binance-usdm", &[usdm]), ("binance-coinm", &[coinm])]);
    job.metadata[0].1 = contracts("gct_fapi_v1_exchangeInfo_0.json");
    job.metadata[1].1 = contracts("gct_dapi_v1_exchangeInfo_0.json");
    let (report, code, remarks) = import(&job);
    assert_eq!((code, remarks.as_str()), (0, ""));
    replays(&job.output);
    assert_eq!((&report["trades"], &report["orders"]), (&0.into(), &0.into()), "no edge is worth base fees");
    assert!(!report["why_not"].as_array().unwrap().is_empty());

    for (ours, theirs) in
        report["venues"].as_array().unwrap().iter().zip(oracle["venues"].as_array().unwrap())
    {
        assert_eq!((&ours["frames"], &ours["gaps"]), (&theirs["frames"], &theirs["gaps"]), "{ours:#}");
        for name in ["min", "median", "max"] {
            near(name, &ours["clock_offset_ms"][name], &theirs["clock_offset_ms"][name], 0.011);
        }
    }
    for (ours, theirs) in report["pairs"].as_array().unwrap().iter().zip(oracle["pairs"].as_array().unwrap())
    {
        assert_eq!(ours["evaluations"], theirs["evaluations"], "{ours:#}");
        // Figures here are whole ppb, percentiles to 0.01 bps; the other program counts in floating point.
        for (name, edge) in theirs["edge_bps"].as_object().unwrap() {
            near(name, &ours["edge_bps"][name], edge, 0.011);
        }
        for episodes in ours["episodes"].as_array().unwrap() {
            let theirs = &theirs["episodes"][episodes["above"].as_str().unwrap()];
            assert_eq!(
                (&episodes["count"], &episodes["open_at_end"]),
                (&theirs["count"], &theirs["open_at_end"]),
                "{episodes}"
            );
            near(
                "total",
                &episodes["total_ms"],
                &theirs["total_ms"],
                0.001 * theirs["total_ms"].as_f64().unwrap(),
            );
            for (name, length) in theirs["length_ms"].as_object().unwrap() {
                near(name, &episodes["length_ms"][name], length, 0.02 * length.as_f64().unwrap());
            }
            for (ours, theirs) in
                episodes["survival"].as_array().unwrap().iter().zip(theirs["survival"].as_array().unwrap())
            {
                assert_eq!(ours[0], theirs[0]);
                // An edge that is nothing but rounding may end an episode a message earlier here.
                near("survival", &ours[1], &theirs[1], 0.01);
            }
        }
    }
}
