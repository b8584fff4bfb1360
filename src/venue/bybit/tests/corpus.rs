//! The decoder against everything that was captured, and against reorderings of it.

use crate::venue::bybit::BybitDecoder;
use crate::venue::message::{Decoder, Message};
use std::path::{Path, PathBuf};

/// Frames of the shared corpus: lines of `.jsonl`, whole files of `.json`; none when it is absent.
fn frames() -> Vec<(PathBuf, Vec<u8>)> {
    let root =
        std::env::var("PERPRING_SHARED").unwrap_or(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared").into());
    let root = Path::new(&root).join("corpus/bybit");
    let Ok(folders) = std::fs::read_dir(&root) else {
        println!("skipped: {} is absent", root.display());
        return Vec::new();
    };
    let mut frames = Vec::new();
    for folder in folders.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let bytes = std::fs::read(&file).unwrap();
            if file.extension().is_some_and(|ext| ext == "jsonl") {
                let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                frames.extend(lines.map(|line| (file.clone(), line.to_vec())));
            } else {
                frames.push((file, bytes));
            }
        }
    }
    frames
}

fn decoded(frame: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    let mut decoder = BybitDecoder::new();
    decoder.decode(frame, &mut |message| all.push(format!("{message:?}"))).unwrap();
    all
}

#[test]
fn every_captured_frame_is_understood() {
    for (file, frame) in frames() {
        let mut unknown = 0;
        let result = BybitDecoder::new()
            .decode(&frame, &mut |message| unknown += usize::from(*message == Message::Unknown));
        assert_eq!(result, Ok(()), "{}: {}", file.display(), String::from_utf8_lossy(&frame));
        // A topic of this name is of version 3.
        let old = frame.windows(13).any(|part| part == b"trade.linear.");
        assert_eq!(unknown, usize::from(old), "{}", file.display());
    }
}

#[test]
fn neither_order_nor_spacing_of_keys_matters() {
    let book = r#"{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":5,"data":{"s":"BTCUSDT","b":[["1.50","2"]],"a":[["1.6","0"]],"u":9,"seq":70},"cts":4}"#;
    let turned = r#" { "cts" : 4 , "data" : { "seq" : 70 , "u":9, "a":[ [ "1.6" , "0" ] ], "b":[["1.50","2"]], "s":"BTCUSDT" } , "ts":5, "type":"delta", "new":[{}], "topic":"orderbook.50.BTCUSDT" } "#;
    assert_eq!(decoded(book.as_bytes()), decoded(turned.as_bytes()));
    assert!(decoded(book.as_bytes())[0].contains("last: 9"));
    let restart = book.replace("\"u\":9", "\"u\":1");
    assert!(decoded(restart.as_bytes())[0].contains("snapshot: true"), "u = 1 replaces the book");
}

#[test]
fn what_is_broken_is_refused() {
    let book = r#"{"topic":"orderbook.50.BTCUSDT","type":"delta","ts":5,"data":{"s":"BTCUSDT","b":[["1.50","2"]],"a":[],"u":9,"seq":70}}"#;
    for (from, to) in [
        ("\"u\":9,", ""),
        ("\"delta\"", "\"dawn\""),
        ("\"1.50\"", "\"1.5.0\""),
        ("\"2\"", "\"-2\""),
        ("[\"1.50\",\"2\"]", "[\"1.50\"]"),
        ("\"a\":[],", ""),
        ("\"ts\":5,", ""),
        ("\"s\":\"BTCUSDT\",", ""),
        ("}}", "}"),
    ] {
        let broken = book.replace(from, to);
        assert!(BybitDecoder::new().decode(broken.as_bytes(), &mut |_| {}).is_err(), "{broken}");
    }
}
