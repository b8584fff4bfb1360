//! What the Hyperliquid dialect promises: the corpus decodes, books follow time, rows in any order and
//! spacing, sessions, accounts, rendered requests.

mod adapter;
mod standing;

use super::HyperliquidDecoder;
use super::continuity::HyperliquidContinuity;
use crate::domain::event::BookState;
use crate::venue::lines::Chain as _;
use crate::venue::message::{Continuity, DecodeError, Decoder, Depth, Message, Verdict};
use proptest::prelude::*;
use std::path::PathBuf;

/// The shared corpus, where it is present; otherwise the test says that it skips.
fn shared(path: &str) -> Option<PathBuf> {
    let root =
        std::env::var("PERPRING_SHARED").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared").into());
    let path = PathBuf::from(root).join(path);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

fn decode(frame: &[u8]) -> Result<Vec<String>, DecodeError> {
    let mut seen = Vec::new();
    HyperliquidDecoder::new().decode(frame, &mut |message| seen.push(format!("{message:?}")))?;
    Ok(seen)
}

#[test]
fn every_file_of_the_corpus_decodes_as_what_it_is() {
    let Some(folder) = shared("corpus/hyperliquid") else { return };
    let mut frames = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() || folder.ends_with("capture") {
            continue;
        }
        let kind = folder.file_name().unwrap().to_string_lossy().into_owned();
        for file in std::fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let lines = path.extension().is_some_and(|extension| extension == "jsonl");
            let parts: Vec<&[u8]> =
                if lines { bytes.split(|byte| *byte == b'\n').collect() } else { vec![&bytes] };
            for frame in parts.into_iter().filter(|frame| !frame.is_empty()) {
                let shown = path.display();
                let seen = decode(frame).unwrap_or_else(|error| panic!("{shown}: {error}"));
                let expected = match kind.as_str() {
                    "activeAssetCtx" => "Mark {",
                    "bbo" => "Bbo {",
                    "l2Book" | "info-l2Book" => "Depth(",
                    "trades" => "Trade {",
                    "orderUpdates" | "post" | "userFills" | "userFundings" => "Private {",
                    "exchange-response" => "Private { kind: \"exchange\"",
                    "subscriptionResponse" => "Ignored { kind: \"subscriptionResponse\"",
                    _ => "",
                };
                assert!(seen[0].starts_with(expected), "{shown}: {}", seen[0]);
                assert!(!seen.iter().any(|message| message == "Unknown"), "{shown} is of a known kind");
                frames += 1;
            }
        }
    }
    assert!(frames > 40, "{frames}");
}

#[test]
fn odd_frames_are_refused_or_unknown() {
    for frame in [
        r#"{"channel":"l2Book","data":{"coin":"BTC","levels":[[],[]]}}"#,
        r#"{"channel":"l2Book","data":{"coin":"BTC","time":1,"levels":[[]]}}"#,
        r#"{"channel":"l2Book","data":{"coin":"BTC","time":1,"levels":[[{"px":"1"}],[]]}}"#,
        r#"{"channel":"l2Book","data":{"time":1,"levels":[[],[]]}}"#,
        r#"{"channel":"bbo","data":{"coin":"BTC","time":1,"bbo":[{"px":"-1","sz":"1"}]}}"#,
        r#"{"channel":"trades","data":[{"coin":"BTC","side":"X","px":"1","sz":"1","time":1,"tid":1}]}"#,
        r#"{"channel":"activeAssetCtx","data":{"coin":"BTC"}}"#,
        r#"{"channel":"userFills"}"#,
        r#"{"channel":"bbo","data":"#,
        "Websocket",
    ] {
        assert!(decode(frame.as_bytes()).is_err(), "{frame}");
    }
    for frame in [r#"{"channel":"news","data":1}"#, "{}", "3", "\"x\""] {
        assert_eq!(decode(frame.as_bytes()).unwrap(), ["Unknown"], "{frame}");
    }
    let ignored = decode(b"Websocket connection established.").unwrap();
    assert_eq!(ignored, [r#"Ignored { kind: "greeting" }"#]);
}

#[test]
fn a_side_without_orders_is_no_level() {
    let mut seen = 0;
    for frame in [
        r#"{"channel":"bbo","data":{"coin":"SOL","time":5,"bbo":[null,{"px":"128.51","sz":"3","n":1}]}}"#,
        r#"{"data":{"bbo":[null , {"n":1,"sz":"3","px":"128.51"}],"time":5,"coin":"SOL"}, "channel" : "bbo"}"#,
    ] {
        HyperliquidDecoder::new()
            .decode(frame.as_bytes(), &mut |message| {
                let Message::Bbo { bid, ask, time_ms: 5, .. } = message else { panic!("{message:?}") };
                assert!(bid.0.is_zero() && ask.0.to_string() == "128.51");
                seen += 1;
            })
            .unwrap();
    }
    assert_eq!(seen, 2);
}

fn snapshot(time_ms: i64) -> Depth<'static> {
    Depth {
        channel: "l2Book",
        symbol: b"X",
        snapshot: true,
        first: 0,
        last: time_ms.unsigned_abs(),
        prev: -1,
        checksum: None,
        bids: &[],
        asks: &[],
        time_ms,
    }
}

#[test]
fn books_never_step_back_in_time() {
    let mut rule = HyperliquidContinuity::default();
    assert_eq!(rule.state(), BookState::AwaitSnapshot);
    for (time, verdict) in [
        (10, Verdict::Snapshot),
        (10, Verdict::Snapshot),
        (9, Verdict::Skip),
        (500, Verdict::Snapshot),
        (11, Verdict::Skip),
    ] {
        assert_eq!(rule.on_depth(&snapshot(time)), verdict, "{time}");
        assert_eq!(rule.state(), BookState::Live);
    }
    rule.invalidate();
    assert_eq!((rule.on_depth(&snapshot(499)), rule.state()), (Verdict::Skip, BookState::Invalid));
    assert_eq!((rule.on_depth(&snapshot(500)), rule.state()), (Verdict::Snapshot, BookState::Live));
    let update = Depth { snapshot: false, ..snapshot(501) };
    assert_eq!((rule.on_depth(&update), rule.state()), (Verdict::Gap, BookState::Invalid));
}

proptest! {
    #[test]
    fn the_order_of_keys_and_spaces_mean_nothing(swap: [bool; 3], pad in "[ \n\t]{0,3}", price in 1u32..1_000_000) {
        let two = |first: bool, a: String, b: String| {
            if first { format!("{{{pad}{a},{pad}{b}{pad}}}") } else { format!("{{{b}{pad},{a}}}") }
        };
        let level = two(swap[0], format!("\"px\":{pad}\"{price}.5\""), "\"sz\" : \"1.25\"".into());
        let levels = format!("\"levels\":[[{pad}{level}],{pad}[]]");
        let data = two(swap[1], levels, "\"coin\":\"BTC\",\"time\":7".into());
        let frame = two(swap[2], "\"channel\":\"l2Book\"".into(), format!("\"data\":{pad}{data}"));
        let mut seen = 0;
        HyperliquidDecoder::new().decode(frame.as_bytes(), &mut |message| {
            if let Message::Depth(depth) = message {
                seen += 1;
                assert_eq!((depth.bids.len(), depth.asks.len(), depth.time_ms), (1, 0, 7));
                assert_eq!(depth.bids[0].0.to_string(), format!("{price}.5"));
            }
        }).unwrap();
        prop_assert_eq!(seen, 1);
    }
}
