//! Every message of the shared corpus is understood or ignored by name; what is malformed is named here.
//! Skips when the shared captures are absent.

use super::super::DeribitDecoder;
use crate::venue::message::{Decoder, Message};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A documentation example that has only one side of the book.
const MALFORMED: [&str; 1] = ["gct_fb0c2b05.json"];

fn shared() -> Option<PathBuf> {
    let path = std::env::var_os("PERPRING_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let corpus = path.join("corpus/deribit");
    if corpus.is_dir() {
        return Some(corpus);
    }
    println!("skipped: no shared captures at {}", path.display());
    None
}

#[test]
fn every_message_of_the_corpus_is_understood() {
    let Some(corpus) = shared() else { return };
    let (mut counts, mut wrong) = (BTreeMap::<String, usize>::new(), Vec::new());
    for folder in
        ["book", "chart", "fixtures", "heartbeat", "instruments", "quote", "rpc", "ticker", "trades"]
    {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(corpus.join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let whole = file.extension().is_some_and(|extension| extension == "json");
            let texts: Vec<&[u8]> = if whole {
                vec![&bytes]
            } else {
                bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect()
            };
            for text in texts {
                let mut decoder = DeribitDecoder::new();
                let mut said = Vec::new();
                let result = decoder.decode(text, &mut |message| {
                    said.push(match message {
                        Message::Ignored { kind } | Message::Private { kind } => (*kind).to_owned(),
                        other => other.type_name().to_owned(),
                    });
                });
                let known = MALFORMED.iter().any(|name| file.ends_with(name));
                assert!(!known || result.is_err(), "{}: understood after all", file.display());
                if (result.is_err() && !known) || said.iter().any(|kind| kind == "unknown") {
                    wrong.push(format!("{}: {result:?} {said:?}", file.file_name().unwrap().display()));
                }
                for kind in said {
                    *counts.entry(kind).or_default() += 1;
                }
            }
        }
    }
    println!("{counts:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    for kind in ["depth", "bbo", "ticker", "trade", "test_request", "user.orders", "user.trades"] {
        assert!(counts.get(kind).is_some_and(|count| *count > 0), "no {kind} in {counts:?}");
    }
}
