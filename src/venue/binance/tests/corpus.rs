//! Real payloads and hostile ones: every payload of the shared corpus has its type, and no sequence of bytes
//! makes the parser or the adapter panic. Corpus tests skip when it is absent.

use super::super::account::{UserEvent, user_event};
use super::super::adapter::BinanceAdapter;
use super::super::decode::Parser;
use super::super::{USDM, conn, metadata};
use super::{BASE, context, instrument, listings};
use crate::domain::input::{ConnId, FrameMeta};
use crate::domain::instrument::{ContractKind, VenueId};
use crate::domain::number::Num;
use crate::domain::order::{ClientId, ReportKind};
use crate::domain::time::{SECOND, Stamp};
use crate::venue::message::{DecodeError, Message};
use crate::venue::silence::Silence;
use crate::venue::{Adapter, Emit, OddKind, Out};
use proptest::prelude::*;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};

fn corpus() -> Option<PathBuf> {
    let shared = std::env::var_os("PERPRING_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let corpus = shared.join("corpus/binance-usdm");
    if !corpus.is_dir() {
        println!("skipped: no corpus at {}", corpus.display());
        return None;
    }
    Some(corpus)
}

fn types(frame: &[u8]) -> Result<Vec<&'static str>, DecodeError> {
    let mut seen = Vec::new();
    Parser::default().parse(frame, |message| {
        seen.push(match message {
            Message::Ignored { kind } | Message::Private { kind } => kind,
            Message::Depth(depth) => depth.channel,
            other => other.type_name(),
        });
    })?;
    Ok(seen)
}

#[test]
fn every_payload_of_the_corpus_has_its_type() {
    let Some(corpus) = corpus() else { return };
    let mut checked = 0;
    for (folder, expected) in [
        ("aggTrade", &["trade"][..]),
        ("bookTicker", &["bbo"]),
        ("depth", &["depth", "depth-partial"]),
        ("forceOrder", &["liquidation"]),
        ("kline", &["kline"]),
        ("markPrice", &["mark"]),
        ("rest-depth", &["rest-depth"]),
        ("ticker", &["ticker", "24hrMiniTicker"]),
        ("trade", &["trade"]),
        ("user-data", &["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "indexPriceUpdate"]),
        ("ws-api", &["ws-api reply"]),
        ("ws-api-error", &["ws-api reply"]),
    ] {
        for entry in std::fs::read_dir(corpus.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            for line in std::fs::read_to_string(&path).unwrap().lines() {
                let payload = line.split_once('\t').map_or(line, |(_, payload)| payload);
                let seen = types(payload.as_bytes())
                    .unwrap_or_else(|e| panic!("{}: {e}: {payload}", path.display()));
                assert!(
                    !seen.is_empty() && seen.iter().all(|kind| expected.contains(kind)),
                    "{seen:?}: {payload}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked >= 60, "{checked}");
}

#[test]
fn captured_streams_are_soon_known_to_be_busy_and_their_own_pauses_are_never_suspected() {
    let Some(corpus) = corpus() else { return };
    const LONGEST: i64 = 20 * SECOND;
    for capture in ["usdm_btcusdt_20240808", "usdm_ethusdt_20240719", "coinm_btcusd_perp_20240808"] {
        let file = std::fs::File::open(corpus.join(format!("capture/{capture}.gz"))).unwrap();
        let lines = std::io::BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines();
        let (mut silence, mut begun) = (Silence::default(), None);
        for line in lines.map(Result::unwrap).filter(|line| line.contains("\"stream\"")) {
            let now: i64 = line.split_once(' ').unwrap().0.parse().unwrap();
            if begun.is_none() {
                begun = Some(now);
                silence.begin(now);
            }
            // Twice over: the margin is no accident of this capture.
            let margin = (silence.until(LONGEST) - now).min(LONGEST);
            assert!(margin > silence.limit(LONGEST) / 2, "{capture}: suspected at {now}");
            silence.heard(now);
            if now > begun.unwrap() + 31 * SECOND {
                assert!(silence.limit(LONGEST) < LONGEST / 2, "{capture}: {}", silence.limit(LONGEST));
            }
        }
        assert_eq!(silence.limit(LONGEST), 3 * SECOND, "{capture}");
    }
}

#[test]
fn captured_metadata_is_read() {
    let Some(corpus) = corpus() else { return };
    let body = std::fs::read(corpus.join("rest/gct_fapi_v1_exchangeInfo_0.json")).unwrap();
    let mut specs = Vec::new();
    metadata::exchange_info(
        &body,
        ContractKind::Linear,
        |_| true,
        |name, spec| {
            specs.push((name.to_vec(), spec.unwrap()));
        },
    )
    .unwrap();
    let (_, btc) = specs.iter().find(|(name, _)| name == b"BTCUSDT").unwrap();
    assert_eq!((btc.tick, btc.step, btc.notional_min), (Num::new(1, 1), Num::new(1, 3), Num::new(100, 0)));
    let body = std::fs::read(corpus.join("rest/gct_dapi_v1_exchangeInfo_0.json")).unwrap();
    let mut sizes = Vec::new();
    metadata::exchange_info(
        &body,
        ContractKind::Inverse,
        |_| true,
        |_, spec| sizes.push(spec.unwrap().multiplier),
    )
    .unwrap();
    assert!(sizes.contains(&Num::new(100, 0)), "COIN-M states its contract size: {sizes:?}");
    let body = std::fs::read(corpus.join("rest/gct_fapi_v1_fundingInfo_0.json")).unwrap();
    let mut intervals = 0;
    metadata::funding_info(&body, |_, _| intervals += 1).unwrap();
    assert!(intervals > 5);
}

#[test]
fn liquidations_and_foreign_orders_of_the_fixtures_become_reports() {
    let Some(corpus) = corpus() else { return };
    for (name, kind, fill) in [
        ("order_update_adl", ReportKind::PartiallyFilled, Some("0.105")),
        ("order_update_calculated", ReportKind::Filled, Some("0.06937084")),
        ("order_update_calculated_pending", ReportKind::Open, None),
        ("order_update_insurance", ReportKind::PartiallyFilled, Some("0.45")),
        ("order_update_trade", ReportKind::PartiallyFilled, Some("0.01")),
        ("trade_lite", ReportKind::PartiallyFilled, Some("-")),
    ] {
        let path = corpus.join(format!("fixtures/nautilus_futures_user_data_json_{name}.json"));
        let mut out = Out::default();
        let result = user_event(&std::fs::read(path).unwrap(), VenueId(0), &listings(), &mut out);
        assert_eq!(result, Ok(UserEvent::Done), "{name}");
        let [Emit::Report(report)] = out.items() else { panic!("{name}: {:?}", out.items()) };
        assert_eq!((report.client_id, report.kind), (ClientId::NONE, kind), "{name}");
        let fee = report.fill.map(|fill| fill.fee.map_or_else(|| "-".to_owned(), |fee| fee.to_string()));
        assert_eq!(fee.as_deref(), fill, "{name}");
        assert!(report.side.is_some());
    }
    let path = corpus.join("fixtures/nautilus_futures_user_data_json_order_update_delivery.json");
    let result = user_event(&std::fs::read(path).unwrap(), VenueId(0), &listings(), &mut Out::default());
    assert_eq!(result, Err(OddKind::UnknownSymbol));
}

const FRAMES: &[&str] = &[
    r#"{"e":"bookTicker","u":600859600576,"s":"BTCUSDT","b":"7.6110","B":"2","a":"7.6120","A":"297","T":1626992741012,"E":1626992741017}"#,
    r#"{"e":"depthUpdate","E":1785048482829,"T":1785048482718,"s":"BTCUSDT","ps":"BTCUSDT","U":11,"u":12,"pu":10,"b":[["1.5","2"]],"a":[["64346.70","589.841"]],"st":1}"#,
    r#"{"stream":"btcusdt@depth5","data":{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":1,"u":2,"pu":0,"b":[],"a":[]}}"#,
    r#"{"e":"aggTrade","E":1785048482872,"a":300238285,"s":"BTCUSDT","p":"64346.70","q":"0.0200","nq":"0.0200","f":521512568,"l":521512568,"T":1785048482718,"m":false,"st":1}"#,
    r#"{"stream":"!markPrice@arr@1s","data":[{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"8.1","P":"8.3","i":"8.3","r":"","T":2}]}"#,
    r#"{"e":"forceOrder","E":1,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"9910","ap":"9910","X":"FILLED","l":"0.014","z":"0.014","T":2}}"#,
    r#"{"lastUpdateId":12,"E":1,"T":1,"bids":[["1","2"]],"asks":[["2","3"]]}"#,
    r#"{"e":"ORDER_TRADE_UPDATE","T":8,"E":9,"o":{"s":"BTCUSDT","c":"x","S":"BUY","f":"GTC","q":"10","p":"1.1","x":"TRADE","X":"FILLED","i":1,"l":"10","z":"10","L":"1.1","n":"0.1","N":"USDT","T":1,"t":6,"m":false}}"#,
    r#"{"e":"ACCOUNT_UPDATE","T":8,"E":9,"a":{"B":[{"a":"USDT","wb":"21.1","cw":"21.1","bc":"0"}],"P":[{"s":"BTCUSDT","pa":"-5","ep":"1.1","ps":"BOTH"}],"m":"ORDER"}}"#,
    r#"{"id":"p00000000000000010000000000000003","status":200,"result":{"orderId":1,"symbol":"BTCUSDT","status":"NEW","clientOrderId":"x","executedQty":"0","side":"BUY"}}"#,
    r#"{"result":null,"id":1}"#,
];

#[test]
fn partial_depth_and_arrays_are_told_apart() {
    assert_eq!(types(FRAMES[1].as_bytes()), Ok(vec!["depth"]));
    assert_eq!(types(FRAMES[2].as_bytes()), Ok(vec!["depth-partial"]));
    assert_eq!(types(FRAMES[4].as_bytes()), Ok(vec!["mark"]));
    // Key order is not promised: `data` may come first.
    let turned = r#"{"data":{"e":"depthUpdate","E":1,"T":1,"s":"X","U":1,"u":2,"pu":0,"b":[],"a":[]},"stream":"x@depth20@100ms"}"#;
    assert_eq!(types(turned.as_bytes()), Ok(vec!["depth-partial"]));
    assert_eq!(types(br#"{"e":"kline","E":1,"s":"X","k":{"t":1, "T":2,  "B":"0"}}"#), Ok(vec!["kline"]));
    assert_eq!(types(br#"{"e":"unheard"}"#), Ok(vec!["unknown"]));
    assert_eq!(types(b"{}"), Ok(vec!["unknown"]));
    assert_eq!(types(b"null"), Ok(vec!["null"]));
}

#[test]
fn missing_and_wrong_fields_are_errors_that_name_them() {
    let bbo = FRAMES[0];
    for (from, to, error) in [
        (r#""s":"BTCUSDT","#, "", DecodeError::Missing("s")),
        (r#""s":"BTCUSDT""#, r#""s":5"#, DecodeError::Field("s")),
        (r#""b":"7.6110""#, r#""b":"7,6110""#, DecodeError::Field("b")),
        (r#""b":"7.6110""#, r#""b":"-7""#, DecodeError::Field("b")),
        (r#""b":"7.6110""#, r#""b":[["7","1"]]"#, DecodeError::Missing("b")),
        (r#""B":"2","#, "", DecodeError::Missing("B")),
        (r#""u":600859600576"#, r#""u":-1"#, DecodeError::Field("u")),
        (r#""u":600859600576"#, r#""u":"x""#, DecodeError::Field("u")),
        (r#""T":1626992741012"#, r#""T":1.5"#, DecodeError::Field("T")),
    ] {
        assert!(bbo.contains(from));
        assert_eq!(types(bbo.replace(from, to).as_bytes()), Err(error), "{to}");
    }
    let depth = FRAMES[1];
    for (from, to, error) in [
        (r#""u":12"#, r#""u":10"#, DecodeError::Field("U")),
        (r#""b":[["1.5","2"]]"#, r#""b":[["1.5"]]"#, DecodeError::Field("b")),
        (r#""b":[["1.5","2"]]"#, r#""b":[["0","2"]]"#, DecodeError::Field("b")),
        (r#""b":[["1.5","2"]]"#, r#""b":{"x":1}"#, DecodeError::Missing("b")),
        (r#","a":[["64346.70","589.841"]]"#, "", DecodeError::Missing("a")),
    ] {
        assert!(depth.contains(from));
        assert_eq!(types(depth.replace(from, to).as_bytes()), Err(error), "{to}");
    }
    assert!(matches!(types(&bbo.as_bytes()[..40]), Err(DecodeError::Json { .. })));
    assert!(matches!(types(format!("{bbo}x").as_bytes()), Err(DecodeError::Json { .. })));
}

/// An adapter that takes frames on every connection.
fn adapter() -> BinanceAdapter {
    let mut adapter = BinanceAdapter::new(&USDM, &context(true));
    let mut out = Out::default();
    let now = Stamp::default();
    adapter.on_start(now, &mut out);
    for index in 0..conn::COUNT {
        adapter.on_conn_up(ConnId(BASE + index as u8), 1, now, &mut out);
    }
    for index in 0..2 {
        adapter.on_instrument(&instrument(index), now, &mut out);
    }
    adapter
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = types(&bytes);
    }

    #[test]
    fn no_mutation_of_a_frame_makes_the_adapter_panic(
        which in 0..FRAMES.len(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 0..6),
        cut in any::<prop::sample::Index>(),
        keep in any::<bool>(),
    ) {
        let mut frame = FRAMES[which].as_bytes().to_vec();
        for (at, byte, how) in edits {
            let at = at.index(frame.len());
            match how {
                0 => frame[at] = byte,
                1 => frame.insert(at, byte),
                _ => { frame.remove(at); }
            }
        }
        if !keep {
            frame.truncate(cut.index(frame.len()));
        }
        let mut adapter = adapter();
        let mut out = Out::default();
        for index in 0..conn::COUNT {
            let meta = FrameMeta { conn: ConnId(BASE + index as u8), epoch: 1, ..FrameMeta::default() };
            adapter.on_frame(meta, &frame, Stamp { mono: 1, wall: 1 }, &mut out);
        }
        adapter.on_http(crate::domain::effect::HttpId(1 << 10 | 512), 200, &frame, Stamp::default(), &mut out);
    }

    #[test]
    fn key_order_and_spaces_do_not_matter(
        order in Just((0..9usize).collect::<Vec<_>>()).prop_shuffle(),
        space in "[ \t\n]{0,2}",
        bid in 1..1_000_000i64,
        qty in 0..1_000_000i64,
        ids in (0..1u64 << 53, 0..1000u64),
    ) {
        let (first, span) = ids;
        let last = first + span;
        let fields = [
            "\"e\":\"depthUpdate\"".to_owned(),
            "\"E\":2".to_owned(),
            "\"T\":1".to_owned(),
            "\"s\":\"BTCUSDT\"".to_owned(),
            format!("\"U\":{first}"),
            format!("\"u\":{last}"),
            "\"pu\":-1".to_owned(),
            format!("\"b\":{space}[[\"{}\",{space}\"{}\"]{space}]", Num::new(bid, 2), Num::new(qty, 3)),
            "\"a\":[]".to_owned(),
        ];
        let body: Vec<String> = order.iter().map(|i| format!("{space}{}", fields[*i])).collect();
        let frame = format!("{{{}{space}}}", body.join(&format!("{space},")));
        let mut seen = 0;
        Parser::default().parse(frame.as_bytes(), |message| {
            let Message::Depth(depth) = message else { panic!("{message:?}") };
            assert_eq!((depth.first, depth.last, depth.prev, depth.time_ms), (first, last, -1, 1));
            assert_eq!(depth.bids, [(Num::new(bid, 2), Num::new(qty, 3))]);
            assert!(depth.asks.is_empty() && depth.symbol == b"BTCUSDT");
            seen += 1;
        }).unwrap();
        prop_assert_eq!(seen, 1);
    }
}
